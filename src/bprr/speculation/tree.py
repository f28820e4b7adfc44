"""Trees of drafts, one frame at a time."""

from __future__ import annotations

from pydantic import Field

from bprr.ground.schema import Count, NonNegative, Positive, Strict
from bprr.speculation.base import SpeculationPolicy

__all__ = ["Tree"]


class Tree(SpeculationPolicy, name="tree"):
    """The coordinator drafts a tree of tokens; what a round commits is measured, not derived."""

    class Options(Strict):
        """Measured with EAGLE-3 trees of 12 nodes on mixed text."""

        nodes: Count = Field(12, description="of a tree of drafts")
        tokens_per_round: Positive = Field(4.27, description="that come out of a tree")
        draft_ms: NonNegative = Field(20.0, description="time of drafting a tree")

    @property
    def positions(self) -> int:
        """The nodes, and the token before them."""
        return int(self.options.nodes) + 1

    @property
    def draft_ms(self) -> float:
        """Drafting comes before each traversal."""
        return float(self.options.draft_ms)

    def tokens_per_s(self, traversal_ms: float, slowest_ms: float) -> float:
        """Tokens of a round over its time."""
        return 1000.0 * float(self.options.tokens_per_round) / (self.draft_ms + traversal_ms)
