"""Shortest chains over block positions: the hot kernels of WS-RR and of exact routing.

Position p means "blocks 1..p are done". A server that hosts blocks a..e takes a request from any
position p with a − 1 ≤ p < e to position e, because it processes to the end of its range. So a
chain is a path over the L + 1 positions, and the shortest one a dynamic programme in the order of
the end blocks (docs/model.md#exact-routing), instead of a search over pairs of servers.

The time of a link depends on the server only through a fixed part, which the client's distance
sets, and a part per block. Servers with the same end and the same time per block form a *family*:
one running minimum over positions serves them all. Those of a family that also start at the same
block form a *group*, in which each client keeps the servers in order of their distance: the first
one with room for all its blocks is the best, and those beyond it are never looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import numpy as np
from numba import njit

from bprr.ground.caches import (
    drop_ended_at,
    first_entry_with_room,
    release_ms,
    units_before,
)
from bprr.ground.errors import InfeasibleError
from bprr.ground.request import Request, Route
from bprr.ground.schema import Strict
from bprr.ground.swarm import FloatArray, IntArray
from bprr.placement.base import Placement
from bprr.routing.base import RoutingContext, RoutingPolicy

__all__ = [
    "ChainGraph",
    "ClientView",
    "PositionRouter",
    "shortest_with_waits",
    "shortest_with_worst_wait",
]

TIE = 1e-12  # relative; path lengths closer than this are equal
MARGIN = 1e-9  # relative; room for rounding and ties where a bound cuts the search short
CROWD = 4  # families at an end from which on it pays to bound them before looking at each


class ChainGraph(NamedTuple):
    """The links of a placement: servers by end block, time per block and first block.

    N servers host blocks, in G groups and F families, at E end blocks.
    """

    blocks: int  # L
    server: IntArray  # (N,) index into the swarm, group by group
    group_first: IntArray  # (G + 1,) servers of group g: [group_first[g], group_first[g + 1])
    group_low: IntArray  # (G,) first position its servers may be entered from, a_j − 1
    family_first: IntArray  # (F + 1,) groups of family f, by increasing low
    family_tau_ms: FloatArray  # (F,)
    family_prefill_ms: FloatArray  # (F,)
    family_prefill_ms_per_token: FloatArray  # (F,)
    end_first: IntArray  # (E + 1,) families of the e-th end
    end_block: IntArray  # (E,)
    end_low: IntArray  # (E,) smallest low of its servers

    @classmethod
    def of(cls, placement: Placement) -> ChainGraph:
        """Links of a placement."""
        swarm = placement.swarm
        used = np.flatnonzero(placement.blocks > 0)
        columns = np.stack(
            [
                placement.last_block[used],
                swarm.tau_ms[used],
                swarm.prefill_ms[used],
                swarm.prefill_ms_per_token[used],
                placement.first_block[used] - 1,
            ]
        )
        order = np.lexsort(columns[::-1])
        columns = columns[:, order]
        changes = np.ones(columns.shape, dtype=bool)
        changes[:, 1:] = columns[:, 1:] != columns[:, :-1]
        # The first server of each end, family and group; every one of them starts a finer one too.
        ends, families, groups = (
            np.flatnonzero(changes[:count].any(axis=0)) for count in (1, 4, 5)
        )
        low = columns[4].astype(np.int64)
        return cls(
            swarm.model.blocks,
            used[order].astype(np.int64),
            np.r_[groups, used.size],
            low[groups],
            np.r_[np.searchsorted(groups, families), groups.size],
            columns[1][families],
            columns[2][families],
            columns[3][families],
            np.r_[np.searchsorted(families, ends), families.size],
            columns[0][ends].astype(np.int64),
            np.minimum.reduceat(low, ends) if used.size else low,
        )


class ClientView(NamedTuple):
    """A client's distances to the N servers of a graph, each group in order of distance."""

    server: IntArray  # (N,) index into the swarm
    rtt_ms: FloatArray  # (N,) t_cj, increasing within a group
    prompt_rtt_ms: FloatArray  # (N,) t^I_cj at zero input tokens
    least_prompt_rtt_ms: FloatArray  # (N,) smallest of it and of the later ones in the group

    @classmethod
    def of(cls, graph: ChainGraph, rtt_ms: FloatArray, prompt_rtt_ms: FloatArray) -> ClientView:
        """View of the client with these round trips to the servers of the swarm, shape (S,)."""
        groups = graph.group_first.size - 1
        group = np.repeat(np.arange(groups), np.diff(graph.group_first))
        keys = (graph.server, prompt_rtt_ms[graph.server], rtt_ms[graph.server], group)
        server = graph.server[np.lexsort(keys)]
        prompt = prompt_rtt_ms[server]
        return cls(server, rtt_ms[server], prompt, _least_of_later(prompt, graph.group_first))


