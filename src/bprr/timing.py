"""Running time of the algorithms: placement once, routing per request (Table VIII)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from simpy import Environment

from bprr.config import MethodSettings, Scenario, Settings
from bprr.ledger import CacheLedger
from bprr.performance import chain_times_ms
from bprr.placement.base import Placement
from bprr.routing.base import (
    PetalsSettings,
    Request,
    Route,
    Router,
    RoutingContext,
    routing_policies,
)
from bprr.scenario import Catalogue, Instance, draw
from bprr.simulation.admission import AdmissionContext, BackOff, Service, admission_policies
from bprr.simulation.charging import charging_policies
from bprr.swarm import Swarm
from bprr.sweep import MethodRunner, catalogue, sweep_points

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
    scenario, workload = instance.scenario, instance.workload
    env, ledger = Environment(), CacheLedger(placement.cache_tokens)
    penalties = PetalsSettings(scenario.petals.hop_overhead_ms, scenario.petals.full_penalty_ms)
    policy = routing_policies[method.routing]
    router = _TimedRouter(policy(RoutingContext(placement, ledger, penalties)))
    admission = admission_policies[method.admission or scenario.admission](
        AdmissionContext(
            env,
            router,
            ledger,
            charging_policies[scenario.charging](),
            BackOff(scenario.back_off.first_ms, scenario.back_off.longest_ms),
            lambda request, route: _service(instance.swarm, scenario, request, route),
        )
    )

    def arrivals() -> Generator[Any, Any, None]:
        columns = (workload.client, workload.input_tokens, workload.output_tokens)
        tokens = zip(
            *(column.tolist() for column in (*columns, workload.cache_tokens)), strict=True
        )
        for arrival_ms, request in zip(workload.arrival_ms.tolist(), tokens, strict=True):
            yield env.timeout(max(arrival_ms - env.now, 0.0))
            env.process(admission.admit(Request(*request)))

    env.process(arrivals())
    env.run()
    return router.taken_s


def _service(swarm: Swarm, scenario: Scenario, request: Request, route: Route) -> Service:
    first_ms, remaining_ms = chain_times_ms(
        swarm, request.client, route.servers, route.processed,
        request.input_tokens, request.output_tokens,
    )  # fmt: skip
    first_token_ms = scenario.overheads.initial_ms + first_ms
    return Service(first_token_ms, first_token_ms + remaining_ms)
