"""Settings of a loaded run: chains that are imposed, how hard they are used, orders of service."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from bprr.ground.registry import SERVICE, Choice
from bprr.ground.schema import Count, Milliseconds, Positive, Refused, Strict
from bprr.ground.swarm import FloatArray, Overheads, Swarm
from bprr.placement.base import Placement
from bprr.scenario.draw import Catalogue
from bprr.scenario.workload import Workload, poisson_arrivals_ms
from bprr.settings.messages import validated
from bprr.settings.overrides import located
from bprr.settings.yaml_file import read_yaml
from bprr.testbed.settings import Seed, StandIn

__all__ = ["Arm", "Case", "LoadedSettings", "load_loaded"]

Index = Annotated[int, Field(ge=0, strict=True)]
NOTHING = Overheads(token_ms=0.0, prompt_ms=0.0, initial_ms=0.0)


class LoadedServer(Strict):
    """A device, the blocks that it hosts, and how far the clients are."""

    device: str
    blocks: tuple[Count, Count] = Field(description="first and last, from 1")
    rtt_ms: list[Milliseconds] = Field(description="to each client")


class Arm(Strict):
    """How all servers serve: options of the service `serial`, under a name."""

    label: str
    order: Literal["fifo", "oldest"] = "fifo"
    prompt: Literal["whole", "block", "token"] = "whole"
    prefetch: Literal[0, 2] = Field(2, description="tasks taken beforehand: 2 as shipped, or none")

    def service(self, gap_ms: float, resubmit_ms: float = 0.0) -> Choice:
        """The service that this should be."""
        times_ms = {"gap_ms": gap_ms, "resubmit_ms": resubmit_ms}
        options = self.model_dump(exclude={"label"}) | times_ms
        return Choice("serial", SERVICE["serial"].Options.model_validate(options))


class Case(Strict):
    """Sessions of some clients, by some arms."""

    clients: Annotated[list[str], Field(min_length=1)]
    load: Positive = Field(description="of what the busiest server can do, prompts whole")
    requests: Count
    output_tokens: Annotated[list[Count], Field(min_length=1)]
    arms: Annotated[list[str], Field(min_length=1)]
    session_tokens: Count | None = Field(
        None, description="tokens of cache a session asks for; input plus output if not given"
    )
    slowdown: Positive = Field(1.0, description="of devices, network and arrivals alike")


class LoadedCalibration(Strict):
    """Sessions that profiles are fitted to, none of which is scored."""

    alone: Count = 12
    together: list[Count] = Field([2, 3, 4], description="so many at once on one chain")
    output_tokens: Annotated[int, Field(ge=2, strict=True)] = 10
    rtt_samples: Count = 15


class LoadedSettings(Strict):
    """A loaded run (``config/testbed/loaded*.yaml``)."""

    title: str
    stand_in: StandIn = StandIn()
    model: str = "bloom_176b"
    blocks: Count = Field(description="blocks L of the served model")
    slowdown: Positive = Field(1.0, description="of the devices, so that the machine keeps up")
    mbit_per_s: Positive = 1000.0
    input_tokens: Count = 8
    cache_tokens: Count = Field(4096, description="pool of a server, per block it hosts")
    update_period_s: Positive = 10.0
    max_retries: Count = 12
    seed: Seed = 1
    servers: Annotated[list[LoadedServer], Field(min_length=1)]
    clients: dict[str, list[Index]] = Field(description="chain of each: servers, from 0")
    calibration: LoadedCalibration = LoadedCalibration()
    arms: dict[str, Arm]
    cases: Annotated[dict[str, Case], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits_together(self) -> LoadedSettings:
        for number, server in enumerate(self.servers):
            first, last = server.blocks
            if not first <= last <= self.blocks:
                raise Refused(f"servers.{number}.blocks", [first, last], f"within 1…{self.blocks}")
            if len(server.rtt_ms) != len(self.clients):
                allowed = f"one for each of {len(self.clients)} clients"
                raise Refused(f"servers.{number}.rtt_ms", server.rtt_ms, allowed)
        for name, chain in self.clients.items():
            known = all(number < len(self.servers) for number in chain)
            ends = [end for _, _, end in self.chain(name)] if known else []
            if ends[-1:] != [self.blocks] or any(a >= b for a, b in pairwise([0, *ends])):
                allowed = "servers that host block after block up to the last"
                raise Refused(f"clients.{name}", chain, allowed)
        for name, case in self.cases.items():
            for key, known_names in (("clients", self.clients), ("arms", self.arms)):
                for entry in getattr(case, key):
                    if entry not in known_names:
                        raise Refused(f"cases.{name}.{key}", entry, ", ".join(known_names))
        return self

    def chain(self, client: str) -> list[tuple[int, int, int]]:
        """Server, first block, end (half-open from 0, as in PETALS) of a client's hops."""
        hops, done = [], 0
        for number in self.clients[client]:
            first, last = self.servers[number].blocks
            if first - 1 > done:
                break
            hops.append((number, done, last))
            done = last
        return hops

    def swarm(self, catalogue: Catalogue, slowdown: float = 1.0) -> Swarm:
        """Servers as their devices are published, this much slower."""
        model = catalogue.models[self.model].model_copy(update={"blocks": self.blocks})
        devices = [catalogue.devices[server.device] for server in self.servers]
        rtt_ms = slowdown * np.array([server.rtt_ms for server in self.servers]).T
        swarm, slower = Swarm.of(model, devices, rtt_ms, NOTHING), self.slowdown * slowdown
        names = ("tau_ms", "prefill_ms", "prefill_ms_per_token")
        return replace(swarm, **{name: slower * getattr(swarm, name) for name in names})

    def placement(self, swarm: Swarm) -> Placement:
        """Blocks and pools of the servers."""
        first, last = np.array([server.blocks for server in self.servers]).T
        blocks = last - first + 1
        return Placement(swarm, first, blocks, blocks * self.cache_tokens)

    def workload(self, case: Case, swarm: Swarm) -> Workload:
        """The same arrivals for every arm; clients by turns, lengths at random."""
        rng, count = np.random.default_rng(self.seed), case.requests
        arrival_ms = poisson_arrivals_ms(rng, count, case.load * self.capacity_per_s(case, swarm))
        lengths = rng.permutation(np.resize(case.output_tokens, count))
        numbers = [list(self.clients).index(name) for name in case.clients]
        cache: dict[str, Any] = (
            {} if case.session_tokens is None else {"cache_tokens": case.session_tokens}
        )
        clients, inputs = np.resize(numbers, count), np.full(count, self.input_tokens)
        return Workload(arrival_ms, clients, inputs, lengths, **cache)

    def capacity_per_s(self, case: Case, swarm: Swarm) -> float:
        """Sessions/s at which the busiest server works all the time, prompts whole."""
        prompt_ms = swarm.prefill_ms + swarm.prefill_ms_per_token * self.input_tokens
        block_ms = prompt_ms + (float(np.mean(case.output_tokens)) - 1) * swarm.tau_ms
        work_ms = np.zeros(swarm.servers)
        for client in case.clients:
            for server, first, end in self.chain(client):
                work_ms[server] += (end - first) * block_ms[server] / len(case.clients)
        return float(1000.0 / work_ms.max())

    def rtt_between_hosts_ms(self, slowdown: float) -> FloatArray:
        """Round trips of first peer, servers and clients; what is not said is as near as any."""
        servers, clients = len(self.servers), len(self.clients)
        away = np.array([server.rtt_ms for server in self.servers])
        rtt_ms = np.full((1 + servers + clients,) * 2, away.min())
        rtt_ms[1 : 1 + servers, 1 + servers :] = away
        rtt_ms[1 + servers :, 1 : 1 + servers] = away.T
        np.fill_diagonal(rtt_ms, 0.0)
        return slowdown * rtt_ms


def load_loaded(path: Path) -> LoadedSettings:
    """Read and check the settings of a loaded run.

    Raises
    ------
    InputError, InputErrors
        If a key is unknown or holds an unusable value.
    """
    return validated(LoadedSettings, located(read_yaml(path), path.parent), path)
