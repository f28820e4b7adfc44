"""Experiment (a): how far from optimal CG-BPRR and the placements of PETALS and GSA are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from bprr.ground.errors import InfeasibleError
from bprr.ground.swarm import Swarm
from bprr.offline.experiments.study import Case, Study, compared_row, heuristic_row, optimum_row
from bprr.offline.experiments.swarms import SESSION_TOKENS, cluster_instance, uniform_instance
from bprr.offline.heuristics import cg_bprr_plan, gsa_plan, petals_plan
from bprr.offline.instance import OfflineInstance, shared_out
from bprr.offline.plan import OfflineResult
from bprr.offline.solve import solve_offline
from bprr.placement.cg_bp import cg_bp
from bprr.scenario.draw import draw

__all__ = ["optimality"]

A100_SHARE = 0.2  # of the servers, as in the scattered scenario


@dataclass(frozen=True)
class Scale:
    """How much is covered; swarms are given as servers and the most clients tried with them."""

    clustered_loads: Sequence[int]  # R on equal servers, which are fast to solve
    random_loads: Sequence[int]  # R on randomly drawn ones
    scattered: Sequence[tuple[int, int]]  # on a backbone network
    uniform: Sequence[tuple[int, int]]  # U(25, 30) ms to MIG slices, U(125, 225) ms to A100s
    draws: int  # of each case
    petals_orders: int  # random joining orders of PETALS per case


RANDOM_LOADS = (1, 2, 3, 5, 8, 12, 16, 20)
SCALES = {
    "smoke": Scale((1, 5), (5,), ((9, 1),), ((9, 1),), draws=1, petals_orders=1),
    "main": Scale(range(1, 21), RANDOM_LOADS, ((9, 3), (26, 1)), ((9, 1),), 2, 5),
    "study": Scale(range(1, 21), RANDOM_LOADS, ((9, 3), (26, 3)), ((9, 3), (26, 3)), 10, 20),
}


def cases(study: Study, scale: Scale) -> Iterator[Case]:
    """Clustered, scattered and uniform instances."""
    for clients in (1, 2, 3):
        for mig, a100 in ((7, 2), (21, 5)):
            for load in scale.clustered_loads:
                if load >= clients:
                    requests = shared_out(load, clients)
                    instance = cluster_instance(study.catalogue, requests, mig, a100)
                    yield Case("clustered", 0, instance)
    for family, sizes in (("scattered", scale.scattered), ("uniform", scale.uniform)):
        for servers, most_clients in sizes:
            for clients in range(1, most_clients + 1):
                for number in range(scale.draws):
                    swarm = drawn_swarm(study, family, servers, clients, number)
                    for load in scale.random_loads:
                        if load >= clients:
                            requests = shared_out(load, clients)
                            instance = OfflineInstance(swarm, requests, SESSION_TOKENS)
                            yield Case(family, number, instance)


def drawn_swarm(study: Study, family: str, servers: int, clients: int, number: int) -> Swarm:
    """Swarm of one random draw, on a backbone network or with uniform round trips."""
    if family == "uniform":
        a100 = round(servers * A100_SHARE)
        rng = study.rng(3, number)
        requests = shared_out(clients, clients)
        return uniform_instance(study.catalogue, requests, rng, servers - a100, a100).swarm
    assert study.scattered is not None
    fleet = study.scattered.fleet.model_copy(update={"servers": servers, "servers_per_node": None})
    scenario = study.scattered.model_copy(update={"fleet": fleet, "clients": clients})
    # The paper's problem knows no cap on blocks; the scenario's is the artefact's.
    return draw(scenario, study.catalogue, study.seed, number).swarm.without_block_cap()


def optimality(study: Study) -> pd.DataFrame:
    """Compare the heuristics' placements, their requests routed exactly, with the optimum.

    Returns
    -------
    DataFrame
        One row per case and method, PETALS once per joining order. ``above_optimum_percent`` is
        relative to the best plan known, proven optimal where the optimum's status says so;
        ``bound_ms`` is a lower bound in any case.
    """
    scale = SCALES[study.offline.scale]
    return pd.DataFrame(
        [row for case in cases(study, scale) for row in case_rows(study, case, scale)]
    )


def case_rows(study: Study, case: Case, scale: Scale) -> Iterator[dict[str, object]]:
    """Rows of one case: the optimum first, Theorem 2's bound last."""
    instance, solver = case.instance, study.solver
    optimum = solve_offline(instance, "strong", solver)
    yield optimum_row(case, optimum)
    yield heuristic_row(case, "cg_bprr", optimum, lambda: cg_bprr_plan(instance, solver))
    yield heuristic_row(case, "gsa", optimum, lambda: gsa_plan(instance, solver))
    orders = study.rng(0, case.draw)
    for _ in range(scale.petals_orders):
        order = orders.permutation(instance.swarm.servers)
        yield heuristic_row(
            case,
            "petals",
            optimum,
            lambda: petals_plan(instance, order, solver),  # noqa: B023  (called at once)
        )
    yield theorem_2_row(case, optimum)


def theorem_2_row(case: Case, optimum: OfflineResult) -> dict[str, object]:
    """Row of Theorem 2's bound on CG-BPRR, for all requests together."""
    instance = case.instance
    try:
        details = cg_bp(instance.swarm, instance.load, instance.session_tokens).details
    except InfeasibleError as error:
        bound, status = float("nan"), f"infeasible: {error.resource}"
    else:
        bound, status = instance.load * float(details["bound_ms"]), "bound"  # type: ignore[arg-type]
    return compared_row(case, "theorem_2", optimum, bound, status)
