"""What a simulation costs per request: both engines side by side, and a sweep's whole cost.

With a fixed chain routing is taken out: what remains is arrival, admission, cache accounting,
service times and records. The bare SimPy loop has the same events per request (an arrival, the
start of a process, its waiting for the end of the session, its end) and does nothing in them; the
bare heap notes and takes one event per request, as many being noted as the paper's swarms serve.
A sweep's cost has draws, placements and the table of requests in it. All is processor time.
"""

from __future__ import annotations

import functools
import json
import resource
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import process_time
from typing import Any, NamedTuple

import numpy as np
from simpy import Environment

from benchmarks.measure import Row, call_in_fresh_process, row
from benchmarks.swarms import earth, placed
from bprr.ground.compiled import compiled, state_of
from bprr.ground.events import Events, pop, push
from bprr.ground.registry import ROUTING
from bprr.ground.request import Request
from bprr.ground.schema import Strict
from bprr.ground.swarm import IntArray
from bprr.routing.base import RoutingContext, RoutingPolicy
from bprr.routing.shortest_path import ShortestPath
from bprr.scenario.draw import draw
from bprr.scenario.workload import Workload, poisson_arrivals_ms
from bprr.settings.configuration import load_settings
from bprr.simulation.engine import simulate
from bprr.study.method import MethodRunner
from bprr.study.points import catalogue, sweep_points
from bprr.study.sweep import simulate_point

BUDGET_S = 40
REQUESTS = 20_000
REPEATS = 3
NOTED = 100  # events in the bare heap
ENGINES = ("simpy", "compiled")
METHODS = ("petals", "proposed", "proposed_exact", "offloading")
NETWORKS = ("abovenet", "bellcanada", "gts_ce")
INPUT_TOKENS, OUTPUT_TOKENS = 20, 128
RATE_PER_S = 0.1  # of one chain, so that nobody waits

TARGET_FIXED_US = 1.0
TARGET_BYTES = 100.0
TARGET_SWEEP_US = 25.0
TARGET_GROWTH = 1.5


@compiled
def _look_up(table, caches, request, now_ms, servers, processed):
    length = table.length[request.client]
    for i in range(length):
        servers[i] = table.servers[request.client, i]
        processed[i] = table.processed[request.client, i]
    return length, 0.0


@state_of(_look_up)
class ChainTable(NamedTuple):
    """The fastest chain of each client."""

    length: IntArray
    servers: IntArray
    processed: IntArray


class FixedChain(RoutingPolicy):
    """The fastest chain of each client, looked up."""

    def __init__(self, context: RoutingContext, options: Strict | None = None) -> None:
        super().__init__(context, options)
        swarm, fastest = context.placement.swarm, ShortestPath(context)
        shape = (swarm.clients, swarm.model.blocks)
        self.state = ChainTable(np.zeros(shape[0], int), np.zeros(shape, int), np.zeros(shape, int))
        for client in range(swarm.clients):
            request = Request(client, INPUT_TOKENS, OUTPUT_TOKENS, INPUT_TOKENS + OUTPUT_TOKENS)
            servers, processed, _ = fastest.route(request, 0.0)
            self.state.length[client] = len(servers)
            self.state.servers[client, : len(servers)] = servers
            self.state.processed[client, : len(servers)] = processed


@contextmanager
def fixed_chain() -> Generator[str, None, None]:
    """Name under which the trivial router can be asked for, while it lasts."""
    name = "benchmark_fixed_chain"
    ROUTING.add(name, FixedChain)
    try:
        yield name
    finally:
        del ROUTING._policies[name]


def workload(requests: int, clients: int, rate_per_s: float = RATE_PER_S) -> Workload:
    rng = np.random.default_rng(1)
    return Workload(
        poisson_arrivals_ms(rng, requests, rate_per_s),
        rng.integers(clients, size=requests),
        np.array(INPUT_TOKENS),
        np.array(OUTPUT_TOKENS),
    )


def bare_simpy(arrival_ms: list[float], session_ms: float) -> None:
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


@compiled
def _bare_heap(heap, requests, session_ms):
    for number in range(NOTED - 1):
        push(heap, number * 1.0, number, number, 0)
    for number in range(NOTED, NOTED + requests):
        push(heap, number + session_ms, number, number, 0)
        pop(heap)


def bare_heap(requests: int) -> None:
    """One event per request noted and taken, with nothing done in it."""
    heap = Events.none()
    while heap.time_ms.size < 2 * NOTED:
        heap = heap.grown()
    _bare_heap(heap, requests, 7.5)


