"""What a way of charging caches must answer."""

from __future__ import annotations

from typing import Any, ClassVar

from simpy import Environment

from bprr.ground.caches import Caches
from bprr.ground.registry import CHARGING, Policy
from bprr.ground.request import Request, Route
from bprr.ground.schema import Strict
from bprr.ground.swarm import IntArray
from bprr.service.base import ServicePolicy

__all__ = ["ChargingPolicy"]


class ChargingPolicy(Policy, registry=CHARGING):
    """Charges the servers of a chain for one session.

    A policy that holds the same share from a session's start to its end brings a compiled kernel:
    it is `compiled`, and ``state`` is its first argument, a `NamedTuple` whose class is the
    `state_of` it::

        kernel(state, request) -> tokens of each processed block

    Others have methods of their own, which only SimPy can call. Where a cache `grows`, a request
    asks for its first part alone, and for the others as it goes (`bprr.living.growing`).
    """

    state: Any = None
    grows: ClassVar[bool] = False

    def __init__(self, env: Environment, options: Strict | None = None) -> None:
        self.env = env
        self.options: Any = options or self.Options()

    def needed(self, request: Request, route: Route) -> IntArray:
        """Units that must be free at each server of the chain for the session to start."""
        return route.processed * self.state.kernel(request)  # type: ignore[no-any-return]

    def starts(
        self, caches: Caches, asked: Request, route: Route, service: ServicePolicy, now_ms: float
    ) -> bool:
        """Whether a session may start on a chain that has room for it."""
        return True

    def charge(
        self, caches: Caches, request: Request, route: Route, now_ms: float, end_ms: float
    ) -> None:
        """Enter the session's holds from now to its end."""
        caches.hold(route.servers, self.needed(request, route), end_ms, now_ms)
