"""The simulator's side: what it places, which chains it imposes, and what it predicts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bprr.ground.errors import InputError
from bprr.ground.swarm import IntArray, Swarm
from bprr.placement.base import Placement
from bprr.routing.base import PetalsSettings
from bprr.scenario.draw import Catalogue, Instance, draw
from bprr.settings.configuration import (
    ModelSettings,
    Scenario,
    load_devices,
    load_models,
    validated,
    with_overrides,
)
from bprr.simulation import Records, simulate
from bprr.simulation.admission import BackOff
from bprr.study.sweep import MethodRunner
from bprr.testbed.settings import TestbedMethod, TestbedSettings

__all__ = ["Case", "cases_of", "chain_of", "instance_of", "placement_of", "predict", "profiles_of"]

DEVICE_FILE = Path("data/published/devices.yaml")
MODEL_FILE = Path("data/published/models.yaml")


@dataclass(frozen=True)
class Case:
    """One cell of the table, for all methods: a client position, a rate, a length."""

    group: str
    client: int
    client_cluster: str
    rate_per_s: float
    output_tokens: int
    requests: int
    session_tokens: int | None


def cases_of(settings: TestbedSettings, group: str) -> list[Case]:
    """Cells of a group of cases."""
    case, clusters = settings.cases[group], settings.client_clusters
    return [
        Case(group, clusters.index(name), name, rate, tokens, case.requests, case.session_tokens)
        for name in case.clients or clusters
        for rate in case.rates_per_s
        for tokens in case.output_tokens
    ]


def profiles_of(settings: TestbedSettings) -> Catalogue:
    """Published devices, and the planned model cut to the served number of blocks."""
    models = load_models([MODEL_FILE])
    planned = settings.scenario.model
    if planned not in models:
        raise InputError(settings.where, "scenario.model", planned, ", ".join(models))
    cut: ModelSettings = models[planned].model_copy(update={"blocks": settings.blocks})
    return Catalogue({planned: cut}, load_devices([DEVICE_FILE]), Path("data/topologies"))


def instance_of(settings: TestbedSettings, case: Case, profiles: Catalogue) -> Instance:
    """The scenario with a case's workload, all of it from the case's client."""
    changed = with_overrides(
        settings.scenario.model_dump(mode="json"),
        {
            "workload.rate_per_s": case.rate_per_s,
            "workload.output_tokens": case.output_tokens,
            "workload.requests": case.requests,
            "session_tokens": case.session_tokens,
        },
    )
    scenario = validated(Scenario, changed, settings.where)
    instance = draw(scenario, profiles, settings.seed, 0)
    client = np.full(case.requests, case.client, dtype=np.int64)
    return replace(instance, workload=replace(instance.workload, client=client))


def placement_of(
    settings: TestbedSettings,
    group: str,
    method: TestbedMethod,
    profiles: Catalogue,
    swarm: Swarm,
) -> Placement:
    """One placement for a group of cases (the large time scale), planned for its longest requests.

    Parameters
    ----------
    swarm : Swarm
        As calibrated.
    """
    longest = max(cases_of(settings, group), key=lambda case: (case.output_tokens, case.rate_per_s))
    instance = replace(instance_of(settings, longest, profiles), swarm=swarm)
    placement = MethodRunner(instance, profiles).placement(method.placement, 0.0)
    if method.leftover_pool:
        return Placement(swarm, placement.first_block, placement.blocks)
    return placement


def predict(
    settings: TestbedSettings, placement: Placement, method: TestbedMethod, instance: Instance
) -> Records:
    """Simulate a case on a placement, with sessions that are refused and retry."""
    scenario = settings.scenario
    return simulate(
        placement,
        instance.workload,
        method.routing,
        admission=scenario.admission,
        charging=scenario.charging,
        back_off=BackOff(scenario.back_off.first_ms, scenario.back_off.longest_ms),
        petals=PetalsSettings(scenario.petals.hop_overhead_ms, scenario.petals.full_penalty_ms),
    )


def chain_of(servers: IntArray, processed: IntArray) -> list[tuple[int, int, int]]:
    """Chain as (server, first block, end), half-open from 0, as PETALS counts."""
    ends = np.cumsum(processed).tolist()
    return list(zip(servers.tolist(), [0, *ends[:-1]], ends, strict=True))
