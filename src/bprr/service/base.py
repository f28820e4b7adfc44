"""What a model of a server's computing must answer."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, ClassVar, NamedTuple

import numpy as np
from simpy import Environment

from bprr.ground.caches import Caches
from bprr.ground.performance import session_terms_ms
from bprr.ground.registry import SERVICE, Policy
from bprr.ground.request import Request, Route
from bprr.ground.schema import Strict
from bprr.ground.swarm import FloatArray, IntArray, Swarm
from bprr.routing.base import RoutingPolicy

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
    ends_are_known: ClassVar[bool] = True  # when a session starts

    def __init__(self, swarm: Swarm, delay_ms: float, options: Strict | None = None) -> None:
        self.swarm, self.delay_ms = swarm, delay_ms
        self.options: Any = options or self.Options()

    def times(self, request: Request, route: Route) -> ServiceTimes:
        """Times of a session that nobody disturbs, for a request and its route."""
        return ServiceTimes(*self.state.kernel(request, route.servers, route.processed))

    def session_terms_ms(self, request: Request) -> tuple[FloatArray, FloatArray]:
        """Terms of the time of a session that nobody disturbs (`performance.session_terms_ms`)."""
        return session_terms_ms(self.swarm, request.input_tokens, request.output_tokens)

    def least_work_ms(
        self, request: Request, server: IntArray, blocks: IntArray, slots: IntArray
    ) -> FloatArray:
        """Time that such a session takes of these servers at the best, beside others like it.

        Parameters
        ----------
        server, blocks, slots : ndarray of int64, shape (N,)
            Where, how many blocks it processes, and blocks of such sessions in the whole cache.
        """
        return np.zeros(server.size)

    def routing(self, router: RoutingPolicy, caches: Caches) -> RoutingPolicy:
        """Routing policy of a run, which is about to begin; perhaps something around it."""
        return router

    def admitted(
        self, request: Request, route: Route, units: IntArray, start_ms: float, end_ms: float
    ) -> int:
        """Take note of a session whose caches are held and that is expected to end then.

        Returns
        -------
        int
            What `serve` is told of it.
        """
        return 0

    def serve(
        self, env: Environment, session: int, expected: ServiceTimes
    ) -> Generator[Any, Any, ServiceTimes]:
        """Yield SimPy events until an admitted session, which starts now, ends; its times."""
        yield env.timeout(expected.total_ms)
        return expected

    def run(self, env: Environment) -> None:
        """Let the clock run out."""
        env.run()
