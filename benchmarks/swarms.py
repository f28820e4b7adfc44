"""Swarms to measure on: random places on Earth, the paper's devices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bprr.ground.registry import SERVICE
from bprr.ground.swarm import Swarm
from bprr.placement.base import Placement, PlacementProblem
from bprr.placement.cg_bp import cg_bp
from bprr.scenario.draw import Instance, draw
from bprr.scenario.scenario import load_scenario
from bprr.settings.configuration import load_settings
from bprr.study.capacity import capacity_of_any_placement
from bprr.study.points import catalogue

__all__ = ["DESIGN_LOAD", "distinct_devices", "earth", "placed", "problem", "session_places"]

ROOT = Path(__file__).parents[1]
SEED = 20251221
CLIENTS = 10
# The estimate of R asks every server to hold all of the swarm's sessions at once; with
# thousands of servers then hardly any could host a block. A fixed load lets all of them serve.
DESIGN_LOAD = 20
PLANNED = 0.6  # of the rate that no placement exceeds


def earth(servers: int, **overrides: Any) -> Instance:
    """Draw of ``config/scenarios/earth.yaml`` with so many servers."""
    changed = {
        "fleet.servers": servers,
        "network.nodes": servers + CLIENTS,
        "clients": CLIENTS,
        **{key.replace("__", "."): value for key, value in overrides.items()},
    }
    scenario = load_scenario(ROOT / "config/scenarios/earth.yaml", changed)
    return draw(scenario, catalogue(load_settings()), SEED, 0)


def distinct_devices(swarm: Swarm) -> Swarm:
    """Same swarm, but every server has its own speed, within ± 20 % of its device's."""
    factor = np.random.default_rng(SEED).uniform(0.8, 1.2, swarm.servers)
    return replace(
        swarm,
        tau_ms=swarm.tau_ms * factor,
        prefill_ms=swarm.prefill_ms * factor,
        prefill_ms_per_token=swarm.prefill_ms_per_token * factor,
    )


def placed(instance: Instance, swarm: Swarm | None = None) -> Placement:
    """CG-BP for the design load of these measurements."""
    return cg_bp(swarm or instance.swarm, DESIGN_LOAD, instance.design_request.cache_tokens)


def problem(instance: Instance) -> PlacementProblem:
    """What a placement policy is asked, for the design load or the rate of these measurements."""
    swarm, request = instance.swarm, instance.design_request
    rate_per_s = PLANNED * capacity_of_any_placement(swarm, request)
    return PlacementProblem(
        swarm,
        lambda: DESIGN_LOAD,
        request.cache_tokens,
        instance.join_order,
        request=request,
        choose_rate=lambda: rate_per_s,
        computing=SERVICE.build("serial", swarm, 0.0),
    )


def session_places(placement: Placement, session_tokens: int) -> float:
    """Sessions that the caches of all servers hold at once, were they shared out perfectly."""
    used = placement.blocks > 0
    slots = int((placement.cache_tokens[used] // session_tokens).sum())
    return slots / placement.swarm.model.blocks
