"""Where the gain comes from: the steps from the baseline to the compared method add up to it."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from bprr.figures import style
from bprr.figures.caption import Caption
from bprr.ground.errors import InputError
from bprr.ground.results import DECOMPOSITION
from bprr.ground.tables import read_csv

__all__ = ["draw_decomposition", "plot_decomposition"]

# Steps in their order; hatches tell them apart without colour. Both repeat, out of step.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#8C8C8C")
HATCHES = ("", "//", "..", "xx", "", "--")


def draw_decomposition(table: pd.DataFrame, caption: Caption) -> Figure:
    """A panel per variant of the delays, a bar per network and rate, a part per step.

    The table is that of `bprr.report.discrepancies.decomposition`.
    """
    table = table[table["order"] == table["order"].iloc[0]]
    steps = list(dict.fromkeys(table["step"]))
    faces = dict(zip(steps, zip(cycle(COLORS), cycle(HATCHES), strict=True), strict=False))
    shown = set(table["allocation_delays"])
    variants = [name for name in caption.variants if name in shown]
    method, baseline = caption.pair
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 4.2)
        grid = figure.subplots(1, len(variants), squeeze=False)[0]
        for axes, variant in zip(grid, variants, strict=True):
            rows = table[table["allocation_delays"] == variant]
            groups = list(rows.groupby(["topology", "x"], sort=False))
            for place, (_, parts) in enumerate(groups):
                foot = {"up": 0.0, "down": 0.0}
                if parts["share"].isna().any():
                    axes.text(place, 0, " no run is feasible", rotation=90, ha="center", fontsize=6)
                for part in parts.dropna(subset="share").to_dict("records"):
                    way = "up" if part["share"] > 0 else "down"
                    color, hatch = faces[part["step"]]
                    axes.bar(
                        place, part["share"], bottom=foot[way], color=color, hatch=hatch, width=0.7,
                        edgecolor="white", linewidth=0.4,
                    )  # fmt: skip
                    foot[way] += part["share"]
                axes.plot(
                    place, parts["ratio"].iloc[-1] - 1, "D", color="black", markersize=4, zorder=4
                )
            names = [f"{caption.topology(name)}\nλ = {x:g}/s" for (name, x), _ in groups]
            axes.set_xticks(np.arange(len(groups)), names, rotation=90)
            axes.use_sticky_edges = False
            axes.margins(y=0.06)
            axes.axhline(0, color="black", linewidth=0.8)
            axes.grid(axis="x", visible=False)
            axes.set_title(caption.delays(variant), loc="left", fontweight="bold")
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        grid[0].set_ylabel(f"Change of the time per token,\nrelative to {baseline}")
        handles = [
            Patch(facecolor=color, hatch=hatch, edgecolor="white", label=name)
            for name, (color, hatch) in faces.items()
        ]
        style.heading(figure, "Where the gain comes from", handles, columns=5)
        style.note(
            figure,
            f"Each part: the change by one step, {table['order'].iloc[0]}. Diamond: all steps, "
            f"from {baseline} to {method}. Below zero: faster.\nPanels have scales of their own. "
            "The size of a part depends on the order of the steps, their sum does not.",
        )
    return figure


def plot_decomposition(decomposition_csv: Path, caption: Caption, stem: Path) -> list[Path]:
    """Make the figure of the decomposition: CSV, PDF and PNG."""
    table = read_csv(decomposition_csv, DECOMPOSITION)
    made = set(table["allocation_delays"])
    if not made & set(caption.variants):
        allowed = ", ".join(caption.variants)
        raise InputError(decomposition_csv, "allocation_delays", ", ".join(sorted(made)), allowed)
    return style.save(draw_decomposition(table, caption), table, stem)
