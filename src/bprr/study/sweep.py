"""Runs of a sweep: every point, run, delay variant and method, as one table of requests.

All methods of a run meet the same network, devices, arrivals and joining order (common random
numbers), so that their differences can be taken run by run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from bprr.ground.errors import InfeasibleError
from bprr.scenario.draw import Catalogue, draw
from bprr.settings.configuration import Method, Settings
from bprr.study.method import MethodRunner
from bprr.study.points import SweepPoint, catalogue, sweep_points

__all__ = ["run_sweep", "simulate_point"]


def run_sweep(
    settings: Settings,
    name: str,
    topology: str,
    progress: Callable[[int], object] | None = None,
) -> pd.DataFrame:
    """Run a sweep on one topology.

    Parameters
    ----------
    settings : Settings
        Whole configuration.
    name, topology : str
        Which sweep, on which topology.
    progress : callable, optional
        Called with 1 after every run of every point.

    Returns
    -------
    DataFrame
        One row per request, as in `simulate_point`, led by ``figure`` and ``topology``.
    """
    points = sweep_points(settings, name, topology)
    runs = settings.sweeps[name].runs or settings.runs
    tables = [
        simulate_point(point, catalogue(settings), settings.seed, runs, progress)
        for point in points
    ]
    table: pd.DataFrame = pd.concat(tables, ignore_index=True)
    table.insert(0, "topology", topology)
    table.insert(0, "figure", name)
    for column in ("figure", "topology", "allocation_delays", "method", "status"):
        table[column] = table[column].astype("category")
    return table


def simulate_point(
    point: SweepPoint,
    profiles: Catalogue,
    seed: int,
    runs: int,
    progress: Callable[[int], object] | None = None,
) -> pd.DataFrame:
    """Run the methods of a point on its scenario, under every delay variant.

    Parameters
    ----------
    seed, runs : int
        Run r of a seed is the same draw for every method, variant and sweep.
    progress : callable, optional
        Called with 1 after every run.

    Returns
    -------
    DataFrame
        One row per request; a run that is infeasible for a method leaves one row whose ``status``
        says why and whose metrics are missing. Columns: see ``data/README.md``.
    """
    frames: list[pd.DataFrame] = []
    for run in range(runs):
        instance = draw(point.scenario, profiles, seed, run)
        runner = MethodRunner(instance)
        for variant, allocation_ms in point.delays.items():
            for name, method in point.methods.items():
                constant: dict[str, Any] = {
                    "x": point.x,
                    "servers": instance.swarm.servers,
                    "eta": instance.fast_share,
                    "rate_per_s": instance.rate_per_s,
                    "output_tokens": round(float(instance.workload.output_tokens.mean())),
                    "allocation_delays": variant,
                    "method": name,
                    "run": run,
                    "requests": len(instance.workload),
                }
                requests = _requests_of(runner, method, allocation_ms[name])
                own = {key: constant[key] for key in constant if key not in requests}
                frames.append(requests.assign(**own))
        if progress is not None:
            progress(1)
    table: pd.DataFrame = pd.concat(frames, ignore_index=True)
    return table[[*constant, *(column for column in table if column not in constant)]]


def _requests_of(runner: MethodRunner, method: Method, allocation_ms: float) -> pd.DataFrame:
    try:
        records, placement = runner.run(method, allocation_ms)
    except InfeasibleError as error:
        return pd.DataFrame([{"status": str(error)}])
    load = placement.details.get("load")
    return records.table().assign(
        max_concurrent=records.max_concurrent,
        design_load=np.nan if load is None else float(str(load)),
        status="ok",
    )
