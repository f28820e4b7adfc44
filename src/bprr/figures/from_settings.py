"""Captions of a configuration: the one place where exhibits meet the settings."""

from __future__ import annotations

from collections.abc import Iterable

from bprr.figures.caption import Compared, StudyCaption, SweepCaption, Variant
from bprr.settings.configuration import Settings
from bprr.study.timing import SETTINGS_TIMED

__all__ = ["caption_of", "study_caption"]

COMPARED = Compared(method="proposed", baseline="petals")
VARIANTS = {"published": "Published delays", "none": "Without allocation delays"}
TOPOLOGIES = {
    "abovenet": "AboveNet",
    "bellcanada": "BellCanada",
    "gts_ce": "GTS-CE",
    "cluster0": "client in cluster 0",
    "cluster1": "client in cluster 1",
    "cluster2": "client in cluster 2",
}
TABLES = {"table3": "Table III", "table6": "Table VI"}


def caption_of(settings: Settings, sweep: str, topologies: Iterable[str] = ()) -> SweepCaption:
    """Caption of a sweep, on some of its topologies or on all of them."""
    chosen = settings.sweeps[sweep]
    number = sweep.removeprefix("fig")
    axes = ", ".join(chosen.axes)
    changed = ", ".join(f"{key} = {value}" for key, value in chosen.set.items())
    return SweepCaption(
        confidence=settings.confidence,
        compared=COMPARED,
        methods={name: settings.methods[name].label for name in chosen.methods},
        topologies=_topologies(settings, topologies or chosen.topologies),
        variants=_variants(settings, chosen.methods, chosen.replace_allocation_delay_ms),
        name=sweep,
        title=chosen.title,
        x_label=chosen.x_label,
        paper=f"Figure {number}" if number.isdigit() else TABLES.get(sweep, ""),
        details=f"Scenario {chosen.scenario}; varied: {axes}{changed and '; set: ' + changed}; "
        f"{chosen.runs or settings.runs} runs",
    )


def study_caption(settings: Settings) -> StudyCaption:
    """Caption of the whole study."""
    timed = {name: name.capitalize() for name in SETTINGS_TIMED if name not in settings.topologies}
    caption = StudyCaption(
        confidence=settings.confidence,
        compared=COMPARED,
        methods={name: method.label for name, method in settings.methods.items()},
        topologies=_topologies(settings, settings.topologies) | timed,
        variants=_variants(settings, settings.methods, {}),
        results_dir=settings.results_dir,
        seed=settings.seed,
        runs=settings.runs,
        sweeps={name: caption_of(settings, name) for name in settings.sweeps},
    )
    caption._where = settings.where
    return caption


def _topologies(settings: Settings, names: Iterable[str]) -> dict[str, str]:
    return {name: TOPOLOGIES.get(name, name) for name in names}


def _variants(
    settings: Settings, methods: Iterable[str], replaced_ms: dict[str, float]
) -> dict[str, Variant]:
    shown = [name for name in (COMPARED.baseline, COMPARED.method) if name in methods]
    paid_ms = {
        name: replaced_ms.get(name, settings.methods[name].allocation_delay_ms) for name in shown
    }
    return {
        name: Variant(
            label=VARIANTS[name],
            delays_s={key: ms / 1000 if name != "none" else 0.0 for key, ms in paid_ms.items()},
        )
        for name in settings.allocation_delays
    }
