"""Time to place the blocks of ten thousand servers."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

from benchmarks.measure import Row, row
from benchmarks.swarms import DESIGN_LOAD, earth
from bprr.placement.base import PlacementProblem, place

BUDGET_S = 40
SERVERS = 10_000
REPEATS = 5
TARGET_S = 10.0


def run(tiny: bool) -> Iterator[Row]:
    servers = 50 if tiny else SERVERS
    instance = earth(servers, workload__requests=1)
    problem = PlacementProblem(
        instance.swarm,
        lambda: DESIGN_LOAD,
        instance.design_request.cache_tokens,
        instance.join_order,
        instance.block_cap,
    )
    for policy in ("cg_bp", "petals"):
        place(policy, problem)  # compiles
        seconds = []
        for _ in range(REPEATS):
            begin = perf_counter()
            place(policy, problem)
            seconds.append(perf_counter() - begin)
        yield row(f"{policy}, {servers:,} servers", seconds, "s", TARGET_S)
