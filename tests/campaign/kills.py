"""Runs that are killed at random instants, and go on by the same command."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.campaign.finding import Finding
from tests.campaign.projects import TARGET, broken, checked, command, differing, snakemake
from tests.workflow.house import copied

__all__ = ["TRIES", "run"]

TRIES = 50
MOST_S = 3600.0  # of a run that nobody kills
FEW = 30  # up to so many kills, of one sweep instead of the whole smoke run
SMALL = [TARGET, "--config", "runs=6", "runs_per_job=2"]
SMOKE = ["--configfile", "config/smoke.yaml"]
# Mean time to a kill, of what an undisturbed run takes. Times are exponential, so that every
# instant is as likely as any other, and a job however long ends at last.
SHARE = {True: 1 / 20, False: 1 / 3}


def run(tries: int, chance: random.Random, folder: Path) -> Iterator[Finding]:
    """So many kills; what is there after each, and at the end, is what a run makes undisturbed."""
    whole, killed = (copied(folder / name, linked=("src",)) for name in ("whole", "killed"))
    arguments = SMOKE if tries > FEW else SMALL
    begin = time.monotonic()
    status, text = snakemake(whole, *arguments, seconds=MOST_S)
    yield checked("a run that nobody kills", wrong=failed(status), text=text, counts=False)
    mean_s = (time.monotonic() - begin) * SHARE[tries > FEW]
    kills = 0
    while kills < tries:
        after_s = chance.expovariate(1 / mean_s)
        ended = killed_run(killed, arguments, after_s, with_jobs=chance.random() < 0.7)
        damaged, other = broken(killed), differing(whole, killed, missing=False)
        wrong = {
            f"half-written: {', '.join(damaged)}": bool(damaged),
            f"other tables: {', '.join(other)}": bool(other),
        }
        if ended is None:
            kills += 1
            yield checked(f"kill {kills}, after {after_s:.1f} s", wrong=wrong)
            continue
        yield checked(f"a run after {kills} kills", wrong=wrong | failed(ended), counts=False)
        yield compared(whole, killed, f"a run after {kills} kills")
        if ended != 0:
            return
        for name in ("results", "figures"):
            shutil.rmtree(killed / name, ignore_errors=True)
    status, text = snakemake(killed, *arguments, seconds=MOST_S)
    yield checked("the last resumption", wrong=failed(status), text=text, counts=False)
    found = compared(whole, killed, f"a run after {kills} kills")
    yield replace(found, seconds=time.monotonic() - begin)


def compared(whole: Path, killed: Path, what: str) -> Finding:
    """Whether the tables are the same."""
    differ = differing(whole, killed)
    return checked(what, wrong={f"other tables: {', '.join(differ)}": bool(differ)}, counts=False)


def failed(status: int) -> dict[str, bool]:
    return {f"status {status}": status != 0}


def killed_run(
    folder: Path, arguments: list[str], after_s: float, *, with_jobs: bool
) -> int | None:
    """Start or resume a run and kill it, with its jobs or alone; its status if it has ended."""
    process = subprocess.Popen(
        command(arguments),
        cwd=folder,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": ""},
    )
    try:
        return process.wait(after_s)
    except subprocess.TimeoutExpired:
        if with_jobs:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        return None
