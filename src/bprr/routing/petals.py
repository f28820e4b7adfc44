"""PETALS' routing, as the paper models it (docs/baselines.md#petals-as-modelled)."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from bprr.ground.caches import drop_ended_at
from bprr.ground.compiled import compiled, state_of
from bprr.ground.errors import InputError
from bprr.ground.schema import Milliseconds, Strict
from bprr.ground.swarm import FloatArray, IntArray
from bprr.routing.base import RoutingContext, RoutingPolicy

__all__ = ["PetalsRouting"]


@compiled
def _shortest_hops(  # type: ignore[no-untyped-def]
    hops, caches, request, now, out_server, out_processed
):
    """Dijkstra's distances over servers, in order of their end blocks (a link raises the end)."""
    low, end, distance, previous = hops.low, hops.end, hops.distance, hops.previous
    rtt_ms = hops.rtt_ms[request.client]
    last, best = -1, np.inf
    for i in range(hops.order.shape[0]):
        server = hops.order[i]
        drop_ended_at(caches, server, now)
        slots = caches.capacity[server] // request.cache_tokens // (end[server] - low[server])
        free = slots - caches.sessions[server]
        # Exactly zero, so an oversubscribed server looks free again (discrepancy 5).
        full = free <= 0 if hops.oversubscribed_is_full else free == 0
        own = hops.hop_overhead_ms + (hops.full_penalty_ms if full else 0.0)
        nearest, via = np.inf, -1
        if low[server] == 0:
            nearest = rtt_ms[server] / 2 + own + hops.tau_ms[server] * end[server]
        for h in range(hops.reach_first[i], hops.reach_last[i]):
            before = hops.order[h]
            work = hops.tau_ms[server] * (end[server] - end[before])
            length = distance[before] + (hops.server_rtt_ms[before, server] / 2 + own + work)
            nearer = via >= 0 and distance[before] < distance[via]
            if length < nearest or (length == nearest and nearer):
                nearest, via = length, before
        distance[server], previous[server] = nearest, via
        if end[server] == hops.blocks and nearest < np.inf:
            length = nearest + rtt_ms[server] / 2
            if length < best or (length == best and nearest < distance[last]):
                best, last = length, server
    length, server = 0, last
    while server >= 0:
        length, server = length + 1, previous[server]
    server = last
    for i in range(length - 1, -1, -1):
        via = previous[server]
        out_server[i] = server
        out_processed[i] = end[server] - (end[via] if via >= 0 else 0)
        server = via
    return length, best


@state_of(_shortest_hops)
class PetalsHops(NamedTuple):
    """State of the kernel: S servers, of which N host blocks."""

    order: IntArray  # (N,) servers by end block
    reach_first: IntArray  # (N,) those that can come before: [reach_first, reach_last) of order
    reach_last: IntArray
    low: IntArray  # (S,) first position a server may be entered from, a_j − 1
    end: IntArray  # (S,)
    tau_ms: FloatArray  # (S,)
    rtt_ms: FloatArray  # (C, S)
    server_rtt_ms: FloatArray  # (S, S)
    blocks: int
    hop_overhead_ms: float
    full_penalty_ms: float
    oversubscribed_is_full: bool
    distance: FloatArray  # (S,) scratch
    previous: IntArray  # (S,) scratch


class PetalsRouting(RoutingPolicy, name="petals"):
    """Shortest path under half round trips between servers, with a penalty where one looks full."""

    class Options(Strict):
        """Constants of PETALS' routing (docs/baselines.md)."""

        hop_overhead_ms: Milliseconds = Field(
            18.0, description="cost of a server beside its round trip and its blocks"
        )
        full_penalty_ms: Milliseconds = Field(
            10_000.0, description="cost of a server whose cache looks full"
        )

    oversubscribed_is_full: ClassVar[bool] = False

    def __init__(self, context: RoutingContext, options: Strict | None = None) -> None:
        super().__init__(context, options)
        placement, swarm = context.placement, context.placement.swarm
        if swarm.server_rtt_ms is None:
            raise InputError(
                "routing",
                "petals",
                f"{swarm.servers} servers",
                "fewer servers: it needs the round trips between all pairs of them",
            )
        used = np.flatnonzero(placement.blocks > 0)
        end = placement.last_block
        order = used[np.argsort(end[used], kind="stable")]
        low, ends = placement.first_block - 1, end[order]
        self.state = PetalsHops(
            order,
            np.searchsorted(ends, low[order]),
            np.searchsorted(ends, ends),
            low,
            end,
            swarm.tau_ms,
            swarm.raw_rtt_ms,
            swarm.server_rtt_ms,
            swarm.model.blocks,
            float(self.options.hop_overhead_ms),
            float(self.options.full_penalty_ms),
            self.oversubscribed_is_full,
            np.empty(swarm.servers),
            np.empty(swarm.servers, dtype=np.int64),
        )
