"""Frames of one position each, drafted in blocks by the last stage."""

from __future__ import annotations

from pydantic import Field

from bprr.ground.schema import Count, NonNegative, Positive, Share, Strict
from bprr.speculation.base import SpeculationPolicy
from bprr.speculation.frames import Drafting

__all__ = ["SingleFrames"]


class SingleFrames(SpeculationPolicy, name="single_frames"):
    """Drafts leave one by one; the last stage drafts a block of them (its time is that stage's)."""

    class Options(Strict):
        """Measured with blocks of eight of DeepSeek-V4's own drafter."""

        block: Count = Field(8, description="tokens drafted at once")
        most_frames: Count = Field(9, description="allowed under way")
        mean_frames: Positive | None = Field(None, description="under way on average, if measured")
        frames_per_token: Positive = Field(1.57, description="more than 1: dropped frames")
        acceptance: Share = Field(
            0.855, description="of a draft, frame by frame: 6.92 tokens from miss to miss"
        )
        refill: Count = Field(1, description="drafts are made where fewer frames than these follow")
        draft_ms: NonNegative = Field(
            0.0, description="of the last stage, each time, frame by frame"
        )

    @property
    def frames(self) -> int:
        """Frames under way; a block and the one before it at most."""
        return min(int(self.options.most_frames), int(self.options.block) + 1)

    @property
    def acceptance(self) -> float:
        """Chance that a draft is right."""
        return float(self.options.acceptance)

    def drafting(self) -> Drafting:
        """A block by the last stage each time that frames run out."""
        own = self.options
        most = int(own.most_frames)
        return Drafting(True, int(own.block), float(own.draft_ms), most, int(own.refill))

    def tokens_per_s(self, traversal_ms: float, slowest_ms: float) -> float:
        """Frames under way over their latency; the burst of a block queues at the slowest stage."""
        under_way = float(self.options.mean_frames or self.frames)
        latency_ms = traversal_ms + float(self.options.block) * slowest_ms / 2
        per_ms = min(under_way / latency_ms, 1.0 / slowest_ms if slowest_ms else float("inf"))
        return 1000.0 * per_ms / float(self.options.frames_per_token)
