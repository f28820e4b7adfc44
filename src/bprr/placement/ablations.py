"""Ablations of PETALS' placement (paper, section 7), each changing one thing, and their kin."""

from __future__ import annotations

from dataclasses import replace

from bprr.ground.performance import conservative_blocks
from bprr.placement.base import Placement, PlacementProblem, placement_policies
from bprr.placement.cg_bp import cg_bp_order
from bprr.placement.petals import block_gain, petals_blocks, petals_placement, petals_policy

__all__ = ["petals_with_cg_bp_number", "petals_with_cg_bp_order", "petals_with_leftover_cache"]


@placement_policies.register("petals_cg_bp_order")
def petals_with_cg_bp_order(problem: PlacementProblem) -> Placement:
    """Optimized Order: PETALS, servers joining by CG-BP's amortised time instead of at random."""
    blocks = _cg_bp_blocks(problem)
    return petals_policy(replace(problem, join_order=cg_bp_order(problem.swarm, blocks)))


@placement_policies.register("petals_cg_bp_number")
def petals_with_cg_bp_number(problem: PlacementProblem) -> Placement:
    """Optimized Number: PETALS with CG-BP's m_j, and all leftover memory as cache."""
    swarm, blocks = problem.swarm, _cg_bp_blocks(problem)
    return petals_placement(swarm, blocks, block_gain(swarm, blocks), problem.join_order)


@placement_policies.register("petals_leftover_cache")
def petals_with_leftover_cache(problem: PlacementProblem) -> Placement:
    """PETALS with its own m_j, and all leftover memory as cache instead of the fixed pool.

    Isolates cache accounting (discrepancy 6); also what the artefact runs as Optimized Number in
    its sweep over η (discrepancy 7).
    """
    swarm = problem.swarm
    blocks = petals_blocks(swarm, problem.block_cap)
    return petals_placement(swarm, blocks, block_gain(swarm, blocks), problem.join_order)


def _cg_bp_blocks(problem: PlacementProblem):  # type: ignore[no-untyped-def]
    return conservative_blocks(
        problem.swarm, problem.load, problem.session_tokens, problem.block_cap
    )
