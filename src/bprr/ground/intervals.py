"""The one word for a number that is known only within limits."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Interval"]


class Interval(NamedTuple):
    """A value with the ends of its confidence interval; an end that nobody can tell is NaN."""

    value: float
    low: float
    high: float
