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
from bprr.figures.served import SUFFIX, axis_of, points_by_model, points_repeated
from bprr.figures.service_answer import answer_table, draw_service_answer
from bprr.study.regime import Regime, joint_regime, regime_of
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
    means = run_means(requests)
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
                asked = requests[
                    (requests["x"] == x)
                    & (requests["method"] == method)
                    & (requests["allocation_delays"] == variant)
                    & (requests["status"] == "ok")
                ]
                regime, bound = _regime(asked)
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
                        "regime": regime.state if regime else "infeasible",
                        "sessions": round(float(own["requests"].mean())),
                        "load": regime.load if regime else None,
                        "bound": bound,
                    }
                )
    return pd.DataFrame(rows)


def _regime(requests: pd.DataFrame) -> tuple[Regime | None, str]:
    found: list[Regime] = []
    bounds = []
    for _, run in requests.groupby("run"):
        capacity = float(run["capacity_per_s"].iloc[0]) if "capacity_per_s" in run else float("nan")
        columns = ("arrival_ms", "per_token_ms", "output_tokens")
        arrival_ms, per_token_ms, tokens = (run[name].to_numpy() for name in columns)
        found.append(regime_of(arrival_ms, per_token_ms * tokens, tokens, capacity))
        if capacity == capacity:
            bounds.append(float(run["memory_capacity_per_s"].iloc[0]) <= capacity * (1 + 1e-9))
    if not found:
        return None, ""
    memory = sum(bounds) * 2 > len(bounds)
    return joint_regime(found), ("memory" if memory else "computing") if bounds else ""


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
