"""Networks as a scenario names them, each of which builds itself and puts servers into itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from bprr.ground.errors import InputError
from bprr.ground.schema import Milliseconds, Positive, Refused, Strict
from bprr.ground.swarm import IntArray
from bprr.scenario.fleet import Fleet, PinnedServers
from bprr.scenario.graph_files import read_graph_file
from bprr.scenario.measured import Missing, Unit, read_rtt
from bprr.scenario.network import FIBRE_US_PER_KM, LinkNetwork, Network, clustered, geo
from bprr.scenario.streams import Streams
from bprr.scenario.topologies import did_you_mean, read_repetita, read_tables, read_topohub

__all__ = ["ClusteredNetwork", "Names", "NodeNetwork", "Places", "RttNetwork", "ScenarioNetwork"]


def _names(value: Any) -> Any:
    """A list of names, of a name alone too; a name is text, whatever it looks like."""
    listed = value if isinstance(value, list) else [value]
    return [str(name) if type(name) is int else name for name in listed]


Names = Annotated[list[str], BeforeValidator(_names), Field(min_length=1)]


class Places(NamedTuple):
    """Who sits where."""

    network: Network
    server_node: IntArray
    client_node: IntArray
    devices: list[str]  # device of each server, by name
    pinned: list[PinnedServers]  # what is said of each server, where they are listed one by one


class NodeNetwork(Strict):
    """Base of the networks among whose nodes clients and servers are drawn."""

    @abstractmethod
    def build(self, streams: Streams, topology_dir: Path) -> Network:
        """The network; streams matter only where it is drawn itself."""

    def files(self, topology_dir: Path) -> list[Path]:
        """Files that it is read from."""
        return []

    def _once(
        self, topology_dir: Path, read: Callable[..., LinkNetwork], *arguments: Any
    ) -> LinkNetwork:
        """What a reader makes of its arguments, read again only when a file has changed."""
        there = [path for path in self.files(topology_dir) if path.exists()]
        stats = [path.stat() for path in there]
        state = [(stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats]
        return _read(read, arguments, tuple(state))

    def places(
        self,
        fleet: Fleet,
        clients: int | list[str],
        streams: Streams,
        topology_dir: Path,
        where: str,
    ) -> Places:
        """Clients and servers where they are said to be, or at random nodes, no two at one.

        Raises
        ------
        InputError
            If the network cannot be read or is too small, or has no node of a name.
        """
        network = self.build(streams, topology_dir)
        if isinstance(clients, list) or fleet.pinned:
            return self._named(network, fleet, clients, streams, where)
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
        return Places(network, servers, nodes[:clients], fleet.deal(count, streams), [])

    def _named(
        self,
        network: Network,
        fleet: Fleet,
        clients: int | list[str],
        streams: Streams,
        where: str,
    ) -> Places:
        """Clients, servers or both at nodes of a name; the others anywhere."""
        nodes = streams.of("nodes").permutation(network.nodes)
        if isinstance(clients, list):
            homes = np.array([node_named(network, name, where, "clients") for name in clients])
        else:
            if clients > network.nodes:
                allowed = f"at most {network.nodes}, the nodes of {network.name}"
                raise InputError(where, "clients", clients, allowed)
            homes = nodes[:clients]
        pinned = [server for server in fleet.pinned for _ in range(server.count)]
        if pinned:
            servers = np.array(
                [node_named(network, server.at, where, "fleet.servers.at") for server in pinned]
            )
            return Places(network, servers, homes, [server.device for server in pinned], pinned)
        free = nodes[~np.isin(nodes, homes)]
        count = fleet.count(network.nodes)
        if count > free.size:
            allowed = f"at most {free.size}, the nodes of {network.name} without a client"
            raise InputError(where, "fleet.servers", count, allowed)
        return Places(network, free[:count], homes, fleet.deal(count, streams), [])


def node_named(network: Network, name: str, where: str, key: str) -> int:
    """Node of a name; `InputError` if there is none, or more than one."""
    names = list(network.node_names)
    if names.count(name) == 1:
        return names.index(name)
    if name in names:
        raise InputError(where, key, name, f"a name that only one node of {network.name} has")
    listed = ", ".join(filter(None, names[:50])) or "no names: its nodes are drawn"
    raise InputError(
        where, key, name, f"{did_you_mean(name, names)}a node of {network.name}: {listed}"
    )


class TopologyNetwork(NodeNetwork):
    """A backbone network of the configuration's ``topology_dir``."""

    kind: Literal["topology"]
    name: str = Field(description="of two tables in topology_dir")
    delay_factor: Positive = Field(
        1.0, description="of its link delays; 2.93: as long as light in fibre takes"
    )

    def build(self, streams: Streams, topology_dir: Path) -> Network:
        """Network of two tables."""
        network: LinkNetwork = self._once(topology_dir, read_tables, topology_dir, self.name)
        if self.delay_factor == 1:
            return network
        return replace(network, rtt=network.rtt * self.delay_factor)

    def files(self, topology_dir: Path) -> list[Path]:
        """Tables that it is read from."""
        return [topology_dir / f"{self.name}.{table}.csv" for table in ("nodes", "links")]


