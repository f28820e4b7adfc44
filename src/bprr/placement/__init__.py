"""Which blocks each server holds: one module per policy, found by name."""

from bprr.placement.base import Placement, PlacementProblem, place, placement_policies

__all__ = ["Placement", "PlacementProblem", "place", "placement_policies"]
