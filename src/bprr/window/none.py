"""No windows: the paper's model."""

from __future__ import annotations

import numpy as np

from bprr.ground.swarm import FloatArray
from bprr.window.base import WindowPolicy

__all__ = ["NoWindow"]


class NoWindow(WindowPolicy, name="none"):
    """Frames of any size leave at once."""

    def lost_round_trips(
        self, idle_ms: FloatArray, rtt_ms: FloatArray, frame_kb: FloatArray
    ) -> FloatArray:
        """None."""
        return np.zeros(np.shape(rtt_ms))
