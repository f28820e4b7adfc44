"""The part of the settings that one job reads, as a file of its own, named by what is in it.

A slice is complete: it is laid over nothing. Two runs with other settings write other files, so no
job ever reads what it was not made for; a job depends on no more than its slice.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bprr.ground.errors import InputError
from bprr.ground.files import read_json
from bprr.ground.registry import POLICY_FILE, SIMULATED
from bprr.ground.schema import Strict
from bprr.ground.storage import replacing
from bprr.ground.swarm import Device, LanguageModel
from bprr.settings.configuration import (
    DelayVariant,
    Method,
    Settings,
    load_settings,
    named_in_files,
    settings_of,
)
from bprr.study.points import SweepPoint, sweep_points

__all__ = [
    "Slice",
    "input_files",
    "named_in",
    "policy_modules",
    "settings_at",
    "sweep_modules",
    "sweep_slice",
    "sweeps_slice",
]


KINDS: dict[str, type[Strict]] = {"device": Device, "model": LanguageModel}
REMARKS = {"name", "title", "source", "provenance"}  # of devices and models, for people


class Slice:
    """Settings of one job.

    Parameters
    ----------
    name : str
        What they are for, e.g. ``sweep_fig7_abovenet``.
    content : mapping
        JSON-serialisable.
    """

    def __init__(self, name: str, content: Mapping[str, Any]) -> None:
        self.name, self.content = name, content
        self.digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    @property
    def text(self) -> str:
        """What is written: for people, and so not what is hashed (to indent takes long)."""
        return json.dumps(self.content, indent=1, ensure_ascii=False)

    def path(self, results_dir: str) -> str:
        """Where it is written."""
        return f"{results_dir}/settings/{self.name}.{self.digest}.json"

    def write(self, results_dir: str) -> None:
        """Write it, if it is not there already."""
        path = Path(self.path(results_dir))
        if not path.exists():
            with replacing(path) as unfinished:
                unfinished.write_text(self.text, encoding="utf-8")


def sweep_slice(settings: Settings, name: str, topology: str, runs: int | None = None) -> Slice:
    """All that a sweep on one topology reads, and nothing that only figures say.

    ``runs`` take the place of the sweep's own: what a part of it is made from does not depend on
    how many runs come after it.
    """
    key = (sweep_slice, name, topology, runs)
    if key not in settings.derived:
        whole = f"sweep_{name}_{topology}"
        if runs is None:
            made = sweeps_slice(settings, whole, [(name, topology)])
        else:
            content = dict(sweep_slice(settings, name, topology).content)
            content["sweeps"] = {name: {**content["sweeps"][name], "runs": runs}}
            made = Slice(whole, {**content, "runs": runs})
        settings.derived[key] = made
    made = settings.derived[key]
    return made


def sweeps_slice(
    settings: Settings,
    name: str,
    pairs: Sequence[tuple[str, str]],
    methods: Sequence[str] | None = None,
) -> Slice:
    """All that some sweeps on their topologies read.

    Parameters
    ----------
    name : str
        Of the slice.
    pairs : sequence of (str, str)
        Sweeps and topologies.
    methods : sequence of str, optional
        Methods that are run for themselves, not as the sweeps' runs say; all of the sweeps, and
        their runs, if not given.
    """
    where = {sweep: [place for one, place in pairs if one == sweep] for sweep, _ in pairs}
    sweeps = {
        sweep: _sweep_content(settings, sweep, places, methods) for sweep, places in where.items()
    }
    used = list(dict.fromkeys(each for sweep in sweeps.values() for each in sweep["methods"]))
    variants = list(dict.fromkeys(each for sweep in sweeps.values() for each in sweep["delays"]))
    own = {method: _policies(settings.methods[method]) for method in used}
    text = json.dumps(own)
    points = [point for pair in pairs for point in sweep_points(settings, *pair)]
    for point in points:
        text += json.dumps(point.scenario.model_dump(mode="json"))
        chosen = [point.methods[each] for each in used if each in point.methods]
        text += json.dumps([_policies(method) for method in chosen])
    modules = policy_modules(points, methods)
    devices = named_in(text, "device", settings.device_files, settings.devices)
    content = {
        "seed": settings.seed,
        "runs": max(each["runs"] for each in sweeps.values()),
        "policy_files": [str(path) for path in settings.policy_files if path.resolve() in modules],
        "topology_dir": str(settings.topology_dir),
        "delays": {variant: _delays(settings.delays[variant], used) for variant in variants},
        "topologies": {place: {"set": settings.topologies[place].set} for _, place in pairs},
        "methods": own,
        "scenarios": {
            each: settings.scenario(each)[0]
            for each in (settings.sweeps[sweep].scenario_on(place) for sweep, place in pairs)
        },
        "sweeps": sweeps,
        **devices,
        # A device may be scaled from the model that it was measured with.
        **named_in(text + json.dumps(devices), "model", settings.model_files, settings.models),
    }
    return Slice(name, content)


def _sweep_content(
    settings: Settings, name: str, topologies: Sequence[str], methods: Sequence[str] | None
) -> dict[str, Any]:
    sweep = settings.sweeps[name]
    scenarios = {place: sweep.scenario_on(place) for place in topologies}
    one_at_a_time = {"one_at_a_time": _axes_on(sweep.one_at_a_time, topologies)}
    return {
        "scenario": sweep.scenario if isinstance(sweep.scenario, str) else scenarios,
        "topologies": list(topologies),
        "axes": _axes_on(sweep.axes, topologies),
        **(one_at_a_time if sweep.one_at_a_time else {}),
        "set": sweep.set,
        "methods": [each for each in sweep.methods if methods is None or each in methods],
        "delays": settings.variants_of(sweep),
        "runs": settings.runs_of(name) if methods is None else 1,
    }


def _axes_on(axes: Mapping[str, Any], topologies: Sequence[str]) -> dict[str, Any]:
    """Axes with their values on some topologies, where they have any of their own."""
    return {
        key: {
            place: values
            for place in topologies
            if (values := axis.get(place, axis.get("default"))) is not None
        }
        if isinstance(axis, dict)
        else axis
        for key, axis in axes.items()
    }


def _policies(method: Method) -> dict[str, Any]:
    return {
        kind: choice.content()
        for kind in SIMULATED
        if (choice := getattr(method, kind, None)) is not None
    }


def _delays(variant: DelayVariant, methods: Sequence[str]) -> dict[str, Any]:
    admission = {} if variant.admission is None else {"admission": variant.admission.content()}
    return {"per_method_ms": {each: variant.of(each) for each in methods}, **admission}


def named_in(
    text: str, kind: str, files: Sequence[Path], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Entries that a text names; files that a job is still to write are kept as they are."""
    present = [path for path in files if path.exists()]
    entries: Mapping[str, Strict] = named_in_files(present, KINDS[kind], given)
    return {
        f"{kind}s": {
            key: entry.model_dump(mode="json", exclude_unset=True, exclude=REMARKS)
            for key, entry in entries.items()
            if f'"{key}"' in text
        },
        f"{kind}_files": [str(path) for path in files if path not in present],
    }


