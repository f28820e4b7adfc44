"""The best of several placements with their routing, by short simulations (docs/method.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from pydantic import Field

from bprr.ground.errors import InfeasibleError
from bprr.ground.registry import ROUTING, Choice
from bprr.ground.schema import Count, Strict
from bprr.placement.base import Placement, PlacementPolicy, PlacementProblem, Trial
from bprr.placement.pipe import Pipe
from bprr.placement.two_resource import candidates

__all__ = ["Best"]

RATES = (1.0, 1.1, 1.25)  # that PIPE plans for, over the rate that there is
MOST_2R = 12  # placements of 2R that carry the rate, the fastest first
LONGEST_TAIL = (
    2.0  # 99th percentile over the mean, beyond which an arm is taken only for want of others
)
FINALISTS, LONGER = 3, 4  # arms that are simulated again, and how many times as long


class _Arm(NamedTuple):
    placement: Placement
    routing: Choice


class Best(PlacementPolicy, name="best"):
    """PIPE, with or without holding back, or 2R, in several widths: the best in simulations."""

    hub_only = True

    class Options(Strict):
        """How long the simulations are."""

        sessions: Count = Field(400, description="of the simulations among which it chooses")

    def place(self, problem: PlacementProblem) -> Placement:
        """Blocks and cache of every server, with the detail ``routing``.

        Raises
        ------
        InfeasibleError
            If the blocks do not fit with the cache of one session.
        """
        arms, sessions = list(_arms(problem)), self.options.sessions
        if not arms:
            raise InfeasibleError("GPU memory", "blocks of a whole model", "PIPE and 2R")
        for length in (sessions, LONGER * sessions):
            if len(arms) > 1:
                trials = [problem.trial(arm.placement, arm.routing, length) for arm in arms]
                arms = [arms[i] for i in sorted(range(len(arms)), key=lambda i: _rank(trials[i]))]
                arms = arms[:FINALISTS]
        best = arms[0]
        details = {**best.placement.details, "routing": best.routing}
        return replace(best.placement, details=details)


def _rank(trial: Trial) -> tuple[bool, float]:
    """By the mean, those with a long tail last."""
    return trial.p99_ms > LONGEST_TAIL * trial.mean_ms, trial.mean_ms


def _arms(problem: PlacementProblem) -> Iterator[_Arm]:
    seen = set()

    def new(placement: Placement) -> bool:
        key = placement.first_block.tobytes() + placement.blocks.tobytes()
        return not (key in seen or seen.add(key))  # type: ignore[func-returns-value]

    rate_per_s, options = problem.rate_per_s, ROUTING["pipe"].Options
    joining = [Choice("pipe", options(hold_back=held)) for held in (False, True)]
    shortest = Choice("two_resource", ROUTING["two_resource"].Options())

    def planned(factor: float) -> Callable[[], float]:
        return lambda: factor * rate_per_s

    try:
        for factor in RATES:
            placement = Pipe().place(replace(problem, choose_rate=planned(factor)))
            if new(placement):
                yield from (_Arm(placement, routing) for routing in joining)
    except InfeasibleError:
        pass
    found = sorted(candidates(problem), key=lambda each: each.alone_ms)
    enough = [each for each in found if problem.capacity_per_s(each.placement) >= rate_per_s]
    for each in (enough or found)[:MOST_2R]:
        if new(each.placement):
            yield _Arm(each.placement, shortest)
