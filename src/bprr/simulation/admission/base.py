"""What an admission policy is built from and what it grants."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from simpy import Environment, Event

from bprr.ground.caches import Caches
from bprr.ground.errors import InfeasibleError
from bprr.ground.registry import ADMISSION, Policy
from bprr.ground.request import Request, Route
from bprr.ground.schema import Strict
from bprr.ground.swarm import IntArray
from bprr.placement.base import Placement
from bprr.routing.base import RoutingPolicy
from bprr.service.base import ServicePolicy, ServiceTimes
from bprr.simulation.charging.base import ChargingPolicy

__all__ = ["AdmissionContext", "AdmissionPolicy", "Grant", "too_long"]


class Grant(NamedTuple):
    """What admission grants: a chain whose caches are held from now on."""

    route: Route
    service: ServiceTimes
    raw_wait_ms: float  # estimated at the first attempt, before back-off
    attempts: int
    session: int = 0  # what the service calls it


@dataclass(frozen=True)
class AdmissionContext:
    """What an admission policy is built from.

    Parameters
    ----------
    env : simpy.Environment
        Clock, in ms.
    placement : Placement
        Blocks and cache of every server, for policies that compose chains beforehand.
    router : RoutingPolicy
        Finds a request's chain.
    caches : Caches
        Who holds how much of them.
    charging : ChargingPolicy
        How a session's cache is charged.
    service : ServicePolicy
        How long a session takes.
    """

    env: Environment
    placement: Placement
    router: RoutingPolicy
    caches: Caches
    charging: ChargingPolicy
    service: ServicePolicy

    def grant(
        self, request: Request, route: Route, delay_ms: float, raw_wait_ms: float, attempts: int
    ) -> Grant:
        """Hold the caches of a session that starts after a delay, until it is expected to end."""
        now_ms, expected = self.env.now, self.service.times(request, route)
        start_ms = now_ms + delay_ms
        end_ms = start_ms + expected.total_ms
        self.charging.charge(self.caches, request, route, now_ms, end_ms)
        units = self.charging.needed(request, route)
        session = self.service.admitted(request, route, units, start_ms, end_ms)
        self.router.admitted(request, route)
        return Grant(route, expected, raw_wait_ms, attempts, session)


def too_long(servers: IntArray, needed: IntArray, capacity: IntArray) -> InfeasibleError:
    """Error of a session that a server's whole cache is too small for.

    A routing policy that looks at no capacity (PETALS', the shortest path) may lead there.
    """
    missing = needed - capacity[servers]
    worst = int(missing.argmax())
    return InfeasibleError(
        "attention cache",
        f"{missing[worst]} of {needed[worst]} tokens of one block",
        f"server {servers[worst]}, where routing sends a request longer than its cache",
    )


@dataclass
class _Asking:
    """A request, and what it has been granted."""

    request: Request
    attempts: int = 0
    raw_wait_ms: float = 0.0
    grant: Any = None
    turn: Event | None = None  # in the queue


class AdmissionPolicy(Policy, registry=ADMISSION):
    """Decides when a session starts and holds its caches.

    A policy brings a compiled kernel, or has methods of its own, which only SimPy can call. The
    kernel is `compiled`, and ``state`` is its first argument, a `NamedTuple` whose class is the
    `state_of` it::

        kernel(state, wait_ms, attempt) -> (granted, delay_ms)

    At every attempt a request is routed anew; ``wait_ms`` is the time until every server of the
    chain has room if sessions end as entered, inf if routing holds the request back; attempts count
    from 1. If granted, the caches are
    held from now on and the session starts after the delay. Otherwise the next attempt comes after
    the delay; if that is inf, the request queues, and so do those that arrive later. The head of
    the queue attempts whenever a session ends, and starts at once if granted.
    """

    queues: ClassVar[bool] = False  # whether the kernel ever answers inf
    needs_known_ends: ClassVar[bool] = False  # of all sessions, once they have been admitted
    ends_holds: ClassVar[bool] = False  # itself, when sessions end
    state: Any = None

    def __init__(self, context: AdmissionContext, options: Strict | None = None) -> None:
        self.context = context
        self.options: Any = options or self.Options()
        self._queue: deque[_Asking] = deque()

    def admit(self, request: Request) -> Generator[Any, Any, Grant]:
        """Yield SimPy events until the session may start; hold its caches; return the grant."""
        env, asking = self.context.env, _Asking(request)
        granted, delay_ms = (False, math.inf) if self._queue else self._attempt(asking)
        while not granted and delay_ms < math.inf:
            yield env.timeout(delay_ms)
            granted, delay_ms = self._attempt(asking)
        if not granted:
            asking.turn = env.event()
            self._queue.append(asking)
            yield asking.turn
        elif delay_ms > 0:
            yield env.timeout(delay_ms)
        return asking.grant  # type: ignore[no-any-return]

    def completed(self, grant: Grant) -> None:
        """A session has ended and its caches are free."""
        self.attempt_queued()

    def attempt_queued(self) -> None:
        """Let those at the head of the queue attempt, until one is not granted."""
        while self._queue and self._attempt(self._queue[0])[0]:
            self._queue.popleft().turn.succeed()  # type: ignore[union-attr]

    def _attempt(self, asking: _Asking) -> tuple[bool, float]:
        context, request, now = self.context, asking.request, self.context.env.now
        route = context.router.route(request, now)
        needed = context.charging.needed(request, route)
        wait_ms = context.caches.release_ms(route.servers, needed, now) - now
        if math.isinf(route.cost_ms):
            wait_ms = math.inf  # held back
        elif math.isinf(wait_ms):
            raise too_long(route.servers, needed, context.caches.state.capacity)
        elif wait_ms <= 0 and not context.charging.starts(
            context.caches, request, route, context.service, now
        ):
            wait_ms = math.inf
        asking.attempts += 1
        if asking.attempts == 1:
            asking.raw_wait_ms = wait_ms
        granted, delay_ms = self.state.kernel(wait_ms, asking.attempts)
        if granted:
            asking.grant = context.grant(
                request, route, delay_ms, asking.raw_wait_ms, asking.attempts
            )
        return granted, delay_ms
