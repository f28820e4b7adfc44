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

import numpy as np

from bprr.ground.caches import drop_ended_at, first_entry_with_room, release_ms, units_before
from bprr.ground.compiled import compiled, state_of
from bprr.routing.chains import Search, view_of

__all__ = ["ExactSearch", "shortest_with_waits", "shortest_with_worst_wait"]

TIE = 1e-12  # relative; path lengths closer than this are equal
LATEST = np.finfo(np.float64).max  # deadline of those that never have room: before inf
MARGIN = 1e-9  # relative; room for rounding and ties where a bound cuts the search short
CROWD = 4  # families at an end from which on it pays to bound them before looking at each


@compiled(inline="always")
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


@compiled
def _trace(by, source, out_server, out_processed):  # type: ignore[no-untyped-def]
    """Follow the predecessors from position L; return the chain's length."""
    length, position = 0, by.shape[0] - 1
    while position > 0:
        position = source[position]
        length += 1
    position = by.shape[0] - 1
    for i in range(length - 1, -1, -1):
        out_server[i] = by[position]
        out_processed[i] = position - source[position]
        position = source[position]
    return length


@compiled(inline="always")
def _per_block_ms(graph, family, input_tokens, output_tokens):  # type: ignore[no-untyped-def]
    per_token = graph.family_prefill_ms_per_token[family]
    prefill = graph.family_prefill_ms[family] + per_token * input_tokens
    return prefill + (output_tokens - 1) * graph.family_tau_ms[family]


@compiled
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


@compiled
def _shortest_before(  # type: ignore[no-untyped-def]
    search, view, state, request, now, deadline, best
):
    """Shortest path over the links that have room before ``deadline``.

    Brings distance, by and source up to date. They hold the shortest ways before a later deadline,
    or nothing: distance 0 at position 0, inf elsewhere. An earlier deadline only takes links away,
    so a way that keeps its last link and what comes before it is the shortest still. Ways that
    are not shorter than ``best`` may be left out.
    """
    _, input_tokens, output_tokens, units_per_block = request
    graph, extra = search.graph, search.least_prompt_rtt_ms_per_token * input_tokens
    distance, by, source = search.distance, search.by, search.source
    value, bound, best_from, moved = search.value, search.bound, search.best_from, search.moved
    moved[:] = False
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
                    prompt_ms = (
                        view.prompt_rtt_ms_per_token[i] * input_tokens + view.prompt_rtt_ms[i]
                    )
                    fixed = prompt_ms + token_ms
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


@compiled(inline="always")
def _has_room(state, server, units, deadline):  # type: ignore[no-untyped-def]
    return state.free[server] >= units or units_before(state, server, deadline) >= units


@compiled(inline="always")
def _better(length, server, shortest, chosen):  # type: ignore[no-untyped-def]
    """Whether a way is shorter than the shortest so far, or as short by a server named before."""
    if length < shortest * (1 - TIE):
        return True
    return length < shortest * (1 + TIE) and server < chosen


@compiled
def shortest_with_worst_wait(  # type: ignore[no-untyped-def]
    search, state, request, now, out_server, out_processed
):
    """Chain that minimises its time plus its largest wait; exact (docs/model.md#exact-routing).

    Links that have room before a deadline are those with a shorter wait. Start without a deadline;
    each path found sets the next one: a better path waits less than this one, and, as it is at
    least as long, it waits less than the best sum exceeds this one's length. The search ends
    when the path alone is longer than the best sum.

    A kernel of `RoutingPolicy`; the cost counts the chain's time and its wait.
    """
    units_per_block, distance = request.cache_tokens, search.distance
    chain, processed = search.chain, search.processed
    view = view_of(search, request.client)
    distance[:] = np.inf
    distance[0] = 0.0
    best, best_length, deadline = np.inf, 0, np.inf
    while True:
        _shortest_before(search, view, state, request, now, deadline, best)
        # Every later path is at least as long as this one, and waits besides.
        path = distance[-1]
        if not path < best * (1 - TIE):
            return best_length, best
        length = _trace(search.by, search.source, chain, processed)
        start = now
        for i in range(length):
            start = max(start, release_ms(state, chain[i], processed[i] * units_per_block, now))
        cost = path + (start - now)
        if cost < best * (1 - TIE):
            best, best_length = cost, length
            for i in range(length):
                out_server[i], out_processed[i] = chain[i], processed[i]
        if start <= now:
            return best_length, best
        deadline = min(start, now + (best - path) + MARGIN * best, LATEST)


@state_of(shortest_with_worst_wait)
class ExactSearch(Search):
    """State of the kernel of exact routing, and of the shortest path."""


@compiled
def shortest_with_waits(  # type: ignore[no-untyped-def]
    search, state, request, now, out_server, out_processed
):
    """Chain that minimises its time plus the waits of all its links (docs/model.md#ws-rr).

    A kernel of `RoutingPolicy`; the cost counts the waits of all links.
    """
    client, input_tokens, output_tokens, units_per_block = request
    graph, extra = search.graph, search.least_prompt_rtt_ms_per_token * input_tokens
    distance, by, source = search.distance, search.by, search.source
    value, bound, best_from = search.value, search.bound, search.best_from
    view = view_of(search, client)
    distance[:] = np.inf
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
                        per_token = view.prompt_rtt_ms_per_token[i]
                        prompt_ms = per_token * input_tokens + view.prompt_rtt_ms[i]
                        length = value[low] + (prompt_ms + token_ms)
                        if _better(length, server, shortest, chosen):
                            shortest, chosen, origin = length, server, best_from[low]
                    i += 1
                for near in range(first, i):
                    server = view.server[near]
                    if state.free[server] >= needed:
                        continue
                    token_ms = (output_tokens - 1) * view.rtt_ms[near]
                    per_token = view.prompt_rtt_ms_per_token[near]
                    prompt_ms = per_token * input_tokens + view.prompt_rtt_ms[near]
                    fixed = prompt_ms + token_ms
                    least, entry = value[low] + fixed, state.head[server]
                    if state.free[server] < units_per_block:
                        if not least + (state.next_end[server] - now) < shortest * (1 + MARGIN):
                            continue
                        # No link waits less than one of a single block.
                        entry = first_entry_with_room(state, server, units_per_block)
                        if entry == state.tail[server]:
                            continue
                        least += state.end[entry] - now
                    if not least < shortest * (1 + MARGIN):
                        continue
                    length, position = _waiting_link(
                        state, server, end, low, fixed, per_block, units_per_block, now, distance,
                        entry,
                    )  # fmt: skip
                    if _better(length, server, shortest, chosen):
                        shortest, chosen, origin = length, server, position
        distance[end], by[end], source[end] = shortest, chosen, origin
    if distance[graph.blocks] == np.inf:
        return 0, np.inf
    return _trace(by, source, out_server, out_processed), distance[graph.blocks]


@compiled
def _waiting_link(  # type: ignore[no-untyped-def]
    state, server, end, low, fixed, per_block, units_per_block, now, distance, entry
):
    """Best way into a server that has not room for all its blocks now: each k has its own wait.

    ``entry`` is the first after whose end one block has room.
    """
    best, origin = np.inf, -1
    tail = state.tail[server]
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
