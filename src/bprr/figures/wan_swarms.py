"""Models of real swarms against what others measured: errors by model, and measured what-ifs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator

from bprr.figures import style
from bprr.ground.results import WAN_SWARMS
from bprr.ground.tables import read_csv

__all__ = ["draw_wan_swarms", "plot_wan_swarms"]

STYLES = {
    "hub": ("#D55E00", "o", "hub: a round trip a stage"),
    "ring": ("#E69F00", "^", "ring: one-way legs"),
    "+ overhead": ("#999933", "s", "+ overhead of a leg"),
    "+ window": ("#009E73", "D", "+ TCP window"),
    "+ speculation": ("#56B4E9", "v", "+ drafts"),
    "+ in flight": ("#0072B2", "P", "+ frames in flight"),
    "by frame": ("#CC79A7", "*", "by frame, misses given"),
    "+ batch": ("#332288", "X", "+ batch"),
}
LEAST = 1.0  # per cent; smaller errors lie on the axis' end
NOISE, WHAT_IFS = "noise floor", "what-if"
ROOM = 1.3  # of the axes of ratios, beyond the last point


def draw_wan_swarms(table: pd.DataFrame) -> Figure:
    """Median errors of every model by what is predicted; ratios of changes, predicted on measured.

    Parameters
    ----------
    table : DataFrame
        Result of `bprr wan`.
    """
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 3.9)
        left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
        _draw_errors(left, table[table["model"] != WHAT_IFS])
        _draw_ratios(right, table[table["model"] == WHAT_IFS])
        handles = [
            Line2D([], [], color=color, marker=marker, linestyle="", label=label)
            for color, marker, label in STYLES.values()
        ]
        style.heading(figure, "Models of real swarms against others' measurements", handles)
        style.note(
            figure,
            "Left: median size of the error of each group of measurements (n), 1 % at least; line: "
            "repetitions of a job\non its ring within hours. Right: measured changes of swarms; "
            "crosses: wrong direction. Only the 4 ms a leg\nare fitted, on 12 jobs, and what the "
            "table says beside a row. Measured by leyten/shard, PETALS and Mesh-LLM.",
        )
    return figure


def _draw_errors(axes: Axes, table: pd.DataFrame) -> None:
    size = (100 * table["error"].abs()).groupby([table["group"], table["model"]], sort=False)
    median, count = size.median().clip(lower=LEAST), size.count()
    groups = [group for group in dict.fromkeys(table["group"]) if group != NOISE]
    for row, group in enumerate(reversed(groups)):
        for model, value in median[group].items():
            color, marker, _ = STYLES[str(model)]
            axes.plot(value, row, marker, color=color, markersize=6)
    labels = [f"{group} ({count[group].max()})" for group in reversed(groups)]
    axes.set_yticks(range(len(groups)), labels)
    axes.set_ylim(-0.5, len(groups) - 0.5)
    if NOISE in median:
        axes.axvline(median[NOISE].iloc[0], color=style.REFERENCE_COLOR, linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("Median error (%)")
    axes.set_title("Error by model, and noise of the measurements", loc="left")


def _draw_ratios(axes: Axes, table: pd.DataFrame) -> None:
    known = table.dropna(subset=["measured", "predicted"])
    ratios = known[["measured", "predicted"]].to_numpy()
    axes.set_xscale("log")
    axes.set_yscale("log")
    if len(ratios):
        ends = ratios.min() / ROOM, ratios.max() * ROOM
        axes.plot(ends, ends, color=style.REFERENCE_COLOR, linewidth=1)
        axes.set_xlim(*ends)
        axes.set_ylim(*ends)
    right = np.sign(np.round(ratios[:, 1] - 1, 6)) == np.sign(ratios[:, 0] - 1)
    for chosen, marker, color in ((right, "o", "#0072B2"), (~right, "x", "#D55E00")):
        axes.plot(*ratios[chosen].T, marker, color=color, markersize=5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.set_xlabel("Measured ratio, after to before")
    axes.set_ylabel("Predicted ratio")
    axes.set_title(f"Right direction: {int(right.sum())} of {len(right)} values", loc="left")


def plot_wan_swarms(table_csv: Path, stem: Path) -> list[Path]:
    """Draw the figure of a table that `bprr wan` wrote."""
    table = read_csv(table_csv, WAN_SWARMS)
    return style.save(draw_wan_swarms(table), table, stem)
