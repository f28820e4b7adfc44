"""One whole testbed run: calibrate, then measure and predict every case."""

from __future__ import annotations

import datetime
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bprr.ground.errors import BprrError
from bprr.ground.swarm import FloatArray, Swarm
from bprr.placement.base import Placement
from bprr.scenario.draw import Catalogue, Instance
from bprr.settings.configuration import ClusteredNetwork
from bprr.testbed.calibration import Profile, Sample, calibrated, fit_profile, random_chain
from bprr.testbed.hosts import PORT, address_of, server_host
from bprr.testbed.prediction import (
    Case,
    cases_of,
    chain_of,
    instance_of,
    placement_of,
    predict,
    profiles_of,
)
from bprr.testbed.records import request_rows
from bprr.testbed.settings import TestbedSettings
from bprr.testbed.swarm_process import SwarmError, SwarmProcess, what_is_missing

__all__ = ["CannotRun", "Run", "run_testbed"]

START_S = 240.0
SLACK = 4.0  # a case may take so many times its predicted span before it is given up
SLACK_S = 45.0
LEAD_S = 0.5  # for the client to make its threads


class CannotRun(BprrError):
    """A swarm cannot run on this machine; says what it lacks."""


@dataclass(frozen=True)
class Run:
    """What a run leaves: a table of requests and a manifest."""

    requests: pd.DataFrame
    manifest: dict[str, Any]


class _Testbed:
    """A swarm process with what is asked of it in the terms of the settings."""

    def __init__(self, settings: TestbedSettings, process: SwarmProcess) -> None:
        self.settings, self.process = settings, process
        self.profiles: Catalogue = profiles_of(settings)
        first = cases_of(settings, next(iter(settings.cases)))[0]
        self.instance: Instance = instance_of(settings, first, self.profiles)
        self.nominal: Swarm = self.instance.swarm
        self.peers: dict[int, str] = {}
        self.rng = np.random.default_rng(settings.seed)
        self._local_tokens: dict[tuple[int, int], list[list[int]]] = {}

    def device(self, server: int) -> dict[str, float]:
        """What server and announcement emulate: the published times of its device."""
        profile = self.profiles.devices[self.nominal.device[server]]
        keys = ("tau_ms", "prefill_ms", "prefill_ms_per_token", "forward_rps", "network_rps")
        return {key: float(getattr(profile, key)) for key in keys}

    def start(self, placement: Placement, imposed: bool) -> dict[int, list[int]]:
        """Start the servers of a placement, in joining order; their ranges as they come up."""
        order = self.instance.join_order.tolist()
        specs = []
        for server in order:
            blocks = int(placement.blocks[server])
            if blocks == 0:
                continue
            first = int(placement.first_block[server]) - 1
            what = {"range": [first, first + blocks]} if imposed else {"blocks": blocks}
            pool = int(placement.cache_tokens[server]) // blocks
            specs.append(
                {"server": server, "cache_tokens_per_block": pool, **what}
                | {"device": self.device(server)}
            )
        answer = self.process.ask("start", START_S, servers=specs)
        self.peers = {int(server): peer for server, peer in answer["peers"].items()}
        return {int(server): blocks for server, blocks in answer["ranges"].items()}

    def stop(self) -> None:
        self.process.ask("stop", 60.0)

    def prompt(self, tokens: int) -> list[int]:
        return self.rng.integers(1, self.settings.stand_in.vocabulary, tokens).tolist()

    def for_petals(self, chain: Sequence[tuple[int, int, int]]) -> list[list[Any]]:
        return [[self.peers[server], first, end] for server, first, end in chain]

    def round_trips_ms(self) -> FloatArray:
        """Median TCP connection times of every client to every server."""
        # One more is dropped: the first packet to a host may find it asleep.
        repeats = self.settings.calibration.rtt_samples + 1
        addresses = [
            [address_of(server_host(server)), PORT] for server in range(self.nominal.servers)
        ]
        rows = []
        for client in range(self.nominal.clients):
            times = self.process.ask(
                "client", 60.0, client=client, do="connect_times", repeats=repeats,
                addresses=addresses,
            )  # fmt: skip
            rows.append([float(np.median(of_server[1:])) for of_server in times])
        return np.array(rows)

    def calibrate(self) -> tuple[Profile, list[Sample]]:
        """Measure sessions one at a time while every server hosts the whole model."""
        settings, swarm = self.settings, self.nominal
        whole = Placement(
            swarm,
            np.ones(swarm.servers, dtype=np.int64),
            np.full(swarm.servers, settings.blocks),
            np.full(swarm.servers, 4096 * settings.blocks),
        )
        self.start(whole, imposed=True)
        rtt_ms = self.round_trips_ms()
        plan, samples = settings.calibration, []
        input_tokens = self.instance.design_request.input_tokens
        for number in range(-1, plan.sessions):  # the one numbered −1 warms up and is dropped
            client = number % swarm.clients
            hops = 1 + number // swarm.clients % 4
            chain = random_chain(self.rng, swarm.servers, settings.blocks, hops)
            request = {
                "arrival_ms": 0.0,
                "input_ids": self.prompt(input_tokens),
                "output_tokens": plan.output_tokens,
                "cache_tokens": input_tokens + plan.output_tokens,
                "chain": self.for_petals(chain),
            }
            (record,) = self.process.ask(
                "client", 60.0, client=client, do="sessions", requests=[request]
            )
            if record["status"] == "ok" and number >= 0:
                remaining_ms = record["last_token_ms"] - record["ttft_ms"]
                per_token_ms = remaining_ms / (plan.output_tokens - 1)
                samples.append(Sample(client, chain, record["ttft_ms"], per_token_ms))
        self.stop()
        return fit_profile(samples, rtt_ms, swarm.device), samples

    def measure(self, case: Case, method: str, placement: Placement) -> pd.DataFrame:
        """Predict a case, measure it, and put both beside each other."""
        settings = self.settings
        entry = settings.methods[method]
        instance = instance_of(settings, case, self.profiles)
        predicted = predict(settings, placement, entry, instance)
        workload = instance.workload
        prompts = np.random.default_rng(settings.seed)  # the same prompts for every method
        requests: list[dict[str, Any]] = []
        for index in range(len(workload)):
            chain = (
                self.for_petals(chain_of(*predicted.chain(index))) if entry.impose_chains else None
            )
            ids = prompts.integers(1, settings.stand_in.vocabulary, workload.input_tokens[index])
            requests.append(
                {
                    "arrival_ms": float(workload.arrival_ms[index]),
                    "input_ids": ids.tolist(),
                    "output_tokens": int(workload.output_tokens[index]),
                    "cache_tokens": int(workload.cache_tokens[index]),
                    "chain": chain,
                }
            )
        span_s = float(predicted.end_ms.max()) / 1000.0
        kill_after_s = settings.cases[case.group].kill_after_s
        kill = {}
        if kill_after_s is not None:
            victim = replaceable_server(placement, chain_of(*predicted.chain(0)))
            kill = {"kill_server": victim, "kill_after_s": kill_after_s + LEAD_S}
        try:
            measured = self.process.ask(
                "client", SLACK * span_s + SLACK_S, client=case.client, do="sessions",
                requests=requests, lead_s=LEAD_S, **kill,
            )  # fmt: skip
        except SwarmError as error:  # the client did not answer: so many requests failed
            measured = [{"status": f"no answer: {error}"} for _ in requests]
        server_of = {peer: server for server, peer in self.peers.items()}
        local = self.local_tokens(case, requests)
        return request_rows(case, method, measured, predicted, server_of, local)

    def local_tokens(self, case: Case, requests: Sequence[Mapping[str, Any]]) -> list[list[int]]:
        """Greedy tokens of local transformers; cases of one length ask for the same ones."""
        key = (case.output_tokens, case.requests)
        if key not in self._local_tokens:
            self._local_tokens[key] = self.process.ask(
                "client", 120.0, client=case.client, do="local_tokens", requests=requests
            )
        return self._local_tokens[key]


