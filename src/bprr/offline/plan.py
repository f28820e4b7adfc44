"""Answers of the offline problem: who hosts what, and the chain of every request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bprr.offline.backends.base import Progress, relative_gap
from bprr.placement.base import Placement

__all__ = ["OfflineResult", "Plan", "Route"]


@dataclass(frozen=True)
class Route:
    """Chain of one request: its servers in order, and the blocks k_j that each processes."""

    client: int
    servers: tuple[int, ...]
    processed: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """A placement and the route of every request."""

    placement: Placement
    routes: tuple[Route, ...]


@dataclass(frozen=True)
class OfflineResult:
    """What a formulation and a solver found, verified."""

    plan: Plan | None  # best one known
    objective_ms: float  # Σ over requests of the per-token time; infinite without a plan
    bound_ms: float  # proven lower bound on the optimum
    status: str  # of `bprr.offline.backends.base.status_of`
    seconds: float  # wall clock, of everything
    nodes: int  # of branch and bound, in all integer programmes on the way
    formulation: str
    solver_requested: str
    solver_used: str  # with its version
    trace: tuple[Progress, ...] = ()  # after each step of the procedure
    # Sizes, steps and log files, for tables; "ended": how, in the solver's own words.
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def verified(self) -> bool:
        """Whether there is a plan; every plan was accepted by the independent verifier."""
        return self.plan is not None

    @property
    def gap(self) -> float:
        """Relative gap (objective − bound) / objective; infinite without a plan."""
        return relative_gap(self.objective_ms, self.bound_ms)
