"""From settings to something that can be placed and simulated: one random draw of a scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.request import Request
from bprr.ground.swarm import FloatArray, IntArray, Swarm
from bprr.scenario.network import (
    LinkNetwork,
    Network,
    clustered,
    geo,
    read_repetita,
    read_tables,
    read_topohub,
)
from bprr.scenario.workload import Workload, poisson_arrivals_ms, replay_trace
from bprr.settings.configuration import (
    ClusteredNetwork,
    DeviceProfile,
    GeoNetworkSettings,
    ModelSettings,
    NetworkSettings,
    PoissonWorkload,
    RepetitaNetwork,
    Scenario,
    TopologyNetwork,
)

__all__ = ["Catalogue", "Instance", "draw"]

MOST_SERVERS_WITH_ALL_PAIRS = 4096  # beyond, the S × S round trips alone take over 128 MB

# One independent stream of random numbers per purpose, so that a change of one thing (the number
# of servers, say) leaves the other draws as they were: common random numbers.
STREAMS = {"network": 0, "nodes": 1, "devices": 2, "join_order": 3, "arrivals": 4, "clients": 5}


def stream(seed: int, run: int, purpose: str) -> np.random.Generator:
    """Random numbers of one run for one purpose, the same for every method."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(run, STREAMS[purpose])))


@dataclass(frozen=True)
class Catalogue:
    """What scenarios refer to by name.

    Parameters
    ----------
    models, devices : mapping
        By name.
    topology_dir : Path
        Folder of the network tables.
    """

    models: Mapping[str, ModelSettings]
    devices: Mapping[str, DeviceProfile]
    topology_dir: Path


@dataclass(frozen=True)
class Instance:
    """One draw: where servers and clients are, in which order servers join, when requests come.

    Parameters
    ----------
    scenario : Scenario
        The settings it was drawn from.
    network : Network
        The network.
    server_node, client_node : ndarray of int64
        Nodes of the servers, shape (S,), and of the clients, shape (C,).
    swarm : Swarm
        Servers and clients with their round trips.
    join_order : ndarray of int64, shape (S,)
        Random order in which servers join.
    block_cap : ndarray of int64, shape (S,), optional
        Most blocks each server may host.
    workload : Workload
        The requests.
    rate_per_s : float
        Their arrival rate λ.
    """

    scenario: Scenario
    network: Network
    server_node: IntArray
    client_node: IntArray
    swarm: Swarm
    join_order: IntArray
    block_cap: IntArray | None
    workload: Workload
    rate_per_s: float

    @property
    def design_request(self) -> Request:
        """The request that placements are designed for: of mean length, rounded up."""
        workload = self.workload
        means = (workload.input_tokens, workload.output_tokens, workload.cache_tokens)
        return Request(0, *(int(np.ceil(np.mean(tokens))) for tokens in means))


@cache
def _fixed_network(settings: NetworkSettings, topology_dir: Path) -> LinkNetwork:
    if isinstance(settings, TopologyNetwork):
        return read_tables(topology_dir, settings.name)
    if isinstance(settings, RepetitaNetwork):
        return read_repetita(settings.file)
    return read_topohub(settings.name, settings.us_per_km)  # type: ignore[union-attr]


def _round_half_up(value: float) -> int:
    return int(np.floor(value + 0.5))


def _places(
    scenario: Scenario, catalogue: Catalogue, seed: int, run: int
) -> tuple[Network, IntArray, IntArray, list[str]]:
    """Network, nodes of servers and of clients, and the device of each server."""
    settings = scenario.network
    if isinstance(settings, ClusteredNetwork):
        clusters = list(settings.clusters)
        cluster_of: list[int] = []
        devices: list[str] = []
        # As in the artefact, devices come in the order in which they are first named, slow first.
        for index, name in reversed(list(enumerate(clusters))):
            for device, count in settings.clusters[name].items():
                cluster_of += [index] * count
                devices += [device] * count
        servers = np.arange(len(devices), dtype=np.int64)
        homes = [clusters.index(name) for name in settings.client_clusters]
        network = clustered(cluster_of + homes, settings.intra_rtt_ms, settings.inter_rtt_ms)
        if not devices:
            raise InputError(
                scenario.where, "network.clusters", "no servers", "at least one server"
            )
        return network, servers, np.arange(len(homes), dtype=np.int64) + len(devices), devices

    drawn: Network
    if isinstance(settings, GeoNetworkSettings):
        drawn = geo(stream(seed, run, "network"), settings.nodes, settings.us_per_km)
    else:
        drawn = _fixed_network(settings, catalogue.topology_dir)
    count = _server_count(scenario, drawn.nodes)
    if count + scenario.clients > drawn.nodes:
        raise InputError(
            scenario.where,
            "fleet.servers",
            count,
            f"with {scenario.clients} client(s) at most {drawn.nodes - scenario.clients} on "
            f"{drawn.name}, which has {drawn.nodes} nodes",
        )
    nodes = stream(seed, run, "nodes").permutation(drawn.nodes)
    clients, servers = nodes[: scenario.clients], nodes[scenario.clients : scenario.clients + count]
    return drawn, servers, clients, _devices(scenario, count, seed, run)


def _server_count(scenario: Scenario, nodes: int) -> int:
    fleet = scenario.fleet
    if fleet.servers is not None:
        return fleet.servers
    assert fleet.servers_per_node is not None  # checked by Scenario
    return max(_round_half_up(fleet.servers_per_node * nodes), 1)


