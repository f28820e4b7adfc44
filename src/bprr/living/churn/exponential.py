"""Servers that come and go without memory."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np
from pydantic import Field

from bprr.ground.schema import Positive, Strict
from bprr.living.churn.base import Change, ChurnPolicy

__all__ = ["Exponential"]


class Exponential(ChurnPolicy, name="exponential"):
    """Each server is up, and then away, for exponential times of these means."""

    class Options(Strict):
        """Mean times (s)."""

        mean_up_s: Positive = Field(14_400.0, description="mean time for which a server is up")
        mean_down_s: Positive = Field(600.0, description="mean time for which it is away")

    def changes(self, servers: int, rng: np.random.Generator) -> Iterator[Change]:
        """Changes without end; other means stretch the same draws."""
        means_ms = (1000 * self.options.mean_up_s, 1000 * self.options.mean_down_s)
        own = rng.spawn(servers)
        coming = [
            Change(means_ms[0] * own[server].standard_exponential(), server, False)
            for server in range(servers)
        ]
        heapq.heapify(coming)
        while coming:
            change = coming[0]
            stays_ms = means_ms[0 if change.joins else 1]
            next_ms = change.time_ms + stays_ms * own[change.server].standard_exponential()
            heapq.heapreplace(coming, Change(next_ms, change.server, not change.joins))
            yield change
