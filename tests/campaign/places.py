"""Full disks, folders that cannot be written to, clocks set back, two runs at once, a lost job."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.campaign.finding import Finding, Skipped
from tests.campaign.projects import TARGET, broken, checked, command, snakemake
from tests.workflow.house import copied

__all__ = ["TRIES", "run"]

TRIES = 6
DAY_S = 86_400


def run(tries: int, chance: random.Random, folder: Path) -> Iterator[Finding]:
    """The first so many of the places."""
    whole = copied(folder / "whole", linked=("src",))
    status, text = snakemake(whole, TARGET)
    wrong = {f"status {status}": status != 0}
    yield checked("a run as usual", wrong=wrong, text=text, counts=False)
    kept = (whole / TARGET).read_bytes()
    places: list[Callable[[Path, bytes], Iterator[Finding]]] = [
        two_runs, lost_job, partial(clock_set_back, whole), same_file_twice, full_disk, read_only,
    ]  # fmt: skip
    for number, place in enumerate(places[:tries]):
        yield from place(folder / f"place{number}", kept)


def two_runs(folder: Path, kept: bytes) -> Iterator[Finding]:
    """One of them is refused in words, the other one ends well."""
    copied(folder, linked=("src",))
    pair = [
        subprocess.Popen(
            command([TARGET]), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            encoding="utf-8", env={**os.environ, "PYTHONPATH": ""},
        )
        for _ in range(2)
    ]  # fmt: skip
    texts = [process.communicate(timeout=600)[0] for process in pair]
    statuses = sorted(process.returncode for process in pair)
    refused = [text for text in texts if "another run works in" in text]
    wrong = {
        f"statuses {statuses}": statuses != [0, 1],
        "nobody is refused": len(refused) != 1,
        "traceback": any("Traceback" in text for text in texts),
        "another table": (folder / TARGET).read_bytes() != kept,
    }
    yield checked("two runs in one folder at once", wrong=wrong, text=texts[0])


def lost_job(folder: Path, kept: bytes) -> Iterator[Finding]:
    """A job that is killed alone fails the run, which the same command takes up."""
    copied(folder, linked=("src",))
    process = subprocess.Popen(
        command([TARGET]), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    log = folder / "results/logs/sweep_table3_cluster0.log"
    while process.poll() is None and not (log.exists() and "run" in log.read_text("utf-8")):
        time.sleep(0.05)
    lost = [pid for pid in descendants(process.pid) if "bprr" in words_of(pid)]
    for pid in lost:
        os.kill(pid, signal.SIGKILL)
    text = process.communicate(timeout=600)[0]
    wrong = {
        "no job was met": not lost,
        f"status {process.returncode}": bool(lost) and process.returncode == 0,
        "a table is there": (folder / TARGET).exists(),
    }
    yield checked("a lost job", wrong=wrong, text=text)
    status, text = snakemake(folder, TARGET)
    wrong = {
        f"status {status}": status != 0,
        "another table": not (folder / TARGET).exists() or (folder / TARGET).read_bytes() != kept,
    }
    yield checked("the run after a lost job", wrong=wrong, text=text)


def clock_set_back(whole: Path, folder: Path, kept: bytes) -> Iterator[Finding]:
    """Results from the future: they stay, and are made anew where settings change."""
    future = time.time() + DAY_S
    for path in (whole / "results").rglob("*"):
        os.utime(path, (future, future))
    status, text = snakemake(whole, TARGET)
    wrong = {f"status {status}": status != 0, "it runs again": "Nothing to be done" not in text}
    yield checked("nothing to do, with the clock set back", wrong=wrong, text=text)
    status, text = snakemake(whole, TARGET, "--config", "runs=3")
    again, other = snakemake(whole, TARGET)
    wrong = {
        f"statuses {status}, {again}": (status, again) != (0, 0),
        "nothing ran": "Nothing to be done" in text or "Nothing to be done" in other,
        "another table": (whole / TARGET).read_bytes() != kept,
    }
    yield checked("other settings and back, with the clock set back", wrong=wrong, text=other)


def same_file_twice(folder: Path, kept: bytes) -> Iterator[Finding]:
    """Two commands that write the same table."""
    copied(folder, linked=("src",))
    words = [sys.executable, "-m", "bprr", "sweep", "table3", "cluster0", "-o", TARGET]
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    pair = [
        subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]  # fmt: skip
    statuses = [process.wait(600) for process in pair]
    left = [path.name for path in (folder / TARGET).parent.iterdir()]
    wrong = {f"statuses {statuses}": statuses != [0, 0], f"left: {left}": len(left) != 1}
    yield checked("two commands that write the same table", wrong=wrong)


def full_disk(folder: Path, kept: bytes) -> Iterator[Finding]:
    """A run that fills the disk ends in words, and goes on when there is room."""
    copied(folder, linked=("src",))
    (folder / "results").mkdir()
    with mounted(folder / "results", "size=64k"):
        status, text = snakemake(folder, TARGET)
        wrong = {
            f"status {status}": status == 0,
            "it does not say so": "No space left" not in text,
            "traceback of ours": "bprr/commands" in text,
            f"half-written: {broken(folder / 'results')}": bool(broken(folder / "results")),
        }
        yield checked("a full disk", wrong=wrong, text=text)
        subprocess.run(["mount", "-o", "remount,size=64m", str(folder / "results")], check=True)
        status, text = snakemake(folder, TARGET)
        same = (folder / TARGET).exists() and (folder / TARGET).read_bytes() == kept
        wrong = {f"status {status}": status != 0, "another table": not same}
        yield checked("the run after a full disk", wrong=wrong, text=text)


def read_only(folder: Path, kept: bytes) -> Iterator[Finding]:
    """A folder that cannot be written to is refused in words."""
    copied(folder, linked=("src",))
    (folder / "results").mkdir()
    with mounted(folder / "results", "ro"):
        status, text = snakemake(folder, TARGET)
        wrong = {f"status {status}": status == 0, "it does not say so": "Read-only" not in text}
        yield checked("results that cannot be written", wrong=wrong, text=text)
        words = ["simulate", "scattered", "--runs", "1", "-o", "results/out.parquet"]
        done = subprocess.run(
            [sys.executable, "-m", "bprr", *words], cwd=folder, capture_output=True,
            encoding="utf-8", check=False, env={**os.environ, "PYTHONPATH": str(folder / "src")},
        )  # fmt: skip
        wrong = {
            f"status {done.returncode}": done.returncode not in (1, 2),
            "traceback": "Traceback" in done.stderr,
            "it does not say so": "Read-only" not in done.stderr,
        }
        yield checked("a command in such a folder", wrong=wrong, text=done.stderr)


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A small disk, if this machine lets us have one."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    if made.returncode:
        raise Skipped(f"no small disk: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def descendants(process: int) -> list[int]:
    """Processes that a process has started, and so on."""
    found = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *descendants(child)]
    return found


def words_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
