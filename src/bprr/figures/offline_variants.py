"""What stopping early would gain (experiment d), and GSA in its own special case (experiment e)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bprr.figures import style

__all__ = ["draw_equal_blocks", "draw_stopping"]

HEURISTICS = {
    "gsa": ("GSA", style.MethodStyle("#882255", "P")),
    "cg_bprr": ("CG-BPRR", style.MethodStyle("#0072B2", "v", filled=False)),
}


def draw_stopping(stopping: pd.DataFrame) -> Figure:
    """Gain of servers that may stop before the end of their range, against R.

    Parameters
    ----------
    stopping : DataFrame
        Result of `bprr.offline.experiments.relaxed_stopping`.
    """
    with style.applied():
        figure = style.new_figure(style.COLUMN_IN, 2.5)
        axes = figure.subplots()
        position = style.category_axis(axes, stopping["load"])
        at = stopping["load"].map(position)
        bars = axes.bar(at, stopping["gain_percent"], width=0.6, color="#0072B2")
        axes.bar_label(bars, fmt="%.2f", padding=2)  # so that no gain is not taken for no result
        axes.vlines(at, stopping["gain_percent"], stopping["most_gain_percent"], color="#000000")
        axes.set_xlabel("Concurrent requests R")
        axes.set_ylabel("Below the optimum (%)")
        style.heading(figure, "What would stopping early gain?")
        style.note(figure, "Nine clustered servers. A line: what a bound leaves possible.")
    return figure


def draw_equal_blocks(equal: pd.DataFrame) -> Figure:
    """Excess over the optimum of GSA and CG-BPRR where all servers have equal memory.

    Parameters
    ----------
    equal : DataFrame
        Result of `bprr.offline.experiments.equal_blocks`.
    """
    shown = equal[equal["method"].isin(list(HEURISTICS))]
    groups = list(shown.groupby(["memory_gb", "servers"]))
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 2.5)
        axes = np.atleast_1d(figure.subplots(1, len(groups), sharey=True))
        for panel, ((memory_gb, servers), rows) in zip(axes, groups, strict=True):
            position = style.category_axis(panel, rows["load"])
            for offset, (name, (_, look)) in zip((-0.1, 0.1), HEURISTICS.items(), strict=True):
                found = rows[rows["method"] == name]
                at = found["load"].map(position) + offset
                panel.plot(at, found["above_optimum_percent"], **{**look.line(), "linestyle": ""})
            panel.set_title(f"{servers} servers of {memory_gb:g} GB", loc="left")
            panel.set_xlabel("Concurrent requests R")
        axes[0].set_ylabel("Above the optimum (%)")
        handles = [
            Line2D([], [], label=label, **{**look.line(), "linestyle": ""})
            for label, look in HEURISTICS.values()
        ]
        style.heading(figure, "Servers of equal memory, one client", handles)
        style.note(figure, "One mark per draw of τ ~ U(3, 17) ms and round trips ~ U(50, 200) ms.")
    return figure
