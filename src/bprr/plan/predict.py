"""What a plan is expected to do: chains with their hops, times alone and under load, rates."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bprr.ground.errors import InfeasibleError
from bprr.ground.request import Route
from bprr.plan.arms import LARGE, Arm
from bprr.plan.known import Grade, Known, weakest
from bprr.plan.problem import HIGH, LOW, VALUE, Problem
from bprr.plan.ring import ring_pace
from bprr.simulation.records import Records

__all__ = [
    "Alone",
    "Chain",
    "Hop",
    "Loaded",
    "Rates",
    "alone",
    "chains",
    "curve",
    "loaded",
    "quantities_of",
    "rates",
]

LEVELS = (LOW, VALUE, HIGH)


class Hop(NamedTuple):
    """One server of a chain: time of a token there and on the way (ms)."""

    server: int
    blocks: int
    network_ms: Known
    computing_ms: Known


class Chain(NamedTuple):
    """Chain of a client in an empty swarm."""

    client: int
    hops: tuple[Hop, ...]
    token_ms: Known
    ttft_ms: Known
    tokens_per_s: Known


class Alone(NamedTuple):
    """Times of a session alone, the mean over clients (ms)."""

    token_ms: Known
    ttft_ms: Known


class Rates(NamedTuple):
    """Sessions per second that the placement carries at most, and what binds."""

    sustained_per_s: Known
    memory_per_s: Known
    bound: str  # computing, or memory


class Loaded(NamedTuple):
    """Simulated sessions of the load."""

    rate_per_s: float
    sessions: int
    quantities: Mapping[str, Mapping[str, Known]]  # ttft_ms, token_ms, wait_ms: mean, p50, p95, p99
    chains: tuple[tuple[int, tuple[int, ...], int], ...]  # client, servers, sessions
    busiest: tuple[int, float]  # server, and share of the time that it computes


def chains(arm: Arm) -> tuple[Chain, ...]:
    """Chain of every client in an empty swarm."""
    alone_ms = [arm.alone_ms(level) for level in LEVELS]
    problem = arm.problem
    found = []
    for client, route in enumerate(arm.routes):
        hops = _hops(problem, client, route)
        token, ttft = (
            Known.of((times[client, column] for times in alone_ms), _grade(problem))
            for column in (1, 0)
        )
        rate = Known.of((1000 / token.high, 1000 / token.value, 1000 / token.low), token.grade)
        if problem.wish.forwarding != "hub" or problem.wish.speculation != "none":
            paces = [ring_pace(problem, client, route, level) for level in LEVELS]
            token = Known.of((pace.ms_per_token for pace in paces), _grade(problem))
            rate = Known.of((pace.tokens_per_s for pace in reversed(paces)), _grade(problem))
        found.append(Chain(client, hops, token, ttft, rate))
    return tuple(found)


def _grade(problem: Problem) -> Grade:
    return weakest((problem.device_grade, problem.network_grade, problem.overhead_grade))


def _hops(problem: Problem, client: int, route: Route) -> tuple[Hop, ...]:
    hops = []
    for server, blocks in zip(route.servers.tolist(), route.processed.tolist(), strict=True):
        network = Known.of(
            (float(swarm.token_rtt_ms[client, server]) for swarm in problem.swarms),
            weakest((problem.network_grade, problem.overhead_grade)),
        )
        computing = Known.of(
            (float(blocks * swarm.tau_ms[server]) for swarm in problem.swarms),
            problem.paced[server].grade,
        )
        hops.append(Hop(server, blocks, network, computing))
    return tuple(hops)


def alone(found: tuple[Chain, ...]) -> Alone:
    """Mean over clients."""

    def mean(numbers: list[Known]) -> Known:
        value, low, high = (float(np.mean(ends)) for ends in list(zip(*numbers, strict=True))[:3])
        return Known(value, low, high, weakest(each.grade for each in numbers))

    return Alone(mean([each.token_ms for each in found]), mean([each.ttft_ms for each in found]))


def rates(arm: Arm) -> Rates:
    """Most sessions per second, by the linear programme of `bprr.study.capacity`.

    Its ends are those of the machines' times: the slowest machines in the low end.
    """
    problem = arm.problem
    sustained = Known.of(
        (arm.capacity(HIGH), arm.capacity_per_s, arm.capacity(LOW)), _grade(problem)
    )
    # The ends of a large swarm's memory rate are not worth two more linear programmes.
    ends = (VALUE,) if problem.swarm.servers > LARGE else (HIGH, VALUE, LOW)
    found = [arm.capacity(level, memory_alone=True) for level in ends]
    memory = Known.of((found[0], found[len(found) // 2], found[-1]), _grade(problem))
    bound = "memory" if sustained.value > 0.99 * memory.value else "computing"
    return Rates(sustained, memory, bound)


def loaded(arm: Arm) -> Loaded | None:
    """Simulated sessions of the load, at the ends too; none if they cannot be served."""
    problem = arm.problem
    try:
        records = [arm.simulated(level) for level in LEVELS]
    except InfeasibleError:
        return None
    tables = [quantities_of(each) for each in records]
    quantities = {
        name: {
            of: Known.of((table[name][of] for table in tables), _grade(problem))
            for of in tables[VALUE][name]
        }
        for name in tables[VALUE]
    }
    middle = records[VALUE]
    used: Counter[tuple[int, tuple[int, ...]]] = Counter()
    for index, client in enumerate(middle.workload.client.tolist()):
        used[client, tuple(middle.chain(index)[0].tolist())] += 1
    busy = _busy(arm, middle)
    server = int(np.argmax(busy))
    return Loaded(
        problem.instance.rate_per_s,
        len(middle),
        quantities,
        tuple((client, servers, count) for (client, servers), count in used.most_common(12)),
        (server, float(busy[server])),
    )


def _busy(arm: Arm, records: Records) -> np.ndarray:
    """Share of its time that each server computes, one session after another."""
    from bprr.study.account import Usage

    usage = Usage.of(records, arm.placement, arm.problem.instance.rate_per_s)
    return usage.decode + usage.prefill


def quantities_of(records: Records) -> dict[str, dict[str, float]]:
    """First token, each further one, and wait of sessions (ms): mean and percentiles."""
    later = records.workload.output_tokens - 1
    decode_ms = (records.completion_ms - records.ttft_ms)[later > 0] / later[later > 0]
    if not decode_ms.size:
        decode_ms = np.zeros(1)
    values = {"ttft_ms": records.ttft_ms, "token_ms": decode_ms, "wait_ms": records.wait_ms}
    return {
        name: {
            "mean": float(each.mean()),
            **{f"p{q}": float(np.percentile(each, q)) for q in (50, 95, 99)},
        }
        for name, each in values.items()
    }


def curve(
    arm: Arm, shares: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.95)
) -> list[dict[str, float]]:
    """Mean and 95th percentile of the time per token at shares of the sustained rate."""
    problem, points = arm.problem, []
    rate = problem.instance.rate_per_s
    for share in shares:
        wanted = share * arm.capacity_per_s
        if not wanted > 0 or not rate > 0 or math.isinf(wanted):
            continue
        try:
            found = quantities_of(arm.simulated(rate=wanted / rate))["token_ms"]
        except InfeasibleError:
            continue
        points.append({"rate_per_s": wanted, "mean_ms": found["mean"], "p95_ms": found["p95"]})
    return points
