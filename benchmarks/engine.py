"""What the simulator costs per request, beside a bare SimPy loop with the same events.

Routing is taken out: the chain is fixed beforehand, so what remains is arrival, admission, cache
accounting, service times and records. The bare loop has the same events per request (an arrival,
the start of a process, its waiting for the end of the session, its end) and does nothing in them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np
from simpy import Environment

from benchmarks.measure import Row, row
from benchmarks.swarms import earth, placed
from bprr.ground.registry import ROUTING
from bprr.ground.request import Request, Route
from bprr.ground.schema import Strict
from bprr.placement.base import Placement
from bprr.routing.base import RoutingContext, RoutingPolicy
from bprr.routing.shortest_path import ShortestPath
from bprr.scenario.workload import Workload, poisson_arrivals_ms
from bprr.simulation.engine import simulate

BUDGET_S = 60
REQUESTS = 20_000
LONG_RUN = 100_000
REPEATS = 7
TARGET_RATIO = 5.0
TARGET_GROWTH = 1.5
INPUT_TOKENS, OUTPUT_TOKENS = 20, 128
RATE_PER_S = 0.1  # of one chain, so that nobody waits


class FixedChain(RoutingPolicy):
    """The fastest chain of each client, looked up."""

    def __init__(self, context: RoutingContext, options: Strict | None = None) -> None:
        super().__init__(context, options)
        fastest = ShortestPath(context)
        self._routes: list[Route] = []
        for client in range(context.placement.swarm.clients):
            request = Request(client, INPUT_TOKENS, OUTPUT_TOKENS, INPUT_TOKENS + OUTPUT_TOKENS)
            self._routes.append(fastest.route(request, 0.0))

    def route(self, request: Request, now_ms: float) -> Route:
        return self._routes[request.client]


@contextmanager
def fixed_chain() -> Generator[str, None, None]:
    """Name under which the trivial router can be asked for, while it lasts."""
    name = "benchmark_fixed_chain"
    ROUTING.add(name, FixedChain)
    try:
        yield name
    finally:
        del ROUTING._policies[name]


def workload(requests: int, clients: int) -> Workload:
    rng = np.random.default_rng(1)
    return Workload(
        poisson_arrivals_ms(rng, requests, RATE_PER_S),
        rng.integers(clients, size=requests),
        np.array(INPUT_TOKENS),
        np.array(OUTPUT_TOKENS),
    )


def bare_loop(arrival_ms: list[float], session_ms: float) -> None:
    """The same events, with nothing done in them."""
    env = Environment()

    def session() -> Generator[Any, Any, None]:
        yield env.timeout(session_ms)

    def arrivals() -> Generator[Any, Any, None]:
        for arrival in arrival_ms:
            if arrival > env.now:
                yield env.timeout(arrival - env.now)
            env.process(session())

    env.process(arrivals())
    env.run()


def quarters(placement: Placement, requests: Workload, routing: str) -> np.ndarray:
    """Time per request in each quarter of a run, by completions (µs)."""
    marks, done, quarter = [perf_counter()], 0, len(requests) // 4

    def progress(count: int) -> None:
        nonlocal done
        done += count
        if done % quarter == 0:
            marks.append(perf_counter())

    simulate(placement, requests, routing, progress=progress)
    return np.diff(marks) / quarter * 1e6


def run(tiny: bool) -> Iterator[Row]:
    instance = earth(50 if tiny else 1_000, workload__requests=1)
    placement = placed(instance)
    count, long_run = (200, 800) if tiny else (REQUESTS, LONG_RUN)
    requests = workload(count, instance.swarm.clients)
    arrival_ms = requests.arrival_ms.tolist()
    with fixed_chain() as routing:
        for admission in ("reserve", "retry"):
            engine, bare = [], []
            for _ in range(REPEATS + 1):
                begin = perf_counter()
                records = simulate(placement, requests, routing, admission=admission)
                between = perf_counter()
                bare_loop(arrival_ms, float(records.completion_ms.mean()))
                end = perf_counter()
                engine.append((between - begin) / count * 1e6)
                bare.append((end - between) / count * 1e6)
            if (records.wait_ms > 0).any():
                raise RuntimeError("a wait adds events that the bare loop does not have")
            engine, bare = engine[1:], bare[1:]  # the first compiles
            ratios = np.divide(engine, bare)
            yield row(f"bare SimPy, beside {admission}", bare, "µs/request")
            yield row(f"engine, {admission}", engine, "µs/request")
            yield row(f"engine ÷ bare SimPy, {admission}", ratios, "ratio", TARGET_RATIO)
        long = workload(long_run, instance.swarm.clients)
        growth = []
        for _ in range(3):
            first, *_, last = quarters(placement, long, routing)
            growth.append(last / first)
        name = f"last ÷ first quarter of {long_run:,} requests, fixed chain"
        yield row(name, growth, "ratio", TARGET_GROWTH)
