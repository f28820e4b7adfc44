"""PETALS with another account of its cache: isolates discrepancy 6 (docs/discrepancies.md#d6).

It is also what the artefact runs as Optimized Number in its sweep over η (discrepancy 7).
"""

from __future__ import annotations

from bprr.placement.base import Placement, PlacementPolicy, PlacementProblem
from bprr.placement.petals import block_gain, petals_blocks, petals_placement

__all__ = ["PetalsLeftoverCache"]


class PetalsLeftoverCache(PlacementPolicy, name="petals_leftover_cache"):
    """PETALS with its own m_j, and all leftover memory as cache instead of the fixed pool."""

    def place(self, problem: PlacementProblem) -> Placement:
        """Blocks and cache of every server."""
        swarm = problem.swarm
        blocks = petals_blocks(swarm)
        return petals_placement(swarm, blocks, block_gain(swarm, blocks), problem.join_order)
