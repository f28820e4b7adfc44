"""One way to any solver: checked before it runs, its errors made clear, its log kept."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import replace
from itertools import count
from pathlib import Path
from time import perf_counter

import numpy as np

from bprr.ground.errors import InputError
from bprr.offline.backends import cbc, gurobi, highs, scip
from bprr.offline.backends.base import (
    Answer,
    Backend,
    MilpResult,
    SolverMissingError,
    SolverRunError,
    SolverSettings,
    status_of,
)
from bprr.offline.backends.options import accepted
from bprr.offline.milp import Milp, RowBuilder

__all__ = [
    "SOLVERS",
    "check_solver",
    "clear_logs",
    "installed_solvers",
    "require_solver",
    "solve_milp",
]

SOLVERS: dict[str, Backend] = {
    backend.name: backend for backend in (highs.BACKEND, cbc.BACKEND, gurobi.BACKEND, scip.BACKEND)
}
LOG_NAME = re.compile(rf"[a-z]+_({'|'.join(SOLVERS)})_\d+\.log")


def require_solver(name: str) -> str:
    """Check that a solver can run, before any work is done for it.

    Returns
    -------
    str
        Its name and version.

    Raises
    ------
    InputError
        If no solver has this name.
    SolverMissingError
        If it is not installed.
    """
    if name not in SOLVERS:
        raise InputError("solver settings", "solver", name, ", ".join(SOLVERS))
    return SOLVERS[name].version()


def installed_solvers() -> tuple[str, ...]:
    """Solvers that can run here (whatever their licence covers)."""
    found = []
    for name in SOLVERS:
        try:
            require_solver(name)
        except SolverMissingError:
            continue
        found.append(name)
    return tuple(found)


def two_columns() -> Milp:
    """Least x + 2 y with x + y ≥ 1.5, whole and at most 3: 2 ms."""
    rows = RowBuilder()
    rows.fill(rows.add(np.array([1.5]), np.array([np.inf])), np.array([0, 1]), 1.0)
    return rows.build(np.array([1.0, 2.0]), np.zeros(2), np.full(2, 3.0), np.ones(2, dtype=bool))


def check_solver(settings: SolverSettings) -> str:
    """Try a solver with its options on a programme of two columns.

    Returns
    -------
    str
        Its name and version.

    Raises
    ------
    InputError
        If the solver or an option does not exist, an option's value is of the wrong type,
        contradicts another setting, or makes the solver answer wrongly.
    SolverMissingError, SolverLicenceError, SolverRunError
        If the solver cannot run.
    """
    used, optimum = require_solver(settings.solver), 2.0
    result = solve_milp(two_columns(), replace(settings, time_limit_s=10.0, log_dir=None))
    if result.objective < optimum - 1e-6 or result.bound > optimum + 1e-6:
        key, allowed = f"offline.options.{settings.solver}", "options that keep the problem"
        raise InputError("solver settings", key, dict(settings.options), allowed)
    return used


def solve_milp(milp: Milp, settings: SolverSettings, stem: str = "milp") -> MilpResult:
    """Solve an integer programme with the chosen solver.

    Parameters
    ----------
    milp : Milp
        The programme.
    settings : SolverSettings
        Solver, limits and options.
    stem : str
        What the log is called; numbered if the name is taken.

    Raises
    ------
    InputError, SolverMissingError, SolverLicenceError
        If the solver is unknown, not installed, or not licensed for a model of this size; or an
        option cannot be used.
    SolverRunError
        If it stops without an answer, or the operating system keeps it from working.
    """
    used, backend = require_solver(settings.solver), SOLVERS[settings.solver]
    options = dict(accepted(backend, name, value) for name, value in settings.options.items())
    started, kept = perf_counter(), None
    if not milp.columns:
        answer = without_columns(milp)
    else:
        try:
            with tempfile.TemporaryDirectory(prefix="bprr_") as directory:
                log_path = Path(directory) / f"{stem}.log"
                try:
                    answer = backend.run(milp, replace(settings, options=options), log_path)
                except SolverRunError as error:
                    raise type(error)(f"{error}\n{said_last(log_path)}".rstrip()) from error
                finally:
                    kept = keep_log(log_path, settings)
        except OSError as error:
            at = f": {place}" if (place := error.filename2 or error.filename) else ""
            raise SolverRunError(f"{used}: {error.strerror or error}{at}") from error
    objective = float("inf") if answer.values is None else float(milp.cost @ answer.values)
    bound = float("inf") if answer.ended == "infeasible" else answer.bound
    return MilpResult(
        **{**vars(answer), "bound": bound},
        status=status_of(answer.ended, objective, bound, settings.relative_gap),
        objective=objective,
        seconds=perf_counter() - started,
        solver_used=used,
        log_path=kept,
    )


def said_last(log_path: Path) -> str:
    """End of a log."""
    if not log_path.exists():
        return ""
    return log_path.read_text(encoding="utf-8", errors="replace")[-600:]


def keep_log(log_path: Path, settings: SolverSettings) -> Path | None:
    """Copy a solver's log to where logs are left, numbered so that none is overwritten."""
    folder = settings.log_dir
    if folder is None or not log_path.exists():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    names = (folder / f"{log_path.stem}_{settings.solver}_{number}.log" for number in count(1))
    kept = next(path for path in names if not path.exists())
    shutil.copyfile(log_path, kept)
    return kept


def clear_logs(folder: Path) -> None:
    """Delete the logs that earlier runs kept in a folder, and nothing else."""
    for path in folder.glob("*.log"):
        if LOG_NAME.fullmatch(path.name):
            path.unlink()


def without_columns(milp: Milp) -> Answer:
    """Answer for a programme with nothing to decide, which some solvers refuse."""
    if (milp.row_lower <= 0).all() and (milp.row_upper >= 0).all():
        return Answer("finished", "nothing to decide", np.zeros(0), 0.0, 0)
    return Answer("infeasible", "nothing to decide", None, float("inf"), 0)
