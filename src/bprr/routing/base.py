"""What a routing policy is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from bprr.ledger import CacheLedger
from bprr.placement.base import Placement
from bprr.registry import Registry
from bprr.swarm import IntArray

__all__ = ["PetalsSettings", "Request", "Route", "Router", "RoutingContext", "routing_policies"]


class Request(NamedTuple):
    """One request as routing sees it."""

    client: int
    input_tokens: int
    output_tokens: int
    cache_tokens: int  # tokens for which it reserves cache in every block it uses


class Route(NamedTuple):
    """A chain of servers and the blocks that each of them processes."""

    servers: IntArray
    processed: IntArray
    cost_ms: float  # what the policy minimised


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
    ledger : CacheLedger
        The state of the caches, shared with the simulation.
    petals : PetalsSettings
        Constants of PETALS' routing.
    """

    placement: Placement
    ledger: CacheLedger
    petals: PetalsSettings = field(default_factory=PetalsSettings)


class Router(Protocol):
    """A routing policy bound to a placement and a ledger."""

    def __init__(self, context: RoutingContext) -> None: ...

    def route(self, request: Request, now_ms: float) -> Route:
        """Chain for a request that asks now; `InfeasibleError` if there is none."""
        ...


routing_policies: Registry[type[Router]] = Registry("routing policy", "bprr.routing")
