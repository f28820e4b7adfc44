"""Exact routing: the true wait of a chain is the largest of its links' (docs/model.md)."""

from __future__ import annotations

from bprr.routing.positions import PositionRouter, shortest_with_worst_wait

__all__ = ["ExactRouting"]


class ExactRouting(PositionRouter, name="exact"):
    """Chain of the earliest estimated completion."""

    kernel = shortest_with_worst_wait