def replaceable_server(placement: Placement, chain: Sequence[tuple[int, int, int]]) -> int:
    """Last server of a chain without which every block is still hosted; else its last one."""
    blocks = np.arange(1, placement.swarm.model.blocks + 1)
    hosts = (placement.first_block[:, None] <= blocks) & (blocks <= placement.last_block[:, None])
    hosts &= placement.blocks[:, None] > 0
    for server, _, _ in reversed(chain):
        if np.delete(hosts, server, axis=0).any(axis=0).all():
            return server
    return chain[-1][0]


def hosts_of(settings: TestbedSettings, instance: Instance) -> dict[str, Any]:
    """Network between the hosts: first peer (beside the first client), servers, clients."""
    network = settings.scenario.network
    assert isinstance(network, ClusteredNetwork)
    nodes = [int(instance.client_node[0]), *instance.server_node, *instance.client_node]
    every = np.asarray(nodes)
    rtt_ms = instance.network.rtt_ms(every, every)
    inside = rtt_ms <= network.intra_rtt_ms
    mbit = np.where(inside, settings.intra_mbit_per_s, settings.inter_mbit_per_s)
    return {
        "rtt_ms": rtt_ms.tolist(),
        "mbit_per_s": mbit.tolist(),
        "servers": instance.swarm.servers,
        "clients": instance.swarm.clients,
        "update_period_s": settings.update_period_s,
        "request_timeout_s": 60.0,
        "max_retries": settings.max_retries,
        "model": {"blocks": settings.blocks, **settings.stand_in.model_dump()},
    }


