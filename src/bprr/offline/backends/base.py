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
    """What a solver says at the end of a run."""

    ended: Ended  # "finished": by itself; "stopped": by any limit but time
    said: str  # the same in the solver's own words
    values: FloatArray | None  # incumbent
    bound: float  # the lower bound that the solver itself proved
    nodes: int  # of branch and bound
    progress: tuple[Progress, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MilpResult(Answer):
    """Outcome of one solve."""

    status: str  # of `status_of`
    objective: float  # of the incumbent; infinite without one
    seconds: float  # wall clock, with what it takes to hand over the programme
    solver_used: str  # with its version
    log_path: Path | None


@dataclass(frozen=True, eq=False)
class Backend:
    """One solver.

    ``accept`` gives an option's full name and value as the solver takes them, or raises
    `bprr.offline.backends.options.OptionError`; ``reserved`` are patterns of options that nobody
    may set, by the reason why. ``run`` solves a programme with accepted options and writes its log
    to a path; it may put other files beside it, named after it, which are deleted.
    """

    name: str
    version: Callable[[], str]
    accept: Callable[[str, Option], tuple[str, Option]]
    reserved: Mapping[str, Sequence[str]]
    run: Callable[[Milp, SolverSettings, Path], Answer]
