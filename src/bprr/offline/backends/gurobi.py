"""Gurobi: commercial; the wheel's own licence covers 2000 columns and 2000 rows."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import numpy as np

from bprr.offline.backends.base import (
    Backend,
    MilpResult,
    Option,
    Progress,
    SolverLicenceError,
    SolverMissingError,
    SolverRunError,
    SolverSettings,
)
from bprr.offline.milp import Milp

__all__ = ["BACKEND"]

SIZE_LIMIT_ERROR = 10010
LICENCE_REMEDY = "set GRB_LICENSE_FILE to a full licence"


def version() -> str:
    """Name and version."""
    try:
        import gurobipy
    except ImportError as error:
        raise SolverMissingError(
            "gurobi", "install the package gurobipy (extra [gurobi])"
        ) from error
    return f"Gurobi {'.'.join(str(part) for part in gurobipy.gurobi.version())}"


def run(milp: Milp, settings: SolverSettings, log_path: Path) -> MilpResult:
    """Solve with Gurobi."""
    used = version()
    import gurobipy
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

    try:
        with gurobipy.Env(empty=True) as environment:
            environment.setParam("LogToConsole", 0)
            environment.start()
            with gurobipy.Model(env=environment) as model:
                options: dict[str, Option] = {
                    "LogFile": str(log_path),
                    "TimeLimit": settings.time_limit_s,
                    "Threads": settings.threads,
                    "MIPGap": settings.relative_gap,
                    **settings.options,
                }
                for name, value in options.items():
                    model.setParam(name, value)  # type: ignore[arg-type,unused-ignore]
                columns = model.addMVar(
                    milp.columns,
                    lb=milp.lower,
                    ub=milp.upper,
                    obj=milp.cost,
                    vtype=np.where(milp.integer, GRB.INTEGER, GRB.CONTINUOUS),
                )
                upper = np.isfinite(milp.row_upper)
                equal = milp.row_lower == milp.row_upper
                lower = np.isfinite(milp.row_lower) & ~equal
                matrix = milp.matrix
                model.addMConstr(matrix[equal], columns, "=", milp.row_upper[equal])
                side = upper & ~equal
                model.addMConstr(matrix[side], columns, "<", milp.row_upper[side])
                model.addMConstr(matrix[lower], columns, ">", milp.row_lower[lower])
                started = perf_counter()
                model.optimize(note)
                seconds = perf_counter() - started
                values = np.array(columns.X) if model.SolCount else None
                status = {
                    GRB.OPTIMAL: "optimal",
                    GRB.TIME_LIMIT: "time_limit",
                    GRB.INFEASIBLE: "infeasible",
                    GRB.INF_OR_UNBD: "infeasible",  # all columns are bounded
                }.get(model.Status)
                if status is None:
                    raise SolverRunError(f"Gurobi stopped with status {model.Status}")
                return MilpResult(
                    status=status,
                    values=values,
                    objective=float("inf") if values is None else float(milp.cost @ values),
                    bound=float("inf") if status == "infeasible" else float(model.ObjBound),
                    seconds=seconds,
                    nodes=int(model.NodeCount),
                    solver_requested=settings.solver,
                    solver_used=used,
                    log_path=log_path,
                    progress=tuple(progress),
                )
    except gurobipy.GurobiError as error:
        if error.errno == SIZE_LIMIT_ERROR:
            raise SolverLicenceError("gurobi", milp, LICENCE_REMEDY) from error
        raise SolverRunError(f"Gurobi: error {error.errno}: {error}") from error


BACKEND = Backend("gurobi", version, run)
