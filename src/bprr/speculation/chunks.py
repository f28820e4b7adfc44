"""Several chunks of drafts under way at once."""

from __future__ import annotations

from pydantic import Field

from bprr.ground.schema import Count
from bprr.speculation.base import Drafts
from bprr.speculation.chain import Chain

__all__ = ["Chunks"]


class Chunks(Chain, name="chunks"):
    """Chunks of drafts follow each other; after a miss all that are under way are dropped."""

    class Options(Drafts):
        """Drafts of a chunk, and how many chunks may be under way."""

        frames: Count = Field(4, description="chunks under way at once")

    @property
    def frames(self) -> int:
        """Chunks under way."""
        return int(self.options.frames)

    def tokens_per_s(self, traversal_ms: float, slowest_ms: float) -> float:
        """Tokens from one miss to the next over the time between them."""
        drafts = int(self.options.drafts)
        tokens, acceptance = self.options.per_round()
        round_ms = self.draft_ms + traversal_ms
        spacing_ms = max(self.draft_ms, slowest_ms, round_ms / self.frames)
        whole = acceptance**drafts  # the chance that a chunk is accepted as a whole
        if whole >= 1.0:
            return 1000.0 * drafts / spacing_ms
        before_miss = whole / (1.0 - whole)
        in_missed = (tokens - whole * (drafts + 1)) / (1.0 - whole)
        made = before_miss * drafts + in_missed
        return 1000.0 * made / (round_ms + before_miss * spacing_ms)
