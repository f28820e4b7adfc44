"""Trees of drafts, one frame at a time."""

from __future__ import annotations

from bprr.ground.schema import Count, NonNegative, Positive, Strict
from bprr.speculation.base import SpeculationPolicy

__all__ = ["Tree"]


class Tree(SpeculationPolicy, name="tree"):
    """The coordinator drafts a tree of tokens; what a round commits is measured, not derived."""

    class Options(Strict):
        """Measured with EAGLE-3 trees of 12 nodes on mixed text."""

        nodes: Count = 12
        tokens_per_round: Positive = 4.27
        draft_ms: NonNegative = 20.0

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
