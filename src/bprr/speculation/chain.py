"""Drafts in a row, one frame at a time."""

from __future__ import annotations

from bprr.speculation.base import Drafts, SpeculationPolicy
from bprr.speculation.frames import Drafting

__all__ = ["Chain"]


class Chain(SpeculationPolicy, name="chain"):
    """The coordinator drafts some tokens in a row and sends them through together."""

    class Options(Drafts):
        """As `Drafts`."""

    @property
    def positions(self) -> int:
        """The drafts, and the token before them."""
        return int(self.options.drafts) + 1

    @property
    def draft_ms(self) -> float:
        """Drafting comes before each traversal."""
        return float(self.options.draft_ms)

    @property
    def acceptance(self) -> float:
        """Chance that a draft is right whose predecessors were."""
        return float(self.options.per_round()[1])

    def drafting(self) -> Drafting:
        """Drafts of one frame after those of another."""
        return Drafting(False, int(self.options.drafts), self.draft_ms, self.frames)

    def tokens_per_s(self, traversal_ms: float, slowest_ms: float) -> float:
        """Tokens of a round over its time."""
        return 1000.0 * self.options.per_round()[0] / (self.draft_ms + traversal_ms)
