"""WS-RR: waiting-penalised shortest-path request routing (docs/model.md)."""

from __future__ import annotations

from bprr.routing.positions import PositionRouter, shortest_with_waits

__all__ = ["WsRr"]


class WsRr(PositionRouter, name="ws_rr"):
    """Shortest chain under time plus the sum of the links' waits."""

    kernel = shortest_with_waits
