"""What a solver is asked and what it answers, whichever solver it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bprr.ground.errors import BprrError
from bprr.ground.swarm import FloatArray
from bprr.offline.milp import Milp

__all__ = [
    "Backend",
    "MilpResult",
    "Option",
    "Progress",
    "SolverLicenceError",
    "SolverMissingError",
    "SolverRunError",
    "SolverSettings",
]

Option = bool | int | float | str
Progress = tuple[float, float, float]  # seconds, objective of the incumbent, bound


class SolverMissingError(BprrError):
    """The chosen solver is not installed; says what to install.

    Parameters
    ----------
    solver : str
        Word by which it was chosen.
    remedy : str
        What to install or set.
    """

    def __init__(self, solver: str, remedy: str) -> None:
        self.solver, self.remedy = solver, remedy
        super().__init__(f"solver {solver!r} is not available: {remedy}; or choose another solver")


class SolverLicenceError(BprrError):
    """The chosen solver's licence does not cover the model; says what to set.

    Parameters
    ----------
    solver : str
        Word by which it was chosen.
    milp : Milp
        The model that was refused.
    remedy : str
        What to set.
    """

    def __init__(self, solver: str, milp: Milp, remedy: str) -> None:
        self.solver, self.remedy = solver, remedy
        super().__init__(
            f"solver {solver!r}: its licence does not cover a model of {milp.columns} columns and "
            f"{milp.rows} rows: {remedy}; or choose another solver"
        )


class SolverRunError(BprrError):
    """A solver stopped without an answer; holds the end of what it said."""


@dataclass(frozen=True)
class SolverSettings:
    """How integer programmes are solved.

    Parameters
    ----------
    solver : str
        ``"highs"``, ``"cbc"``, ``"gurobi"`` or ``"scip"``.
    time_limit_s : float
        Wall-clock limit (s); the incumbent is kept.
    threads : int
        Threads the solver may use (SCIP always uses one).
    relative_gap : float
        Relative gap at which a solution counts as optimal.
    options : mapping
        Further options under the solver's own names.
    log_dir : Path, optional
        Where logs are left; none are kept without it.
    """

    solver: str = "highs"
    time_limit_s: float = 60.0
    threads: int = 2
    relative_gap: float = 1e-6
    options: Mapping[str, Option] = field(default_factory=dict)
    log_dir: Path | None = None


@dataclass(frozen=True)
class MilpResult:
    """Outcome of one solve.

    Parameters
    ----------
    status : str
        ``"optimal"``, ``"time_limit"`` or ``"infeasible"``.
    values : ndarray, shape (N,), or None
        Incumbent.
    objective, bound : float
        Of the incumbent (infinite without one) and proven.
    seconds : float
        Wall-clock time (s).
    nodes : int
        Branch-and-bound nodes.
    solver_requested, solver_used : str
        ``solver_used`` with its version.
    log_path : Path or None
        The solver's log.
    progress : tuple of (float, float, float)
        Seconds, incumbent's objective and bound over time, as the solver reported them.
    """

    status: str
    values: FloatArray | None
    objective: float
    bound: float
    seconds: float
    nodes: int
    solver_requested: str
    solver_used: str
    log_path: Path | None
    progress: tuple[Progress, ...] = ()

    @property
    def gap(self) -> float:
        """Relative gap (objective − bound) / |objective|; infinite without an incumbent."""
        if self.values is None:
            return float("inf")
        return max(0.0, (self.objective - self.bound) / max(abs(self.objective), 1e-12))


@dataclass(frozen=True)
class Backend:
    """One solver.

    Parameters
    ----------
    name : str
        The word by which it is chosen.
    version : callable
        Returns name and version; raises `SolverMissingError` if it is not installed.
    run : callable
        Solves a programme and writes its log to a path; may put other files beside it, named after
        it, which are deleted.
    """

    name: str
    version: Callable[[], str]
    run: Callable[[Milp, SolverSettings, Path], MilpResult]
