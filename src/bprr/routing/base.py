"""What a routing policy is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from bprr.ground.caches import Caches
from bprr.ground.registry import Registry
from bprr.ground.request import Request, Route
from bprr.placement.base import Placement

__all__ = ["PetalsSettings", "Router", "RoutingContext", "routing_policies"]


@dataclass(frozen=True)
class PetalsSettings:
    """Constants of PETALS' routing (paper, section 6).

    Parameters
    ----------
    hop_overhead_ms : float
        Added to every hop.
    full_penalty_ms : float
        Added to a hop whose server looks full.
    """

    hop_overhead_ms: float = 18.0
    full_penalty_ms: float = 10_000.0


@dataclass(frozen=True)
class RoutingContext:
    """What a routing policy is built from.

    Parameters
    ----------
    placement : Placement
        Blocks and cache of every server.
    caches : Caches
        The state of the caches, shared with the simulation.
    petals : PetalsSettings
        Constants of PETALS' routing.
    """

    placement: Placement
    caches: Caches
    petals: PetalsSettings = field(default_factory=PetalsSettings)


class Router(Protocol):
    """A routing policy bound to a placement and a caches."""

    def __init__(self, context: RoutingContext) -> None: ...

    def route(self, request: Request, now_ms: float) -> Route:
        """Chain for a request that asks now; `InfeasibleError` if there is none."""
        ...


routing_policies: Registry[type[Router]] = Registry("routing policy", "bprr.routing")
