"""The register of discrepancies (``discrepancies.yaml``): switches, effects, decomposition.

The headline ratio is the time per token of the compared method over the baseline's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from bprr.figures.caption import StudyCaption
from bprr.ground.intervals import Interval
from bprr.ground.schema import Refused, Strict
from bprr.report.measures import MEASURES, at, mean_of, point_ratios, wide
from bprr.report.results import Results
from bprr.settings.messages import validated
from bprr.settings.yaml_file import read_yaml
from bprr.study.summary import paired_ratio

__all__ = [
    "Discrepancy",
    "MeasuredEffect",
    "Register",
    "causes",
    "decomposition",
    "effects",
    "load_register",
]


class Setting(Strict):
    """One side of a switch: a point of a sweep, and the two methods whose ratio is taken."""

    x: float | None = Field(None, description="point of the sweep; all of them if not given")
    method: str | None = Field(None, description="instead of the compared method")
    baseline: str | None = Field(None, description="instead of the compared baseline")
    delays: str | None = Field(None, description="this variant instead of each in turn")


class Effect(Strict):
    """What a switch does to the headline ratio, read off a sweep."""

    sweep: str
    before: Setting = Setting()
    after: Setting = Setting()


class Taken(Strict):
    """What a measure is taken of."""

    files: Annotated[list[str], Field(min_length=1)] = Field(description="below the results folder")
    arguments: dict[str, Any] = Field({}, description="of the measure")
    delays: str | None = Field(None, description="this variant instead of the artefact's delays")


class MeasuredEffect(Strict):
    """What a switch does to the very number that it explains, by a measure of run means."""

    measure: str = Field(description="function of bprr.report.measures")
    before: Taken
    after: Taken


class Discrepancy(Strict):
    """A difference between paper, artefact and this project.

    In ``cause``, ``{before}``, ``{after}`` and ``{effect}`` stand for what was measured and the
    difference (of ratios: mean over the networks of the sweep), ``{of_gain}`` for the share of the
    gain that is lost, network by network.
    """

    id: str
    place: str = Field(description="where it is described")
    statement: str
    switch: str = Field(description="what isolates it, here")
    cause: str = Field(description="one sentence for the claims that fail by it")
    effect: Effect | MeasuredEffect | None = None


class Paid(Strict):
    """A method under a variant of the delays."""

    method: str
    delays: str


class Step(Paid):
    """A step from the baseline to the proposed method: what is run after it."""

    name: str


class Decomposition(Strict):
    """Steps whose differences add up to the whole gain."""

    sweep: str
    x: float = Field(description="the headline point")
    baseline: Paid
    orders: dict[str, Annotated[list[Step], Field(min_length=1)]] = Field(
        description="steps in one order and another; the first one is the headline's"
    )
    without: Annotated[list[str], Field(min_length=1)] = Field(
        description="the steps once more, all of them under each of these variants"
    )


class Register(Strict):
    """The whole file."""

    decomposition: Decomposition
    only_with_delays: str = Field(description="entry that explains what holds with delays only")
    discrepancies: list[Discrepancy]

    @model_validator(mode="after")
    def _ids_once(self) -> Register:
        ids = [entry.id for entry in self.discrepancies]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise Refused("discrepancies", twice, "each id once")
        if self.only_with_delays not in ids:
            raise Refused("only_with_delays", self.only_with_delays, "the id of an entry")
        return self


def load_register(path: Path) -> Register:
    """Read and check the register."""
    return validated(Register, read_yaml(path), path)


def effects(register: Register, results: Results) -> pd.DataFrame:
    """Measured effect of every switch, on the headline ratio or on what it measures instead.

    One row per switch, network (none where several make one number) and variant of the delays:
    ``quantity``, ``before`` and ``after`` with their intervals, and ``effect``, the difference.
    """
    rows = []
    for entry in register.discrepancies:
        if entry.effect is None:
            continue
        if isinstance(entry.effect, MeasuredEffect):
            rows += _measured(entry.id, entry.effect, results)
            continue
        sides = {"before": entry.effect.before, "after": entry.effect.after}
        for name in results.files_of(entry.effect.sweep):
            means = results.means(name)
            for variant, _ in results.by_variant(means):
                ratio = {
                    side: _ratio(results, means, setting, variant)
                    for side, setting in sides.items()
                }
                rows.append(
                    {
                        "discrepancy": entry.id,
                        "topology": str(means["topology"].iloc[0]),
                        "allocation_delays": variant,
                        "quantity": "ratio",
                        **_before_and_after(ratio["before"], ratio["after"]),
                    }
                )
    return pd.DataFrame(rows)


def _measured(name: str, effect: MeasuredEffect, results: Results) -> list[dict[str, Any]]:
    taken = (effect.before, effect.after)
    if not all(results.path(file).exists() for one in taken for file in one.files):
        return []
    variants = [one.delays or results.caption.delayed for one in taken]
    before, after = (
        # The measure of one variant, whatever the others are.
        MEASURES[effect.measure](results.under(variant), one.files, **one.arguments)
        for variant, one in zip(variants, taken, strict=True)
    )
    if not before or not after:
        return []
    row = {"discrepancy": name, "topology": "", "allocation_delays": variants[0]}
    pair = (next(iter(before.values())), next(iter(after.values())))
    return [{**row, "quantity": effect.measure.replace("_", " "), **_before_and_after(*pair)}]


def _before_and_after(before: Interval, after: Interval) -> dict[str, float]:
    both = {**_columns("before", before), **_columns("after", after)}
    return {**both, "effect": after.value - before.value}


def _ratio(results: Results, means: pd.DataFrame, setting: Setting, variant: str) -> Interval:
    rows = at(means, {"allocation_delays": setting.delays or variant})
    rows = rows if setting.x is None else at(rows, {"x": setting.x})
    return mean_of(point_ratios(results, rows, setting.method, setting.baseline))


def _columns(name: str, estimate: Interval) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def causes(register: Register, measured: pd.DataFrame, caption: StudyCaption) -> dict[str, str]:
    """One sentence per entry, its numbers filled in: means over networks with the delays.

    Where this run has no such numbers the sentence is the entry's statement, which needs none.
    """
    sentences = {}
    for entry in register.discrepancies:
        numbers = {"before": np.nan, "after": np.nan, "effect": np.nan}
        shares = ""
        if len(measured):
            own = measured[measured["discrepancy"] == entry.id]
            with_delays = own[own["allocation_delays"] != caption.undelayed]
            own = with_delays if len(with_delays) else own
            numbers = {name: float(own[name].mean()) for name in numbers}
            lost = own["effect"] / (1 - own["before"])
            shares = ", ".join(
                f"{caption.topology(name)} {max(share, 0):.0%}".replace("%", " %")
                for name, share in zip(own["topology"], lost, strict=True)
            )
        text = entry.cause.format(**numbers, of_gain=shares)
        unmeasured = text != entry.cause and np.isnan(list(numbers.values())).any()
        sentences[entry.id] = entry.statement if unmeasured else text
    return sentences


def decomposition(register: Register, results: Results) -> pd.DataFrame:
    """What each step adds, as a share of the baseline's time per token.

    The shares of a point add up to its headline ratio minus 1, over the runs feasible in all
    steps.

    Returns
    -------
    DataFrame
        One row per network, point, variant, order and step: the ``method`` and ``delays`` after
        the step, ``share`` with its interval (negative: faster), ``ratio`` to the baseline after
        the step, ``step_s`` (s per token), ``runs``.
    """
    wanted = register.decomposition
    rows = []
    for name in results.files_of(wanted.sweep):
        means = results.means(name)
        for variant in (wanted.baseline.delays, *wanted.without):
            for order, steps in wanted.orders.items():
                taken = [wanted.baseline, *steps]
                if variant in wanted.without:
                    taken = [one.model_copy(update={"delays": variant}) for one in taken]
                if not {one.delays for one in taken} <= set(means["allocation_delays"]):
                    continue
                for x, point in means.groupby("x"):
                    place = {
                        "topology": str(point["topology"].iloc[0]),
                        "x": x,
                        "allocation_delays": variant,
                        "order": order,
                    }
                    changes = _changes(point, taken, results.confidence)
                    rows += [
                        {**place, "step": step.name, "method": step.method, **change}
                        for step, change in zip(steps, changes, strict=True)
                    ]
    return pd.DataFrame(rows)


def _changes(
    point: pd.DataFrame, taken: Sequence[Paid], confidence: float
) -> list[dict[str, float | str]]:
    """What each step changes against the one before it, relative to the first."""
    paid = {f"{one.method} {one.delays}": one for one in taken}
    named = point.assign(method=point["method"] + " " + point["allocation_delays"])
    runs = wide(named, list(paid))
    base = runs[next(iter(paid))]
    changes: list[dict[str, float | str]] = []
    for before, after in pairwise(f"{one.method} {one.delays}" for one in taken):
        change = runs[after] - runs[before]
        changes.append(
            {
                "delays": paid[after].delays,
                **_columns("share", paired_ratio(change, base, confidence)),
                "ratio": float(runs[after].mean() / base.mean()),
                "step_s": float(change.mean()) / 1000,
                "runs": len(runs),
            }
        )
    return changes
