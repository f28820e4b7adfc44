"""What the paper states without simulating: bounds, sizes and capacities, each computed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from bprr.ground.errors import InfeasibleError
from bprr.ground.performance import (
    conservative_blocks_suffice,
    largest_load,
    max_design_load,
    session_capacity,
)
from bprr.ground.request import Request, Route
from bprr.ground.source import source_hash
from bprr.ground.storage import files_hash
from bprr.ground.swarm import Swarm
from bprr.offline.backends.base import SolverSettings
from bprr.offline.constructions import (
    can_be_halved,
    partition_instance,
    whole_model_plan,
    worst_instance,
)
from bprr.offline.formulation_paper import build_paper
from bprr.offline.heuristics import cg_bprr_plan
from bprr.offline.instance import OfflineInstance
from bprr.offline.routing_ilp import route_exactly
from bprr.offline.solve import evaluate_plan, solve_offline
from bprr.placement.cg_bp import cg_bp
from bprr.placement.petals import block_gain
from bprr.routing.base import RoutingPolicy
from bprr.routing.ws_rr import WsRr
from bprr.scenario.draw import Instance, draw
from bprr.settings.configuration import Settings
from bprr.simulation.engine import simulate
from bprr.study.design_load import design_load_of
from bprr.study.planned import Planned
from bprr.study.points import catalogue, sweep_points
from bprr.study.slices import input_files, sweeps_slice

__all__ = ["planned_theory", "theory", "theory_sweeps"]

# Each with its first point; the last one, where requests wait, for the bound on completion.
SWEEPS = [("fig10", "abovenet"), ("fig10", "bellcanada"), ("fig10", "gts_ce"),
          ("table3", "cluster0")]  # fmt: skip
DRAWS = 10
LOADS = (1, 3, 5)  # concurrent requests
MEMORY_GB = (80.0, 79.13, 86.13)  # of an A100: the paper's round number, tables, sweeps
BLOCKS, TOKENS = 53, 148  # that the paper's examples are about
NUMBERS, GREATEST, PARTITIONS = (3, 6), 9, 24  # how many, how large, and how many draws of them
WORST_BLOCKS = (2, 4, 6, 8, 10)
GROWING = (1.0, 0.1, 0.02)  # of a step: all of it, one session after another; docs/service.md


def theory_sweeps(settings: Settings) -> list[tuple[str, str]]:
    """Sweeps and topologies whose first points are the swarms, as far as settings have them."""
    return [
        (sweep, topology)
        for sweep, topology in SWEEPS
        if sweep in settings.sweeps and topology in settings.sweeps[sweep].topologies
    ]


def planned_theory(settings: Settings) -> Planned:
    """Table of the checks."""
    pairs = theory_sweeps(settings)
    return Planned(
        Path(settings.results_dir, "theory", "checks.parquet"),
        sweeps_slice(settings, "theory", pairs),
        files_hash(input_files(settings, *pairs)),
        source_hash("bprr.study.theory"),
    )


def theory(settings: Settings) -> pd.DataFrame:
    """Compute every check.

    Returns
    -------
    DataFrame
        ``check``, ``case`` and ``value``, a row per case:
        ``corollary_1`` 1 if CG-BP succeeds at R_max, and at every load up to twice that exactly
        where its blocks cover the model, 0 if not;
        ``r_max`` the formula of R_max over the largest load at which they do;
        ``corollary_2`` longest completion time over the cost of the chain that WS-RR chose, before
        back-off, ``corollary_2_waiting`` how many requests waited there;
        ``lemma_3`` routes of CG-BPRR over the best ones under its placement, both summed;
        ``milp_variables`` columns of programme (13) over 5|R||E| + 2|V_s|;
        ``theorem_1`` 1 if the optimum of a set of numbers as a placement tells whether it can be
        halved, ``theorem_1_halved`` whether it can;
        ``worst_case`` CG-BPRR over the optimum, by L, where it is L times as slow;
        ``sessions`` of 148 tokens beside 53 blocks, ``case`` the memory (GB);
        ``prefill_tokens_per_s`` of such a server, and ``decode_tokens_per_s`` with as many sessions
        as fit in its round 80 GB, ``case`` by the share b of a step that grows with them.
    """
    return pd.DataFrame(_checks(settings), columns=["check", "case", "value"])


Checks = Iterator[tuple[str, str, float]]


def _checks(settings: Settings) -> Checks:
    solver = SolverSettings(threads=1)
    yield from _of_swarms(settings, solver)
    yield from _of_partitions(np.random.default_rng(settings.seed), solver)
    for blocks in WORST_BLOCKS:
        instance = worst_instance(blocks)
        slow, fast = cg_bprr_plan(instance, solver), whole_model_plan(instance)
        ratio = evaluate_plan(instance, slow) / evaluate_plan(instance, fast)
        yield "worst_case", f"L={blocks}", ratio / blocks
    yield from _of_one_server(settings)


def _of_swarms(settings: Settings, solver: SolverSettings) -> Checks:
    profiles = catalogue(settings)
    for sweep, topology in theory_sweeps(settings):
        points = sweep_points(settings, sweep, topology)
        for run in range(DRAWS):
            drawn = draw(points[0].scenario, profiles, settings.seed, run)
            tokens = drawn.design_request.cache_tokens
            case = f"{topology} {run}"
            # The corollary knows no cap on the blocks of a device.
            whole = drawn.swarm.without_block_cap()
            guaranteed = max_design_load(whole, tokens)
            largest = largest_load(whole, tokens)
            loads = range(guaranteed, max(2 * guaranteed, largest + 1) + 1)
            agree = [
                _placed(whole, load, tokens) == conservative_blocks_suffice(whole, load, tokens)
                for load in loads
            ]
            yield "corollary_1", case, float(guaranteed <= largest and all(agree))
            yield "r_max", case, guaranteed / largest
            if run:
                continue
            for load in LOADS:
                instance = OfflineInstance(whole, [load], tokens)
                plan = cg_bprr_plan(instance, solver)
                best = route_exactly(instance, plan.placement, solver)
                ratio = evaluate_plan(instance, plan) / evaluate_plan(instance, best)
                yield "lemma_3", f"{case} R={load}", ratio
                model = build_paper(instance)
                formula = 5 * load * model.tail.size + 2 * whole.servers
                yield "milp_variables", f"{case} R={load}", model.milp.columns / formula
            yield from _of_waiting(draw(points[-1].scenario, profiles, settings.seed, run), case)


def _placed(swarm: Swarm, load: int, tokens: int) -> bool:
    try:
        cg_bp(swarm, load, tokens)
    except InfeasibleError:
        return False
    return True


class _Noted(RoutingPolicy):
    """A router that keeps what its chains cost."""

    def __init__(self, router: RoutingPolicy, costs_ms: list[float]) -> None:
        super().__init__(router.context, router.options)
        self._router, self._costs_ms = router, costs_ms

    def route(self, request: Request, now_ms: float) -> Route:
        """Chain that the router finds."""
        route = self._router.route(request, now_ms)
        self._costs_ms.append(route.cost_ms)
        return route


def _of_waiting(drawn: Instance, case: str) -> Checks:
    """Whether a chain's cost bounds the completion time, also of those that wait."""
    tokens = drawn.design_request.cache_tokens
    placement = cg_bp(drawn.swarm, design_load_of(drawn, 0.0), tokens)
    costs_ms: list[float] = []
    records = simulate(
        placement, drawn.workload, WsRr.name, watch=lambda router: _Noted(router, costs_ms)
    )
    raw_ms = records.completion_ms - records.wait_ms + records.raw_wait_ms
    yield "corollary_2", case, float((raw_ms / np.array(costs_ms)).max())
    yield "corollary_2_waiting", case, float((records.raw_wait_ms > 0).sum())


