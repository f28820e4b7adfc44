"""Hub and spokes: PETALS, and the paper's model."""

from __future__ import annotations

from bprr.forwarding.base import ForwardingPolicy

__all__ = ["Hub"]


class Hub(ForwardingPolicy, name="hub"):
    """The coordinator sends to each stage and gets each answer: a round trip a stage."""

    crossings = 0

    def places(self, stages: int) -> list[int]:
        """Back at the coordinator after every stage."""
        return [0, *(place for stage in range(1, stages + 1) for place in (stage, 0))]
