"""Where the gain comes from: the steps from the baseline to the compared method add up to it.

For the paper's servers, and for every model of how servers compute (docs/service.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from bprr.figures import style
from bprr.figures.caption import Caption, StudyCaption
from bprr.figures.service_answer import model_label
from bprr.ground.errors import InputError
from bprr.ground.results import DECOMPOSITION
from bprr.ground.tables import read_csv

__all__ = ["draw_decomposition", "draw_decomposition_by_service", "plot_decomposition"]

# Steps in their order; hatches tell them apart without colour. Both repeat, out of step.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#8C8C8C")
HATCHES = ("", "//", "..", "xx", "", "--")
EDGE: dict[str, Any] = {"edgecolor": "white", "linewidth": 0.4}
TOTAL: dict[str, Any] = {
    "linestyle": "", "marker": "D", "color": "black", "markersize": 4, "zorder": 4,
}  # fmt: skip


def draw_decomposition(table: pd.DataFrame, caption: Caption) -> Figure:
    """A panel per variant of the delays, a bar per network and rate, a part per step.

    The table is that of `bprr.report.discrepancies.decomposition`.
    """
    table = table[table["order"] == table["order"].iloc[0]]
    faces = _faces(table)
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
                if parts["share"].isna().any():
                    axes.text(place, 0, " no run is feasible", rotation=90, ha="center", fontsize=6)
                for color, hatch, foot, share in _stacked(parts, faces):
                    look = {"color": color, "hatch": hatch, **EDGE}
                    axes.bar(place, share, bottom=foot, width=0.7, **look)
                axes.plot(place, parts["ratio"].iloc[-1] - 1, **TOTAL)
            names = [f"{caption.topology(name)}\nλ = {x:g}/s" for (name, x), _ in groups]
            axes.set_xticks(np.arange(len(groups)), names, rotation=90)
            axes.use_sticky_edges = False
            axes.margins(y=0.06)
            axes.axhline(0, color="black", linewidth=0.8)
            axes.grid(axis="x", visible=False)
            axes.set_title(caption.delays(variant), loc="left", fontweight="bold")
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        grid[0].set_ylabel(f"Change of the time per token,\nrelative to {baseline}")
        style.heading(figure, "Where the gain comes from", _handles(faces), columns=5)
        style.note(
            figure,
            f"Each part: the change by one step, {table['order'].iloc[0]}. Diamond: all steps, "
            f"from {baseline} to {method}. Below zero: faster.\nPanels have scales of their own. "
            "The size of a part depends on the order of the steps, their sum does not.",
        )
    return figure


def _faces(table: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Colour and hatch of every step."""
    steps = list(dict.fromkeys(table["step"]))
    return dict(zip(steps, zip(cycle(COLORS), cycle(HATCHES), strict=True), strict=False))


def _handles(faces: Mapping[str, tuple[str, str]]) -> list[Patch]:
    return [
        Patch(facecolor=color, hatch=hatch, edgecolor="white", label=name)
        for name, (color, hatch) in faces.items()
    ]


def _stacked(
    parts: pd.DataFrame, faces: Mapping[str, tuple[str, str]]
) -> Iterator[tuple[str, str, float, float]]:
    """Colour, hatch, foot and size of the parts of a bar; slower ones on the other side."""
    foot = {"up": 0.0, "down": 0.0}
    for part in parts.dropna(subset="share").to_dict("records"):
        way = "up" if part["share"] > 0 else "down"
        yield *faces[part["step"]], foot[way], part["share"]
        foot[way] += part["share"]


def draw_decomposition_by_service(table: pd.DataFrame, study: StudyCaption, x: float) -> Figure:
    """A panel per variant of the delays and network, a bar per model of how servers compute.

    The table is that of `bprr.report.by_service.decomposition_by_service`; shown at one rate.
    """
    table = table[(table["order"] == table["order"].iloc[0]) & np.isclose(table["x"], x)]
    faces, model = _faces(table), ["service", "service_order", "belief"]
    shown = set(table["allocation_delays"])
    variants = [name for name in study.variants if name in shown]
    networks = [name for name in study.topologies if name in set(table["topology"])]
    models = list(table[model].drop_duplicates().itertuples(index=False, name=None))
    method, baseline = study.pair
    with style.applied():
        height_in = 1.2 + len(variants) * (0.5 + 0.28 * len(models))
        figure = style.new_figure(style.TEXT_IN, height_in)
        grid = figure.subplots(len(variants), len(networks), sharey=True, squeeze=False)
        for line, variant in zip(grid, variants, strict=True):
            for axes, network in zip(line, networks, strict=True):
                here = (table["allocation_delays"] == variant) & (table["topology"] == network)
                for place, each in enumerate(models):
                    parts = table[here & (table[model] == list(each)).all(axis=1)]
                    for color, hatch, foot, share in _stacked(parts, faces):
                        look = {"color": color, "hatch": hatch, **EDGE}
                        axes.barh(place, share, left=foot, height=0.7, **look)
                    if len(parts):
                        axes.plot(parts["ratio"].iloc[-1] - 1, place, **TOTAL)
                axes.use_sticky_edges = False
                axes.margins(x=0.06)
                axes.axvline(0, color="black", linewidth=0.8)
                axes.grid(axis="y", visible=False)
                axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
                axes.xaxis.set_major_locator(MaxNLocator(4))
                axes.set_title(study.topology(network), loc="right")
            line[0].set_title(f"{study.variants[variant].label}\n", loc="left", fontweight="bold")
            labels = [
                model_label((*each, ""), study).replace("an overdue", "overdue") for each in models
            ]
            line[0].set_yticks(range(len(models)), [text.strip() for text in labels], fontsize=6)
            line[0].set_ylim(len(models) - 0.4, -0.6)
        style.heading(
            figure, "Where the gain comes from, by how servers compute", _handles(faces), columns=5
        )
        style.note(
            figure,
            f"At λ = {x:g}/s. Each part: the change of the time per token by one step, relative to "
            f"{baseline} on the same servers; {table['order'].iloc[0]}.\nDiamond: all steps, from "
            f"{baseline} to {method}. Left of zero: faster. Panels have scales of their own.\nRuns "
            "are as short as the paper’s, and overloaded at most points where servers have queues.",
        )
    return figure


def plot_decomposition(decomposition_csv: Path, caption: StudyCaption, stem: Path) -> list[Path]:
    """Make the figure of the decomposition: CSV, PDF and PNG; of one by service at all models."""
    table = read_csv(decomposition_csv, DECOMPOSITION)
    made = set(table["allocation_delays"])
    if not made & set(caption.variants):
        allowed = ", ".join(caption.variants)
        raise InputError(decomposition_csv, "allocation_delays", ", ".join(sorted(made)), allowed)
    if "service" in table:
        named = table.fillna({"service_order": "", "belief": ""})
        figure = draw_decomposition_by_service(named, caption, float(table["x"].max()))
        return style.save(figure, table, stem)
    return style.save(draw_decomposition(table, caption), table, stem)
