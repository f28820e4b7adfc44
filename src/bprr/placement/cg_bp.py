"""CG-BP: conservative greedy block placement (Algorithm 1, lines 1 to 13; docs/model.md)."""

from __future__ import annotations

import numpy as np

from bprr.ground.errors import InfeasibleError
from bprr.ground.performance import (
    amortised_time_ms,
    completion_bound,
    conservative_blocks,
    session_capacity,
)
from bprr.ground.swarm import IntArray, Swarm
from bprr.placement.base import Placement, PlacementPolicy, PlacementProblem
from bprr.placement.windows import greedy_windows

__all__ = ["CgBp", "cg_bp", "cg_bp_order"]


def cg_bp_order(swarm: Swarm, blocks: IntArray) -> IntArray:
    """Servers with at least one block by increasing amortised time, ties by smaller index."""
    order = np.argsort(amortised_time_ms(swarm, blocks), kind="stable")
    return order[blocks[order] > 0].astype(np.int64)


def cg_bp(swarm: Swarm, load: int, session_tokens: int) -> Placement:
    """Place blocks for a design load (CG-BP).

    Parameters
    ----------
    load : int
        R, concurrent requests to serve without waiting; at least 1.
    session_tokens : int
        Tokens for which a session reserves cache.

    Returns
    -------
    Placement
        With details ``order`` (servers by amortised time), ``bound_ms`` (Theorem 2) and ``load``.

    Raises
    ------
    InfeasibleError
        If some block cannot be served by ``load`` sessions at once.
    """
    if load < 1:
        raise InfeasibleError("GPU memory", "room for a single session", f"design load R = {load}")
    blocks = conservative_blocks(swarm, load, session_tokens)
    order = cg_bp_order(swarm, blocks)
    sessions = session_capacity(swarm, blocks, session_tokens)
    amortised = amortised_time_ms(swarm, blocks)
    start, capacity, needed = greedy_windows(
        order, blocks, sessions, amortised, swarm.model.blocks, load
    )
    short = np.flatnonzero(capacity < load)
    if short.size:
        lacking = swarm.model.blocks - int(blocks.sum())
        if lacking > 0:
            missing, detail = f"{lacking} of {swarm.model.blocks} blocks", f"R = {load}"
            uncapped = conservative_blocks(swarm.without_block_cap(), load, session_tokens)
            if int(uncapped.sum()) >= swarm.model.blocks:
                raise InfeasibleError("blocks within block_cap", missing, f"CG-BP with {detail}")
            unit_gb = swarm.model.block_gb + swarm.model.session_cache_gb(session_tokens) * load
            missing += f", {lacking * unit_gb:.2f} GB"
            raise InfeasibleError("GPU memory", missing, f"CG-BP with design load {detail}")
        worst = int(short[np.argmin(capacity[short])])
        raise InfeasibleError(
            "session capacity",
            f"{load - int(capacity[worst])} of {load} sessions at block {worst + 1}",
            f"CG-BP with design load R = {load}; {short.size} blocks are short",
        )
    return Placement(
        swarm,
        np.where(blocks > 0, start + 1, 0),
        blocks,
        details={
            "order": order,
            "bound_ms": completion_bound(swarm, blocks, order.tolist(), needed),
            "load": load,
        },
    )


class CgBp(PlacementPolicy, name="cg_bp"):
    """CG-BP for the problem's design load."""

    def place(self, problem: PlacementProblem) -> Placement:
        """Blocks and cache of every server."""
        return cg_bp(problem.swarm, problem.load, problem.session_tokens)
