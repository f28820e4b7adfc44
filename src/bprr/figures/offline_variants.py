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
        figure = style.new_figure(style.TEXT_IN, 2.5)
        axes = figure.subplots()
        style.number_axis(axes, stopping["load"], "Concurrent requests R", 6.5)
        at = stopping["load"]
        bars = axes.bar(at, stopping["gain_percent"], width=0.35, color="#0072B2")
        axes.set_ylim(0, 1.15 * max(0.1, stopping["most_gain_percent"].max()))
        axes.bar_label(bars, fmt="%.2f", padding=2)  # so that no gain is not taken for no result
        axes.vlines(at, stopping["gain_percent"], stopping["most_gain_percent"], color="#000000")
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
            style.number_axis(panel, rows["load"], "Concurrent requests R", 2.0)
            beside = style.dodged(panel.transData, panel, list(HEURISTICS), step_pt=7.0)
            for name, (_, look) in HEURISTICS.items():
                found = rows[rows["method"] == name]
                marks = {**look.line(), "linestyle": "", "transform": beside[name]}
                panel.plot(found["load"], found["above_optimum_percent"], **marks)
                style.include(panel, found["load"], found["above_optimum_percent"])
            panel.set_title(f"{servers} servers of {memory_gb:g} GB", loc="left")
        axes[0].set_ylabel("Above the optimum (%)")
        handles = [
            Line2D([], [], label=label, **{**look.line(), "linestyle": ""})
            for label, look in HEURISTICS.values()
        ]
        style.heading(figure, "Servers of equal memory, one client", handles)
        style.note(figure, "One mark per draw of τ ~ U(3, 17) ms and round trips ~ U(50, 200) ms.")
    return figure
