"""The placement over which most flows, in the manner of Helix (docs/method.md#max-flow)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import Field

from bprr.ground.errors import InfeasibleError
from bprr.ground.performance import conservative_blocks
from bprr.ground.schema import Count, Strict
from bprr.placement.base import Placement, PlacementPolicy, PlacementProblem
from bprr.placement.two_resource import candidates

__all__ = ["MaxFlow"]

MORE = 1e-6  # of a flow, by which another one is larger


class MaxFlow(PlacementPolicy, name="max_flow"):
    """Blocks laid end to end in the width of the largest flow, then moved while it grows."""

    class Options(Strict):
        """How far it is improved."""

        moves: Count = Field(60, description="servers tried elsewhere, by what flows through them")

    def place(self, problem: PlacementProblem) -> Placement:
        """Blocks and cache of every server, with the detail ``flows``.

        Raises
        ------
        InfeasibleError
            If the blocks do not fit with the cache of one session.
        """
        found = [each.placement for each in candidates(problem)]
        if not found:
            blocks = int(conservative_blocks(problem.swarm, 1, problem.session_tokens).sum())
            lacking = f"{max(problem.swarm.model.blocks - blocks, 1)} blocks"
            raise InfeasibleError("GPU memory", lacking, "max flow, with cache for one session")
        rates = [problem.capacity_per_s(each) for each in found]
        best = found[int(np.argmax(rates))]
        best = _moved(problem, best, max(rates), self.options.moves)
        return replace(best, details={**best.details, "flows": problem.flows(best)})


def _moved(problem: PlacementProblem, best: Placement, rate: float, moves: int) -> Placement:
    """Let servers through which least flows move to where least does, if that lets more flow."""
    swarm = problem.swarm
    flows = problem.flows(best)
    through = np.bincount(flows.server, flows.per_s * (flows.end - flows.start), swarm.servers)
    used = np.flatnonzero(best.blocks > 0)
    for server in used[np.argsort(through[used], kind="stable")][:moves].tolist():
        width = int(best.blocks[server])
        hosted = np.zeros(swarm.model.blocks)  # what can be computed of each block
        for j in used[used != server].tolist():
            first = int(best.first_block[j]) - 1
            hosted[first : first + int(best.blocks[j])] += 1.0 / (swarm.tau_ms[j] * best.blocks[j])
        windows = np.convolve(hosted, np.ones(width), mode="valid")
        first_block = best.first_block.copy()
        first_block[server] = int(windows.argmin()) + 1
        moved = replace(best, first_block=first_block)
        if (more := problem.capacity_per_s(moved)) > rate * (1 + MORE):
            best, rate = moved, more
    return best
