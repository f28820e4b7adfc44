"""What the experiments share: their setting, their cases, and rows against an optimum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from bprr.ground.errors import InfeasibleError
from bprr.offline.backends.base import NothingFoundError, SolverSettings
from bprr.offline.instance import OfflineInstance
from bprr.offline.plan import OfflineResult, Plan
from bprr.offline.solve import evaluate_plan
from bprr.scenario.draw import Catalogue
from bprr.scenario.scenario import Scenario
from bprr.settings.offline import OfflineSettings

__all__ = [
    "HUNDRED_PER_CENT",
    "Case",
    "Study",
    "compared_row",
    "finite",
    "heuristic_row",
    "optimum_row",
]

HUNDRED_PER_CENT = 100.0


@dataclass(frozen=True)
class Study:
    """What every experiment needs."""

    catalogue: Catalogue
    scattered: Scenario | None  # servers and clients are set by the experiment that uses it
    offline: OfflineSettings  # how much is covered; the solvers' limits and options
    solver_name: str  # of the optima
    seed: int  # of all random draws
    log_dir: Path | None = None  # where the solvers' logs are left

    @property
    def solver(self) -> SolverSettings:
        """Solver of the optima, its limits for one instance."""
        return SolverSettings.of(self.offline, self.solver_name, self.log_dir)

    def rng(self, *key: int) -> np.random.Generator:
        """Random numbers of one case."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


@dataclass(frozen=True)
class Case:
    """One instance with what names it in tables."""

    family: str
    draw: int
    instance: OfflineInstance

    @property
    def labels(self) -> dict[str, object]:
        """Columns that name the case."""
        swarm = self.instance.swarm
        return {
            "family": self.family,
            "servers": swarm.servers,
            "clients": swarm.clients,
            "load": self.instance.load,
            "draw": self.draw,
        }


def finite(value: float) -> float:
    """The value, or NaN for a plan that does not exist."""
    return value if np.isfinite(value) else float("nan")


def compared_row(
    case: Case,
    method: str,
    optimum: OfflineResult,
    objective: float,
    status: str,
    seconds: float = 0.0,
    verified: bool = False,
) -> dict[str, object]:
    """Row of a method's objective (or a bound on it) beside the optimum of its case."""
    return {
        **case.labels,
        "method": method,
        "objective_ms": finite(objective),
        "bound_ms": optimum.bound_ms,
        "above_optimum_percent": HUNDRED_PER_CENT * (objective / optimum.objective_ms - 1),
        "status": status,
        "seconds": seconds,
        "solver": optimum.solver_used,
        "verified": verified,
    }


def optimum_row(case: Case, optimum: OfflineResult) -> dict[str, object]:
    """Row of the proven (or best known) optimum of a case."""
    row = compared_row(
        case,
        "optimum",
        optimum,
        optimum.objective_ms,
        optimum.status,
        optimum.seconds,
        optimum.verified,
    )
    return {**row, "above_optimum_percent": 0.0}


def heuristic_row(
    case: Case, method: str, optimum: OfflineResult, make: Callable[[], Plan]
) -> dict[str, object]:
    """Row of a heuristic's plan, verified, against the optimum of its case."""
    started = perf_counter()
    try:
        objective, status = evaluate_plan(case.instance, make()), "ok"
    except InfeasibleError as error:
        objective, status = float("nan"), f"infeasible: {error.resource}"
    except NothingFoundError:
        objective, status = float("nan"), "nothing found"
    seconds = perf_counter() - started
    return compared_row(case, method, optimum, objective, status, seconds, status == "ok")
