"""JFFC: a session joins the fastest chain with a free place (docs/baselines.md#successor)."""

from __future__ import annotations

import numpy as np

from bprr.ground.caches import drop_ended
from bprr.ground.errors import InputError
from bprr.ground.request import Request, Route
from bprr.ground.schema import Strict
from bprr.placement.composed import ChainTable, chains_of
from bprr.placement.gca import greedy_chains
from bprr.routing.base import RoutingContext, RoutingPolicy, no_chain

__all__ = ["Jffc"]


class Jffc(RoutingPolicy, name="jffc"):
    """The fastest chain with a free place; chains by GCA where the placement has none."""

    hub_only = True
    holds_back = True

    def __init__(self, context: RoutingContext, options: Strict | None = None) -> None:
        super().__init__(context, options)
        if context.computing is None:
            raise InputError("routing", "jffc", "no service", "what servers compute by")
        self._chains: ChainTable | None = chains_of(context.placement)
        self._present = np.zeros(0)
        self._number: dict[bytes, int] = {}  # of a chain by its servers

    def route(self, request: Request, now_ms: float) -> Route:
        """Chain for a request that asks now; one that is to wait costs inf.

        Raises
        ------
        InfeasibleError
            If the placement has no chain.
        """
        chains, caches = self._known(request), self.context.caches.state
        fits = caches.capacity[chains.server] >= chains.blocks * request.cache_tokens
        usable = np.logical_and.reduceat(fits, chains.first[:-1]) if fits.size else fits
        if not usable.any():
            raise no_chain(self.context.placement, request)
        time_ms = chains.time_ms[request.client]
        drop_ended(caches, float(now_ms))
        open_ms = np.where(self._present + 1 <= chains.places, time_ms, np.inf)
        while True:
            chosen = int(open_ms.argmin())
            entries = slice(chains.first[chosen], chains.first[chosen + 1])
            servers, blocks = chains.server[entries], chains.blocks[entries]
            cost_ms = float(open_ms[chosen])
            if np.isinf(cost_ms) or (caches.free[servers] >= blocks * request.cache_tokens).all():
                break
            open_ms[chosen] = np.inf
        return Route(servers, blocks, cost_ms)

    def admitted(self, request: Request, route: Route) -> None:
        """A place is taken; of no chain by a session from before servers came or went."""
        self._known(request)
        number = self._number.get(route.servers.tobytes())
        if number is not None:
            self._present[number] += 1

    def ended(self, request: Request, route: Route) -> None:
        """A place is free."""
        number = self._number.get(route.servers.tobytes())
        if number is not None:
            self._present[number] -= 1

    def _known(self, request: Request) -> ChainTable:
        """The chains, once there is a request to share the caches out for."""
        if self._chains is None:
            placement, computing = self.context.placement, self.context.computing
            assert computing is not None
            self._chains = greedy_chains(placement, request, computing)
        if not self._number:
            self._present = np.zeros(self._chains.places.size)
            parts = np.split(self._chains.server, self._chains.first[1:-1])
            self._number = {servers.tobytes(): n for n, servers in enumerate(parts)}
        return self._chains
