"""Running time of the algorithms: placement once, routing per request (Table VIII).

Every repeat is a draw of its own; compiled kernels are warm. The choice of the design load belongs
to a placement that reads it. Routing is timed decision by decision within a simulation without
allocation delays, and nothing else of the simulation is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from bprr.ground.errors import InfeasibleError
from bprr.ground.request import Request, Route
from bprr.ground.source import source_hash
from bprr.ground.storage import files_hash
from bprr.routing.base import RouterAround, RoutingPolicy
from bprr.scenario.draw import Catalogue, Instance, draw
from bprr.settings.configuration import Method, Settings
from bprr.study.method import MethodRunner
from bprr.study.planned import Planned
from bprr.study.points import SweepPoint, catalogue, sweep_points
from bprr.study.slices import input_files, sweep_modules, sweeps_slice

__all__ = [
    "SETTINGS_TIMED",
    "distributes",
    "planned_growth",
    "planned_times",
    "running_times",
    "running_times_of_sweeps",
    "timed_methods",
]

REPEATS = 20
# Setting of Table VIII: the sweep and topology whose last point (largest λ and l_max) is timed.
SETTINGS_TIMED = {
    "clustered": ("table3", "cluster0"),
    "abovenet": ("table6", "abovenet"),
    "bellcanada": ("table6", "bellcanada"),
    "gts_ce": ("table6", "gts_ce"),
}


def timed_methods(settings: Settings) -> tuple[str, str]:
    """The compared pair, the baseline first."""
    return settings.compared.baseline, settings.compared.method


def planned_times(settings: Settings) -> Planned:
    """Table of the running times."""
    pairs, methods = list(SETTINGS_TIMED.values()), timed_methods(settings)
    return Planned(
        Path(settings.results_dir, "timing", "table8.parquet"),
        sweeps_slice(settings, "running_times", pairs, methods),
        files_hash(input_files(settings, *pairs)),
        source_hash(
            *sweep_modules(settings, *pairs, methods=methods),
            "bprr.study.timing",
            "bprr.study.growth",
        ),
    )


def planned_growth(settings: Settings) -> Planned:
    """Table of the times by size, which the same job writes."""
    planned = planned_times(settings)
    return replace(planned, path=planned.path.with_name("growth.parquet"))


def running_times(settings: Settings, repeats: int = REPEATS) -> pd.DataFrame:
    """Time placement and routing of the compared methods in the settings of Table VIII.

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
        point = sweep_points(settings, sweep, topology)[-1]
        timed = _timed(point, timed_methods(settings), profiles, settings.seed, repeats)
        rows += [{"setting": name, **row} for row in timed]
    return pd.DataFrame(rows)


def running_times_of_sweeps(
    settings: Settings,
    sweeps: Sequence[str],
    repeats: int = 3,
    progress: Callable[[int], object] | None = None,
) -> pd.DataFrame:
    """Time every method that places and routes at every point of some sweeps.

    Methods without a distribution, and runs that are infeasible, are left out.

    Returns
    -------
    DataFrame
        As of `running_times`, with ``figure``, ``topology`` and ``x`` instead of ``setting``.
    """
    profiles = catalogue(settings)
    rows = []
    for name in sweeps:
        for topology in settings.sweeps[name].topologies:
            for point in sweep_points(settings, name, topology):
                methods = [each for each in point.methods if distributes(point.methods[each])]
                place = {"figure": name, "topology": topology, "x": point.x}
                timed = _timed(point, methods, profiles, settings.seed, repeats)
                rows += [{**place, **row} for row in timed]
                if progress is not None:
                    progress(1)
    return pd.DataFrame(rows)


def distributes(method: Method) -> bool:
    """Whether a method serves from more than one server, so that there is something to route."""
    return method.placement.name != "offloading"


def _timed(
    point: SweepPoint, methods: Sequence[str], profiles: Catalogue, seed: int, repeats: int
) -> Iterator[dict[str, Any]]:
    """Rows of one point."""
    for repeat in range(repeats):
        instance = draw(point.scenario, profiles, seed, repeat)
        for name in methods:
            method = point.methods[name]
            try:
                if repeat == 0:
                    _time_method(method, instance)  # compiles and fills caches
                placement_s, decisions_s = _time_method(method, instance)
            except InfeasibleError:
                continue
            decision_s = float(np.median(decisions_s))
            yield {
                "method": name,
                "repeat": repeat,
                "servers": instance.swarm.servers,
                "requests": len(decisions_s),
                "placement_s": placement_s,
                "routing_s_per_request": decision_s,
                "total_s": placement_s + len(decisions_s) * decision_s,
            }


def _time_method(method: Method, instance: Instance) -> tuple[float, list[float]]:
    """Time of the placement, and of every routing decision while sessions come and go (s)."""
    start = perf_counter()
    # The choice of the design load is part of the placement where the policy reads it.
    runner = MethodRunner(instance)
    runner.placement(method.placement, 0.0)
    placement_s = perf_counter() - start
    taken_s: list[float] = []
    runner.run(method, 0.0, watch=lambda router: _TimedRouter(router, taken_s))
    return placement_s, taken_s


class _TimedRouter(RouterAround):
    """A router that notes how long each of its decisions takes."""

    def __init__(self, router: RoutingPolicy, taken_s: list[float]) -> None:
        super().__init__(router)
        self._taken_s = taken_s

    def route(self, request: Request, now_ms: float) -> Route:
        """Chain that the router under the clock finds."""
        start = perf_counter()
        route = self._router.route(request, now_ms)
        self._taken_s.append(perf_counter() - start)
        return route
