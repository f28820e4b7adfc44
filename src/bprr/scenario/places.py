"""Networks as a scenario names them, each of which builds itself and puts servers into itself."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from bprr.ground.errors import InputError
from bprr.ground.schema import Milliseconds, Positive, Refused, Strict
from bprr.ground.swarm import IntArray
from bprr.scenario.fleet import Fleet
from bprr.scenario.network import (
    LinkNetwork,
    Network,
    clustered,
    geo,
    read_repetita,
    read_tables,
    read_topohub,
)
from bprr.scenario.streams import Streams

__all__ = ["ClusteredNetwork", "NodeNetwork", "Places", "ScenarioNetwork"]


class Places(NamedTuple):
    """Who sits where."""

    network: Network
    server_node: IntArray
    client_node: IntArray
    devices: list[str]  # device of each server, by name


class NodeNetwork(Strict):
    """Base of the networks among whose nodes clients and servers are drawn."""

    @abstractmethod
    def build(self, streams: Streams, topology_dir: Path) -> Network:
        """The network; streams matter only where it is drawn itself."""

    def files(self, topology_dir: Path) -> list[Path]:
        """Files that it is read from."""
        return []

    def places(
        self, fleet: Fleet, clients: int, streams: Streams, topology_dir: Path, where: str
    ) -> Places:
        """Clients and servers at random nodes, no two at one.

        Raises
        ------
        InputError
            If the network cannot be read or is too small.
        """
        network = self.build(streams, topology_dir)
        count = fleet.count(network.nodes)
        if count + clients > network.nodes:
            raise InputError(
                where,
                "fleet.servers",
                count,
                f"with {clients} client(s) at most {network.nodes - clients} on "
                f"{network.name}, which has {network.nodes} nodes",
            )
        nodes = streams.of("nodes").permutation(network.nodes)
        servers = nodes[clients : clients + count]
        return Places(network, servers, nodes[:clients], fleet.deal(count, streams))


class TopologyNetwork(NodeNetwork):
    """A backbone network of the configuration's ``topology_dir``."""

    kind: Literal["topology"]
    name: str
    delay_factor: Positive = Field(
        1.0, description="of its link delays; 2.93: as long as light in fibre takes"
    )

    def build(self, streams: Streams, topology_dir: Path) -> Network:
        """Network of two tables."""
        network: LinkNetwork = _once(read_tables, topology_dir, self.name)
        if self.delay_factor == 1:
            return network
        return replace(network, rtt=network.rtt * self.delay_factor)

    def files(self, topology_dir: Path) -> list[Path]:
        """Tables that it is read from."""
        return [topology_dir / f"{self.name}.{table}.csv" for table in ("nodes", "links")]


class RepetitaNetwork(NodeNetwork):
    """A REPETITA ``.graph`` file."""

    kind: Literal["repetita"]
    file: Path

    def build(self, streams: Streams, topology_dir: Path) -> Network:
        """Network of the file."""
        return _once(read_repetita, self.file)

    def files(self, topology_dir: Path) -> list[Path]:
        """The file."""
        return [self.file]


class TopohubNetwork(NodeNetwork):
    """A topology of the ``topohub`` package, e.g. ``topozoo/Abilene``."""

    kind: Literal["topohub"]
    name: str
    us_per_km: Positive = 1.67  # as in the tables of data/topologies

    def build(self, streams: Streams, topology_dir: Path) -> Network:
        """Network of the package."""
        return _once(read_topohub, self.name, self.us_per_km)


class GeoNetwork(NodeNetwork):
    """Random places on Earth with great-circle delays."""

    kind: Literal["geo"]
    nodes: Annotated[int, Field(ge=1, le=10_000_000, strict=True)]
    us_per_km: Positive = 5.0  # light in fibre

    def build(self, streams: Streams, topology_dir: Path) -> Network:
        """Network drawn anew in every run."""
        return geo(streams.of("network"), self.nodes, self.us_per_km)


class ClusteredNetwork(Strict):
    """Clusters of servers; a client sits in one of them."""

    kind: Literal["clustered"]
    clusters: dict[str, dict[str, Annotated[int, Field(ge=0, le=100_000, strict=True)]]]
    client: str | list[str]
    intra_rtt_ms: Milliseconds = 5.0
    inter_rtt_ms: Milliseconds = 100.0

    @model_validator(mode="after")
    def _client_in_a_cluster(self) -> ClusteredNetwork:
        for name in self.client_clusters:
            if name not in self.clusters:
                raise Refused("client", name, f"one of the clusters {', '.join(self.clusters)}")
        if not any(count for devices in self.clusters.values() for count in devices.values()):
            raise Refused("clusters", "no servers", "at least one server")
        return self

    def files(self, topology_dir: Path) -> list[Path]:
        """None."""
        return []

    @property
    def client_clusters(self) -> list[str]:
        """Cluster of each client."""
        return [self.client] if isinstance(self.client, str) else self.client

    def places(
        self, fleet: Fleet, clients: int, streams: Streams, topology_dir: Path, where: str
    ) -> Places:
        """The clusters as they are said; nothing is drawn."""
        names = list(self.clusters)
        cluster_of: list[int] = []
        devices: list[str] = []
        # As in the artefact, devices come in the order in which they are first named, slow first.
        for index, name in reversed(list(enumerate(names))):
            for device, count in self.clusters[name].items():
                cluster_of += [index] * count
                devices += [device] * count
        homes = [names.index(name) for name in self.client_clusters]
        network = clustered(cluster_of + homes, self.intra_rtt_ms, self.inter_rtt_ms)
        servers = np.arange(len(devices), dtype=np.int64)
        return Places(
            network, servers, np.arange(len(homes), dtype=np.int64) + len(devices), devices
        )


_once = cache(lambda read, *arguments: read(*arguments))

ScenarioNetwork = Annotated[
    TopologyNetwork | RepetitaNetwork | TopohubNetwork | GeoNetwork | ClusteredNetwork,
    Field(discriminator="kind"),
]
