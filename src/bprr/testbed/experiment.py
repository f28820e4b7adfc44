"""One whole testbed run: calibrate, then measure and predict every cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bprr.ground.errors import BprrError
from bprr.ground.swarm import FloatArray, Swarm
from bprr.placement.base import Placement
from bprr.scenario.draw import Catalogue, Instance
from bprr.testbed.calibration import (
    CalibrationSession,
    Profile,
    calibrated,
    fit_profile,
    random_chain,
)
from bprr.testbed.hosts import PORT, address_of, server_host
from bprr.testbed.machine import machine_at_start, machine_of
from bprr.testbed.prediction import (
    Chain,
    Predictor,
    chain_of,
    replaceable_server,
    request_rows,
)
from bprr.testbed.records import Manifest, Range, Run, Started
from bprr.testbed.settings import Cell, TestbedSettings
from bprr.testbed.swarm_process import SwarmError, SwarmProcess, what_is_missing

__all__ = ["CannotRun", "refuse_where_it_cannot_run", "run_testbed"]

START_S = 240.0
SLACK = 4.0  # a cell may take so many times its predicted span before it is given up
SLACK_S = 45.0
LEAD_S = 0.5  # for the client to make its threads
REQUEST_TIMEOUT_S = 60.0
WHOLE_POOL_TOKENS = 4096  # per block, while every server hosts the whole model
EMULATED = ("tau_ms", "prefill_ms", "prefill_ms_per_token", "forward_rps", "network_rps")


class CannotRun(BprrError):
    """A swarm cannot run on this machine; says what it lacks."""


class _Testbed:
    """A swarm process with what is asked of it in the terms of the settings."""

    def __init__(self, predictor: Predictor, nominal: Instance, process: SwarmProcess) -> None:
        self.predictor, self.nominal, self.process = predictor, nominal, process
        self.settings = predictor.settings
        self.peers: dict[int, str] = {}
        self.rng = np.random.default_rng(self.settings.seed)
        self._local_tokens: dict[tuple[int, int], list[list[int]]] = {}

    def start(self, placement: Placement, imposed: bool) -> dict[int, Range]:
        """Start the servers of a placement, in joining order; their ranges as they come up."""
        specs = []
        for server in self.nominal.join_order.tolist():
            blocks, first = int(placement.blocks[server]), int(placement.first_block[server]) - 1
            if blocks == 0:
                continue
            device = self.nominal.devices[self.nominal.swarm.device[server]]
            specs.append(
                {
                    "server": server,
                    "cache_tokens_per_block": int(placement.cache_tokens[server]) // blocks,
                    "device": device.model_dump(include=set(EMULATED)),
                    **({"range": [first, first + blocks]} if imposed else {"blocks": blocks}),
                }
            )
        answer = self.process.ask("start", START_S, servers=specs)
        self.peers = {int(server): peer for server, peer in answer["peers"].items()}
        return _numbered_from_one(answer["ranges"])

    def stop(self) -> None:
        self.process.ask("stop", 60.0)

    def moved(self) -> dict[int, Range]:
        """Servers that PETALS has moved since they were started, and where to."""
        return _numbered_from_one(self.process.ask("blocks_now", 30.0)["changes"])

    def round_trips_ms(self) -> FloatArray:
        """Median TCP connection times of every client to every server."""
        # One more is dropped: the first packet to a host may find it asleep.
        repeats = self.settings.calibration.rtt_samples + 1
        servers, clients = self.nominal.swarm.servers, self.nominal.swarm.clients
        addresses = [[address_of(server_host(server)), PORT] for server in range(servers)]
        rows = []
        for client in range(clients):
            times = self._client(client, "connect_times", repeats=repeats, addresses=addresses)
            rows.append([float(np.median(of_server[1:])) for of_server in times])
        return np.array(rows)

    def calibrate(self) -> tuple[Profile, list[CalibrationSession]]:
        """Measure sessions one at a time while every server hosts the whole model."""
        settings, swarm = self.settings, self.nominal.swarm
        every, plan = np.ones(swarm.servers, dtype=np.int64), settings.calibration
        pool = every * settings.blocks * WHOLE_POOL_TOKENS
        self.start(Placement(swarm, every, every * settings.blocks, pool), imposed=True)
        rtt_ms = self.round_trips_ms()
        input_tokens = self.nominal.design_request.input_tokens
        sessions = []
        for number in range(-1, plan.sessions):  # the one numbered −1 warms up and is dropped
            client = number % swarm.clients
            hops = 1 + number // swarm.clients % 4
            chain = random_chain(self.rng, swarm.servers, settings.blocks, hops)
            request = {
                "arrival_ms": 0.0,
                "input_ids": self._prompt(self.rng, input_tokens),
                "output_tokens": plan.output_tokens,
                "cache_tokens": input_tokens + plan.output_tokens,
                "chain": self._for_petals(chain),
            }
            (record,) = self._client(client, "sessions", requests=[request])
            if record["status"] == "ok" and number >= 0:
                ttft_ms = record["ttft_ms"]
                per_token_ms = (record["last_token_ms"] - ttft_ms) / (plan.output_tokens - 1)
                sessions.append(
                    CalibrationSession(
                        client=client,
                        chain=chain,
                        ttft_ms=ttft_ms,
                        remaining_per_token_ms=per_token_ms,
                    )
                )
        self.stop()
        return fit_profile(sessions, rtt_ms, swarm.device), sessions

    def measure(self, cell: Cell, method: str, placement: Placement) -> pd.DataFrame:
        """Predict a cell, measure it, and put both beside each other."""
        instance = self.predictor.instance(cell)
        predicted = self.predictor.predict(placement, method, instance)
        chains = [chain_of(*predicted.chain(index)) for index in range(len(predicted))]
        imposed, workload = self.settings.methods[method].impose_chains, instance.workload
        prompts = np.random.default_rng(self.settings.seed)  # the same prompts for every method
        requests = [
            {
                "arrival_ms": float(workload.arrival_ms[index]),
                "input_ids": self._prompt(prompts, workload.input_tokens[index]),
                "output_tokens": int(workload.output_tokens[index]),
                "cache_tokens": int(workload.cache_tokens[index]),
                "chain": self._for_petals(chain) if imposed else None,
            }
            for index, chain in enumerate(chains)
        ]
        kill_after_s, kill = self.settings.cases[cell.group].kill_after_s, {}
        if kill_after_s is not None:
            victim = replaceable_server(placement, chains[0])
            kill = {"kill_server": victim, "kill_after_s": kill_after_s + LEAD_S}
        timeout_s = SLACK * float(predicted.end_ms.max()) / 1000.0 + SLACK_S
        measured: Sequence[Mapping[str, Any]]
        try:
            measured = self._client(
                cell.client, "sessions", timeout_s, requests=requests, lead_s=LEAD_S, **kill
            )
        except SwarmError as error:  # the client did not answer: so many requests failed
            measured = [{"status": f"no answer: {error}"} for _ in requests]
        server_of = {peer: server for server, peer in self.peers.items()}
        local = self._locally(cell, requests)
        return request_rows(cell, method, measured, predicted, server_of, local)

    def _client(self, client: int, do: str, timeout_s: float = 60.0, **arguments: Any) -> Any:
        return self.process.ask("client", timeout_s, client=client, do=do, **arguments)

    def _locally(self, cell: Cell, requests: Sequence[Mapping[str, Any]]) -> list[list[int]]:
        """Greedy tokens of local transformers; cells of one length ask for the same ones."""
        key = (cell.output_tokens, cell.requests)
        if key not in self._local_tokens:
            tokens = self._client(cell.client, "local_tokens", 120.0, requests=requests)
            self._local_tokens[key] = tokens
        return self._local_tokens[key]

    def _prompt(self, rng: np.random.Generator, tokens: int) -> list[int]:
        return rng.integers(1, self.settings.stand_in.vocabulary, tokens).tolist()

    def _for_petals(self, chain: Chain) -> list[list[Any]]:
        return [[self.peers[server], first, end] for server, first, end in chain]


def _numbered_from_one(ranges: Mapping[str, Sequence[int]]) -> dict[int, Range]:
    """First and last block of every server, as in the paper, from PETALS' half-open ranges."""
    numbered = {int(server): (first + 1, end) for server, (first, end) in ranges.items()}
    return dict(sorted(numbered.items()))


