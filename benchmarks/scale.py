"""Ten thousand servers, up to a million requests: time and memory of whole simulations.

Each simulation runs in a process of its own, so that its peak memory is its own; drawing the
instance and placing the blocks count. ``earth`` is the scenario as it stands, with the paper's
design load and a million requests; in ``all hosting`` a fixed one lets all servers host blocks, and
a hundred thousand requests come faster than the caches can serve.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from itertools import product
from time import perf_counter

from benchmarks.measure import Row, call_in_fresh_process, peak_rss_gb, row
from benchmarks.swarms import DESIGN_LOAD, earth
from bprr.placement.cg_bp import cg_bp
from bprr.simulation.engine import Delays, simulate
from bprr.study.design_load import choose_design_load

BUDGET_S = 100
SERVERS = 10_000
REQUESTS = {"earth": 1_000_000, "all hosting": 100_000}
TARGET_S, TARGET_GB = 120.0, 1.0
RATE_PER_S = {"earth": 100.0, "all hosting": 2_000.0}


def simulated(
    servers: int, requests: int, variant: str, routing: str, admission: str
) -> dict[str, float]:
    """One simulation from the scenario to the table of records."""
    begin = perf_counter()
    rate = RATE_PER_S[variant]
    instance = earth(servers, workload__requests=requests, workload__rate_per_s=rate)
    request, initial_ms = instance.design_request, instance.scenario.overheads.initial_ms
    load = DESIGN_LOAD
    if variant == "earth":
        load = choose_design_load(instance.swarm, request, instance.rate_per_s, initial_ms)
    placement = cg_bp(instance.swarm, load, request.cache_tokens)
    records = simulate(
        placement, instance.workload, routing, admission=admission, delays=Delays(initial_ms)
    )
    records.table()
    return {
        "seconds": perf_counter() - begin,
        "gb": peak_rss_gb(),
        "hosting": int((placement.blocks > 0).sum()),
        "waited": float((records.wait_ms > 0).mean()),
    }


def run(tiny: bool) -> Iterator[Row]:
    everything = product(RATE_PER_S, ("exact", "ws_rr"), ("reserve", "retry"))
    for choice in (("earth", "exact", "reserve"),) if tiny else everything:
        size = ("50", "100") if tiny else (str(SERVERS), str(REQUESTS[choice[0]]))
        found = call_in_fresh_process("benchmarks.scale", *size, *choice, env=dict(os.environ))
        note = f"{found['hosting']:,} servers host blocks, {found['waited']:.0%} waited"
        yield row(f"{', '.join(choice)}: time", found["seconds"], "s", TARGET_S, note)
        yield row(f"{', '.join(choice)}: peak memory", found["gb"], "GB", TARGET_GB)


if __name__ == "__main__":
    print(json.dumps(simulated(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])))
