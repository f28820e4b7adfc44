"""Shortest chains over block positions: the hot kernels of WS-RR and of exact routing.

Position p means "blocks 1..p are done". A server that hosts blocks a..e takes a request from any
position p with a − 1 ≤ p < e to position e, because it processes to the end of its range. So a
chain is a path over the L + 1 positions, and the shortest one a dynamic programme in the order of
the end blocks (paper, section 15), instead of a search over pairs of servers.

The time of a link depends on the server only through a fixed part and a part per block. Servers
with the same end and the same time per block form a *group*: one running minimum over positions
serves them all, so that a server without waiting costs a single look-up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from bprr.errors import InfeasibleError
from bprr.ledger import CacheLedger, drop_ended, release_ms
from bprr.placement.base import Placement
from bprr.routing.base import Request, Route
from bprr.swarm import FloatArray, IntArray

__all__ = ["ChainGraph", "PositionRouter", "shortest_with_waits", "shortest_with_worst_wait"]

TIE = 1e-12  # relative; path lengths closer than this are equal


class ChainGraph(NamedTuple):
    """The links of a placement: servers sorted by end block, then by time per block.

    N servers host blocks, in G groups of equal end and equal τ and τ^I.
    """

    blocks: int  # L
    server: IntArray  # (N,) index into the swarm
    low: IntArray  # (N,) first position it may be entered from, a_j − 1
    width: IntArray  # (N,) m_j
    group_first: IntArray  # (G + 1,) servers of group g: [group_first[g], group_first[g + 1])
    group_end: IntArray  # (G,) end block
    group_low: IntArray  # (G,) smallest `low` in the group
    group_tau_ms: FloatArray  # (G,)
    group_prefill_ms: FloatArray  # (G,)
    group_prefill_ms_per_token: FloatArray  # (G,)

    @classmethod
    def of(cls, placement: Placement) -> ChainGraph:
        """Links of a placement."""
        swarm = placement.swarm
        used = np.flatnonzero(placement.blocks > 0)
        keys = (
            used,
            swarm.prefill_ms_per_token[used],
            swarm.prefill_ms[used],
            swarm.tau_ms[used],
            placement.last_block[used],
        )
        server = used[np.lexsort(keys)]
        end, tau = placement.last_block[server], swarm.tau_ms[server]
        prefill, per_token = swarm.prefill_ms[server], swarm.prefill_ms_per_token[server]
        columns = np.stack([end, tau, prefill, per_token])
        starts = np.flatnonzero(np.r_[True, (columns[:, 1:] != columns[:, :-1]).any(axis=0)])
        if not server.size:
            starts = np.empty(0, dtype=np.int64)
        low = placement.first_block[server] - 1
        return cls(
            swarm.model.blocks,
            server.astype(np.int64),
            low.astype(np.int64),
            placement.blocks[server],
            np.r_[starts, server.size].astype(np.int64),
            end[starts].astype(np.int64),
            (np.minimum.reduceat(low, starts) if server.size else starts).astype(np.int64),
            tau[starts],
            prefill[starts],
            per_token[starts],
        )


@njit(cache=True)
def _running_minimum(distance, per_block, low, end, value, source):  # type: ignore[no-untyped-def]
    """Best position at or above each p to come from, when a link costs per_block·(end − p) more.

    Fills value[p] = min over p ≤ q < end of distance[q] + per_block·(end − q), and source[p] = q.
    Of equally long ways the one whose predecessor is nearer to the client is kept.
    """
    best, at = np.inf, -1
    for position in range(end - 1, low - 1, -1):
        if distance[position] < np.inf:
            length = distance[position] + per_block * (end - position)
            margin = TIE * length
            if length < best - margin or (
                length <= best + margin and distance[position] < distance[at]
            ):
                best, at = length, position
        value[position] = best
        source[position] = at


@njit(cache=True)
def _links_before(state, server, units_per_block, width, deadline):  # type: ignore[no-untyped-def]
    """Blocks that a server has room for at some time before ``deadline`` (at most its width)."""
    capacity = state.capacity[server]
    if capacity - state.held[server] >= width * units_per_block:
        return width
    if deadline == np.inf:
        free = capacity
    else:
        low, high = state.head[server], state.tail[server]
        while low < high:
            middle = (low + high) // 2
            if state.end[middle] < deadline:
                low = middle + 1
            else:
                high = middle
        free = capacity - (state.held_from[low] if low < state.tail[server] else 0)
    return min(width, max(free, 0) // units_per_block)


@njit(cache=True)
def _trace(graph, by, source, out_server, out_processed):  # type: ignore[no-untyped-def]
    """Follow the predecessors from position L; return the chain's length."""
    length, position = 0, graph.blocks
    while position > 0:
        out_server[length] = by[position]
        out_processed[length] = position - source[position]
        position = source[position]
        length += 1
    out_server[:length] = out_server[:length][::-1].copy()
    out_processed[:length] = out_processed[:length][::-1].copy()
    return length


