"""Experiment (e): GSA in its own special case (docs/baselines.md#gsa) against the optimum.

One client and servers of equal memory, so that CG-BP too gives all of them the same m.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from bprr.ground.performance import conservative_blocks
from bprr.offline.experiments.study import Case, Study, heuristic_row, optimum_row
from bprr.offline.experiments.swarms import SESSION_TOKENS, equal_memory_instance
from bprr.offline.heuristics import cg_bprr_plan, gsa_plan
from bprr.offline.solve import solve_offline

__all__ = ["equal_blocks"]

SERVERS = {9.1: 26, 20.0: 12, 40.0: 12}  # by the memory of each (GB)
LOADS = {"smoke": (5,), "main": (1, 5, 20), "study": (1, 2, 3, 5, 8, 12, 16, 20)}
DRAWS = {"smoke": 1, "main": 2, "study": 10}
# Of one proof, below the configuration's limit: what takes longer is not proven in a minute either.
LIMIT_S = {"smoke": 30.0, "main": 30.0, "study": float("inf")}


def equal_blocks(study: Study) -> pd.DataFrame:
    """Compare GSA and CG-BPRR with the optimum.

    Returns
    -------
    DataFrame
        Rows as of `bprr.offline.experiments.optimality.optimality`, with ``blocks``, the m of
        every server.
    """
    scale = study.offline.scale
    return pd.DataFrame(
        [
            row
            for memory_gb, servers in SERVERS.items()
            for number in range(DRAWS[scale])
            for load in LOADS[scale]
            for row in case_rows(study, memory_gb, servers, number, load)
        ]
    )


def case_rows(
    study: Study, memory_gb: float, servers: int, number: int, load: int
) -> Iterator[dict[str, object]]:
    """Rows of one case."""
    rng, limit_s = study.rng(2, number), LIMIT_S[study.offline.scale]
    solver = replace(study.solver, time_limit_s=min(study.solver.time_limit_s, limit_s))
    instance = equal_memory_instance(study.catalogue, load, rng, servers, memory_gb)
    case = Case("equal memory", number, instance)
    optimum = solve_offline(instance, "strong", solver)
    blocks = int(conservative_blocks(instance.swarm, load, SESSION_TOKENS)[0])
    for row in (
        optimum_row(case, optimum),
        heuristic_row(case, "gsa", optimum, lambda: gsa_plan(instance, solver)),
        heuristic_row(case, "cg_bprr", optimum, lambda: cg_bprr_plan(instance, solver)),
    ):
        yield {**row, "blocks": blocks, "memory_gb": memory_gb}
