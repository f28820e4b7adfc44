"""From settings to something that can be placed and simulated: one random draw of a scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.request import Request
from bprr.ground.swarm import Device, IntArray, LanguageModel, Swarm
from bprr.scenario.network import Network
from bprr.scenario.scenario import Scenario
from bprr.scenario.streams import Streams
from bprr.scenario.workload import Workload

__all__ = ["Catalogue", "Instance", "draw"]

MOST_SERVERS_WITH_ALL_PAIRS = 4096  # beyond, the S × S round trips alone take over 128 MB


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

    models: Mapping[str, LanguageModel]
    devices: Mapping[str, Device]
    topology_dir: Path

    def model(self, scenario: Scenario) -> LanguageModel:
        """Model of a scenario; `InputError` if nobody has described it."""
        if scenario.model not in self.models:
            raise InputError(scenario.where, "model", scenario.model, ", ".join(self.models))
        return self.models[scenario.model]

    def devices_for(self, scenario: Scenario) -> dict[str, Device]:
        """Every device, with the memory that a scenario gives it.

        Raises
        ------
        InputError
            If the scenario names a device that nobody has described.
        """
        for key, name in scenario.devices():
            if name not in self.devices:
                known = f"a known device: {', '.join(self.devices)}"
                raise InputError(scenario.where, key, name, known)
        lent = {name: {"memory_gb": gb} for name, gb in scenario.fleet.memory_gb.items()}
        return {
            name: device.model_copy(update=lent.get(name, {}))
            for name, device in self.devices.items()
        }


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
    devices : mapping
        Every known device by name, with the memory that the scenario gives it.
    join_order : ndarray of int64, shape (S,)
        Order in which servers join.
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
    devices: Mapping[str, Device]
    join_order: IntArray
    workload: Workload
    rate_per_s: float

    @property
    def design_request(self) -> Request:
        """The request that placements are designed for: of mean length, rounded up."""
        workload = self.workload
        means = (workload.input_tokens, workload.output_tokens, workload.cache_tokens)
        return Request(0, *(int(np.ceil(np.mean(tokens))) for tokens in means))

    @property
    def fast_share(self) -> float:
        """η: share of servers faster than the slowest device, as asked for; counted in clusters."""
        dealt = self.scenario.fleet.dealt
        if not dealt:
            tau_ms = self.swarm.tau_ms
            return float((tau_ms < tau_ms.max()).mean())
        slowest_ms = max(self.devices[name].tau_ms for name in dealt)
        fast = [share for name, share in dealt.items() if self.devices[name].tau_ms < slowest_ms]
        return float(sum(fast))

    def check_lengths(self) -> None:
        """Refuse requests that are longer than the model accepts (`InfeasibleError`)."""
        model = self.swarm.model
        longest = int((self.workload.input_tokens + self.workload.output_tokens).max())
        if longest > model.max_sequence_tokens:
            raise InfeasibleError(
                "sequence length",
                f"{longest - model.max_sequence_tokens} tokens",
                f"a request of {longest}; {model.name} accepts {model.max_sequence_tokens}",
            )


def draw(scenario: Scenario, catalogue: Catalogue, seed: int, run: int) -> Instance:
    """Draw one run of a scenario; the same seed and run give the same draw.

    Raises
    ------
    InputError
        If a name is unknown, a file cannot be read, or the network is too small.
    """
    streams = Streams(seed, run)
    model, devices = catalogue.model(scenario), catalogue.devices_for(scenario)
    network, servers, clients, names = scenario.network.places(
        scenario.fleet, scenario.clients, streams, catalogue.topology_dir, scenario.where
    )
    cap = scenario.fleet.block_cap
    swarm = Swarm.of(
        model,
        [devices[name] for name in names],
        network.rtt_ms(clients, servers),
        scenario.overheads,
        server_rtt_ms=(
            network.rtt_ms(servers, servers)
            if len(servers) <= MOST_SERVERS_WITH_ALL_PAIRS
            else None
        ),
        block_cap=np.array([cap.get(name, model.blocks) for name in names]) if cap else None,
    )
    workload, rate_per_s = scenario.workload.draw(
        len(servers), len(clients), scenario.session_tokens, streams
    )
    return Instance(
        scenario, network, servers, clients, swarm, devices,
        _join_order(scenario, len(servers), streams), workload, rate_per_s,
    )  # fmt: skip


def _join_order(scenario: Scenario, servers: int, streams: Streams) -> IntArray:
    if scenario.join_order is None:
        return streams.of("join_order").permutation(servers)
    if sorted(scenario.join_order) != list(range(1, servers + 1)):
        allowed = f"each of the servers 1 to {servers} once"
        raise InputError(scenario.where, "join_order", scenario.join_order, allowed)
    return np.array(scenario.join_order, dtype=np.int64) - 1
