"""Sessions whose lengths nobody knows beforehand: routing takes the mean for them."""

from __future__ import annotations

from collections.abc import Callable

from bprr.ground.errors import InputError
from bprr.ground.registry import Choice
from bprr.ground.request import Request, Route
from bprr.routing.base import RouterAround, RoutingPolicy

__all__ = ["mean_lengths"]


class _OfMeanLength(RouterAround):
    """A routing policy that is told of every session the same output tokens."""

    def __init__(self, router: RoutingPolicy, output_tokens: int) -> None:
        super().__init__(router)
        self._output_tokens = output_tokens

    def route(self, request: Request, now_ms: float) -> Route:
        return super().route(self._told(request), now_ms)

    def admitted(self, request: Request, route: Route) -> None:
        super().admitted(self._told(request), route)

    def ended(self, request: Request, route: Route) -> None:
        super().ended(self._told(request), route)

    def _told(self, request: Request) -> Request:
        return request._replace(output_tokens=self._output_tokens)


def mean_lengths(
    service: Choice, output_tokens: int, watch: Callable[[RoutingPolicy], RoutingPolicy] | None
) -> Callable[[RoutingPolicy], RoutingPolicy]:
    """What hides lengths from a routing policy, inside what else watches it.

    Raises
    ------
    InputError
        If servers tell lengths all the same, by when they expect sessions to end.
    """
    belief = getattr(service.options, "belief", None)
    if belief != "where_room":
        allowed = "one with belief: where_room, where lengths are not known (believed.lengths)"
        raise InputError("simulation", "service", service.name, allowed)

    def around(router: RoutingPolicy) -> RoutingPolicy:
        told = _OfMeanLength(router, output_tokens)
        return watch(told) if watch else told

    return around
