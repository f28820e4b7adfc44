"""PETALS' routing, as the paper models it (docs/baselines.md#petals-as-modelled)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bprr.ground.caches import drop_ended
from bprr.ground.errors import InputError
from bprr.ground.request import Request, Route
from bprr.ground.schema import Milliseconds, Strict
from bprr.ground.swarm import IntArray
from bprr.routing.base import RoutingContext, RoutingPolicy
from bprr.routing.positions import no_chain

__all__ = ["PetalsRouting"]


@njit(cache=True)
def _shortest_hops(  # type: ignore[no-untyped-def]
    order, low, end, tau_ms, client_rtt_ms, server_rtt_ms, penalty_ms, overhead_ms, blocks
):
    """Dijkstra's distances over servers, in order of their end blocks (a link raises the end).

    Returns the last server of the shortest path (−1 if there is none) and each predecessor
    (−1: the client).
    """
    servers = low.shape[0]
    distance = np.full(servers, np.inf)
    previous = np.full(servers, -1, dtype=np.int64)
    last, best = -1, np.inf
    for i in range(order.shape[0]):
        server = order[i]
        own = overhead_ms + penalty_ms[server]
        if low[server] == 0:
            distance[server] = client_rtt_ms[server] / 2 + own + tau_ms[server] * end[server]
        for h in range(i):
            before = order[h]
            if low[server] <= end[before] < end[server]:
                work = tau_ms[server] * (end[server] - end[before])
                length = distance[before] + (server_rtt_ms[before, server] / 2 + own + work)
                nearer = previous[server] >= 0 and (distance[before] < distance[previous[server]])
                if length < distance[server] or (length == distance[server] and nearer):
                    distance[server], previous[server] = length, before
        if end[server] == blocks and distance[server] < np.inf:
            length = distance[server] + client_rtt_ms[server] / 2
            if length < best or (length == best and distance[server] < distance[last]):
                best, last = length, server
    return last, best, previous


class PetalsRouting(RoutingPolicy, name="petals"):
    """Shortest path under half round trips between servers, with a penalty where one looks full."""

    class Options(Strict):
        """Constants of PETALS' routing (docs/baselines.md)."""

        hop_overhead_ms: Milliseconds = 18.0
        full_penalty_ms: Milliseconds = 10_000.0

    def __init__(self, context: RoutingContext, options: Strict | None = None) -> None:
        super().__init__(context, options)
        placement = context.placement
        if placement.swarm.server_rtt_ms is None:
            raise InputError(
                "routing",
                "petals",
                f"{placement.swarm.servers} servers",
                "fewer servers: it needs the round trips between all pairs of them",
            )
        used = np.flatnonzero(placement.blocks > 0)
        self._order = used[np.argsort(placement.last_block[used], kind="stable")]
        self._low = placement.first_block - 1
        self._end = placement.last_block

    def route(self, request: Request, now_ms: float) -> Route:
        """Chain for a request that asks now.

        Raises
        ------
        InfeasibleError
            If some block is hosted nowhere.
        """
        placement, state = self.context.placement, self.context.caches.state
        swarm = placement.swarm
        drop_ended(state, float(now_ms))
        slots = placement.cache_tokens // request.cache_tokens
        capacity = slots // np.maximum(placement.blocks, 1)
        looks_full = self.looks_full(capacity - state.sessions)
        last, cost_ms, previous = _shortest_hops(
            self._order,
            self._low,
            self._end,
            swarm.tau_ms,
            swarm.raw_rtt_ms[request.client],
            swarm.server_rtt_ms,
            np.where(looks_full, self.options.full_penalty_ms, 0.0),
            self.options.hop_overhead_ms,
            swarm.model.blocks,
        )
        if last < 0:
            raise no_chain(placement, request)
        chain = [last]
        while previous[chain[-1]] >= 0:
            chain.append(previous[chain[-1]])
        servers = np.array(chain[::-1], dtype=np.int64)
        ends = self._end[servers]
        return Route(servers, np.diff(ends, prepend=0), cost_ms)

    def looks_full(self, free_sessions: IntArray) -> NDArray[np.bool_]:
        """Exactly zero, so an oversubscribed server looks free again (discrepancy 5)."""
        return free_sessions == 0
