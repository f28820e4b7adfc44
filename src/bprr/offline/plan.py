"""Answers of the offline problem: who hosts what, and the chain of every request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bprr.offline.backends.base import relative_gap
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
    """What a formulation and a solver found, verified.

    Parameters
    ----------
    plan : Plan or None
        Best plan known; None if none was found.
    objective_ms : float
        Σ over requests of the per-token time, recomputed by the verifier (ms); infinite without
        a plan.
    bound_ms : float
        Proven lower bound on the optimum (ms).
    status : str
        ``"optimal"``, ``"gap_reached"`` (the gap that was asked for), ``"time_limit"``,
        ``"stopped"`` (by another limit, or from outside) or ``"infeasible"``.
    seconds : float
        Wall-clock time of the whole procedure (s).
    nodes : int
        Branch-and-bound nodes of all integer programmes solved on the way.
    formulation, solver_requested, solver_used : str
        By name; ``solver_used`` with its version.
    trace : tuple of (float, float, float)
        Progress: seconds, objective and bound after each step of the procedure.
    details : mapping
        Sizes, steps and log files, for tables; ``"ended"``, how in the solver's own words.
    """

    plan: Plan | None
    objective_ms: float
    bound_ms: float
    status: str
    seconds: float
    nodes: int
    formulation: str
    solver_requested: str
    solver_used: str
    trace: tuple[tuple[float, float, float], ...] = ()
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def verified(self) -> bool:
        """Whether there is a plan; every plan was accepted by the independent verifier."""
        return self.plan is not None

    @property
    def gap(self) -> float:
        """Relative gap (objective − bound) / objective; infinite without a plan."""
        return relative_gap(self.objective_ms, self.bound_ms)
