"""GCA: a cache shared out to chains, the fastest first (docs/baselines.md#successor)."""

from __future__ import annotations

import numpy as np

from bprr.ground.chains import ChainSearch
from bprr.ground.request import Request
from bprr.placement.base import Computing, Placement
from bprr.placement.composed import ChainTable, chain_table

__all__ = ["greedy_chains"]


def greedy_chains(placement: Placement, request: Request, computing: Computing) -> ChainTable:
    """Chains of a placement with their places, every cache slot in one of them at most.

    Times are means over clients where a chain is chosen.
    """
    search = ChainSearch.of(placement.first_block, placement.blocks, placement.swarm.model.blocks)
    hop_ms, block_ms = computing.session_terms_ms(request)
    left = placement.cache_tokens // request.cache_tokens
    chains, places = [], []
    while True:
        servers, blocks, time_ms = search.shortest(left, hop_ms.mean(axis=0), block_ms)
        if np.isinf(time_ms):
            break
        count = int((left[servers] // blocks).min())
        left[servers] -= count * blocks
        chains.append((servers, blocks))
        places.append(count)
    return chain_table(chains, places, request, computing)
