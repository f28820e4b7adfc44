"""Points of a sweep: each a scenario, and the methods and delays that it is run with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bprr.ground.errors import InputError
from bprr.scenario.draw import Catalogue
from bprr.scenario.scenario import Scenario, scenario_of
from bprr.settings.configuration import DelayVariant, Method, Settings
from bprr.settings.messages import validated
from bprr.settings.overrides import with_overrides

__all__ = ["SweepPoint", "catalogue", "sweep_points"]


def catalogue(settings: Settings) -> Catalogue:
    """Models, devices and topologies that scenarios refer to by name."""
    return Catalogue(settings.all_models, settings.all_devices, settings.topology_dir)


@dataclass(frozen=True)
class SweepPoint:
    """One point of a sweep.

    Parameters
    ----------
    x : float
        Its place on the axis.
    scenario : Scenario
        What is simulated.
    methods : mapping
        Methods by name.
    delays : mapping
        Allocation delay of every method (ms) by delay variant.
    """

    x: float
    scenario: Scenario
    methods: Mapping[str, Method]
    delays: Mapping[str, Mapping[str, float]]


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
    where = f"sweeps.{name} of {settings.where} on {topology}"
    content, source = settings.scenario(sweep.scenario)
    methods = {method: settings.methods[method] for method in sweep.methods}
    delays = {variant: settings.delays[variant] for variant in settings.variants_of(sweep)}
    points = []
    for number, axes in enumerate(sweep.points(topology)):
        overrides = {**sweep.set, **settings.topologies[topology].set, **axes}
        of_methods = {
            key: overrides.pop(key) for key in list(overrides) if key.startswith("methods.")
        }
        of_delays = {
            key: overrides.pop(key) for key in list(overrides) if key.startswith("delays.")
        }
        own_methods = _changed(methods, "methods", of_methods, Method, where)
        own_delays = _changed(delays, "delays", of_delays, DelayVariant, where)
        points.append(
            SweepPoint(
                _axis_value(axes, number),
                scenario_of(content, overrides, f"{source} as set by {where}"),
                own_methods,
                {
                    variant: {method: entry.of(method) for method in own_methods}
                    for variant, entry in own_delays.items()
                },
            )
        )
    return points


def _changed(
    entries: Mapping[str, Any], section: str, overrides: Mapping[str, Any], kind: Any, where: str
) -> dict[str, Any]:
    """Entries of a section of the settings with some of their keys set."""
    if not overrides:
        return dict(entries)
    content = {name: entry.model_dump(mode="json") for name, entry in entries.items()}
    content = with_overrides({section: content}, overrides)[section]
    for name in content:
        if name not in entries:
            known = ", ".join(entries)
            raise InputError(where, f"{section}.{name}", "set here", f"one of the sweep's: {known}")
    return {name: validated(kind, entry, where) for name, entry in content.items()}


def _axis_value(axes: Mapping[str, Any], number: int) -> float:
    values = list(axes.values())
    numeric = len(values) == 1 and isinstance(values[0], int | float)
    return float(values[0] if numeric else number)