class RepetitaNetwork(NodeNetwork):
    """A REPETITA ``.graph`` file."""

    kind: Literal["repetita"]
    file: Path = Field(description=".graph")
    delay_unit: Literal["us", "ms"] = Field("us", description="some files have ms")

    def build(self, streams: Streams, topology_dir: Path) -> Network:
        """Network of the file."""
        return self._once(topology_dir, read_repetita, self.file, self.delay_unit)

    def files(self, topology_dir: Path) -> list[Path]:
        """The file."""
        return [self.file]


class GraphNetwork(NodeNetwork):
    """A GML or GraphML file, e.g. of the Topology Zoo."""

    kind: Literal["graph"]
    file: Path = Field(description=".gml or .graphml")
    delay: str | None = Field(
        None, description="attribute of the edges with their one-way delay; their length if none"
    )
    delay_unit: Unit | None = Field(None, description="of that attribute; goes with `delay`")
    us_per_km: Positive = Field(
        FIBRE_US_PER_KM, description="where the delay is the length: light in fibre"
    )

    @model_validator(mode="after")
    def _delay_has_a_unit(self) -> GraphNetwork:
        if (self.delay is None) != (self.delay_unit is None):
            raise Refused("delay_unit", self.delay_unit, "us, ms or s, beside `delay` alone")
        return self

    def build(self, streams: Streams, topology_dir: Path) -> Network:
        """Network of the file."""
        return self._once(
            topology_dir, read_graph_file, self.file, self.delay, self.delay_unit, self.us_per_km
        )

    def files(self, topology_dir: Path) -> list[Path]:
        """The file."""
        return [self.file]


class RttNetwork(NodeNetwork):
    """Round trips as measured, e.g. between a cloud provider's regions."""

    kind: Literal["rtt"]
    file: Path = Field(description="matrix, or rows of from, to, rtt_ms")
    unit: Unit | None = Field(None, description="ms, or as the column's name ends, if not given")
    missing: Missing = Field(
        "refuse",
        description="pairs not measured: refused, as the other end measured, or the fastest detour",
    )

    def build(self, streams: Streams, topology_dir: Path) -> Network:
        """Network of the table."""
        return self._once(topology_dir, read_rtt, self.file, self.unit, self.missing)

    def files(self, topology_dir: Path) -> list[Path]:
        """The table."""
        return [self.file]


class TopohubNetwork(NodeNetwork):
    """A topology of the ``topohub`` package, e.g. ``topozoo/Abilene``."""

    kind: Literal["topohub"]
    name: str = Field(description="as the package has it, e.g. topozoo/Abilene")
    us_per_km: Positive = Field(
        FIBRE_US_PER_KM,
        description="light in fibre; 1.67, in the tables of data/topologies, is not",
    )

    def build(self, streams: Streams, topology_dir: Path) -> Network:
        """Network of the package."""
        return self._once(topology_dir, read_topohub, self.name, self.us_per_km)


class GeoNetwork(NodeNetwork):
    """Random places on Earth with great-circle delays."""

    kind: Literal["geo"]
    nodes: Annotated[int, Field(ge=1, le=10_000_000, strict=True)] = Field(
        description="how many places; servers and clients sit at some of them"
    )
    us_per_km: Positive = Field(FIBRE_US_PER_KM, description="light in fibre")

    def build(self, streams: Streams, topology_dir: Path) -> Network:
        """Network drawn anew in every run."""
        return geo(streams.of("network"), self.nodes, self.us_per_km)


class ClusteredNetwork(Strict):
    """Clusters of servers; a client sits in one of them."""

    kind: Literal["clustered"]
    clusters: dict[str, dict[str, Annotated[int, Field(ge=0, le=100_000, strict=True)]]] = Field(
        description="by name: how many servers of which device"
    )
    client: Names = Field(description="cluster of the client, or of each client")
    intra_rtt_ms: Milliseconds = Field(5.0, description="round trip within a cluster")
    inter_rtt_ms: Milliseconds = Field(100.0, description="round trip between clusters")

    @model_validator(mode="after")
    def _client_in_a_cluster(self) -> ClusteredNetwork:
        for name in self.client:
            if name not in self.clusters:
                raise Refused("client", name, f"one of the clusters {', '.join(self.clusters)}")
        if not any(count for devices in self.clusters.values() for count in devices.values()):
            raise Refused("clusters", "no servers", "at least one server")
        return self

    def files(self, topology_dir: Path) -> list[Path]:
        """None."""
        return []

    def places(
        self,
        fleet: Fleet,
        clients: int | list[str],
        streams: Streams,
        topology_dir: Path,
        where: str,
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
        homes = [names.index(name) for name in self.client]
        network = clustered(cluster_of + homes, self.intra_rtt_ms, self.inter_rtt_ms)
        servers = np.arange(len(devices), dtype=np.int64)
        homes_at = np.arange(len(homes), dtype=np.int64) + len(devices)
        return Places(network, servers, homes_at, devices, [])


@cache
def _read(
    read: Callable[..., LinkNetwork], arguments: tuple[Any, ...], state: tuple[Any, ...]
) -> LinkNetwork:
    return read(*arguments)


ScenarioNetwork = Annotated[
    TopologyNetwork
    | RepetitaNetwork
    | GraphNetwork
    | RttNetwork
    | TopohubNetwork
    | GeoNetwork
    | ClusteredNetwork,
    Field(discriminator="kind"),
]
