"""Optimized Number (docs/baselines.md): an ablation of the number of blocks, and of the cache."""

from __future__ import annotations

from bprr.ground.performance import conservative_blocks
from bprr.placement.base import Placement, PlacementPolicy, PlacementProblem
from bprr.placement.petals import block_gain, petals_placement

__all__ = ["PetalsCgBpNumber"]


class PetalsCgBpNumber(PlacementPolicy, name="petals_cg_bp_number"):
    """PETALS with CG-BP's m_j, and all leftover memory as cache."""

    def place(self, problem: PlacementProblem) -> Placement:
        """Blocks and cache of every server."""
        swarm = problem.swarm
        blocks = conservative_blocks(swarm, problem.load, problem.session_tokens)
        return petals_placement(swarm, blocks, block_gain(swarm, blocks), problem.join_order)
