"""PETALS' placement in a swarm that has run for long: servers have moved until none gains enough.

As shipped (docs/baselines.md): after a random wait each server works out how the swarm would settle
if it moved, and moves if the block that is served least would be served so much better. Here all
have done so, in the order of joining, before the first request comes.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from bprr.ground.compiled import compiled
from bprr.ground.schema import Count, Share, Strict
from bprr.placement.base import Placement, PlacementPolicy, PlacementProblem
from bprr.placement.petals import block_gain, petals_blocks, petals_placement, pool_cache_tokens
from bprr.placement.windows import least_served

__all__ = ["PetalsRebalanced"]


SETTLING_ROUNDS = 10  # servers may move for ever, each for as good a place
QUALITY_MARGIN = 1e-3


@compiled(_nrt=True)  # makes arrays
def _moved(server, start, width, gain, throughput):  # type: ignore[no-untyped-def]
    """Let a server leave, and join again; return whether it has chosen another window."""
    first = start[server]
    throughput[first : first + width[server]] -= gain[server]
    room = np.empty((2, width[server]))
    chosen = least_served(throughput, width[server], room[0], room[1])
    throughput[chosen : chosen + width[server]] += gain[server]
    start[server] = chosen
    return chosen != first


@compiled(_nrt=True)
def _settled_least(server, order, start, width, gain, throughput):  # type: ignore[no-untyped-def]
    """Least throughput of a block once a server has moved and all others have followed."""
    start, throughput = start.copy(), throughput.copy()
    if not _moved(server, start, width, gain, throughput):
        return 0.0
    for _ in range(SETTLING_ROUNDS):
        going = False
        for other in order:
            going |= _moved(other, start, width, gain, throughput)
        if not going:
            break
    return throughput.min()


@compiled(_nrt=True)
def rebalance(order, start, width, gain, throughput, quality, rounds):  # type: ignore[no-untyped-def]
    """Let servers move, in place; return how many times one has."""
    moves = 0
    for _ in range(rounds):
        before = moves
        for server in order:
            least = _settled_least(server, order, start, width, gain, throughput)
            if throughput.min() < (quality - QUALITY_MARGIN) * least:
                _moved(server, start, width, gain, throughput)
                moves += 1
        if moves == before:
            break
    return moves


class PetalsRebalanced(PlacementPolicy, name="petals_rebalanced"):
    """As `petals`, after the servers have moved."""

    class Options(Strict):
        """When a server moves."""

        balance_quality: Share = Field(
            0.75,
            description="least throughput of a block now, over what it would be, to move below",
        )
        rounds: Count = Field(20, description="most rounds of moving")

    def place(self, problem: PlacementProblem) -> Placement:
        """Blocks and cache of every server."""
        swarm = problem.swarm
        blocks = petals_blocks(swarm)
        gain, pool = block_gain(swarm, blocks), pool_cache_tokens(swarm.model, blocks)
        joined = petals_placement(swarm, blocks, gain, problem.join_order, pool)
        order = problem.join_order[blocks[problem.join_order] > 0]
        start = np.maximum(joined.first_block - 1, 0)
        throughput = np.array(joined.details["block_throughput"], dtype=float)
        options = self.options
        moves = rebalance(
            order, start, blocks, gain, throughput, options.balance_quality, options.rounds
        )
        return Placement(
            swarm,
            np.where(blocks > 0, start + 1, 0),
            blocks,
            pool,
            details={"block_throughput": throughput, "moves": moves},
        )