@dataclass
class _SharedSwarm:
    """A swarm for all methods with the same placement and pool, until a server is killed."""

    name: str
    placement: Placement
    imposed: bool
    users: list[tuple[str, str]] = field(default_factory=list)  # groups of cases and methods
    broken: bool = False

    def serves(self, placement: Placement, imposed: bool) -> bool:
        parts = ("first_block", "blocks", "cache_tokens")
        pairs = ((getattr(self.placement, part), getattr(placement, part)) for part in parts)
        same = all(np.array_equal(mine, other) for mine, other in pairs)
        return same and imposed == self.imposed and not self.broken


def _swarms(predictor: Predictor, swarm: Swarm) -> list[_SharedSwarm]:
    """Swarms to start, in the order of the cases."""
    found: list[_SharedSwarm] = []
    for group, case in predictor.settings.cases.items():
        for method in case.methods:
            placement = predictor.placement(group, method, swarm)
            imposed = predictor.settings.methods[method].impose_blocks
            shared = next((each for each in found if each.serves(placement, imposed)), None)
            if shared is None:
                shared = _SharedSwarm(f"{group}/{method}", placement, imposed)
                found.append(shared)
            shared.users.append((group, method))
            shared.broken |= case.kill_after_s is not None
    return found


def hosts_of(settings: TestbedSettings, instance: Instance) -> dict[str, Any]:
    """Network between the hosts: first peer (beside the first client), servers, clients."""
    nodes = np.r_[instance.client_node[0], instance.server_node, instance.client_node]
    rtt_ms = instance.network.rtt_ms(nodes, nodes)
    inside = rtt_ms <= settings.scenario.network.intra_rtt_ms
    mbit_per_s = np.where(inside, settings.intra_mbit_per_s, settings.inter_mbit_per_s)
    return {
        "rtt_ms": rtt_ms.tolist(),
        "mbit_per_s": mbit_per_s.tolist(),
        "servers": instance.swarm.servers,
        "clients": instance.swarm.clients,
        "update_period_s": settings.update_period_s,
        "request_timeout_s": REQUEST_TIMEOUT_S,
        "max_retries": settings.max_retries,
        "model": {"blocks": settings.blocks, **settings.stand_in.model_dump()},
    }


