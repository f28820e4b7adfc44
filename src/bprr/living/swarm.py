"""Which servers are up, and which have loaded the blocks that they are to host."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bprr.ground.swarm import FloatArray, IntArray
from bprr.living.moving import blocks_to_load
from bprr.placement.base import Placement

__all__ = ["LivingSwarm"]


class LivingSwarm:
    """A swarm, at first as it was placed.

    A server serves while it is up and nothing remains to be loaded. One that is away keeps its
    blocks for its return, unless it is given others.

    Parameters
    ----------
    placement : Placement
        Blocks and cache of every server.
    seconds_per_gb : float
        To load blocks.
    """

    def __init__(self, placement: Placement, seconds_per_gb: float) -> None:
        self.placement = placement
        self.up: NDArray[np.bool_] = np.ones(placement.swarm.servers, dtype=bool)
        self.loaded: NDArray[np.bool_] = self.up.copy()
        self._first, self._seconds_per_gb = placement, seconds_per_gb
        self._loads = np.zeros(placement.swarm.servers, dtype=np.int64)  # that have begun

    @property
    def serving(self) -> NDArray[np.bool_]:
        """Servers that serve, or would if they were given blocks, shape (S,)."""
        return self.up & self.loaded

    @property
    def whole(self) -> bool:
        """Whether all blocks of the placement are served as it has them."""
        return bool((self.serving | (self.placement.blocks == 0)).all())

    @property
    def as_first_placed(self) -> bool:
        """Whether it is as it was in the beginning."""
        return self.whole and self.placement is self._first

    def now(self) -> Placement:
        """What routing may use."""
        if self.as_first_placed:
            return self.placement
        serving, placement = self.serving, self.placement
        return replace(
            placement,
            blocks=np.where(serving, placement.blocks, 0),
            cache_tokens=np.where(serving, placement.cache_tokens, 0),
            details={},
        )

    def load_ms(self, placement: Placement) -> FloatArray:
        """Time for which each server that is up would load the blocks of another placement (ms)."""
        old, model = self.placement, placement.swarm.model
        before = np.where(self.loaded, old.blocks, 0)
        load = blocks_to_load(old.first_block, before, placement.first_block, placement.blocks)
        still = ~self.loaded & ~self._moved(placement)  # they go on loading
        return 1000 * self._seconds_per_gb * model.block_gb * np.where(self.up & ~still, load, 0)

    def fail(self, server: int) -> None:
        """A server goes away."""
        self.up[server] = self.loaded[server] = False
        self._loads[server] += 1

    def join(self, server: int) -> tuple[int, float]:
        """A server comes, and loads its blocks; see `begin`."""
        self.up[server] = True
        blocks = int(self.placement.blocks[server])
        gb = blocks * self.placement.swarm.model.block_gb
        return self._begin(server), 1000 * self._seconds_per_gb * gb

    def move(self, placement: Placement) -> dict[int, tuple[int, float]]:
        """Give servers the blocks of another placement.

        Returns
        -------
        dict
            Of every server that begins to load: the number of the load, and how long it takes (ms).
        """
        load_ms, moved = self.load_ms(placement), self._moved(placement) & self.up
        self.placement = placement
        self.loaded[moved] = False
        return {
            server: (self._begin(server), float(load_ms[server]))
            for server in np.flatnonzero(moved).tolist()
        }

    def end_load(self, server: int, number: int) -> bool:
        """A server has loaded its blocks; returns whether it still was to."""
        if self._loads[server] != number:
            return False
        self.loaded[server] = True
        return True

    def _begin(self, server: int) -> int:
        self._loads[server] += 1
        return int(self._loads[server])

    def _moved(self, placement: Placement) -> NDArray[np.bool_]:
        old = self.placement
        others = (placement.first_block != old.first_block) | (placement.blocks != old.blocks)
        return others & ((placement.blocks > 0) | (old.blocks > 0))

    def moved(self, placement: Placement) -> IntArray:
        """Servers that are up and would be given other blocks."""
        return np.flatnonzero(self._moved(placement) & self.up)
