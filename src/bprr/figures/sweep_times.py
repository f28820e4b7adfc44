"""Running time of the algorithms at every point of the paper's figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bprr.figures import style
from bprr.figures.caption import StudyCaption
from bprr.ground.results import SWEEPS_TIMED
from bprr.ground.tables import read_table

__all__ = ["draw_sweep_times", "plot_sweep_times", "sweep_times_table"]

POINT = ["figure", "topology", "x", "method"]
QUARTILES = {"q25": 0.25, "median": 0.5, "q75": 0.75}


def sweep_times_table(times: pd.DataFrame) -> pd.DataFrame:
    """Median and quartiles over draws of `bprr.study.timing.running_times_of_sweeps` (s).

    Returns
    -------
    DataFrame
        A row per point and method: ``servers``, ``requests``, ``repeats``, and for
        ``placement_s``, ``routing_s_per_request`` and ``total_s`` the median and, suffixed
        ``_q25`` and ``_q75``, the quartiles.
    """
    grouped = times.groupby(POINT, sort=False)
    table = grouped.agg(
        servers=("servers", "first"), requests=("requests", "median"), repeats=("repeat", "size")
    )
    for column in ("placement_s", "routing_s_per_request", "total_s"):
        for name, share in QUARTILES.items():
            suffix = "" if name == "median" else f"_{name}"
            table[column + suffix] = grouped[column].quantile(share)
    return table.reset_index()


def draw_sweep_times(table: pd.DataFrame, study: StudyCaption) -> Figure:
    """Draw a `sweep_times_table`: a row per sweep, a panel per network."""
    sweeps = [study.sweeps[name] for name in dict.fromkeys(table["figure"])]
    networks = [name for name in study.topologies if name in set(table["topology"])]
    methods = [name for name in study.methods if name in set(table["method"])]
    looks = style.method_styles(methods)
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 1.3 + 1.6 * len(sweeps))
        grid = figure.subplots(len(sweeps), len(networks), sharey=True, squeeze=False)
        for line, sweep in zip(grid, sweeps, strict=True):
            for axes, network in zip(line, networks, strict=True):
                own = table[table["figure"].eq(sweep.name) & table["topology"].eq(network)]
                if own.empty:
                    axes.set_axis_off()
                    continue
                _panel(axes, own, looks)
                style.number_axis(axes, own["x"], sweep.x_label, 6.3 / len(networks))
            line[0].set_title(sweep.paper or sweep.title, loc="left", fontweight="bold")
            line[0].set_ylabel("Time (ms)")
        for axes, network in zip(grid[0], networks, strict=True):
            axes.set_title(study.topology(network), loc="right")
        style.log_axis(grid[0, 0])
        handles = [
            Line2D([], [], label=study.methods[name], **looks[name].line()) for name in methods
        ]
        style.heading(figure, "Running time of the algorithms", handles)
        style.note(
            figure,
            f"Choice of the design load, placement, and one routing decision per request, in all. "
            f"Medians of {table['repeats'].max()} draws, bars: quartiles.\nVertical axes are "
            "logarithmic. Compiled kernels, warm; the published times are those of MATLAB.",
        )
    return figure


def _panel(axes: Axes, own: pd.DataFrame, looks: dict[str, style.MethodStyle]) -> None:
    beside = style.dodged(axes.transData, axes, list(looks), step_pt=1.4)
    for name, look in looks.items():
        rows = own[own["method"] == name].sort_values("x")
        if rows.empty:
            continue
        low, middle, high = (1e3 * rows[f"total_s{end}"] for end in ("_q25", "", "_q75"))
        axes.errorbar(
            rows["x"], middle, yerr=np.vstack([middle - low, high - middle]), **look.line(),
            markersize=3.4,
            elinewidth=0.9, capsize=1.8, transform=beside[name],
        )  # fmt: skip
        style.include(axes, rows["x"], low, high)


def plot_sweep_times(timing_parquet: Path, study: StudyCaption, stem: Path) -> list[Path]:
    """Make the figure from ``results/timing/sweeps.parquet``: CSV, PDF and PNG."""
    table = sweep_times_table(read_table(timing_parquet, SWEEPS_TIMED))
    return style.save(draw_sweep_times(table, study), table, stem)
