"""Exact routing: the true wait of a chain is the largest of its links' (docs/model.md)."""

from __future__ import annotations

from bprr.routing.chains import SearchRouting
from bprr.routing.neighbours import ExactNeighbours
from bprr.routing.positions import ExactSearch

__all__ = ["ExactRouting"]


class ExactRouting(SearchRouting, name="exact"):
    """Chain of the earliest estimated completion."""

    search_class, neighbour_class = ExactSearch, ExactNeighbours
