"""Plans that the offline optimum is compared with: placements of heuristics, routed at best."""

from __future__ import annotations

from dataclasses import replace

from bprr.ground.errors import InputError
from bprr.ground.swarm import IntArray
from bprr.offline.backends.base import SolverSettings
from bprr.offline.instance import OfflineInstance
from bprr.offline.plan import Plan
from bprr.offline.routing_ilp import route_exactly
from bprr.placement.cg_bp import cg_bp
from bprr.placement.gsa import gsa
from bprr.placement.petals import petals_blocks, petals_placement

__all__ = ["cg_bprr_plan", "gsa_plan", "petals_plan"]


def cg_bprr_plan(instance: OfflineInstance, settings: SolverSettings) -> Plan:
    """CG-BPRR (Algorithm 1): CG-BP, then each client's shortest path for all its requests.

    Raises
    ------
    InfeasibleError
        If some block cannot be served by all requests at once.
    """
    placement = cg_bp(instance.swarm, instance.load, instance.session_tokens)
    # The placement has cache for all requests on any path, so a client's path is found alone.
    alone = replace(instance, requests=tuple(int(count > 0) for count in instance.requests))
    paths = {route.client: route for route in route_exactly(alone, placement, settings).routes}
    routes = [paths[client] for client, count in enumerate(instance.requests) for _ in range(count)]
    return Plan(placement, tuple(routes))


def petals_plan(instance: OfflineInstance, join_order: IntArray, settings: SolverSettings) -> Plan:
    """PETALS' offline placement (docs/baselines.md) with its requests routed exactly.

    Its cache is all leftover memory there, and its throughput one number per server.

    Raises
    ------
    InfeasibleError
        If the requests do not fit at once.
    """
    swarm = instance.swarm
    if swarm.forward_rps is None:
        allowed = "forward_rps of every device: PETALS' placement needs it"
        raise InputError("devices", "forward_rps", "nothing", allowed)
    placement = petals_placement(swarm, petals_blocks(swarm), swarm.forward_rps, join_order)
    return route_exactly(instance, placement, settings)


def gsa_plan(instance: OfflineInstance, settings: SolverSettings) -> Plan:
    """GSA's placement (docs/baselines.md#gsa) with its requests routed exactly.

    Raises
    ------
    InfeasibleError
        If GSA finds no placement, or the requests do not fit it at once.
    """
    placement = gsa(instance.swarm, instance.load, instance.session_tokens)
    return route_exactly(instance, placement, settings)
