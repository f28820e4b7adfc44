"""Runs that are killed at random instants, and go on by the same command."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tests.campaign.finding import Finding
from tests.campaign.projects import TARGET, broken, checked, command, differing, snakemake
from tests.workflow.house import copied

__all__ = ["TRIES", "run"]

TRIES = 50
FEW = 30  # up to so many kills, of one sweep instead of the whole smoke run
SMALL = [TARGET, "--config", "runs=6", "runs_per_job=2"]
SMOKE = ["--configfile", "config/smoke.yaml"]


def run(tries: int, chance: random.Random, folder: Path) -> Iterator[Finding]:
    """So many kills, and a comparison with a run that nobody killed."""
    whole, killed = (copied(folder / name, linked=("src",)) for name in ("whole", "killed"))
    arguments, longest_s = (SMOKE, 12.0) if tries > FEW else (SMALL, 8.0)
    begin = time.monotonic()
    status, text = snakemake(whole, *arguments)
    yield checked("a run that nobody kills", wrong=failed(status), text=text, counts=False)
    kills = 0
    while kills < tries:
        finished = killed_run(killed, arguments, chance, longest_s, with_jobs=chance.random() < 0.7)
        damaged = broken(killed)
        if not finished:
            kills += 1
            wrong = {f"half-written: {', '.join(damaged)}": bool(damaged)}
            yield checked(f"kill {kills}", wrong=wrong)
            continue
        yield compared(whole, killed, f"a run after {kills} kills")
        for name in ("results", "figures"):
            shutil.rmtree(killed / name, ignore_errors=True)
    status, text = snakemake(killed, *arguments)
    yield checked("the last resumption", wrong=failed(status), text=text, counts=False)
    found = compared(whole, killed, f"a run after {kills} kills")
    yield replace(found, seconds=time.monotonic() - begin)


def compared(whole: Path, killed: Path, what: str) -> Finding:
    """Whether the tables are the same."""
    differ = differing(whole / "results", killed / "results")
    differ += differing(whole / "figures", killed / "figures")
    wrong = {f"other tables: {', '.join(differ)}": bool(differ)}
    return checked(what, wrong=wrong, counts=False)


def failed(status: int) -> dict[str, bool]:
    return {f"status {status}": status != 0}


def killed_run(
    folder: Path,
    arguments: list[str],
    chance: random.Random,
    longest_s: float,
    *,
    with_jobs: bool,
) -> bool:
    """Start or resume a run and kill it, with its jobs or alone; return whether it had finished."""
    process = subprocess.Popen(
        command(arguments),
        cwd=folder,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": ""},
    )
    try:
        process.wait(chance.uniform(0.2, longest_s))
    except subprocess.TimeoutExpired:
        if with_jobs:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        return False
    finally:
        if with_jobs:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode == 0