@njit(cache=True)
def _per_block_ms(graph, group, input_tokens, output_tokens):  # type: ignore[no-untyped-def]
    prefill = graph.group_prefill_ms[group] + graph.group_prefill_ms_per_token[group] * input_tokens
    return prefill + (output_tokens - 1) * graph.group_tau_ms[group]


@njit(cache=True)
def _shortest_before(  # type: ignore[no-untyped-def]
    graph,
    state,
    fixed_ms,
    input_tokens,
    output_tokens,
    units_per_block,
    deadline,
    distance,
    by,
    source,
):
    """Shortest path over the links that have room before ``deadline``; fills the three tables."""
    value = np.empty(graph.blocks + 1)
    best_from = np.empty(graph.blocks + 1, dtype=np.int64)
    distance[:] = np.inf
    distance[0] = 0.0
    for group in range(graph.group_end.shape[0]):
        end = graph.group_end[group]
        per_block = _per_block_ms(graph, group, input_tokens, output_tokens)
        _running_minimum(distance, per_block, graph.group_low[group], end, value, best_from)
        for i in range(graph.group_first[group], graph.group_first[group + 1]):
            server, low = graph.server[i], graph.low[i]
            length = value[low] + fixed_ms[server]
            # Less room can only lengthen the way, so a server that loses with all of it is out.
            if not length < distance[end] * (1 + TIE):
                continue
            room = _links_before(state, server, units_per_block, graph.width[i], deadline)
            if room < graph.width[i]:
                if room == 0:
                    continue
                low = max(low, end - room)
                length = value[low] + fixed_ms[server]
            if length < distance[end] * (1 - TIE) or (
                length < distance[end] * (1 + TIE) and server < by[end]
            ):
                distance[end], by[end], source[end] = length, server, best_from[low]


@njit(cache=True)
def shortest_with_worst_wait(  # type: ignore[no-untyped-def]
    graph, state, rtt_ms, prompt_rtt_ms, prompt_extra_ms, request, now, out_server, out_processed
):
    """Chain that minimises its time plus its largest wait (paper, sections 5 and 15); exact.

    Links that have room before a deadline are those with a shorter wait. Start without a deadline;
    each path found sets the next one at its own largest wait, so every later path waits less, and
    the search ends when the path alone is longer than the best sum.

    Returns
    -------
    length : int
        Servers on the chain, 0 if there is none.
    cost_ms : float
        Time of the chain plus its wait.
    """
    input_tokens, output_tokens, units_per_block = request
    drop_ended(state, now)
    fixed_ms = prompt_rtt_ms + prompt_extra_ms + (output_tokens - 1) * rtt_ms
    distance = np.empty(graph.blocks + 1)
    by = np.empty(graph.blocks + 1, dtype=np.int64)
    source = np.empty(graph.blocks + 1, dtype=np.int64)
    chain, processed = np.empty_like(out_server), np.empty_like(out_processed)
    best, best_length, deadline = np.inf, 0, np.inf
    while True:
        _shortest_before(
            graph, state, fixed_ms, input_tokens, output_tokens, units_per_block, deadline,
            distance, by, source,
        )  # fmt: skip
        # Every later path is at least as long as this one, and waits besides.
        if not distance[graph.blocks] < best * (1 - TIE):
            return best_length, best
        length = _trace(graph, by, source, chain, processed)
        start = now
        for i in range(length):
            start = max(start, release_ms(state, chain[i], processed[i] * units_per_block, now))
        cost = distance[graph.blocks] + (start - now)
        if cost < best * (1 - TIE):
            best, best_length = cost, length
            out_server[:length] = chain[:length]
            out_processed[:length] = processed[:length]
        if start <= now:
            return best_length, best
        deadline = start


