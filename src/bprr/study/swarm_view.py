"""One draw of a swarm under several methods, as a map shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bprr.ground.errors import InputError
from bprr.scenario.draw import draw
from bprr.scenario.network import LinkNetwork
from bprr.settings.configuration import Settings
from bprr.study.method import MethodRunner
from bprr.study.points import catalogue, sweep_points

__all__ = ["SwarmView", "view_swarm"]


@dataclass(frozen=True)
class SwarmView:
    """Servers, network and load of a draw.

    Parameters
    ----------
    servers : DataFrame
        One row per method and server: ``node``, ``device``, ``longitude_deg``, ``latitude_deg``,
        ``first_block``, ``blocks``, and ``share``, the share of the requests it serves.
    longitude_deg, latitude_deg : ndarray, shape (nodes,)
        Places of the network's nodes.
    links : sequence of (int, int)
        Nodes that a link joins, where the network has links.
    client_node : int
        Node of the first client.
    blocks, requests, rate_per_s
        Blocks of the model; load of the draw.
    """

    servers: pd.DataFrame
    longitude_deg: np.ndarray
    latitude_deg: np.ndarray
    links: Sequence[tuple[int, int]]
    client_node: int
    blocks: int
    requests: int
    rate_per_s: float


def view_swarm(
    settings: Settings, sweep: str, topology: str, x: float, methods: Sequence[str]
) -> SwarmView:
    """First draw of a point of a sweep under some of its methods, without allocation delays.

    Raises
    ------
    InputError
        If the sweep has no such point or method.
    """
    points = {point.x: point for point in sweep_points(settings, sweep, topology)}
    if x not in points:
        raise InputError(f"sweep {sweep}", "x", x, ", ".join(f"{value:g}" for value in points))
    point = points[x]
    instance = draw(point.scenario, catalogue(settings), settings.seed, 0)
    runner, nodes, network = MethodRunner(instance), instance.server_node, instance.network
    tables = []
    for name in methods:
        if name not in point.methods:
            raise InputError(f"sweep {sweep}", "method", name, ", ".join(point.methods))
        records, placement = runner.run(point.methods[name], 0.0)
        served = np.bincount(records.chain_server, minlength=len(nodes)) / len(records)
        columns = {
            "method": name,
            "server": np.arange(len(nodes)),
            "node": nodes,
            "device": list(instance.swarm.device),
            "longitude_deg": network.longitude_deg[nodes],
            "latitude_deg": network.latitude_deg[nodes],
            "first_block": placement.first_block,
            "blocks": placement.blocks,
            "share": served,
        }
        tables.append(pd.DataFrame(columns))
    return SwarmView(
        servers=pd.concat(tables, ignore_index=True),
        longitude_deg=network.longitude_deg,
        latitude_deg=network.latitude_deg,
        links=network.links if isinstance(network, LinkNetwork) else (),
        client_node=int(instance.client_node[0]),
        blocks=instance.swarm.model.blocks,
        requests=len(instance.workload),
        rate_per_s=instance.rate_per_s,
    )
