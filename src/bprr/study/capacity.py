"""Most sessions per second that a placement can carry, whatever the routing (docs/service.md).

A linear programme over flows of sessions along the links of a placement: a link leads from a
position ("blocks 1..p are done") to the end of a server's range. Servers have time for so much
work, and caches for so many sessions at once. It sees no queueing: N sessions, from an empty swarm
to an empty swarm, take N / capacity at least.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bprr.ground.performance import least_session_terms_ms, session_terms_ms
from bprr.ground.request import Request
from bprr.ground.swarm import FloatArray, IntArray, Swarm
from bprr.placement.base import Flows, Placement
from bprr.service.base import ServicePolicy

__all__ = ["capacity_of_any_placement", "capacity_per_s", "flows_of"]


class _Links(NamedTuple):
    """Links of a placement that have room for one session."""

    server: IntArray
    start: IntArray  # position
    end: IntArray
    slots: IntArray  # sessions in one block that the server's cache has room for
    alone_ms: FloatArray  # time of the shortest chain through the link, in an idle swarm

    @property
    def blocks(self) -> IntArray:
        """Blocks that a session has processed."""
        return self.end - self.start


def capacity_per_s(placement: Placement, request: Request, service: ServicePolicy) -> float:
    """Upper bound on the rate of such requests that any routing sustains; 0 without a chain.

    Parameters
    ----------
    placement : Placement
        Blocks and cache of every server.
    request : Request
        What every session asks for.
    service : ServicePolicy
        How servers compute.
    """
    return flows_of(placement, request, service).rate_per_s


def flows_of(placement: Placement, request: Request, service: ServicePolicy) -> Flows:
    """Sessions per second over the links of a placement, as many in all as it can carry."""
    from scipy.optimize import linprog  # as long to import as all else of a job
    from scipy.sparse import coo_array

    links = _links(placement, request, service.delay_ms)
    if not links.server.size:
        return Flows(links.server, links.start, links.end, np.zeros(0))
    count, blocks = links.server.size, links.blocks
    columns = np.arange(count)
    work_ms = service.least_work_ms(request, links.server, blocks, links.slots)
    held_ms = blocks * links.alone_ms / links.slots
    servers = placement.swarm.servers
    at_most = coo_array(
        (
            np.r_[work_ms, held_ms] / 1000.0,
            (np.r_[links.server, links.server + servers], np.r_[columns, columns]),
        ),
        shape=(2 * servers, count),
    )
    inner = placement.swarm.model.blocks - 1
    entering, leaving = links.end <= inner, links.start >= 1
    balance = coo_array(
        (
            np.r_[np.ones(entering.sum()), -np.ones(leaving.sum())],
            (
                np.r_[links.end[entering], links.start[leaving]] - 1,
                np.r_[columns[entering], columns[leaving]],
            ),
        ),
        shape=(max(inner, 1), count),
    )
    gain = -(links.start == 0).astype(float)
    solved = linprog(
        gain,
        A_ub=at_most.tocsr(),
        b_ub=np.ones(2 * servers),
        A_eq=balance.tocsr(),
        b_eq=np.zeros(max(inner, 1)),
        method="highs",
    )
    if solved.status != 0:
        raise RuntimeError(f"capacity: {solved.message}")
    return Flows(links.server, links.start, links.end, np.maximum(solved.x, 0.0))


def capacity_of_any_placement(swarm: Swarm, request: Request) -> float:
    """Upper bound on the rate over all placements, if servers run one task after another."""
    _, block_ms = session_terms_ms(swarm, request.input_tokens, request.output_tokens)
    return float((1000.0 / (swarm.model.blocks * block_ms)).sum())


def _links(placement: Placement, request: Request, delay_ms: float) -> _Links:
    swarm, blocks = placement.swarm, placement.swarm.model.blocks
    slots = placement.cache_tokens // request.cache_tokens
    # The bound has to hold wherever clients are: each server is as far as from its nearest sender.
    hop_ms, block_ms = least_session_terms_ms(swarm, request.input_tokens, request.output_tokens)
    rows = []
    for used in np.flatnonzero(placement.blocks > 0).tolist():
        first, last = int(placement.first_block[used]) - 1, int(placement.last_block[used])
        rows += [(used, p, last) for p in range(first, last) if last - p <= slots[used]]
    server, start, end = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    own_ms = hop_ms[server] + (end - start) * block_ms[server]
    before, after = np.full(blocks + 1, np.inf), np.full(blocks + 1, np.inf)
    before[0] = after[blocks] = 0.0
    for i in np.argsort(end, kind="stable"):
        before[end[i]] = min(before[end[i]], before[start[i]] + own_ms[i])
    for i in np.argsort(-end, kind="stable"):
        after[start[i]] = min(after[start[i]], own_ms[i] + after[end[i]])
    alone_ms = delay_ms + before[start] + own_ms + after[end]
    usable = np.isfinite(alone_ms)
    return _Links(
        server[usable], start[usable], end[usable], slots[server[usable]], alone_ms[usable]
    )
