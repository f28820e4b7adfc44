"""What an admission policy is built from and what it grants."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, NamedTuple

from simpy import Environment

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

__all__ = ["AdmissionContext", "AdmissionPolicy", "Grant", "wait_ms"]


class Grant(NamedTuple):
    """What admission grants: a chain whose caches are held from now on."""

    route: Route
    service: ServiceTimes
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


class AdmissionPolicy(Policy, registry=ADMISSION):
    """Decides when a session starts and holds its caches.

    A central queue fits in as one more policy: `admit` yields an event of its own, and `completed`
    triggers the event of the request that may go next.
    """

    def __init__(self, context: AdmissionContext, options: Strict | None = None) -> None:
        self.context = context
        self.options: Any = options or self.Options()

    @abstractmethod
    def admit(self, request: Request) -> Generator[Any, Any, Grant]:
        """Yield SimPy events until the session may start; hold its caches; return the grant."""

    def completed(self, grant: Grant) -> None:
        """A session has ended and its caches are free; nothing to do, holds end by themselves."""


def wait_ms(context: AdmissionContext, route: Route, needed: IntArray) -> float:
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
