"""Times under every model of a server's computing: the answer by service, order and belief.

Sweeps whose points are repeated under one service after another are laid beside the same sweeps
under the paper's servers (docs/service.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bprr.figures import style
from bprr.figures.caption import StudyCaption, SweepCaption
from bprr.figures.means import asked_requests
from bprr.figures.regimes import with_regimes
from bprr.figures.served import SUFFIX, axis_of, points_by_model, points_repeated
from bprr.figures.service_answer import answer_table, draw_service_answer
from bprr.study.summary import mean_interval, paired_ratio, run_means

__all__ = ["plot_service_models", "service_models"]


def service_models(requests: pd.DataFrame, caption: SweepCaption) -> pd.DataFrame:
    """Rows of one sweep on one topology, under every service that it runs.

    Returns
    -------
    DataFrame
        ``figure``, ``topology``, ``x`` (the value on the axis), ``delays``, ``service``, ``order``,
        ``belief``, ``method``, ``per_token_ms``, ``low``, ``high``, ``ratio_to_petals``,
        ``regime``, ``sessions`` (of a run), ``load`` (rate over capacity) and ``bound`` (what is
        scarcer: computing or memory).
    """
    means = with_regimes(run_means(requests), requests)
    axis, base = axis_of(means, caption), points_repeated(means, caption)
    baseline = caption.compared.baseline
    rows = []
    for x, model, point in points_by_model(means, caption):
        for variant, runs in point.groupby("allocation_delays", sort=False):
            petals = runs[runs["method"] == baseline].set_index("run")["per_token_ms"]
            for method, own in runs.groupby("method", sort=False):
                values = own.set_index("run")["per_token_ms"].dropna()
                interval = mean_interval(values, caption.confidence)
                both = values.index.intersection(petals.dropna().index)
                ratio = paired_ratio(values[both], petals[both], caption.confidence)
                rows.append(
                    {
                        "figure": caption.name.removesuffix(SUFFIX),
                        "topology": own["topology"].iloc[0],
                        "x": own[axis].iloc[0] if axis else x % base,
                        "delays": variant,
                        **model._asdict(),
                        "method": method,
                        "per_token_ms": interval.value,
                        "low": interval.low,
                        "high": interval.high,
                        "ratio_to_petals": ratio.value,
                        "regime": own["regime"].iloc[0],
                        "sessions": round(float(own["requests"].mean())),
                        "load": own["load"].iloc[0],
                        "bound": own["bound"].iloc[0],
                    }
                )
    return pd.DataFrame(rows)


def plot_service_models(
    sweep_parquets: Sequence[Path], study: StudyCaption, stem: Path
) -> list[Path]:
    """Picture of some sweeps, those with services and those that they repeat; ``<stem>_table``."""
    tables = []
    for path in sweep_parquets:
        requests = asked_requests(path, study)
        tables.append(service_models(requests, study.sweep_of(requests, path)))
    table = pd.concat(tables, ignore_index=True)
    picture = style.save(draw_service_answer(table, study), table, stem)
    return [*picture, *answer_table(table, study).save(table, stem.with_name(f"{stem.name}_table"))]
