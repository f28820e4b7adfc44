"""WS-RR: waiting-penalised shortest-path request routing (docs/model.md)."""

from __future__ import annotations

from bprr.ground.compiled import state_of
from bprr.routing.chains import Search, SearchRouting
from bprr.routing.neighbours import WsRrNeighbours
from bprr.routing.positions import shortest_with_waits

__all__ = ["WsRr"]


@state_of(shortest_with_waits)
class WsRrSearch(Search):
    """State of the kernel."""


class WsRr(SearchRouting, name="ws_rr"):
    """Shortest chain under time plus the sum of the links' waits."""

    search_class, neighbour_class = WsRrSearch, WsRrNeighbours
