"""What it costs to place blocks anew, and whether that pays."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from bprr.ground.swarm import IntArray

__all__ = ["Trade", "blocks_to_load"]


def blocks_to_load(
    first_before: IntArray, before: IntArray, first_block: IntArray, blocks: IntArray
) -> IntArray:
    """Blocks of each server's window that are not in the one it had before, shape (S,)."""
    end = np.minimum(first_before + before, first_block + blocks)
    same = np.maximum(end - np.maximum(first_before, first_block), 0)
    return blocks - np.where((before > 0) & (blocks > 0), same, 0)


class Trade(NamedTuple):
    """A new placement against the one that is there.

    Parameters
    ----------
    stay_ms, best_ms : float
        Mean time per token as it is, and on the new placement (ms); inf if none is served.
    rate_per_s, output_tokens : float
        Sessions.
    horizon_s : float
        For how long the new placement is expected to be of use.
    pause_s : float
        For how long servers load because of it.
    """

    stay_ms: float
    best_ms: float
    rate_per_s: float
    output_tokens: float
    horizon_s: float
    pause_s: float

    @property
    def faster(self) -> float:
        """By what share sessions become faster."""
        return self.stay_ms / self.best_ms - 1

    @property
    def saved_s(self) -> float:
        """Time of users that is saved within the horizon."""
        saved_ms = self.stay_ms - self.best_ms
        return self.rate_per_s * self.horizon_s * self.output_tokens * saved_ms / 1000

    @property
    def cost_s(self) -> float:
        """Time of users that the pause costs.

        Sessions that come meanwhile wait, and those that run start again.
        """
        session_s = self.stay_ms * self.output_tokens / 1000
        return self.rate_per_s * self.pause_s * (self.pause_s / 2 + session_s)

    def pays(self, hysteresis: float) -> bool:
        """Whether sessions become faster, and more is saved than lost, both by such a share."""
        if math.isinf(self.stay_ms) or math.isinf(self.best_ms):
            return self.best_ms < self.stay_ms
        return self.faster > hysteresis and self.saved_s > (1 + hysteresis) * self.cost_s
