"""Networks: who is how far from whom (docs/constants.md#networks).

A network answers one question, the round-trip time between nodes, in ms. Delays of links are one
way; a round trip is the shortest path there and the shortest path back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bprr.ground.errors import InputError
from bprr.ground.swarm import FloatArray, IntArray

__all__ = [
    "EARTH_RADIUS_KM",
    "FIBRE_US_PER_KM",
    "US_PER_MS",
    "GeoNetwork",
    "LinkNetwork",
    "Network",
    "clustered",
    "geo",
    "linked",
    "shortest_us",
]

EARTH_RADIUS_KM = 6371.0
# Light in fibre: refractive index 1.468 of single-mode fibre at 1550 nm (ITU-T G.652).
FIBRE_US_PER_KM = 4.9
US_PER_MS = 1000.0
MOST_NODES = 5_000  # all pairs are kept
MOST_SUMS = 1_000_000  # made at once


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
    def node_names(self) -> Sequence[str]:
        """Names of the nodes; none where they are drawn."""
        ...

    @property
    def remarks(self) -> Sequence[str]:
        """What a user should know about how it was read."""
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

    @property
    def mbit_per_s(self) -> FloatArray | None:
        """Bandwidth from each node to each other (Mbit/s), NaN where unknown; none if nowhere."""
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
    remarks : sequence of str
        What a user should know about how it was read.
    mbit_per_s : ndarray, shape (N, N), optional
        Bandwidth from each node to each other; NaN where unknown.
    """

    name: str
    rtt: FloatArray
    longitude_deg: FloatArray
    latitude_deg: FloatArray
    node_names: Sequence[str] = ()
    links: Sequence[tuple[int, int]] = ()
    remarks: Sequence[str] = ()
    mbit_per_s: FloatArray | None = None

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
    node_names: Sequence[str] = ()
    remarks: Sequence[str] = ()
    mbit_per_s: None = None

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


def shortest_us(
    where: object, node_names: Sequence[str], links: Sequence[tuple[int, int, float]]
) -> FloatArray:
    """Shortest one-way delays over directed links (µs), shape (N, N).

    A link that is given in one direction alone works both ways.

    Raises
    ------
    InputError
        If the network falls apart, or has too many nodes to keep all pairs.
    """
    count = len(node_names)
    if count > MOST_NODES:
        raise InputError(where, "nodes", count, f"at most {MOST_NODES:,}")
    delay = np.full((count, count), np.inf)
    for a, b, delay_us in links:
        delay[a, b] = min(delay[a, b], delay_us)  # parallel links: the faster one
    delay = np.where(np.isfinite(delay), delay, delay.T)
    shortest = _shortest(delay)
    apart = np.flatnonzero(~np.isfinite(shortest[0]))
    if apart.size:
        lost = ", ".join(node_names[node] for node in apart[:5])
        raise InputError(
            where, "links", f"no path from {node_names[0]} to {lost}", "a connected network"
        )
    return shortest


def _shortest(delay: FloatArray) -> FloatArray:
    """Sums over the shortest paths between all pairs, each summed from its source on.

    In numpy, a link more at a time: to import a library for it takes ten times as long.
    """
    head, tail = np.nonzero(np.isfinite(delay.T))
    link = delay[tail, head]
    first = np.flatnonzero(np.diff(head, prepend=-1))  # link to each node that has any
    shortest = np.full(delay.shape, np.inf)
    np.fill_diagonal(shortest, 0.0)
    at_once = MOST_SUMS // max(len(link), 1) + 1
    for start in range(0, len(shortest) if len(link) else 0, at_once):
        rows = shortest[start : start + at_once]
        while True:
            sums = np.minimum.reduceat(rows[:, tail] + link, first, axis=1)
            if (sums >= rows[:, head[first]]).all():
                break
            rows[:, head[first]] = np.minimum(rows[:, head[first]], sums)
    return shortest


def linked(
    where: object,
    name: str,
    node_names: Sequence[str],
    places: tuple[FloatArray, FloatArray],
    links: Sequence[tuple[int, int, float]],
    remarks: Sequence[str] = (),
) -> LinkNetwork:
    """Network of directed links with one-way delays (µs)."""
    shortest = shortest_us(where, node_names, links)
    return LinkNetwork(
        name,
        (shortest + shortest.T) / US_PER_MS,
        places[0],
        places[1],
        tuple(node_names),
        tuple((a, b) for a, b, _ in links),
        tuple(remarks),
    )
