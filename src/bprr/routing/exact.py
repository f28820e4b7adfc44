"""Exact routing: the true wait of a chain is the largest of its links' (docs/model.md)."""

from __future__ import annotations

from bprr.ground.compiled import state_of
from bprr.routing.chains import Search, SearchRouting
from bprr.routing.positions import shortest_with_worst_wait

__all__ = ["ExactRouting"]


@state_of(shortest_with_worst_wait)
class ExactSearch(Search):
    """State of the kernel."""


class ExactRouting(SearchRouting, name="exact"):
    """Chain of the earliest estimated completion."""

    search_class = ExactSearch
