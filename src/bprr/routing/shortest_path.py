"""Shortest path regardless of load (step 3 of CG-BPRR, under a request's total time)."""

from __future__ import annotations

from dataclasses import replace

from bprr.ground.caches import Caches
from bprr.ground.request import Request, Route
from bprr.ground.schema import Strict
from bprr.routing.base import RoutingContext
from bprr.routing.positions import PositionRouter, shortest_with_worst_wait

__all__ = ["ShortestPath"]


class ShortestPath(PositionRouter, name="shortest_path"):
    """Fastest chain of an idle swarm, whatever is held now."""

    kernel = shortest_with_worst_wait

    def __init__(self, context: RoutingContext, options: Strict | None = None) -> None:
        idle = Caches(context.placement.cache_tokens)
        super().__init__(replace(context, caches=idle), options)
        self._routes: dict[Request, Route] = {}

    def route(self, request: Request, now_ms: float) -> Route:
        """Chain for a request; the same at any time, so it is computed once per kind of request."""
        if request not in self._routes:
            self._routes[request] = super().route(request, now_ms)
        return self._routes[request]
