"""The part of the settings that one job reads, as a file of its own, named by what is in it.

A slice is complete: it is laid over nothing. Two runs with other settings write other files, so no
job ever reads what it was not made for; a job depends on no more than its slice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bprr.ground.registry import REGISTRIES
from bprr.ground.storage import replacing
from bprr.settings.configuration import Method, Settings
from bprr.settings.yaml_file import read_yaml
from bprr.study.points import SweepPoint, sweep_points

__all__ = ["Slice", "files_of_points", "policy_modules", "sweep_slice", "swept_modules"]


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
    text += "".join(json.dumps(_policies(each)) for point in points for each in point.methods.values())
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
    entries: dict[str, Any] = {key: entry.model_dump(mode="json") for key, entry in given.items()}
    for path in present:
        entries |= read_yaml(path)
    return {
        f"{kind}s": {key: entry for key, entry in entries.items() if f'"{key}"' in text},
        f"{kind}_files": [str(path) for path in files if path not in present],
    }


def policy_modules(methods: Iterable[Method], points: Iterable[SweepPoint] = ()) -> set[str]:
    """Modules of the policies that methods and scenarios name."""
    chosen = [
        (kind, choice)
        for owner in [*methods, *(point.scenario for point in points)]
        for kind in REGISTRIES
        if (choice := getattr(owner, kind, None)) is not None
    ]
    return {REGISTRIES[kind][choice.name].__module__ for kind, choice in chosen}
