"""How a session's cache is charged over its life."""

from __future__ import annotations

from typing import Protocol

from simpy import Environment

from bprr.ground.caches import Caches
from bprr.ground.registry import Registry
from bprr.ground.request import Request, Route
from bprr.ground.swarm import IntArray

__all__ = ["CacheCharging", "Whole", "charging_policies"]


class CacheCharging(Protocol):
    """Charges the servers of a chain for one session.

    A cache that grows charges its first part here, and the later ones from a process of its own.
    """

    def __init__(self, env: Environment) -> None: ...

    def needed(self, request: Request, route: Route) -> IntArray:
        """Units that must be free at each server of the chain for the session to start."""
        ...

    def charge(
        self, caches: Caches, request: Request, route: Route, now_ms: float, end_ms: float
    ) -> None:
        """Enter the session's holds from now to its end."""
        ...


charging_policies: Registry[type[CacheCharging]] = Registry("cache charging", "bprr.simulation")


@charging_policies.register("whole")
class Whole:
    """Reserved whole for the session's full length, as in the paper and in PETALS."""

    def __init__(self, env: Environment) -> None:
        """Take the clock, which this way of charging does not need."""

    def needed(self, request: Request, route: Route) -> IntArray:
        """k_j blocks times the session's tokens."""
        return route.processed * request.cache_tokens

    def charge(
        self, caches: Caches, request: Request, route: Route, now_ms: float, end_ms: float
    ) -> None:
        """One hold per server, from now to the end."""
        caches.hold(route.servers, self.needed(request, route), end_ms, now_ms)
