"""Chains that a placement is composed of, with what routing needs to know of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bprr.ground.request import Request
from bprr.ground.swarm import FloatArray, IntArray
from bprr.placement.base import Computing, Placement

__all__ = ["ChainTable", "chain_table", "chains_of"]


class ChainTable(NamedTuple):
    """P chains, one after another."""

    first: IntArray  # (P + 1,) chain p: entries [first[p], first[p + 1]) of the next two
    server: IntArray
    blocks: IntArray
    places: FloatArray  # (P,) sessions at once that it is meant for
    time_ms: FloatArray  # (C, P) of a session alone, from every client

    @property
    def disjoint(self) -> bool:
        """Whether no two chains share a server."""
        return np.unique(self.server).size == self.server.size


def chain_table(
    chains: Sequence[tuple[IntArray, IntArray]],
    places: Sequence[float] | FloatArray,
    request: Request,
    computing: Computing,
) -> ChainTable:
    """Chains, each its servers and the blocks they process, with the times of such a request."""
    hop_ms, block_ms = computing.session_terms_ms(request)
    none = np.zeros(0, dtype=np.int64)
    times_ms = [
        hop_ms[:, servers].sum(axis=1) + (blocks * block_ms[servers]).sum()
        for servers, blocks in chains
    ]
    return ChainTable(
        np.cumsum([0, *(servers.size for servers, _ in chains)]),
        np.concatenate([none, *(servers for servers, _ in chains)]),
        np.concatenate([none, *(blocks for _, blocks in chains)]),
        np.array(places, dtype=float),
        np.reshape(times_ms, (len(chains), hop_ms.shape[0])).T.copy(),
    )


def chains_of(placement: Placement) -> ChainTable | None:
    """Chains that a placement is composed of; none if it was made without any."""
    table = placement.details.get("chains")
    return table if isinstance(table, ChainTable) else None
