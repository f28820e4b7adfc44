"""Raw traces: one row per observation in a CSV file, beside a manifest (no torch needed)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bprr.ground.errors import InputError
from bprr.ground.storage import file_hash, replacing

__all__ = [
    "COLUMNS",
    "MANIFEST_NAME",
    "TRACE_NAME",
    "UNITS",
    "Trace",
    "default_folder",
    "read_trace",
    "write_trace",
]

TRACE_NAME = "trace.csv"
MANIFEST_NAME = "manifest.json"
SCHEMA_VERSION = 1

# Experiment -> the one unit its values may have.
UNITS: Mapping[str, str] = {
    "reference": "ms",
    "decode_empty": "ms",
    "decode_blocks": "ms",
    "decode_context": "ms",
    "decode_batch": "ms",
    "decode_sessions": "ms",
    "prefill_input": "ms",
    "block_memory": "bytes",
    "cache_memory": "bytes",
    "serialisation": "ms",
    "network_round_trip": "ms",
    "network_upload": "Mbit/s",
    "network_download": "Mbit/s",
}

# Column -> what it holds. Whole numbers unless said otherwise.
COLUMNS: Mapping[str, str] = {
    "order": "position of the observation in the run, from 0",
    "round": "round of the plan, from 0",
    "repeat": "repeat within one visit of the setting, from 0",
    "elapsed_s": "time since the start of the run (s)",
    "experiment": "what is varied",
    "blocks": "blocks processed (decode, prefill) or held (memory)",
    "context_tokens": "tokens in the cache before the step, or cached (memory)",
    "input_tokens": "tokens of the step: 1 when decoding, l_in when prefilling",
    "batch": "sequences processed together",
    "sessions": "sessions open and served in turn",
    "payload_bytes": "bytes sent or serialised; 0 elsewhere",
    "value": "what was observed, positive",
    "unit": "its unit, one per experiment",
}

# Kind of trace -> keys of its manifest that a fit reads.
_MANIFEST_KEYS = {
    "device": (
        "device.name",
        "device.free_gb",
        "model.name",
        "model.blocks",
        "model.d_model",
        "model.heads",
        "model.key_value_heads",
        "model.max_sequence_tokens",
        "computed.parameters_per_block",
        "computed.bytes_per_parameter",
        "weights",
        "bytes_per_value",
        "trace.sha256",
    ),
    "network": ("trace.sha256",),
}

_TEXT = ("experiment", "unit")
_REAL = ("elapsed_s", "value")


@dataclass(frozen=True)
class Trace:
    """Checked observations of one device.

    Parameters
    ----------
    rows : DataFrame
        Columns of `COLUMNS`, one row per observation.
    manifest : dict
        Device, libraries, settings and hashes.
    path : Path
        File the rows came from.
    sha256 : str
        Hash of that file.
    """

    rows: pd.DataFrame
    manifest: dict[str, Any]
    path: Path
    sha256: str

    def of(self, experiment: str) -> pd.DataFrame:
        """Rows of one experiment; empty if it was not observed."""
        return self.rows[self.rows["experiment"] == experiment]


def default_folder(kind: str, device: str) -> Path:
    """Folder for a trace of a device, relative to the project: ``data/traces/<device>``."""
    return Path("data/traces", re.sub(r"[^a-z0-9]+", "-", f"{kind} {device}".lower()).strip("-"))


def write_trace(
    directory: Path, rows: Iterable[Mapping[str, object]], manifest: Mapping[str, object]
) -> Path:
    """Write observations and manifest; the manifest names the hash of the observations.

    Parameters
    ----------
    directory : Path
        ``data/traces/<device>``; created if missing.
    rows : iterable of mapping
        One per observation, with the keys of `COLUMNS`; written in the order of ``order``.
    manifest : mapping
        Everything about the run that is not an observation.

    Returns
    -------
    Path
        The trace file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(list(rows), columns=list(COLUMNS)).sort_values("order")
    path = directory / TRACE_NAME
    with replacing(path) as unfinished:
        frame.to_csv(unfinished, index=False, float_format="%.9g", lineterminator="\n")
    complete = {
        "schema": SCHEMA_VERSION,
        **manifest,
        "trace": {"file": TRACE_NAME, "sha256": file_hash(path), "observations": len(frame)},
    }
    text = json.dumps(complete, indent=2, ensure_ascii=False) + "\n"
    with replacing(directory / MANIFEST_NAME) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    return path


