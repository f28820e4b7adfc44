"""TCP as Linux ships it: cubic or reno, whose window shrinks while a connection idles."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from bprr.ground.schema import NonNegative, Positive, Strict
from bprr.ground.swarm import FloatArray
from bprr.window.base import WindowPolicy

__all__ = ["IdleRestart"]


class IdleRestart(WindowPolicy, name="idle_restart"):
    """The window halves per retransmission timeout of idling, then doubles per round trip."""

    class Options(Strict):
        """Linux' defaults."""

        initial_kb: Positive = Field(14.5, description="ten segments of 1448 bytes")
        least_timeout_ms: NonNegative = Field(
            200.0, description="of retransmission, beside the round trip"
        )

    def lost_round_trips(
        self, idle_ms: FloatArray, rtt_ms: FloatArray, frame_kb: FloatArray
    ) -> FloatArray:
        """Round trips until the growing window has let the whole frame out."""
        timeouts = np.floor(np.maximum(idle_ms, 0.0) / (self.options.least_timeout_ms + rtt_ms))
        halved = frame_kb * 0.5 ** np.minimum(timeouts, 1000.0)
        window = np.maximum(np.minimum(self.options.initial_kb, frame_kb), halved)
        # The windows sent are W, 2 W, 4 W, …; the sum reaches the frame after so many.
        return np.maximum(np.ceil(np.log2(frame_kb / window + 1.0)) - 1.0, 0.0)
