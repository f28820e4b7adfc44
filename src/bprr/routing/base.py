"""What a routing policy is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bprr.ground.caches import Caches
from bprr.ground.errors import InfeasibleError
from bprr.ground.registry import ROUTING, Policy
from bprr.ground.request import Request, Route
from bprr.ground.schema import Strict
from bprr.placement.base import Computing, Placement

__all__ = ["RouterAround", "RoutingContext", "RoutingPolicy", "no_chain"]


@dataclass(frozen=True)
class RoutingContext:
    """What a routing policy is built from.

    Parameters
    ----------
    placement : Placement
        Blocks and cache of every server.
    caches : Caches
        Who holds how much of them, shared with the simulation.
    computing : Computing, optional
        How servers compute.
    """

    placement: Placement
    caches: Caches
    computing: Computing | None = None


class RoutingPolicy(Policy, registry=ROUTING):
    """Base of all routing policies, bound to a placement and its caches.

    A policy brings a compiled kernel, or has a `route` of its own, which only SimPy can call. The
    kernel is `compiled`, and ``state`` is its first argument, a `NamedTuple` of arrays and numbers
    whose class is the `state_of` it::

        kernel(state, caches, request, now_ms, servers, processed) -> (length, cost_ms)

    It reads the `CacheState` and the `Request`, writes the chain into the first ``length`` places
    of two int64 arrays with room for L entries, and returns length 0 if there is none. It may keep
    scratch space in its state.

    A policy that `holds_back` may answer with a cost of inf: the request is to ask again, as if its
    chain had no room, whatever the caches say.

    One that is ``hub_only`` goes by what each server takes, whatever came before it on a chain.
    """

    state: Any = None
    holds_back: bool = False
    hub_only: ClassVar[bool] = False

    def __init__(self, context: RoutingContext, options: Strict | None = None) -> None:
        self.context = context
        self.options: Any = options or self.Options()

    def meet(self, client: int) -> None:
        """Prepare the state for requests of a client."""

    def admitted(self, request: Request, route: Route) -> None:
        """Take note of a session that has been admitted to a chain; SimPy alone tells."""

    def ended(self, request: Request, route: Route) -> None:
        """Take note of the end of such a session."""

    def route(self, request: Request, now_ms: float) -> Route:
        """Chain for a request that asks now; `InfeasibleError` if there is none."""
        self.meet(request.client)
        chain = np.empty((2, self.context.placement.swarm.model.blocks), dtype=np.int64)
        caches = self.context.caches.state
        length, cost_ms = self.state.kernel(caches, request, float(now_ms), *chain)
        if length == 0:
            raise no_chain(self.context.placement, request)
        servers, processed = chain[:, :length]
        return Route(servers, processed, cost_ms)


class RouterAround(RoutingPolicy):
    """A routing policy around another one, which it asks."""

    def __init__(self, router: RoutingPolicy) -> None:
        super().__init__(router.context, router.options)
        self._router, self.holds_back = router, router.holds_back

    def admitted(self, request: Request, route: Route) -> None:
        """Take note of a session that has been admitted to a chain."""
        self._router.admitted(request, route)

    def ended(self, request: Request, route: Route) -> None:
        """Take note of the end of such a session."""
        self._router.ended(request, route)

    def route(self, request: Request, now_ms: float) -> Route:
        """Chain for a request that asks now; `InfeasibleError` if there is none."""
        return self._router.route(request, now_ms)


def no_chain(placement: Placement, request: Request) -> InfeasibleError:
    """Error that says why a request has no chain: blocks hosted nowhere, or caches too small."""
    used = placement.blocks > 0
    hosted = np.zeros(placement.swarm.model.blocks + 2, dtype=bool)
    for first, last in zip(placement.first_block[used], placement.last_block[used], strict=True):
        hosted[first : last + 1] = True
    absent = np.flatnonzero(~hosted[1:-1]) + 1
    if absent.size:
        named = ", ".join(map(str, absent[:8])) + (", …" if absent.size > 8 else "")
        return InfeasibleError(
            "GPU memory",
            f"{absent.size} of {placement.swarm.model.blocks} blocks hosted nowhere",
            f"blocks {named}",
        )
    largest = int(placement.cache_tokens.max(initial=0))
    return InfeasibleError(
        "attention cache",
        f"room for {request.cache_tokens} tokens in every block of a chain",
        f"the largest cache holds {largest} tokens of one block",
    )
