"""What the offline optimum answers: experiments that return tidy tables.

Objectives are Σ over requests of the per-token time (13a without l_max), in ms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import pandas as pd

from bprr.ground.errors import InfeasibleError
from bprr.ground.performance import conservative_blocks
from bprr.ground.swarm import Swarm
from bprr.offline.backends import SolverLicenceError, SolverSettings, installed_solvers
from bprr.offline.heuristics import cg_bprr_plan, gsa_plan, petals_plan
from bprr.offline.instance import OfflineInstance
from bprr.offline.plan import OfflineResult, Plan
from bprr.offline.reference import (
    SESSION_TOKENS,
    cluster_instance,
    equal_memory_instance,
    uniform_instance,
)
from bprr.offline.solve import evaluate_plan, solve_offline
from bprr.placement.cg_bp import cg_bp
from bprr.scenario.draw import Catalogue, draw
from bprr.settings.configuration import Scenario

__all__ = [
    "EXPERIMENTS",
    "SCALES",
    "Case",
    "Scale",
    "Study",
    "equal_blocks",
    "optimality",
    "relaxed_stopping",
    "solver_race",
    "theorem_2",
]

HUNDRED_PER_CENT = 100.0
A100_SHARE = 0.2  # of the servers, as in the scattered scenario


@dataclass(frozen=True)
class Scale:
    """How much an experiment covers.

    Parameters
    ----------
    clustered_loads, random_loads : sequence of int
        R on clustered swarms (equal servers, fast to solve) and on randomly drawn ones.
    scattered, uniform : sequence of (int, int)
        Servers, and the most clients tried with them: swarms on a backbone network, and swarms
        with U(25, 30) ms to every MIG slice and U(125, 225) ms to every A100.
    draws : int
        Random draws of each case.
    petals_orders : int
        Random joining orders of PETALS per case.
    relaxed_loads, equal_loads : sequence of int
        R in the experiments on the stopping rule and on servers of equal memory.
    race_loads : sequence of int
        R in the race of formulations and solvers.
    race_seconds : float
        Time limit of one run in the race (s).
    """

    clustered_loads: Sequence[int]
    random_loads: Sequence[int]
    scattered: Sequence[tuple[int, int]]
    uniform: Sequence[tuple[int, int]]
    draws: int
    petals_orders: int
    relaxed_loads: Sequence[int]
    equal_loads: Sequence[int]
    race_loads: Sequence[int]
    race_seconds: float


SCALES = {
    "smoke": Scale((1, 5), (5,), ((9, 1),), ((9, 1),), 1, 1, (2,), (5,), (1,), 0.5),
    "main": Scale(
        clustered_loads=range(1, 21),
        random_loads=(1, 2, 3, 5, 8, 12, 16, 20),
        scattered=((9, 3), (26, 1)),
        uniform=((9, 1),),
        draws=2,
        petals_orders=5,
        relaxed_loads=(1, 2, 3, 5, 8),
        equal_loads=(1, 5, 20),
        race_loads=(1, 2, 3),
        race_seconds=10.0,
    ),
    "study": Scale(
        clustered_loads=range(1, 21),
        random_loads=(1, 2, 3, 5, 8, 12, 16, 20),
        scattered=((9, 3), (26, 3)),
        uniform=((9, 3), (26, 3)),
        draws=10,
        petals_orders=20,
        relaxed_loads=range(1, 21),
        equal_loads=(1, 2, 3, 5, 8, 12, 16, 20),
        race_loads=(1, 2, 3, 5, 8),
        race_seconds=200.0,
    ),
}


@dataclass(frozen=True)
class Study:
    """What every experiment needs.

    Parameters
    ----------
    catalogue : Catalogue
        Devices, models and networks.
    scattered : Scenario
        Scenario of the scattered swarms; servers and clients are set by the experiment.
    solver : SolverSettings
        Solver of the optima, its limit for one instance.
    scale : Scale
        How much is covered.
    seed : int
        Seed of all random draws.
    """

    catalogue: Catalogue
    scattered: Scenario
    solver: SolverSettings
    scale: Scale
    seed: int

    def rng(self, *key: int) -> np.random.Generator:
        """Random numbers of one case."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


