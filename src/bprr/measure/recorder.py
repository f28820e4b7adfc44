"""Collects the rows of a trace in the order in which they are observed (no torch needed)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from bprr.measure.plan import Visit
from bprr.measure.trace import UNITS

__all__ = ["Recorder"]


@dataclass
class Recorder:
    """Rows so far, and the moment the run began."""

    rows: list[dict[str, object]] = field(default_factory=list)
    start_s: float = field(default_factory=time.perf_counter)

    def elapsed_s(self) -> float:
        """Time since the run began (s)."""
        return time.perf_counter() - self.start_s

    def add(
        self, visit: Visit, value: float, turn: int = 0, repeat: int = 0, payload_bytes: int = 0
    ) -> None:
        """Append one observation.

        Parameters
        ----------
        visit : Visit
            Setting under which it was made.
        value : float
            What was observed, in the unit of its experiment.
        turn, repeat : int
            Round of the run, and repeat within the visit.
        payload_bytes : int
            Bytes sent or serialised.
        """
        self.rows.append(
            {
                "order": len(self.rows),
                "round": turn,
                "repeat": repeat,
                "elapsed_s": self.elapsed_s(),
                "experiment": visit.experiment,
                "blocks": visit.blocks,
                "context_tokens": visit.context_tokens,
                "input_tokens": visit.input_tokens,
                "batch": visit.batch,
                "sessions": visit.sessions,
                "payload_bytes": payload_bytes,
                "value": value,
                "unit": UNITS[visit.experiment],
            }
        )
