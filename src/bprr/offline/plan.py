"""Answers of the offline problem: who hosts what, and the chain of every request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bprr.placement import Placement

__all__ = ["OfflineResult", "Plan", "Route"]


@dataclass(frozen=True)
class Route:
    """Chain of one request.

    Parameters
    ----------
    client : int
        Row of the client in the swarm.
    servers : tuple of int
        Servers in the order they are visited.
    processed : tuple of int
        k_j: blocks that each of them processes.
    """

    client: int
    servers: tuple[int, ...]
    processed: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """A placement and the route of every request.

    Parameters
    ----------
    placement : Placement
        a_j, m_j and cache of every server.
    routes : tuple of Route
        One per request.
    """

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
        ``"optimal"``, ``"time_limit"`` or ``"infeasible"``.
    seconds : float
        Wall-clock time of the whole procedure (s).
    nodes : int
        Branch-and-bound nodes of all integer programmes solved on the way.
    formulation, solver_requested, solver_used : str
        By name; ``solver_used`` with its version.
    verified : bool
        Whether the independent verifier accepted the plan.
    trace : tuple of (float, float, float)
        Progress: seconds, objective and bound after each step of the procedure.
    details : mapping
        Sizes, steps and log files, for tables.
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
    verified: bool
    trace: tuple[tuple[float, float, float], ...] = ()
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def gap(self) -> float:
        """Relative gap (objective − bound) / objective; infinite without a plan."""
        if self.plan is None:
            return float("inf")
        return max(0.0, (self.objective_ms - self.bound_ms) / self.objective_ms)
