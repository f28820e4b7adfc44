"""PETALS' routing as shipped: what clients have been told, and what they have measured.

See docs/baselines.md. A server's free cache is what it announced last, as far as the client has
fetched that; a round trip is known once the client has pinged the server. Servers that refused are
left out from the next refresh on.
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from bprr.ground.caches import drop_ended_at
from bprr.ground.compiled import compiled
from bprr.ground.errors import InputError
from bprr.ground.request import Request, Route
from bprr.ground.schema import Count, Milliseconds, Positive, Strict
from bprr.routing.base import RoutingContext, RoutingPolicy, no_chain

__all__ = ["PetalsShipped"]


@compiled
def _shortest_part(  # type: ignore[no-untyped-def]
    order, low, end, own_ms, block_ms, way_ms, server_way_ms, start, goal, distance, previous
):
    """Shortest way from one position to another; the last server on it, −1 if there is none.

    ``order`` holds the servers by end block. A server may end at the goal before its range does.
    """
    last, best = -1, np.inf
    for i in range(order.shape[0]):
        server = order[i]
        distance[server], previous[server] = np.inf, -1
        until = min(end[server], goal)
        if low[server] <= start < until:
            work = block_ms[server] * (until - start)
            distance[server] = way_ms[server] + own_ms[server] + work
        for h in range(i):
            before = order[h]
            if end[before] < goal and low[server] <= end[before] < until:
                work = block_ms[server] * (until - end[before])
                length = distance[before] + server_way_ms[before, server] + own_ms[server]
                if length + work < distance[server]:
                    distance[server], previous[server] = length + work, before
        if until == goal and distance[server] + way_ms[server] < best:
            best, last = distance[server] + way_ms[server], server
    return last, best


class PetalsShipped(RoutingPolicy, name="petals_shipped"):
    """Shortest path under half round trips and announced throughputs."""

    class Options(Strict):
        """Constants of PETALS, and the switch of a defect."""

        hop_overhead_ms: Milliseconds = Field(
            18.0, description="cost of a server beside its round trip and its blocks"
        )
        full_penalty_ms: Milliseconds = Field(
            10_000.0, description="cost of a server whose cache looks full"
        )
        unknown_way_ms: Milliseconds = Field(
            150.0, description="of one way, half a round trip, where a server was not pinged"
        )
        longest_way_ms: Positive = Field(5_000.0, description="a longer way counts as this")
        announce_ms: Positive = Field(
            60_000.0, description="how often servers announce their free cache"
        )
        refresh_ms: Positive = Field(60_000.0, description="how often clients read that, and ping")
        pings: Count = Field(
            3,
            description="of servers for the first, for a middle and for the last place of a chain",
        )
        first_pings_are_lost: bool = Field(
            True, description="as in 2.2.0.post1: those for the middle replace them"
        )
        ban_ms: Positive = Field(
            15_000.0,
            description="of a server that failed once and runs no session of the client; doubles",
        )
        seed: int = Field(
            0, description="of the phases of announcements and of the choice of pings"
        )

    def __init__(self, context: RoutingContext, options: Strict | None = None) -> None:
        super().__init__(context, options)
        placement, swarm = context.placement, context.placement.swarm
        if swarm.server_rtt_ms is None:
            allowed = "fewer servers: it needs the round trips between all pairs of them"
            raise InputError("routing", "petals_shipped", f"{swarm.servers} servers", allowed)
        self._used = np.flatnonzero(placement.blocks > 0)
        self._low, self._end = placement.first_block - 1, placement.last_block
        block = np.arange(swarm.model.blocks)
        self._hosts = (self._low[:, None] <= block) & (block < self._end[:, None])  # (S, L)
        self._block_ms = 1000.0 / swarm.inference_rps
        self._server_way_ms = np.minimum(swarm.server_rtt_ms / 2, self.options.longest_way_ms)
        self._rng = np.random.default_rng([self.options.seed, *placement.first_block.tolist()])
        self._phase_ms = self._rng.uniform(0, self.options.announce_ms, swarm.servers)
        self._announced = placement.cache_tokens.copy()
        self._announced_ms = np.full(swarm.servers, -math.inf)
        shape = (swarm.clients, swarm.servers)
        self._seen = np.tile(self._announced, (swarm.clients, 1))
        self._is_pinged = np.zeros(shape, dtype=np.bool_)
        self._refreshes_ms = np.zeros(swarm.clients)
        self._banned_until_ms = np.zeros(shape)
        self._failures, self._running = np.zeros((2, *shape), dtype=np.int64)
        # Hosts of each block since the last refresh, without those that failed, and who is routed.
        self._listed = np.tile(self._hosts, (swarm.clients, 1, 1))
        self._routed = np.tile(placement.blocks > 0, (swarm.clients, 1))

    def route(self, request: Request, now_ms: float) -> Route:
        """Chain for a request that asks now.

        Raises
        ------
        InfeasibleError
            If some block is hosted nowhere.
        """
        servers, processed, cost_ms = self.part(
            request, 0, self.context.placement.swarm.model.blocks, now_ms
        )
        return Route(servers, processed, cost_ms)

    def part(self, request: Request, start: int, goal: int, now_ms: float) -> Route:
        """Servers for blocks start + 1 … goal, the last of which may host more.

        Raises
        ------
        InfeasibleError
            If some of the blocks is hosted nowhere.
        """
        self.look(now_ms)
        options, client, placement = self.options, request.client, self.context.placement
        needed = request.cache_tokens * placement.blocks
        full_ms = np.where(needed > self._seen[client], options.full_penalty_ms, 0.0)
        way_ms = np.minimum(placement.swarm.raw_rtt_ms[client] / 2, options.longest_way_ms)
        way_ms = np.where(self._is_pinged[client], way_ms, options.unknown_way_ms)
        distance = np.empty(way_ms.size)
        previous = np.empty(way_ms.size, dtype=np.int64)
        asked = np.flatnonzero(self._routed[client])
        last, cost_ms = _shortest_part(
            asked[np.argsort(np.minimum(self._end[asked], goal), kind="stable")],
            self._low,
            self._end,
            full_ms + options.hop_overhead_ms,
            self._block_ms,
            way_ms,
            self._server_way_ms,
            start,
            goal,
            distance,
            previous,
        )
        if last < 0:
            raise no_chain(placement, request)
        chain = [int(last)]
        while previous[chain[-1]] >= 0:
            chain.append(int(previous[chain[-1]]))
        servers = np.array(chain[::-1], dtype=np.int64)
        ends = np.minimum(self._end[servers], goal)
        return Route(servers, np.diff(ends, prepend=start), cost_ms)

    def failed(self, client: int, server: int, now_ms: float) -> None:
        """A server has refused a client, which leaves it out from its next refresh on.

        That comes at once if a block has nobody else. A session that runs there lifts the ban by
        its next token.
        """
        self.look(now_ms)
        if self._banned_until_ms[client, server] <= now_ms and not self._running[client, server]:
            pause_ms = self.options.ban_ms * 2.0 ** int(self._failures[client, server])
            self._failures[client, server] += 1
            self._banned_until_ms[client, server] = now_ms + pause_ms
        self._listed[client, server] = False
        if not self._listed[client].any(axis=0).all():
            self._refresh(client, now_ms)

    def succeeded(self, client: int, server: int) -> None:
        """A server has answered a client."""
        self._failures[client, server] = 0
        self._banned_until_ms[client, server] = 0.0

    def admitted(self, request: Request, route: Route) -> None:
        """Take note of a session, which servers answer from now on."""
        for server in route.servers.tolist():
            self.succeeded(request.client, server)
            self._running[request.client, server] += 1

    def ended(self, request: Request, route: Route) -> None:
        """Take note of its end."""
        np.subtract.at(self._running[request.client], route.servers, 1)

    def look(self, now_ms: float) -> None:
        """Let servers announce and clients refresh up to now; before every change of the caches."""
        for client in range(self._refreshes_ms.size):
            while self._refreshes_ms[client] <= now_ms:
                self._refresh(client, float(self._refreshes_ms[client]))
        self._announce(now_ms)

    def _refresh(self, client: int, now_ms: float) -> None:
        """Read what was announced; a banned server is left out of blocks that others host too."""
        self._announce(now_ms)
        self._seen[client] = self._announced
        free = self._hosts & (self._banned_until_ms[client] <= now_ms)[:, None]
        self._listed[client] = np.where(free.any(axis=0), free, self._hosts)
        self._routed[client] = self._listed[client].any(axis=1)
        self._ping(client)
        self._refreshes_ms[client] = now_ms + self.options.refresh_ms

    def _announce(self, now_ms: float) -> None:
        every_ms, state = self.options.announce_ms, self.context.caches.state
        last_ms = self._phase_ms + every_ms * np.floor((now_ms - self._phase_ms) / every_ms)
        due = (last_ms > self._announced_ms) & (last_ms >= 0)
        for server in np.flatnonzero(due).tolist():
            drop_ended_at(state, server, float(last_ms[server]))
            self._announced[server] = state.free[server]
        self._announced_ms[due] = last_ms[due]

    def _ping(self, client: int) -> None:
        """Ping some servers for each place of a chain; PETALS samples them anew each time."""
        low, end = self._low[self._used], self._end[self._used]
        blocks = self.context.placement.swarm.model.blocks
        first, last = self._used[low == 0], self._used[end == blocks]
        middle = self._used[(low < blocks - 1) & (end > 1)]
        places = [middle, last] if self.options.first_pings_are_lost else [first, middle, last]
        for place in places:
            count = min(self.options.pings, place.size)
            self._is_pinged[client, self._rng.choice(place, count, replace=False)] = True