def per_request_us(requests: int, *tasks: Callable[[], object]) -> np.ndarray:
    """Processor time of each task in turn, over and over; the first time compiles."""
    taken = np.empty((REPEATS + 1, len(tasks)))
    for repeat in range(REPEATS + 1):
        for number, task in enumerate(tasks):
            begin = process_time()
            task()
            taken[repeat, number] = process_time() - begin
    return taken[1:].T / requests * 1e6


def bytes_per_request(requests: int) -> float:
    """How far the peak memory rises from a simulation of half the requests to the whole."""
    instance, peaks = earth(1_000, workload__requests=1), []
    placement = placed(instance)
    with fixed_chain() as routing:
        simulate(placement, workload(10, instance.swarm.clients), routing)
        loads = [workload(requests // part, instance.swarm.clients) for part in (2, 1)]
        for load in loads:
            simulate(placement, load, routing)
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    return (peaks[1] - peaks[0]) / (len(loads[1]) - len(loads[0]))


def run(tiny: bool) -> Iterator[Row]:
    count = 200 if tiny else REQUESTS
    yield from with_fixed_chain(count, 50 if tiny else 1_000)
    if not tiny:
        found = call_in_fresh_process("benchmarks.engine", "1000000")
        yield row("memory, fixed chain", found, "bytes/request", TARGET_BYTES)
    settings = load_settings()
    for network in NETWORKS[: 1 if tiny else 3]:
        point = sweep_points(settings, "fig9", network)[2]
        runner = MethodRunner(draw(point.scenario, catalogue(settings), 1, 0))
        requests = workload(count // 20, 1, 0.5)
        for name in METHODS:
            placement = runner.placement(point.methods[name].placement, 0.0)
            for admission in ("reserve", "retry"):
                call = functools.partial(
                    simulate, placement, requests, point.methods[name].routing, admission=admission
                )
                tasks = (functools.partial(call, engine=engine) for engine in ENGINES)
                simpy, fast = per_request_us(len(requests), *tasks)
                label = f"{network}, {name}, {admission}"
                yield row(f"{label}, SimPy", simpy, "µs/request")
                yield row(f"{label}, compiled", fast, "µs/request")
    for sweep in ("fig9", "fig9_retry"):
        for network in NETWORKS[: 1 if tiny else 3]:
            yield from whole_sweep(sweep, network, 1 if tiny else 2)


def with_fixed_chain(count: int, servers: int) -> Iterator[Row]:
    instance = earth(servers, workload__requests=1)
    placement = placed(instance)
    requests, long = (workload(n, instance.swarm.clients) for n in (count, 5 * count))
    arrival_ms = requests.arrival_ms.tolist()
    with fixed_chain() as routing:
        records = simulate(placement, requests, routing)
        if (records.wait_ms > 0).any():
            raise RuntimeError("a wait adds events that the bare loops do not have")
        session_ms = float(records.completion_ms.mean())
        reference, fast, simpy, heap, longer = per_request_us(
            count,
            lambda: simulate(placement, requests, routing, engine="simpy"),
            lambda: simulate(placement, requests, routing),
            lambda: bare_simpy(arrival_ms, session_ms),
            lambda: bare_heap(count),
            lambda: simulate(placement, long, routing),
        )
    yield row("fixed chain, SimPy", reference, "µs/request")
    yield row("fixed chain, compiled", fast, "µs/request", TARGET_FIXED_US)
    yield row("fixed chain, SimPy ÷ bare SimPy", reference / simpy, "ratio")
    yield row("fixed chain, compiled ÷ SimPy", fast / reference, "ratio")
    yield row("fixed chain, compiled ÷ bare heap", fast / heap, "ratio")
    name = f"per request of {5 * count:,} ÷ of {count:,}, fixed chain, compiled"
    yield row(name, longer / 5 / fast, "ratio", TARGET_GROWTH)


def whole_sweep(sweep: str, network: str, runs: int) -> Iterator[Row]:
    """Cost per request of a sweep's point with everything that belongs to it."""
    settings = load_settings()
    point, profiles = sweep_points(settings, sweep, network)[2], catalogue(settings)

    def on(engine: str) -> int:
        scenario = point.scenario.model_copy(update={"engine": engine})
        changed = replace(point, scenario=scenario)
        return len(simulate_point(changed, profiles, settings.seed, runs))

    tasks = (functools.partial(on, engine) for engine in ENGINES)
    simpy, fast = per_request_us(on("compiled"), *tasks)
    yield row(f"sweep {sweep}, {network}, SimPy", simpy, "µs/request")
    yield row(f"sweep {sweep}, {network}, compiled", fast, "µs/request", TARGET_SWEEP_US)
    yield row(f"sweep {sweep}, {network}, compiled ÷ SimPy", fast / simpy, "ratio")


if __name__ == "__main__":
    print(json.dumps(bytes_per_request(int(sys.argv[1]))))
