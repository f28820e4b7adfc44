"""Captions of a configuration: the one place where exhibits meet the settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bprr.figures.caption import Compared, StudyCaption, SweepCaption, Variant
from bprr.figures.made import Made
from bprr.offline.experiments import EXPERIMENTS
from bprr.settings.configuration import Settings, Sweep
from bprr.study.offline import BOUND, planned_experiment
from bprr.study.planned import Planned, planned_sweep
from bprr.study.points import sweep_points
from bprr.study.slices import Slice, input_files
from bprr.study.theory import planned_theory
from bprr.study.timing import SETTINGS_TIMED, planned_growth, planned_times

__all__ = ["caption_slice", "made_of", "other_tables", "study_caption"]

MS_PER_S = 1000.0


def caption_slice(
    settings: Settings,
    name: str,
    sweeps: Iterable[str] = (),
    unsaid: Iterable[str] = (),
    topology: str | None = None,
    tables: Iterable[Planned] = (),
) -> Slice:
    """What exhibits of some sweeps say, as a file of its own; of none: what all have in common.

    ``unsaid`` are fields of captions that these exhibits do not show, ``tables`` what they show
    beside the sweeps.
    """
    content = study_caption(settings, sweeps, topology, tables).model_dump(mode="json")
    for key in unsaid:
        for caption in (content, *content["sweeps"].values()):
            caption.pop(key, None)
    return Slice(name, content)


def other_tables(settings: Settings) -> list[Planned]:
    """Tables that claims are judged by beside those of the sweeps."""
    offline = [planned_experiment(settings, name) for name in (*EXPERIMENTS, BOUND)]
    times = [planned_times(settings), planned_growth(settings)]
    return [*offline, *times, planned_theory(settings)]


def made_of(planned: Planned) -> Made:
    """What a table has to say that it is made from."""
    digest = planned.settings.digest
    return Made(settings_hash=digest, data=planned.data, source=planned.source)


def study_caption(
    settings: Settings,
    sweeps: Iterable[str] | None = None,
    topology: str | None = None,
    tables: Iterable[Planned] = (),
) -> StudyCaption:
    """Caption of some sweeps, or of all, on all their networks or one, with the names they use.

    ``tables`` are what else is shown.
    """
    chosen = settings.sweeps if sweeps is None else sweeps
    captions = {name: _sweep(settings, name, topology) for name in chosen}
    pair = [settings.compared.baseline, settings.compared.method]
    usual = {
        name: {method: [variant.of(method)] for method in pair}
        for name, variant in settings.delays.items()
        if variant.in_every_sweep or any(name in each.variants for each in captions.values())
    }
    used = {*pair, *(name for each in captions.values() for name in each.methods)}
    places = {name for each in captions.values() for name in each.topologies}
    timed = {name: name.capitalize() for name in SETTINGS_TIMED if name not in settings.topologies}
    caption = StudyCaption(
        **_common(
            settings,
            [name for name in settings.methods if name in used],
            [name for name in settings.topologies if name in places or not places],
            usual,
        ),
        seed=settings.seed,
        runs=settings.runs,
        sweeps=captions,
        made={
            table.path.relative_to(settings.results_dir).as_posix(): made_of(table)
            for table in tables
        },
    )
    caption._where = settings.where
    return caption.model_copy(update={"topologies": caption.topologies | timed})


def _sweep(settings: Settings, name: str, topology: str | None) -> SweepCaption:
    sweep = settings.sweeps[name]
    topologies = sweep.topologies if topology is None else [topology]
    points = [point for place in sweep.topologies for point in sweep_points(settings, name, place)]
    pair = [settings.compared.baseline, settings.compared.method]
    delays_ms = {
        variant: {
            method: [point.delays[variant][method] for point in points]
            for method in pair
            if method in sweep.methods
        }
        for variant in settings.variants_of(sweep)
    }
    changed = ", ".join(f"{key} = {value}" for key, value in sweep.set.items())
    made = {}
    for place in topologies:
        # A file that is still to be made becomes part of the settings once it is there.
        if all(Path(path).exists() for path in input_files(settings, (name, place))):
            made[place] = made_of(planned_sweep(settings, name, place))
    return SweepCaption(
        **_common(settings, sweep.methods, topologies, delays_ms),
        name=name,
        title=sweep.title or name,
        x_label=sweep.x_label,
        paper=sweep.paper,
        changes={
            place: [(key, value) for key, value, _ in sweep.changed_points(place)]
            for place in sweep.topologies
            if sweep.one_at_a_time
        },
        details=f"Scenario {_scenarios(sweep)}; varied: {', '.join(sweep.axes)}"
        f"{changed and '; set: ' + changed}; {settings.runs_of(name)} runs",
        made=made,
    )


def _scenarios(sweep: Sweep) -> str:
    return ", ".join(dict.fromkeys(sweep.scenario_on(place) for place in sweep.topologies))


def _common(
    settings: Settings,
    methods: Iterable[str],
    topologies: Iterable[str],
    delays_ms: Mapping[str, Mapping[str, list[float]]],
) -> dict[str, Any]:
    """What every caption has."""
    return {
        "confidence": settings.confidence,
        "compared": Compared(**settings.compared.model_dump()),
        "methods": {name: settings.methods[name].label or name for name in methods},
        "topologies": {name: settings.topologies[name].label or name for name in topologies},
        "variants": {
            name: Variant(
                label=settings.delays[name].label or name,
                delays_s={
                    method: (min(each) / MS_PER_S, max(each) / MS_PER_S)
                    for method, each in paid_ms.items()
                },
            )
            for name, paid_ms in delays_ms.items()
        },
    }
