"""Time to place the blocks of a hundred thousand servers."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

from benchmarks.measure import Row, row
from benchmarks.swarms import earth, problem
from bprr.ground.registry import PLACEMENT

BUDGET_S = 50
SERVERS = 100_000
REPEATS = 5
TARGET_S = 60.0


def run(tiny: bool) -> Iterator[Row]:
    servers = 50 if tiny else SERVERS
    asked = problem(earth(servers, workload__requests=1))
    for name in ("cg_bp", "petals", "pipe"):
        policy = PLACEMENT.build(name)
        policy.place(asked)  # compiles
        seconds = []
        for _ in range(REPEATS):
            begin = perf_counter()
            policy.place(asked)
            seconds.append(perf_counter() - begin)
        yield row(f"{name}, {servers:,} servers", seconds, "s", TARGET_S)
