"""When a session may start: `reserve` as in the paper, `retry` as in a deployed system."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from simpy import Environment

from bprr.ground.caches import Caches
from bprr.ground.errors import InfeasibleError
from bprr.ground.registry import Registry
from bprr.ground.request import Request, Route
from bprr.ground.swarm import IntArray
from bprr.placement.base import Placement
from bprr.routing.base import Router
from bprr.simulation.charging import CacheCharging

__all__ = [
    "Admission",
    "AdmissionContext",
    "BackOff",
    "Grant",
    "NoBackOff",
    "Service",
    "admission_policies",
]


@dataclass(frozen=True)
class BackOff:
    """Binary exponential back-off: gaps first, 2·first, 4·first, … up to a longest gap.

    Parameters
    ----------
    first_ms, longest_ms : float
        First and longest gap between attempts (section 5: 1 s and 60 s).
    """

    first_ms: float = 1_000.0
    longest_ms: float = 60_000.0

    def gaps_ms(self) -> Iterator[float]:
        """Endless gaps between attempts."""
        gap = self.first_ms
        while True:
            yield gap
            gap = min(2 * gap, self.longest_ms)

    def instant_ms(self, wait_ms: float) -> float:
        """First instant of an attempt that is not before ``wait_ms``; 0 if there is no wait."""
        if wait_ms <= 0:
            return 0.0
        instant = 0.0
        for gap in self.gaps_ms():
            instant += gap
            if gap == self.longest_ms and instant < wait_ms:
                # Equal gaps from here on: jump instead of counting through a long wait.
                instant += math.ceil((wait_ms - instant) / gap) * gap
            if instant >= wait_ms:
                return instant
        raise AssertionError("gaps never end")


class NoBackOff(BackOff):
    """A session starts as soon as its caches are free (the offline setting, section 6)."""

    def instant_ms(self, wait_ms: float) -> float:
        """The wait itself."""
        return max(wait_ms, 0.0)


class Service(NamedTuple):
    """Times of a session from its start on, allocation and initial delay included."""

    first_token_ms: float
    total_ms: float


class Grant(NamedTuple):
    """What admission grants: a chain whose caches are held from now on."""

    route: Route
    service: Service
    raw_wait_ms: float  # estimated at the first attempt, before back-off
    attempts: int


@dataclass(frozen=True)
class AdmissionContext:
    """What an admission policy is built from.

    Parameters
    ----------
    env : simpy.Environment
        Clock, in ms.
    placement : Placement
        Blocks and cache of every server, for policies that compose chains beforehand.
    router : Router
        Routing policy.
    caches : Caches
        State of the caches.
    charging : CacheCharging
        How a session's cache is charged.
    back_off : BackOff
        Gaps between attempts.
    service : callable
        Times of a session, for a request and its route.
    """

    env: Environment
    placement: Placement
    router: Router
    caches: Caches
    charging: CacheCharging
    back_off: BackOff
    service: Callable[[Request, Route], Service]


class Admission(Protocol):
    """Decides when a session starts and holds its caches.

    A central queue fits in as one more policy: `admit` yields an event of its own, and `completed`
    triggers the event of the request that may go next.
    """

    def __init__(self, context: AdmissionContext) -> None: ...

    def admit(self, request: Request) -> Generator[Any, Any, Grant]:
        """Yield SimPy events until the session may start; hold its caches; return the grant."""
        ...

    def completed(self, grant: Grant) -> None:
        """A session has ended and its caches are free."""
        ...


admission_policies: Registry[type[Admission]] = Registry("admission", "bprr.simulation")


def _wait_ms(context: AdmissionContext, route: Route, needed: IntArray) -> float:
    """Time until every server of a chain has room, if sessions end as entered.

    Raises
    ------
    InfeasibleError
        If a server's whole cache is too small; a routing policy that looks at no capacity (PETALS',
        the shortest path) may lead there.
    """
    now = context.env.now
    wait = context.caches.release_ms(route.servers, needed, now) - now
    if math.isinf(wait):
        capacity = context.caches.state.capacity[route.servers]
        worst = int((needed - capacity).argmax())
        raise InfeasibleError(
            "attention cache",
            f"{needed[worst] - capacity[worst]} of {needed[worst]} tokens of one block",
            f"server {route.servers[worst]}, where routing sends a request longer than its cache",
        )
    return wait


@admission_policies.register("reserve")
class Reserve:
    """Memory is reserved from arrival; the wait is the back-off instant after the estimated one."""

    def __init__(self, context: AdmissionContext) -> None:
        self._context = context

    def admit(self, request: Request) -> Generator[Any, Any, Grant]:
        """Route once, hold from arrival to the end, start at the back-off instant."""
        context = self._context
        now = context.env.now
        route = context.router.route(request, now)
        needed = context.charging.needed(request, route)
        raw_wait = _wait_ms(context, route, needed)
        wait = context.back_off.instant_ms(raw_wait)
        service = context.service(request, route)
        end = now + wait + service.total_ms
        context.charging.charge(context.caches, request, route, now, end)
        if wait > 0:
            yield context.env.timeout(wait)
        return Grant(route, service, raw_wait, 1)

    def completed(self, grant: Grant) -> None:
        """Nothing to do: the holds end by themselves."""


@admission_policies.register("retry")
class Retry:
    """Each attempt routes anew and allocates now, on every server or on none (section 6b)."""

    def __init__(self, context: AdmissionContext) -> None:
        self._context = context

    def admit(self, request: Request) -> Generator[Any, Any, Grant]:
        """Attempt at arrival and after every gap until every server has room."""
        context, raw_wait = self._context, -1.0
        for attempt, gap in enumerate(context.back_off.gaps_ms(), start=1):
            now = context.env.now
            route = context.router.route(request, now)
            needed = context.charging.needed(request, route)
            wait = _wait_ms(context, route, needed)
            raw_wait = wait if attempt == 1 else raw_wait
            if wait <= 0:
                service = context.service(request, route)
                end = now + service.total_ms
                context.charging.charge(context.caches, request, route, now, end)
                return Grant(route, service, raw_wait, attempt)
            yield context.env.timeout(gap)
        raise AssertionError("gaps never end")

    def completed(self, grant: Grant) -> None:
        """Nothing to do: the holds end by themselves."""
