"""Connections that never fall idle, or whose sender does not mind."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from bprr.ground.schema import NonNegative, Strict
from bprr.ground.swarm import FloatArray
from bprr.window.base import WindowPolicy

__all__ = ["Warm"]


class Warm(WindowPolicy, name="warm"):
    """Connections kept warm by small messages in between, or a sender without an idle rule."""

    class Options(Strict):
        """What is lost all the same."""

        lost_round_trips: NonNegative = Field(
            0.0, description="BBR, which paces what it sends: 0.5 measured"
        )

    def lost_round_trips(
        self, idle_ms: FloatArray, rtt_ms: FloatArray, frame_kb: FloatArray
    ) -> FloatArray:
        """The same on every leg, after any pause."""
        return np.full(np.shape(rtt_ms), float(self.options.lost_round_trips))
