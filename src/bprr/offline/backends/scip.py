"""SCIP: open source, from the wheel ``pyscipopt``; single-threaded."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from pathlib import Path
from time import perf_counter

import numpy as np

from bprr.offline.backends.base import (
    Backend,
    MilpResult,
    Progress,
    SolverMissingError,
    SolverRunError,
    SolverSettings,
)
from bprr.offline.milp import Milp

__all__ = ["BACKEND", "read_progress"]


def version() -> str:
    """Name and version."""
    try:
        import pyscipopt
    except ImportError as error:
        raise SolverMissingError("scip", "install the package pyscipopt (extra [scip])") from error
    model = pyscipopt.Model()
    parts = (model.getMajorVersion(), model.getMinorVersion(), model.getTechVersion())
    return f"SCIP {'.'.join(str(part) for part in parts)}"


def read_progress(log: str) -> tuple[Progress, ...]:
    """Seconds, incumbent and bound from the table that SCIP prints."""
    progress = []
    for line in log.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 4 or not re.match(r"\S?\s*[\d.]+s$", cells[0]):
            continue
        numbers = [cell for cell in cells if re.fullmatch(r"[-+]?\d\.\d+e[-+]\d+|--", cell)]
        if len(numbers) >= 2 and "--" not in numbers[-2:]:
            seconds = float(re.sub(r"[^\d.]", "", cells[0]))
            progress.append((seconds, float(numbers[-1]), float(numbers[-2])))
    return tuple(progress)


def run(milp: Milp, settings: SolverSettings, log_path: Path) -> MilpResult:
    """Solve with SCIP."""
    used = version()
    import pyscipopt

    model_path = log_path.with_suffix(".mps")
    milp.write_mps(model_path)
    model = pyscipopt.Model()
    model.redirectOutput()  # to Python's standard output, and from there to the log
    for name, value in {
        "limits/time": settings.time_limit_s,
        "limits/gap": settings.relative_gap,
        **settings.options,
    }.items():
        model.setParam(name, value)
    started = perf_counter()
    with log_path.open("w") as log_file, redirect_stdout(log_file):
        model.readProblem(str(model_path))
        model.optimize()
    seconds = perf_counter() - started
    values = None
    if model.getNSols():
        best = model.getBestSol()
        values = np.zeros(milp.columns)
        for column in model.getVars():
            values[int(column.name[1:])] = model.getSolVal(best, column)
    status = {
        "optimal": "optimal",
        "gaplimit": "optimal",
        "timelimit": "time_limit",
        "infeasible": "infeasible",
        "inforunbd": "infeasible",  # all columns are bounded
    }.get(model.getStatus())
    if status is None:
        raise SolverRunError(f"SCIP stopped: {model.getStatus()}")
    bound, nodes = float(model.getDualbound()), int(model.getNTotalNodes())
    return MilpResult(
        status=status,
        values=values,
        objective=float("inf") if values is None else float(milp.cost @ values),
        bound=float("inf") if status == "infeasible" else bound,
        seconds=seconds,
        nodes=nodes,
        solver_requested=settings.solver,
        solver_used=used,
        log_path=log_path,
        progress=read_progress(log_path.read_text()),
    )


BACKEND = Backend("scip", version, run)
