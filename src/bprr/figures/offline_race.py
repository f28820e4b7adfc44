"""Gap over time of both formulations on every solver (experiment c)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bprr.figures import style

__all__ = ["draw_race"]

SOLVERS = {
    "highs": ("HiGHS", "#0072B2"),
    "cbc": ("CBC", "#D55E00"),
    "gurobi": ("Gurobi", "#009E73"),
    "scip": ("SCIP", "#CC79A7"),
}
FORMULATIONS: dict[str, tuple[str, Any]] = {
    "strong": ("strong formulation", "-"),
    "paper": ("paper's MILP (13)", (0, (4, 1.6))),
}
LEAST_S, LEAST_PERCENT = 0.01, 1e-2  # the axes' ends; a proven optimum lies on the lower one


def draw_race(race: pd.DataFrame) -> Figure:
    """One panel per instance: relative gap against time, both logarithmic.

    Parameters
    ----------
    race : DataFrame
        Result of `bprr.offline.experiments.solver_race`.
    """
    cases = list(race.groupby(["family", "servers", "clients", "load"], sort=False))
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 2.9)
        axes = np.atleast_1d(figure.subplots(1, len(cases), sharey=True))
        for panel, ((family, _, clients, load), rows) in zip(axes, cases, strict=True):
            draw_gaps(panel, rows)
            panel.set_title(
                f"{family}\nR = {load}, clients: {clients}",
                loc="left",
            )
            panel.set_xlabel("Seconds")
        axes[0].set_ylabel("Gap to the bound (%)")
        handles = [
            Line2D([], [], color=color, label=label)
            for solver, (label, color) in SOLVERS.items()
            if solver in set(race["solver"])
        ]
        handles += [
            Line2D([], [], color=style.REFERENCE_COLOR, linestyle=line, label=label)
            for label, line in FORMULATIONS.values()
        ]
        style.heading(figure, "Time to a proven optimum, nine servers", handles, columns=6)
        style.note(
            figure,
            "A run ends with a dot where it is proven optimal (gap below 0.01 %), with a cross "
            "elsewhere. Gurobi: only what its size-limited licence covers.",
        )
    return figure


def draw_gaps(panel: Axes, rows: pd.DataFrame) -> None:
    """Gap over time of every run on one instance."""
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_ylim(LEAST_PERCENT * 0.7, 150)
    for (solver, formulation), run in rows.groupby(["solver", "formulation"], sort=False):
        last = run.iloc[-1]
        if last["status"] == "licence":
            continue
        _, color = SOLVERS[str(solver)]
        _, line = FORMULATIONS[str(formulation)]
        seconds = run["seconds"].clip(lower=LEAST_S)
        gap = (100 * run["gap"].fillna(1.0)).clip(LEAST_PERCENT, 100.0)
        panel.plot(seconds, gap, color=color, linestyle=line, drawstyle="steps-post", linewidth=1)
        mark = "o" if last["status"] == "optimal" else "x"
        panel.plot(seconds.iloc[-1], gap.iloc[-1], mark, color=color, markersize=4)
