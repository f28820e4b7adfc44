"""Optimized Order (docs/baselines.md): an ablation that changes the joining order alone."""

from __future__ import annotations

from dataclasses import replace

from bprr.ground.performance import conservative_blocks
from bprr.placement.base import Placement, PlacementPolicy, PlacementProblem
from bprr.placement.cg_bp import cg_bp_order
from bprr.placement.petals import Petals

__all__ = ["PetalsCgBpOrder"]


class PetalsCgBpOrder(PlacementPolicy, name="petals_cg_bp_order"):
    """PETALS, servers joining by CG-BP's amortised time instead of at random."""

    def place(self, problem: PlacementProblem) -> Placement:
        """Blocks and cache of every server."""
        blocks = conservative_blocks(problem.swarm, problem.load, problem.session_tokens)
        order = cg_bp_order(problem.swarm, blocks)
        return Petals().place(replace(problem, join_order=order))
