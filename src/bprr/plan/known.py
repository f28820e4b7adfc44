"""Numbers that say how well they are known."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

__all__ = ["Grade", "Known", "weakest"]


class Grade(IntEnum):
    """Where a number comes from, the surest first."""

    MEASURED = 0
    CALIBRATED = 1
    ESTIMATED = 2

    @property
    def word(self) -> str:
        """For people and files."""
        return self.name.lower()


def weakest(grades: Iterable[Grade]) -> Grade:
    """Grade of what follows from numbers of these grades."""
    return max(grades, default=Grade.MEASURED)


class Known(NamedTuple):
    """A number between a low and a high end."""

    value: float
    low: float
    high: float
    grade: Grade

    @classmethod
    def of(cls, ends: Iterable[float], grade: Grade) -> Known:
        """Of the low end, the value and the high end, whose order a search may have changed."""
        low, value, high = ends
        return cls(value, min(low, value, high), max(low, value, high), grade)
