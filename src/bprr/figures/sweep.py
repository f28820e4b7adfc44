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
from bprr.figures.means import asked_means
from bprr.figures.published import artefact_means
from bprr.study.modes import modes_of_points
from bprr.study.summary import METRICS, POINT, summarize

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
PARTED: dict[str, Any] = {"marker": "_", "markersize": 6, "linestyle": ":", "linewidth": 0.9}


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
        + f"\nMeans over {caption.intervals(means['run'].nunique())}. Vertical axes are "
        "logarithmic. Methods at the same value stand side by side.\nAll points, methods "
        "and delays meet the same draws: one that is unlucky shows at every point."
    )


def draw_sweep(
    table: pd.DataFrame,
    caption: SweepCaption,
    conditions_text: str,
    modes: pd.DataFrame | None = None,
) -> Figure:
    """Draw a `sweep_table`: a row per metric, a column per variant of the delays.

    ``modes`` are means whose runs fall into two groups (`bprr.study.modes.modes_of_points`).
    """
    parted = pd.DataFrame(columns=[*POINT, "metric"]) if modes is None else modes
    variants = list(dict.fromkeys(table["allocation_delays"]))
    methods = list(dict.fromkeys(table["method"]))
    shape = (len(METRIC_LABELS), len(variants))
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 7.9)
        grid = figure.subplots(*shape, sharex=True, sharey="row", squeeze=False)
        for row, (metric, (label, unit)) in zip(grid, METRIC_LABELS.items(), strict=True):
            for axes, variant in zip(row, variants, strict=True):
                shown, in_two = (
                    rows[(rows["metric"] == metric) & (rows["allocation_delays"] == variant)]
                    for rows in (table, parted)
                )
                _panel(axes, shown, methods, unit, caption.compared.method)
                _mark_modes(axes, in_two, methods, unit)
            style.log_axis(row[0], room_below=0.1 if table["infeasible_runs"].any() else 0.0)
            row[0].set_ylabel(label)
        for axes, variant in zip(grid[0], variants, strict=True):
            axes.set_title(caption.delays(variant), loc="left", fontweight="bold")
        for axes in grid[-1]:
            style.number_axis(axes, table["x"], caption.x_label, 6.4 / len(variants))
        title = f"{caption.heading} — {caption.topology(table['topology'].iloc[0])}"
        style.heading(figure, title, _legend_handles(table, methods, len(parted) > 0))
        style.note(figure, conditions_text)
    return figure


def _panel(
    axes: Axes, shown: pd.DataFrame, methods: Sequence[str], unit: float, uppermost: str
) -> None:
    looks, beside = style.method_styles(methods), _beside(axes, methods)
    for rank, (name, rows) in enumerate(shown.groupby("method", sort=False)):
        look = looks[str(name)]
        at, mean = rows["x"].to_numpy(), rows["mean"].to_numpy() / unit
        order = 3 + (rank if name != uppermost else len(methods))
        if not look.marker:
            line = look.line() | {"linewidth": 0.9, "zorder": 2}
            axes.plot(at, mean, **line)
            # A point that no line reaches: the reference across its surroundings.
            known = ~np.isnan(mean)
            alone = known & ~np.r_[False, known[:-1]] & ~np.r_[known[1:], False]
            axes.plot(at[alone], mean[alone], **line | {"marker": "_", "markersize": 20})
            continue
        shift: dict[str, Any] = {"transform": beside[str(name)]}
        low, high = rows["ci_low"].to_numpy() / unit, rows["ci_high"].to_numpy() / unit
        axes.errorbar(
            at, mean, yerr=np.vstack([mean - low, high - mean]), **look.line(),
            elinewidth=0.9, capsize=1.8, zorder=order, **shift,
        )  # fmt: skip
        reference = rows["artefact_mean"].to_numpy() / unit
        style.include(axes, at, low, mean, high, reference)
        axes.plot(at, reference, **RING, markeredgecolor=look.color, zorder=order, **shift)
    _mark_infeasible(axes, shown, methods)


def _beside(axes: Axes, methods: Sequence[str]) -> dict[str, Any]:
    looks = style.method_styles(methods)
    return style.dodged(axes.transData, axes, [name for name in methods if looks[name].marker])


def _mark_modes(axes: Axes, parted: pd.DataFrame, methods: Sequence[str], unit: float) -> None:
    """The means of both groups, joined, where runs fall into two."""
    looks, beside = style.method_styles(methods), _beside(axes, methods)
    for row in parted.to_dict("records"):
        if row["method"] in beside:
            ends = [row["low"] / unit, row["high"] / unit]
            look = {"color": looks[row["method"]].color, "transform": beside[row["method"]]}
            axes.plot([row["x"]] * 2, ends, **PARTED, **look, zorder=2.5)
            style.include(axes, [row["x"]] * 2, ends)


def _mark_infeasible(axes: Axes, shown: pd.DataFrame, methods: Sequence[str]) -> None:
    """A cross at the foot of the panel wherever runs are infeasible, with their number."""
    failed = shown[shown["infeasible_runs"] > 0]
    names = [name for name in methods if name in set(failed["method"])]
    looks = style.method_styles(methods)
    beside = style.dodged(axes.get_xaxis_transform(), axes, names, step_pt=7.0)
    for row in failed.to_dict("records"):
        name = row["method"]
        common: dict[str, Any] = {"color": looks[name].color, "transform": beside[name]}
        axes.plot(row["x"], 0.03, "x", clip_on=False, markersize=4, **common)
        text = "all" if row["runs"] == 0 else f"{row['infeasible_runs']}"
        axes.text(row["x"], 0.06, text, ha="center", fontsize=5.5, **common)


def _legend_handles(table: pd.DataFrame, methods: Sequence[str], parted: bool) -> list[Line2D]:
    looks = style.method_styles(methods)
    labels = dict(zip(table["method"], table["label"], strict=True))
    handles = [Line2D([], [], label=labels[name], **looks[name].line()) for name in methods]
    grey = style.REFERENCE_COLOR
    if table["artefact_mean"].notna().any():
        label = f"artefact, mean of {table['artefact_runs'].max():g} runs"
        handles.append(Line2D([], [], label=label, **RING, markeredgecolor=grey))
    if parted:
        label = "runs in two groups: their means"
        handles.append(Line2D([], [], color=grey, label=label, **PARTED))
    if table["infeasible_runs"].any():
        label = "infeasible (number of runs)"
        handles.append(Line2D([], [], color=grey, marker="x", linestyle="", label=label))
    return handles


def plot_sweep(
    sweep_parquet: Path, study: StudyCaption, artefact_csv: Path, stem: Path
) -> list[Path]:
    """Make the figure of one sweep on one topology from its table of requests: CSV, PDF, PNG."""
    means = asked_means(sweep_parquet, study)
    caption = study.sweep_of(means, sweep_parquet)
    table = sweep_table(means, caption, artefact_means(artefact_csv))
    modes = pd.concat([modes_of_points(means, metric) for metric in METRIC_LABELS])
    return style.save(draw_sweep(table, caption, conditions(means, caption), modes), table, stem)
