"""HiGHS: the default, in the wheel; also solves the linear relaxations of every procedure."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import highspy
import numpy as np

from bprr.ground.swarm import FloatArray
from bprr.offline.backends.base import (
    Backend,
    MilpResult,
    Option,
    Progress,
    SolverRunError,
    SolverSettings,
)
from bprr.offline.milp import Milp

__all__ = ["BACKEND", "load_model", "solve_relaxation"]

KEEPS_INCUMBENT = {
    highspy.HighsModelStatus.kTimeLimit,
    highspy.HighsModelStatus.kSolutionLimit,
    highspy.HighsModelStatus.kIterationLimit,
    highspy.HighsModelStatus.kInterrupt,
}


def version() -> str:
    """Name and version."""
    return f"HiGHS {highspy.Highs().version()}"


def load_model(milp: Milp, integer: bool) -> highspy.Highs:
    """HiGHS holding the programme, or its linear relaxation; silent."""
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = milp.columns, milp.rows
    model.col_cost_, model.col_lower_, model.col_upper_ = milp.cost, milp.lower, milp.upper
    infinity = highspy.kHighsInf
    model.row_lower_ = np.where(np.isneginf(milp.row_lower), -infinity, milp.row_lower)
    model.row_upper_ = np.where(np.isposinf(milp.row_upper), infinity, milp.row_upper)
    matrix = milp.matrix.tocsc()
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = matrix.indptr
    model.a_matrix_.index_ = matrix.indices
    model.a_matrix_.value_ = matrix.data
    if integer:
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        model.integrality_ = [kinds[int(whole)] for whole in milp.integer]
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.passModel(model)
    return solver


def set_option(solver: highspy.Highs, name: str, value: Option) -> None:
    """Set an option and refuse what HiGHS refuses."""
    if solver.setOptionValue(name, value) != highspy.HighsStatus.kOk:
        raise SolverRunError(f"HiGHS does not accept option {name} = {value!r}")


def run(milp: Milp, settings: SolverSettings, log_path: Path) -> MilpResult:
    """Solve with HiGHS."""
    solver = load_model(milp, integer=True)
    # The thread pool is made once per process, for the threads asked for first.
    highspy.Highs.resetGlobalScheduler(True)
    options: dict[str, Option] = {
        "log_file": str(log_path),
        "output_flag": True,
        "log_to_console": False,
        "time_limit": float(settings.time_limit_s),
        "threads": int(settings.threads),
        "mip_rel_gap": float(settings.relative_gap),
        **settings.options,
    }
    for name, value in options.items():
        set_option(solver, name, value)
    progress: list[Progress] = []

    def note(event: highspy.HighsCallbackEvent) -> None:
        data = event.data_out
        progress.append((data.running_time, data.mip_primal_bound, data.mip_dual_bound))

    solver.cbMipLogging.subscribe(note)
    started = perf_counter()
    solver.run()
    if solver.getModelStatus() == highspy.HighsModelStatus.kSolveError:
        # HiGHS 1.15 may undo its presolve into a point that it then refuses itself.
        set_option(solver, "presolve", "off")
        set_option(solver, "time_limit", max(0.0, settings.time_limit_s - solver.getRunTime()))
        solver.clearSolver()
        solver.run()
    seconds = perf_counter() - started
    status, info = solver.getModelStatus(), solver.getInfo()
    values = None
    if info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible:
        values = np.array(solver.getSolution().col_value)
    if status == highspy.HighsModelStatus.kOptimal:
        word = "optimal"
    elif status in (
        highspy.HighsModelStatus.kInfeasible,
        highspy.HighsModelStatus.kUnboundedOrInfeasible,  # all columns are bounded
    ):
        word = "infeasible"
    elif status in KEEPS_INCUMBENT:
        word = "time_limit"
    else:
        raise SolverRunError(f"HiGHS stopped: {solver.modelStatusToString(status)}")
    return MilpResult(
        status=word,
        values=values,
        objective=float("inf") if values is None else float(milp.cost @ values),
        bound=float("inf") if word == "infeasible" else float(info.mip_dual_bound),
        seconds=seconds,
        nodes=max(0, int(info.mip_node_count)),
        solver_requested=settings.solver,
        solver_used=version(),
        log_path=log_path,
        progress=tuple(progress),
    )


def solve_relaxation(milp: Milp, time_limit_s: float) -> tuple[float, FloatArray]:
    """Safe bound and reduced costs from the linear relaxation.

    The bound is recomputed from the duals, so it holds whatever tolerance the solver worked to:
    for any duals π, Σ π·(the side they push against) + Σ min over the column's bounds of its
    reduced cost is at most the optimum.

    Parameters
    ----------
    milp : Milp
        Programme with finite column bounds.
    time_limit_s : float
        Limit (s); without optimal duals the bound is weak, but still a bound.

    Returns
    -------
    bound : float
        Lower bound on the optimum; infinite if the relaxation is infeasible.
    reduced_cost : ndarray, shape (N,)
        What a unit of each column adds to that bound.
    """
    solver = load_model(milp, integer=False)
    set_option(solver, "time_limit", float(max(time_limit_s, 0.01)))
    solver.run()
    if solver.getModelStatus() in (
        highspy.HighsModelStatus.kInfeasible,
        highspy.HighsModelStatus.kUnboundedOrInfeasible,
    ):
        return float("inf"), np.zeros(milp.columns)
    dual = np.array(solver.getSolution().row_dual)
    if dual.shape != (milp.rows,):
        dual = np.zeros(milp.rows)
    side = np.where(dual > 0, milp.row_lower, milp.row_upper)
    usable = np.isfinite(side) & (dual != 0)
    dual = np.where(usable, dual, 0.0)
    reduced = milp.cost - milp.matrix.T @ dual
    column_side = np.where(reduced > 0, milp.lower, milp.upper)
    bound = float(dual[usable] @ side[usable] + reduced @ column_side)
    return bound, reduced


BACKEND = Backend("highs", version, run)
