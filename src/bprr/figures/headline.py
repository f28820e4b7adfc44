"""The picture that answers the paper's question at a glance.

How much faster than the baseline is the proposed allocation, and how much of that comes from the
allocation delays that the artefact sets by hand?
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from bprr.figures import style
from bprr.figures.answer import answer, found_tables
from bprr.figures.caption import Caption, StudyCaption
from bprr.figures.means import asked_means
from bprr.ground.storage import replacing
from bprr.study.summary import summarize

__all__ = ["draw_headline", "headline_table", "plot_headline", "summary_table"]

# What is left without the delays is the result, and stands out; what the delays add is grey.
RESULT: dict[str, Any] = {"color": "#0072B2", "marker": "v", "markersize": 6}
OTHERS: tuple[dict[str, Any], ...] = tuple(
    {"color": "#8C8C8C", "marker": marker, "markersize": 5} for marker in "osD^P"
)
GAP: dict[str, Any] = {"color": "#C9D6E2", "linewidth": 3.2}


def headline_table(means: pd.DataFrame, caption: Caption) -> pd.DataFrame:
    """Ratio of the compared methods in time per token, at every point.

    Parameters
    ----------
    means : DataFrame
        Run means of several sweeps (`bprr.study.summary.run_means`).
    caption : Caption
        The compared methods and the level of the intervals.

    Returns
    -------
    DataFrame
        Columns ``figure``, ``topology``, ``x``, ``allocation_delays``, ``ratio``, ``ci_low``,
        ``ci_high``, ``paired_runs``, ``infeasible_runs`` (of the proposed method), in the order
        in which the sweeps are given.
    """
    method, baseline = caption.compared.method, caption.compared.baseline
    both = means[means["method"].isin([method, baseline])]
    table = summarize(both, caption.confidence, baseline, ["per_token_ms"])
    table = table[table["method"] == method].drop(columns=["ci_low", "ci_high"])
    names = {f"ratio_to_{baseline}": "ratio", "ratio_ci_low": "ci_low", "ratio_ci_high": "ci_high"}
    given = means[["figure", "topology"]].drop_duplicates()
    table = given.merge(table.rename(columns=names), how="inner", on=["figure", "topology"])
    place = ["figure", "topology", "x", "allocation_delays"]
    return table[[*place, *names.values(), "paired_runs", "infeasible_runs"]]


def draw_headline(
    table: pd.DataFrame, study: StudyCaption, sentences: Sequence[str] = ()
) -> Figure:
    """Draw a `headline_table`: a row per sweep, a panel per network, a dumbbell per point.

    ``sentences`` are the answer (`bprr.figures.answer.answer`), which stands below.
    """
    sweeps = [study.sweeps[name] for name in dict.fromkeys(table["figure"])]
    networks = [name for name in study.topologies if name in set(table["topology"])]
    looks = _looks(table, study)
    method, baseline = study.pair
    with style.applied():
        height_in = 1.3 + 1.6 * len(sweeps) + (1.1 if sentences else 0)
        figure = style.new_figure(style.TEXT_IN, height_in)
        grid = figure.subplots(len(sweeps), len(networks), sharey=True, squeeze=False)
        for line, sweep in zip(grid, sweeps, strict=True):
            for axes, network in zip(line, networks, strict=True):
                own = (table["figure"] == sweep.name) & (table["topology"] == network)
                if own.any():
                    _panel(axes, table[own], looks)
                    label = sweep.x_label if sweep.paper else ""
                    style.number_axis(axes, table.loc[own, "x"], label, 6.3 / len(networks))
                else:
                    axes.set_axis_off()
            title = sweep.paper or sweep.x_label
            line[0].set_title(title, loc="left", fontweight="bold")
            line[0].set_ylabel(f"{method} / {baseline}")
        for axes, network in zip(grid[0], networks, strict=True):
            axes.set_title(study.topology(network), loc="right")
        highest = np.nan_to_num(table[["ratio", "ci_high"]].to_numpy(dtype=float)).max()
        grid[0, 0].set_ylim(0, max(1.1, 1.04 * float(highest)))
        grid[0, 0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        title = f"Time per token: {method} in percent of {baseline}"
        style.heading(figure, title, _legend_handles(table, study, looks), columns=1)
        runs = study.intervals(table["paired_runs"].max())
        missing = "\n×: no run is feasible." if table["ratio"].isna().any() else ""
        style.note(
            figure,
            f"Below the black line, 100 %: {method} is faster. Marks above one another are one "
            "point of a sweep, the same runs under each variant of\nthe delays. Ratio of the means "
            f"over {runs}, run paired with run. All points meet the same draws.{missing}"
            + "".join(f"\n{textwrap.fill(sentence, 145)}" for sentence in sentences),
        )
    return figure


def _looks(table: pd.DataFrame, caption: Caption) -> dict[str, dict[str, Any]]:
    """Mark of each variant of the delays that the table has, in the caption's order."""
    shown = set(table["allocation_delays"])
    variants = [name for name in caption.variants if name in shown]
    return {
        name: RESULT if name == caption.undelayed else OTHERS[rank % len(OTHERS)]
        for rank, name in enumerate(variants)
    }


