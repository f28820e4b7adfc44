"""Slow and plain second implementations, written from the paper's text, to check the fast ones.

Nothing here uses the project's kernels: chains are enumerated, windows are compared in exact
fractions, and a caches is a list.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from bprr.ground.request import Request
from bprr.placement.base import Placement

Chain = tuple[tuple[int, int], ...]  # (server, blocks processed)
Hold = tuple[int, int, float]  # server, units, end


def chains(placement: Placement) -> Iterator[Chain]:
    """Every chain of a placement: a server that hosts the next block works to its last one."""
    total = placement.swarm.model.blocks
    ranges = [
        (server, int(first), int(first + count - 1))
        for server, (first, count) in enumerate(
            zip(placement.first_block, placement.blocks, strict=True)
        )
        if count > 0
    ]

    def extend(done: int, chain: Chain) -> Iterator[Chain]:
        if done == total:
            yield chain
            return
        for server, first, last in ranges:
            if first <= done + 1 <= last:
                yield from extend(last, (*chain, (server, last - done)))

    return extend(0, ())


def free_from(
    holds: Sequence[Hold], capacity: int, server: int, units: int, now_ms: float
) -> float:
    """Earliest time from now on at which a server has so many units free; inf if never."""
    if units > capacity:
        return math.inf
    mine = [(amount, end) for held_at, amount, end in holds if held_at == server and end > now_ms]
    for instant in [now_ms, *sorted(end for _, end in mine)]:
        if capacity - sum(amount for amount, end in mine if end > instant) >= units:
            return instant
    raise AssertionError("free once every hold has ended")


class ChainCost(NamedTuple):
    """Time of a chain without waiting, and the wait of each of its links."""

    time_ms: float
    waits_ms: tuple[float, ...]

    @property
    def with_longest_wait(self) -> float:
        """What a session on this chain really takes."""
        return self.time_ms + max(self.waits_ms)

    @property
    def with_summed_waits(self) -> float:
        """What WS-RR minimises."""
        return self.time_ms + sum(self.waits_ms)


def chain_cost(
    placement: Placement, holds: Sequence[Hold], chain: Chain, request: Request, now_ms: float
) -> ChainCost:
    """Cost of a chain under the whole time and the waits of docs/model.md."""
    swarm, time_ms, waits = placement.swarm, 0.0, []
    later = request.output_tokens - 1
    for server, count in chain:
        prompt = swarm.prompt_rtt_ms[request.client, server]
        slope = swarm.prompt_rtt_ms_per_token[request.client, server]
        prompt += slope * request.input_tokens
        block = swarm.prefill_ms[server]
        block += swarm.prefill_ms_per_token[server] * request.input_tokens
        token = swarm.token_rtt_ms[request.client, server] + count * swarm.tau_ms[server]
        time_ms += float(prompt + count * block + later * token)
        units = count * request.cache_tokens
        capacity = int(placement.cache_tokens[server])
        waits.append(free_from(holds, capacity, server, units, now_ms) - now_ms)
    return ChainCost(time_ms, tuple(waits))


def least_costs(
    placement: Placement, holds: Sequence[Hold], request: Request, now_ms: float
) -> tuple[float, float]:
    """Least time with the summed waits, and with the longest wait, by position after position."""
    links = []
    for server, (first, count) in enumerate(
        zip(placement.first_block.tolist(), placement.blocks.tolist(), strict=True)
    ):
        for processed in range(1, count + 1):
            cost = chain_cost(placement, holds, ((server, processed),), request, now_ms)
            end = first + count - 1
            links.append((end, end - processed, cost.time_ms, cost.waits_ms[0]))
    links.sort()

    def least(weight: float, limit_ms: float) -> float:
        reached = [0.0] + [math.inf] * placement.swarm.model.blocks
        for end, start, time_ms, wait_ms in links:
            if wait_ms <= limit_ms and wait_ms < math.inf:
                reached[end] = min(reached[end], reached[start] + time_ms + weight * wait_ms)
        return reached[-1]

    waits = {wait_ms for *_, wait_ms in links if wait_ms < math.inf}
    longest = min((wait_ms + least(0.0, wait_ms) for wait_ms in waits), default=math.inf)
    return least(1.0, math.inf), longest


def petals_cost(
    placement: Placement,
    sessions: Sequence[int],
    chain: Chain,
    request: Request,
    hop_ms: float,
    penalty_ms: float,
) -> float:
    """Cost that PETALS' routing gives to a chain (docs/baselines.md)."""
    swarm, total, before = placement.swarm, 0.0, None
    for server, count in chain:
        if before is None:
            rtt = swarm.raw_rtt_ms[request.client, server]
        else:
            rtt = swarm.server_rtt_ms[before, server]
        slots = int(placement.cache_tokens[server]) // request.cache_tokens
        capacity = slots // int(placement.blocks[server])
        full = capacity - sessions[server] == 0
        total += rtt / 2 + hop_ms + swarm.tau_ms[server] * count + (penalty_ms if full else 0.0)
        before = server
    return float(total + swarm.raw_rtt_ms[request.client, before] / 2)


