"""From an estimate and a comparison to a verdict; nothing here is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from math import isnan

from bprr.ground.intervals import Interval
from bprr.report.claims import Comparison

__all__ = ["Verdict", "agrees", "contradicts", "judge"]


class Verdict(StrEnum):
    """What became of a claim."""

    REPRODUCED = "reproduced"
    ONLY_WITH_DELAYS = "reproduced only with the artefact's delays"
    NOT_REPRODUCED = "not reproduced"
    CONTRADICTED = "contradicted"
    NOT_TESTABLE = "not testable here"
    REPORTED = "reported without a verdict"


def agrees(ours: Interval, compare: Comparison) -> bool:
    """Whether our value lies within the limits; a missing one never does.

    Of an order or a trend the whole interval has to, where there is one.
    """
    strict = compare.kind in ("order", "trend") and not isnan(ours.low)
    low, high = (ours.low, ours.high) if strict else (ours.value, ours.value)
    above = compare.low is None or low >= compare.low
    below = compare.high is None or high <= compare.high
    return not isnan(ours.value) and above and below


def contradicts(ours: Interval, compare: Comparison) -> bool:
    """Whether our whole interval lies where the claim is contradicted; without one, never."""
    below = compare.contradicted_below is not None and ours.high < compare.contradicted_below
    above = compare.contradicted_above is not None and ours.low > compare.contradicted_above
    return below or above


def judge(ours: Mapping[str, Interval], compare: Comparison, delayed: str | None) -> Verdict:
    """Verdict on a claim from our estimate per variant of the delays, ``delayed`` naming theirs.

    Reproduced if every variant agrees; only with the delays if that with them does and that
    without does not; contradicted if every variant contradicts. Where delays play no part the one
    estimate has another name; without any result nothing can be tested.
    """
    if not ours:
        return Verdict.NOT_TESTABLE
    held = {variant: agrees(estimate, compare) for variant, estimate in ours.items()}
    if all(held.values()):
        return Verdict.REPRODUCED
    if delayed is not None and held.get(delayed):
        return Verdict.ONLY_WITH_DELAYS
    if all(contradicts(estimate, compare) for estimate in ours.values()):
        return Verdict.CONTRADICTED
    return Verdict.NOT_REPRODUCED
