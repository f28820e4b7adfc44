"""CG-BP whose design load is tuned by short simulations (docs/method.md)."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from bprr.ground.errors import InputError
from bprr.ground.performance import largest_load
from bprr.ground.registry import ROUTING, Choice
from bprr.ground.schema import Count, Strict
from bprr.placement.base import Placement, PlacementPolicy, PlacementProblem
from bprr.placement.cg_bp import cg_bp

__all__ = ["CgBpTuned", "design_loads"]

FINALISTS, LONGER = 2, 4  # simulated again beside the paper's, and how many times as long


class CgBpTuned(PlacementPolicy, name="cg_bp_tuned"):
    """CG-BP for the design load R whose simulated sessions take least: a grid, and the paper's."""

    class Options(Strict):
        """How many design loads it tries, and how long."""

        loads: Count = Field(8, description="of the grid, from 1 to the most that memory allows")
        sessions: Count = Field(
            400, description="simulated by WS-RR; four times as many of the best"
        )

    def place(self, problem: PlacementProblem) -> Placement:
        """Blocks and cache of every server.

        Raises
        ------
        InfeasibleError
            If the blocks do not fit with the cache of one session.
        InputError
            If nothing can be simulated, or no rate is known at which sessions come.
        """
        _check_trials(problem)
        most = max(largest_load(problem.swarm, problem.session_tokens), 1)
        papers = cg_bp(problem.swarm, max(1, min(problem.load, most)), problem.session_tokens)
        designs = {_key(papers): papers}
        for load in design_loads(most, self.options.loads):
            design = cg_bp(problem.swarm, load, problem.session_tokens)
            designs.setdefault(_key(design), design)
        left = list(designs.values())
        if len(left) > 1:
            sessions = self.options.sessions
            left = _by_time(problem, left, sessions)[:FINALISTS]
            left = left if any(each is papers for each in left) else [*left, papers]
            left = _by_time(problem, left, LONGER * sessions)
        return left[0]


def _key(placement: Placement) -> bytes:
    return placement.first_block.tobytes() + placement.blocks.tobytes()


def _by_time(problem: PlacementProblem, designs: list[Placement], sessions: int) -> list[Placement]:
    """Those whose simulated sessions take least per token first."""
    routing = Choice("ws_rr", ROUTING["ws_rr"].Options())
    return sorted(designs, key=lambda each: problem.trial(each, routing, sessions).mean_ms)


def design_loads(most: int, count: int) -> list[int]:
    """So many design loads from 1 to the most, each about as many times the one before."""
    return sorted({round(float(load)) for load in np.geomspace(1, most, count)})


def _check_trials(problem: PlacementProblem) -> None:
    if problem.try_out is None:
        allowed = "where sessions can be simulated, as in bprr simulate; or cg_bp"
        raise InputError("placement", "cg_bp_tuned", "nothing to simulate with", allowed)
    try:
        _ = problem.rate_per_s
    except InputError as error:
        raise InputError(
            error.where, "design_load.rate_per_s", error.value, "a rate (placement cg_bp_tuned)"
        ) from None
