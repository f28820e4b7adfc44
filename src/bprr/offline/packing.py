"""From counts per class to servers: which server takes which request (exact for single servers).

The strong formulation counts the windows and arcs of a class. Here the requests on its arcs are
packed depth first into its windows, whose cache slots are the bins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bprr.ground.swarm import Swarm
from bprr.offline.instance import OfflineInstance
from bprr.offline.plan import Plan, Route
from bprr.placement.base import Placement

__all__ = [
    "Arc",
    "Window",
    "pack_arcs",
    "pack_arcs_by_end",
    "placement_from_windows",
    "plan_from_arcs",
]

SEARCH_NODES = 20_000  # beyond this a packing counts as failed, and its class is split


@dataclass(frozen=True)
class Window:
    """Blocks tail+1..end on one server, with its cache slots."""

    server: int
    tail: int
    end: int
    slots: int


@dataclass(frozen=True)
class Arc:
    """One request's way from position tail to head on some server of a class."""

    client: int
    tail: int
    head: int


def pack_arcs(arcs: Sequence[Arc], windows: Sequence[Window]) -> list[Window] | None:
    """Window for every arc, such that it contains the arc and no window lacks cache slots.

    An arc of k blocks takes k slots. None if there is no packing (or none within `SEARCH_NODES`
    steps).
    """
    order = sorted(range(len(arcs)), key=lambda item: arcs[item].tail - arcs[item].head)
    free = [window.slots for window in windows]
    chosen = [-1] * len(arcs)
    budget = SEARCH_NODES

    def descend(depth: int) -> bool:
        nonlocal budget
        if depth == len(order):
            return True
        budget -= 1
        item = order[depth]
        arc = arcs[item]
        length = arc.head - arc.tail
        tried = set()
        # The narrowest windows first, since the widest are the ones that others may need.
        for place in sorted(range(len(windows)), key=lambda w: (-windows[w].tail, free[w])):
            window = windows[place]
            state = (window.tail, window.end, free[place])
            if state in tried or window.tail > arc.tail or window.end < arc.head:
                continue
            if free[place] < length or budget < 0:
                continue
            tried.add(state)
            free[place] -= length
            chosen[item] = place
            if descend(depth + 1):
                return True
            free[place] += length
        return False

    return [windows[place] for place in chosen] if descend(0) else None


def pack_arcs_by_end(arcs: Sequence[Arc], windows: Sequence[Window]) -> list[Window] | None:
    """Pack as `pack_arcs` does, but a window takes only arcs that end where it ends.

    That is the suffix rule, and it makes the packing of every end a problem of its own.
    """
    chosen: dict[int, Window] = {}
    for end in {arc.head for arc in arcs}:
        items = [item for item, arc in enumerate(arcs) if arc.head == end]
        packed = pack_arcs(
            [arcs[item] for item in items], [window for window in windows if window.end == end]
        )
        if packed is None:
            return None
        chosen.update(zip(items, packed, strict=True))
    return [chosen[item] for item in range(len(arcs))]


def placement_from_windows(swarm: Swarm, windows: Sequence[Window]) -> Placement:
    """Placement with at most one window per server; servers without one host nothing."""
    first_block = np.zeros(swarm.servers, dtype=np.int64)
    blocks = np.zeros(swarm.servers, dtype=np.int64)
    for window in windows:
        first_block[window.server] = window.tail + 1
        blocks[window.server] = window.end - window.tail
    return Placement(swarm, first_block, blocks)


def plan_from_arcs(
    instance: OfflineInstance,
    placement: Placement,
    packed: Sequence[tuple[Arc, Window]],
) -> Plan:
    """Plan whose routes follow packed arcs, which form R_c ways from 0 to L for every client."""
    leaving: dict[tuple[int, int], list[tuple[Arc, Window]]] = defaultdict(list)
    for arc, window in packed:
        leaving[arc.client, arc.tail].append((arc, window))
    routes = []
    for client, count in enumerate(instance.requests):
        for _ in range(count):
            position, servers, processed = 0, [], []
            while position < instance.swarm.model.blocks:
                arc, window = leaving[client, position].pop()
                servers.append(window.server)
                processed.append(arc.head - arc.tail)
                position = arc.head
            routes.append(Route(client, tuple(servers), tuple(processed)))
    return Plan(placement, tuple(routes))