def run_testbed(
    settings: TestbedSettings, log: Path | None = None, say: Callable[[str], object] = print
) -> Run:
    """Measure and predict every case of a testbed run.

    Parameters
    ----------
    settings : TestbedSettings
        The run.
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
    lacks = what_is_missing()
    if lacks:
        raise CannotRun(f"testbed skipped, nothing was measured; missing: {'; '.join(lacks)}")
    profiles = profiles_of(settings)
    first = cases_of(settings, next(iter(settings.cases)))[0]
    hosts = hosts_of(settings, instance_of(settings, first, profiles))
    machine, start_s = _machine(), time.monotonic()
    tables: list[pd.DataFrame] = []
    placements: dict[str, Any] = {}
    with SwarmProcess(hosts, log) as process:
        testbed = _Testbed(settings, process)
        profile, samples = testbed.calibrate()
        say(f"calibrated on {len(samples)} sessions: {profile.hop_ms:.1f} ms per hop and token")
        swarm = calibrated(testbed.nominal, profile)
        for key, (placement, imposed, users) in _swarms(settings, profiles, swarm).items():
            try:
                ranges = testbed.start(placement, imposed)
            except SwarmError as error:
                say(f"{key}: {error}")
                placements[key] = {"error": str(error)}
                testbed.stop()
                continue
            placements[key] = _placement_record(placement, ranges)
            for group, method in users:
                for case in cases_of(settings, group):
                    table = testbed.measure(case, method, placement)
                    tables.append(table)
                    say(_line(case, method, table))
            placements[key]["moved_later"] = _numbered_from_one(
                process.ask("blocks_now", 30.0)["changes"]
            )
            testbed.stop()
    requests = pd.concat(tables, ignore_index=True)
    machine |= {
        "packages": dict(process.packages),
        "load_average_at_end": os.getloadavg()[0],
        "minutes": round((time.monotonic() - start_s) / 60, 1),
    }
    return Run(requests, _manifest(settings, profile, samples, placements, machine))


def _swarms(
    settings: TestbedSettings, profiles: Catalogue, swarm: Swarm
) -> dict[str, tuple[Placement, bool, list[tuple[str, str]]]]:
    """Swarms to start: placement, whether it is imposed, and the (group, method) that use it.

    Methods with the same placement and pool share one, until a server of it is killed.
    """
    found: dict[str, tuple[Placement, bool, list[tuple[str, str]]]] = {}
    broken: set[str] = set()
    for group, case in settings.cases.items():
        for name in case.methods:
            method = settings.methods[name]
            placement = placement_of(settings, group, method, profiles, swarm)
            for key, (other, imposed, users) in found.items():
                same = imposed == method.impose_blocks and all(
                    np.array_equal(getattr(other, part), getattr(placement, part))
                    for part in ("first_block", "blocks", "cache_tokens")
                )
                if same and key not in broken:
                    users.append((group, name))
                    break
            else:
                key = f"{group}/{name}"
                found[key] = (placement, method.impose_blocks, [(group, name)])
            if case.kill_after_s is not None:
                broken.add(key)
    return found


def _placement_record(placement: Placement, ranges: Mapping[int, Sequence[int]]) -> dict[str, Any]:
    hosted = {
        server: [int(placement.first_block[server]), int(placement.last_block[server])]
        for server in range(placement.swarm.servers)
        if placement.blocks[server] > 0
    }
    measured = _numbered_from_one(ranges)
    return {"predicted": hosted, "measured": measured, "equal": hosted == measured}


def _numbered_from_one(ranges: Mapping[Any, Sequence[int]]) -> dict[Any, list[int]]:
    """First and last block of every server, as in the paper, from PETALS' half-open ranges."""
    return {server: [first + 1, end] for server, (first, end) in sorted(ranges.items())}


def _line(case: Case, method: str, table: pd.DataFrame) -> str:
    done = table[table["status"] == "ok"]
    measured, predicted = done["per_token_ms"].mean(), done["predicted_per_token_ms"].mean()
    return (
        f"{case.group} {case.client_cluster} λ={case.rate_per_s:g} l={case.output_tokens} "
        f"{method}: {len(done)} of {len(table)} served, {measured:.0f} ms per token, "
        f"predicted {predicted:.0f} ({100 * (predicted / measured - 1):+.1f} %)"
    )


def _manifest(
    settings: TestbedSettings,
    profile: Profile,
    samples: Sequence[Sample],
    placements: Mapping[str, Any],
    machine: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that the table of requests rests on."""
    return {
        "settings": settings.model_dump(mode="json"),
        "profile": profile.as_dict(),
        "calibration": [
            {
                "client": sample.client,
                "chain": [list(part) for part in sample.chain],
                "ttft_ms": sample.ttft_ms,
                "remaining_per_token_ms": sample.remaining_per_token_ms,
            }
            for sample in samples
        ],
        "placements": dict(placements),
        "machine": dict(machine),
    }


def _machine() -> dict[str, Any]:
    """What a measurement also depends on: processor, load by others, priority, versions."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    names = {line.split(":", 1)[1].strip() for line in info if line.startswith("model name")}
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": ", ".join(sorted(names)),
        "cores": len(os.sched_getaffinity(0)),
        "niceness": os.nice(0),
        "load_average_at_start": os.getloadavg()[0],
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
