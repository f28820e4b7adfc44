"""Which results are current, and why the others are not; nothing is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bprr.ground.errors import InputError
from bprr.ground.source import source_hash
from bprr.ground.storage import files_hash, read_provenance
from bprr.offline.experiments import EXPERIMENTS
from bprr.settings.configuration import Settings
from bprr.study.offline import MODULES, offline_inputs, offline_slice
from bprr.study.planned import Planned, planned_sweep

__all__ = [
    "State",
    "differences",
    "planned_experiment",
    "planned_tables",
    "state_of",
]

MOST_REASONS = 4


class State(NamedTuple):
    """``current``, ``stale``, ``foreign`` (not of this project) or ``missing``, and why."""

    word: str
    why: str = ""


def planned_experiment(settings: Settings, name: str) -> Planned:
    """Table of an experiment on the offline optimum."""
    return Planned(
        Path(settings.results_dir, "offline", f"{name}.parquet"),
        offline_slice(settings, "offline", name),
        files_hash(offline_inputs(settings, name)),
        source_hash(*MODULES),
    )


def planned_tables(settings: Settings) -> Iterator[Planned]:
    """Tables of all sweeps and experiments."""
    for name, sweep in settings.sweeps.items():
        for topology in sweep.topologies:
            yield planned_sweep(settings, name, topology)
    for name in EXPERIMENTS:
        yield planned_experiment(settings, name)


def state_of(planned: Planned) -> State:
    """State of a table, by what it says of itself."""
    if not planned.path.exists():
        return State("missing")
    try:
        made = read_provenance(planned.path)
    except InputError as error:
        return State("foreign", f"{error.key}: {error.value}")
    if "settings_hash" not in made:
        return State("foreign", "it does not say its settings")
    if made["settings_hash"] != planned.settings.digest:
        changed = list(differences(made.get("settings", {}), planned.settings.content))
        more = [f"and {len(changed) - MOST_REASONS} more"] if len(changed) > MOST_REASONS else []
        return State("stale", "settings: " + ", ".join([*changed[:MOST_REASONS], *more]))
    if made.get("data") != planned.data:
        return State("stale", "data: the files of networks or traces have changed")
    if made.get("source") != planned.source:
        return State("stale", "source: made by other code")
    return State("current")


def differences(made: Any, asked: Any, key: str = "") -> Iterator[str]:
    """Dotted keys in which two settings differ."""
    if isinstance(made, Mapping) and isinstance(asked, Mapping):
        for name in sorted({*made, *asked}):
            yield from differences(made.get(name), asked.get(name), f"{key}.{name}".lstrip("."))
    elif made != asked:
        yield f"{key} ({_short(made)}, now {_short(asked)})"


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 30 else f"{text[:29]}…"
