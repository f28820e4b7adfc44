"""Drafts in a row, one frame at a time."""

from __future__ import annotations

from bprr.speculation.base import Drafts, SpeculationPolicy

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

    def tokens_per_s(self, traversal_ms: float, slowest_ms: float) -> float:
        """Tokens of a round over its time."""
        return 1000.0 * self.options.per_round()[0] / (self.draft_ms + traversal_ms)
