"""Design load R from the arrival rate (paper, section 5)."""

from __future__ import annotations

import numpy as np

from bprr.ground.caches import Caches
from bprr.ground.errors import InfeasibleError
from bprr.ground.performance import chain_times_ms, design_load, max_design_load
from bprr.ground.request import Request
from bprr.ground.swarm import IntArray, Swarm
from bprr.placement.cg_bp import cg_bp
from bprr.routing.base import RoutingContext
from bprr.routing.shortest import ShortestPath

__all__ = ["choose_design_load", "single_request_ms"]


def single_request_ms(
    swarm: Swarm, request: Request, delay_ms: float, block_cap: IntArray | None = None
) -> float:
    """Time T₁ of a single request under CG-BPRR with R = 1 (ms).

    Parameters
    ----------
    request : Request
        The request.
    delay_ms : float
        Delay that the request pays; the artefact counts the initial one only (discrepancy 4).
    block_cap : ndarray of int64, shape (S,), optional
        Most blocks a server may host; the artefact leaves it out here (discrepancy 4).
    """
    placement = cg_bp(swarm, 1, request.cache_tokens, block_cap)
    router = ShortestPath(RoutingContext(placement, Caches(placement.cache_tokens)))
    route = router.route(request, 0.0)
    first_ms, remaining_ms = chain_times_ms(
        swarm, request.client, route.servers, route.processed,
        request.input_tokens, request.output_tokens,
    )  # fmt: skip
    return delay_ms + first_ms + remaining_ms


def choose_design_load(
    swarm: Swarm,
    request: Request,
    rate_per_s: float,
    delay_ms: float,
    block_cap: IntArray | None = None,
) -> int:
    """Design load R = min(round(λT₁ + √(λT₁)), R_max); T₁ averaged over the clients.

    Raises
    ------
    InfeasibleError
        If R_max < 1, or a single request does not fit.
    """
    largest = max_design_load(swarm, request.cache_tokens)
    if largest < 1:
        model = swarm.model
        unit_gb = model.block_gb + model.session_cache_gb(request.cache_tokens)
        lacking_gb = unit_gb * (model.blocks + swarm.servers) - float(swarm.memory_gb.sum())
        raise InfeasibleError("GPU memory", f"{lacking_gb:.2f} GB", "R_max < 1 (section 5)")
    times = [
        single_request_ms(swarm, request._replace(client=client), delay_ms, block_cap)
        for client in range(swarm.clients)
    ]
    return max(design_load(rate_per_s, float(np.mean(times)), largest), 1)
