"""Cache reserved whole for a session's full length, as in the paper and in PETALS."""

from __future__ import annotations

from bprr.ground.caches import Caches
from bprr.ground.request import Request, Route
from bprr.ground.swarm import IntArray
from bprr.simulation.charging.base import ChargingPolicy

__all__ = ["Whole"]


class Whole(ChargingPolicy, name="whole"):
    """One hold per server, from now to the end."""

    def needed(self, request: Request, route: Route) -> IntArray:
        """k_j blocks times the session's tokens."""
        return route.processed * request.cache_tokens

    def charge(
        self, caches: Caches, request: Request, route: Route, now_ms: float, end_ms: float
    ) -> None:
        """One hold per server, from now to the end."""
        caches.hold(route.servers, self.needed(request, route), end_ms, now_ms)
