"""Solvers of integer programmes, chosen by one word; never one instead of another."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np

from bprr.ground.errors import InputError
from bprr.offline.backends import cbc, gurobi, highs, scip
from bprr.offline.backends.base import (
    Backend,
    MilpResult,
    SolverLicenceError,
    SolverMissingError,
    SolverRunError,
    SolverSettings,
)
from bprr.offline.backends.highs import solve_relaxation
from bprr.offline.milp import Milp

__all__ = [
    "SOLVERS",
    "MilpResult",
    "SolverLicenceError",
    "SolverMissingError",
    "SolverRunError",
    "SolverSettings",
    "installed_solvers",
    "require_solver",
    "solve_milp",
    "solve_relaxation",
]

SOLVERS: dict[str, Backend] = {
    backend.name: backend for backend in (highs.BACKEND, cbc.BACKEND, gurobi.BACKEND, scip.BACKEND)
}


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
        If the solver is unknown, not installed, or not licensed for a model of this size.
    SolverRunError
        If it stops without an answer.
    """
    used = require_solver(settings.solver)
    if not milp.columns:
        return without_columns(milp, settings.solver, used)
    backend = SOLVERS[settings.solver]
    with tempfile.TemporaryDirectory(prefix="bprr_") as directory:
        log_path = Path(directory) / f"{stem}.log"
        try:
            result = backend.run(milp, settings, log_path)
        except SolverRunError as error:
            raise SolverRunError(f"{error}\n{said_last(log_path)}") from error
        finally:
            kept = keep_log(log_path, settings)
    return replace(result, log_path=kept)


def said_last(log_path: Path) -> str:
    """End of a log."""
    return log_path.read_text()[-600:] if log_path.exists() else ""


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


def without_columns(milp: Milp, solver: str, used: str) -> MilpResult:
    """Answer for a programme with nothing to decide, which some solvers refuse."""
    feasible = bool((milp.row_lower <= 0).all() and (milp.row_upper >= 0).all())
    value = 0.0 if feasible else float("inf")
    values = np.zeros(0) if feasible else None
    status = "optimal" if feasible else "infeasible"
    return MilpResult(status, values, value, value, 0.0, 0, solver, used, None)