def _panel(axes: Axes, shown: pd.DataFrame, looks: Mapping[str, dict[str, Any]]) -> None:
    axes.axhline(1.0, color="black", linewidth=0.9, zorder=1)
    wide = shown.pivot(index="x", columns="allocation_delays", values="ratio")
    if len(looks) == 2 and wide.shape[1] == 2:
        axes.vlines(wide.index, wide.min(axis=1), wide.max(axis=1), **GAP, zorder=2)
    foot = axes.get_xaxis_transform()
    for rank, (name, look) in enumerate(looks.items()):
        rows = shown[shown["allocation_delays"] == name]
        reach = np.vstack([rows["ratio"] - rows["ci_low"], rows["ci_high"] - rows["ratio"]])
        axes.errorbar(
            rows["x"], rows["ratio"], yerr=reach, linestyle="", elinewidth=1.0, capsize=1.8,
            zorder=3 + rank, **look,
        )  # fmt: skip
        never = rows.loc[rows["ratio"].isna(), "x"]
        axes.plot(never, [0.03] * len(never), "x", color=look["color"], transform=foot)


def _legend_handles(
    table: pd.DataFrame, caption: Caption, looks: Mapping[str, dict[str, Any]]
) -> list[Line2D]:
    handles = []
    for name, look in looks.items():
        ratios = table.loc[table["allocation_delays"] == name, "ratio"]
        span = f"{ratios.min():.0%} to {ratios.max():.0%}, median {ratios.median():.0%}"
        if ratios.isna().all():
            span = "no run is feasible"
        label = f"{caption.delays(name)}: {span.replace('%', ' %')}"
        handles.append(Line2D([], [], linestyle="", label=label, **look))
    if len(looks) == 2:
        handles.append(Line2D([], [], label="the part that is due to the delays", **GAP))
    return handles


def summary_table(table: pd.DataFrame, caption: Caption) -> str:
    """Range and median of the ratios per sweep and network, as Markdown."""
    variants = list(_looks(table, caption))
    head = ["sweep", "network", "points", *(caption.variants[name].label for name in variants)]
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    for (sweep, topology), rows in table.groupby(["figure", "topology"], sort=False):
        lines.append([str(sweep), caption.topology(topology), *_spans(rows, variants)])
    lines.append(["all", "", *_spans(table, variants)])
    title = (
        f"Time per token, {' / '.join(caption.pair)}: lowest – highest (median) over the points."
    )
    return title + "\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _spans(rows: pd.DataFrame, variants: Sequence[str]) -> list[str]:
    cells = [str(len(rows[["figure", "topology", "x"]].drop_duplicates()))]
    for name in variants:
        ratios = rows.loc[rows["allocation_delays"] == name, "ratio"].dropna()
        span = f"{ratios.min():.3f} – {ratios.max():.3f} ({ratios.median():.3f})"
        cells.append(span if len(ratios) else "–")
    return cells


def plot_headline(
    sweep_parquets: Sequence[Path], study: StudyCaption, stem: Path, found_csv: Path | None = None
) -> list[Path]:
    """Make the figure (CSV, PDF, PNG) and the Markdown table of its numbers.

    Tables of requests are shown in their order: a panel per sweep, in it a group per network.
    With ``figures/tables_found.csv``, and that of the GPUs beside it, the answer stands below.
    """
    means = [asked_means(path, study) for path in sweep_parquets]
    for path, rows in zip(sweep_parquets, means, strict=True):
        study.sweep_of(rows, path)  # refuses another study's
    table = headline_table(pd.concat(means, ignore_index=True), study)
    sentences = [] if found_csv is None else answer(table, *found_tables(found_csv), study)
    paths = style.save(draw_headline(table, study, sentences), table, stem)
    markdown = stem.with_name(f"{stem.name}.md")
    with replacing(markdown) as unfinished:
        unfinished.write_text(summary_table(table, study), encoding="utf-8")
    return [*paths, markdown]