def _devices(scenario: Scenario, count: int, seed: int, run: int) -> list[str]:
    """Device of each server: shares rounded half up, dealt at random, the rest last."""
    fleet = scenario.fleet
    rest = fleet.rest or list(fleet.share)[-1]
    dealt = [rest] * count
    rank = np.argsort(stream(seed, run, "devices").random(count), kind="stable")
    given = 0
    for device, share in fleet.share.items():
        amount = min(_round_half_up(share * count), count - given)
        for server in rank[given : given + amount]:
            dealt[server] = device
        given += amount
    return dealt


def draw(scenario: Scenario, catalogue: Catalogue, seed: int, run: int) -> Instance:
    """Draw one run of a scenario; the same seed and run give the same draw.

    Raises
    ------
    InputError
        If a name is unknown, a file cannot be read, or the network is too small.
    InfeasibleError
        If a request is longer than the model accepts.
    """
    if scenario.model not in catalogue.models:
        raise InputError(scenario.where, "model", scenario.model, ", ".join(catalogue.models))
    _refuse_unknown_devices(scenario, catalogue)
    network, servers, clients, names = _places(scenario, catalogue, seed, run)
    devices = [catalogue.devices[name] for name in names]
    model = catalogue.models[scenario.model].language_model(scenario.model)
    memory = [
        scenario.fleet.memory_gb.get(name, device.memory_gb)
        for name, device in zip(names, devices, strict=True)
    ]
    raw = network.rtt_ms(clients, servers)
    all_pairs: FloatArray | None = None
    if len(servers) <= MOST_SERVERS_WITH_ALL_PAIRS:
        all_pairs = network.rtt_ms(servers, servers)
    swarm = Swarm(
        model,
        memory_gb=np.array(memory),
        tau_ms=np.array([device.tau_ms for device in devices]),
        prefill_ms=np.array([device.prefill_ms for device in devices]),
        prefill_ms_per_token=np.array([device.prefill_ms_per_token for device in devices]),
        token_rtt_ms=raw + scenario.overheads.token_ms,
        prompt_rtt_ms=raw + scenario.overheads.prompt_ms,
        prompt_rtt_ms_per_token=scenario.overheads.prompt_ms_per_token,
        raw_rtt_ms=raw,
        server_rtt_ms=all_pairs,
        forward_rps=np.array([device.forward_rps for device in devices]),
        network_rps=np.array([device.network_rps for device in devices]),
        device=names,
    )
    cap = None
    if scenario.block_cap:
        caps = [scenario.block_cap.get(name, model.blocks) for name in names]
        cap = np.array(caps, dtype=np.int64)
    workload, rate = _workload(scenario, len(servers), len(clients), seed, run)
    longest = int((workload.input_tokens + workload.output_tokens).max())
    if longest > model.max_sequence_tokens:
        raise InfeasibleError(
            "sequence length",
            f"{longest - model.max_sequence_tokens} tokens",
            f"a request of {longest}; {model.name} accepts {model.max_sequence_tokens}",
        )
    join_order = stream(seed, run, "join_order").permutation(len(servers))
    return Instance(scenario, network, servers, clients, swarm, join_order, cap, workload, rate)


def _refuse_unknown_devices(scenario: Scenario, catalogue: Catalogue) -> None:
    fleet, network = scenario.fleet, scenario.network
    named = [
        *(("fleet.share", name) for name in fleet.share),
        *(("fleet.rest", name) for name in (fleet.rest,) if name),
        *(("fleet.memory_gb", name) for name in fleet.memory_gb),
        *(("block_cap", name) for name in scenario.block_cap),
    ]
    if isinstance(network, ClusteredNetwork):
        for cluster, devices in network.clusters.items():
            named += [(f"network.clusters.{cluster}", name) for name in devices]
    for key, name in named:
        if name not in catalogue.devices:
            known = ", ".join(catalogue.devices)
            raise InputError(scenario.where, key, name, f"a known device: {known}")


def _workload(
    scenario: Scenario, servers: int, clients: int, seed: int, run: int
) -> tuple[Workload, float]:
    settings = scenario.workload
    if not isinstance(settings, PoissonWorkload):
        replayed = replay_trace(settings.file, clients, settings.requests, settings.speed)
        span_s = max(float(replayed.arrival_ms[-1]) / 1000.0, 1e-3)
        if scenario.session_tokens is not None:
            replayed = replace(replayed, cache_tokens=np.array(scenario.session_tokens))
        return replayed, len(replayed) / span_s
    scale = 1.0 if settings.per_servers is None else servers / settings.per_servers
    rate = settings.rate_per_s * scale
    if settings.requests is not None:
        count = _round_half_up(settings.requests * scale)
    else:
        assert settings.duration_s is not None
        count = _round_half_up(settings.duration_s * rate)
    count = max(count, 1)
    arrival_ms = poisson_arrivals_ms(stream(seed, run, "arrivals"), count, rate)
    client = stream(seed, run, "clients").integers(clients, size=count)
    tokens = scenario.session_tokens or settings.input_tokens + settings.output_tokens
    workload = Workload(
        arrival_ms,
        client,
        np.array(settings.input_tokens),
        np.array(settings.output_tokens),
        np.array(tokens),
    )
    return workload, rate