@dataclass(frozen=True)
class Case:
    """One instance with what names it in tables."""

    family: str
    draw: int
    instance: OfflineInstance

    @property
    def labels(self) -> dict[str, object]:
        """Columns that name the case."""
        swarm = self.instance.swarm
        return {
            "family": self.family,
            "servers": swarm.servers,
            "clients": swarm.clients,
            "load": self.instance.load,
            "draw": self.draw,
        }


def shared_out(load: int, clients: int) -> tuple[int, ...]:
    """Requests dealt to clients as evenly as possible, the first ones getting more."""
    return tuple(load // clients + (client < load % clients) for client in range(clients))


def study_cases(study: Study) -> Iterator[Case]:
    """Clustered and scattered instances of the comparison with the optimum."""
    for clients in (1, 2, 3):
        for mig, a100 in ((7, 2), (21, 5)):
            for load in study.scale.clustered_loads:
                if load >= clients:
                    requests = shared_out(load, clients)
                    instance = cluster_instance(study.catalogue, requests, mig, a100)
                    yield Case("clustered", 0, instance)
    for family, sizes in (("scattered", study.scale.scattered), ("uniform", study.scale.uniform)):
        for servers, most_clients in sizes:
            for clients in range(1, most_clients + 1):
                for number in range(study.scale.draws):
                    swarm = drawn_swarm(study, family, servers, clients, number)
                    for load in study.scale.random_loads:
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
    fleet = study.scattered.fleet.model_copy(update={"servers": servers, "servers_per_node": None})
    scenario = study.scattered.model_copy(update={"fleet": fleet, "clients": clients})
    return draw(scenario, study.catalogue, study.seed, number).swarm


def optimum_row(case: Case, optimum: OfflineResult) -> dict[str, object]:
    """Row of the proven (or best known) optimum of a case."""
    return {
        **case.labels,
        "method": "optimum",
        "objective_ms": finite(optimum.objective_ms),
        "bound_ms": optimum.bound_ms,
        "above_optimum_percent": 0.0,
        "status": optimum.status,
        "seconds": optimum.seconds,
        "solver": optimum.solver_used,
        "verified": optimum.verified,
    }


def finite(value: float) -> float:
    """The value, or NaN for a plan that does not exist."""
    return value if np.isfinite(value) else float("nan")


def heuristic_row(
    case: Case, method: str, optimum: OfflineResult, make: Callable[[], Plan]
) -> dict[str, object]:
    """Row of a heuristic's plan, verified, against the optimum of its case."""
    started = perf_counter()
    try:
        plan = make()
    except InfeasibleError as error:
        objective, status = float("nan"), f"infeasible: {error.resource}"
    else:
        objective, status = evaluate_plan(case.instance, plan), "ok"
    return {
        **case.labels,
        "method": method,
        "objective_ms": objective,
        "bound_ms": optimum.bound_ms,
        "above_optimum_percent": HUNDRED_PER_CENT * (objective / optimum.objective_ms - 1),
        "status": status,
        "seconds": perf_counter() - started,
        "solver": optimum.solver_used,
        "verified": status == "ok",
    }


def optimality(study: Study) -> pd.DataFrame:
    """Experiment (a): how far from optimal CG-BPRR and the placements of PETALS and GSA are.

    Returns
    -------
    DataFrame
        One row per case and method, PETALS once per joining order. ``above_optimum_percent`` is
        relative to the best plan known, proven optimal where the optimum's status says so;
        ``bound_ms`` is a lower bound in any case.
    """
    rows = []
    for case in study_cases(study):
        instance = case.instance
        optimum = solve_offline(instance, "strong", study.solver)
        rows.append(optimum_row(case, optimum))
        routing = study.solver
        rows.append(
            heuristic_row(case, "cg_bprr", optimum, lambda: cg_bprr_plan(instance, routing))  # noqa: B023
        )
        rows.append(heuristic_row(case, "gsa", optimum, lambda: gsa_plan(instance, routing)))  # noqa: B023
        orders = study.rng(0, case.draw)
        for _ in range(study.scale.petals_orders):
            order = orders.permutation(instance.swarm.servers)
            rows.append(
                heuristic_row(
                    case,
                    "petals",
                    optimum,
                    lambda: petals_plan(instance, order, routing),  # noqa: B023
                )
            )
        rows.append(theorem_2_row(case, optimum))
    return pd.DataFrame(rows)


def theorem_2_row(case: Case, optimum: OfflineResult) -> dict[str, object]:
    """Row of Theorem 2's bound on CG-BPRR, for all requests together."""
    instance = case.instance
    try:
        details = cg_bp(instance.swarm, instance.load, instance.session_tokens).details
    except InfeasibleError as error:
        bound, status = float("nan"), f"infeasible: {error.resource}"
    else:
        bound, status = instance.load * float(details["bound_ms"]), "bound"  # type: ignore[arg-type]
    return {
        **case.labels,
        "method": "theorem_2",
        "objective_ms": bound,
        "bound_ms": optimum.bound_ms,
        "above_optimum_percent": HUNDRED_PER_CENT * (bound / optimum.objective_ms - 1),
        "status": status,
        "seconds": 0.0,
        "solver": optimum.solver_used,
        "verified": False,
    }


def theorem_2(optimality_table: pd.DataFrame) -> pd.DataFrame:
    """Experiment (b): Theorem 2's bound beside what it bounds and beside the optimum.

    Parameters
    ----------
    optimality_table : DataFrame
        Result of `optimality`.

    Returns
    -------
    DataFrame
        One row per case: per-token means ``bound_ms``, ``cg_bprr_ms``, ``optimum_ms``, and the
        bound's ratios to the two others.
    """
    names = ["family", "servers", "clients", "load", "draw"]
    wanted = optimality_table[optimality_table["method"].isin(["theorem_2", "cg_bprr", "optimum"])]
    wide = wanted.pivot(index=names, columns="method", values="objective_ms").reset_index()
    table = wide[names].copy()
    for column, method in (
        ("bound_ms", "theorem_2"),
        ("cg_bprr_ms", "cg_bprr"),
        ("optimum_ms", "optimum"),
    ):
        table[column] = wide[method] / wide["load"]
    table["bound_over_cg_bprr"] = table["bound_ms"] / table["cg_bprr_ms"]
    table["bound_over_optimum"] = table["bound_ms"] / table["optimum_ms"]
    return table


def solver_race(study: Study) -> pd.DataFrame:
    """Experiment (c): both formulations on every installed solver, with their gaps over time.

    Returns
    -------
    DataFrame
        One row per report of progress, status ``"running"``; the last one of a run has its final
        status, which is ``"licence"`` if the solver's licence does not cover the model.
    """
    cases = [
        Case("clustered", 0, cluster_instance(study.catalogue, (load,)))
        for load in study.scale.race_loads
    ]
    three = shared_out(8, 3)
    cases.append(Case("clustered", 0, cluster_instance(study.catalogue, three)))
    uniform = uniform_instance(study.catalogue, (8,), study.rng(1))
    cases.append(Case("uniform", 0, uniform))
    rows: list[dict[str, object]] = []
    for case in cases:
        for formulation in ("strong", "paper"):
            for solver in installed_solvers():
                settings = replace(
                    study.solver, solver=solver, time_limit_s=study.scale.race_seconds, options={}
                )
                rows += race_rows(case, formulation, settings)
    return pd.DataFrame(rows)


def race_rows(case: Case, formulation: str, settings: SolverSettings) -> list[dict[str, object]]:
    """Progress and outcome of one run."""
    names = {**case.labels, "formulation": formulation, "solver": settings.solver}
    try:
        result = solve_offline(case.instance, formulation, settings)
    except SolverLicenceError:
        nothing = {"seconds": float("nan"), "objective_ms": float("nan"), "bound_ms": float("nan")}
        return [{**names, **nothing, "gap": float("nan"), "status": "licence", "nodes": 0}]
    reports = [(*report, "running") for report in result.trace]
    last = (result.seconds, result.objective_ms, result.bound_ms, result.status)
    return [
        {
            **names,
            "seconds": seconds,
            "objective_ms": finite(objective),
            "bound_ms": finite(bound),
            "gap": finite((objective - bound) / objective) if np.isfinite(objective) else np.nan,
            "status": status,
            "nodes": result.nodes,
        }
        for seconds, objective, bound, status in [*reports, last]
    ]


def relaxed_stopping(study: Study) -> pd.DataFrame:
    """Experiment (d): what servers that may stop before the end of their range would gain.

    Returns
    -------
    DataFrame
        One row per case; ``gain_percent`` of the optimum under the suffix rule, and the most that
        the bound leaves possible where the relaxed optimum is not proven.
    """
    rows = []
    for load in study.scale.relaxed_loads:
        case = Case("clustered", 0, cluster_instance(study.catalogue, (load,)))
        suffix = solve_offline(case.instance, "strong", study.solver)
        relaxed = solve_offline(case.instance, "relaxed", study.solver)
        # A plan under the suffix rule is one under the relaxed rule too.
        best_ms = min(relaxed.objective_ms, suffix.objective_ms)
        rows.append(
            {
                **case.labels,
                "suffix_ms": finite(suffix.objective_ms),
                "relaxed_ms": finite(best_ms),
                "relaxed_bound_ms": relaxed.bound_ms,
                "gain_percent": HUNDRED_PER_CENT * (1 - best_ms / suffix.objective_ms),
                "most_gain_percent": HUNDRED_PER_CENT
                * (1 - min(relaxed.bound_ms, best_ms) / suffix.objective_ms),
                "suffix_status": suffix.status,
                "relaxed_status": relaxed.status,
                "seconds": suffix.seconds + relaxed.seconds,
            }
        )
    return pd.DataFrame(rows)


def equal_blocks(study: Study) -> pd.DataFrame:
    """Experiment (e): GSA in its own special case (section 13) against the optimum.

    One client and servers of equal memory, so that CG-BP too gives all of them the same m.

    Returns
    -------
    DataFrame
        Rows as in `optimality`, with ``blocks``, the m of every server.
    """
    rows = []
    for memory_gb in (9.1, 20.0, 40.0):
        servers = 26 if memory_gb < 10 else 12
        for number in range(study.scale.draws):
            for load in study.scale.equal_loads:
                instance = equal_memory_instance(
                    study.catalogue, load, study.rng(2, number), servers, memory_gb
                )
                case = Case("equal memory", number, instance)
                optimum = solve_offline(instance, "strong", study.solver)
                found = [
                    optimum_row(case, optimum),
                    heuristic_row(
                        case,
                        "gsa",
                        optimum,
                        lambda: gsa_plan(instance, study.solver),  # noqa: B023
                    ),
                    heuristic_row(
                        case,
                        "cg_bprr",
                        optimum,
                        lambda: cg_bprr_plan(instance, study.solver),  # noqa: B023
                    ),
                ]
                blocks = int(conservative_blocks(instance.swarm, load, SESSION_TOKENS)[0])
                rows += [{**row, "blocks": blocks, "memory_gb": memory_gb} for row in found]
    return pd.DataFrame(rows)


EXPERIMENTS: dict[str, Callable[[Study], pd.DataFrame]] = {
    "optimality": optimality,
    "solver_race": solver_race,
    "relaxed_stopping": relaxed_stopping,
    "equal_blocks": equal_blocks,
}
