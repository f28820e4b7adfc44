"""The picture that answers the paper's question at a glance.

How much faster than PETALS is the proposed allocation, and how much of that comes from the two
allocation delays that the artefact sets by hand?
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from bprr.figures import style
from bprr.figures.labels import topology_label
from bprr.ground.storage import read_table, replacing
from bprr.settings.configuration import Settings
from bprr.study.summary import run_means, summarize

__all__ = ["draw_headline", "headline_table", "plot_headline", "summary_table"]

METHOD, BASELINE, METRIC = "proposed", "petals", "per_token_ms"

# What is left without the delays is the result, and stands out; what the delays add is grey.
LOOKS: dict[str, dict[str, Any]] = {
    "published": {"color": "#8C8C8C", "marker": "o", "markersize": 5},
    "none": {"color": "#0072B2", "marker": "v", "markersize": 6},
}
GAP: dict[str, Any] = {"color": "#C9D6E2", "linewidth": 3.2}
LABELS = {
    "published": "with the delays that the artefact sets by hand (PETALS {petals:g} s, proposed "
    "{proposed:g} s per request)",
    "none": "without these delays",
}


def headline_table(means: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Ratio of the proposed method to PETALS in time per token, at every point.

    Parameters
    ----------
    means : DataFrame
        Run means of several sweeps (`bprr.study.summary.run_means`).
    confidence : float
        Level of the intervals.

    Returns
    -------
    DataFrame
        Columns ``figure``, ``topology``, ``x``, ``allocation_delays``, ``ratio``, ``ci_low``,
        ``ci_high``, ``paired_runs``, ``infeasible_runs`` (of the proposed method), in the order
        in which the sweeps are given.
    """
    both = means[means["method"].isin([METHOD, BASELINE])]
    table = summarize(both, confidence, BASELINE, [METRIC]).query("method == @METHOD")
    names = {
        f"ratio_to_{BASELINE}": "ratio",
        "ratio_ci_low": "ci_low",
        "ratio_ci_high": "ci_high",
    }
    table = table.drop(columns=["ci_low", "ci_high"]).rename(columns=names)
    place = ["figure", "topology", "x", "allocation_delays"]
    given = means[["figure", "topology"]].drop_duplicates()
    table = given.merge(table, how="inner", on=["figure", "topology"])
    return table[[*place, *names.values(), "paired_runs", "infeasible_runs"]]


def draw_headline(table: pd.DataFrame, settings: Settings) -> Figure:
    """Draw the ratios: a panel per sweep, a group per network, a dumbbell per point.

    Parameters
    ----------
    table : DataFrame
        From `headline_table`.
    settings : Settings
        Titles, names and delays.
    """
    sweeps = list(dict.fromkeys(table["figure"]))
    variants = [name for name in LOOKS if name in set(table["allocation_delays"])]
    columns = min(2, len(sweeps))
    rows = -(-len(sweeps) // columns)
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 1.1 + 2.35 * rows)
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for axes in grid.flat[len(sweeps) :]:
            axes.set_axis_off()
        for axes, name in zip(grid.flat, sweeps, strict=False):
            _panel(axes, table[table["figure"] == name], variants)
            number = name.removeprefix("fig")
            title = settings.sweeps[name].x_label
            axes.set_title(
                f"Figure {number} · {title}" if number.isdigit() else title,
                loc="left",
                fontweight="bold",
            )
        grid[0, 0].set_ylim(0, max(1.14, 1.04 * float(table["ci_high"].max())))
        grid[0, 0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        for axes in grid[:, 0]:
            axes.set_ylabel("Time per token,\nproposed / PETALS")
        title = "Time per token of the proposed allocation, in percent of PETALS'"
        style.heading(figure, title, _legend_handles(table, settings, variants), columns=1)
        level = f"{settings.confidence * 100:g} %"
        missing = " ×: no run is feasible." if table["ratio"].isna().any() else ""
        style.note(
            figure,
            f"Below 100 %: the proposed allocation is faster. Each pair of marks is one point of "
            f"the paper's figures: the same {table['paired_runs'].max():g} runs with and without\n"
            f"the delays; bars: {level} confidence intervals of the ratio of means, run paired "
            f"with run.{missing}",
        )
    return figure


def _panel(axes: Axes, shown: pd.DataFrame, variants: Sequence[str]) -> None:
    points = shown[["topology", "x"]].drop_duplicates().reset_index(drop=True)
    groups = list(dict.fromkeys(points["topology"]))
    # One place per point, and a gap between networks.
    points["at"] = points.index + points["topology"].map(groups.index)
    wide = {
        name: points.merge(shown[shown["allocation_delays"] == name], on=["topology", "x"])
        for name in variants
    }
    axes.axhline(1.0, color="black", linewidth=0.9, zorder=1)
    axes.text(-0.6, 1.03, "as slow as PETALS", fontsize=7, color=style.REFERENCE_COLOR)
    if len(variants) == 2:
        low, high = (wide[name]["ratio"] for name in variants)
        axes.vlines(points["at"], low, high, **GAP, zorder=2)
    for rank, name in enumerate(variants):
        rows = wide[name]
        reach = np.vstack([rows["ratio"] - rows["ci_low"], rows["ci_high"] - rows["ratio"]])
        axes.errorbar(
            rows["at"], rows["ratio"], yerr=reach, linestyle="", elinewidth=1.0, capsize=1.8,
            zorder=3 + rank, **LOOKS[name],
        )  # fmt: skip
        never = rows[rows["ratio"].isna()]
        foot = axes.get_xaxis_transform()
        axes.plot(never["at"], [0.03] * len(never), "x", color=LOOKS[name]["color"], transform=foot)
    axes.set_xticks(points["at"], [f"{x:g}".removeprefix("0") for x in points["x"]], fontsize=6.3)
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="x", visible=False)
    axes.set_xlim(-0.8, float(points["at"].max()) + 0.8)
    for topology, group in points.groupby("topology", sort=False):
        axes.annotate(
            topology_label(str(topology)), (float(group["at"].mean()), 0), (0, -15),
            xycoords=axes.get_xaxis_transform(), textcoords="offset points",
            ha="center", va="top", fontsize=8,
        )  # fmt: skip


