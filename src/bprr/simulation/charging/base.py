"""What a way of charging caches must answer."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from simpy import Environment

from bprr.ground.caches import Caches
from bprr.ground.registry import CHARGING, Policy
from bprr.ground.request import Request, Route
from bprr.ground.schema import Strict
from bprr.ground.swarm import IntArray

__all__ = ["ChargingPolicy"]


class ChargingPolicy(Policy, registry=CHARGING):
    """Charges the servers of a chain for one session.

    A cache that grows charges its first part here, and the later ones from a process of its own.
    """

    def __init__(self, env: Environment, options: Strict | None = None) -> None:
        self.env = env
        self.options: Any = options or self.Options()

    @abstractmethod
    def needed(self, request: Request, route: Route) -> IntArray:
        """Units that must be free at each server of the chain for the session to start."""

    @abstractmethod
    def charge(
        self, caches: Caches, request: Request, route: Route, now_ms: float, end_ms: float
    ) -> None:
        """Enter the session's holds from now to its end."""
