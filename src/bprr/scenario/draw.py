"""From settings to something that can be placed and simulated: one random draw of a scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.legs import Mbit, Neighbours
from bprr.ground.registry import FORWARDING
from bprr.ground.request import Request
from bprr.ground.swarm import Device, FloatArray, IntArray, LanguageModel, Swarm
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
        """Every device, with the memory that a scenario gives it, for its model if it scales.

        Raises
        ------
        InputError
            If the scenario names a device that nobody has described, or one that was measured with
            another model.
        """
        model = self.model(scenario)
        for key, name in scenario.devices():
            if name not in self.devices:
                known = f"a known device: {', '.join(self.devices)}"
                raise InputError(scenario.where, key, name, known)
            device = self.devices[name]
            if not device.of_model(model) and not self._scales(scenario, device):
                found = f"{name}, measured with {device.model}"
                allowed = (
                    f"a profile of {model.name}; or fleet.scale_profiles: true, with {device.model}"
                    " among the models: decoding by the bytes of a block, prefill by its parameters"
                )
                raise InputError(scenario.where, key, found, allowed)
        lent = {name: {"memory_gb": gb} for name, gb in scenario.fleet.memory_gb.items()}
        return {
            name: self._for_model(scenario, device, model).model_copy(update=lent.get(name, {}))
            for name, device in self.devices.items()
        }

    def remarks(self, scenario: Scenario) -> list[str]:
        """What a user should know about the devices of a scenario."""
        model, scaled = self.model(scenario), self.devices_for(scenario)
        said = []
        for name in dict.fromkeys(name for _, name in scenario.devices()):
            before, after = self.devices[name], scaled[name]
            if before.model != after.model:
                said.append(
                    f"{name}: measured with {before.model}, scaled to {model.name}:"
                    f" τ {before.tau_ms:g} → {after.tau_ms:.4g} ms, prefill"
                    f" {before.prefill_ms:g} → {after.prefill_ms:.4g} ms a block"
                )
        return said

    def _scales(self, scenario: Scenario, device: Device) -> bool:
        return scenario.fleet.scale_profiles and device.model in self.models

    def _for_model(self, scenario: Scenario, device: Device, model: LanguageModel) -> Device:
        if device.of_model(model) or not self._scales(scenario, device):
            return device
        return device.scaled(self.models[str(device.model)], model)


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
        Their arrival rate λ; NaN where they have none.
    rejected : Workload, optional
        Requests longer than the model accepts, which are refused as they arrive.
    remarks : tuple of str
        What a user should know about how the scenario was read.
    streams : Streams
        Random numbers of the run.
    believed : Swarm, optional
        What the swarm is taken for where blocks are placed and sessions routed.
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
    rejected: Workload | None = None
    remarks: tuple[str, ...] = ()
    streams: Streams = field(default_factory=lambda: Streams(0, 0))
    believed: Swarm | None = None

    @property
    def planned_swarm(self) -> Swarm:
        """The swarm that is planned for: as it is believed to be."""
        return self.swarm if self.believed is None else self.believed

    def part(self, servers: IntArray) -> Instance:
        """The draw as if there were these servers alone."""
        join_order = self.join_order[np.isin(self.join_order, servers)]
        return replace(
            self,
            swarm=self.swarm.part(servers),
            believed=None if self.believed is None else self.believed.part(servers),
            server_node=self.server_node[servers],
            join_order=np.searchsorted(servers, join_order),
        )

    @property
    def design_request(self) -> Request:
        """The request that placements are designed for: of mean length, rounded up."""
        workload = self.workload
        means = (workload.input_tokens, workload.output_tokens, workload.cache_tokens)
        return Request(0, *(int(np.ceil(np.mean(tokens))) for tokens in means))

    @property
    def held_tokens(self) -> int:
        """Cache that a session holds while it runs: the mean over output tokens, rounded up."""
        cache, output = self.workload.cache_tokens, self.workload.output_tokens
        return int(np.ceil((cache * output).sum() / output.sum()))

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
    streams = Streams(seed, run, scenario.redrawn)
    model, devices = catalogue.model(scenario), catalogue.devices_for(scenario)
    network, servers, clients, names, pinned = scenario.network.places(
        scenario.fleet, scenario.clients, streams, catalogue.topology_dir, scenario.where
    )
    cap = scenario.fleet.block_cap
    caps = [cap.get(name, model.blocks) for name in names]
    used = [devices[name] for name in names]
    for server, said in enumerate(pinned):
        if said.memory_gb is not None:
            used[server] = used[server].model_copy(update={"memory_gb": said.memory_gb})
        caps[server] = said.block_cap or caps[server]
    speed = network.mbit_per_s
    rtt_ms = network.rtt_ms(clients, servers)
    few = len(servers) <= MOST_SERVERS_WITH_ALL_PAIRS
    server_rtt_ms = network.rtt_ms(servers, servers) if few else None
    mbit = speed is not None and Mbit(
        speed[np.ix_(clients, servers)],
        speed[np.ix_(servers, servers)],
        speed[np.ix_(servers, clients)].T,
    )
    swarm = Swarm.of(
        model,
        used,
        rtt_ms,
        scenario.overheads,
        (mbit.enter, mbit.leave) if mbit else None,
        server_rtt_ms=server_rtt_ms,
        neighbours=_neighbours(scenario, model, rtt_ms, server_rtt_ms, mbit or None),
        block_cap=np.array(caps) if cap or min(caps) < model.blocks else None,
    )
    load = scenario.workload.draw(
        len(servers), len(clients), scenario.session_tokens, model.max_sequence_tokens, streams
    )
    workload = load.workload
    if model.window_tokens is not None:
        held = np.minimum(workload.cache_tokens, model.window_tokens)
        workload = replace(workload, cache_tokens=held)
    return Instance(
        scenario,
        network,
        servers,
        clients,
        swarm,
        devices,
        _join_order(scenario, len(servers), streams),
        workload,
        load.rate_per_s,
        load.rejected,
        (*network.remarks, *catalogue.remarks(scenario), *load.remarks),
        streams,
        None if scenario.believed is None else scenario.believed.of(swarm, streams),
    )


def _neighbours(
    scenario: Scenario,
    model: LanguageModel,
    rtt_ms: FloatArray,
    server_rtt_ms: FloatArray | None,
    mbit_per_s: Mbit | None,
) -> Neighbours | None:
    forwarding = scenario.forwarding.name
    crossings = FORWARDING[forwarding].crossings
    if crossings == 0:
        return None
    if crossings is None:
        usable = [name for name, each in FORWARDING.items() if each.crossings is not None]
        allowed = f"{', '.join(usable)}: a chain's time has to be a sum over its links"
        raise InputError(scenario.where, "forwarding", forwarding, allowed)
    if server_rtt_ms is None:
        allowed = (
            f"hub, or {MOST_SERVERS_WITH_ALL_PAIRS:,} servers at most: it needs the round trips"
            " between all pairs of them"
        )
        raise InputError(scenario.where, "forwarding", forwarding, allowed)
    return Neighbours.of(rtt_ms, server_rtt_ms, scenario.overheads, model, crossings, mbit_per_s)


def _join_order(scenario: Scenario, servers: int, streams: Streams) -> IntArray:
    if scenario.join_order is None:
        return streams.of("join_order").permutation(servers)
    if sorted(scenario.join_order) != list(range(1, servers + 1)):
        allowed = f"each of the servers 1 to {servers} once"
        raise InputError(scenario.where, "join_order", scenario.join_order, allowed)
    return np.array(scenario.join_order, dtype=np.int64) - 1