def _legend_handles(
    table: pd.DataFrame, settings: Settings, variants: Sequence[str]
) -> list[Line2D]:
    delays_s = {
        name: settings.methods[name].allocation_delay_ms / 1000 for name in (METHOD, BASELINE)
    }
    handles = []
    for name in variants:
        ratios = table.loc[table["allocation_delays"] == name, "ratio"]
        found = f"{ratios.min():.0%} to {ratios.max():.0%}, median {ratios.median():.0%}"
        if ratios.isna().all():
            found = "no run is feasible"
        label = f"{LABELS[name].format(**delays_s)}: {found.replace('%', ' %')}"
        handles.append(Line2D([], [], linestyle="", label=label, **LOOKS[name]))
    if len(variants) == 2:
        handles.append(Line2D([], [], label="the part that is due to the delays", **GAP))
    return handles


def summary_table(table: pd.DataFrame) -> str:
    """Range and median of the ratios per figure and network, as Markdown.

    Parameters
    ----------
    table : DataFrame
        From `headline_table`.
    """
    lines = [
        "| figure | network | points | with the delays | without them |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for (figure, topology), rows in table.groupby(["figure", "topology"], sort=False):
        lines.append(_summary_line(str(figure), topology_label(str(topology)), rows))
    lines.append(_summary_line("all", "", table))
    return (
        "Time per token, proposed / PETALS: lowest – highest (median) over the points.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def _summary_line(figure: str, network: str, rows: pd.DataFrame) -> str:
    cells = []
    for name in LOOKS:
        ratios = rows.loc[rows["allocation_delays"] == name, "ratio"].dropna()
        cells.append(
            f"{ratios.min():.3f} – {ratios.max():.3f} ({ratios.median():.3f})"
            if len(ratios)
            else "–"
        )
    points = len(rows[["figure", "topology", "x"]].drop_duplicates())
    return f"| {figure} | {network} | {points} | {cells[0]} | {cells[1]} |"


def plot_headline(sweep_parquets: Sequence[Path], settings: Settings, stem: Path) -> list[Path]:
    """Make the headline figure and the Markdown table of its numbers.

    Parameters
    ----------
    sweep_parquets : sequence of Path
        Requests of the sweeps, in the order in which they are to appear: a panel per figure, in
        it a group per network.
    settings : Settings
        Whole configuration.
    stem : Path
        Path of the files without suffix.

    Returns
    -------
    list of Path
        CSV, PDF, PNG and Markdown.
    """
    means = pd.concat([run_means(read_table(path)) for path in sweep_parquets], ignore_index=True)
    table = headline_table(means, settings.confidence)
    paths = style.save(draw_headline(table, settings), table, stem)
    markdown = stem.with_name(f"{stem.name}.md")
    with replacing(markdown) as unfinished:
        unfinished.write_text(summary_table(table), encoding="utf-8")
    return [*paths, markdown]
