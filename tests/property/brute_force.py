"""Optimum of small offline instances by enumeration; shares no code with `bprr.offline`.

Every placement is tried, and for each of them every way to give each request a chain. Memory and
times are worked out here from the paper's definitions (docs/model.md).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bprr.offline.instance import OfflineInstance

Chain = tuple[tuple[int, int], ...]  # (server, blocks processed there)


def all_chains(placement: tuple[tuple[int, int], ...], blocks: int, early: bool) -> list[Chain]:
    """Every chain of a placement, given as (first block, number of blocks) per server.

    With ``early``, servers may stop before the end of their range.
    """
    found: list[Chain] = []

    def extend(done: int, chain: Chain) -> None:
        if done == blocks:
            found.append(chain)
            return
        for server, (first, count) in enumerate(placement):
            last = first + count - 1
            if count == 0 or not first <= done + 1 <= last:
                continue
            for stop in range(done + 1 if early else last, last + 1):
                extend(stop, (*chain, (server, stop - done)))

    extend(0, ())
    return found


def brute_force(
    memory: list[float],
    tau: list[float],
    network_ms: Callable[[int, list[int]], float],
    requests: list[int],
    blocks: int,
    block_size: float,
    cache_size: float,
    early: bool = False,
) -> float:
    """Least summed per-token time; infinite if the requests do not fit.

    Parameters
    ----------
    memory, tau : list of float, length S
        Per server.
    network_ms : callable
        What the network takes of a token for a client and the servers of a chain.
    requests : list of int, length C
        Requests per client.
    blocks : int
        L.
    block_size, cache_size : float
        s_m and s_c, in the unit of memory.
    early : bool
        Whether a server may stop before the end of its range.
    """
    servers = len(memory)
    choices = []
    for j in range(servers):
        sizes = [m for m in range(1, blocks + 1) if block_size * m + cache_size <= memory[j] + 1e-9]
        choices.append([(0, 0)] + [(a, m) for m in sizes for a in range(1, blocks - m + 2)])
    best = float("inf")
    for placement in itertools.product(*choices):
        hosted = {b for first, count in placement for b in range(first, first + count)}
        if len(hosted) < blocks:
            continue
        room = [
            int((memory[j] - block_size * placement[j][1]) / cache_size + 1e-9)
            for j in range(servers)
        ]
        chains = all_chains(placement, blocks, early)
        # What a chain takes from each server, and its cheapest time for each client.
        use: dict[tuple[int, ...], list[float]] = {}
        for chain in chains:
            taken = [0] * servers
            for j, count in chain:
                taken[j] += count
            if any(t > r for t, r in zip(taken, room, strict=True)):
                continue
            times = [
                network_ms(c, [j for j, _ in chain]) + sum(tau[j] * count for j, count in chain)
                for c in range(len(requests))
            ]
            known = use.setdefault(tuple(taken), times)
            use[tuple(taken)] = [min(a, b) for a, b in zip(known, times, strict=True)]
        if not use:
            continue
        order = [c for c, count in enumerate(requests) for _ in range(count)]
        lowest = [min(times[c] for times in use.values()) for c in range(len(requests))]
        if sum(lowest[c] for c in order) >= best - 1e-12:
            continue

        best = min(best, cheapest_mix(list(use.items()), order, tuple(room)))
    return best


def cheapest_mix(
    options: list[tuple[tuple[int, ...], list[float]]], order: list[int], room: tuple[int, ...]
) -> float:
    """Least summed time of giving each request one of the chains, within the room of the servers.

    ``options`` are (room taken per server, time per client); ``order`` is each request's client.
    """

    @cache
    def rest(index: int, free: tuple[int, ...]) -> float:
        if index == len(order):
            return 0.0
        least = float("inf")
        for taken, times in options:
            left = tuple(f - t for f, t in zip(free, taken, strict=True))
            if min(left) >= 0:
                least = min(least, times[order[index]] + rest(index + 1, left))
        return least

    return rest(0, room)


def enumerated(instance: OfflineInstance, early: bool = False) -> float:
    """Optimum of an instance by enumeration; `early`: servers may stop within their range."""
    swarm = instance.swarm
    return brute_force(
        swarm.memory_gb.tolist(),
        swarm.tau_ms.tolist(),
        lambda client, servers: float(swarm.token_rtt_ms[client, servers].sum()),
        list(instance.requests),
        swarm.model.blocks,
        swarm.model.block_gb,
        swarm.model.session_cache_gb(instance.session_tokens),
        early,
    )
