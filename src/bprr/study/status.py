"""Which results are current, and why the others are not; nothing is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bprr.ground.errors import InputError
from bprr.ground.storage import read_provenance
from bprr.offline.experiments import EXPERIMENTS
from bprr.settings.configuration import Settings
from bprr.study.offline import BOUND, KINDS, planned_experiment
from bprr.study.planned import Planned, planned_bounds, planned_sweep
from bprr.study.theory import planned_theory
from bprr.study.timing import planned_growth, planned_times

__all__ = ["State", "differences", "planned_tables", "state_of"]

MOST_REASONS = 4


class State(NamedTuple):
    """``current``, ``stale``, ``foreign`` (not of this project) or ``missing``, and why."""

    word: str
    why: str = ""


def planned_tables(settings: Settings) -> Iterator[Planned]:
    """Tables of all that is computed: those of the main job, and of a study what is there."""
    for name, sweep in settings.sweeps.items():
        for topology in sweep.topologies:
            planned = planned_sweep(settings, name, topology)
            if not sweep.study or planned.path.exists():
                yield planned
            bounds = planned_bounds(settings, name, topology)
            if bounds.path.exists():
                yield bounds
    for kind in KINDS:
        for name in (*EXPERIMENTS, BOUND):
            planned = planned_experiment(settings, name, kind)
            if kind == "offline" or planned.path.exists():
                yield planned
    yield planned_times(settings)
    yield planned_growth(settings)
    yield planned_theory(settings)


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
