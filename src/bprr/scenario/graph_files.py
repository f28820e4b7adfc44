"""Networks in GML and GraphML, as the Topology Zoo has them, read by networkx."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bprr.ground.errors import InputError
from bprr.ground.files import read_text
from bprr.scenario.network import GeoNetwork, LinkNetwork, linked
from bprr.scenario.topologies import LONGEST_US, US_PER

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["read_graph_file"]

# Attributes of nodes, whatever their case.
LONGITUDE, LATITUDE = ("longitude", "lon", "lng"), ("latitude", "lat")
NAME = ("label", "name", "city")


def read_graph_file(
    path: Path, delay: str | None, delay_unit: str | None, us_per_km: float
) -> LinkNetwork:
    """Network of a ``.gml`` or ``.graphml`` file.

    Parameters
    ----------
    delay : str, optional
        Attribute of the edges that holds their one-way delay; their length if not given.
    delay_unit : str, optional
        Of that attribute: ``us``, ``ms`` or ``s``.
    us_per_km : float
        Delay of a length, where the delay is one (µs/km).

    Raises
    ------
    InputError
        If the file cannot be used; names the edge or node.
    """
    graph = _parsed(path)
    nodes = list(graph.nodes(data=True))
    index = {node: place for place, (node, _) in enumerate(nodes)}
    names = [str(_attribute(said, NAME) or node) for node, said in nodes]
    longitude, latitude = (
        np.array([_degrees(_attribute(said, keys)) for _, said in nodes])
        for keys in (LONGITUDE, LATITUDE)
    )
    fibre = GeoNetwork("", longitude, latitude, us_per_km)
    links: list[tuple[int, int, float]] = []
    for a, b, said in graph.edges(data=True):
        here, there = index[a], index[b]
        if delay is None or delay_unit is None:
            delay_us = float(fibre.rtt_ms(np.array([here]), np.array([there]))[0, 0]) / 2 * 1000
            if not np.isfinite(delay_us):
                lost = names[here if np.isnan(longitude[here] + latitude[here]) else there]
                allowed = "Longitude and Latitude of every node, or network.delay: the attribute"
                raise InputError(path, f"node {lost}", "no place", f"{allowed} with the delay")
        else:
            try:
                delay_us = float(said[delay]) * US_PER[delay_unit]
                if not 0 <= delay_us <= LONGEST_US:
                    raise ValueError
            except (KeyError, TypeError, ValueError):
                allowed = f"a number from 0 to {LONGEST_US / US_PER[delay_unit]:g} {delay_unit}"
                edge = f"edge {names[here]} to {names[there]}: {delay}"
                raise InputError(path, edge, said.get(delay), allowed) from None
        links.append((here, there, delay_us))
        if not graph.is_directed():
            links.append((there, here, delay_us))
    if not links:
        raise InputError(path, "edges", 0, "at least one")
    return linked(path, path.stem, names, (longitude, latitude), links)


def _parsed(path: Path) -> nx.Graph:
    """What networkx reads."""
    import networkx as nx

    text = read_text(path, "GML or GraphML file").lstrip("\ufeff")
    try:
        if path.suffix.lower() == ".graphml":
            if "<!ENTITY" in text:  # of which a few lines can unfold to gigabytes
                raise ValueError("XML entities")
            return nx.parse_graphml(text)
        if "multigraph" not in text:  # the Topology Zoo has parallel links and does not say so
            text = re.sub(r"graph\s*\[", "graph [ multigraph 1", text, count=1)
        return nx.parse_gml(text, label="id")
    except Exception as error:  # networkx raises what its parsers happen to meet
        said = " ".join(str(error).split()) or type(error).__name__
        raise InputError(path, "file", said, "a GML (.gml) or GraphML (.graphml) file") from None


def _attribute(said: dict[str, Any], keys: tuple[str, ...]) -> Any:
    """First of the attributes that is there."""
    lower = {str(key).lower(): value for key, value in said.items()}
    return next((lower[key] for key in keys if lower.get(key) not in (None, "")), None)


def _degrees(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
