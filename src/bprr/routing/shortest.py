"""Shortest path regardless of load (paper, section 4, step 3, under section 2's total time)."""

from __future__ import annotations

from bprr.ground.caches import Caches
from bprr.ground.request import Request, Route
from bprr.routing.base import RoutingContext, routing_policies
from bprr.routing.positions import PositionRouter, shortest_with_worst_wait

__all__ = ["ShortestPath"]


@routing_policies.register("shortest_path")
class ShortestPath(PositionRouter):
    """Fastest chain of an idle swarm, whatever is held now."""

    def __init__(self, context: RoutingContext) -> None:
        idle = Caches(context.placement.cache_tokens)
        super().__init__(context.placement, idle, shortest_with_worst_wait)
        self._routes: dict[Request, Route] = {}

    def route(self, request: Request, now_ms: float) -> Route:
        """Chain for a request; the same at any time, so it is computed once per kind of request."""
        if request not in self._routes:
            self._routes[request] = super().route(request, now_ms)
        return self._routes[request]
