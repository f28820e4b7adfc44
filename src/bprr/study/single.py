"""One scenario of a user, as a point that methods run on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bprr.ground.errors import InputError
from bprr.ground.registry import PLACEMENT, Choice
from bprr.scenario.draw import Catalogue
from bprr.settings.configuration import DelayVariant, Method, Settings
from bprr.study.points import SweepPoint, point_of

__all__ = ["methods_named", "scenario_provenance", "single_point", "variant_named"]


def single_point(
    settings: Settings,
    scenario: str,
    overrides: Mapping[str, Any],
    methods: Sequence[str] | None = None,
    delays: str | None = None,
    placement: Path | None = None,
) -> SweepPoint:
    """Scenario with methods of the settings.

    Parameters
    ----------
    scenario : str
        Its file, or its name in the settings.
    overrides : mapping
        Dotted keys of the scenario, or beginning with ``methods.`` or ``delays.``.
    methods : sequence of str, optional
        Which methods; the compared pair if not given.
    delays : str, optional
        Delay variant; no delays if not given.
    placement : Path, optional
        File of the placement that takes the place of the methods' own; without names it is the
        compared method that then routes.

    Raises
    ------
    InputError, InputErrors
        If anything cannot be used.
    """
    if placement is None:
        chosen = methods_named(settings, methods)
    else:
        given = Choice("given", PLACEMENT["given"].Options(file=placement))
        chosen = {
            name: method.model_copy(
                update={"placement": given, "label": f"{method.label or name}, {placement.name}"}
            )
            for name, method in methods_named(
                settings, methods or [settings.compared.method]
            ).items()
        }
    variant = variant_named(settings, delays)
    return point_of(settings.scenario(scenario), chosen, variant, overrides, settings.where)


def methods_named(settings: Settings, names: Sequence[str] | None) -> dict[str, Method]:
    """Methods by name; the compared pair without names.

    Raises
    ------
    InputError
        If the settings have no such method.
    """
    names = names or [settings.compared.baseline, settings.compared.method]
    for name in names:
        if name not in settings.methods:
            raise InputError(settings.where, "methods", name, ", ".join(settings.methods))
    return {name: settings.methods[name] for name in names}


def variant_named(settings: Settings, name: str | None) -> dict[str, DelayVariant]:
    """Delay variant by name; one of no delays without a name.

    Raises
    ------
    InputError
        If the settings have no such variant.
    """
    if name is None:
        return {"none": DelayVariant()}
    if name not in settings.delays:
        raise InputError(settings.where, "delays", name, ", ".join(settings.delays))
    return {name: settings.delays[name]}


def scenario_provenance(point: SweepPoint, profiles: Catalogue) -> dict[str, Any]:
    """What a result of a single scenario rests on."""
    scenario = point.scenario
    devices = profiles.devices_for(scenario)
    return {
        "scenario": scenario.model_dump(mode="json"),
        "methods": {
            name: each.model_dump(mode="json")
            for methods in point.variants.values()
            for name, each in methods.items()
        },
        "delays": {name: dict(delays) for name, delays in point.delays.items()},
        "devices": {name: devices[name].model_dump(mode="json") for _, name in scenario.devices()},
        "model": profiles.model(scenario).model_dump(mode="json"),
    }
