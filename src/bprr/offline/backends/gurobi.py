"""Gurobi: commercial; the wheel's own licence covers 2000 columns and 2000 rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bprr.offline.backends.base import (
    Answer,
    Backend,
    Ended,
    Progress,
    SolverLicenceError,
    SolverMissingError,
    SolverRunError,
    SolverSettings,
)
from bprr.offline.backends.options import GAP, LOG, THREADS, TIME, UNPROVEN, OptionError, of_type
from bprr.offline.milp import Milp
from bprr.settings.offline import Option

if TYPE_CHECKING:
    import gurobipy

__all__ = ["BACKEND"]

LICENCE_ERRORS = (10009, 10010)  # none or expired; the model is too large for it
LICENCE_REMEDY = "set GRB_LICENSE_FILE to a full licence"
FAILED = ("LOADED", "INPROGRESS", "NUMERIC", "UNBOUNDED", "CUTOFF")
RESERVED = {
    GAP: ("mipgap", "mipgapabs"),
    TIME: ("timelimit",),
    THREADS: ("threads",),
    LOG: ("log*", "outputflag", "resultfile", "solfiles", "nodefiledir"),
    UNPROVEN: ("cutoff", "*tol", "objscale", "multiobj*", "scenarionumber"),
}


def version() -> str:
    """Name and version."""
    try:
        import gurobipy
    except ImportError as error:
        remedy = "install the package gurobipy (extra [gurobi])"
        raise SolverMissingError("gurobi", remedy) from error
    return f"Gurobi {'.'.join(str(part) for part in gurobipy.gurobi.version())}"


@contextmanager
def new_model(milp: Milp | None = None) -> Iterator[gurobipy.Model]:
    """Empty model; what Gurobi refuses while it is used becomes one of our errors."""
    import gurobipy

    try:
        with gurobipy.Env(empty=True) as environment:
            environment.setParam("LogToConsole", 0)
            environment.start()
            with gurobipy.Model(env=environment) as model:
                yield model
    except gurobipy.GurobiError as error:
        if error.errno in LICENCE_ERRORS:
            raise SolverLicenceError("gurobi", milp, f"{error}; {LICENCE_REMEDY}") from error
        raise SolverRunError(f"Gurobi: error {error.errno}: {error}") from error


def accept(name: str, value: Option) -> tuple[str, Option]:
    """Option as Gurobi takes it."""
    import gurobipy

    with new_model() as model:
        found = model.getParamInfo(name)
        if found is None:
            raise OptionError("the name of an option of Gurobi")
        taken = of_type(value, found[1])
        try:
            model.setParam(name, taken)  # type: ignore[arg-type,unused-ignore]
        except gurobipy.GurobiError as error:
            raise OptionError(str(error)) from error
        return name, taken


def run(milp: Milp, settings: SolverSettings, log_path: Path) -> Answer:
    """Solve with Gurobi."""
    from gurobipy import GRB

    progress: list[Progress] = []

    def note(model: gurobipy.Model, where: int) -> None:
        if where == GRB.Callback.MIPSOL:
            best, bound = GRB.Callback.MIPSOL_OBJBST, GRB.Callback.MIPSOL_OBJBND
        elif where == GRB.Callback.MIP:
            best, bound = GRB.Callback.MIP_OBJBST, GRB.Callback.MIP_OBJBND
        else:
            return
        now = (model.cbGet(GRB.Callback.RUNTIME), model.cbGet(best), model.cbGet(bound))
        if not progress or progress[-1][1:] != now[1:]:
            progress.append(now)

    ended: dict[int, Ended] = {
        GRB.OPTIMAL: "finished",
        GRB.TIME_LIMIT: "time_limit",
        GRB.INFEASIBLE: "infeasible",
        GRB.INF_OR_UNBD: "infeasible",  # all columns are bounded
    }
    words = {getattr(GRB.Status, word): word for word in dir(GRB.Status) if word.isupper()}
    options: dict[str, Option] = {
        "LogFile": str(log_path),
        "TimeLimit": settings.time_limit_s,
        "Threads": settings.threads,
        "MIPGap": settings.relative_gap,
        "MIPGapAbs": 0.0,
        **settings.options,
    }
    with new_model(milp) as model:
        for name, value in options.items():
            model.setParam(name, value)  # type: ignore[arg-type,unused-ignore]
        columns = model.addMVar(
            milp.columns,
            lb=milp.lower,
            ub=milp.upper,
            obj=milp.cost,
            vtype=np.where(milp.integer, GRB.INTEGER, GRB.CONTINUOUS),
        )
        equal = milp.row_lower == milp.row_upper
        below = np.isfinite(milp.row_upper) & ~equal
        above = np.isfinite(milp.row_lower) & ~equal
        matrix = milp.matrix
        model.addMConstr(matrix[equal], columns, "=", milp.row_upper[equal])
        model.addMConstr(matrix[below], columns, "<", milp.row_upper[below])
        model.addMConstr(matrix[above], columns, ">", milp.row_lower[above])
        model.optimize(note)
        said = words.get(model.Status, str(model.Status))
        if said in FAILED:
            raise SolverRunError(f"Gurobi stopped: {said}")
        return Answer(
            ended.get(model.Status, "stopped"),
            said,
            np.array(columns.X) if model.SolCount else None,
            float(model.ObjBound),
            int(model.NodeCount),
            tuple(progress),
        )


BACKEND = Backend("gurobi", version, accept, RESERVED, run)
