"""No drafts: the paper's model."""

from __future__ import annotations

from bprr.speculation.base import SpeculationPolicy
from bprr.speculation.frames import Drafting

__all__ = ["NoSpeculation"]


class NoSpeculation(SpeculationPolicy, name="none"):
    """A traversal makes one token."""

    def drafting(self) -> Drafting:
        """Nothing is drafted."""
        return Drafting(False, 0, 0.0, 1)

    def tokens_per_s(self, traversal_ms: float, slowest_ms: float) -> float:
        """One token per traversal."""
        return 1000.0 / traversal_ms
