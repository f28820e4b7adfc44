"""Time per decision of methods that compose chains: whom a session joins, among those present."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter_ns

import numpy as np

from benchmarks.measure import Row, row
from benchmarks.swarms import earth, problem
from bprr.ground.caches import Caches
from bprr.ground.registry import PLACEMENT, ROUTING, SERVICE
from bprr.routing.base import RoutingContext

BUDGET_S = 40
DECISIONS = 1_000
TARGETS_US = {26: 30.0, 10_000: 500.0}
# By the name of placement and routing. 2R's pace is given: to derive it takes linear programmes.
METHODS = {"pipe": {}, "two_resource": {"pace_ms": 65.0}}


def decisions_us(name: str, servers: int, count: int) -> list[float]:
    """Times of decisions (µs), each followed by its session; the oldest one leaves for it."""
    instance = earth(servers, workload__requests=1)
    asked = problem(instance)
    placement = PLACEMENT[name](PLACEMENT[name].Options(**METHODS[name])).place(asked)
    caches, request = Caches(placement.cache_tokens), instance.design_request
    computing = SERVICE.build("serial", instance.swarm, 0.0)
    router = ROUTING.build(name, RoutingContext(placement, caches, computing))
    present, taken_us, now_ms = [], [], 0.0
    for _ in range(count):
        begin = perf_counter_ns()
        route = router.route(request, now_ms)
        taken_us.append((perf_counter_ns() - begin) / 1000)
        if np.isinf(route.cost_ms) or len(present) == servers:
            router.ended(request, present.pop(0))
            continue
        router.admitted(request, route)
        present.append(route)
        now_ms += 1.0
        caches.hold(route.servers, route.processed * request.cache_tokens, now_ms + servers, now_ms)
    return taken_us[count // 5 :]


def run(tiny: bool) -> Iterator[Row]:
    count = 50 if tiny else DECISIONS
    for name in METHODS:
        for servers, target in TARGETS_US.items():
            if not tiny or servers == min(TARGETS_US):
                samples = decisions_us(name, servers, count)
                yield row(f"{name}, {servers:,} servers", samples, "µs", target)
