"""Design load R from the arrival rate (docs/model.md)."""

from __future__ import annotations

import math

import numpy as np

from bprr.ground.caches import Caches
from bprr.ground.errors import InputError
from bprr.ground.performance import chain_times_ms, design_load, max_design_load
from bprr.ground.request import Request
from bprr.ground.swarm import Swarm
from bprr.placement.cg_bp import cg_bp
from bprr.routing.base import RoutingContext
from bprr.routing.shortest_path import ShortestPath
from bprr.scenario.draw import Instance

__all__ = ["choose_design_load", "design_load_of", "rate_to_plan_for", "single_request_ms"]


def single_request_ms(swarm: Swarm, request: Request, delay_ms: float) -> float:
    """Time T₁ of a single request under CG-BPRR with R = 1, with a delay that it pays (ms)."""
    placement = cg_bp(swarm, 1, request.cache_tokens)
    router = ShortestPath(RoutingContext(placement, Caches(placement.cache_tokens)))
    route = router.route(request, 0.0)
    first_ms, remaining_ms = chain_times_ms(
        swarm, request.client, route.servers, route.processed,
        request.input_tokens, request.output_tokens,
    )  # fmt: skip
    return delay_ms + first_ms + remaining_ms


def choose_design_load(swarm: Swarm, request: Request, rate_per_s: float, delay_ms: float) -> int:
    """Design load R = min(round(λT₁ + √(λT₁)), R_max); T₁ averaged over the clients.

    R_max < 1 is a guarantee that fails, not memory that is missing: R is then 1, which CG-BP may
    still find room for.

    Raises
    ------
    InfeasibleError
        If a single request does not fit.
    """
    largest = max_design_load(swarm, request.cache_tokens)
    if largest < 1:
        return 1
    times = [
        single_request_ms(swarm, request._replace(client=client), delay_ms)
        for client in range(swarm.clients)
    ]
    return max(design_load(rate_per_s, float(np.mean(times)), largest), 1)


def rate_to_plan_for(instance: Instance) -> float:
    """Arrival rate that a draw is to be planned for (requests/s).

    Raises
    ------
    InputError
        If neither the scenario nor its requests have one.
    """
    scenario = instance.scenario
    rate_per_s = scenario.design_load.rate_per_s or instance.rate_per_s
    if math.isnan(rate_per_s):
        found = f"none, and {len(instance.workload)} requests at one instant have no rate"
        raise InputError(scenario.where, "design_load.load", found, "R, or design_load.rate_per_s")
    return rate_per_s


def design_load_of(instance: Instance, allocation_ms: float) -> int:
    """Design load of a draw, as its scenario wants it chosen, if requests pay a delay.

    Raises
    ------
    InfeasibleError
        If a single request does not fit.
    InputError
        If neither the scenario nor its requests have a rate to plan for.
    """
    scenario = instance.scenario
    settings = scenario.design_load
    if settings.load is not None:
        return settings.load
    rate_per_s = rate_to_plan_for(instance)
    counted_ms = allocation_ms if settings.count_allocation_delay else 0.0
    swarm = instance.planned_swarm
    return choose_design_load(
        swarm if settings.count_block_cap else swarm.without_block_cap(),
        instance.design_request,
        rate_per_s,
        scenario.overheads.initial_ms + counted_ms,
    )
