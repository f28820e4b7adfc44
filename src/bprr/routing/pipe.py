"""PIPE's routing: a session joins a chain for good (docs/method.md)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pydantic import Field

from bprr.ground.caches import drop_ended_at
from bprr.ground.compiled import compiled, state_of
from bprr.ground.errors import InputError
from bprr.ground.schema import NonNegative, Positive, Strict
from bprr.placement.composed import ChainTable, chains_of
from bprr.routing.base import RoutingContext, RoutingPolicy

__all__ = ["PipeRouting"]


@compiled
def _chain_to_join(pipe, caches, request, now, out_server, out_processed):  # type: ignore[no-untyped-def]
    chains, tokens = pipe.chains, request.cache_tokens
    time_ms = chains.time_ms[request.client]
    within, least_ms, beyond, least = -1, np.inf, -1, np.inf
    for p in range(chains.places.shape[0]):
        has_room = True
        for i in range(chains.first[p], chains.first[p + 1]):
            server = chains.server[i]
            drop_ended_at(caches, server, now)
            if caches.free[server] < chains.blocks[i] * tokens:
                has_room = False
                break
        if not has_room:
            continue
        present = caches.sessions[chains.server[chains.first[p]]]
        full = (present + 1) / chains.places[p]
        if full <= pipe.most_full or (present == 0 and pipe.holds_back):
            cost_ms = time_ms[p] * (1 + pipe.weight * full * full)
            if cost_ms < least_ms:
                within, least_ms = p, cost_ms
        elif full < least:
            beyond, least = p, full
    chosen, cost_ms = within, least_ms
    if within < 0:
        chosen, cost_ms = beyond, np.inf if pipe.holds_back else least
    if chosen < 0:  # no chain has room
        for p in range(chains.places.shape[0]):
            full = caches.sessions[chains.server[chains.first[p]]] / chains.places[p]
            if full < least:
                chosen, least = p, full
    length = chains.first[chosen + 1] - chains.first[chosen]
    for i in range(length):
        out_server[i] = chains.server[chains.first[chosen] + i]
        out_processed[i] = chains.blocks[chains.first[chosen] + i]
    return length, cost_ms


@state_of(_chain_to_join)
class PipeState(NamedTuple):
    """State of the kernel."""

    chains: ChainTable
    most_full: float
    weight: float
    holds_back: bool


class PipeRouting(RoutingPolicy, name="pipe"):
    """The chain of the least time, longer the fuller it is, among those that are not full."""

    hub_only = True

    class Options(Strict):
        """When a chain is full, and what happens then.

        A chain with n sessions and c places is full to (n + 1)/c. If all are fuller than
        ``most_full``, the least full one is joined; or the request is held back (PIPE-F).
        """

        most_full: Positive = Field(
            1.15, description="sessions over places beyond which a chain is full"
        )
        weight: NonNegative = Field(
            0.1, description="w: a chain that is full to f costs (1 + w·f²) times its time"
        )
        hold_back: bool = Field(
            False,
            description="if all are full, let requests wait (PIPE-F), not join the least full",
        )

    def __init__(self, context: RoutingContext, options: Strict | None = None) -> None:
        super().__init__(context, options)
        chains = chains_of(context.placement)
        if chains is None or not chains.disjoint:
            allowed = "a placement of disjoint chains: pipe"
            raise InputError("routing", "pipe", "another placement", allowed)
        own = self.options
        self.holds_back = own.hold_back
        self.state = PipeState(chains, float(own.most_full), float(own.weight), own.hold_back)
