"""What a solver is asked and what it answers, whichever solver it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bprr.ground.errors import BprrError
from bprr.ground.swarm import FloatArray
from bprr.offline.milp import Milp
from bprr.settings.offline import Option

if TYPE_CHECKING:
    from bprr.settings.offline import OfflineSettings

__all__ = [
    "OPTIMAL_GAP",
    "Answer",
    "Backend",
    "Ended",
    "MilpResult",
    "NothingFoundError",
    "Progress",
    "SolverKilledError",
    "SolverLicenceError",
    "SolverMissingError",
    "SolverRunError",
    "SolverSettings",
    "relative_gap",
    "status_of",
]

Progress = tuple[float, float, float]  # seconds, objective of the incumbent, bound
Ended = Literal["finished", "time_limit", "stopped", "infeasible"]

OPTIMAL_GAP = 1e-6  # relative; solvers work to tolerances of this size
LEAST_OBJECTIVE = 1.0  # ms; below it a gap is relative to this


class SolverMissingError(BprrError):
    """The chosen solver cannot run here; says what to install or set."""

    def __init__(self, solver: str, remedy: str) -> None:
        super().__init__(f"solver {solver!r} is not available: {remedy}; or choose another solver")


class SolverLicenceError(BprrError):
    """The chosen solver's licence does not cover a model, or (None) any; says what to set."""

    def __init__(self, solver: str, milp: Milp | None, remedy: str) -> None:
        refused = f"a model of {milp.columns} columns and {milp.rows} rows" if milp else "any model"
        super().__init__(
            f"solver {solver!r}: its licence does not cover {refused}: {remedy}; "
            "or choose another solver"
        )


class SolverRunError(BprrError):
    """A solver stopped without an answer; holds the end of what it said."""


class SolverKilledError(SolverRunError):
    """A solver's process was ended from outside; names the signal."""


class NothingFoundError(SolverRunError):
    """A limit was reached before any plan was found, and it may still exist."""


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
        (objective − bound) / objective at which to stop.
    options : mapping
        Further options under the solver's own names.
    log_dir : Path, optional
        Where logs are left; none are kept without it.
    """

    solver: str = "highs"
    time_limit_s: float = 60.0
    threads: int = 2
    relative_gap: float = OPTIMAL_GAP
    options: Mapping[str, Option] = field(default_factory=dict)
    log_dir: Path | None = None

    @classmethod
    def of(
        cls, offline: OfflineSettings, solver: str, log_dir: Path | None = None
    ) -> SolverSettings:
        """A solver with the configuration's limits, and its own options there."""
        options = dict(offline.options).get(solver, {})  # type: ignore[call-overload]
        limits = (offline.time_limit_s, offline.threads, offline.relative_gap)
        return cls(solver, *limits, options, log_dir)


def relative_gap(objective: float, bound: float) -> float:
    """(objective − bound) / |objective|; infinite without an incumbent."""
    if objective == float("inf"):
        return float("inf")
    return max(0.0, objective - bound) / max(abs(objective), LEAST_OBJECTIVE)


def status_of(ended: str, objective: float, bound: float, asked_gap: float) -> str:
    """Status of a result, from what was proven and not from what the solver calls it.

    Returns
    -------
    str
        ``"infeasible"``; ``"optimal"`` up to a gap of `OPTIMAL_GAP`; ``"gap_reached"`` up to the
        gap asked for; else ``"time_limit"``, or ``"stopped"`` by any other limit.
    """
    gap = relative_gap(objective, bound)
    if ended == "infeasible":
        return ended
    if gap <= OPTIMAL_GAP:
        return "optimal"
    if gap <= asked_gap:
        return "gap_reached"
    return "time_limit" if ended == "time_limit" else "stopped"


@dataclass(frozen=True)
class Answer:
    """What a solver says at the end of a run.

    Parameters
    ----------
    ended : str
        ``"finished"`` (by itself), ``"time_limit"``, ``"stopped"`` (by any other limit) or
        ``"infeasible"``.
    said : str
        The same in the solver's own words.
    values : ndarray, shape (N,), or None
        Incumbent.
    bound : float
        The lower bound that the solver itself proved.
    nodes : int
        Branch-and-bound nodes.
    progress : tuple of (float, float, float)
        Seconds, incumbent's objective and bound over time, as the solver reported them.
    """

    ended: Ended
    said: str
    values: FloatArray | None
    bound: float
    nodes: int
    progress: tuple[Progress, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MilpResult(Answer):
    """Outcome of one solve.

    Parameters
    ----------
    status : str
        See `status_of`.
    objective : float
        Of the incumbent; infinite without one.
    seconds : float
        Wall-clock time, with what it takes to hand over the programme (s).
    solver_used : str
        The solver with its version.
    log_path : Path or None
        The solver's log.
    """

    status: str
    objective: float
    seconds: float
    solver_used: str
    log_path: Path | None


@dataclass(frozen=True, eq=False)
class Backend:
    """One solver.

    Parameters
    ----------
    name : str
        The word by which it is chosen.
    version : callable
        Returns name and version; raises `SolverMissingError` if it is not installed.
    accept : callable
        Full name and value of an option as the solver takes them; raises
        `bprr.offline.backends.options.OptionError`.
    reserved : mapping
        Why nobody may set which options (patterns, in lower case).
    run : callable
        Solves a programme with accepted options and writes its log to a path; may put other files
        beside it, named after it, which are deleted.
    """

    name: str
    version: Callable[[], str]
    accept: Callable[[str, Option], tuple[str, Option]]
    reserved: Mapping[str, Sequence[str]]
    run: Callable[[Milp, SolverSettings, Path], Answer]