def _of_partitions(rng: np.random.Generator, solver: SolverSettings) -> Checks:
    drawn = 0
    while drawn < PARTITIONS:
        sizes = rng.integers(1, GREATEST, size=rng.integers(*NUMBERS), endpoint=True).tolist()
        if sum(sizes) % 2:
            continue
        drawn += 1
        instance, halved = partition_instance(sizes), can_be_halved(sizes)
        least_ms = instance.swarm.model.blocks * (1 + float(instance.swarm.tau_ms[0]))
        optimum = solve_offline(instance, "strong", solver)
        told = bool(np.isclose(optimum.objective_ms, least_ms))
        decided = optimum.status == "optimal" and told == halved
        case = " ".join(map(str, sizes))
        yield "theorem_1", case, float(decided)
        yield "theorem_1_halved", case, float(halved)


def _of_one_server(settings: Settings) -> Checks:
    device, model = settings.all_devices["a100"], settings.all_models["bloom_176b"]
    scenario = sweep_points(settings, *theory_sweeps(settings)[0])[0].scenario
    blocks = np.array([BLOCKS])
    for memory_gb in MEMORY_GB:
        lent = device.model_copy(update={"memory_gb": memory_gb})
        swarm = Swarm.of(model, [lent], np.zeros((1, 1)), scenario.overheads)
        sessions = session_capacity(swarm, blocks, TOKENS)
        yield "sessions", f"{memory_gb:g}", float(sessions[0])
        if memory_gb == MEMORY_GB[0]:
            for share in GROWING:
                step_ms = BLOCKS * device.tau_ms * (1 + share * (sessions[0] - 1))
                yield "decode_tokens_per_s", f"b = {share:g}", 1000 * float(sessions[0] / step_ms)
    yield "prefill_tokens_per_s", f"{BLOCKS} blocks", float(block_gain(swarm, blocks)[0])
