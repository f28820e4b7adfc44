"""Blocks that stay where they were placed."""

from __future__ import annotations

from bprr.living.moving import Trade
from bprr.living.replacement.base import ReplacementPolicy

__all__ = ["Never"]


class Never(ReplacementPolicy, name="never"):
    """Blocks stay where they are; a server that joins loads those that it had."""

    def moves(self, trade: Trade) -> bool:
        """Never."""
        return False
