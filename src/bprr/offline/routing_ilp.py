"""Routing with the placement given: the integer flow problem (19) of the paper.

A client's requests are interchangeable, so they are R_c units of flow over block positions; server
j takes them from any position within its range to the end of it, and has K_j cache slots.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.swarm import IntArray
from bprr.offline.backends.base import OPTIMAL_GAP, NothingFoundError, SolverSettings
from bprr.offline.backends.solve import solve_milp
from bprr.offline.formulation_strong import flow_rows
from bprr.offline.instance import OfflineInstance
from bprr.offline.milp import Milp, RowBuilder
from bprr.offline.packing import Arc, Window, plan_from_arcs
from bprr.offline.plan import Plan
from bprr.placement.base import Placement

__all__ = ["build_routing", "route_exactly"]


def build_routing(
    instance: OfflineInstance, placement: Placement
) -> tuple[Milp, IntArray, IntArray, IntArray]:
    """Integer programme (19); server, tail and head of its A arcs.

    Columns are the flows of every client along every arc, client after client.
    """
    swarm = instance.swarm
    used = np.flatnonzero(placement.blocks > 0)
    server = np.repeat(used, placement.blocks[used])
    head = np.repeat(placement.last_block[used], placement.blocks[used])
    tail = np.concatenate(
        [np.arange(placement.first_block[j] - 1, placement.last_block[j]) for j in used]
        or [np.zeros(0, dtype=np.int64)]
    )
    arcs, clients = server.size, swarm.clients
    column = np.arange(clients * arcs).reshape(clients, arcs)
    length = head - tail
    rows = RowBuilder()
    flow_rows(rows, instance, [(tail, head, column)])
    slots = placement.cache_tokens // instance.session_tokens
    cache = rows.add(np.full(swarm.servers, -np.inf), slots.astype(float))
    for client in range(clients):
        rows.fill(cache[server], column[client], length.astype(float))
    cost = swarm.token_rtt_ms[:, server] + swarm.tau_ms[server] * length
    upper = np.repeat(np.array(instance.requests, dtype=float), arcs)
    milp = rows.build(cost.ravel(), np.zeros(upper.size), upper, np.ones(upper.size, dtype=bool))
    return milp, server, tail, head


def route_exactly(
    instance: OfflineInstance, placement: Placement, settings: SolverSettings
) -> Plan:
    """Best routes under a placement, all requests at once (19), whatever gap the settings allow.

    The placement's ``cache_tokens`` bound what is in use at once. At a limit it is the incumbent.

    Raises
    ------
    InfeasibleError
        If the requests do not fit at once under this placement.
    InputError
        If servers send on to each other: flows over positions do not see which are neighbours.
    NothingFoundError
        If a limit was reached before any routes were found.
    """
    if instance.swarm.neighbours is not None:
        raise InputError("routing (19)", "forwarding", "from server to server", "hub")
    milp, server, tail, head = build_routing(instance, placement)
    if not server.size:
        raise InfeasibleError("GPU memory", "room for a block on any server", "routing (19)")
    proving = replace(settings, relative_gap=min(settings.relative_gap, OPTIMAL_GAP))
    result = solve_milp(milp, proving, "routing")
    if result.status == "infeasible":
        missing = f"a route for each of {instance.load} requests at once"
        raise InfeasibleError("cache slots", missing, "routing (19) under the given placement")
    if result.values is None:
        raise NothingFoundError(f"routing (19) ended before it found routes: {result.status}")
    slots = placement.cache_tokens // instance.session_tokens
    places = (placement.first_block - 1, placement.last_block, slots)
    windows = [
        Window(j, *place)
        for j, place in enumerate(zip(*(each.tolist() for each in places), strict=True))
    ]
    flow = np.rint(result.values).astype(int).reshape(instance.swarm.clients, -1)
    packed = [
        (Arc(int(client), int(tail[arc]), int(head[arc])), windows[int(server[arc])])
        for client, arc in np.argwhere(flow > 0)
        for _ in range(flow[client, arc])
    ]
    return plan_from_arcs(instance, placement, packed)
