"""What a way of drafting must answer (docs/wan.md#speculation)."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from bprr.ground.registry import SPECULATION, Policy
from bprr.ground.schema import Count, NonNegative, Positive, Share, Strict
from bprr.speculation.frames import Drafting
from bprr.speculation.rounds import acceptance_for, tokens_per_round

__all__ = ["Drafts", "SpeculationPolicy"]


class SpeculationPolicy(Policy, registry=SPECULATION):
    """How many tokens a stream makes of its traversals."""

    def __init__(self, options: Strict | None = None) -> None:
        self.options: Any = options or self.Options()

    @property
    def positions(self) -> int:
        """Token positions in a frame."""
        return 1

    @property
    def draft_ms(self) -> float:
        """Time of the drafting that a frame waits for."""
        return 0.0

    @property
    def frames(self) -> int:
        """Frames of a stream that may be under way at once."""
        return 1

    @property
    def acceptance(self) -> float:
        """Chance that the draft of a position is right."""
        return 0.0

    def drafting(self) -> Drafting | None:
        """How frames follow each other, if they can be sent one by one (`speculation.frames`)."""
        return None

    def tokens_per_s(self, traversal_ms: float, slowest_ms: float) -> float:
        """Tokens per second of one stream.

        Parameters
        ----------
        traversal_ms : float
            One frame through all stages and back.
        slowest_ms : float
            Time between frames at the slowest stage or link.
        """
        raise NotImplementedError


class Drafts(Strict):
    """Options of drafts in a row."""

    drafts: Count = Field(8, description="in a row")
    acceptance: Share = Field(
        0.74, description="of a draft whose predecessors were accepted; EAGLE-3 on mixed text"
    )
    tokens_per_round: Positive | None = Field(
        None, description="if measured; acceptance then follows from it"
    )
    draft_ms: NonNegative = Field(13.0, description="time of drafting them")

    def per_round(self) -> tuple[float, float]:
        """Tokens per round, and acceptance."""
        if self.tokens_per_round is None:
            return tokens_per_round(self.acceptance, self.drafts), self.acceptance
        return self.tokens_per_round, acceptance_for(self.tokens_per_round, self.drafts)
