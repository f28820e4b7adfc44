"""Map of a swarm: servers on the network, the blocks they host, the chains in use."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bprr.figures import style
from bprr.figures.caption import Caption
from bprr.study.swarm_view import SwarmView

__all__ = ["draw_map", "plot_map"]

# Colour, marker and its area per device, in turn; colours and markers repeat out of step.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
MARKERS = (("s", 36), ("o", 16), ("^", 22), ("D", 18))
IN_USE = "#D55E00"
SMALL = 6

Looks = Mapping[str, tuple[str, tuple[str, int]]]


def draw_map(view: SwarmView, caption: Caption, topology: str) -> Figure:
    """A row per method: the network with the chains in use, and the blocks of every server."""
    table = view.servers
    methods = list(dict.fromkeys(table["method"]))
    endless = zip(cycle(COLORS), cycle(MARKERS), strict=True)
    looks: Looks = dict(zip(sorted(set(table["device"])), endless, strict=False))
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 3.6 * len(methods))
        grid = figure.subplots(len(methods), 2, width_ratios=(1.25, 1), squeeze=False)
        for (place, blocks), name in zip(grid, methods, strict=True):
            rows = table[table["method"] == name]
            _network(place, rows, view, looks)
            _blocks(blocks, rows, view.blocks, looks)
            place.set_title(caption.methods[name], loc="left", fontweight="bold")
        grid[-1, 0].set(xlabel="Longitude (°)")
        grid[-1, 1].set_xlabel("Block")
        handles = [
            Line2D([], [], linestyle="", color=color, marker=marker, label=device)
            for device, (color, (marker, _)) in looks.items()
        ]
        handles += [
            Line2D([], [], linestyle="", color="black", marker="*", markersize=9, label="client"),
            Line2D([], [], color=IN_USE, linewidth=2, label="in use (width: share of requests)"),
        ]
        style.heading(figure, f"The swarm on {caption.topology(topology)}", handles)
        style.note(
            figure,
            f"One draw: {table['server'].nunique()} servers, {view.requests} requests at "
            f"{view.rate_per_s:g}/s, without allocation delays. Left: network, and servers by "
            "number; right: the blocks that\neach server hosts, and the share of the requests "
            "that it serves, pale where none. Clients talk to every server of a chain themselves.",
        )
    return figure


def _network(axes: Axes, rows: pd.DataFrame, view: SwarmView, looks: Looks) -> None:
    east, north, client = view.longitude_deg, view.latitude_deg, view.client_node
    for one, other in view.links:
        ends = [one, other]
        axes.plot(east[ends], north[ends], color="#DDDDDD", linewidth=0.6, zorder=1)
    axes.plot(east, north, ".", color="#BBBBBB", markersize=2, zorder=2)
    for server in rows[rows["share"] > 0].to_dict("records"):
        legs = ([east[client], server["longitude_deg"]], [north[client], server["latitude_deg"]])
        axes.plot(*legs, color=IN_USE, alpha=0.75, linewidth=0.5 + 2 * server["share"], zorder=3)
    for device, (color, (marker, size)) in looks.items():
        own = rows[rows["device"] == device]
        axes.scatter(
            own["longitude_deg"], own["latitude_deg"], s=size, color=color, marker=marker, zorder=4,
            edgecolor="white", linewidth=0.4,
        )  # fmt: skip
    axes.plot(east[client], north[client], "*", color="black", markersize=10, zorder=5)
    for (longitude, latitude), here in rows.groupby(["longitude_deg", "latitude_deg"]):
        axes.annotate(
            ", ".join(map(str, here["server"])), (longitude, latitude), (4, 4), fontsize=SMALL,
            textcoords="offset points", zorder=6,
        )  # fmt: skip
    axes.set_ylabel("Latitude (°)")
    axes.grid(visible=False)


def _blocks(axes: Axes, rows: pd.DataFrame, total: int, looks: Looks) -> None:
    ordered = rows.sort_values(["first_block", "blocks"], ascending=[True, False])
    for place, server in enumerate(ordered.to_dict("records")):
        color = looks[server["device"]][0]
        pale = 1.0 if server["share"] > 0 else 0.3
        left = server["first_block"] - 0.5
        axes.barh(place, server["blocks"], left=left, color=color, alpha=pale, height=0.75)
        share = f"{100 * server['share']:.0f} %" if server["share"] > 0 else ""
        axes.text(total + 1.5, place, share, fontsize=SMALL, va="center")
    axes.set(xlim=(0.5, total + 0.5), ylim=(len(ordered) - 0.3, -0.7))
    names = [f"server {number}" for number in ordered["server"]]
    axes.set_yticks(range(len(ordered)), names, fontsize=SMALL)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)


def plot_map(view: SwarmView, caption: Caption, topology: str, stem: Path) -> list[Path]:
    """Make the map of a swarm: CSV, PDF and PNG."""
    return style.save(draw_map(view, caption, topology), view.servers, stem)
