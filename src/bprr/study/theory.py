"""What the paper states without simulating: bounds, sizes and capacities, each computed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from bprr.ground.performance import conservative_blocks_suffice, max_design_load, session_capacity
from bprr.ground.source import source_hash
from bprr.ground.storage import files_hash
from bprr.ground.swarm import Swarm
from bprr.offline.backends.base import SolverSettings
from bprr.offline.formulation_paper import build_paper
from bprr.offline.heuristics import cg_bprr_plan
from bprr.offline.instance import OfflineInstance
from bprr.offline.routing_ilp import route_exactly
from bprr.offline.solve import evaluate_plan
from bprr.placement.petals import block_gain
from bprr.scenario.draw import draw
from bprr.settings.configuration import Settings
from bprr.study.planned import Planned
from bprr.study.points import catalogue, sweep_points
from bprr.study.slices import input_files, sweeps_slice

__all__ = ["planned_theory", "theory", "theory_sweeps"]

SWEEPS = [("fig10", "abovenet"), ("fig10", "bellcanada"), ("fig10", "gts_ce"),
          ("table3", "cluster0")]  # fmt: skip
DRAWS = 10
LOADS = (1, 3, 5)  # concurrent requests
MEMORY_GB = (80.0, 79.13, 86.13)  # of an A100: the paper's round number, tables, sweeps
BLOCKS, TOKENS = 53, 148  # that the paper's examples are about


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
        ``corollary_1`` 1 if the blocks of CG-BP cover the model at R_max, 0 if not;
        ``lemma_3`` routes of CG-BPRR over the best ones under its placement, both summed;
        ``milp_variables`` columns of programme (13) over 5|R||E| + 2|V_s|;
        ``sessions`` of 148 tokens beside 53 blocks, ``case`` the memory (GB);
        ``prefill_tokens_per_s`` of such a server.
    """
    return pd.DataFrame(_checks(settings), columns=["check", "case", "value"])


def _checks(settings: Settings) -> Iterator[tuple[str, str, float]]:
    profiles = catalogue(settings)
    solver = SolverSettings(threads=1)
    for sweep, topology in theory_sweeps(settings):
        scenario = sweep_points(settings, sweep, topology)[0].scenario
        for run in range(DRAWS):
            drawn = draw(scenario, profiles, settings.seed, run)
            tokens = drawn.design_request.cache_tokens
            case = f"{topology} {run}"
            # The corollary knows no cap on the blocks of a device.
            whole = drawn.swarm.without_block_cap()
            largest = max_design_load(whole, tokens)
            covered = conservative_blocks_suffice(whole, largest, tokens)
            yield "corollary_1", case, float(covered)
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
    yield from _of_one_server(settings)


def _of_one_server(settings: Settings) -> Iterator[tuple[str, str, float]]:
    device, model = settings.all_devices["a100"], settings.all_models["bloom_176b"]
    scenario = sweep_points(settings, *theory_sweeps(settings)[0])[0].scenario
    blocks = np.array([BLOCKS])
    for memory_gb in MEMORY_GB:
        lent = device.model_copy(update={"memory_gb": memory_gb})
        swarm = Swarm.of(model, [lent], np.zeros((1, 1)), scenario.overheads)
        sessions = session_capacity(swarm, blocks, TOKENS)
        yield "sessions", f"{memory_gb:g}", float(sessions[0])
    yield "prefill_tokens_per_s", f"{BLOCKS} blocks", float(block_gain(swarm, blocks)[0])
