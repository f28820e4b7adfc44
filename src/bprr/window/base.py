"""What a model of the sender's window must answer (docs/wan.md#window)."""

from __future__ import annotations

from typing import Any

from bprr.ground.registry import WINDOW, Policy
from bprr.ground.schema import Strict
from bprr.ground.swarm import FloatArray

__all__ = ["WindowPolicy"]


class WindowPolicy(Policy, registry=WINDOW):
    """How many round trips a frame waits for acknowledgements, beside its own way."""

    def __init__(self, options: Strict | None = None) -> None:
        self.options: Any = options or self.Options()

    def lost_round_trips(
        self, idle_ms: FloatArray, rtt_ms: FloatArray, frame_kb: FloatArray
    ) -> FloatArray:
        """Round trips lost on each leg.

        Parameters
        ----------
        idle_ms : ndarray
            Time since the connection last sent; infinite on a connection that never did.
        rtt_ms, frame_kb : ndarray
            Round trip of the leg, size of the frame (kB = 1000 bytes).
        """
        raise NotImplementedError
