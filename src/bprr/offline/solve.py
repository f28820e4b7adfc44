"""The offline problem solved by a named formulation with a named solver, every answer verified."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from bprr.ground.errors import InputError
from bprr.offline.backends import SolverSettings, require_solver, solve_milp
from bprr.offline.formulation_paper import build_paper
from bprr.offline.formulation_relaxed import build_relaxed
from bprr.offline.formulation_strong import build_strong
from bprr.offline.instance import OfflineInstance
from bprr.offline.packing import pack_arcs, pack_arcs_by_end
from bprr.offline.plan import OfflineResult, Plan
from bprr.offline.procedure import FlowFormulation, solve_flow_formulation
from bprr.offline.verify import verify_plan, verify_relaxed_plan

__all__ = ["FORMULATIONS", "evaluate_plan", "evaluate_relaxed_plan", "solve_offline"]


def evaluate_plan(instance: OfflineInstance, plan: Plan) -> float:
    """Verify a plan against the paper's problem; its objective (ms)."""
    return verify_plan(
        instance.swarm,
        instance.requests,
        instance.session_tokens,
        plan.placement.first_block.tolist(),
        plan.placement.blocks.tolist(),
        [(route.client, route.servers, route.processed) for route in plan.routes],
    )


def evaluate_relaxed_plan(instance: OfflineInstance, plan: Plan) -> float:
    """Verify a plan against the relaxed stopping rule; its objective (ms)."""
    return verify_relaxed_plan(
        instance.swarm,
        instance.requests,
        instance.session_tokens,
        plan.placement.first_block.tolist(),
        plan.placement.blocks.tolist(),
        [(route.client, route.servers, route.processed) for route in plan.routes],
    )


def solve_strong(instance: OfflineInstance, settings: SolverSettings) -> OfflineResult:
    """The strong formulation with its whole procedure."""
    formulation = FlowFormulation("strong", build_strong, pack_arcs_by_end, evaluate_plan)
    return solve_flow_formulation(instance, formulation, settings)


def solve_relaxed(instance: OfflineInstance, settings: SolverSettings) -> OfflineResult:
    """The relaxed stopping rule, by the same procedure."""
    formulation = FlowFormulation("relaxed", build_relaxed, pack_arcs, evaluate_relaxed_plan)
    return solve_flow_formulation(instance, formulation, settings)


def solve_paper(instance: OfflineInstance, settings: SolverSettings) -> OfflineResult:
    """The paper's MILP (13) as it stands."""
    started = perf_counter()
    used = require_solver(settings.solver)
    model = build_paper(instance)
    result = solve_milp(model.milp, settings, "paper")
    plan = None if result.values is None else model.plan(result.values)
    objective = float("inf") if plan is None else evaluate_plan(instance, plan)
    return OfflineResult(
        plan=plan,
        objective_ms=objective,
        bound_ms=min(result.bound, objective),
        status=result.status,
        seconds=perf_counter() - started,
        nodes=result.nodes,
        formulation="paper",
        solver_requested=settings.solver,
        solver_used=used,
        verified=plan is not None,
        trace=result.progress,
        details={
            "columns": model.milp.columns,
            "rows": model.milp.rows,
            "log": None if result.log_path is None else str(result.log_path),
        },
    )


FORMULATIONS: dict[str, Callable[[OfflineInstance, SolverSettings], OfflineResult]] = {
    "strong": solve_strong,
    "paper": solve_paper,
    "relaxed": solve_relaxed,
}


def solve_offline(
    instance: OfflineInstance, formulation: str, settings: SolverSettings
) -> OfflineResult:
    """Solve the offline problem.

    Parameters
    ----------
    instance : OfflineInstance
        The problem.
    formulation : str
        ``"strong"`` or ``"paper"`` (the same problem), or ``"relaxed"`` (servers may stop early).
    settings : SolverSettings
        Solver and limits.

    Returns
    -------
    OfflineResult
        At the time limit with the incumbent, its bound and status ``"time_limit"``.

    Raises
    ------
    InputError
        If the formulation or the solver is unknown.
    SolverMissingError, SolverLicenceError
        If the solver cannot be used.
    VerificationError
        If an answer breaks a rule of the problem.
    """
    if formulation not in FORMULATIONS:
        raise InputError("bprr solve", "formulation", formulation, ", ".join(FORMULATIONS))
    return FORMULATIONS[formulation](instance, settings)
