"""Binary exponential back-off of a session that must wait: first, 2·first, 4·first, … to a longest.

The kernels take the gaps, as anything with ``first_ms`` and ``longest_ms``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from pydantic import Field, model_validator

from bprr.ground.compiled import compiled
from bprr.ground.schema import Positive, Refused, Strict

__all__ = ["BackOff", "Gaps", "gap_ms", "instant_ms"]


class BackOff(Strict):
    """Gaps between attempts (docs/model.md)."""

    first_ms: Positive = Field(1_000.0, description="gap after the first attempt; doubles")
    longest_ms: Positive = Field(60_000.0, description="longest gap")

    @model_validator(mode="after")
    def _first_is_shortest(self) -> BackOff:
        if self.first_ms > self.longest_ms:
            allowed = f"at most longest_ms, which is {self.longest_ms:g}"
            raise Refused("first_ms", self.first_ms, allowed)
        return self


class Gaps(NamedTuple):
    """The same as kernels read it."""

    first_ms: float
    longest_ms: float


@compiled
def gap_ms(gaps, attempt):  # type: ignore[no-untyped-def]
    """Gap after an attempt, the first of which is 1."""
    gap = gaps.first_ms
    while attempt > 1 and gap != gaps.longest_ms:
        gap = min(2 * gap, gaps.longest_ms)
        attempt -= 1
    return gap


@compiled
def instant_ms(gaps, wait_ms):  # type: ignore[no-untyped-def]
    """First instant of an attempt that is not before ``wait_ms``; 0 if there is no wait."""
    if wait_ms <= 0:
        return 0.0
    instant = gap = gaps.first_ms
    while instant < wait_ms:
        if gap == gaps.longest_ms:
            # Equal gaps from here on: jump instead of counting through a long wait.
            instant += math.ceil((wait_ms - instant) / gap) * gap
        else:
            gap = min(2 * gap, gaps.longest_ms)
            instant += gap
    return instant
