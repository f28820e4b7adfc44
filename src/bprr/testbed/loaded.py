"""A loaded run: sessions that queue at genuine PETALS servers, every task of which is logged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bprr.ground.swarm import FloatArray, Swarm
from bprr.scenario.draw import Catalogue
from bprr.scenario.workload import Workload
from bprr.testbed.calibration import random_chain
from bprr.testbed.experiment import refuse_where_it_cannot_run
from bprr.testbed.hosts import PORT, address_of, server_host
from bprr.testbed.loaded_records import (
    CALIBRATION,
    HOPS,
    SESSIONS,
    TASKS,
    TIMES,
    Business,
    LoadedManifest,
    LoadedRun,
)
from bprr.testbed.loaded_settings import Arm, LoadedSettings
from bprr.testbed.machine import business_since, cpu_times, machine_at_start, machine_of
from bprr.testbed.prediction import Chain
from bprr.testbed.swarm_process import SwarmError, SwarmProcess

__all__ = [
    "LoadedSwarm",
    "Tables",
    "business_since",
    "cpu_times",
    "hosts_of_load",
    "load_line",
    "run_loaded",
]

START_S = 240.0
LEAD_S = 1.0  # for the clients to make their threads
SLACK_S = 90.0
APART_MS = 1e5  # between sessions of the calibration, longer than any
REQUEST_TIMEOUT_S = 300.0  # a step may queue for long
AS_SHIPPED = Arm(label="calibration")


Tables = dict[str, pd.DataFrame]  # sessions, hops, tasks


class LoadedSwarm:
    """A swarm process with what is asked of it in the terms of the settings."""

    def __init__(self, settings: LoadedSettings, swarm: Swarm, process: SwarmProcess) -> None:
        self.settings, self.swarm, self.process = settings, swarm, process
        self._names = list(settings.clients)
        self.peers: dict[int, str] = {}
        self._local: dict[tuple[int, ...], list[int]] = {}

    def start(self, arm: Arm, whole_model: bool = False) -> None:
        """Start the servers, which serve as an arm says; all host all blocks if they have to."""
        specs = [
            {
                "server": number,
                "range": [0, self.settings.blocks] if whole_model else [first - 1, last],
                "cache_tokens_per_block": self.settings.cache_tokens,
                "device": self.device(number),
                "order": arm.order,
                "prompt": arm.prompt,
                "prefetch_batches": arm.prefetch // 2,
            }
            for number, server in enumerate(self.settings.servers)
            for first, last in [server.blocks]
        ]
        self.start_servers(specs)

    def start_servers(self, specs: Sequence[Mapping[str, Any]]) -> dict[int, list[int]]:
        """Start servers; the blocks that each of them has come to serve."""
        answer = self.process.ask("start", START_S, servers=specs)
        self.peers = {int(server): peer for server, peer in answer["peers"].items()}
        return {int(server): blocks for server, blocks in answer["ranges"].items()}

    def stop(self) -> None:
        """Kill servers and clients."""
        self.process.ask("stop", 60.0)

    def device(self, server: int) -> dict[str, float]:
        """What a server emulates and announces."""
        swarm = self.swarm
        names = ("tau_ms", "prefill_ms", "prefill_ms_per_token")
        rps = {"forward_rps": 1000.0, "network_rps": 1000.0}  # announced; chains are imposed
        return rps | {name: float(getattr(swarm, name)[server]) for name in names}

    def round_trips_ms(self) -> FloatArray:
        """Median TCP connection times of every client to every server."""
        repeats = self.settings.calibration.rtt_samples + 1  # the first may find a host asleep
        addresses = [[address_of(server_host(s)), PORT] for s in range(self.swarm.servers)]
        arguments = {"repeats": repeats, "addresses": addresses}
        asked = [
            self.process.ask("client", 60.0, client=client, do="connect_times", **arguments)
            for client in range(self.swarm.clients)
        ]
        return np.array([[float(np.median(times[1:])) for times in rows] for rows in asked])

    def calibrate(self) -> list[Tables]:
        """Measure sessions alone and a few at once, on chains that nobody scores."""
        settings, plan = self.settings, self.settings.calibration
        rng, number = np.random.default_rng(settings.seed), 0
        found: list[Tables] = []
        for count in [1] * (plan.alone + 1) + plan.together:
            client = number % self.swarm.clients
            hops = 1 + number // self.swarm.clients % 3
            chain = random_chain(rng, self.swarm.servers, settings.blocks, hops)
            workload = Workload(
                np.zeros(count),
                np.full(count, client),
                np.full(count, settings.input_tokens),
                np.full(count, plan.output_tokens),
            )
            key = (CALIBRATION, str(count))
            tables = self.serve(key, AS_SHIPPED, workload, [chain] * count, 30.0, number)
            tables["tasks"][TIMES] += APART_MS * len(found)  # each has begun at 0
            found.append(tables)
            number += count
        return found[1:]  # the first one of all has warmed up

    def serve(
        self,
        key: tuple[str, str],
        arm: Arm,
        workload: Workload,
        chains: Sequence[Chain | None],
        timeout_s: float,
        first: int = 0,
        rule: Mapping[str, Any] | None = None,
    ) -> Tables:
        """Let sessions be served, numbered from the first on; ``key`` is their case and arm.

        Those without a chain take what a coordinator says by a ``rule``, or PETALS' own.
        """
        prompts = np.random.default_rng(self.settings.seed)
        requests = []
        for index in range(len(workload)):
            ids = prompts.integers(1, self.settings.stand_in.vocabulary, self.settings.input_tokens)
            requests.append(
                {
                    "arrival_ms": float(workload.arrival_ms[index]),
                    "input_ids": ids.tolist(),
                    "output_tokens": int(workload.output_tokens[index]),
                    "cache_tokens": int(workload.cache_tokens[index]),
                    "chain": self.for_petals(chains[index]),
                    "rank": first + index,
                    "token_by_token": arm.prompt == "token",
                }
            )
        clients = sorted(set(workload.client.tolist()))
        of_client = {c: np.flatnonzero(workload.client == c).tolist() for c in clients}
        commands = [
            {
                "client": c,
                "do": "sessions",
                "requests": [requests[i] for i in of_client[c]],
                "rule": rule,
            }
            for c in clients
        ]
        answers = self.process.ask("clients", timeout_s, commands=commands, lead_s=LEAD_S)
        records: list[Any] = [None] * len(requests)
        for client, answer in zip(clients, answers, strict=True):
            for index, record in zip(of_client[client], answer, strict=True):
                records[index] = record
        logs = self.process.ask("tasks", 30.0)
        start_s = next((r["start_s"] for r in records if "start_s" in r), 0.0)
        tasks = tasks_of(logs, start_s)
        local = self._locally(requests)
        names = [self._names[c] for c in workload.client]
        sessions = _session_rows(workload, names, records, local, first)
        server_of = {peer: server for server, peer in self.peers.items()}
        taken = [
            [(server_of[peer], a, b) for peer, a, b in record.get("chain", ())]
            if chain is None
            else chain
            for chain, record in zip(chains, records, strict=True)
        ]
        hops = hop_rows(records, taken, tasks, first, self.settings.input_tokens)
        tables = {"sessions": sessions, "hops": hops, "tasks": tasks}
        for table in tables.values():
            table.insert(0, "case", key[0])
            table.insert(1, "arm", key[1])
        return tables

    def for_petals(self, chain: Chain | None) -> list[list[Any]] | None:
        """Chain by the peers that serve it."""
        if chain is None:
            return None
        return [[self.peers[server], start, end] for server, start, end in chain]

    def _locally(self, requests: Sequence[Mapping[str, Any]]) -> list[list[int]]:
        """Greedy tokens of local transformers, which a shorter session has in part."""
        for request in requests:
            key = tuple(request["input_ids"])
            if len(self._local.get(key, ())) < request["output_tokens"]:
                asked = {"client": 0, "do": "local_tokens", "requests": [request]}
                (self._local[key],) = self.process.ask("client", 60.0, **asked)
        return [self._local[tuple(r["input_ids"])][: r["output_tokens"]] for r in requests]


def tasks_of(logs: Mapping[str, Sequence[str]], start_s: float) -> pd.DataFrame:
    """Tasks of all servers by the session that they belong to; times since an instant (ms)."""
    rows = []
    for server, lines in logs.items():
        rank_of: dict[str, int] = {}
        for kind, handle, *rest in map(str.split, lines):
            if kind == "S":
                rank_of[handle] = int(rest[0])
                continue
            prefix, tokens, blocks = map(int, rest[:3])
            times = [1000.0 * (float(t) - start_s) for t in rest[3:]]
            rows.append([rank_of[handle], int(server), prefix, tokens, blocks, *times])
    table = pd.DataFrame(rows, columns=list(TASKS)[2:])
    return table.sort_values(["server", "started_ms"], ignore_index=True)


def hop_rows(
    records: Sequence[Mapping[str, Any]],
    chains: Sequence[Chain],
    tasks: pd.DataFrame,
    first: int,
    input_tokens: int,
) -> pd.DataFrame:
    """Sums over the passes of every session at each of its servers, of its first token and after.

    A pass belongs to the prompt if it begins before the last token of the prompt is in the cache.
    """
    tasks = tasks.assign(
        queue_ms=tasks["started_ms"] - tasks["submitted_ms"],
        computing_ms=tasks["ended_ms"] - tasks["started_ms"],
        when=np.where(tasks["prefix"] < input_tokens, "prompt", "token"),
    )
    sums = tasks.groupby(["session", "server", "when"])[["queue_ms", "computing_ms"]].sum()
    work = sums.to_dict("index")
    rows = []
    for index, (record, chain) in enumerate(zip(records, chains, strict=True)):
        for server, start, end in chain:
            steps = [b - a for block, a, b in record.get("steps", ()) if block == start]
            of_prompt = len(steps) - max(record.get("tokens", 1) - 1, 0)
            rounds = {"prompt": sum(steps[:of_prompt]), "token": sum(steps[of_prompt:])}
            row: list[Any] = [first + index, server, end - start, len(steps)]
            for when, round_s in rounds.items():
                parts = work.get((first + index, server, when), {})
                row.append(1000.0 * round_s)
                row += [parts.get("queue_ms", 0.0), parts.get("computing_ms", 0.0)]
            rows.append(row)
    return pd.DataFrame(rows, columns=list(HOPS)[2:])


def _session_rows(
    workload: Workload,
    clients: Sequence[str],
    records: Sequence[Mapping[str, Any]],
    local: Sequence[Sequence[int]],
    first: int,
) -> pd.DataFrame:
    rows = [
        [
            first + index,
            clients[index],
            workload.arrival_ms[index],
            int(workload.output_tokens[index]),
            record.get("status", "timeout"),
            record.get("lag_ms", np.nan),
            record.get("wait_ms", np.nan),
            record.get("ttft_ms", np.nan),
            record["last_token_ms"] if record.get("status") == "ok" else np.nan,
            record.get("retries", -1),
            record.get("token_ids") == list(local[index]),
        ]
        for index, record in enumerate(records)
    ]
    return pd.DataFrame(rows, columns=list(SESSIONS)[2:])


def run_loaded(
    settings: LoadedSettings,
    catalogue: Catalogue,
    log: Path | None = None,
    say: Callable[[str], object] = print,
) -> LoadedRun:
    """Calibrate, then serve every case by every arm.

    Parameters
    ----------
    settings, catalogue
        The run, and the devices and models that it names.
    log : Path, optional
        Folder that keeps the logs of all processes.
    say : callable
        Told what goes on, a line at a time.

    Raises
    ------
    CannotRun
        If this machine lacks something.
    SwarmError
        If a swarm cannot be started.
    """
    refuse_where_it_cannot_run()
    machine = machine_at_start()
    tables: list[Tables] = []
    business: dict[str, Business] = {}
    not_measured: dict[str, str] = {}
    rtt_ms: list[list[float]] = []
    for slowdown in sorted({1.0, *(case.slowdown for case in settings.cases.values())}):
        swarm = settings.swarm(catalogue, slowdown)
        with SwarmProcess(hosts_of_load(settings, slowdown), log) as process:
            loaded = LoadedSwarm(settings, swarm, process)
            if slowdown == 1.0:
                loaded.start(AS_SHIPPED, whole_model=True)
                rtt_ms = loaded.round_trips_ms().tolist()
                tables += loaded.calibrate()
                loaded.stop()
                say(f"calibrated on {sum(len(each['sessions']) for each in tables)} sessions")
            for arm_name, arm in settings.arms.items():
                cases = {
                    name: case
                    for name, case in settings.cases.items()
                    if arm_name in case.arms and case.slowdown == slowdown
                }
                if not cases:
                    continue
                loaded.start(arm)
                for name, case in cases.items():
                    workload = settings.workload(case, swarm)
                    chains = [settings.chain(list(settings.clients)[c]) for c in workload.client]
                    work_s = len(workload) / settings.capacity_per_s(case, swarm)
                    timeout_s = 2.0 * (workload.arrival_ms[-1] / 1000.0 + work_s) + SLACK_S
                    before, start_s = cpu_times(), time.monotonic()
                    key = f"{name}/{arm_name}"
                    try:
                        served = loaded.serve((name, arm_name), arm, workload, chains, timeout_s)
                    except SwarmError as error:
                        not_measured[key] = str(error)
                        say(f"{key}: {error}")
                        break  # what the clients still do would be in the next case
                    business[key] = business_since(before, time.monotonic() - start_s)
                    tables.append(served)
                    say(load_line(key, served["sessions"], business[key]))
                loaded.stop()
            packages = dict(process.packages)
    manifest = LoadedManifest(
        settings=settings,
        rtt_ms=rtt_ms,
        machine=machine_of(machine, packages),
        business=business,
        not_measured=not_measured,
    )
    joined = {
        name: pd.concat([each[name] for each in tables], ignore_index=True) for name in tables[0]
    }
    return LoadedRun(manifest=manifest, **joined)


def hosts_of_load(settings: LoadedSettings, slowdown: float) -> dict[str, Any]:
    """Network between the hosts, and what all processes are to know."""
    rtt_ms = settings.rtt_between_hosts_ms(slowdown)
    return {
        "rtt_ms": rtt_ms.tolist(),
        "mbit_per_s": np.full_like(rtt_ms, settings.mbit_per_s).tolist(),
        "servers": len(settings.servers),
        "clients": len(settings.clients),
        "update_period_s": settings.update_period_s,
        "request_timeout_s": REQUEST_TIMEOUT_S,
        "max_retries": settings.max_retries,
        "model": {"blocks": settings.blocks, **settings.stand_in.model_dump()},
    }


def load_line(key: str, rows: pd.DataFrame, business: Business) -> str:
    """What was seen in a case."""
    done = rows[rows["status"] == "ok"]
    per_token_ms = (done["completion_ms"] / done["output_tokens"]).mean()
    return (
        f"{key}: {len(done)} of {len(rows)} served, {int(rows['tokens_equal'].sum())} with the "
        f"tokens of local transformers, {per_token_ms:.0f} ms per token, TTFT "
        f"{done['ttft_ms'].mean():.0f} ms; machine {100 * business.busy:.0f} % busy, "
        f"{100 * business.others:.0f} % by others; {business.seconds:.0f} s"
    )
