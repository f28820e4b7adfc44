"""Runs of a sweep: every point, run, delay variant and method, as one table of requests.

All methods of a run meet the same network, devices, arrivals and joining order (common random
numbers), so that their differences can be taken run by run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bprr.ground.errors import InfeasibleError
from bprr.ground.results import REJECTED
from bprr.placement.base import Placement
from bprr.scenario.draw import Catalogue, Instance, draw
from bprr.scenario.workload import Workload
from bprr.settings.configuration import Settings
from bprr.simulation.records import Records
from bprr.study.method import MethodRunner
from bprr.study.points import SweepPoint, catalogue, sweep_points

__all__ = ["Swept", "run_sweep", "simulate_point", "swept"]

# Columns in the order in which they stand, whichever a table has.
ORDER = (
    *("x", "servers", "eta", "rate_per_s", "output_tokens", "allocation_delays", "method", "run"),
    *("requests", "request", "client", "input_tokens", "arrival_ms", "per_token_ms", "ttft_ms"),
    *("wait_ms", "remaining_per_token_ms", "hops", "attempts", "max_concurrent", "design_load"),
    *("status", "engine", "capacity_per_s", "memory_capacity_per_s"),
    *("cuts", "prefilled_again", "replacements"),
)

Observer = Callable[[Instance, str, Records, Placement], object]


class Swept(NamedTuple):
    """Requests of a sweep, or of some of its runs, and how many rows each point has."""

    table: pd.DataFrame
    rows: list[int]


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
    runs = range(settings.runs_of(name))
    return swept(settings, name, topology, runs, progress).table


def swept(
    settings: Settings,
    name: str,
    topology: str,
    runs: range,
    progress: Callable[[int], object] | None = None,
) -> Swept:
    """Some runs of a sweep, as `run_sweep` has all of them; no run depends on another one."""
    profiles, parts, rows = catalogue(settings), list[_Part](), list[int]()
    for point in sweep_points(settings, name, topology):
        found = list(_simulated(point, profiles, settings.seed, runs, progress))
        rows.append(sum(part.rows for part in found))
        parts += found
    table = _table(parts)
    for column, value in (("topology", topology), ("figure", name)):
        table.insert(0, column, pd.Series(value, table.index, dtype="category"))
    return Swept(table, rows)


def simulate_point(
    point: SweepPoint,
    profiles: Catalogue,
    seed: int,
    runs: int,
    progress: Callable[[int], object] | None = None,
    observe: Observer | None = None,
) -> pd.DataFrame:
    """Run the methods of a point on its scenario, under every delay variant.

    Parameters
    ----------
    seed, runs : int
        Run r of a seed is the same draw for every method, variant and sweep.
    progress : callable, optional
        Called with the number of requests that have been simulated since the last call.
    observe : callable, optional
        Called with the draw, the method's name, records and placement of every simulation.

    Returns
    -------
    DataFrame
        One row per request; a run that is infeasible for a method leaves one row whose ``status``
        says why and whose metrics are missing, as do requests longer than the model accepts
        (``rejected``) or than any chain has room for. Columns: see ``data/README.md``.
    """
    parts = list(_simulated(point, profiles, seed, range(runs), observe=observe, served=progress))
    table = _table(parts)
    return table.astype(dict.fromkeys(table.select_dtypes("category"), str))


class _Part(NamedTuple):
    """A simulation: what it is of, the columns of its requests, and what holds for all of them."""

    shared: dict[str, Any]
    columns: Mapping[str, NDArray[Any]]
    outcome: dict[str, Any]

    @property
    def rows(self) -> int:
        """One per request; one that says why there is none."""
        return len(self.columns["request"]) if self.columns else 1


def _simulated(
    point: SweepPoint,
    profiles: Catalogue,
    seed: int,
    runs: range,
    progress: Callable[[int], object] | None = None,
    observe: Observer | None = None,
    served: Callable[[int], object] | None = None,
) -> Iterator[_Part]:
    """Simulations of a point; ``progress`` is called after runs, ``served`` about requests."""
    for run in runs:
        instance = draw(point.scenario, profiles, seed, run)
        runner, workload = MethodRunner(instance), instance.workload
        drawn: dict[str, Any] = {
            "x": point.x,
            "servers": instance.swarm.servers,
            "eta": instance.fast_share,
            "rate_per_s": instance.rate_per_s,
            "output_tokens": round(float(workload.output_tokens.mean())),
        }
        for variant, allocation_ms in point.delays.items():
            for name in point.methods:
                method = point.variants[variant][name]
                whose = {"allocation_delays": variant, "method": name}
                shared = {**drawn, **whose, "run": run, "requests": len(workload)}
                refused = instance.rejected
                rejected = [] if refused is None else [_rejected(refused, shared, len(workload))]
                try:
                    records, placement = runner.run(method, allocation_ms[name], served)
                except InfeasibleError as error:
                    yield _Part(shared, {}, {"status": str(error)})
                    yield from rejected
                    continue
                if observe is not None:
                    observe(instance, name, records, placement)
                load = placement.details.get("load")
                outcome = {
                    **records.outcome,
                    "design_load": np.nan if load is None else float(str(load)),
                    "status": "ok",
                    **runner.capacities(method, placement, allocation_ms[name]),
                }
                columns = records.columns()
                if len(records) < len(workload):
                    fits = runner.served(placement)
                    columns["request"] = np.flatnonzero(fits)
                    rejected.append(_rejected(workload.part(~fits), shared, ~fits))
                yield _Part(shared, columns, outcome)
                yield from rejected
        if progress is not None:
            progress(1)


def _rejected(requests: Workload, shared: dict[str, Any], which: int | NDArray[np.bool_]) -> _Part:
    """Requests that were rejected, and why.

    Parameters
    ----------
    which : int or ndarray of bool
        Those that are longer than the model accepts are numbered from here on; of those that no
        chain has room for, which ones of all they are.
    """
    after = isinstance(which, int)
    columns = {
        "request": np.arange(len(requests)) + which if after else np.flatnonzero(which),
        "client": requests.client,
        "input_tokens": requests.input_tokens,
        "output_tokens": requests.output_tokens,
        "arrival_ms": requests.arrival_ms,
    }
    return _Part(shared, columns, {"status": REJECTED if after else f"{REJECTED}: no room"})


def _table(parts: Sequence[_Part]) -> pd.DataFrame:
    rows = np.array([part.rows for part in parts])
    names = {name for part in parts for group in part for name in group}
    table: dict[str, Any] = {}
    for name in sorted(names, key=ORDER.index):
        if any(name in part.columns for part in parts):
            missing = (
                np.full(count, part.shared.get(name, np.nan))
                for part, count in zip(parts, rows, strict=True)
            )
            columns = [
                part.columns.get(name, none) for part, none in zip(parts, missing, strict=True)
            ]
            table[name] = np.concatenate(columns)
            continue
        values = [{**part.shared, **part.outcome}.get(name, np.nan) for part in parts]
        text = any(isinstance(value, str) for value in values)
        table[name] = pd.Categorical(values).repeat(rows) if text else np.repeat(values, rows)
    return pd.DataFrame(table)
