"""What a testbed run leaves: every request, measured beside predicted, and what that rests on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bprr.ground.errors import InputError
from bprr.ground.files import read_json
from bprr.ground.schema import NonNegative, Strict
from bprr.ground.storage import replacing
from bprr.ground.tables import NUMBER, TEXT, TRUTH, WHOLE, Schema, read_csv
from bprr.settings.messages import validated
from bprr.simulation import Records
from bprr.testbed.calibration import CalibrationSession, Profile
from bprr.testbed.prediction import Chain, chain_of
from bprr.testbed.settings import Cell, TestbedSettings

__all__ = ["Manifest", "Run", "chain_text", "read_run", "request_rows", "write_run"]

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
    content = run.manifest.model_dump(mode="json", exclude_unset=True)
    with replacing(folder / MANIFEST) as unfinished:
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        unfinished.write_text(text, encoding="utf-8")


def read_run(folder: Path) -> Run:
    """Read a run.

    Raises
    ------
    InputError, InputErrors
        If a file cannot be read, or is not what a run writes.
    """
    path = folder / MANIFEST
    content = read_json(path, "manifest of a testbed run", LARGEST_MANIFEST)
    manifest, requests = validated(Manifest, content, path), read_csv(folder / REQUESTS, SCHEMA)
    settings = manifest.settings
    for column, known in (("method", settings.methods), ("group", settings.cases)):
        if strange := sorted(set(requests[column]) - set(known)):
            raise InputError(folder / REQUESTS, column, strange[0], ", ".join(known))
    return Run(requests, manifest)


def chain_text(chain: Chain) -> str:
    """Chain as text, blocks numbered from 1 as in the paper: ``0:1-9 3:10-14``."""
    return " ".join(f"{server}:{first + 1}-{end}" for server, first, end in chain)


def request_rows(
    cell: Cell,
    method: str,
    measured: Sequence[Mapping[str, Any]],
    predicted: Records,
    server_of_peer: Mapping[str, int],
    local_tokens: Sequence[Sequence[int]],
) -> pd.DataFrame:
    """One row per request of a cell.

    Parameters
    ----------
    measured : sequence of mapping
        Records of the client process.
    predicted : Records
        The simulator's.
    server_of_peer : mapping
        Server of each peer id.
    local_tokens : sequence of sequence of int
        Greedy tokens of local transformers.
    """
    theirs = predicted.table()
    theirs["completion_ms"], theirs["retries"] = predicted.completion_ms, theirs["attempts"] - 1
    theirs["chain"] = [chain_text(chain_of(*predicted.chain(i))) for i in range(len(predicted))]
    rows = []
    for index, record in enumerate(measured):
        done = record.get("status") == "ok"
        completion_ms = record["last_token_ms"] if done else np.nan
        ttft_ms = record.get("ttft_ms", np.nan)
        chain = [(server_of_peer[peer], start, end) for peer, start, end in record.get("chain", ())]
        rows.append(
            {
                "group": cell.group,
                "client": cell.client_cluster,
                "rate_per_s": cell.rate_per_s,
                "output_tokens": cell.output_tokens,
                "session_tokens": int(predicted.workload.cache_tokens[index]),
                "method": method,
                "request": index,
                "arrival_ms": predicted.workload.arrival_ms[index],
                "status": record.get("status", "timeout"),
                "lag_ms": record.get("lag_ms", np.nan),
                "wait_ms": record.get("wait_ms", np.nan),
                "ttft_ms": ttft_ms,
                "completion_ms": completion_ms,
                "per_token_ms": completion_ms / cell.output_tokens,
                "remaining_per_token_ms": (completion_ms - ttft_ms)
                / max(cell.output_tokens - 1, 1),
                "retries": record.get("retries", -1),
                "chain": chain_text(chain),
                "tokens_equal": bool(done and record["token_ids"] == list(local_tokens[index])),
            }
        )
    ours = pd.DataFrame(rows, columns=list(MEASURED))
    return ours.join(theirs[list(PREDICTED)].add_prefix("predicted_"))
