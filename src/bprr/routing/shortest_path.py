"""Shortest path regardless of load (step 3 of CG-BPRR, under a request's total time)."""

from __future__ import annotations

from typing import NamedTuple

from bprr.ground.caches import Caches, CacheState
from bprr.ground.compiled import call_kernel, compiled, state_of
from bprr.ground.schema import Strict
from bprr.routing.base import RoutingContext
from bprr.routing.chains import Search, SearchRouting
from bprr.routing.neighbours import ExactNeighbours
from bprr.routing.positions import ExactSearch

__all__ = ["ShortestPath"]


@compiled
def _shortest_when_idle(  # type: ignore[no-untyped-def]
    idle, state, request, now, out_server, out_processed
):
    return call_kernel(idle.search, idle.caches, request, now, out_server, out_processed)


@state_of(_shortest_when_idle)
class IdleSearch(NamedTuple):
    """State of the kernel."""

    search: Search | ExactNeighbours
    caches: CacheState  # of nobody


class ShortestPath(SearchRouting, name="shortest_path"):
    """Fastest chain of an idle swarm, whatever is held now."""

    search_class, neighbour_class = ExactSearch, ExactNeighbours

    def __init__(self, context: RoutingContext, options: Strict | None = None) -> None:
        super().__init__(context, options)
        self.state = IdleSearch(self._search, Caches(context.placement.cache_tokens).state)
