"""Servers that stay."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bprr.living.churn.base import Change, ChurnPolicy

__all__ = ["NoChurn"]


class NoChurn(ChurnPolicy, name="none"):
    """No server fails, and none joins."""

    def changes(self, servers: int, rng: np.random.Generator) -> Iterator[Change]:
        """None."""
        return iter(())
