"""Routing in a swarm whose servers come and go."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bprr.ground.errors import InfeasibleError
from bprr.ground.performance import hosts_of_blocks
from bprr.ground.registry import ROUTING, Choice
from bprr.ground.request import Request, Route
from bprr.living.swarm import LivingSwarm
from bprr.routing.base import RouterAround, RoutingContext, RoutingPolicy

__all__ = ["LivingRouter"]

NO_ROUTE = Route(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.inf)


class LivingRouter(RouterAround):
    """A routing policy that is built anew whenever the servers that serve have changed.

    A request for which they have no chain is held back: its cost is inf.

    Parameters
    ----------
    router : RoutingPolicy
        The policy on the first placement.
    routing : Choice or str
        The same, to be built.
    swarm : LivingSwarm
        Who serves.
    """

    def __init__(self, router: RoutingPolicy, routing: Choice | str, swarm: LivingSwarm) -> None:
        super().__init__(router)
        self._routing, self._swarm = routing, swarm
        self._covered, self._seen = True, (swarm.placement, swarm.serving.tobytes())
        self.settled = False  # nothing about the swarm is to change any more

    def renew(self, running: Iterable[tuple[Request, Route]]) -> None:
        """Look at the swarm as it is now, on which some sessions run."""
        seen = (self._swarm.placement, self._swarm.serving.tobytes())
        if seen[0] is self._seen[0] and seen[1] == self._seen[1]:
            return
        self._seen = seen
        placement, known = self._swarm.now(), self._router.context
        blocks = placement.swarm.model.blocks
        hosts = hosts_of_blocks(placement.first_block, placement.blocks, blocks)
        self._covered = bool((hosts > 0).all())
        if not self._covered:
            return
        context = RoutingContext(placement, known.caches, known.computing)
        self._router = ROUTING.build(self._routing, context)
        for each in running:
            self._router.admitted(*each)

    def route(self, request: Request, now_ms: float) -> Route:
        """Chain for a request that asks now; of no servers if there is none now.

        Raises
        ------
        InfeasibleError
            If there is none, and will be none.
        """
        last = self.settled or self._swarm.as_first_placed
        if not self._covered:
            if last:
                raise InfeasibleError("servers", "a host of every block", "the others do not join")
            return NO_ROUTE
        try:
            route = self._router.route(request, now_ms)
        except InfeasibleError:
            if last:
                raise
            return NO_ROUTE
        capacity = self._router.context.placement.cache_tokens[route.servers]
        fits = (route.processed * request.cache_tokens <= capacity).all()
        return route if last or fits else NO_ROUTE
