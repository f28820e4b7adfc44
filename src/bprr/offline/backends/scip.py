"""SCIP: open source, from the wheel ``pyscipopt``; single-threaded."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from bprr.offline.backends.base import (
    Answer,
    Backend,
    Ended,
    Progress,
    SolverMissingError,
    SolverRunError,
    SolverSettings,
)
from bprr.offline.backends.highs import write_mps
from bprr.offline.backends.options import GAP, LOG, THREADS, TIME, UNPROVEN, OptionError, of_type
from bprr.offline.milp import Milp
from bprr.settings.offline import Option

__all__ = ["BACKEND", "read_progress"]

ENDED: dict[str, Ended] = {
    "optimal": "finished",
    "gaplimit": "finished",
    "timelimit": "time_limit",
    "infeasible": "infeasible",
    "inforunbd": "infeasible",  # all columns are bounded
}
FAILED = ("unknown", "unbounded")
INFINITE = 1e20  # SCIP's numerics/infinity
RESERVED = {
    GAP: ("limits/gap", "limits/absgap"),
    TIME: ("limits/time", "limits/softtime"),
    THREADS: ("parallel/*", "lp/threads"),
    LOG: ("display/*", "visual/*", "*filename"),
    UNPROVEN: (
        *("numerics/*", "benders/*", "constraints/*", "reoptimization/*"),
        *("misc/referencevalue", "misc/scaleobj"),
    ),
}


def version() -> str:
    """Name and version."""
    try:
        import pyscipopt
    except ImportError as error:
        raise SolverMissingError("scip", "install the package pyscipopt (extra [scip])") from error
    model = pyscipopt.Model()
    parts = (model.getMajorVersion(), model.getMinorVersion(), model.getTechVersion())
    return f"SCIP {'.'.join(str(part) for part in parts)}"


def accept(name: str, value: Option) -> tuple[str, Option]:
    """Option as SCIP takes it."""
    import pyscipopt

    model = pyscipopt.Model()
    try:
        present = model.getParam(name)
    except KeyError:
        raise OptionError("the name of an option of SCIP") from None
    taken = of_type(value, type(present))
    try:
        model.setParam(name, taken)
    except Exception as error:  # pyscipopt's own are of no narrower class
        raise OptionError(str(error)) from error
    return name, taken


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


def run(milp: Milp, settings: SolverSettings, log_path: Path) -> Answer:
    """Solve with SCIP."""
    import pyscipopt

    model_path = log_path.with_suffix(".mps")
    write_mps(milp, model_path)
    model = pyscipopt.Model()
    model.redirectOutput()  # to Python's standard output, and from there to the log
    for name, value in {
        "limits/time": settings.time_limit_s,
        "limits/gap": settings.relative_gap,
        **settings.options,
    }.items():
        model.setParam(name, value)
    with log_path.open("w", encoding="utf-8") as log_file, redirect_stdout(log_file):
        model.readProblem(str(model_path))
        model.optimize()
    said = model.getStatus()
    if said in FAILED:
        raise SolverRunError(f"SCIP stopped: {said}")
    values = None
    if model.getNSols():
        best = model.getBestSol()
        values = np.zeros(milp.columns)
        for column in model.getVars():
            values[int(column.name[1:])] = model.getSolVal(best, column)
    bound = float(model.getDualbound())
    return Answer(
        ENDED.get(said, "stopped"),
        said,
        values,
        bound if abs(bound) < INFINITE else float(np.copysign(np.inf, bound)),
        int(model.getNTotalNodes()),
        read_progress(log_path.read_text(encoding="utf-8")),
    )


BACKEND = Backend("scip", version, accept, RESERVED, run)
