"""Routing that goes with the placement that was chosen (docs/method.md)."""

from __future__ import annotations

from bprr.ground.errors import InputError
from bprr.ground.registry import ROUTING, Choice
from bprr.ground.schema import Strict
from bprr.routing.base import RouterAround, RoutingContext

__all__ = ["BestRouting"]


class BestRouting(RouterAround, name="best"):
    """The routing that the placement `best` has chosen with its blocks."""

    hub_only = True

    def __init__(self, context: RoutingContext, options: Strict | None = None) -> None:
        routing = context.placement.details.get("routing")
        if not isinstance(routing, Choice):
            raise InputError("routing", "best", "another placement", "placement best with it")
        super().__init__(ROUTING.build(routing, context))
