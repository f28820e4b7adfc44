"""What a testbed run leaves: every request, measured beside predicted, and what that rests on.

Nothing here runs the simulator: a report of a run depends on what was measured alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd

from bprr.ground.errors import InputError
from bprr.ground.files import read_json
from bprr.ground.schema import NonNegative, Strict
from bprr.ground.storage import replacing
from bprr.ground.tables import NUMBER, TEXT, TRUTH, WHOLE, Column, Schema, read_csv
from bprr.settings.messages import validated
from bprr.testbed.calibration import CalibrationSession, Profile
from bprr.testbed.settings import TestbedSettings

__all__ = [
    "MEASURED",
    "PREDICTED",
    "Machine",
    "Manifest",
    "Range",
    "Run",
    "Started",
    "read_manifest",
    "read_run",
    "read_tables",
    "write_manifest",
    "write_run",
    "write_tables",
]

Kind = TypeVar("Kind", bound=Strict)

REQUESTS, MANIFEST = "requests.csv", "manifest.json"
LARGEST_MANIFEST = 4_000_000  # bytes
MEASURED = {
    "group": TEXT,
    "client": TEXT,
    "rate_per_s": NUMBER,
    "output_tokens": WHOLE,
    "session_tokens": WHOLE,
    "method": TEXT,
    "request": WHOLE,
    "arrival_ms": NUMBER,
    "status": TEXT,
    "lag_ms": NUMBER.with_gaps,
    "wait_ms": NUMBER.with_gaps,
    "ttft_ms": NUMBER.with_gaps,
    "completion_ms": NUMBER.with_gaps,
    "per_token_ms": NUMBER.with_gaps,
    "remaining_per_token_ms": NUMBER.with_gaps,
    "retries": WHOLE,
    "chain": TEXT.with_gaps,
    "tokens_equal": TRUTH,
}
PREDICTED = {
    **dict.fromkeys(("wait_ms", "ttft_ms", "completion_ms", "per_token_ms"), NUMBER),
    "remaining_per_token_ms": NUMBER.with_gaps,
    "retries": WHOLE,
    "chain": TEXT,
}
COLUMNS = {**MEASURED, **{f"predicted_{name}": column for name, column in PREDICTED.items()}}
SCHEMA = Schema("requests of a testbed run (bprr testbed run)", COLUMNS)

Range = tuple[int, int]  # first and last block, from 1 as in the paper


class Started(Strict):
    """Blocks of every server as predicted and as they came up, or why they did not."""

    predicted: dict[int, Range] = {}
    measured: dict[int, Range] = {}
    equal: bool = False
    moved_later: dict[int, Range] = {}
    error: str | None = None


class Machine(Strict):
    """What a measurement also depends on: processor, load by others, priority, versions."""

    system: str
    processor: str
    cores: int
    niceness: int
    load_average_at_start: NonNegative
    started: str
    packages: dict[str, str]
    load_average_at_end: NonNegative
    minutes: NonNegative


class Manifest(Strict):
    """What the table of requests rests on."""

    settings: TestbedSettings
    profile: Profile
    calibration: list[CalibrationSession]
    placements: dict[str, Started]
    machine: Machine


@dataclass(frozen=True)
class Run:
    """A table of requests and its manifest."""

    requests: pd.DataFrame
    manifest: Manifest


def write_run(run: Run, folder: Path) -> None:
    """Write the table of requests and the manifest of a run."""
    with replacing(folder / REQUESTS) as unfinished:
        run.requests.to_csv(unfinished, index=False, float_format="%.6g", lineterminator="\n")
    write_manifest(run.manifest, folder)


def write_tables(tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Write tables of a run, each as ``<name>.csv`` to the thousandth."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        with replacing(folder / f"{name}.csv") as unfinished:
            table.round(3).to_csv(
                unfinished, index=False, float_format="%.10g", lineterminator="\n"
            )


def read_tables(
    files: Mapping[str, Mapping[str, Column]], folder: Path, kind: str
) -> dict[str, pd.DataFrame]:
    """Read what `write_tables` wrote; ``kind`` says of what run, for messages."""
    return {
        name: read_csv(folder / f"{name}.csv", Schema(f"{name} {kind}", columns))
        for name, columns in files.items()
    }


def write_manifest(manifest: Strict, folder: Path) -> None:
    """Write what a run of either kind says of itself."""
    with replacing(folder / MANIFEST) as unfinished:
        content = manifest.model_dump(mode="json", exclude_unset=True)
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        unfinished.write_text(text, encoding="utf-8")


def read_manifest(kind: type[Kind], folder: Path, run: str) -> Kind:
    """Read what `write_manifest` wrote; ``run`` says of what run, for messages."""
    path = folder / MANIFEST
    return validated(kind, read_json(path, f"manifest of {run}", LARGEST_MANIFEST), path)


def read_run(folder: Path) -> Run:
    """Read a run.

    Raises
    ------
    InputError, InputErrors
        If a file cannot be read, or is not what a run writes.
    """
    manifest = read_manifest(Manifest, folder, "a testbed run")
    requests = read_csv(folder / REQUESTS, SCHEMA)
    settings = manifest.settings
    for column, known in (("method", settings.methods), ("group", settings.cases)):
        if strange := sorted(set(requests[column]) - set(known)):
            raise InputError(folder / REQUESTS, column, strange[0], ", ".join(known))
    return Run(requests, manifest)
