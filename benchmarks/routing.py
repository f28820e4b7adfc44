"""Time per routing decision, of a swarm that nobody uses and of one that is overloaded.

The overload is a real one: requests arrive at a rate that the caches cannot serve, each is routed,
waits as its back-off says and holds its caches from its arrival on (admission ``reserve``).
Measuring starts when most servers have no room for one block of one more session; every decision
measured is followed by its hold. What is timed is the call ``router.route(request, now)`` from
Python.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from time import perf_counter_ns
from typing import NamedTuple

import numpy as np

from benchmarks.measure import Row, row
from benchmarks.swarms import distinct_devices, earth, placed, session_places
from bprr.ground.caches import Caches
from bprr.ground.performance import chain_times_ms
from bprr.ground.registry import ROUTING
from bprr.ground.request import Request, Route
from bprr.ground.swarm import FloatArray
from bprr.placement.base import Placement
from bprr.routing.base import RoutingContext, RoutingPolicy
from bprr.simulation.admission.back_off import BackOff, Gaps, instant_ms

BUDGET_S = 80
DECISIONS = 1_000
FULL_SHARE = 0.8  # of the servers, before measuring starts
OVERLOAD = 2.0  # arrivals over what the caches can serve
CALM = 40.0  # times slower arrivals, so that nobody waits
MOST_WARM_UP = 600_000  # requests; an overload that has not filled the swarm by then fails
INPUT_TOKENS, OUTPUT_TOKENS = 20, 128

TARGETS_US = {
    ("exact", 26, "saturated"): 30.0,
    ("exact", 1_000, "saturated"): 300.0,
    ("exact", 10_000, "saturated"): 700.0,
    ("exact", 10_000, "no waiting"): 100.0,
}


class Sample(NamedTuple):
    """Decisions measured in one state."""

    us: FloatArray
    full: float  # share of servers without room for one more block of a session
    waiting: float  # share of the decisions whose chain has to wait


class Overload:
    """Requests that arrive, are routed and hold their caches, one after another."""

    def __init__(self, placement: Placement) -> None:
        self.placement, self.caches = placement, Caches(placement.cache_tokens)
        self.gaps = Gaps(BackOff().first_ms, BackOff().longest_ms)
        self.rng, self.now_ms = np.random.default_rng(1), 0.0
        self.tokens = INPUT_TOKENS + OUTPUT_TOKENS
        request = Request(0, INPUT_TOKENS, OUTPUT_TOKENS, self.tokens)
        alone_ms = self.service_ms(request, self.router("shortest_path").route(request, 0.0))
        self.gap_ms = alone_ms / session_places(placement, self.tokens) / OVERLOAD

    def router(self, policy: str) -> RoutingPolicy:
        return ROUTING.build(policy, RoutingContext(self.placement, self.caches))

    def service_ms(self, request: Request, route: Route) -> float:
        arguments = (route.servers, route.processed, INPUT_TOKENS, OUTPUT_TOKENS)
        return sum(chain_times_ms(self.placement.swarm, request.client, *arguments))

    def step(self, router: RoutingPolicy) -> tuple[float, bool]:
        """One request; returns the time of its decision (µs) and whether it waits."""
        client = int(self.rng.integers(self.placement.swarm.clients))
        request = Request(client, INPUT_TOKENS, OUTPUT_TOKENS, self.tokens)
        now = self.now_ms
        begin = perf_counter_ns()
        route = router.route(request, now)
        taken = perf_counter_ns() - begin
        units = route.processed * self.tokens
        wait = self.caches.release_ms(route.servers, units, now) - now
        end = now + instant_ms(self.gaps, wait) + self.service_ms(request, route)
        self.caches.hold(route.servers, units, end, now)
        self.now_ms += self.rng.exponential(self.gap_ms)
        return taken / 1e3, wait > 0

    def full_share(self) -> float:
        hosting = self.placement.blocks > 0
        free = self.placement.cache_tokens - self.caches.held_now(self.now_ms)
        return float((free < self.tokens)[hosting].mean())

    def fill(self) -> None:
        """Let requests come until most servers are full."""
        router = self.router("exact")
        for count in range(MOST_WARM_UP):
            if count % 500 == 0 and self.full_share() >= FULL_SHARE:
                return
            self.step(router)
        raise RuntimeError(f"{MOST_WARM_UP} requests did not fill {FULL_SHARE:.0%} of the servers")

    def measured(self, policy: str, decisions: int, slower: float = 1.0) -> Sample:
        """Decisions of a policy that goes on from here; this state stays as it is."""
        copied = copy.deepcopy(self)
        copied.gap_ms *= slower
        router = copied.router(policy)
        for _ in range(20 * copied.placement.swarm.clients):  # compiles; meets every client
            copied.step(router)
        taken = [copied.step(router) for _ in range(decisions)]
        us, waits = np.array(taken).T
        return Sample(us, copied.full_share(), float(waits.mean()))


def run(tiny: bool) -> Iterator[Row]:
    decisions = 20 if tiny else DECISIONS
    for servers in (26,) if tiny else (26, 1_000, 10_000):
        instance = earth(servers, workload__requests=1)
        for kind in ("two devices", "all differ"):
            swarm = instance.swarm if kind == "two devices" else distinct_devices(instance.swarm)
            overload = Overload(placed(instance, swarm))
            # Filling the largest swarm takes minutes where no two servers are alike.
            fills = kind == "two devices" or servers < 10_000
            for state in ("no waiting", "saturated") if fills else ("no waiting",):
                if state == "saturated":
                    overload.fill()
                for policy in ("exact", "ws_rr"):
                    found = overload.measured(
                        policy, decisions, 1.0 if state == "saturated" else CALM
                    )
                    target = TARGETS_US.get((policy, servers, state))
                    yield row(
                        f"{policy}, {servers:,} servers, {kind}, {state}",
                        found.us,
                        "µs",
                        target if kind == "two devices" else None,
                        f"{found.full:.0%} of servers full, {found.waiting:.0%} waited",
                    )