def policy_modules(
    points: Iterable[SweepPoint], methods: Sequence[str] | None = None
) -> set[str | Path]:
    """Modules of the policies that methods (all if none are named) and scenarios name, or files."""
    chosen = {
        SIMULATED[kind][choice.name].__module__
        for point in points
        for owner in [
            point.scenario,
            *(
                each
                for run in point.variants.values()
                for name, each in run.items()
                if methods is None or name in methods
            ),
        ]
        for kind in SIMULATED
        if (choice := getattr(owner, kind, None)) is not None
    }
    return {
        Path(str(sys.modules[module].__file__)) if module.startswith(POLICY_FILE) else module
        for module in chosen
    }


def sweep_modules(
    settings: Settings, *pairs: tuple[str, str], methods: Sequence[str] | None = None
) -> list[str | Path]:
    """Modules that sweeps run: what runs them, and the policies of their methods, or of some."""
    points = [point for pair in pairs for point in sweep_points(settings, *pair)]
    return ["bprr.study.sweep", *sorted(policy_modules(points, methods), key=str)]


def input_files(settings: Settings, *pairs: tuple[str, str]) -> list[str]:
    """Files that sweeps read beside their slice: networks, traces, and what is still to be made."""
    files = {path for path in [*settings.device_files, *settings.model_files] if not path.exists()}
    for pair in pairs:
        files |= _read_by(settings, *pair)
    return sorted(map(str, files))


def _read_by(settings: Settings, name: str, topology: str) -> set[Path]:
    key = (_read_by, name, topology)
    if key not in settings.derived:
        points = sweep_points(settings, name, topology)
        files = (point.scenario.files(settings.topology_dir) for point in points)
        settings.derived[key] = {path for each in files for path in each}
    read: set[Path] = settings.derived[key]
    return read


def settings_at(path: Path) -> Settings:
    """Settings of a slice, or of a configuration file laid over the shipped one.

    Raises
    ------
    InputError
        If a slice does not hold what its name says.
    """
    if path.suffix != ".json":
        return load_settings(path)
    content = read_json(path, "slice of settings")
    name, _, digest = path.stem.rpartition(".")
    if not isinstance(content, dict) or Slice(name, content).digest != digest:
        raise InputError(path, "file", "changed since it was written", "a slice as it was written")
    return settings_of(content, path)
