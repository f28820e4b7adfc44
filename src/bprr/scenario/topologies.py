"""Networks of links, from files and packages of others."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bprr.ground.errors import InputError
from bprr.ground.files import read_text
from bprr.ground.swarm import FloatArray
from bprr.ground.tables import NUMBER, TEXT, Schema, read_csv
from bprr.scenario.network import FIBRE_US_PER_KM, GeoNetwork, LinkNetwork, linked

__all__ = ["Graph", "did_you_mean", "read_graph", "read_repetita", "read_tables", "read_topohub"]

LONGEST_US = 1e10  # of one link; as long as any delay of a configuration
US_PER = {"us": 1.0, "ms": 1e3, "s": 1e6}

NODES = Schema(
    "nodes of a network",
    {
        "node": TEXT,
        "city": TEXT.with_gaps,
        "longitude_deg": NUMBER.with_gaps,
        "latitude_deg": NUMBER.with_gaps,
    },
)
LINKS = Schema("links of a network", {"node_a": TEXT, "node_b": TEXT, "delay_us": NUMBER})


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Beginning of a message, if a known name is close."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]}? " if close else ""


def read_tables(folder: Path, name: str) -> LinkNetwork:
    """Network of ``<name>.nodes.csv`` and ``<name>.links.csv`` (see ``data/topologies``)."""
    nodes_file, links_file = folder / f"{name}.nodes.csv", folder / f"{name}.links.csv"
    if not nodes_file.exists():
        known = sorted(path.name.split(".")[0] for path in folder.glob("*.nodes.csv"))
        listed = ", ".join(known) or "a file NAME.nodes.csv"
        raise InputError(folder, "network.name", name, did_you_mean(name, known) + listed)
    nodes, links = read_csv(nodes_file, NODES), read_csv(links_file, LINKS)
    index: dict[str, int] = {}
    for line, node in enumerate(nodes["node"], start=2):
        if node in index:
            raise InputError(nodes_file, f"node (line {line})", node, "each node once")
        index[node] = len(index)
    pairs = []
    for line, (a, b, delay_us) in enumerate(
        zip(links["node_a"], links["node_b"], links["delay_us"], strict=True), start=2
    ):
        for key, node in (("node_a", a), ("node_b", b)):
            if node not in index:
                raise InputError(
                    links_file, f"{key} (line {line})", node, f"a node of {nodes_file}"
                )
        if not 0 <= delay_us <= LONGEST_US:
            allowed = f"a number from 0 to {LONGEST_US:g} µs"
            raise InputError(links_file, f"delay_us (line {line})", delay_us, allowed)
        here, there = index[a], index[b]
        pairs += [(here, there, float(delay_us)), (there, here, float(delay_us))]
    places = tuple(nodes[axis].to_numpy(dtype=float) for axis in ("longitude_deg", "latitude_deg"))
    names = nodes["city"].fillna("").tolist()
    network = linked(links_file, name, names, (places[0], places[1]), pairs)
    return replace(network, links=network.links[::2])


class Graph(NamedTuple):
    """What a REPETITA file says: nodes with their places, directed links with delays (µs)."""

    names: list[str]
    longitude_deg: FloatArray
    latitude_deg: FloatArray
    links: list[tuple[int, int, float]]


def read_graph(path: Path, delay_unit: str = "us") -> Graph:
    """Content of a REPETITA ``.graph`` file; columns of its links by the header.

    Raises
    ------
    InputError
        If the file cannot be used; names the line.
    """
    lines = read_text(path, "REPETITA .graph file").splitlines()
    nodes: list[tuple[str, float, float]] = []
    links: list[tuple[int, int, float]] = []
    announced: dict[str, int] = {}
    section, delay_column = "", -1
    for number, words in enumerate(map(str.split, lines), start=1):
        if not words:
            continue
        if words[0] == "label":
            if section == "EDGES" and "delay" in words:
                delay_column = words.index("delay")
            continue
        try:
            if words[0] in ("NODES", "EDGES"):
                section = words[0]
                announced[section] = int(words[1])
            elif section == "NODES":
                nodes.append((words[0], float(words[1]), float(words[2])))
            elif section == "EDGES":
                a, b = int(words[1]), int(words[2])
                delay_us = float(words[delay_column]) * US_PER[delay_unit]
                known = 0 <= a < len(nodes) and 0 <= b < len(nodes)
                if not (known and 0 <= delay_us <= LONGEST_US):
                    raise ValueError
                links.append((a, b, delay_us))
            else:
                raise ValueError
        except (IndexError, ValueError):
            allowed = (
                "NODES n: label x y; EDGES m: label src dest … delay, "
                f"delay in {delay_unit}, from 0 to {LONGEST_US / US_PER[delay_unit]:g}"
            )
            raise InputError(path, f"line {number}", " ".join(words), allowed) from None
    if not nodes or not links:
        raise InputError(path, "file", f"{len(nodes)} nodes, {len(links)} edges", "both sections")
    for name, found in (("NODES", nodes), ("EDGES", links)):
        if announced[name] != len(found):
            allowed = f"the number of lines that follow, {len(found)}"
            raise InputError(path, name, announced[name], allowed)
    names, longitude, latitude = zip(*nodes, strict=True)
    return Graph(list(names), np.array(longitude), np.array(latitude), links)


def read_repetita(path: Path, delay_unit: str = "us") -> LinkNetwork:
    """Network of a REPETITA ``.graph`` file (nodes with places; directed edges).

    Parameters
    ----------
    delay_unit : str
        ``us``, as the format says, or ``ms``, as some of its files seem to have it.
    """
    graph = read_graph(path, delay_unit)
    names, longitude, latitude, links = graph
    remarks = [f"{path}: {each}" for each in _implausible(graph)]
    return linked(path, path.stem, names, (longitude, latitude), links, remarks)


def _implausible(graph: Graph) -> list[str]:
    """What is strange about the delays of a graph."""
    names, longitude, latitude, links = graph
    known = np.isfinite(longitude) & np.isfinite(latitude)
    known &= (np.abs(longitude) <= 360) & (np.abs(latitude) <= 90)
    known &= (longitude != 0) | (latitude != 0)
    said = []
    delays = [delay_us for _, _, delay_us in links]
    if not known.all():
        said.append(
            f"{int((~known).sum())} of {len(names)} nodes have no place: delays of"
            f" {min(delays):g} to {max(delays):g} µs cannot be checked and may be placeholders,"
            " or in ms (network.delay_unit)"
        )
    fibre = GeoNetwork("", longitude, latitude, FIBRE_US_PER_KM)
    checked = [link for link in links if known[link[0]] and known[link[1]]]
    if not checked:
        return said
    ends = np.array([link[:2] for link in checked])
    least_us = [
        float(fibre.rtt_ms(ends[[i], 0], ends[[i], 1])[0, 0]) / 2 * 1000
        for i in range(len(checked))
    ]
    fast = [
        (least - link[2], least, link)
        for least, link in zip(least_us, checked, strict=True)
        if link[2] < 0.99 * least
    ]
    if fast:
        _, least, (a, b, delay_us) = max(fast)
        said.append(
            f"{len(fast)} of {len(checked)} links are faster than light in fibre"
            f" ({FIBRE_US_PER_KM} µs/km), e.g. {names[a]} to {names[b]} in {delay_us:g} µs instead"
            f" of {least:.0f} µs or more (network.delay_unit)"
        )
    return said


def read_topohub(name: str, us_per_km: float) -> LinkNetwork:
    """Network of the ``topohub`` package, e.g. ``topozoo/Abilene``; delay = length × µs per km."""
    import topohub

    try:
        topology = topohub.get(name)
    except (KeyError, FileNotFoundError, OSError, ValueError):
        known = _topohub_names(Path(topohub.__file__).parent / "data")
        allowed = "a name of the topohub package, e.g. topozoo/Abilene or sndlib/polska"
        raise InputError("network", "name", name, did_you_mean(name, known) + allowed) from None
    index = {node["id"]: place for place, node in enumerate(topology["nodes"])}
    names = [str(node.get("name", node["id"])) for node in topology["nodes"]]
    places = np.array([node["pos"] for node in topology["nodes"]], dtype=float)
    edges = topology.get("edges", topology.get("links"))
    links = [
        (index[edge["source"]], index[edge["target"]], edge["dist"] * us_per_km) for edge in edges
    ]
    return linked(f"topohub:{name}", name, names, (places[:, 0], places[:, 1]), links)


def _topohub_names(folder: Path) -> Sequence[str]:
    return [
        path.relative_to(folder).as_posix().split(".json")[0] for path in folder.rglob("*.json*")
    ]
