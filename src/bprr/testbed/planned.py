"""A planned run: profile the machines, plan them, start what the plan wrote, serve sessions.

What a user types is what runs: `bprr plan` is called as a command, in the run's folder, and the
servers start from its ``servers/NAME/config.yml`` by PETALS' own ``run_server --config``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from bprr.ground.errors import BprrError
from bprr.ground.swarm import FloatArray
from bprr.plan.calibrate import read_plan
from bprr.plan.petals_files import folder_names
from bprr.plan.record import PlanRecord
from bprr.scenario.workload import poisson_arrivals_ms
from bprr.testbed.calibration import CalibrationSession, Profile, fit_profile, random_chain
from bprr.testbed.experiment import refuse_where_it_cannot_run
from bprr.testbed.hosts import PORT, address_of, client_host, server_host
from bprr.testbed.loaded_records import Business
from bprr.testbed.machine import business_since, cpu_times, machine_at_start, machine_of
from bprr.testbed.planned_records import (
    ARMS,
    MACHINES,
    PINGS,
    PLANS,
    SESSIONS,
    PlannedManifest,
    PlannedRun,
    asked_for,
    log_rows,
    now_rows,
)
from bprr.testbed.planned_settings import PlannedSettings
from bprr.testbed.prediction import chain_text
from bprr.testbed.swarm_process import SwarmError, SwarmProcess

__all__ = ["run_planned"]

START_S = 240.0
PLAN_S = 300.0
LEAD_S = 0.5
REQUEST_TIMEOUT_S = 60.0
SLACK_S = 60.0
WHOLE_POOL_TOKENS = 4096


class _Planned:
    """A swarm process with what is asked of it in the terms of the settings."""

    def __init__(self, settings: PlannedSettings, process: SwarmProcess) -> None:
        self.settings, self.process = settings, process
        self.rng = np.random.default_rng(settings.seed)
        self.peers: dict[int, str] = {}
        self._local: dict[tuple[int, ...], list[int]] = {}

    def start(self, configurations: Mapping[int, Path] | None = None) -> None:
        """Start servers from a plan's files; from none, each with the whole model."""
        settings, specs = self.settings, []
        for server in range(len(settings.servers)):
            spec: dict[str, Any] = {"server": server, "device": self._device(server)}
            if configurations is None:
                spec |= {"range": [0, settings.blocks], "cache_tokens_per_block": WHOLE_POOL_TOKENS}
            elif server in configurations:
                spec["config"] = str(configurations[server].resolve())
            else:
                continue
            specs.append(spec)
        self.peers = {
            int(server): peer
            for server, peer in self.process.ask("start", START_S, servers=specs)["peers"].items()
        }

    def _device(self, server: int) -> dict[str, float]:
        device = self.settings.devices[self.settings.servers[server].gpu]
        rps = {"forward_rps": 10_000.0, "network_rps": 1_000.0}  # announced beside 1000/τ
        return {**device.model_dump(), "prefill_ms_per_token": 0.0, **rps}

    def round_trips_ms(self) -> FloatArray:
        """Median TCP connection times of all servers, then all clients, to every server."""
        servers, clients = len(self.settings.servers), len(self.settings.clients)
        repeats = self.settings.calibration.rtt_samples + 1  # the first may find a host asleep
        hosts = [server_host(s) for s in range(servers)]
        hosts += [client_host(c, servers) for c in range(clients)]
        addresses = [[address_of(server_host(server)), PORT] for server in range(servers)]
        arguments = {"hosts": hosts, "addresses": addresses, "repeats": repeats}
        answer = self.process.ask("connect_times", 60.0, **arguments)
        return np.array([[float(np.median(times[1:])) for times in rows] for rows in answer])

    def calibrate(self) -> list[CalibrationSession]:
        """Measure sessions one at a time, over random chains that nobody plans."""
        settings, plan = self.settings, self.settings.calibration
        servers, clients = len(settings.servers), len(settings.clients)
        found = []
        for number in range(-1, plan.sessions):  # the one numbered −1 warms up and is dropped
            client, hops = number % clients, 1 + number // clients % 4
            chain = random_chain(self.rng, servers, settings.blocks, hops)
            request = self._request(0.0, plan.output_tokens, chain)
            arguments = {"client": client, "do": "sessions", "requests": [request]}
            (record,) = self.process.ask("client", 60.0, **arguments)
            if record["status"] == "ok" and number >= 0:
                later_ms = record["last_token_ms"] - record["ttft_ms"]
                found.append(
                    CalibrationSession(
                        client=client,
                        chain=chain,
                        ttft_ms=record["ttft_ms"],
                        remaining_per_token_ms=later_ms / (plan.output_tokens - 1),
                    )
                )
        return found

    def _request(
        self, arrival_ms: float, output_tokens: int, chain: list[tuple[int, int, int]] | None
    ) -> dict[str, Any]:
        settings = self.settings
        ids = self.rng.integers(1, settings.stand_in.vocabulary, settings.input_tokens)
        imposed = None if chain is None else [[self.peers[s], a, b] for s, a, b in chain]
        return {
            "arrival_ms": arrival_ms,
            "input_ids": ids.tolist(),
            "output_tokens": output_tokens,
            "cache_tokens": settings.input_tokens + output_tokens,
            "chain": imposed,
            "note_known": chain is None,
        }

    def serve(self, name: str, arm: str, plan: PlanRecord) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Sessions of all clients by turns, on the plan's chains or as PETALS routes."""
        settings, count = self.settings, self.settings.sessions
        rng = np.random.default_rng([settings.seed, ARMS.index(arm)])
        arrivals_ms = poisson_arrivals_ms(rng, count, settings.rate_per_s)
        chains = {
            chain.client: _chain(chain.servers, chain.blocks_processed) for chain in plan.chains
        }
        clients = np.resize(np.arange(len(settings.clients)), count)
        requests = [
            self._request(
                float(arrival_ms),
                settings.output_tokens,
                chains[client] if arm == "planned" else None,
            )
            for client, arrival_ms in zip(clients.tolist(), arrivals_ms, strict=True)
        ]
        of_client = {c: np.flatnonzero(clients == c).tolist() for c in set(clients.tolist())}
        commands = [
            {"client": c, "do": "sessions", "requests": [requests[i] for i in numbers]}
            for c, numbers in of_client.items()
        ]
        timeout_s = float(arrivals_ms[-1]) / 1000.0 + SLACK_S
        answers = self.process.ask("clients", timeout_s, commands=commands, lead_s=LEAD_S)
        records: list[Any] = [None] * count
        for numbers, answer in zip(of_client.values(), answers, strict=True):
            for number, record in zip(numbers, answer, strict=True):
                records[number] = record
        return self._tables(name, arm, clients.tolist(), requests, records)

    def _tables(
        self, name: str, arm: str, clients: list[int], requests: list[Any], records: list[Any]
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        server_of = {peer: server for server, peer in self.peers.items()}
        local = self.process.ask("client", 120.0, client=0, do="local_tokens", requests=requests)
        sessions, pings = [], []
        for number, (request, record) in enumerate(zip(requests, records, strict=True)):
            done = record.get("status") == "ok"
            chain = [(server_of[peer], a, b) for peer, a, b in record.get("chain", ())]
            row = {
                "plan": name,
                "arm": arm,
                "session": number,
                "client": self.settings.clients[clients[number]],
                "arrival_ms": request["arrival_ms"],
                "output_tokens": request["output_tokens"],
                "status": record.get("status", "timeout"),
                "lag_ms": record.get("lag_ms", np.nan),
                "ttft_ms": record.get("ttft_ms", np.nan),
                "completion_ms": record["last_token_ms"] if done else np.nan,
                "retries": record.get("retries", -1),
                "chain": chain_text(chain),
                "tokens_equal": done and record["token_ids"] == local[number],
            }
            sessions.append(row)
            known = record.get("known", {})
            ways = {"": known.get("pings_ms", {}), **known.get("between_ms", {})}
            for here, to in ways.items():
                for there, rtt_ms in to.items():
                    if there in server_of and (here == "" or here in server_of):
                        source = server_of.get(here, -1)
                        pings.append([name, number, source, server_of[there], rtt_ms])
        return pd.DataFrame(sessions, columns=list(SESSIONS)), pd.DataFrame(
            pings, columns=list(PINGS)
        )


def _chain(servers: list[int], processed: list[int]) -> list[tuple[int, int, int]]:
    ends = np.cumsum(processed).tolist()
    return list(zip(servers, [0, *ends[:-1]], ends, strict=True))


def write_machines(settings: PlannedSettings, profile: Profile, rtt_ms: FloatArray, folder: Path):  # type: ignore[no-untyped-def]
    """What an operator has to hand: machines, their profiles, round trips, the model."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [server.name for server in settings.servers]
    ends = [*names, *settings.clients]
    lines = ["from,to,rtt_ms"]
    for here, row in zip(ends, rtt_ms.tolist(), strict=True):
        lines += [f"{here},{to},{ms:.3f}" for to, ms in zip(names, row, strict=True) if here != to]
    # Clients never talk to each other; a plan wants to know all the same.
    lines += [f"{a},{b},{settings.inside_ms:g}" for a in settings.clients for b in settings.clients
              if a < b]  # fmt: skip
    (folder / "rtt.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    rows = [[s.name, s.gpu, f"{s.memory_gb:g}", s.place] for s in settings.servers]
    text = "\n".join(",".join(row) for row in [["name", "gpu", "memory_gb", "place"], *rows])
    (folder / "servers.csv").write_text(text + "\n", encoding="utf-8")
    devices = {
        gpu: {
            "title": gpu,
            "tau_ms": round(profile.tau_ms[gpu], 4),
            "prefill_ms": round(profile.prefill_ms[gpu], 4),
            "prefill_ms_per_token": 0.0,
            "memory_gb": max(s.memory_gb for s in settings.servers if s.gpu == gpu),
            "forward_rps": 10_000.0,
            "network_rps": 1_000.0,
            "inference_rps": 1000.0 / emulated.tau_ms,
        }
        for gpu, emulated in settings.devices.items()
    }
    (folder / "devices.yaml").write_text(yaml.safe_dump(devices, sort_keys=False), encoding="utf-8")
    model = json.dumps(settings.model, indent=1) + "\n"
    (folder / "config.json").write_text(model, encoding="utf-8")


def plan_machines(settings: PlannedSettings, name: str, folder: Path) -> PlanRecord:
    """Run ``bprr plan`` in the folder of the run; its record."""
    command = [sys.executable, "-m", "bprr", "plan", *asked_for(settings, name)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PLAN_S)
    if done.returncode != 0:
        raise BprrError(f"bprr plan: {done.stderr.strip()}")
    return read_plan(folder / PLANS / name)


def run_planned(
    settings: PlannedSettings,
    folder: Path,
    log: Path | None = None,
    say: Callable[[str], object] = print,
) -> PlannedRun:
    """Profile, plan, start and serve; the folder holds what was planned.

    Parameters
    ----------
    settings : PlannedSettings
        The run.
    folder : Path
        Of the run; machines and plans are written to it.
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
    BprrError
        If the machines cannot be planned.
    """
    refuse_where_it_cannot_run()
    machine = machine_at_start()
    sessions, pings = [], []
    business: dict[str, Business] = {}
    not_measured: dict[str, str] = {}
    with SwarmProcess(_hosts(settings), log) as process:
        swarm = _Planned(settings, process)
        swarm.start()
        calibration = swarm.calibrate()
        rtt_ms = swarm.round_trips_ms()
        gpus = [server.gpu for server in settings.servers]
        profile = fit_profile(calibration, rtt_ms[len(gpus) :], gpus)
        process.ask("stop", 60.0)
        say(f"profiles from {len(calibration)} sessions: {profile.hop_ms:.1f} ms a hop and token")
        write_machines(settings, profile, rtt_ms, folder / MACHINES)
        for name in settings.plans:
            plan = plan_machines(settings, name, folder)
            folders = folder_names(plan.placement)
            configurations = {
                server.server: folder / PLANS / name / "servers" / folders[server.server]
                / "config.yml" for server in plan.placement if server.blocks
            }  # fmt: skip
            now = now_rows(settings, plan)
            (folder / MACHINES / f"{name}.csv").write_text(now, encoding="utf-8")
            swarm.start(configurations)
            for arm in ARMS:
                key = f"{name}/{arm}"
                if arm == "shipped":
                    time.sleep(settings.warm_s)
                before, start_s = cpu_times(), time.monotonic()
                try:
                    served, seen = swarm.serve(name, arm, plan)
                except SwarmError as error:
                    not_measured[key] = str(error)
                    say(f"{key}: {error}")
                    break
                business[key] = business_since(before, time.monotonic() - start_s)
                sessions.append(served)
                pings.append(seen)
                say(_line(key, served, business[key]))
            process.ask("stop", 60.0)
        packages = dict(process.packages)
    manifest = PlannedManifest(
        settings=settings,
        profile=profile,
        calibration=calibration,
        machine=machine_of(machine, packages),
        business=business,
        not_measured=not_measured,
    )
    run = PlannedRun(
        pd.concat(sessions, ignore_index=True), pd.concat(pings, ignore_index=True), manifest
    )
    for name in settings.plans:
        log_rows(run, name).to_csv(folder / f"log_{name}.csv", index=False, lineterminator="\n")
    return run


def _hosts(settings: PlannedSettings) -> dict[str, Any]:
    rtt_ms = settings.rtt_between_hosts_ms()
    return {
        "rtt_ms": rtt_ms.tolist(),
        "mbit_per_s": np.full_like(rtt_ms, settings.mbit_per_s).tolist(),
        "servers": len(settings.servers),
        "clients": len(settings.clients),
        "update_period_s": settings.update_period_s,
        "max_pinged": settings.max_pinged,
        "request_timeout_s": REQUEST_TIMEOUT_S,
        "max_retries": settings.max_retries,
        "model": {"blocks": settings.blocks, **settings.stand_in.model_dump()},
    }


def _line(key: str, rows: pd.DataFrame, business: Business) -> str:
    done = rows[rows["status"] == "ok"]
    later = (done["completion_ms"] - done["ttft_ms"]) / (done["output_tokens"] - 1)
    return (
        f"{key}: {len(done)} of {len(rows)} served, {int(rows['tokens_equal'].sum())} with the "
        f"tokens of local transformers, {later.median():.0f} ms per token, TTFT "
        f"{done['ttft_ms'].median():.0f} ms (medians); machine {100 * business.busy:.0f} % busy, "
        f"{100 * business.others:.0f} % by others; {business.seconds:.0f} s"
    )
