"""Points of a sweep: each a scenario, and the methods and delays that it is run with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bprr.ground.errors import InputError
from bprr.ground.registry import FORWARDING, PLACEMENT, ROUTING
from bprr.ground.schema import Strict
from bprr.scenario.draw import Catalogue
from bprr.scenario.scenario import Scenario, scenario_of
from bprr.settings.configuration import DelayVariant, Method, Settings
from bprr.settings.messages import validated
from bprr.settings.overrides import with_overrides

__all__ = ["SweepPoint", "catalogue", "point_of", "sweep_points"]


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
    variants : mapping
        Those methods as they are run under each delay variant.
    """

    x: float
    scenario: Scenario
    methods: Mapping[str, Method]
    delays: Mapping[str, Mapping[str, float]]
    variants: Mapping[str, Mapping[str, Method]]

    @classmethod
    def of(
        cls,
        scenario: Scenario,
        methods: Mapping[str, Method],
        variants: Mapping[str, DelayVariant],
        x: float = 0.0,
    ) -> SweepPoint:
        """Point on which these methods run under these delay variants.

        Raises
        ------
        InputError
            If servers send on to each other, and a method goes by distances from the client alone.
        """
        if FORWARDING.of(scenario.forwarding).crossings != 0:
            for name, method in methods.items():
                _refuse_hub_only(scenario, name, method)
        delays = {
            name: {method: variant.of(method) for method in methods}
            for name, variant in variants.items()
        }
        run = {
            name: {method: variant.applied(entry) for method, entry in methods.items()}
            for name, variant in variants.items()
        }
        return cls(x, scenario, methods, delays, run)


def _refuse_hub_only(scenario: Scenario, name: str, method: Method) -> None:
    for registry, choice in ((PLACEMENT, method.placement), (ROUTING, method.routing)):
        if registry.of(choice).hub_only:
            usable = [each for each, policy in registry.items() if not policy.hub_only]
            allowed = (
                f"with forwarding {scenario.forwarding.name}, where a link costs what the server"
                f" before it makes of it: {', '.join(usable)}"
            )
            raise InputError(
                scenario.where, f"methods.{name}.{registry.kind}", choice.name, allowed
            )


class _Sections(Strict):
    """Sections of the settings of which a point may change something."""

    methods: dict[str, Method]
    delays: dict[str, DelayVariant]


def point_of(
    scenario: tuple[Mapping[str, Any], str],
    methods: Mapping[str, Method],
    delays: Mapping[str, DelayVariant],
    overrides: Mapping[str, Any],
    where: str,
    x: float = 0.0,
) -> SweepPoint:
    """Scenario, methods and delay variants with some keys set.

    Parameters
    ----------
    scenario : (mapping, str)
        Content of the scenario, and where it is from.
    overrides : mapping
        Dotted keys of the scenario, or beginning with ``methods.`` or ``delays.``.
    where : str
        Who sets them, for messages.

    Raises
    ------
    InputError, InputErrors
        If a name is unknown or a value cannot be used.
    """
    content, source = scenario
    keys = dict(overrides)
    of_sections = {
        key: keys.pop(key) for key in overrides if key.partition(".")[0] in _Sections.model_fields
    }
    sections = _changed(methods, delays, of_sections, where)
    scenario_as_set = scenario_of(content, keys, source)
    return SweepPoint.of(scenario_as_set, sections.methods, sections.delays, x)


def _changed(
    methods: Mapping[str, Method],
    delays: Mapping[str, DelayVariant],
    overrides: Mapping[str, Any],
    where: str,
) -> _Sections:
    sections = _Sections(methods=dict(methods), delays=dict(delays))
    if not overrides:
        return sections
    for key in overrides:
        section, _, inside = key.partition(".")
        name = inside.partition(".")[0]
        known = getattr(sections, section)
        if name not in known:
            raise InputError(where, key, overrides[key], f"{section}.NAME of {', '.join(known)}")
    content = with_overrides(sections.model_dump(mode="json"), overrides, where)
    return validated(_Sections, content, where)


def sweep_points(settings: Settings, name: str, topology: str) -> list[SweepPoint]:
    """Points of a sweep on one topology, each with its checked scenario.

    With one axis of numbers and nothing set one at a time, x is its value; otherwise x numbers the
    points from 0.

    Raises
    ------
    InputError, InputErrors
        If a name is unknown or a scenario cannot be used.
    """
    key = (sweep_points, name, topology)
    if key not in settings.derived:
        settings.derived[key] = _points(settings, name, topology)
    return list(settings.derived[key])


def _points(settings: Settings, name: str, topology: str) -> list[SweepPoint]:
    if name not in settings.sweeps:
        raise InputError(settings.where, "sweeps", name, ", ".join(settings.sweeps))
    sweep = settings.sweeps[name]
    if topology not in sweep.topologies:
        key = f"sweeps.{name}.topologies"
        raise InputError(settings.where, key, topology, ", ".join(sweep.topologies))
    where = f"sweeps.{name} of {settings.where} on {topology}"
    content, source = settings.scenario(sweep.scenario_on(topology))
    return [
        point_of(
            (content, f"{source} as set by {where}"),
            {method: settings.methods[method] for method in sweep.methods},
            {variant: settings.delays[variant] for variant in settings.variants_of(sweep)},
            {**sweep.set, **settings.topologies[topology].set, **axes},
            where,
            float(number) if sweep.one_at_a_time else _axis_value(axes, number),
        )
        for number, axes in enumerate(sweep.points(topology))
    ]


def _axis_value(axes: Mapping[str, Any], number: int) -> float:
    values = list(axes.values())
    numeric = len(values) == 1 and isinstance(values[0], int | float)
    return float(values[0] if numeric else number)
