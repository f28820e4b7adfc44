"""Running time of the algorithms: placement once, routing per request (Table VIII)."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TypeVar

import numpy as np
import pandas as pd

from bprr.ground.request import Request, Route
from bprr.placement.base import Placement
from bprr.routing.base import PetalsSettings, Router, RoutingContext, routing_policies
from bprr.scenario.draw import Catalogue, Instance, draw
from bprr.settings.configuration import MethodSettings, Settings
from bprr.simulation.admission import BackOff
from bprr.simulation.engine import Delays, simulate
from bprr.study.sweep import MethodRunner, catalogue, sweep_points

__all__ = ["SETTINGS_TIMED", "running_times"]

# Setting of Table VIII: the sweep and topology whose last point (largest λ and l_max) is timed.
SETTINGS_TIMED = {
    "clustered": ("table3", "cluster0"),
    "abovenet": ("table6", "abovenet"),
    "bellcanada": ("table6", "bellcanada"),
    "gts_ce": ("table6", "gts_ce"),
}
METHODS = ("petals", "proposed")

Result = TypeVar("Result")


def running_times(settings: Settings, repeats: int = 20) -> pd.DataFrame:
    """Time placement and routing of PETALS and the proposed method.

    Every repeat is a draw of its own; compiled kernels are warm. The choice of the design load
    belongs to a placement that reads it. Routing is timed decision by decision
    within a simulation without allocation delays, and nothing else of the simulation is counted.

    Parameters
    ----------
    settings : Settings
        Whole configuration.
    repeats : int
        Draws per setting.

    Returns
    -------
    DataFrame
        Columns ``setting``, ``method``, ``repeat``, ``servers``, ``requests``, ``placement_s``,
        ``routing_s_per_request`` (median over requests) and ``total_s`` (placement, and so many
        median decisions as there are requests: whatever else the machine does in between would
        otherwise decide the sum of a hundred times of some µs).
    """
    profiles = catalogue(settings)
    rows = []
    for name, (sweep, topology) in SETTINGS_TIMED.items():
        scenario = sweep_points(settings, sweep, topology)[-1].scenario
        for repeat in range(repeats):
            instance = draw(scenario, profiles, settings.seed, repeat)
            for method_name in METHODS:
                method = settings.methods[method_name]
                if repeat == 0:
                    _time_method(method, instance, profiles)  # compiles and fills caches
                placement_s, decisions_s = _time_method(method, instance, profiles)
                decision_s = float(np.median(decisions_s))
                rows.append(
                    {
                        "setting": name,
                        "method": method_name,
                        "repeat": repeat,
                        "servers": instance.swarm.servers,
                        "requests": len(decisions_s),
                        "placement_s": placement_s,
                        "routing_s_per_request": decision_s,
                        "total_s": placement_s + len(decisions_s) * decision_s,
                    }
                )
    return pd.DataFrame(rows)


def _time_method(
    method: MethodSettings, instance: Instance, profiles: Catalogue
) -> tuple[float, list[float]]:
    """Time of the placement, and of every routing decision (s)."""
    runner = MethodRunner(instance, profiles)
    # The choice of the design load is part of the placement where the policy reads it.
    placement, placement_s = _timed(lambda: runner.placement(method.placement, 0.0))
    return placement_s, _time_decisions(method, placement, instance)


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    start = perf_counter()
    result = work()
    return result, perf_counter() - start


class _TimedRouter:
    """A router that notes how long each of its decisions takes."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self.taken_s: list[float] = []

    def route(self, request: Request, now_ms: float) -> Route:
        route, taken_s = _timed(lambda: self._router.route(request, now_ms))
        self.taken_s.append(taken_s)
        return route


def _time_decisions(
    method: MethodSettings, placement: Placement, instance: Instance
) -> list[float]:
    """Time of every routing decision while sessions come and go as in a simulation (s)."""
    scenario = instance.scenario
    policy = routing_policies[method.routing]
    timed: list[_TimedRouter] = []

    def timed_policy(context: RoutingContext) -> Router:
        timed.append(_TimedRouter(policy(context)))
        return timed[0]

    simulate(
        placement,
        instance.workload,
        timed_policy,
        admission=method.admission or scenario.admission,
        charging=scenario.charging,
        delays=Delays(scenario.overheads.initial_ms),
        back_off=BackOff(scenario.back_off.first_ms, scenario.back_off.longest_ms),
        petals=PetalsSettings(scenario.petals.hop_overhead_ms, scenario.petals.full_penalty_ms),
    )
    return timed[0].taken_s
