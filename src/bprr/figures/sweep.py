"""Figure of one sweep on one topology: every method against what varies (Figures 7–10)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bprr.figures import style
from bprr.figures.caption import METRIC_LABELS, StudyCaption, SweepCaption
from bprr.figures.published import artefact_means
from bprr.ground.results import REQUESTS
from bprr.ground.tables import read_table
from bprr.study.summary import METRICS, POINT, run_means, summarize

__all__ = ["conditions", "draw_sweep", "plot_sweep", "sweep_table"]

# On the logarithmic axes of all rows equal ratios, which the paper's claims are about, are equal
# distances; waits under load span decades.
RING: dict[str, Any] = {  # around our mean where it agrees
    "linestyle": "",
    "marker": "o",
    "markersize": 7.5,
    "markerfacecolor": "none",
    "markeredgewidth": 0.7,
}
SPREAD = 0.6  # over how much of a category the methods are spread, so that none hides another


def sweep_table(means: pd.DataFrame, caption: SweepCaption, artefact: pd.DataFrame) -> pd.DataFrame:
    """Tidy table of a sweep: what its figure shows, and how it compares.

    Parameters
    ----------
    means : DataFrame
        Run means of one sweep on one topology (`bprr.study.summary.run_means`).
    caption : SweepCaption
        Names in their order, and the level of confidence.
    artefact : DataFrame
        From `bprr.figures.published.artefact_means`.

    Returns
    -------
    DataFrame
        One row per point, variant of delays, method and metric, in the order of the caption: the
        columns of `summarize`, ``label``, the artefact's mean and standard error where they
        exist, and ``z``, the difference to it in combined standard errors.
    """
    table = summarize(means, caption.confidence, caption.compared.baseline)
    table = table.merge(artefact, how="left", on=[*POINT, "metric"])
    error = np.hypot(table["standard_deviation"] / np.sqrt(table["runs"]), table["artefact_se"])
    table["z"] = (table["mean"] - table["artefact_mean"]) / error.where(error > 0)
    order = {
        "metric": list(METRICS),
        "allocation_delays": list(caption.variants),
        "method": list(caption.methods),
    }
    table["label"] = table["method"].map(caption.methods)
    ranks = pd.DataFrame({key: table[key].map(names.index) for key, names in order.items()})
    ranks["x"] = table["x"]
    by = ["metric", "allocation_delays", "x", "method"]
    first = [*POINT, "label", "metric"]
    columns = [*first, *table.columns.difference(first, sort=False)]
    return table.loc[ranks.sort_values(by).index, columns].reset_index(drop=True)


def conditions(means: pd.DataFrame, caption: SweepCaption) -> str:
    """What a sweep ran on and how to read it; the swept quantity is left to the axis."""
    names = {
        "servers": "C = {} servers",
        "eta": "η = {}",
        "rate_per_s": "λ = {}/s",
        "input_tokens": "{} input tokens",
        "output_tokens": "{} output tokens",
        "requests": "{} requests per run",
    }
    parts = []
    for column, text in names.items():
        known = means[["x", column]].dropna()
        if len(known) and not np.allclose(known["x"], known[column]):
            low, high = known[column].min(), known[column].max()
            parts.append(text.format(f"{low:.4g}" if low == high else f"{low:.3g}–{high:.3g}"))
    return (
        " · ".join(parts)
        + f"\nMeans over {caption.intervals(means['run'].nunique())}. Methods at the same value "
        "are shifted sideways, so that none hides another."
    )


def draw_sweep(table: pd.DataFrame, caption: SweepCaption, conditions_text: str) -> Figure:
    """Draw a `sweep_table`: a row per metric, a column per variant of the delays."""
    variants = list(dict.fromkeys(table["allocation_delays"]))
    methods = list(dict.fromkeys(table["method"]))
    shape = (len(METRIC_LABELS), len(variants))
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 7.9)
        grid = figure.subplots(*shape, sharex=True, sharey="row", squeeze=False)
        for row, (metric, (label, unit)) in zip(grid, METRIC_LABELS.items(), strict=True):
            for axes, variant in zip(row, variants, strict=True):
                shown = table[(table["metric"] == metric) & (table["allocation_delays"] == variant)]
                _panel(axes, shown, methods, unit, caption.compared.method)
            style.log_axis(row[0], room_below=0.1 if table["infeasible_runs"].any() else 0.0)
            row[0].set_ylabel(f"{label}, log scale")
        for axes, variant in zip(grid[0], variants, strict=True):
            axes.set_title(caption.delays(variant), loc="left", fontweight="bold")
        for axes in grid[-1]:
            axes.set_xlabel(caption.x_label)
        title = f"{caption.heading} — {caption.topology(table['topology'].iloc[0])}"
        style.heading(figure, title, _legend_handles(table, methods))
        style.note(figure, conditions_text)
    return figure


def _panel(
    axes: Axes, shown: pd.DataFrame, methods: Sequence[str], unit: float, uppermost: str
) -> None:
    position = style.category_axis(axes, shown["x"])
    looks = style.method_styles(methods)
    spread = [name for name in methods if looks[name].marker]
    offsets = np.linspace(-SPREAD / 2, SPREAD / 2, len(spread)) if len(spread) > 1 else [0.0]
    offset_of = dict(zip(spread, offsets, strict=True))
    for rank, (name, rows) in enumerate(shown.groupby("method", sort=False)):
        look = looks[str(name)]
        at = rows["x"].map(position).to_numpy() + offset_of.get(str(name), 0.0)
        mean = rows["mean"].to_numpy() / unit
        order = 3 + (rank if name != uppermost else len(methods))
        if not look.marker:
            line = look.line() | {"linewidth": 0.9, "zorder": 2}
            axes.plot(at, mean, **line)
            # A point that no line reaches: the reference across its category.
            known = ~np.isnan(mean)
            alone = known & ~np.r_[False, known[:-1]] & ~np.r_[known[1:], False]
            for place, value in zip(at[alone], mean[alone], strict=True):
                axes.plot([place - SPREAD / 2, place + SPREAD / 2], [value, value], **line)
        else:
            low, high = rows["ci_low"].to_numpy() / unit, rows["ci_high"].to_numpy() / unit
            axes.errorbar(
                at, mean, yerr=np.vstack([mean - low, high - mean]), **look.line(),
                elinewidth=0.9, capsize=1.8, zorder=order,
            )  # fmt: skip
        reference = rows["artefact_mean"].to_numpy() / unit
        axes.plot(at, reference, **RING, markeredgecolor=look.color, zorder=order)
        _mark_infeasible(axes, rows, at, look.color)


def _mark_infeasible(axes: Axes, rows: pd.DataFrame, at: np.ndarray, color: str) -> None:
    """A cross at the foot of the panel wherever runs are infeasible, with their number."""
    foot = axes.get_xaxis_transform()
    for place, failed, runs in zip(at, rows["infeasible_runs"], rows["runs"], strict=True):
        if failed:
            axes.plot(place, 0.03, "x", color=color, transform=foot, clip_on=False, markersize=5)
            text = "all" if runs == 0 else f"{failed}"
            axes.text(
                place, 0.06, text, color=color, transform=foot, ha="center", fontsize=5.5
            )  # fmt: skip


def _legend_handles(table: pd.DataFrame, methods: Sequence[str]) -> list[Line2D]:
    looks = style.method_styles(methods)
    labels = dict(zip(table["method"], table["label"], strict=True))
    handles = [Line2D([], [], label=labels[name], **looks[name].line()) for name in methods]
    grey = style.REFERENCE_COLOR
    if table["artefact_mean"].notna().any():
        label = f"artefact, mean of {table['artefact_runs'].max():g} runs"
        handles.append(Line2D([], [], label=label, **RING, markeredgecolor=grey))
    if table["infeasible_runs"].any():
        label = "infeasible (number of runs)"
        handles.append(Line2D([], [], color=grey, marker="x", linestyle="", label=label))
    return handles


def plot_sweep(
    sweep_parquet: Path, study: StudyCaption, artefact_csv: Path, stem: Path
) -> list[Path]:
    """Make the figure of one sweep on one topology from its table of requests: CSV, PDF, PNG."""
    means = run_means(read_table(sweep_parquet, REQUESTS))
    caption = study.sweep_of(means, sweep_parquet)
    table = sweep_table(means, caption, artefact_means(artefact_csv))
    return style.save(draw_sweep(table, caption, conditions(means, caption)), table, stem)
