"""Map of a swarm: servers on the network, the blocks they host, the chains in use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bprr.figures import style
from bprr.figures.labels import topology_label
from bprr.scenario.draw import Instance, draw
from bprr.scenario.network import LinkNetwork
from bprr.settings.configuration import Settings, load_scenario
from bprr.study.sweep import MethodRunner, catalogue

__all__ = ["draw_map", "plot_map", "swarm_table"]

METHODS = ("petals", "proposed")
LOOKS = (("#0072B2", "s", 36), ("#E69F00", "o", 16), ("#009E73", "^", 22), ("#CC79A7", "D", 18))
IN_USE = "#D55E00"


def swarm_table(settings: Settings, topology: str) -> tuple[pd.DataFrame, Instance]:
    """Servers of the first draw of the scattered scenario under both methods.

    Returns
    -------
    table : DataFrame
        One row per method and server: ``node``, ``device``, ``longitude_deg``, ``latitude_deg``,
        ``first_block``, ``blocks``, and ``share``, the share of the requests it serves.
    instance : Instance
        The draw.
    """
    path = settings.scenario_dir / "scattered.yaml"
    scenario = load_scenario(path, settings.topologies[topology])
    profiles = catalogue(settings)
    instance = draw(scenario, profiles, settings.seed, 0)
    runner, nodes = MethodRunner(instance, profiles), instance.server_node
    tables = []
    for name in METHODS:
        records, placement = runner.run(settings.methods[name], 0.0)
        served = np.bincount(records.chain_server, minlength=len(nodes)) / len(records)
        tables.append(
            pd.DataFrame(
                {
                    "method": name,
                    "server": np.arange(len(nodes)),
                    "node": nodes,
                    "device": list(instance.swarm.device),
                    "longitude_deg": instance.network.longitude_deg[nodes],
                    "latitude_deg": instance.network.latitude_deg[nodes],
                    "first_block": placement.first_block,
                    "blocks": placement.blocks,
                    "share": served,
                }
            )
        )
    return pd.concat(tables, ignore_index=True), instance


def draw_map(table: pd.DataFrame, instance: Instance, settings: Settings, topology: str) -> Figure:
    """A row per method: the network with the chains in use, and the blocks of every server.

    Parameters
    ----------
    table, instance
        From `swarm_table`.
    """
    devices = list(dict.fromkeys(sorted(table["device"])))
    looks = dict(zip(devices, LOOKS, strict=False))
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 7.2)
        grid = figure.subplots(len(METHODS), 2, width_ratios=(1.25, 1))
        for (place, blocks), name in zip(grid, METHODS, strict=True):
            rows = table[table["method"] == name]
            _network(place, rows, instance, looks)
            _blocks(blocks, rows, instance.swarm.model.blocks, looks)
            place.set_title(settings.methods[name].label, loc="left", fontweight="bold")
        grid[-1, 1].set_xlabel("Block")
        handles = [
            Line2D([], [], linestyle="", color=color, marker=marker, label=device)
            for device, (color, marker, _) in looks.items()
        ]
        handles += [
            Line2D([], [], linestyle="", color="black", marker="*", markersize=9, label="client"),
            Line2D([], [], color=IN_USE, linewidth=2, label="in use (width: share of requests)"),
        ]
        style.heading(figure, f"The swarm on {topology_label(topology)}", handles)
        style.note(
            figure,
            f"First draw of the scattered scenario, {instance.swarm.servers} servers, "
            f"{len(instance.workload)} requests at {instance.rate_per_s:g}/s, without allocation "
            "delays. Left: network and servers (not to scale);\nright: blocks that each server "
            "hosts, a row per server, pale where no request uses it. Clients talk to every server "
            "of a chain themselves.",
        )
    return figure


def _network(
    axes: Axes, rows: pd.DataFrame, instance: Instance, looks: dict[str, tuple[str, str, int]]
) -> None:
    network = instance.network
    east, north = network.longitude_deg, network.latitude_deg
    for one, other in network.links if isinstance(network, LinkNetwork) else ():
        ends = [one, other]
        axes.plot(east[ends], north[ends], color="#DDDDDD", linewidth=0.6, zorder=1)
    axes.plot(east, north, ".", color="#BBBBBB", markersize=2, zorder=2)
    client = instance.client_node[0]
    for server in rows[rows["share"] > 0].to_dict("records"):
        legs = ([east[client], server["longitude_deg"]], [north[client], server["latitude_deg"]])
        axes.plot(*legs, color=IN_USE, alpha=0.75, linewidth=0.5 + 2 * server["share"], zorder=3)
    for device, (color, marker, size) in looks.items():
        own = rows[rows["device"] == device]
        axes.scatter(
            own["longitude_deg"], own["latitude_deg"], s=size, color=color, marker=marker, zorder=4,
            edgecolor="white", linewidth=0.4,
        )  # fmt: skip
    axes.plot(east[client], north[client], "*", color="black", markersize=10, zorder=5)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)


def _blocks(
    axes: Axes, rows: pd.DataFrame, total: int, looks: dict[str, tuple[str, str, int]]
) -> None:
    ordered = rows.sort_values(["first_block", "blocks"], ascending=[True, False])
    for place, server in enumerate(ordered.to_dict("records")):
        color = looks[server["device"]][0]
        pale = 1.0 if server["share"] > 0 else 0.3
        left = server["first_block"] - 0.5
        axes.barh(place, server["blocks"], left=left, color=color, alpha=pale, height=0.75)
    axes.set(xlim=(0.5, total + 0.5), ylim=(len(ordered) - 0.3, -0.7), yticks=[])
    axes.set_ylabel(f"{len(ordered)} servers")
    axes.grid(axis="y", visible=False)


def plot_map(settings: Settings, topology: str, stem: Path) -> list[Path]:
    """Make the map of a swarm.

    Returns
    -------
    list of Path
        CSV, PDF and PNG.
    """
    table, instance = swarm_table(settings, topology)
    return style.save(draw_map(table, instance, settings, topology), table, stem)
