"""What a routing policy is asked and what it answers."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from bprr.ground.caches import Caches
from bprr.ground.registry import ROUTING, Policy
from bprr.ground.request import Request, Route
from bprr.ground.schema import Strict
from bprr.placement.base import Placement

__all__ = ["RoutingContext", "RoutingPolicy"]


@dataclass(frozen=True)
class RoutingContext:
    """What a routing policy is built from.

    Parameters
    ----------
    placement : Placement
        Blocks and cache of every server.
    caches : Caches
        Who holds how much of them, shared with the simulation.
    """

    placement: Placement
    caches: Caches


class RoutingPolicy(Policy, registry=ROUTING):
    """Base of all routing policies, bound to a placement and its caches."""

    def __init__(self, context: RoutingContext, options: Strict | None = None) -> None:
        self.context = context
        self.options: Any = options or self.Options()

    @abstractmethod
    def route(self, request: Request, now_ms: float) -> Route:
        """Chain for a request that asks now; `InfeasibleError` if there is none."""
