"""The route that shipped PETALS takes through servers as they are, and a better one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bprr.ground.caches import Caches
from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.performance import decode_ms_per_token
from bprr.ground.request import Route
from bprr.placement.base import Placement
from bprr.plan.problem import Problem
from bprr.routing.base import RoutingContext
from bprr.routing.petals_shipped import PetalsShipped
from bprr.routing.shortest_path import ShortestPath

__all__ = ["Explained", "explained", "hops", "hosted"]

REFRESHES = 12  # of PETALS' client: it pings a few servers at each, and knows most after them


class Explained(NamedTuple):
    """Routes of a client, and what a token takes on them (ms)."""

    client: int
    petals: Route
    petals_ms: float
    better: Route
    better_ms: float


def hosted(problem: Problem) -> Placement:
    """What the machines say that they host.

    Raises
    ------
    InputError, InfeasibleError
        If none says so, or beyond the model; if blocks are hosted nowhere.
    """
    inventory, model = problem.inventory, problem.served.model
    if all(machine.span is None for machine in inventory.machines):
        raise InputError(inventory.path, "blocks", "nothing", "blocks a:b that servers host now")
    first, count, cache = np.zeros((3, problem.swarm.servers), dtype=np.int64)
    for server, machine in enumerate(inventory.machines):
        if machine.span is None:
            continue
        start, blocks = machine.span
        if start + blocks > model.blocks:
            said = f"{start}:{start + blocks}"
            allowed = f"blocks of {model.name}, 0:{model.blocks}"
            raise InputError(inventory.path, f"blocks of {machine.name}", said, allowed)
        first[server], count[server] = start + 1, blocks
        left_gb = problem.paced[server].device.memory_gb - blocks * model.block_gb
        cache[server] = int(max(left_gb, 0.0) / model.cache_gb_per_token + 1e-6)
        if machine.cache_tokens is not None:
            cache[server] = machine.cache_tokens
    return Placement(problem.swarm, first, count, cache)


def explained(problem: Problem, placement: Placement, client: int) -> Explained:
    """PETALS' route for a client that has looked at the swarm for a while, and the shortest one.

    Raises
    ------
    InfeasibleError
        If some block is hosted nowhere.
    """
    swarm, request = placement.swarm, problem.request._replace(client=client)
    router = PetalsShipped(RoutingContext(placement, Caches(placement.cache_tokens)))
    route = router.route(request, REFRESHES * router.options.refresh_ms)
    try:
        shortest = ShortestPath(RoutingContext(placement, Caches(placement.cache_tokens)))
        better = shortest.route(request, 0.0)
    except InfeasibleError:  # no room for a session of this length: PETALS waits
        better = route
    return Explained(client, route, _token_ms(swarm, client, route), better,
                     _token_ms(swarm, client, better))  # fmt: skip


def _token_ms(swarm: object, client: int, route: Route) -> float:
    return decode_ms_per_token(swarm, client, route.servers, route.processed)  # type: ignore[arg-type]


def hops(problem: Problem, client: int, route: Route) -> list[Mapping[str, object]]:
    """Each server of a route: blocks, network and computing (ms)."""
    swarm = problem.swarm
    return [
        {
            "name": problem.inventory.machines[server].name,
            "blocks": blocks,
            "network_ms": float(swarm.token_rtt_ms[client, server]),
            "computing_ms": float(blocks * swarm.tau_ms[server]),
        }
        for server, blocks in zip(route.servers.tolist(), route.processed.tolist(), strict=True)
    ]
