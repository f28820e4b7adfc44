"""HiGHS: the default, in the wheel; also solves the linear relaxations of every procedure."""

from __future__ import annotations

from pathlib import Path

import highspy
import numpy as np

from bprr.ground.swarm import FloatArray
from bprr.offline.backends.base import (
    Answer,
    Backend,
    Ended,
    Progress,
    SolverRunError,
    SolverSettings,
)
from bprr.offline.backends.options import GAP, LOG, THREADS, TIME, UNPROVEN, OptionError, of_type
from bprr.offline.milp import Milp
from bprr.settings.offline import Option

__all__ = ["BACKEND", "solve_relaxation", "write_mps"]

STATUS = highspy.HighsModelStatus
ENDED: dict[STATUS, Ended] = {
    STATUS.kOptimal: "finished",
    STATUS.kInfeasible: "infeasible",
    STATUS.kUnboundedOrInfeasible: "infeasible",  # all columns are bounded
    STATUS.kTimeLimit: "time_limit",
}
FAILED = (
    *(STATUS.kNotset, STATUS.kLoadError, STATUS.kModelError, STATUS.kPresolveError),
    *(STATUS.kSolveError, STATUS.kPostsolveError, STATUS.kUnbounded, STATUS.kUnknown),
)
RESERVED = {
    GAP: ("mip_rel_gap", "mip_abs_gap"),
    TIME: ("time_limit",),
    THREADS: ("threads", "parallel"),
    LOG: ("output_flag", "log_to_console", "*_file", "*write_*", "*_save"),
    UNPROVEN: (
        *("*tolerance", "*_matrix_value", "infinite_*", "user_*_scale"),
        *("objective_bound", "solve_relaxation"),
    ),
}
KINDS = {
    highspy.HighsOptionType.kBool: bool,
    highspy.HighsOptionType.kInt: int,
    highspy.HighsOptionType.kDouble: float,
    highspy.HighsOptionType.kString: str,
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
    solver = silent()
    solver.passModel(model)
    return solver


def write_mps(milp: Milp, path: Path) -> None:
    """Write a programme as MPS, for other solvers; columns are c0…, rows r0…."""
    load_model(milp, integer=True).writeModel(str(path))
    if not path.read_bytes().endswith(b"ENDATA\n"):
        raise SolverRunError(f"{path} could not be written to its end; is the disk full?")


def silent() -> highspy.Highs:
    """HiGHS that prints nothing."""
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    return solver


def accept(name: str, value: Option) -> tuple[str, Option]:
    """Option as HiGHS takes it."""
    solver = silent()
    found, kind = solver.getOptionType(name)
    if found != highspy.HighsStatus.kOk:
        raise OptionError("the name of an option of HiGHS")
    taken = of_type(value, KINDS[kind])
    if solver.setOptionValue(name, taken) != highspy.HighsStatus.kOk:
        raise OptionError(f"a value that HiGHS takes for {name}")
    return name, taken


def run(milp: Milp, settings: SolverSettings, log_path: Path) -> Answer:
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
        "mip_abs_gap": 0.0,
        **settings.options,
    }
    for name, value in options.items():
        solver.setOptionValue(name, value)
    progress: list[Progress] = []

    def note(event: highspy.HighsCallbackEvent) -> None:
        data = event.data_out
        progress.append((data.running_time, data.mip_primal_bound, data.mip_dual_bound))

    solver.cbMipLogging.subscribe(note)
    solver.run()
    if solver.getModelStatus() == STATUS.kSolveError:
        # HiGHS 1.15 may undo its presolve into a point that it then refuses itself.
        solver.setOptionValue("presolve", "off")
        left_s = max(0.0, settings.time_limit_s - solver.getRunTime())
        solver.setOptionValue("time_limit", left_s)
        solver.clearSolver()
        solver.run()
    status, info = solver.getModelStatus(), solver.getInfo()
    if status in FAILED:
        raise SolverRunError(f"HiGHS stopped: {solver.modelStatusToString(status)}")
    values = None
    if info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible:
        values = np.array(solver.getSolution().col_value)
    return Answer(
        ENDED.get(status, "stopped"),
        solver.modelStatusToString(status),
        values,
        float(info.mip_dual_bound),
        max(0, int(info.mip_node_count)),
        tuple(progress),
    )


def solve_relaxation(milp: Milp, time_limit_s: float) -> tuple[float, FloatArray]:
    """Safe bound and reduced costs from the linear relaxation.

    The bound is recomputed from the duals, so it holds whatever tolerance the solver worked to:
    for any duals π, Σ π·(the side they push against) + Σ min over the column's bounds of its
    reduced cost is at most the optimum. It is infinite if the relaxation is infeasible, and weak
    without optimal duals in time.
    """
    solver = load_model(milp, integer=False)
    solver.setOptionValue("time_limit", float(max(time_limit_s, 0.01)))
    solver.run()
    if ENDED.get(solver.getModelStatus()) == "infeasible":
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


BACKEND = Backend("highs", version, accept, RESERVED, run)