def refuse_where_it_cannot_run() -> None:
    """Raise `CannotRun` if this machine lacks something."""
    if lacks := what_is_missing():
        raise CannotRun(f"testbed skipped, nothing was measured; missing: {'; '.join(lacks)}")


def run_testbed(
    settings: TestbedSettings,
    catalogue: Catalogue,
    log: Path | None = None,
    say: Callable[[str], object] = print,
) -> Run:
    """Measure and predict every cell of a testbed run.

    Parameters
    ----------
    settings, catalogue
        The run, and the models and devices that its scenario names.
    log : Path, optional
        Folder that keeps the logs of all processes.
    say : callable
        Told what goes on, a line at a time.

    Raises
    ------
    CannotRun
        If this machine lacks something.
    SwarmError
        If the swarm cannot be started or stops answering.
    """
    refuse_where_it_cannot_run()
    predictor = Predictor(settings, catalogue)
    nominal = predictor.nominal()
    machine = machine_at_start()
    tables: list[pd.DataFrame] = []
    placements: dict[str, Started] = {}
    with SwarmProcess(hosts_of(settings, nominal), log) as process:
        testbed = _Testbed(predictor, nominal, process)
        profile, sessions = testbed.calibrate()
        say(f"calibrated on {len(sessions)} sessions: {profile.hop_ms:.1f} ms per hop and token")
        for shared in _swarms(predictor, calibrated(nominal.swarm, profile)):
            placement = shared.placement
            try:
                measured = testbed.start(placement, shared.imposed)
            except SwarmError as error:
                say(f"{shared.name}: {error}")
                placements[shared.name] = Started(error=str(error))
                testbed.stop()
                continue
            for group, method in shared.users:
                for cell in settings.cells(group):
                    table = testbed.measure(cell, method, placement)
                    tables.append(table)
                    say(_line(cell, method, table))
            predicted = _hosted(placement)
            placements[shared.name] = Started(
                predicted=predicted,
                measured=measured,
                equal=predicted == measured,
                moved_later=testbed.moved(),
            )
            testbed.stop()
        packages = dict(process.packages)
    if not tables:
        raise CannotRun("testbed: no swarm could be started, nothing was measured")
    manifest = Manifest(
        settings=settings,
        profile=profile,
        calibration=sessions,
        placements=placements,
        machine=machine_of(machine, packages),
    )
    return Run(pd.concat(tables, ignore_index=True), manifest)


def _hosted(placement: Placement) -> dict[int, Range]:
    first, last = placement.first_block.tolist(), placement.last_block.tolist()
    return {
        server: (first[server], last[server])
        for server, blocks in enumerate(placement.blocks)
        if blocks > 0
    }


def _line(cell: Cell, method: str, table: pd.DataFrame) -> str:
    done = table[table["status"] == "ok"]
    measured, predicted = done["per_token_ms"].mean(), done["predicted_per_token_ms"].mean()
    return (
        f"{cell.group} {cell.client_cluster} λ={cell.rate_per_s:g} l={cell.output_tokens} "
        f"{method}: {len(done)} of {len(table)} served, {measured:.0f} ms per token, "
        f"predicted {predicted:.0f} ({100 * (predicted / measured - 1):+.1f} %)"
    )
