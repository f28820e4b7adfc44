"""What a kind of churn must answer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from bprr.ground.registry import CHURN, Policy
from bprr.ground.schema import Strict

__all__ = ["Change", "ChurnPolicy"]


class Change(NamedTuple):
    """A server that fails, or joins again."""

    time_ms: float
    server: int
    joins: bool


class ChurnPolicy(Policy, registry=CHURN):
    """Says when servers fail and join; at first all are there."""

    def __init__(self, options: Strict | None = None) -> None:
        self.options: Any = options or self.Options()

    @abstractmethod
    def changes(self, servers: int, rng: np.random.Generator) -> Iterator[Change]:
        """Changes in order of time, perhaps without end; the same generator gives the same ones."""
