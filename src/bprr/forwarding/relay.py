"""There and back through all stages."""

from __future__ import annotations

from bprr.forwarding.base import ForwardingPolicy

__all__ = ["Relay"]


class Relay(ForwardingPolicy, name="relay"):
    """Each stage sends on to the next, and the answer walks back through all of them."""

    crossings = 2

    def places(self, stages: int) -> list[int]:
        """To the last stage and the same way back."""
        return [*range(stages + 1), *range(stages - 1, -1, -1)]
