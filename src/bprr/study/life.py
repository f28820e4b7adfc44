"""What happens to the swarm of a draw, and a method's own placement asked again meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.performance import longest_session_tokens
from bprr.ground.registry import CHURN, REPLACEMENT
from bprr.ground.swarm import IntArray
from bprr.living.run import Life, Planner
from bprr.placement.base import Placement
from bprr.scenario.draw import Instance
from bprr.scenario.workload import Workload
from bprr.settings.configuration import Method

__all__ = ["Replanner", "life_of", "lives"]

TRIED = 400  # sessions that compare two placements


def lives(instance: Instance, method: Method) -> bool:
    """Whether servers fail, or are given other blocks, while requests are served."""
    scenario = instance.scenario
    replacement = method.replacement or scenario.replacement
    return scenario.churn.name != "none" or replacement.name != "never"


def life_of(instance: Instance, method: Method, planner: Planner) -> Life:
    """What happens to the swarm of a draw: the same failures for every method.

    Raises
    ------
    InputError
        If a trace of failures cannot be used.
    """
    scenario = instance.scenario
    rng = instance.streams.of("churn")
    return Life(
        CHURN.build(scenario.churn).changes(instance.swarm.servers, rng),
        REPLACEMENT.build(method.replacement or scenario.replacement),
        scenario.reload_s_per_gb,
        planner,
    )


class Replanner:
    """A method's own placement on the servers that are up, for the rate that is observed.

    Parameters
    ----------
    instance : Instance
        The draw.
    method : Method
        Whose placement and routing.
    allocation_ms : float
        Delay that every request pays.
    workload : Workload
        Requests that a placement must have room for.
    runner_of : callable
        `bprr.study.method.MethodRunner`.
    """

    def __init__(
        self,
        instance: Instance,
        method: Method,
        allocation_ms: float,
        workload: Workload,
        runner_of: Callable[[Instance], Any],
    ) -> None:
        self._instance, self._method, self._allocation_ms = instance, method, allocation_ms
        self._longest, self._runner_of = int(workload.cache_tokens.max()), runner_of

    def place(self, placement: Placement, servers: IntArray, rate_per_s: float) -> Placement | None:
        """Placement that gives these servers other blocks, and leaves the rest; or none.

        Raises
        ------
        InputError
            If the method brings servers of its own.
        """
        method, part = self._method, self._part(servers, rate_per_s)
        try:
            made = self._runner_of(part).placement(
                method.placement, self._allocation_ms, method.service
            )
        except InfeasibleError:
            return None
        if made.swarm.servers != servers.size:
            allowed = "a method that places blocks on the servers of the swarm"
            raise InputError("simulation", "replacement", method.placement.name, allowed)
        room = longest_session_tokens(
            made.first_block, made.blocks, made.cache_tokens, made.swarm.model.blocks
        )
        if room < self._longest:
            return None
        columns = {}
        for name in ("first_block", "blocks", "cache_tokens"):
            columns[name] = getattr(placement, name).copy()
            columns[name][servers] = getattr(made, name)
        return replace(placement, **columns, details={})

    def per_token_ms(self, placement: Placement, servers: IntArray, rate_per_s: float) -> float:
        """Mean time per token on these servers of a placement; inf if it serves nobody."""
        method, part = self._method, self._part(servers, rate_per_s)
        service = method.service or self._instance.scenario.service
        own = Placement(
            part.planned_swarm,
            placement.first_block[servers],
            placement.blocks[servers],
            placement.cache_tokens[servers],
        )
        try:
            trial = self._runner_of(part).trial
            return trial(service, self._allocation_ms, own, method.routing, TRIED).mean_ms
        except InfeasibleError:
            return math.inf

    def _part(self, servers: IntArray, rate_per_s: float) -> Instance:
        """The draw as if there were these servers alone, and this rate."""
        return replace(self._instance.part(servers), rate_per_s=rate_per_s)
