"""The scorecard: every claim beside our number, with a verdict and one sentence of cause."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri

from bprr.ground.errors import InputError
from bprr.ground.intervals import Interval
from bprr.report.claims import Claim, Comparison, Kind
from bprr.report.discrepancies import (
    MeasuredEffect,
    Register,
    causes,
    decomposition,
    effects,
)
from bprr.report.measures import MEASURES
from bprr.report.results import Results
from bprr.report.verdicts import Verdict, agrees, judge
from bprr.settings.configuration import Settings

__all__ = ["Scorecard", "check_claims", "make_scorecard", "planned_files"]

MISSING = Interval(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class Scorecard:
    """What the report shows: claims with verdicts, effects of switches, steps of the gain."""

    claims: pd.DataFrame
    effects: pd.DataFrame
    decomposition: pd.DataFrame
    causes: dict[str, str]  # a sentence per entry of the register, its numbers filled in
    headline_x: float  # point of the decomposition that the summary shows
    results: Results  # what it was made from

    @property
    def counts(self) -> dict[str, int]:
        """Number of claims per verdict, in the order of `Verdict`."""
        number = Counter(self.claims["verdict"])
        return {str(verdict): number[str(verdict)] for verdict in Verdict}

    @property
    def by_kind(self) -> pd.DataFrame:
        """Number of claims per kind (rows) and verdict (columns), without empty ones."""
        table = pd.crosstab(self.claims["kind"], self.claims["verdict"])
        kinds = [str(kind) for kind in Kind if str(kind) in table.index]
        verdicts = [str(verdict) for verdict in Verdict if str(verdict) in table.columns]
        return table.loc[kinds, verdicts]


def planned_files(settings: Settings) -> set[str]:
    """Files below the results folder that a configuration's sweeps produce."""
    return {
        f"sweeps/{name}_{topology}.parquet"
        for name, sweep in settings.sweeps.items()
        for topology in sweep.topologies
    }


def check_claims(
    claims: Sequence[Claim], register: Register, rules: Collection[str], files: Collection[str]
) -> None:
    """Refuse (`InputError`) the first claim that cannot be judged.

    Nothing produces its file (``rules`` of the workflow, ``files`` below the results folder), its
    measure or arguments do not exist, or its cause is not in the register.
    """
    known = {entry.id for entry in register.discrepancies}
    for claim in claims:
        key = f"claims.{claim.id}"
        if claim.rule not in rules:
            raise InputError("claims", f"{key}.rule", claim.rule, "a rule of the workflow")
        for name in claim.files:
            if name not in files:
                allowed = "a file that the workflow produces"
                raise InputError("claims", f"{key}.files", name, allowed)
        for name in claim.causes.values():
            if name not in known:
                raise InputError("claims", f"{key}.causes", name, ", ".join(sorted(known)))
        if claim.measure is not None:
            _check_measure("claims", key, claim.measure, claim.arguments)
    for entry in register.discrepancies:
        if isinstance(entry.effect, MeasuredEffect):
            for side, taken in (("before", entry.effect.before), ("after", entry.effect.after)):
                key = f"discrepancies.{entry.id}.effect.{side}"
                _check_measure("discrepancies", key, entry.effect.measure, taken.arguments)


def _check_measure(where: str, key: str, name: str, arguments: Mapping[str, object]) -> None:
    if name not in MEASURES:
        raise InputError(where, f"{key}.measure", name, ", ".join(MEASURES))
    try:
        inspect.signature(MEASURES[name]).bind(None, [], **arguments)
    except TypeError as error:
        raise InputError(where, f"{key}.arguments", str(error), "its parameters") from None


def make_scorecard(claims: Sequence[Claim], register: Register, results: Results) -> Scorecard:
    """Judge every claim (`each_claim`); one whose file is missing is not testable here."""
    measured = effects(register, results)
    sentences = causes(register, measured, results.caption)
    return Scorecard(
        pd.DataFrame([_row(claim, register, results, sentences) for claim in claims]),
        measured,
        decomposition(register, results),
        sentences,
        register.decomposition.x,
        results,
    )


def _row(
    claim: Claim, register: Register, results: Results, sentences: dict[str, str]
) -> dict[str, object]:
    absent = [str(results.path(name)) for name in claim.files if not results.path(name).exists()]
    ours: dict[str, Interval] = {}
    if claim.measure is not None and not absent:
        ours = MEASURES[claim.measure](results, claim.files, **claim.arguments)
        ours = {name: one for name, one in ours.items() if not np.isnan(one.value)}
    caption = results.caption
    without = ours.get(caption.undelayed or "", MISSING)
    main = next((one for name, one in ours.items() if name != caption.undelayed), without)
    value = _published(claim, results)
    error = _standard_error(main, results.confidence)
    known = error if claim.value_error is None else claim.value_error
    compare = claim.compare and claim.compare.around(value, float(np.hypot(error, known)))
    verdict = Verdict.REPORTED if claim.no_verdict and ours else Verdict.NOT_TESTABLE
    if compare is not None and not claim.not_testable and not claim.no_verdict:
        # A printed number is judged under the delays that it was printed for.
        delayed = {name: one for name, one in ours.items() if name == caption.delayed}
        by = delayed if claim.kind is Kind.PRINTED and delayed else ours
        verdict = judge(by, compare, caption.delayed)
    held = "" if compare is None or np.isnan(without.value) else agrees(without, compare)
    value = float("nan") if value is None else value
    if claim.not_testable or verdict in (Verdict.REPRODUCED, Verdict.REPORTED):
        cause = claim.not_testable or claim.no_verdict
    elif verdict is Verdict.NOT_TESTABLE:
        cause = f"this run has no {', '.join(absent)}" if absent else "no feasible run"
    elif verdict is Verdict.ONLY_WITH_DELAYS:
        cause = sentences[claim.causes.get("only_with_delays", register.only_with_delays)]
    else:
        cause = sentences.get(claim.causes.get("default", ""), "unexplained")
    return {
        "id": claim.id,
        "kind": str(claim.kind),
        "place": claim.place,
        "statement": claim.statement,
        "unit": claim.unit,
        "published": value,
        "published_text": claim.value_text,
        "agrees_within": "" if compare is None else _limits(compare),
        "ours": main.value,
        "ours_low": main.low,
        "ours_high": main.high,
        "ours_without_delays": without.value,
        "ours_without_delays_low": without.low,
        "ours_without_delays_high": without.high,
        "difference": main.value - value,
        "difference_percent": 100 * (main.value / value - 1) if value else float("nan"),
        "verdict": str(verdict),
        "holds_without_delays": held,
        "cause": cause,
        "rule": claim.rule,
        "files": " ".join(claim.files),
        "minutes": claim.minutes,
    }


def _published(claim: Claim, results: Results) -> float | None:
    """The published value; of a claim about printed cells its own measure of them."""
    if claim.value_from is None or claim.measure is None:
        return claim.value
    printed = results.printed(claim.value_from)
    measured = MEASURES[claim.measure](printed, claim.files, **claim.arguments)
    return next(iter(measured.values()), MISSING).value


def _standard_error(estimate: Interval, confidence: float) -> float:
    """Standard error of an estimate, nearly: as if its interval were a normal one."""
    return (estimate.high - estimate.low) / 2 / float(ndtri((1 + confidence) / 2))


def _limits(compare: Comparison) -> str:
    low = "" if compare.low is None else f"{compare.low:.4g}"
    high = "" if compare.high is None else f"{compare.high:.4g}"
    if low and high:
        return f"{low} to {high}"
    return f"at least {low}" if low else f"at most {high}"
