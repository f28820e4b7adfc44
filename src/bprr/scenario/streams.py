"""Random numbers of one run, a stream of its own for every purpose."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Streams"]

# So that a change of one thing (the number of servers, say) leaves the other draws as they were.
PURPOSES = {"network": 0, "nodes": 1, "devices": 2, "join_order": 3, "arrivals": 4, "clients": 5}


class Streams(NamedTuple):
    """Streams of a run; the same seed and run give the same numbers, for every method."""

    seed: int
    run: int

    def of(self, purpose: str) -> np.random.Generator:
        """Fresh generator at the start of a purpose's stream."""
        key = (self.run, PURPOSES[purpose])
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
