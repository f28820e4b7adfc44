"""One scenario of a user, as a point that methods run on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bprr.ground.errors import InputError
from bprr.scenario.draw import Catalogue
from bprr.scenario.scenario import load_scenario
from bprr.settings.configuration import Settings, load_settings
from bprr.settings.overrides import parse_override
from bprr.study.points import SweepPoint

__all__ = ["scenario_provenance", "single_point"]


def single_point(
    scenario: Path,
    config: Path,
    overrides: Sequence[str] = (),
    methods: Sequence[str] | None = None,
    delays: str | None = None,
) -> tuple[Settings, SweepPoint]:
    """Settings, and a scenario with methods of theirs.

    Parameters
    ----------
    scenario, config : Path
        The scenario's file, and a configuration laid over the shipped one.
    overrides : sequence of str
        ``KEY=VALUE``, keys of the scenario or beginning with ``methods.`` or ``delays.``.
    methods : sequence of str, optional
        Which methods; the compared pair if not given.
    delays : str, optional
        Delay variant; no delays if not given.

    Raises
    ------
    InputError, InputErrors
        If anything cannot be used.
    """
    keys = dict(parse_override(text) for text in overrides)
    general = {key: keys.pop(key) for key in list(keys) if key.startswith(("methods.", "delays."))}
    settings = load_settings(config, overrides=general)
    names = methods or [settings.compared.baseline, settings.compared.method]
    for name in names:
        if name not in settings.methods:
            raise InputError(config, "methods", name, ", ".join(settings.methods))
    if delays is not None and delays not in settings.delays:
        raise InputError(config, "delays", delays, ", ".join(settings.delays))
    variant = None if delays is None else settings.delays[delays]
    delay_ms = {name: variant.of(name) if variant else 0.0 for name in names}
    chosen = {name: settings.methods[name] for name in names}
    point = SweepPoint(0.0, load_scenario(scenario, keys), chosen, {delays or "none": delay_ms})
    return settings, point


def scenario_provenance(point: SweepPoint, profiles: Catalogue) -> dict[str, Any]:
    """What a result of a single scenario rests on."""
    scenario = point.scenario
    devices = profiles.devices_for(scenario)
    return {
        "scenario": scenario.model_dump(mode="json"),
        "methods": {name: each.model_dump(mode="json") for name, each in point.methods.items()},
        "delays": {name: dict(delays) for name, delays in point.delays.items()},
        "devices": {name: devices[name].model_dump(mode="json") for _, name in scenario.devices()},
        "model": profiles.model(scenario).model_dump(mode="json"),
    }