@njit(cache=True)
def shortest_with_waits(  # type: ignore[no-untyped-def]
    graph, state, rtt_ms, prompt_rtt_ms, prompt_extra_ms, request, now, out_server, out_processed
):
    """Chain that minimises its time plus the waits of all its links (WS-RR; paper, section 5).

    Returns
    -------
    length : int
        Servers on the chain, 0 if there is none.
    cost_ms : float
        Time of the chain plus the waits of its links.
    """
    input_tokens, output_tokens, units_per_block = request
    drop_ended(state, now)
    distance = np.full(graph.blocks + 1, np.inf)
    by = np.empty(graph.blocks + 1, dtype=np.int64)
    source = np.empty(graph.blocks + 1, dtype=np.int64)
    value = np.empty(graph.blocks + 1)
    best_from = np.empty(graph.blocks + 1, dtype=np.int64)
    distance[0] = 0.0
    for group in range(graph.group_end.shape[0]):
        end = graph.group_end[group]
        per_block = _per_block_ms(graph, group, input_tokens, output_tokens)
        _running_minimum(distance, per_block, graph.group_low[group], end, value, best_from)
        for i in range(graph.group_first[group], graph.group_first[group + 1]):
            server, low, width = graph.server[i], graph.low[i], graph.width[i]
            fixed = prompt_rtt_ms[server] + prompt_extra_ms + (output_tokens - 1) * rtt_ms[server]
            length, origin = value[low] + fixed, best_from[low]
            if not length < distance[end] * (1 + TIE):
                continue
            free = state.capacity[server] - state.held[server]
            if free < width * units_per_block:
                length, origin = _waiting_link(
                    state, server, end, low, fixed, per_block, units_per_block, now, distance
                )
            if length < distance[end] * (1 - TIE) or (
                length < distance[end] * (1 + TIE) and server < by[end]
            ):
                distance[end], by[end], source[end] = length, server, origin
    if distance[graph.blocks] == np.inf:
        return 0, np.inf
    return _trace(graph, by, source, out_server, out_processed), distance[graph.blocks]


@njit(cache=True)
def _waiting_link(  # type: ignore[no-untyped-def]
    state, server, end, low, fixed, per_block, units_per_block, now, distance
):
    """Best way into a server that has not room for all its blocks now: each k has its own wait."""
    best, origin = np.inf, -1
    entry, tail = state.head[server], state.tail[server]
    free, release = state.capacity[server] - state.held[server], now
    for position in range(end - 1, low - 1, -1):
        needed = (end - position) * units_per_block
        while free < needed and entry < tail:
            release = state.end[entry]
            entry += 1
            later = state.held_from[entry] if entry < tail else 0
            free = state.capacity[server] - later
        if free < needed:
            break
        if distance[position] == np.inf:
            continue
        link = (release - now) + fixed + per_block * (end - position)
        length = distance[position] + link
        margin = TIE * length
        if length < best - margin or (
            length <= best + margin and distance[position] < distance[origin]
        ):
            best, origin = length, position
    return best, origin


class PositionRouter:
    """Base of the policies that search over block positions.

    Parameters
    ----------
    placement : Placement
        Blocks and cache of every server.
    ledger : CacheLedger
        State of the caches.
    kernel : callable
        `shortest_with_waits` or `shortest_with_worst_wait`.
    """

    def __init__(self, placement: Placement, ledger: CacheLedger, kernel) -> None:  # type: ignore[no-untyped-def]
        self._placement, self._ledger, self._kernel = placement, ledger, kernel
        self._graph = ChainGraph.of(placement)
        self._servers = np.empty(placement.swarm.model.blocks, dtype=np.int64)
        self._processed = np.empty_like(self._servers)

    def route(self, request: Request, now_ms: float) -> Route:
        """Chain for a request that asks now.

        Raises
        ------
        InfeasibleError
            If no chain of servers hosts every block with room for the session.
        """
        swarm = self._placement.swarm
        length, cost_ms = self._kernel(
            self._graph,
            self._ledger.state,
            swarm.token_rtt_ms[request.client],
            swarm.prompt_rtt_ms[request.client],
            swarm.prompt_rtt_ms_per_token * request.input_tokens,
            (request.input_tokens, request.output_tokens, request.cache_tokens),
            now_ms,
            self._servers,
            self._processed,
        )
        if length == 0:
            raise no_chain(self._placement, request)
        return Route(self._servers[:length].copy(), self._processed[:length].copy(), cost_ms)


def no_chain(placement: Placement, request: Request) -> InfeasibleError:
    """Error that says why a request has no chain: blocks hosted nowhere, or caches too small."""
    used = placement.blocks > 0
    hosted = np.zeros(placement.swarm.model.blocks + 2, dtype=bool)
    for first, last in zip(placement.first_block[used], placement.last_block[used], strict=True):
        hosted[first : last + 1] = True
    absent = np.flatnonzero(~hosted[1:-1]) + 1
    if absent.size:
        named = ", ".join(map(str, absent[:8])) + (", …" if absent.size > 8 else "")
        return InfeasibleError(
            "GPU memory",
            f"{absent.size} of {placement.swarm.model.blocks} blocks hosted nowhere",
            f"blocks {named}",
        )
    largest = int(placement.cache_tokens.max(initial=0))
    return InfeasibleError(
        "attention cache",
        f"no chain has room for {request.cache_tokens} tokens in every block it uses",
        f"the largest cache holds {largest} tokens of one block",
    )
