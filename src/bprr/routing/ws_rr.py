"""WS-RR: waiting-penalised shortest-path request routing (paper, section 5)."""

from __future__ import annotations

from bprr.routing.base import RoutingContext, routing_policies
from bprr.routing.positions import PositionRouter, shortest_with_waits

__all__ = ["WsRr"]


@routing_policies.register("ws_rr")
class WsRr(PositionRouter):
    """Shortest chain under time plus the sum of the links' waits."""

    def __init__(self, context: RoutingContext) -> None:
        super().__init__(context.placement, context.caches, shortest_with_waits)
