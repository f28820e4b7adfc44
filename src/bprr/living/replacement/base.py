"""What a policy of placing blocks anew must answer."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

from bprr.ground.registry import REPLACEMENT, Policy
from bprr.ground.schema import Strict
from bprr.living.moving import Trade

__all__ = ["ReplacementPolicy"]


class ReplacementPolicy(Policy, registry=REPLACEMENT):
    """The slow one of the paper's two time scales: when blocks are placed anew.

    The method's own placement is asked again, for the servers that are up and for the rate that
    was observed since it was asked last.
    """

    every_s: float = math.inf  # between two such moments

    def __init__(self, options: Strict | None = None) -> None:
        self.options: Any = options or self.Options()

    @abstractmethod
    def moves(self, trade: Trade) -> bool:
        """Whether the new placement is taken."""