def _line(position: int) -> str:
    """Name of a row as an editor counts lines: the header is line 1."""
    return f"row {position + 2}"


def _check_numbers(path: Path, frame: pd.DataFrame) -> None:
    for column in COLUMNS:
        if column in _TEXT:
            continue
        numbers = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=float)
        if column == "value":
            good, allowed = np.isfinite(numbers) & (numbers > 0), "a number above 0"
        elif column in _REAL:
            good, allowed = np.isfinite(numbers) & (numbers >= 0), "a number, 0 or more"
        else:
            good = (numbers >= 0) & (numbers == np.floor(numbers)) & np.isfinite(numbers)
            allowed = "a whole number, 0 or more"
        bad = ~good
        if bad.any():
            first = int(np.argmax(bad))
            found = frame[column].iloc[first]
            raise InputError(path, f"{_line(first)}: {column}", found, allowed)


def _check_units(path: Path, frame: pd.DataFrame) -> None:
    pairs = zip(frame["experiment"], frame["unit"], strict=True)
    for position, (experiment, unit) in enumerate(pairs):
        if experiment not in UNITS:
            known = ", ".join(UNITS)
            raise InputError(path, f"{_line(position)}: experiment", experiment, known)
        if unit != UNITS[experiment]:
            allowed = f"{UNITS[experiment]} throughout {experiment}"
            raise InputError(path, f"{_line(position)}: unit", unit, allowed)


def _check_repeated(path: Path, frame: pd.DataFrame) -> None:
    counts = frame["experiment"].value_counts()
    for experiment, count in counts.items():
        if count == 1:
            position = int(np.argmax((frame["experiment"] == experiment).to_numpy()))
            key = f"{_line(position)}: {experiment}"
            raise InputError(path, key, "1 observation", "at least 2 observations")


def _check_manifest(path: Path, manifest: Any) -> None:
    kind = manifest.get("kind") if isinstance(manifest, dict) else None
    if kind not in _MANIFEST_KEYS:
        raise InputError(path, "kind", kind, " or ".join(_MANIFEST_KEYS))
    for dotted in _MANIFEST_KEYS[kind]:
        node: Any = manifest
        for key in dotted.split("."):
            if not isinstance(node, dict) or key not in node:
                raise InputError(path, dotted, "nothing", "this key is required")
            node = node[key]


def read_trace(path: Path) -> Trace:
    """Read and check a trace.

    Parameters
    ----------
    path : Path
        Trace file, or the directory that holds it and its manifest.

    Raises
    ------
    InputError
        If a column is missing, or a row holds no number, a wrong unit, an unknown experiment or the
        only observation of its experiment; the row is counted as in an editor (header = row 1).
        Also if the manifest is missing or names another hash.
    """
    path = path / TRACE_NAME if path.is_dir() else path
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(path, "(file)", str(error), "a trace written by `bprr measure`") from error
    missing = [column for column in COLUMNS if column not in frame.columns]
    if missing:
        raise InputError(path, "row 1: columns", list(frame.columns), f"also {', '.join(missing)}")
    if frame.empty:
        raise InputError(path, "rows", 0, "at least 2 observations")
    _check_numbers(path, frame)
    _check_units(path, frame)
    _check_repeated(path, frame)
    numeric = {
        column: float if column in _REAL else int for column in COLUMNS if column not in _TEXT
    }
    rows = frame[list(COLUMNS)].astype(dict.fromkeys(numeric, float)).astype(numeric)

    manifest_path = path.with_name(MANIFEST_NAME)
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(manifest_path, "(file)", str(error), "the trace's manifest") from error
    _check_manifest(manifest_path, manifest)
    found, sha256 = manifest.get("trace", {}).get("sha256"), file_hash(path)
    if found != sha256:
        raise InputError(manifest_path, "trace.sha256", found, f"the hash of {path.name}: {sha256}")
    return Trace(rows, manifest, path, sha256)
