"""Runs of a sweep: every point, run, variant of delays and method, as one table of requests.

All methods of a run meet the same network, devices, arrivals and joining order (common random
numbers), so that their differences can be taken run by run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.storage import text_hash
from bprr.placement.base import (
    OffloadingHost,
    Placement,
    PlacementProblem,
    place,
    placement_policies,
)
from bprr.routing.base import PetalsSettings, routing_policies
from bprr.scenario.draw import Catalogue, Instance, draw
from bprr.settings.configuration import (
    MethodSettings,
    Scenario,
    Settings,
    SweepSettings,
    load_devices,
    load_models,
    load_scenario,
)
from bprr.simulation.admission import BackOff, admission_policies
from bprr.simulation.charging import charging_policies
from bprr.simulation.engine import Delays, simulate
from bprr.simulation.records import Records
from bprr.study.design_load import choose_design_load

__all__ = [
    "MethodRunner",
    "SweepPoint",
    "catalogue",
    "check_policies",
    "run_sweep",
    "scenario_provenance",
    "simulate_point",
    "sweep_points",
    "sweep_provenance",
]


def catalogue(settings: Settings) -> Catalogue:
    """Models, devices and topologies that scenarios refer to by name."""
    return Catalogue(
        load_models(settings.model_files),
        load_devices(settings.device_files),
        settings.topology_dir,
    )


@dataclass(frozen=True)
class SweepPoint:
    """One point of a sweep: its place on the axis and its scenario."""

    x: float
    scenario: Scenario


def sweep_points(settings: Settings, name: str, topology: str) -> list[SweepPoint]:
    """Points of a sweep on one topology, each with its checked scenario.

    With one axis of numbers, x is its value; otherwise x numbers the points from 0.

    Raises
    ------
    InputError, InputErrors
        If a name is unknown or a scenario cannot be used.
    """
    if name not in settings.sweeps:
        raise InputError(settings.where, "sweeps", name, ", ".join(settings.sweeps))
    sweep = settings.sweeps[name]
    if topology not in sweep.topologies:
        key = f"sweeps.{name}.topologies"
        raise InputError(settings.where, key, topology, ", ".join(sweep.topologies))
    path = settings.scenario_dir / f"{sweep.scenario}.yaml"
    points = []
    for number, axes in enumerate(sweep.points(topology)):
        overrides = {**sweep.set, **settings.topologies[topology], **axes}
        where = f"sweeps.{name} of {settings.where} on {topology}"
        points.append(SweepPoint(_axis_value(axes, number), load_scenario(path, overrides, where)))
    return points


def _axis_value(axes: Mapping[str, Any], number: int) -> float:
    values = list(axes.values())
    numeric = len(values) == 1 and isinstance(values[0], int | float)
    return float(values[0] if numeric else number)


def check_policies(settings: Settings, scenarios: Iterable[Scenario]) -> None:
    """Refuse names of policies that nobody registered.

    Raises
    ------
    InputError
        Naming the method or scenario, the key, the value and the known policies.
    """
    for name, method in settings.methods.items():
        for key, known in (("placement", placement_policies), ("routing", routing_policies)):
            if getattr(method, key) not in known:
                value = getattr(method, key)
                raise InputError(settings.where, f"methods.{name}.{key}", value, ", ".join(known))
        if method.admission is not None and method.admission not in admission_policies:
            known_names = ", ".join(admission_policies)
            key = f"methods.{name}.admission"
            raise InputError(settings.where, key, method.admission, known_names)
    for name, sweep in settings.sweeps.items():
        for method_name, placement in sweep.replace_placement.items():
            if placement not in placement_policies:
                key = f"sweeps.{name}.replace_placement.{method_name}"
                raise InputError(settings.where, key, placement, ", ".join(placement_policies))
    for scenario in scenarios:
        if scenario.admission not in admission_policies:
            raise InputError(
                scenario.where, "admission", scenario.admission, ", ".join(admission_policies)
            )
        if scenario.charging not in charging_policies:
            raise InputError(
                scenario.where, "charging", scenario.charging, ", ".join(charging_policies)
            )


class MethodRunner:
    """Runs methods on one instance, sharing what they have in common.

    Parameters
    ----------
    instance : Instance
        The draw that every method meets.
    profiles : Catalogue
        Where the offloading device is looked up.
    """

    def __init__(self, instance: Instance, profiles: Catalogue) -> None:
        self._instance, self._profiles = instance, profiles
        self._placements: dict[tuple[str, float], Placement] = {}
        self._loads: dict[float, int] = {}

    def _design_load(self, counted_ms: float) -> int:
        """Design load R when a request pays ``counted_ms`` besides the initial delay."""
        instance, settings = self._instance, self._instance.scenario.design_load
        if settings.load is not None:
            return settings.load
        if counted_ms not in self._loads:
            self._loads[counted_ms] = choose_design_load(
                instance.swarm,
                instance.design_request,
                settings.rate_per_s or instance.rate_per_s,
                instance.scenario.overheads.initial_ms + counted_ms,
                instance.block_cap if settings.count_block_cap else None,
            )
        return self._loads[counted_ms]

    def placement(self, policy: str, allocation_ms: float) -> Placement:
        """Placement by a policy, computed once for every delay that its design load counts.

        Raises
        ------
        InfeasibleError
            If no placement exists.
        """
        instance, scenario = self._instance, self._instance.scenario
        counted_ms = allocation_ms if scenario.design_load.count_allocation_delay else 0.0
        key = (policy, counted_ms)
        if key not in self._placements:
            problem = PlacementProblem(
                instance.swarm,
                lambda: self._design_load(counted_ms),
                instance.design_request.cache_tokens,
                instance.join_order,
                instance.block_cap,
                self._offloading_host(),
            )
            self._placements[key] = place(policy, problem)
        return self._placements[key]

    def _offloading_host(self) -> OffloadingHost | None:
        """Device of the baseline without distribution; None if nobody has described it."""
        scenario = self._instance.scenario
        host = scenario.offloading
        if host.device not in self._profiles.devices:
            return None
        profile = self._profiles.devices[host.device]
        memory_gb = scenario.fleet.memory_gb.get(host.device, profile.memory_gb)
        return OffloadingHost(
            profile.model_copy(update={"memory_gb": memory_gb}).device(host.device),
            host.pcie_gb_per_s,
            host.ssd_gb_per_s,
            host.buffered_blocks,
        )

    def run(
        self,
        method: MethodSettings,
        allocation_ms: float,
        progress: Callable[[int], object] | None = None,
    ) -> tuple[Records, Placement]:
        """Place and simulate one method.

        Raises
        ------
        InfeasibleError
            If no placement exists or a request has no chain.
        """
        scenario = self._instance.scenario
        placement = self.placement(method.placement, allocation_ms)
        records = simulate(
            placement,
            self._instance.workload,
            method.routing,
            admission=method.admission or scenario.admission,
            charging=scenario.charging,
            delays=Delays(scenario.overheads.initial_ms, allocation_ms),
            back_off=BackOff(scenario.back_off.first_ms, scenario.back_off.longest_ms),
            petals=PetalsSettings(scenario.petals.hop_overhead_ms, scenario.petals.full_penalty_ms),
            progress=progress,
        )
        return records, placement


def sweep_methods(settings: Settings, sweep: SweepSettings) -> dict[str, MethodSettings]:
    """Methods of a sweep, with the placements and delays that it replaces."""
    replaced: dict[str, Mapping[str, Any]] = {
        "placement": sweep.replace_placement,
        "allocation_delay_ms": sweep.replace_allocation_delay_ms,
    }
    return {
        name: settings.methods[name].model_copy(
            update={key: values[name] for key, values in replaced.items() if name in values}
        )
        for name in sweep.methods
    }


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
    check_policies(settings, [point.scenario for point in points])
    sweep, profiles = settings.sweeps[name], catalogue(settings)
    tables = [
        simulate_point(
            point,
            profiles,
            sweep_methods(settings, sweep),
            settings.allocation_delays,
            settings.seed,
            sweep.runs or settings.runs,
            progress,
        )
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
    methods: Mapping[str, MethodSettings],
    delays: Sequence[str],
    seed: int,
    runs: int,
    progress: Callable[[int], object] | None = None,
) -> pd.DataFrame:
    """Run several methods on one scenario.

    Parameters
    ----------
    delays : sequence of str
        Variants: ``published`` (each method's allocation delay) and ``none``.
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
        runner = MethodRunner(instance, profiles)
        for variant in delays:
            for name, method in methods.items():
                constant: dict[str, Any] = {
                    "x": point.x,
                    "servers": instance.swarm.servers,
                    "eta": fast_share(instance),
                    "rate_per_s": instance.rate_per_s,
                    "output_tokens": round(float(instance.workload.output_tokens.mean())),
                    "allocation_delays": variant,
                    "method": name,
                    "run": run,
                    "requests": len(instance.workload),
                }
                allocation_ms = method.allocation_delay_ms if variant == "published" else 0.0
                frames.append(_requests_of(runner, method, allocation_ms).assign(**constant))
        if progress is not None:
            progress(1)
    table: pd.DataFrame = pd.concat(frames, ignore_index=True)
    return table[[*constant, *(column for column in table if column not in constant)]]


def _requests_of(
    runner: MethodRunner, method: MethodSettings, allocation_ms: float
) -> pd.DataFrame:
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


def scenario_provenance(scenario: Scenario, profiles: Catalogue) -> dict[str, Any]:
    """What a result of a scenario rests on: its settings, and its devices with their sources."""
    content = scenario.model_dump(mode="json")
    named = json.dumps(content)
    devices = {
        name: profile.model_dump(mode="json")
        for name, profile in profiles.devices.items()
        if f'"{name}"' in named
    }
    model = profiles.models[scenario.model].model_dump(mode="json")
    return {
        "scenario": content,
        "scenario_hash": text_hash(json.dumps([content, devices, model], sort_keys=True)),
        "devices": devices,
        "model": model,
    }


def sweep_provenance(settings: Settings, name: str, topology: str) -> dict[str, Any]:
    """What a sweep's result rests on: settings, scenario of the first point, devices, seed."""
    points = sweep_points(settings, name, topology)
    sweep = settings.sweeps[name]
    return {
        **scenario_provenance(points[0].scenario, catalogue(settings)),
        "figure": name,
        "topology": topology,
        "points": len(points),
        "runs": sweep.runs or settings.runs,
        "seed": settings.seed,
        "sweep": sweep.model_dump(mode="json"),
        "methods": {
            method: entry.model_dump(mode="json")
            for method, entry in sweep_methods(settings, sweep).items()
        },
    }


def fast_share(instance: Instance) -> float:
    """η: share of servers with a fast device, as asked for; in a clustered network as counted."""
    share = instance.scenario.fleet.share
    if share:
        return float(sum(share.values()))
    tau_ms = instance.swarm.tau_ms
    return float((tau_ms < tau_ms.max()).mean())
