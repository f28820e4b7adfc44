"""PIPE: balanced disjoint chains, each server on one of them (docs/method.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from bprr.ground.compiled import compiled
from bprr.ground.errors import InfeasibleError
from bprr.ground.performance import conservative_blocks, free_cache_tokens
from bprr.ground.swarm import FloatArray, IntArray, Swarm
from bprr.placement.base import Placement, PlacementPolicy, PlacementProblem
from bprr.placement.composed import chain_table

__all__ = ["Composition", "Pipe", "Terms", "compose"]

LOADS = np.arange(0.70, 1.001, 0.02)  # of a chain's busiest server, that its width is tried for
SPARE = 1.008  # capacity of the chains over the rate that is planned for
MET = 0.97  # of what chains can pass: sessions are in each other's way
SLOWER = 0.95  # where no composition carries a rate, one for so much of it is looked for
SESSIONS, WARM_UP, SEED = 4_000, 0.2, 2025  # of the simulation that ranks compositions
MOST_SIMULATED = 500  # servers; beyond, a formula ranks, and numbers of chains grow geometrically
GROWTH = 1.08


class Terms(NamedTuple):
    """What composing reads of S servers."""

    swarm: Swarm
    session_tokens: int
    hop_ms: FloatArray  # F_j, mean over clients
    block_ms: FloatArray  # W_j
    work_ms: FloatArray  # of the server's time that a block of a session takes


class Composition(NamedTuple):
    """N chains."""

    chain: IntArray  # (S,) of each server; −1 if it serves none
    blocks: IntArray  # (S,) that it processes
    time_ms: FloatArray  # (N,) T_p
    pace_ms: FloatArray  # (N,) B_p: sessions of the chain follow each other no faster
    places: FloatArray  # (N,) c_p


@compiled
def _fill(order, width, blocks, chains, chain, filled, tail, following):  # type: ignore[no-untyped-def]
    """Deal servers to the least filled chain until all hold the model; return whether they do.

    The least filled one never gets emptier: chains wait in a list for every number of blocks.
    """
    head = filled  # lists of chains, by blocks filled; both have room for 2 L entries
    for fill in range(head.shape[0]):
        head[fill] = tail[fill] = -1
    for p in range(chains):
        following[p] = p + 1 if p + 1 < chains else -1
    head[0], tail[0], fill = 0, chains - 1, 0
    for j in order:
        while fill < blocks and head[fill] < 0:
            fill += 1
        if fill >= blocks:
            return True
        p = head[fill]
        head[fill] = following[p]
        chain[j] = p
        place = fill + width[j]
        following[p] = -1
        if head[place] < 0:
            head[place] = p
        else:
            following[tail[place]] = p
        tail[place] = p
    while fill < blocks and head[fill] < 0:
        fill += 1
    return fill >= blocks


@compiled
def _trim(members, first, blocks, work_ms, chain, held):  # type: ignore[no-untyped-def]
    """Take what chains hold beyond the model: servers not needed, then blocks of the busiest."""
    for p in range(first.shape[0] - 1):
        excess = -blocks
        for i in range(first[p], first[p + 1]):
            excess += held[members[i]]
        while excess > 0:
            least = -1
            for i in range(first[p], first[p + 1]):
                j = members[i]
                if held[j] > 0 and (least < 0 or held[j] < held[least]):
                    least = j
            if held[least] > excess:
                break
            excess -= held[least]
            held[least], chain[least] = 0, -1
        while excess > 0:
            busiest = -1
            for i in range(first[p], first[p + 1]):
                j = members[i]
                if held[j] > 1 and (
                    busiest < 0 or held[j] * work_ms[j] > held[busiest] * work_ms[busiest]
                ):
                    busiest = j
            excess -= 1
            held[busiest] -= 1


def compose(terms: Terms, chains: int, width: IntArray) -> Composition | None:
    """Chains of servers that hold at most so many blocks each; none if they do not suffice."""
    blocks = terms.swarm.model.blocks
    usable = np.flatnonzero(width > 0)
    rank = terms.hop_ms[usable] / width[usable] + terms.block_ms[usable]
    order = usable[np.argsort(rank, kind="stable")]
    chain = np.full(width.size, -1)
    room = np.empty((2, 2 * blocks + 1), dtype=np.int64)
    if not _fill(order, width, blocks, chains, chain, *room, np.empty(chains, dtype=np.int64)):
        return None
    members = np.flatnonzero(chain >= 0)
    members = members[np.argsort(chain[members], kind="stable")]
    first = np.searchsorted(chain[members], np.arange(chains + 1))
    held = np.where(chain >= 0, width, 0)
    # Where nobody computes in turns, the slowest blocks go.
    heaviest = terms.work_ms if terms.work_ms.any() else terms.block_ms
    _trim(members, first, blocks, heaviest, chain, held)
    used = np.flatnonzero(chain >= 0)
    own, count = chain[used], held[used]
    each_ms = terms.hop_ms[used] + count * terms.block_ms[used]
    time_ms = np.bincount(own, each_ms, chains).astype(float)
    pace_ms = np.zeros(chains)
    np.maximum.at(pace_ms, own, count * terms.work_ms[used])
    slots = free_cache_tokens(terms.swarm, held)[used] // terms.session_tokens
    places = np.full(chains, np.inf)
    np.minimum.at(places, own, slots // count)
    with np.errstate(divide="ignore"):
        places = np.minimum(places, time_ms / pace_ms)
    return Composition(chain, held, time_ms, pace_ms, places)


@compiled
def _mean_time(arrival, time_ms, taken_ms, places, ends, first, head, warm_up):  # type: ignore[no-untyped-def]
    """Mean time of sessions that take the fastest free place of chains, in order of time_ms."""
    ends[:] = -np.inf
    head[:] = 0
    total, count, earliest = 0.0, arrival.shape[0], -np.inf
    for i in range(count):
        earliest = max(earliest, arrival[i])
        begin, chosen = np.inf, -1
        for p in range(time_ms.shape[0]):
            free = ends[first[p] + head[p]]
            if free <= earliest:
                begin, chosen = earliest, p
                break
            if free < begin:
                begin, chosen = free, p
        earliest = begin
        ends[first[chosen] + head[chosen]] = begin + taken_ms[chosen]
        head[chosen] = head[chosen] + 1 if head[chosen] + 1 < places[chosen] else 0
        if i >= warm_up:
            total += begin + time_ms[chosen] - arrival[i]
    return total / (count - warm_up)


def simulated_ms(found: Composition, gaps: FloatArray, rate_per_s: float) -> float:
    """Mean time of Poisson sessions, first come first served, each at the fastest free place.

    A place is taken for less than a session's time where c is no whole number, so that ⌊c⌋ places
    pass what c can, but for the time that sessions lose as they meet.
    """
    able = np.minimum(found.places, SESSIONS)
    places = np.maximum(np.floor(able), 1).astype(np.int64)
    taken_ms = found.time_ms * places / (able * MET)
    order = np.argsort(found.time_ms, kind="stable")
    first = np.cumsum(places[order]) - places[order]
    return float(
        _mean_time(
            np.cumsum(gaps) * (1000.0 / rate_per_s),
            found.time_ms[order],
            taken_ms[order],
            places[order],
            np.empty(int(places.sum())),
            first,
            np.empty(order.size, dtype=np.int64),
            int(WARM_UP * gaps.size),
        )
    )


def estimated_ms(found: Composition, rate_per_s: float) -> float:
    """The same by a formula: places of all chains as one M/D/c queue (Sakasegawa's, halved)."""
    places = np.maximum(np.floor(found.places), 1)
    count = float(places.sum())
    service_ms = count / float((places / found.time_ms).sum())
    load = rate_per_s / 1000.0 * service_ms / count
    if load >= 1:
        return np.inf
    wait_ms = service_ms / count * load ** (np.sqrt(2 * (count + 1)) - 1) / (1 - load) / 2
    # Those that are not full take the fastest.
    order = np.argsort(found.time_ms, kind="stable")
    taken = np.diff(np.minimum(np.cumsum(places[order]), load * count), prepend=0.0)
    return float((taken * found.time_ms[order]).sum() / taken.sum() + wait_ms)


class Pipe(PlacementPolicy, name="pipe"):
    """PIPE: disjoint chains, their number and width by a simulation of sessions."""

    hub_only = True

    def place(self, problem: PlacementProblem) -> Placement:
        """Blocks and cache of every server, with the detail ``chains``.

        Raises
        ------
        InfeasibleError
            If the blocks do not fit, or not with the cache of one session.
        """
        swarm, request, computing = problem.swarm, problem.request, problem.computing
        assert request is not None and computing is not None
        tokens = problem.held_tokens or problem.session_tokens
        hop_ms, block_ms = computing.session_terms_ms(request)
        servers = np.arange(swarm.servers)
        most = conservative_blocks(swarm, 1, tokens)
        slots = np.maximum(free_cache_tokens(swarm, np.minimum(most, 1)) // tokens, 1)
        work_ms = computing.least_work_ms(request, servers, np.ones_like(servers), slots)
        terms = Terms(swarm, tokens, hop_ms.mean(axis=0), block_ms, work_ms)
        if int(most.sum()) < swarm.model.blocks:
            lacking = f"{swarm.model.blocks - int(most.sum())} of {swarm.model.blocks} blocks"
            raise InfeasibleError("GPU memory", lacking, "PIPE, with cache for one session")
        found = plan(terms, most, max(problem.rate_per_s, 1e-9))
        return _placement(problem, found)


def _placement(problem: PlacementProblem, found: Composition) -> Placement:
    first = np.zeros(found.chain.size, dtype=np.int64)
    chains = []
    for p in range(found.places.size):
        servers = np.flatnonzero(found.chain == p)
        blocks = found.blocks[servers]
        first[servers] = 1 + np.cumsum(blocks) - blocks
        chains.append((servers, blocks))
    assert problem.request is not None and problem.computing is not None
    table = chain_table(chains, found.places, problem.request, problem.computing)
    return Placement(problem.swarm, first, found.blocks, details={"chains": table})


def plan(terms: Terms, most: IntArray, rate_per_s: float) -> Composition:
    """Composition of the least mean time among those that carry a rate.

    Where none carries it, one that carries as much of it as can be found.
    """
    gaps = np.random.default_rng(SEED).standard_exponential(SESSIONS)
    simulated = terms.swarm.servers <= MOST_SIMULATED
    while True:
        best, least_ms = None, np.inf
        for found in _compositions(terms, most, rate_per_s):
            with np.errstate(divide="ignore"):
                capacity = float((1000.0 / found.pace_ms).sum())
            if capacity < SPARE * rate_per_s:
                continue
            mean_ms = (
                simulated_ms(found, gaps, rate_per_s)
                if simulated
                else estimated_ms(found, rate_per_s)
            )
            if best is None or mean_ms < least_ms:
                best, least_ms = found, mean_ms
        if best is not None:
            return best
        rate_per_s *= SLOWER


def _compositions(terms: Terms, most: IntArray, rate_per_s: float) -> Iterator[Composition]:
    """Compositions of every number of chains, each for several widths."""
    blocks, tried = int(terms.swarm.model.blocks), set()
    largest, chains = int(most.sum()) // blocks, 1
    while chains <= largest:
        for load in LOADS:
            pace_ms = 1000.0 * chains * load / rate_per_s
            with np.errstate(divide="ignore", invalid="ignore"):
                paced = np.floor(pace_ms / terms.work_ms + 1e-9)
            width = np.minimum(most, np.where(terms.work_ms > 0, paced, blocks)).astype(np.int64)
            for _ in range(2):
                key = (chains, width.tobytes())
                if key in tried:
                    break
                tried.add(key)
                found = compose(terms, chains, width)
                if found is None:
                    break
                yield found
                # Once more, with room for the sessions that there will be.
                expected = rate_per_s / 1000.0 * float(found.time_ms.mean()) / chains
                with np.errstate(divide="ignore"):
                    saturating = float((found.time_ms / found.pace_ms).min())
                sessions = int(np.ceil(min(saturating, 1.3 * expected + 1)))
                room = conservative_blocks(terms.swarm, sessions, terms.session_tokens)
                width = np.minimum(width, room)
        chains = (
            max(chains + 1, int(chains * GROWTH))
            if terms.swarm.servers > MOST_SIMULATED
            else chains + 1
        )
