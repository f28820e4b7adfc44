"""Tables of results that a configuration asks for, and what they are made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bprr.ground.source import source_hash
from bprr.ground.storage import files_hash
from bprr.settings.configuration import Settings
from bprr.study.slices import Slice, input_files, sweep_modules, sweep_slice

__all__ = ["Planned", "planned_bounds", "planned_sweep"]


@dataclass(frozen=True)
class Planned:
    """A table of results that a configuration asks for.

    Parameters
    ----------
    path : Path
        Where it is expected.
    settings : Slice
        What it is made from.
    data, source : str
        Hashes of the files that it reads and of the code that makes it.
    """

    path: Path
    settings: Slice
    data: str
    source: str

    def provenance(self) -> dict[str, Any]:
        """What the table says of itself, beside the hash of its source."""
        return {
            "settings": self.settings.content,
            "settings_hash": self.settings.digest,
            "data": self.data,
        }


def planned_sweep(
    settings: Settings,
    name: str,
    topology: str,
    path: Path | None = None,
    runs: int | None = None,
) -> Planned:
    """Table of a sweep on one topology; ``runs`` take the place of the sweep's own."""
    pair = (name, topology)
    key = (planned_sweep, *pair)
    if key not in settings.derived:
        data = files_hash(input_files(settings, pair))
        settings.derived[key] = data, source_hash(*sweep_modules(settings, pair))
    return Planned(
        path or Path(settings.results_dir, "sweeps", f"{name}_{topology}.parquet"),
        sweep_slice(settings, *pair, runs),
        *settings.derived[key],
    )


def planned_bounds(
    settings: Settings, name: str, topology: str, path: Path | None = None
) -> Planned:
    """Table of the bounds beside a sweep on one topology (`bprr.study.beyond`)."""
    sweep = planned_sweep(settings, name, topology)
    key = (planned_bounds, name, topology)
    if key not in settings.derived:
        modules = sweep_modules(settings, (name, topology))
        settings.derived[key] = source_hash(*modules, "bprr.study.beyond")
    return Planned(
        path or Path(settings.results_dir, "bounds", f"{name}_{topology}.parquet"),
        sweep.settings,
        sweep.data,
        settings.derived[key],
    )
