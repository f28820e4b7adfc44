"""Tables III and VI against the GPUs with servers that have queues, beside all else simulated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bprr.figures import style
from bprr.figures.caption import StudyCaption, SweepCaption
from bprr.figures.means import asked_means
from bprr.figures.published import published_results
from bprr.figures.tables_found import FOUND, against_gpus, draw_against_gpus

__all__ = ["SERVED", "by_service", "plot_tables_queues"]

SERVED = "tables_queues"  # the sweep that changes how servers compute, and nothing else


def by_service(means: pd.DataFrame, caption: SweepCaption) -> dict[str, pd.DataFrame]:
    """Run means by how servers compute; its first points keep the paper's, with the same queue."""
    parts: dict[str, list[pd.DataFrame]] = {}
    for topology, changes in caption.changes.items():
        own = means[means["topology"] == topology]
        for number, (key, service) in enumerate(changes):
            name = f"{next(iter(service))} servers" if key else "a central queue"
            parts.setdefault(name, []).append(own[own["x"] == number])
    return {name: pd.concat(rows, ignore_index=True) for name, rows in parts.items()}


def plot_tables_queues(
    sweep_parquets: Sequence[Path], study: StudyCaption, published_csv: Path, stem: Path
) -> list[Path]:
    """Make the figure from the requests of all sweeps of the tables: CSV, PDF and PNG."""
    means = pd.concat([asked_means(path, study) for path in sweep_parquets], ignore_index=True)
    found, served = (means[means["figure"] == name] for name in (FOUND, SERVED))
    stated = means[~means["figure"].isin([FOUND, SERVED])]
    table = against_gpus(
        found, stated, published_results(published_csv), study.sweeps[FOUND],
        by_service(served, study.sweeps[SERVED]),
    )  # fmt: skip
    return style.save(draw_against_gpus(table, study.sweeps[FOUND]), table, stem)
