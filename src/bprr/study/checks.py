"""Try a configuration before anything runs on it."""

from __future__ import annotations

from typing import Any

from bprr.ground.schema import Strict
from bprr.ground.swarm import Device, LanguageModel
from bprr.scenario.draw import draw
from bprr.scenario.scenario import Scenario
from bprr.settings.configuration import Settings
from bprr.study.points import catalogue, sweep_points

__all__ = ["check_settings", "json_schema"]


def json_schema() -> dict[str, Any]:
    """JSON schema of the configuration, of scenarios, and of device and model files."""
    kinds: dict[str, type[Strict]] = {
        "configuration": Settings,
        "scenario": Scenario,
        "device": Device,
        "model": LanguageModel,
    }
    return {name: kind.model_json_schema() for name, kind in kinds.items()}


def check_settings(settings: Settings) -> int:
    """Try every policy, device, model, topology and scenario that a configuration names.

    Returns
    -------
    int
        Number of points over all sweeps; one run of each was drawn.

    Raises
    ------
    InputError, InputErrors
        At the first thing that cannot be used.
    """
    count = 0
    for name, sweep in settings.sweeps.items():
        for topology in sweep.topologies:
            points = sweep_points(settings, name, topology)
            for point in points:
                draw(point.scenario, catalogue(settings), settings.seed, 0)
            count += len(points)
    return count
