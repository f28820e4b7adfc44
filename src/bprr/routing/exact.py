"""Exact routing: the true wait of a chain is the largest of its links' (paper, sections 5, 15)."""

from __future__ import annotations

from bprr.routing.base import RoutingContext, routing_policies
from bprr.routing.positions import PositionRouter, shortest_with_worst_wait

__all__ = ["ExactRouting"]


@routing_policies.register("exact")
class ExactRouting(PositionRouter):
    """Chain of the earliest estimated completion."""

    def __init__(self, context: RoutingContext) -> None:
        super().__init__(context.placement, context.caches, shortest_with_worst_wait)
