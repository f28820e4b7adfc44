"""GSA: greedy server assignment for the equal-block special case (docs/baselines.md#gsa)."""

from __future__ import annotations

import math

import numpy as np

from bprr.ground.errors import InfeasibleError
from bprr.ground.performance import amortised_time_ms, conservative_blocks, session_capacity
from bprr.ground.swarm import Swarm
from bprr.placement.base import Placement, PlacementPolicy, PlacementProblem

__all__ = ["Gsa", "gsa"]


def gsa(swarm: Swarm, load: int, session_tokens: int) -> Placement:
    """Assign servers to stages of equally many blocks.

    Every server hosts m = min_j m_j(R) blocks, so the model splits into n = ⌈L/m⌉ stages. Servers
    by increasing time go to the underserved stage with the largest summed time; once every stage
    is served R-fold, to the stage with the least capacity. Ties: first stage, smaller index.

    Parameters
    ----------
    load : int
        R, concurrent requests to serve without waiting; at least 1.
    session_tokens : int
        Tokens for which a session reserves cache.

    Returns
    -------
    Placement
        With details ``stages`` (n) and ``order``. The last stage may hold fewer blocks.

    Raises
    ------
    InfeasibleError
        If a server has no room for a block, or some stage cannot be served R-fold.
    """
    total = swarm.model.blocks
    width = int(conservative_blocks(swarm, load, session_tokens).min())
    if width < 1:
        raise InfeasibleError(
            "GPU memory", "room for one block", f"the smallest server, with design load R = {load}"
        )
    stages = math.ceil(total / width)
    first = 1 + width * np.arange(stages)
    width_of = np.minimum(width, total - first + 1)
    equal = np.full(swarm.servers, width, dtype=np.int64)
    time_ms = amortised_time_ms(swarm, equal)
    order = np.argsort(time_ms, kind="stable")
    dummy_ms = float(time_ms.max()) + 1.0
    capacity = np.zeros(stages, dtype=np.int64)
    waiting_ms = np.full(stages, load * dummy_ms)
    stage_of = np.empty(swarm.servers, dtype=np.int64)
    sessions = session_capacity(swarm, equal, session_tokens)
    for server in order:
        underserved = capacity < load
        if underserved.any():
            stage = int(np.argmax(np.where(underserved, waiting_ms, -np.inf)))
        else:
            stage = int(np.argmin(capacity))
        served = min(max(load - int(capacity[stage]), 0), int(sessions[server]))
        waiting_ms[stage] -= (dummy_ms - time_ms[server]) * served
        capacity[stage] += sessions[server]
        stage_of[server] = stage
    if (capacity < load).any():
        worst = int(np.argmin(capacity))
        raise InfeasibleError(
            "session capacity",
            f"{load - int(capacity[worst])} of {load} sessions in stage {worst + 1} of {stages}",
            f"GSA with design load R = {load}",
        )
    return Placement(
        swarm,
        first[stage_of],
        width_of[stage_of],
        details={"order": order, "stages": stages, "load": load},
    )


class Gsa(PlacementPolicy, name="gsa"):
    """GSA for the problem's design load."""

    def place(self, problem: PlacementProblem) -> Placement:
        """Blocks and cache of every server."""
        return gsa(problem.swarm, problem.load, problem.session_tokens)