class GreedyPlacement(NamedTuple):
    """What Algorithm 1 decides."""

    order: list[int]
    first_block: dict[int, int]
    capacity: list[int]
    needed: int | None
    bound_ms: Fraction | None


def algorithm_1(
    blocks: Sequence[int],
    sessions: Sequence[int],
    tau_ms: Sequence[int],
    worst_rtt_ms: Sequence[int],
    total: int,
    load: int,
) -> GreedyPlacement:
    """Lines 5 to 13 of Algorithm 1 for given m_j and f_j, in exact fractions; blocks from 1."""
    time = {
        j: Fraction(tau_ms[j]) + Fraction(worst_rtt_ms[j]) / m for j, m in enumerate(blocks) if m
    }
    order = sorted(time, key=lambda j: (time[j], j))
    dummy = max(time.values(), default=Fraction(0)) + 1
    waiting, capacity = [load * dummy] * total, [0] * total
    first_block, needed = {}, None
    for rank, server in enumerate(order, start=1):
        windows = [
            range(start, start + blocks[server]) for start in range(total - blocks[server] + 1)
        ]
        if min(capacity) < load:
            windows = [w for w in windows if any(capacity[b] < load for b in w)]
            chosen = max(windows, key=lambda w: (sum(waiting[b] for b in w), -w[0]))
        else:
            chosen = min(windows, key=lambda w: (sorted(capacity[b] for b in w), w[0]))
        first_block[server] = chosen[0] + 1
        for block in chosen:
            served = min(max(load - capacity[block], 0), sessions[server])
            waiting[block] -= (dummy - time[server]) * served
            capacity[block] += sessions[server]
        if needed is None and min(capacity) >= load:
            needed = rank
    bound = None
    if needed is not None:
        first = order[:needed]
        surplus = sum(blocks[j] for j in first) - total
        bound = sum(time[j] * blocks[j] for j in first) - tau_ms[first[-1]] * surplus
    return GreedyPlacement(order, first_block, capacity, needed, bound)


def petals_windows(
    blocks: Sequence[int], gain: Sequence[float], join_order: Sequence[int], total: int
) -> tuple[dict[int, int], list[float]]:
    """First block (from 1) of every server that hosts some, and the throughput of every block."""
    throughput, first_block = [0.0] * total, {}
    for server in join_order:
        if not blocks[server]:
            continue
        starts = range(total - blocks[server] + 1)
        start = min(starts, key=lambda s: (sorted(throughput[s : s + blocks[server]]), s))
        first_block[server] = start + 1
        for block in range(start, start + blocks[server]):
            throughput[block] += gain[server]
    return first_block, throughput
