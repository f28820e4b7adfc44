"""Networks: who is how far from whom (docs/constants.md#networks).

A network answers one question, the round-trip time between nodes, in ms. Delays of links are one
way; a round trip is twice the shortest path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from bprr.ground.errors import InputError
from bprr.ground.files import read_text
from bprr.ground.swarm import FloatArray, IntArray
from bprr.ground.tables import NUMBER, TEXT, Schema, read_csv

__all__ = [
    "EARTH_RADIUS_KM",
    "GeoNetwork",
    "LinkNetwork",
    "Network",
    "clustered",
    "geo",
    "read_repetita",
    "read_tables",
    "read_topohub",
]

EARTH_RADIUS_KM = 6371.0
US_PER_MS = 1000.0
LONGEST_US = 1e10  # of one link; as long as any delay of a configuration
MOST_NODES = 5_000  # all pairs are kept

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


class Network(Protocol):
    """Nodes and the round trips between them."""

    @property
    def name(self) -> str:
        """Name shown to the user."""
        ...

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        ...

    @property
    def longitude_deg(self) -> FloatArray:
        """Longitude of each node; NaN where unknown."""
        ...

    @property
    def latitude_deg(self) -> FloatArray:
        """Latitude of each node; NaN where unknown."""
        ...

    def rtt_ms(self, sources: IntArray, targets: IntArray) -> FloatArray:
        """Round-trip times, shape (len(sources), len(targets)) (ms)."""
        ...


@dataclass(frozen=True)
class LinkNetwork:
    """Network given by all pairs of round trips.

    Parameters
    ----------
    name : str
        Name shown to the user.
    rtt : ndarray, shape (N, N)
        Round trips (ms).
    longitude_deg, latitude_deg : ndarray, shape (N,)
        Places of the nodes; NaN where unknown.
    node_names : sequence of str
        Names of the nodes.
    links : sequence of (int, int)
        Links to draw.
    """

    name: str
    rtt: FloatArray
    longitude_deg: FloatArray
    latitude_deg: FloatArray
    node_names: Sequence[str] = ()
    links: Sequence[tuple[int, int]] = ()

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return int(self.rtt.shape[0])

    def rtt_ms(self, sources: IntArray, targets: IntArray) -> FloatArray:
        """Round-trip times, shape (len(sources), len(targets)) (ms)."""
        return self.rtt[np.ix_(sources, targets)]


@dataclass(frozen=True)
class GeoNetwork:
    """Places on Earth; the delay is the great circle's length at a speed of light in fibre."""

    name: str
    longitude_deg: FloatArray
    latitude_deg: FloatArray
    us_per_km: float

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return int(self.longitude_deg.shape[0])

    def rtt_ms(self, sources: IntArray, targets: IntArray) -> FloatArray:
        """Round-trip times, shape (len(sources), len(targets)) (ms)."""
        here, there = self._unit_vectors(sources), self._unit_vectors(targets)
        angle = np.arccos(np.clip(here @ there.T, -1.0, 1.0))
        return 2 * angle * EARTH_RADIUS_KM * self.us_per_km / US_PER_MS

    def _unit_vectors(self, nodes: IntArray) -> FloatArray:
        longitude, latitude = (
            np.radians(self.longitude_deg[nodes]),
            np.radians(self.latitude_deg[nodes]),
        )
        flat = np.cos(latitude)
        return np.stack([flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)], 1)


def geo(rng: np.random.Generator, nodes: int, us_per_km: float) -> GeoNetwork:
    """Random places, uniform on the sphere."""
    longitude = rng.uniform(-180.0, 180.0, nodes)
    latitude = np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, nodes)))
    return GeoNetwork("geo", longitude, latitude, us_per_km)


def clustered(cluster_of: Sequence[int], intra_rtt_ms: float, inter_rtt_ms: float) -> LinkNetwork:
    """Nodes in clusters: one round trip inside a cluster, another between clusters.

    Parameters
    ----------
    cluster_of : sequence of int
        Cluster of each node.
    intra_rtt_ms, inter_rtt_ms : float
        Round trips within and between clusters.
    """
    cluster = np.asarray(cluster_of)
    same = cluster[:, None] == cluster[None, :]
    rtt = np.where(same, intra_rtt_ms, inter_rtt_ms)
    np.fill_diagonal(rtt, 0.0)
    unknown = np.full(cluster.size, np.nan)
    return LinkNetwork("clustered", rtt, unknown, unknown)


