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
from bprr.ground.registry import POLICY_FILE, REGISTRIES
from bprr.ground.storage import replacing
from bprr.settings.configuration import Method, Settings, load_settings, settings_of
from bprr.settings.yaml_file import read_yaml
from bprr.study.points import SweepPoint, sweep_points

__all__ = ["Slice", "policy_modules", "settings_at", "sweep_modules", "sweep_slice"]


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
        self.text = json.dumps(content, indent=1, ensure_ascii=False)
        self.digest = hashlib.sha256(self.text.encode()).hexdigest()[:16]

    def path(self, results_dir: str) -> str:
        """Where it is written."""
        return f"{results_dir}/settings/{self.name}.{self.digest}.json"

    def provenance(self) -> dict[str, Any]:
        """What a result that was made from it says of its settings."""
        return {"settings": self.content, "settings_hash": self.digest}

    def write(self, results_dir: str) -> None:
        """Write it, if it is not there already."""
        path = Path(self.path(results_dir))
        if not path.exists():
            with replacing(path) as unfinished:
                unfinished.write_text(self.text, encoding="utf-8")


def sweep_slice(settings: Settings, name: str, topology: str) -> Slice:
    """All that a sweep on one topology reads, and nothing that only figures say."""
    sweep = settings.sweeps[name]
    points = sweep_points(settings, name, topology)
    content, _ = settings.scenario(sweep.scenario)
    methods = {method: _policies(settings.methods[method]) for method in sweep.methods}
    text = json.dumps([[point.scenario.model_dump(mode="json") for point in points], methods])
    for point in points:
        text += json.dumps([_policies(method) for method in point.methods.values()])
    axes = {
        key: axis[topology if topology in axis else "default"] if isinstance(axis, dict) else axis
        for key, axis in sweep.axes.items()
    }
    kept = {
        "seed": settings.seed,
        "runs": sweep.runs or settings.runs,
        "policy_files": [str(path) for path in settings.policy_files],
        "topology_dir": str(settings.topology_dir),
        "delays": {
            variant: {"per_method_ms": {m: settings.delays[variant].of(m) for m in sweep.methods}}
            for variant in settings.variants_of(sweep)
        },
        "topologies": {topology: {"set": settings.topologies[topology].set}},
        "methods": methods,
        "scenarios": {sweep.scenario: content},
        "sweeps": {
            name: {
                "scenario": sweep.scenario,
                "topologies": [topology],
                "axes": axes,
                "set": sweep.set,
                "methods": sweep.methods,
            }
        },
        **_named_in(text, "device", settings.device_files, settings.devices),
        **_named_in(text, "model", settings.model_files, settings.models),
    }
    return Slice(f"sweep_{name}_{topology}", kept)


def _policies(method: Method) -> dict[str, Any]:
    return {
        kind: choice.content()
        for kind in REGISTRIES
        if (choice := getattr(method, kind)) is not None
    }


def _named_in(
    text: str, kind: str, files: Sequence[Path], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Entries that a text names; files that a job is still to write are kept as they are."""
    present = [path for path in files if path.exists()]
    entries: dict[str, Any] = {
        key: entry.model_dump(mode="json", exclude_unset=True) for key, entry in given.items()
    }
    for path in present:
        entries |= read_yaml(path)
    return {
        f"{kind}s": {key: entry for key, entry in entries.items() if f'"{key}"' in text},
        f"{kind}_files": [str(path) for path in files if path not in present],
    }


def policy_modules(points: Iterable[SweepPoint]) -> set[str | Path]:
    """Modules of the policies that methods and scenarios name, or their files."""
    chosen = {
        REGISTRIES[kind][choice.name].__module__
        for point in points
        for owner in [point.scenario, *point.methods.values()]
        for kind in REGISTRIES
        if (choice := getattr(owner, kind, None)) is not None
    }
    return {
        Path(str(sys.modules[module].__file__)) if module.startswith(POLICY_FILE) else module
        for module in chosen
    }


def sweep_modules(settings: Settings, name: str, topology: str) -> list[str | Path]:
    """Modules that a sweep runs: what it is made of, and the policies that it names."""
    policies = policy_modules(sweep_points(settings, name, topology))
    return ["bprr.study.sweep", *sorted(policies, key=str)]


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