@njit(cache=True)
def _least_of_later(value, group_first):  # type: ignore[no-untyped-def]
    least = value.copy()
    for group in range(group_first.shape[0] - 1):
        for i in range(group_first[group + 1] - 2, group_first[group] - 1, -1):
            least[i] = min(least[i], least[i + 1])
    return least


@njit(cache=True, inline="always")
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
def _trace(graph, by, source, out_server, out_processed):  # type: ignore[no-untyped-def]
    """Follow the predecessors from position L; return the chain's length."""
    length, position = 0, graph.blocks
    while position > 0:
        position = source[position]
        length += 1
    position = graph.blocks
    for i in range(length - 1, -1, -1):
        out_server[i] = by[position]
        out_processed[i] = position - source[position]
        position = source[position]
    return length


@njit(cache=True, inline="always")
def _per_block_ms(graph, family, input_tokens, output_tokens):  # type: ignore[no-untyped-def]
    per_token = graph.family_prefill_ms_per_token[family]
    prefill = graph.family_prefill_ms[family] + per_token * input_tokens
    return prefill + (output_tokens - 1) * graph.family_tau_ms[family]


@njit(cache=True)
def _bound_of_families(  # type: ignore[no-untyped-def]
    graph, e, input_tokens, output_tokens, distance, bound, source
):
    """Lower bound on the way to an end from each position on, whatever the family.

    Fills bound[p] for the fastest time per block at this end and returns that time; a family that
    takes x more per block is x further at least, as it processes a block or more.
    """
    fastest = np.inf
    for family in range(graph.end_first[e], graph.end_first[e + 1]):
        fastest = min(fastest, _per_block_ms(graph, family, input_tokens, output_tokens))
    low, end = graph.end_low[e], graph.end_block[e]
    _running_minimum(distance, fastest, low, end, bound, source)
    return fastest


