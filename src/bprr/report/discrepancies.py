"""The register of discrepancies (``discrepancies.yaml``): switches, effects, decomposition.

The headline ratio is the time per token of the proposed method over PETALS'.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from bprr.report.measures import at, by_variant, point_ratios, wide
from bprr.report.results import Results
from bprr.settings.configuration import Refused, Strict, read_yaml, validated
from bprr.study.summary import Estimate, paired_ratio

__all__ = ["Discrepancy", "Register", "decomposition", "effects", "load_register"]

METRIC = "per_token_ms"


class Setting(Strict):
    """One side of a switch: a point of a sweep, and the two methods whose ratio is taken."""

    x: float | None = Field(None, description="point of the sweep; all of them if not given")
    method: str = "proposed"
    baseline: str = "petals"
    delays: str | None = Field(None, description="this variant instead of each in turn")


class Effect(Strict):
    """What a switch does to the headline ratio, read off a sweep."""

    sweep: str
    before: Setting = Setting()
    after: Setting = Setting()


class Discrepancy(Strict):
    """A difference between paper, artefact and this project.

    In ``cause``, ``{before}``, ``{after}`` and ``{effect}`` stand for the measured headline ratios
    and their difference, mean over the networks of the sweep.
    """

    id: str
    place: str
    statement: str
    switch: str = Field(description="what isolates it, here")
    cause: str = Field(description="one sentence for the claims that fail by it")
    effect: Effect | None = None


class Step(Strict):
    """A step from PETALS to the proposed method."""

    name: str
    method: str


class Decomposition(Strict):
    """Steps whose differences add up to the whole gain."""

    sweep: str
    x: float = Field(description="the headline point")
    baseline: str
    orders: dict[str, Annotated[list[Step], Field(min_length=1)]] = Field(
        description="steps in one order and another; the first one is the headline's"
    )


class Register(Strict):
    """The whole file."""

    decomposition: Decomposition
    discrepancies: list[Discrepancy]

    @model_validator(mode="after")
    def _ids_once(self) -> Register:
        ids = [entry.id for entry in self.discrepancies]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise Refused("discrepancies", twice, "each id once")
        return self


def load_register(path: Path) -> Register:
    """Read and check the register."""
    return validated(Register, read_yaml(path), path)


def sweep_files(results: Results, sweep: str) -> list[str]:
    """Files of a sweep that exist, relative to the results folder."""
    found = sorted(results.path("sweeps").glob(f"{sweep}_*.parquet"))
    return [f"sweeps/{path.name}" for path in found]


def effects(register: Register, results: Results) -> pd.DataFrame:
    """Measured effect of every switch on the headline ratio.

    Returns
    -------
    DataFrame
        One row per switch, network and variant of the delays: ``before`` and ``after`` with their
        intervals, and ``effect``, the difference.
    """
    rows = []
    for entry in register.discrepancies:
        if entry.effect is None:
            continue
        for name in sweep_files(results, entry.effect.sweep):
            means = results.means(name)
            for variant, _ in by_variant(means):
                two = [
                    _ratio(means, setting, variant, results.confidence)
                    for setting in (entry.effect.before, entry.effect.after)
                ]
                rows.append(
                    {
                        "discrepancy": entry.id,
                        "topology": str(means["topology"].iloc[0]),
                        "allocation_delays": variant,
                        **_columns("before", two[0]),
                        **_columns("after", two[1]),
                        "effect": two[1].value - two[0].value,
                    }
                )
    return pd.DataFrame(rows)


def _ratio(means: pd.DataFrame, setting: Setting, variant: str, confidence: float) -> Estimate:
    rows = at(means, {"allocation_delays": setting.delays or variant})
    rows = rows if setting.x is None else at(rows, {"x": setting.x})
    ratios = point_ratios(rows, confidence, setting.method, setting.baseline)
    return Estimate(*np.mean(ratios, axis=0).tolist()) if ratios else Estimate(*[np.nan] * 3)


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def decomposition(register: Register, results: Results) -> pd.DataFrame:
    """What each step adds, as a share of PETALS' time per token.

    The shares of a point add up to its headline ratio minus 1, over the runs feasible in all
    steps.

    Returns
    -------
    DataFrame
        One row per network, point, variant, order and step: ``share`` with its interval (negative:
        faster), ``ratio`` to the baseline after the step, ``step_s`` (s per token), ``runs``.
    """
    wanted = register.decomposition
    rows = []
    for name in sweep_files(results, wanted.sweep):
        for variant, means in by_variant(results.means(name)):
            for order, steps in wanted.orders.items():
                methods = [wanted.baseline, *(step.method for step in steps)]
                for x, point in means.groupby("x"):
                    runs = wide(point, methods)
                    place = {
                        "topology": str(point["topology"].iloc[0]),
                        "x": x,
                        "allocation_delays": variant,
                        "order": order,
                    }
                    rows += [
                        {**place, "step": step.name, "method": step.method, **change}
                        for step, change in zip(
                            steps, _changes(runs, methods, results.confidence), strict=True
                        )
                    ]
    return pd.DataFrame(rows)


def _changes(runs: pd.DataFrame, methods: list[str], confidence: float) -> list[dict[str, float]]:
    """What each method changes against the one before it, relative to the first."""
    base = runs[methods[0]]
    changes = []
    for before, after in pairwise(methods):
        change = runs[after] - runs[before]
        changes.append(
            {
                **_columns("share", paired_ratio(change, base, confidence)),
                "ratio": float(runs[after].mean() / base.mean()),
                "step_s": float(change.mean()) / 1000,
                "runs": len(runs),
            }
        )
    return changes
