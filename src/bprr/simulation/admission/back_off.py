"""Binary exponential back-off of a session that must wait."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bprr.ground.schema import Positive, Strict

__all__ = ["BackOff"]


class BackOff(Strict):
    """Gaps between attempts: first, 2·first, 4·first, … up to a longest gap (docs/model.md)."""

    first_ms: Positive = 1_000.0
    longest_ms: Positive = 60_000.0

    def gaps_ms(self) -> Iterator[float]:
        """Endless gaps between attempts."""
        gap = self.first_ms
        while True:
            yield gap
            gap = min(2 * gap, self.longest_ms)

    def instant_ms(self, wait_ms: float) -> float:
        """First instant of an attempt that is not before ``wait_ms``; 0 if there is no wait."""
        if wait_ms <= 0:
            return 0.0
        instant = 0.0
        for gap in self.gaps_ms():
            instant += gap
            if gap == self.longest_ms and instant < wait_ms:
                # Equal gaps from here on: jump instead of counting through a long wait.
                instant += math.ceil((wait_ms - instant) / gap) * gap
            if instant >= wait_ms:
                return instant
        raise AssertionError("gaps never end")
