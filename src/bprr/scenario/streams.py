"""Random numbers of one run, a stream of its own for every purpose."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, NamedTuple, get_args

import numpy as np

__all__ = ["Purpose", "Streams"]

Purpose = Literal[
    "network", "nodes", "devices", "join_order", "arrivals", "clients", "churn", "beliefs"
]

# So that a change of one thing (the number of servers, say) leaves the other draws as they were.
PURPOSES: dict[Purpose, int] = {name: number for number, name in enumerate(get_args(Purpose))}


class Streams(NamedTuple):
    """Streams of a run; the same seed and run give the same numbers, for every method.

    Runs draw anew what is ``redrawn``, everything if that is not given; the rest is the first's.
    """

    seed: int
    run: int
    redrawn: Collection[Purpose] | None = None

    def of(self, purpose: Purpose) -> np.random.Generator:
        """Fresh generator at the start of a purpose's stream."""
        same = self.redrawn is not None and purpose not in self.redrawn
        key = (0 if same else self.run, PURPOSES[purpose])
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
