"""Round the ring."""

from __future__ import annotations

from bprr.forwarding.base import ForwardingPolicy

__all__ = ["Ring"]


class Ring(ForwardingPolicy, name="ring"):
    """Each stage sends on to the next, and the last one answers the coordinator."""

    crossings = 1

    def places(self, stages: int) -> list[int]:
        """Every stage once, then back to the coordinator."""
        return [*range(stages + 1), 0]
