"""A windows run: frames over TCP and activations through PETALS after pauses, by kernel setting."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from bprr.ground.schema import Count, Milliseconds, NonNegative, Positive, Refused, Strict
from bprr.ground.tables import NUMBER, TEXT, WHOLE
from bprr.settings.messages import validated
from bprr.settings.yaml_file import read_yaml
from bprr.testbed.experiment import refuse_where_it_cannot_run
from bprr.testbed.machine import machine_at_start, machine_of
from bprr.testbed.namespaces import allowing
from bprr.testbed.records import (
    Machine,
    read_manifest,
    read_tables,
    write_manifest,
    write_tables,
)
from bprr.testbed.settings import Seed, StandIn
from bprr.testbed.swarm_process import SwarmError, SwarmProcess

__all__ = [
    "FramesRun",
    "FramesSettings",
    "load_frames",
    "read_frames",
    "run_frames",
    "write_frames",
]

PROBE_S, START_S, SLACK_S = 600.0, 240.0, 60.0
DROPPED = 2  # first steps after each pause, as of the probe's frames


class PetalsFrames(Strict):
    """Activations through genuine PETALS: one server at each distance, a client for each."""

    controls: list[str]
    widths: Annotated[list[Count], Field(min_length=1)]
    tau_ms: Milliseconds
    repeats: Count
    blocks: Count = 2


class FramesSettings(Strict):
    """A windows run (``config/testbed/frames.yaml``)."""

    title: str
    rtt_ms: Annotated[list[Positive], Field(min_length=1)]
    mbit_per_s: Positive
    frame_kb: Annotated[list[Positive], Field(min_length=1)]
    pauses_s: Annotated[list[NonNegative], Field(min_length=1)]
    repeats: Count
    controls: dict[str, dict[str, str]] = Field(description="kernel settings (net.ipv4), by name")
    petals: PetalsFrames
    stand_in: StandIn = StandIn()
    seed: Seed = 1

    @model_validator(mode="after")
    def _names_exist(self) -> FramesSettings:
        for name in self.petals.controls:
            if name not in self.controls:
                raise Refused("petals.controls", name, ", ".join(self.controls))
        return self

    @property
    def algorithms(self) -> list[str]:
        """Congestion controls in use."""
        key = "tcp_congestion_control"
        return [each[key] for each in self.controls.values() if key in each]


class FramesManifest(Strict):
    """What the tables of a windows run rest on."""

    settings: FramesSettings
    machine: Machine


FRAMES = {
    "controls": TEXT,
    "rtt_ms": NUMBER,
    "frame_bytes": WHOLE,
    "pause_s": NUMBER.with_gaps,  # none: the first frame of a connection
    "repeat": WHOLE,
    "took_ms": NUMBER,  # there and back
    "opened_ms": NUMBER,  # until the connection was open
    "rto_ms": NUMBER,  # timeout and congestion window (segments) before the frame
    "window": WHOLE,
    "resent": WHOLE,
}
STEPS = {
    "controls": TEXT,
    "rtt_ms": NUMBER,
    "width": WHOLE,
    "pause_s": NUMBER,
    "step": WHOLE,
    "took_ms": NUMBER,  # from sending an activation until the answer is there
    "server_ms": NUMBER,  # of it between submission and end of the task at the server
    "sent_bytes": WHOLE,
    "received_bytes": WHOLE,
}
FILES = {"frames": FRAMES, "steps": STEPS}


@dataclass(frozen=True)
class FramesRun:
    """Tables of a windows run and its manifest."""

    frames: pd.DataFrame
    steps: pd.DataFrame
    manifest: FramesManifest


def load_frames(path: Path) -> FramesSettings:
    """Read and check the settings of a windows run.

    Raises
    ------
    InputError, InputErrors
        If a key is unknown or holds an unusable value.
    """
    return validated(FramesSettings, read_yaml(path), path)


def write_frames(run: FramesRun, folder: Path) -> None:
    """Write tables and manifest."""
    write_tables({name: getattr(run, name) for name in FILES}, folder)
    write_manifest(run.manifest, folder)


def read_frames(folder: Path) -> FramesRun:
    """Read a windows run.

    Raises
    ------
    InputError, InputErrors
        If a file cannot be read, or is not what such a run writes.
    """
    manifest = read_manifest(FramesManifest, folder, "a windows run")
    tables = read_tables(FILES, folder, "of a windows run (bprr testbed frames)")
    return FramesRun(tables["frames"], tables["steps"], manifest)


def run_frames(
    settings: FramesSettings, log: Path | None = None, say: Callable[[str], object] = print
) -> FramesRun:
    """Measure frames by every kernel setting and distance side by side, then PETALS in turn.

    Parameters
    ----------
    settings : FramesSettings
        The run.
    log : Path, optional
        Folder that keeps the logs of PETALS' processes.
    say : callable
        Told what goes on, a line at a time.

    Raises
    ------
    CannotRun
        If this machine lacks something.
    SwarmError
        If a probe fails, or a swarm cannot be started.
    """
    refuse_where_it_cannot_run()
    machine = machine_at_start()
    packages: dict[str, str] = {}
    with allowing(settings.algorithms):
        with _probes(settings) as probes:
            frames = pd.DataFrame([row for probe in probes for row in _rows(*probe)])
        say(f"{len(frames)} frames")
        steps = []
        for name in settings.petals.controls:
            with SwarmProcess(_hosts(settings, name), log) as process:
                steps += _steps(settings, name, process)
                packages = dict(process.packages)
            say(f"PETALS, {name}: {len(steps)} steps so far")
    manifest = FramesManifest(
        settings=settings,
        machine=machine_of(machine, packages),
    )
    return FramesRun(frames[list(FRAMES)], pd.DataFrame(steps, columns=list(STEPS)), manifest)


Probe = tuple[str, float, subprocess.Popen[str]]


@contextmanager
def _probes(settings: FramesSettings) -> Iterator[list[Probe]]:
    command = [
        "unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
        sys.executable, "-m", "bprr.testbed.frame_probe",
    ]  # fmt: skip
    sizes = [round(1000 * size) for size in settings.frame_kb]
    found: list[Probe] = []
    try:
        for name, controls in settings.controls.items():
            for rtt_ms in settings.rtt_ms:
                # No two send their largest frames at the same time.
                turn = len(found) % len(sizes)
                job = {
                    "frame_bytes": sizes[turn:] + sizes[:turn],
                    "pauses_s": settings.pauses_s,
                    "repeats": settings.repeats,
                    "rtt_ms": rtt_ms,
                    "mbit_per_s": settings.mbit_per_s,
                    # What one connection has learned, the next is not to know.
                    "controls": {"tcp_no_metrics_save": "1", **controls},
                }
                probe = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
                assert probe.stdin is not None
                probe.stdin.write(json.dumps(job))
                probe.stdin.close()
                found.append((name, rtt_ms, probe))
        yield found
    finally:
        for _, _, probe in found:
            probe.kill()
            probe.wait()


def _rows(name: str, rtt_ms: float, probe: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert probe.stdout is not None
    for line in probe.stdout:
        yield {"controls": name, "rtt_ms": rtt_ms, **json.loads(line)}
    if probe.wait() != 0:
        raise SwarmError(f"testbed: the probe of {name} at {rtt_ms:g} ms has failed")


def _hosts(settings: FramesSettings, name: str) -> dict[str, Any]:
    """First peer, a server at each distance from everybody, a client for each."""
    servers = len(settings.rtt_ms)
    rtt_ms = np.full((1 + 2 * servers,) * 2, min(settings.rtt_ms))
    for server, away_ms in enumerate(settings.rtt_ms, start=1):
        rtt_ms[server, :] = rtt_ms[:, server] = away_ms
    np.fill_diagonal(rtt_ms, 0.0)
    return {
        "rtt_ms": rtt_ms.tolist(),
        "mbit_per_s": np.full_like(rtt_ms, settings.mbit_per_s).tolist(),
        "servers": servers,
        "clients": servers,
        "update_period_s": 300.0,  # nothing else is to be on the wire
        "request_timeout_s": 60.0,
        "max_retries": 3,
        "controls": settings.controls[name],
        "model": {"blocks": settings.petals.blocks, **settings.stand_in.model_dump()},
    }


def _steps(settings: FramesSettings, name: str, process: SwarmProcess) -> list[dict[str, Any]]:
    own, servers = settings.petals, range(len(settings.rtt_ms))
    device = {
        "tau_ms": own.tau_ms / own.blocks, "prefill_ms": own.tau_ms, "prefill_ms_per_token": 0.0,
        "forward_rps": 1e4, "network_rps": 1e3,
    }  # fmt: skip
    repeats = DROPPED + own.repeats
    specs = [
        {
            "server": server, "range": [0, own.blocks], "device": device,
            "cache_tokens_per_block": 4 * repeats, "torch_dtype": "bfloat16",
        } for server in servers
    ]  # fmt: skip
    peers = process.ask("start", START_S, servers=specs)["peers"]
    cells = [[width, pause_s] for width in own.widths for pause_s in settings.pauses_s]
    lasting_s = len(own.widths) * repeats * sum(pause_s + 1 for pause_s in settings.pauses_s)
    commands = [
        {
            "client": server, "do": "steps", "cells": cells, "repeats": repeats,
            "chain": [[peers[str(server)], 0, own.blocks]],
        } for server in servers
    ]  # fmt: skip
    answers = process.ask("clients", lasting_s + SLACK_S, commands=commands, lead_s=0.5)
    logs = process.ask("tasks", 30.0)
    found = []
    for server, answer in zip(servers, answers, strict=True):
        tasks = [line.split()[5:] for line in logs[str(server)] if line.startswith("T ")]
        ends = iter([(float(task[0]), float(task[3])) for task in tasks])
        for cell in answer:
            for step, (sent_s, received_s, sent, received) in enumerate(cell["steps"]):
                submitted_s, ended_s = next(ends)
                if step < DROPPED:
                    continue
                found.append(
                    {
                        "controls": name,
                        "rtt_ms": settings.rtt_ms[server],
                        "width": cell["width"],
                        "pause_s": cell["pause_s"],
                        "step": step,
                        "took_ms": 1000.0 * (received_s - sent_s),
                        "server_ms": 1000.0 * (ended_s - submitted_s),
                        "sent_bytes": sent,
                        "received_bytes": received,
                    }
                )
    return found