@njit(cache=True)
def _shortest_before(  # type: ignore[no-untyped-def]
    graph, view, state, request, now, deadline, best, distance, by, source
):
    """Shortest path over the links that have room before ``deadline``.

    Brings the three tables up to date. They hold the shortest ways before a later deadline, or
    nothing: distance 0 at position 0, inf elsewhere. An earlier deadline only takes links away,
    so a way that keeps its last link and what comes before it is the shortest still. Ways that
    are not shorter than ``best`` may be left out.
    """
    input_tokens, output_tokens, units_per_block, extra = request
    value, bound = np.empty(graph.blocks + 1), np.empty(graph.blocks + 1)
    best_from = np.empty(graph.blocks + 1, dtype=np.int64)
    moved = np.zeros(graph.blocks + 1, dtype=np.bool_)
    for e in range(graph.end_block.shape[0]):
        end = graph.end_block[e]
        if deadline < np.inf:
            if distance[end] == np.inf:
                continue
            needed = (end - source[end]) * units_per_block
            if not moved[source[end]] and _has_room(state, by[end], needed, deadline):
                continue
        shortest, chosen, origin = np.inf, -1, -1
        crowded = graph.end_first[e + 1] - graph.end_first[e] >= CROWD
        fastest = 0.0
        if crowded:
            fastest = _bound_of_families(
                graph, e, input_tokens, output_tokens, distance, bound, best_from
            )
        for family in range(graph.end_first[e], graph.end_first[e + 1]):
            per_block = _per_block_ms(graph, family, input_tokens, output_tokens)
            known = False
            for group in range(graph.family_first[family], graph.family_first[family + 1]):
                low, i = graph.group_low[group], graph.group_first[group]
                if crowded:
                    fixed = (
                        extra + view.least_prompt_rtt_ms[i] + (output_tokens - 1) * view.rtt_ms[i]
                    )
                    least = bound[low] + (per_block - fastest) + fixed
                    if not least < min(shortest, best) * (1 + MARGIN):
                        continue
                if not known:
                    # The groups that follow start at later blocks.
                    _running_minimum(distance, per_block, low, end, value, best_from)
                    known = True
                while i < graph.group_first[group + 1]:
                    token_ms = (output_tokens - 1) * view.rtt_ms[i]
                    least = value[low] + (extra + view.least_prompt_rtt_ms[i] + token_ms)
                    if not least < min(shortest, best) * (1 + MARGIN):
                        break
                    server = view.server[i]
                    fixed = extra + view.prompt_rtt_ms[i] + token_ms
                    i += 1
                    length = value[low] + fixed
                    # Less room can only lengthen the way.
                    if not _better(length, server, shortest, chosen):
                        continue
                    position = low
                    drop_ended_at(state, server, now)
                    if state.free[server] < (end - low) * units_per_block:
                        units = units_before(state, server, deadline)
                        if units < units_per_block:
                            continue
                        position = max(low, end - units // units_per_block)
                        length = value[position] + fixed
                        if not _better(length, server, shortest, chosen):
                            continue
                    shortest, chosen, origin = length, server, best_from[position]
        moved[end] = shortest != distance[end]
        distance[end], by[end], source[end] = shortest, chosen, origin


@njit(cache=True, inline="always")
def _has_room(state, server, units, deadline):  # type: ignore[no-untyped-def]
    return state.free[server] >= units or units_before(state, server, deadline) >= units


@njit(cache=True, inline="always")
def _better(length, server, shortest, chosen):  # type: ignore[no-untyped-def]
    """Whether a way is shorter than the shortest so far, or as short by a server named before."""
    if length < shortest * (1 - TIE):
        return True
    return length < shortest * (1 + TIE) and server < chosen


@njit(cache=True)
def shortest_with_worst_wait(  # type: ignore[no-untyped-def]
    graph, view, state, request, now, out_server, out_processed
):
    """Chain that minimises its time plus its largest wait; exact (docs/model.md#exact-routing).

    Links that have room before a deadline are those with a shorter wait. Start without a deadline;
    each path found sets the next one: a better path waits less than this one, and, as it is at
    least as long, it waits less than the best sum exceeds this one's length. The search ends
    when the path alone is longer than the best sum.

    Parameters
    ----------
    graph : ChainGraph
        The links.
    view : ClientView
        The client's distances.
    state : CacheState
        Who holds how much cache.
    request : tuple
        Input tokens, output tokens, units of cache per block, and what t^I_cj adds for the input
        (ms).
    now : float
        The present (ms).
    out_server, out_processed : ndarray of int64, shape (L,)
        Take the chain.

    Returns
    -------
    length : int
        Servers on the chain, 0 if there is none.
    cost_ms : float
        Time of the chain plus its wait.
    """
    units_per_block = request[2]
    distance = np.full(graph.blocks + 1, np.inf)
    distance[0] = 0.0
    by = np.empty(graph.blocks + 1, dtype=np.int64)
    source = np.empty(graph.blocks + 1, dtype=np.int64)
    chain, processed = np.empty_like(out_server), np.empty_like(out_processed)
    best, best_length, deadline = np.inf, 0, np.inf
    while True:
        _shortest_before(graph, view, state, request, now, deadline, best, distance, by, source)
        # Every later path is at least as long as this one, and waits besides.
        path = distance[graph.blocks]
        if not path < best * (1 - TIE):
            return best_length, best
        length = _trace(graph, by, source, chain, processed)
        start = now
        for i in range(length):
            start = max(start, release_ms(state, chain[i], processed[i] * units_per_block, now))
        cost = path + (start - now)
        if cost < best * (1 - TIE):
            best, best_length = cost, length
            out_server[:length] = chain[:length]
            out_processed[:length] = processed[:length]
        if start <= now:
            return best_length, best
        deadline = min(start, now + (best - path) + MARGIN * best)


@njit(cache=True)
def shortest_with_waits(  # type: ignore[no-untyped-def]
    graph, view, state, request, now, out_server, out_processed
):
    """Chain that minimises its time plus the waits of all its links (docs/model.md#ws-rr).

    Parameters and return values are those of `shortest_with_worst_wait`, but the cost counts the
    waits of all links.
    """
    input_tokens, output_tokens, units_per_block, extra = request
    distance = np.full(graph.blocks + 1, np.inf)
    by = np.empty(graph.blocks + 1, dtype=np.int64)
    source = np.empty(graph.blocks + 1, dtype=np.int64)
    value, bound = np.empty(graph.blocks + 1), np.empty(graph.blocks + 1)
    best_from = np.empty(graph.blocks + 1, dtype=np.int64)
    distance[0] = 0.0
    for e in range(graph.end_block.shape[0]):
        end = graph.end_block[e]
        shortest, chosen, origin = np.inf, -1, -1
        crowded = graph.end_first[e + 1] - graph.end_first[e] >= CROWD
        fastest = 0.0
        if crowded:
            fastest = _bound_of_families(
                graph, e, input_tokens, output_tokens, distance, bound, best_from
            )
        for family in range(graph.end_first[e], graph.end_first[e + 1]):
            per_block = _per_block_ms(graph, family, input_tokens, output_tokens)
            known = False
            for group in range(graph.family_first[family], graph.family_first[family + 1]):
                low, first = graph.group_low[group], graph.group_first[group]
                if crowded:
                    token_ms = (output_tokens - 1) * view.rtt_ms[first]
                    fixed = extra + view.least_prompt_rtt_ms[first] + token_ms
                    least = bound[low] + (per_block - fastest) + fixed
                    if not least < shortest * (1 + MARGIN):
                        continue
                if not known:
                    _running_minimum(distance, per_block, low, end, value, best_from)
                    known = True
                needed, i = (end - low) * units_per_block, first
                # Those with room for all their blocks first: they rule out most of those without.
                while i < graph.group_first[group + 1]:
                    token_ms = (output_tokens - 1) * view.rtt_ms[i]
                    least = value[low] + (extra + view.least_prompt_rtt_ms[i] + token_ms)
                    if not least < shortest * (1 + MARGIN):
                        break
                    server = view.server[i]
                    drop_ended_at(state, server, now)
                    if state.free[server] >= needed:
                        length = value[low] + (extra + view.prompt_rtt_ms[i] + token_ms)
                        if _better(length, server, shortest, chosen):
                            shortest, chosen, origin = length, server, best_from[low]
                    i += 1
                for near in range(first, i):
                    server = view.server[near]
                    if state.free[server] >= needed:
                        continue
                    token_ms = (output_tokens - 1) * view.rtt_ms[near]
                    fixed = extra + view.prompt_rtt_ms[near] + token_ms
                    least = value[low] + fixed
                    if state.free[server] < units_per_block:
                        least += state.next_end[server] - now
                    if not least < shortest * (1 + MARGIN):
                        continue
                    length, position = _waiting_link(
                        state, server, end, low, fixed, per_block, units_per_block, now, distance
                    )
                    if _better(length, server, shortest, chosen):
                        shortest, chosen, origin = length, server, position
        distance[end], by[end], source[end] = shortest, chosen, origin
    if distance[graph.blocks] == np.inf:
        return 0, np.inf
    return _trace(graph, by, source, out_server, out_processed), distance[graph.blocks]


@njit(cache=True)
def _waiting_link(  # type: ignore[no-untyped-def]
    state, server, end, low, fixed, per_block, units_per_block, now, distance
):
    """Best way into a server that has not room for all its blocks now: each k has its own wait."""
    best, origin = np.inf, -1
    tail = state.tail[server]
    entry = first_entry_with_room(state, server, units_per_block)
    for position in range(end - 1, low - 1, -1):
        needed = (end - position) * units_per_block
        release = now
        if state.free[server] < needed:
            wanted = needed - state.free[server] + state.released[server]
            while entry < tail and state.released_by[entry] < wanted:
                entry += 1
            if entry == tail:
                break
            release = state.end[entry]
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


class PositionRouter(RoutingPolicy):
    """Base of the policies that search over block positions, each with its ``kernel``."""

    kernel: ClassVar[Callable[..., tuple[int, float]]]

    def __init__(self, context: RoutingContext, options: Strict | None = None) -> None:
        super().__init__(context, options)
        self._graph = ChainGraph.of(context.placement)
        self._views: dict[int, ClientView] = {}
        self._servers = np.empty(context.placement.swarm.model.blocks, dtype=np.int64)
        self._processed = np.empty_like(self._servers)

    def route(self, request: Request, now_ms: float) -> Route:
        """Chain for a request that asks now.

        Raises
        ------
        InfeasibleError
            If no chain of servers hosts every block with room for the session.
        """
        client, input_tokens, output_tokens, cache_tokens = request
        swarm = self.context.placement.swarm
        view = self._views.get(client)
        if view is None:
            rtt_ms, prompt_rtt_ms = swarm.token_rtt_ms[client], swarm.prompt_rtt_ms[client]
            view = self._views[client] = ClientView.of(self._graph, rtt_ms, prompt_rtt_ms)
        extra_ms = float(swarm.prompt_rtt_ms_per_token * input_tokens)
        length, cost_ms = type(self).kernel(
            self._graph,
            view,
            self.context.caches.state,
            (input_tokens, output_tokens, cache_tokens, extra_ms),
            float(now_ms),
            self._servers,
            self._processed,
        )
        if length == 0:
            raise no_chain(self.context.placement, request)
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
        f"room for {request.cache_tokens} tokens in every block of a chain",
        f"the largest cache holds {largest} tokens of one block",
    )
