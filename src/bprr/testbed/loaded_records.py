"""What a loaded run leaves: sessions, their hops, every task of every server, and a manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bprr.ground.errors import InputError
from bprr.ground.schema import NonNegative, Share, Strict
from bprr.ground.storage import replacing
from bprr.ground.tables import NUMBER, TEXT, TRUTH, WHOLE, Schema, read_table
from bprr.testbed.loaded_settings import LoadedSettings
from bprr.testbed.records import (
    Machine,
    read_manifest,
    read_tables,
    write_manifest,
    write_tables,
)

__all__ = [
    "CALIBRATION",
    "TIMES",
    "Business",
    "LoadedManifest",
    "LoadedRun",
    "read_loaded",
    "write_loaded",
]

CALIBRATION = "calibration"  # instead of a case; there the arm says how many were there at once
KEY = {"case": TEXT, "arm": TEXT, "session": WHOLE}
SESSIONS = {
    **KEY,
    "client": TEXT,
    "arrival_ms": NUMBER,
    "output_tokens": WHOLE,
    "status": TEXT,
    "lag_ms": NUMBER.with_gaps,
    "wait_ms": NUMBER.with_gaps,
    "ttft_ms": NUMBER.with_gaps,
    "completion_ms": NUMBER.with_gaps,
    "retries": WHOLE,
    "tokens_equal": TRUTH,
}
# Sums over the passes of a session at a server, until the first token and after it.
PARTS = ("round_ms", "queue_ms", "computing_ms")
HOPS = {
    **KEY,
    "server": WHOLE,
    "blocks": WHOLE,
    "passes": WHOLE,
    **{f"{when}_{part}": NUMBER for when in ("prompt", "token") for part in PARTS},
}
TIMES = ["submitted_ms", "taken_ms", "started_ms", "ended_ms"]
TASKS = {
    **KEY,
    "server": WHOLE,
    "prefix": WHOLE,
    "tokens": WHOLE,
    "blocks": WHOLE,
    **dict.fromkeys(TIMES, NUMBER),  # since the case began, of sessions alone one after another
}
WRITTEN = {name: WHOLE if name in TIMES else column for name, column in TASKS.items()}  # in μs
FILES = {"sessions": SESSIONS, "hops": HOPS}
TASKS_FILE = "tasks.parquet"


class Business(Strict):
    """How busy the machine was during a case."""

    busy: Share  # of all cores' time
    others: Share  # the part of it that processes of low priority took
    load_average: NonNegative
    seconds: NonNegative


class LoadedManifest(Strict):
    """What the tables of a loaded run rest on."""

    settings: LoadedSettings
    rtt_ms: list[list[float]]  # of clients (rows) to servers, over TCP
    machine: Machine
    business: dict[str, Business]  # by "case/arm"
    not_measured: dict[str, str] = {}  # why, by "case/arm"


@dataclass(frozen=True)
class LoadedRun:
    """Tables of a loaded run and its manifest."""

    sessions: pd.DataFrame
    hops: pd.DataFrame
    tasks: pd.DataFrame
    manifest: LoadedManifest


def write_loaded(run: LoadedRun, folder: Path) -> None:
    """Write tables and manifest."""
    write_tables({name: getattr(run, name) for name in FILES}, folder)
    whole = {name: (1000 * run.tasks[name]).round().astype("int64") for name in TIMES}
    tasks = pa.Table.from_pandas(run.tasks.assign(**whole), preserve_index=False)
    texts = [name for name, column in TASKS.items() if column is TEXT]
    encoding = {name: "DELTA_BINARY_PACKED" for name in TASKS if name not in texts}
    with replacing(folder / TASKS_FILE) as unfinished:
        pq.write_table(
            tasks, unfinished, compression="zstd", compression_level=19, use_dictionary=texts,
            column_encoding=encoding,
        )  # fmt: skip
    write_manifest(run.manifest, folder)


def read_loaded(folder: Path) -> LoadedRun:
    """Read a loaded run.

    Raises
    ------
    InputError, InputErrors
        If a file cannot be read, or is not what such a run writes.
    """
    manifest = read_manifest(LoadedManifest, folder, "a loaded run")
    kind = "of a loaded run (bprr testbed load)"
    tables = read_tables(FILES, folder, kind)
    tasks = read_table(folder / TASKS_FILE, Schema(f"tasks {kind}", WRITTEN))
    tasks[TIMES] /= 1000.0
    known = {CALIBRATION, *manifest.settings.cases}
    for name, table in {**tables, "tasks": tasks}.items():
        if strange := sorted(set(table["case"]) - known):
            raise InputError(folder, f"{name}: case", strange[0], ", ".join(sorted(known)))
    return LoadedRun(tables["sessions"], tables["hops"], tasks, manifest)
