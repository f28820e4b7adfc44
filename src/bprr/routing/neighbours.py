"""Shortest chains of servers that send on to each other: kernels of WS-RR and exact routing.

What a link takes depends on the server before it, so that chains are no paths over positions
(`positions`) but over servers. A server is left at the end of its range, and ends only rise along a
chain: one pass over the servers by end block finds the shortest one.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from bprr.ground.caches import drop_ended_at, release_ms, units_before
from bprr.ground.compiled import compiled, state_of
from bprr.ground.legs import Neighbours
from bprr.ground.swarm import FloatArray, IntArray, Swarm
from bprr.placement.base import Placement
from bprr.routing.positions import MARGIN, TIE

__all__ = ["ExactNeighbours", "NeighbourSearch", "WsRrNeighbours"]

CLIENT, NOBODY = -1, -2  # what comes before a server


@compiled(inline="always")
def _leg_ms(leg, sender, server, request):  # type: ignore[no-untyped-def]
    prompt_ms = (
        leg.prompt_ms[sender, server]
        + leg.prompt_ms_per_token[sender, server] * request.input_tokens
    )
    return prompt_ms + (request.output_tokens - 1) * leg.token_ms[sender, server]


@compiled(inline="always")
def _link_ms(links, leg, sender, server, blocks, request):  # type: ignore[no-untyped-def]
    per_token = links.prefill_ms_per_token[server]
    prefill_ms = links.prefill_ms[server] + per_token * request.input_tokens
    block_ms = prefill_ms + (request.output_tokens - 1) * links.tau_ms[server]
    return _leg_ms(leg, sender, server, request) + block_ms * blocks


@compiled(inline="always")
def _wait_ms(state, server, units, now, deadline, waits_count):  # type: ignore[no-untyped-def]
    """What a link adds for its wait; inf where it has no room before the deadline."""
    if waits_count:
        return release_ms(state, server, units, now) - now
    if state.free[server] >= units or units_before(state, server, deadline) >= units:
        return 0.0
    return np.inf


@compiled
def _shortest(links, state, request, now, deadline, waits_count):  # type: ignore[no-untyped-def]
    """Shortest way over the links that have room: its last server, and its length, leg back too.

    Of ways of one length the one whose last but one server is nearer to the client is kept.
    """
    distance, previous, end, low = links.distance, links.previous, links.end, links.low
    legs, units = links.legs, request.cache_tokens
    last, best = NOBODY, np.inf
    for place in range(links.order.shape[0]):
        server = links.order[place]
        drop_ended_at(state, server, now)
        shortest, via = np.inf, NOBODY
        if low[server] == 0:
            wait_ms = _wait_ms(state, server, end[server] * units, now, deadline, waits_count)
            shortest = wait_ms + _link_ms(
                links, legs.enter, request.client, server, end[server], request
            )
            if shortest < np.inf:
                via = CLIENT
        for h in range(links.reach_first[place], links.reach_last[place]):
            before = links.order[h]
            blocks = end[server] - end[before]
            length = distance[before] + _link_ms(
                links, legs.between, before, server, blocks, request
            )
            if not length < shortest * (1 + TIE):
                continue
            length += _wait_ms(state, server, blocks * units, now, deadline, waits_count)
            nearer = via >= 0 and distance[before] < distance[via]
            if length < shortest * (1 - TIE) or (length < shortest * (1 + TIE) and nearer):
                shortest, via = length, before
        distance[server], previous[server] = shortest, via
        if end[server] == links.blocks:
            length = shortest + _leg_ms(legs.leave, request.client, server, request)
            if length < best * (1 - TIE):
                last, best = server, length
    return last, best


@compiled
def _trace(links, last, out_server, out_processed):  # type: ignore[no-untyped-def]
    """Follow the predecessors from the last server; return the chain's length."""
    length, server = 0, last
    while server >= 0:
        length, server = length + 1, links.previous[server]
    server = last
    for i in range(length - 1, -1, -1):
        before = links.previous[server]
        out_server[i] = server
        out_processed[i] = links.end[server] - (links.end[before] if before >= 0 else 0)
        server = before
    return length


@compiled
def _with_waits(links, state, request, now, out_server, out_processed):  # type: ignore[no-untyped-def]
    """Chain that minimises its time plus the waits of all its links (WS-RR)."""
    last, best = _shortest(links, state, request, now, np.inf, True)
    return _trace(links, last, out_server, out_processed), best


@compiled
def _with_worst_wait(  # type: ignore[no-untyped-def]
    links, state, request, now, out_server, out_processed
):
    """Chain that minimises its time plus its largest wait, as `positions` does: by deadlines."""
    chain, processed = links.chain, links.processed
    best, best_length, deadline = np.inf, 0, np.inf
    while True:
        last, path = _shortest(links, state, request, now, deadline, False)
        if not path < best * (1 - TIE):
            return best_length, best
        length = _trace(links, last, chain, processed)
        start = now
        for i in range(length):
            units = processed[i] * request.cache_tokens
            start = max(start, release_ms(state, chain[i], units, now))
        cost = path + (start - now)
        if cost < best * (1 - TIE):
            best, best_length = cost, length
            for i in range(length):
                out_server[i], out_processed[i] = chain[i], processed[i]
        if start <= now:
            return best_length, best
        deadline = min(start, now + (best - path) + MARGIN * best)


class NeighbourSearch(NamedTuple):
    """State of the kernels: S servers, of which N host blocks, and space to work in."""

    order: IntArray  # (N,) servers by end block
    reach_first: IntArray  # (N,) those that can come before: [reach_first, reach_last) of order
    reach_last: IntArray
    low: IntArray  # (S,) first position a server may be entered from, a_j − 1
    end: IntArray  # (S,)
    legs: Neighbours
    tau_ms: FloatArray  # (S,) and the next two
    prefill_ms: FloatArray
    prefill_ms_per_token: FloatArray
    blocks: int
    distance: FloatArray  # (S,)
    previous: IntArray  # (S,)
    chain: IntArray  # (L,)
    processed: IntArray  # (L,)

    @classmethod
    def of(cls, placement: Placement) -> Self:
        """State for a placement on a swarm whose servers send on to each other."""
        swarm, low, end = placement.swarm, placement.first_block - 1, placement.last_block
        assert swarm.neighbours is not None
        used = np.flatnonzero(placement.blocks > 0)
        order = used[np.argsort(end[used], kind="stable")]
        ends, blocks = end[order], swarm.model.blocks
        return cls(
            order,
            np.searchsorted(ends, np.maximum(low[order], 1)),
            np.searchsorted(ends, ends),
            low,
            end,
            swarm.neighbours,
            swarm.tau_ms,
            swarm.prefill_ms,
            swarm.prefill_ms_per_token,
            blocks,
            np.empty(swarm.servers),
            np.empty(swarm.servers, dtype=np.int64),
            *np.empty((2, blocks), dtype=np.int64),
        )

    def meet(self, client: int, swarm: Swarm) -> None:
        """Nothing: all clients' legs are there."""


@state_of(_with_worst_wait)
class ExactNeighbours(NeighbourSearch):
    """State of the kernel of exact routing."""


@state_of(_with_waits)
class WsRrNeighbours(NeighbourSearch):
    """State of the kernel of WS-RR."""
