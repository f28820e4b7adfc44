"""The offline problem solved by a named formulation with a named solver, every answer verified."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter

from bprr.ground.errors import InputError
from bprr.offline.backends.base import SolverSettings
from bprr.offline.backends.solve import solve_milp
from bprr.offline.formulation_paper import build_paper
from bprr.offline.formulation_relaxed import build_relaxed
from bprr.offline.formulation_strong import build_strong
from bprr.offline.instance import OfflineInstance
from bprr.offline.packing import pack_arcs, pack_arcs_by_end
from bprr.offline.plan import OfflineResult, Plan
from bprr.offline.procedure import FlowFormulation, solve_flow_formulation
from bprr.offline.verify import Follow, follow_to_each_stop, follow_to_the_end, verify_plan

__all__ = ["FORMULATIONS", "evaluate_plan", "solve_offline"]


def evaluate_plan(
    instance: OfflineInstance, plan: Plan, follow: Follow = follow_to_the_end
) -> float:
    """Verify a plan, by the paper's stopping rule unless told otherwise; its objective (ms)."""
    return verify_plan(
        instance.swarm,
        instance.requests,
        instance.session_tokens,
        plan.placement.first_block.tolist(),
        plan.placement.blocks.tolist(),
        [(route.client, route.servers, route.processed) for route in plan.routes],
        follow,
    )


STRONG = FlowFormulation("strong", build_strong, pack_arcs_by_end, evaluate_plan)
RELAXED = FlowFormulation(
    "relaxed", build_relaxed, pack_arcs, partial(evaluate_plan, follow=follow_to_each_stop)
)


def solve_paper(instance: OfflineInstance, settings: SolverSettings) -> OfflineResult:
    """The paper's MILP (13) as it stands."""
    started = perf_counter()
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
        solver_used=result.solver_used,
        trace=result.progress,
        details={
            "columns": model.milp.columns,
            "rows": model.milp.rows,
            "ended": result.said,
            "log_path": result.log_path,
        },
    )


FORMULATIONS: dict[str, Callable[[OfflineInstance, SolverSettings], OfflineResult]] = {
    "strong": partial(solve_flow_formulation, STRONG),
    "paper": solve_paper,
    "relaxed": partial(solve_flow_formulation, RELAXED),
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
        At any limit with the incumbent and its bound; its status says which.

    Raises
    ------
    InputError
        If the formulation or the solver is unknown, or does not do with the swarm's forwarding.
    SolverMissingError, SolverLicenceError
        If the solver cannot be used.
    VerificationError
        If an answer breaks a rule of the problem.
    """
    if formulation not in FORMULATIONS:
        raise InputError("bprr solve", "formulation", formulation, ", ".join(FORMULATIONS))
    if instance.swarm.neighbours is not None and formulation != "paper":
        allowed = (
            "paper: the others flow over positions, and do not see which servers are neighbours"
        )
        raise InputError("bprr solve", "formulation", formulation, allowed)
    return FORMULATIONS[formulation](instance, settings)
