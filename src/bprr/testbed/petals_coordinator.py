"""Central queue of one client position: which chain a session joins, and when (docs/method.md)."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = ["Coordinator"]


class Coordinator:
    """First come, first served: the head of the queue joins a chain once its rule allows one.

    Parameters
    ----------
    rule : mapping
        ``routing`` (`pipe` or `jffc`) with its options, and of each chain ``places``, ``time_ms``
        and the ``slots`` of its caches. If these are null they are learned: as many sessions as
        were left when a server refused one, and one more after as many have ended.
    """

    def __init__(self, rule: Mapping[str, Any]) -> None:
        self._rule = rule
        self._places: Sequence[float] = rule["places"]
        self._time_ms: Sequence[float] = rule["time_ms"]
        unlimited = [math.inf] * len(self._places)
        self._learns = rule.get("slots", unlimited) is None
        self._slots: list[float] = list(rule.get("slots") or unlimited)
        self._present = [0] * len(self._places)
        self._changed = threading.Condition()
        self._next = self._head = 0

    @contextmanager
    def joined(self):  # type: ignore[no-untyped-def]
        """Wait for a chain and keep a place of it; its number."""
        with self._changed:
            ticket, self._next = self._next, self._next + 1
            self._changed.wait_for(lambda: ticket == self._head and self._open() is not None)
            chain = self._open()
            assert chain is not None
            self._present[chain] += 1
            self._head += 1
            self._changed.notify_all()
        change = -1.0
        try:
            yield chain
            change = 1.0 / self._slots[chain]
        finally:
            with self._changed:
                self._present[chain] -= 1
                if self._learns:
                    few = min(self._slots[chain], self._present[chain])
                    self._slots[chain] = max(few, 1) if change < 0 else self._slots[chain] + change
                self._changed.notify_all()

    def _open(self) -> int | None:
        """Chain to join now; none if the head of the queue is to wait."""
        rule, most = self._rule, math.inf
        full = [
            (n + 1) / c if n < s else most
            for n, c, s in zip(self._present, self._places, self._slots, strict=True)
        ]
        if rule["routing"] == "jffc":
            costs = [t if f <= 1 else most for t, f in zip(self._time_ms, full, strict=True)]
        else:
            weight, back = rule["weight"], rule["hold_back"]
            within = [
                f <= rule["most_full"] or (n == 0 and back and f < most)
                for f, n in zip(full, self._present, strict=True)
            ]
            costs = [
                t * (1 + weight * f * f) if w else most
                for t, f, w in zip(self._time_ms, full, within, strict=True)
            ]
            if not any(within) and not back:
                costs = list(full)
        least = min(costs)
        return None if least == most else costs.index(least)