def _from_links(
    where: object,
    name: str,
    node_names: Sequence[str],
    places: tuple[FloatArray, FloatArray],
    links: Sequence[tuple[int, int, float]],
) -> LinkNetwork:
    """Network of undirected or directed links with one-way delays in µs."""
    count = len(node_names)
    if count > MOST_NODES:
        raise InputError(where, "nodes", count, f"at most {MOST_NODES:,}")
    delay = np.full((count, count), np.inf)
    for a, b, delay_us in links:
        delay[a, b] = min(delay[a, b], delay_us)  # parallel links: the faster one
        delay[b, a] = min(delay[b, a], delay_us)
    linked = np.isfinite(delay)
    rows, columns = np.nonzero(linked)
    graph = csr_array((delay[linked], (rows, columns)), shape=(count, count))
    shortest = dijkstra(graph)
    apart = np.flatnonzero(~np.isfinite(shortest[0]))
    if apart.size:
        lost = ", ".join(node_names[node] for node in apart[:5])
        raise InputError(
            where, "links", f"no path from {node_names[0]} to {lost}", "a connected network"
        )
    return LinkNetwork(
        name,
        2 * shortest / US_PER_MS,
        places[0],
        places[1],
        tuple(node_names),
        tuple((a, b) for a, b, _ in links),
    )


def read_tables(folder: Path, name: str) -> LinkNetwork:
    """Network of ``<name>.nodes.csv`` and ``<name>.links.csv`` (see ``data/topologies``)."""
    nodes_file, links_file = folder / f"{name}.nodes.csv", folder / f"{name}.links.csv"
    if not nodes_file.exists():
        known = sorted(path.name.split(".")[0] for path in folder.glob("*.nodes.csv"))
        raise InputError(folder, "network.name", name, ", ".join(known) or "a file NAME.nodes.csv")
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
        if not 0 < delay_us <= LONGEST_US:
            allowed = f"a number above 0, at most {LONGEST_US:g} µs"
            raise InputError(links_file, f"delay_us (line {line})", delay_us, allowed)
        pairs.append((index[a], index[b], float(delay_us)))
    places = tuple(nodes[axis].to_numpy(dtype=float) for axis in ("longitude_deg", "latitude_deg"))
    names = nodes["city"].fillna("").tolist()
    return _from_links(links_file, name, names, (places[0], places[1]), pairs)


def read_repetita(path: Path) -> LinkNetwork:
    """Network of a REPETITA ``.graph`` file (nodes with places; directed edges, delay in µs)."""
    lines = read_text(path, "REPETITA .graph file").splitlines()
    nodes: list[tuple[str, float, float]] = []
    links: list[tuple[int, int, float]] = []
    announced: dict[str, int] = {}
    section = ""
    for number, words in enumerate(map(str.split, lines), start=1):
        if not words or words[0] == "label":
            continue
        try:
            if words[0] in ("NODES", "EDGES"):
                section = words[0]
                announced[section] = int(words[1])
            elif section == "NODES":
                nodes.append((words[0], float(words[1]), float(words[2])))
            elif section == "EDGES":
                a, b, delay_us = int(words[1]), int(words[2]), float(words[-1])
                if not (0 <= a < len(nodes) and 0 <= b < len(nodes) and 0 < delay_us <= LONGEST_US):
                    raise ValueError
                links.append((a, b, delay_us))
            else:
                raise ValueError
        except (IndexError, ValueError):
            allowed = (
                "NODES n: label x y; EDGES m: label src dest … delay, "
                f"delay in µs above 0, at most {LONGEST_US:g}"
            )
            raise InputError(path, f"line {number}", " ".join(words), allowed) from None
    if not nodes or not links:
        raise InputError(path, "file", f"{len(nodes)} nodes, {len(links)} edges", "both sections")
    for name, found in (("NODES", nodes), ("EDGES", links)):
        if announced[name] != len(found):
            allowed = f"the number of lines that follow, {len(found)}"
            raise InputError(path, name, announced[name], allowed)
    places = (np.array([node[1] for node in nodes]), np.array([node[2] for node in nodes]))
    return _from_links(path, path.stem, [node[0] for node in nodes], places, links)


def read_topohub(name: str, us_per_km: float) -> LinkNetwork:
    """Network of the ``topohub`` package, e.g. ``topozoo/Abilene``; delay = length × µs per km."""
    import topohub

    try:
        topology = topohub.get(name)
    except (KeyError, FileNotFoundError, OSError, ValueError):
        allowed = "a name of the topohub package, e.g. topozoo/Abilene or sndlib/polska"
        raise InputError("network", "name", name, allowed) from None
    index = {node["id"]: place for place, node in enumerate(topology["nodes"])}
    names = [str(node.get("name", node["id"])) for node in topology["nodes"]]
    places = np.array([node["pos"] for node in topology["nodes"]], dtype=float)
    edges = topology.get("edges", topology.get("links"))
    links = [
        # Two places on one spot still need a positive delay.
        (index[edge["source"]], index[edge["target"]], max(edge["dist"], 1e-3) * us_per_km)
        for edge in edges
    ]
    return _from_links(f"topohub:{name}", name, names, (places[:, 0], places[:, 1]), links)
