"""A request, and the chain of servers it takes."""

from __future__ import annotations

from typing import NamedTuple

from bprr.ground.swarm import IntArray

__all__ = ["Request", "Route"]


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
