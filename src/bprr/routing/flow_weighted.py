"""Round robin by flows, in the manner of Helix (docs/method.md#max-flow)."""

from __future__ import annotations

import numpy as np

from bprr.ground.caches import drop_ended
from bprr.ground.errors import InputError
from bprr.ground.request import Request, Route
from bprr.ground.schema import Strict
from bprr.placement.base import Flows
from bprr.routing.base import RoutingContext, RoutingPolicy, no_chain

__all__ = ["FlowWeighted"]

UNUSED = 1e-9  # of all that flows, below which a link is none


class FlowWeighted(RoutingPolicy, name="flow_weighted"):
    """From every position the links by turns, as much flows over each; those with room alone."""

    def __init__(self, context: RoutingContext, options: Strict | None = None) -> None:
        super().__init__(context, options)
        flows = context.placement.details.get("flows")
        if not isinstance(flows, Flows):
            allowed = "a placement with flows: max_flow"
            raise InputError("routing", "flow_weighted", "another placement", allowed)
        used = flows.per_s > UNUSED * flows.per_s.sum()
        self._flows = Flows(*(column[used] for column in flows))
        self._credit = np.zeros(self._flows.server.size)
        positions = range(context.placement.swarm.model.blocks)
        self._leaving = [np.flatnonzero(self._flows.start == p) for p in positions]

    def route(self, request: Request, now_ms: float) -> Route:
        """Chain for a request that asks now; where none has room, the one whose turn it is.

        Raises
        ------
        InfeasibleError
            If nothing flows.
        """
        caches, flows = self.context.caches.state, self._flows
        drop_ended(caches, float(now_ms))
        rooms = caches.free // request.cache_tokens, caches.capacity // request.cache_tokens
        for room in rooms:
            usable = room[flows.server] >= flows.end - flows.start
            chain = self._chain(usable)
            if chain is not None:
                links = np.array(chain)
                servers = flows.server[links]
                return Route(servers, (flows.end - flows.start)[links], 0.0)
        raise no_chain(self.context.placement, request)

    def _chain(self, usable: np.ndarray) -> list[int] | None:
        """Links whose turn it is, of those from which usable ones lead on to the end."""
        flows, blocks = self._flows, len(self._leaving)
        leads_on = np.zeros(blocks + 1, dtype=bool)
        leads_on[blocks] = True
        for position in range(blocks - 1, -1, -1):
            links = self._leaving[position]
            leads_on[position] = (usable[links] & leads_on[flows.end[links]]).any()
        if not leads_on[0]:
            return None
        position, chain = 0, []
        while position < blocks:
            links = self._leaving[position]
            links = links[usable[links] & leads_on[flows.end[links]]]
            chain.append(int(links[(self._credit + flows.per_s)[links].argmax()]))
            position = int(flows.end[chain[-1]])
        return chain

    def admitted(self, request: Request, route: Route) -> None:
        """It was their turn: the others of the same positions have more credit now."""
        flows, position = self._flows, 0
        for server, count in zip(route.servers.tolist(), route.processed.tolist(), strict=True):
            links = self._leaving[position]
            self._credit[links] += flows.per_s[links]
            taken = links[flows.server[links] == server][0]
            self._credit[taken] -= flows.per_s[links].sum()
            position += count
