"""Blocks that are placed anew from time to time."""

from __future__ import annotations

from pydantic import Field

from bprr.ground.schema import NonNegative, Positive, Strict
from bprr.living.moving import Trade
from bprr.living.replacement.base import ReplacementPolicy

__all__ = ["Periodic"]


class Periodic(ReplacementPolicy, name="periodic"):
    """Blocks are placed anew every so often, if that pays for its moves until the next time."""

    class Options(Strict):
        """How often, and when that pays."""

        every_s: Positive = Field(3_600.0, description="between two such moments")
        hysteresis: NonNegative | None = Field(
            0.1,
            description="share by which sessions have to become faster, and what is saved has to"
            " exceed what the move costs; null: blocks move whatever it costs",
        )

    @property
    def every_s(self) -> float:  # type: ignore[override]
        """Time between two such moments (s)."""
        return float(self.options.every_s)

    def moves(self, trade: Trade) -> bool:
        """If it pays."""
        hysteresis = self.options.hysteresis
        return hysteresis is None or trade.pays(hysteresis)
