"""What a model of a server's computing must answer."""

from __future__ import annotations

from typing import Any, NamedTuple

from bprr.ground.registry import SERVICE, Policy
from bprr.ground.request import Request, Route
from bprr.ground.schema import Strict
from bprr.ground.swarm import Swarm

__all__ = ["ServicePolicy", "ServiceTimes"]


class ServiceTimes(NamedTuple):
    """Times of a session from its start on, allocation and initial delay included."""

    first_token_ms: float
    total_ms: float


class ServicePolicy(Policy, registry=SERVICE):
    """How long sessions take on their chains, once they have started.

    A policy brings a compiled kernel, or has a `times` of its own, which only SimPy can call. The
    kernel is `compiled`, and ``state`` is its first argument, a `NamedTuple` whose class is the
    `state_of` it::

        kernel(state, request, servers, processed) -> (first_token_ms, total_ms)

    Parameters
    ----------
    swarm : Swarm
        Servers and clients.
    delay_ms : float
        What every request pays before its first token: allocation and initial delay.
    """

    state: Any = None

    def __init__(self, swarm: Swarm, delay_ms: float, options: Strict | None = None) -> None:
        self.swarm, self.delay_ms = swarm, delay_ms
        self.options: Any = options or self.Options()

    def times(self, request: Request, route: Route) -> ServiceTimes:
        """Times of a session, for a request and its route."""
        return ServiceTimes(*self.state.kernel(request, route.servers, route.processed))
