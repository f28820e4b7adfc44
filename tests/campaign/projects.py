"""Runs of Snakemake in copies of the project, and what they leave."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from tests.campaign.finding import Finding

__all__ = ["TARGET", "broken", "checked", "command", "differing", "snakemake"]

TARGET = "results/sweeps/table3_cluster0.parquet"
# Columns of seconds, and what is drawn from them: the same in no two runs.
TIMED = (
    "timing/",
    "offline/",
    "table8",
    "sweep_times",
    "offline_",
    "scorecard",
    "report",
    "manifest",
    "benchmarks",
)


def command(arguments: Sequence[str]) -> list[str]:
    """Snakemake with these arguments."""
    return [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]


def snakemake(folder: Path, *arguments: str, seconds: float = 900) -> tuple[int, str]:
    """Exit status and output of a run."""
    done = subprocess.run(
        command(arguments),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=seconds,
        check=False,
        env={**os.environ, "PYTHONPATH": ""},
    )
    return done.returncode, done.stdout


def checked(what: str, *, wrong: dict[str, bool], text: str = "", counts: bool = True) -> Finding:
    """Finding whose fault is what is wrong, with the last lines of an output."""
    faults = [name for name, is_wrong in wrong.items() if is_wrong]
    last = " | ".join(text.strip().splitlines()[-4:])
    return Finding(what, f"{'; '.join(faults)}: {last}" if faults else "", counts=counts)


def tables(folder: Path) -> Iterator[Path]:
    """Results that do not depend on how long anything took."""
    for made in ("results", "figures"):
        for path in sorted((folder / made).rglob("*.*")):
            name = path.relative_to(folder)
            if path.suffix in (".parquet", ".csv") and not any(word in str(name) for word in TIMED):
                yield name


def differing(one: Path, other: Path, *, missing: bool = True) -> list[str]:
    """Tables of two projects that are not the same, or stand in one place alone."""
    found = []
    for path in sorted({*tables(one), *tables(other)}):
        both = (one / path, other / path)
        if all(each.exists() for each in both):
            if both[0].read_bytes() != both[1].read_bytes():
                found.append(str(path))
        elif missing:
            found.append(str(path))
    return found


def broken(folder: Path) -> list[str]:
    """Files that bear a result's name and are none."""
    found = []
    for path in folder.rglob("*"):
        if path.name.startswith(".") or not path.is_file() or "logs" in path.parts:
            continue
        if path.suffix == ".parquet":
            try:
                pq.read_metadata(path)
            except Exception:
                found.append(str(path))
        elif path.suffix in (".csv", ".pdf", ".png", ".json", ".html") and not path.stat().st_size:
            found.append(str(path))
    return found
