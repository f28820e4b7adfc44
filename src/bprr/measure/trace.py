"""Raw traces: one row per observation in a CSV file, beside a manifest (no torch needed)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from bprr.ground.errors import InputError
from bprr.ground.files import read_json
from bprr.ground.storage import file_hash, replacing
from bprr.ground.tables import NUMBER, TEXT, WHOLE, Schema, read_csv
from bprr.measure.manifest import DeviceManifest, NetworkManifest
from bprr.measure.plan import Visit
from bprr.settings.messages import validated

__all__ = [
    "COLUMNS",
    "MANIFEST_NAME",
    "TRACE_NAME",
    "UNITS",
    "Recorder",
    "Trace",
    "default_folder",
    "read_trace",
    "write_trace",
]

TRACE_NAME, MANIFEST_NAME = "trace.csv", "manifest.json"
SCHEMA_VERSION = 1

# Experiment -> the one unit its values may have. data/traces/README.md says what is varied.
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

# Explained in data/traces/README.md.
COLUMNS = {
    "order": WHOLE,
    "round": WHOLE,
    "repeat": WHOLE,
    "elapsed_s": NUMBER,
    "experiment": TEXT,
    "blocks": WHOLE,
    "context_tokens": WHOLE,
    "input_tokens": WHOLE,
    "batch": WHOLE,
    "sessions": WHOLE,
    "payload_bytes": WHOLE,
    "value": NUMBER,
    "unit": TEXT,
}
SCHEMA = Schema("a trace (bprr measure)", COLUMNS)
LARGEST_VALUE = 1e15
LARGEST_MANIFEST = 1_000_000  # bytes


@dataclass(frozen=True)
class Trace:
    """Checked observations of one device or link."""

    rows: pd.DataFrame  # columns of `COLUMNS`, one row per observation
    manifest: DeviceManifest | NetworkManifest
    path: Path  # that the rows came from
    sha256: str  # of that file

    def of(self, experiment: str) -> pd.DataFrame:
        """Rows of one experiment; empty if it was not observed."""
        return self.rows[self.rows["experiment"] == experiment]


@dataclass
class Recorder:
    """Rows of a trace so far, in the order in which they are observed."""

    rows: list[dict[str, object]] = field(default_factory=list)
    start_s: float = field(default_factory=time.perf_counter)

    def elapsed_s(self) -> float:
        """Time since the run began (s)."""
        return time.perf_counter() - self.start_s

    def add(
        self, visit: Visit, value: float, turn: int = 0, repeat: int = 0, payload_bytes: int = 0
    ) -> None:
        """Append what was observed in a round (``turn``), in the unit of its experiment."""
        about = {"order": len(self.rows), "round": turn, "repeat": repeat}
        seen = {"payload_bytes": payload_bytes, "value": value, "unit": UNITS[visit.experiment]}
        self.rows.append({**about, "elapsed_s": self.elapsed_s(), **asdict(visit), **seen})


def default_folder(kind: str, device: str) -> Path:
    """Folder for a trace of a device, relative to the project: ``data/traces/<device>``."""
    return Path("data/traces", re.sub(r"[^a-z0-9]+", "-", f"{kind} {device}".lower()).strip("-"))


def write_trace(
    directory: Path, rows: Sequence[Mapping[str, object]], manifest: Mapping[str, object]
) -> Path:
    """Write observations, and a manifest that names their hash; return the file of the former.

    Parameters
    ----------
    directory : Path
        ``data/traces/<device>``; created if missing.
    rows : sequence of mapping
        As a `Recorder` holds them.
    manifest : mapping
        Everything about the run that is not an observation.
    """
    path = directory / TRACE_NAME
    with replacing(path) as unfinished:
        frame = pd.DataFrame(rows, columns=list(COLUMNS))
        frame.to_csv(unfinished, index=False, float_format="%.9g", lineterminator="\n")
    about = {"file": TRACE_NAME, "sha256": file_hash(path), "observations": len(rows)}
    complete = {"schema": SCHEMA_VERSION, **manifest, "trace": about}
    with replacing(directory / MANIFEST_NAME) as unfinished:
        text = json.dumps(complete, indent=2, ensure_ascii=False) + "\n"
        unfinished.write_text(text, encoding="utf-8")
    return path


def read_trace(path: Path) -> Trace:
    """Read and check a trace: its file, or the folder that holds it and its manifest.

    Raises
    ------
    InputError, InputErrors
        If the trace is not of this kind, or a row has a number below its range, an unknown
        experiment, a wrong unit or the only observation of its experiment; lines are counted as in
        an editor. Also if the manifest is not of its kind, or names another hash.
    """
    path = path / TRACE_NAME if path.is_dir() else path
    rows = read_csv(path, SCHEMA)[list(COLUMNS)]
    for name, column in COLUMNS.items():
        if column != TEXT:
            good = rows[name].between(0, LARGEST_VALUE, "right" if name == "value" else "both")
            least = "above 0" if name == "value" else "0 or more"
            _refuse_any(path, rows, name, ~good, f"{least}, at most {LARGEST_VALUE:g}")
    rows = rows.astype({name: int for name, column in COLUMNS.items() if column == WHOLE})
    expected = rows["experiment"].map(UNITS)
    _refuse_any(path, rows, "experiment", expected.isna(), ", ".join(UNITS))
    for unit in UNITS.values():
        wrong = (expected == unit) & (rows["unit"] != unit)
        _refuse_any(path, rows, "unit", wrong, f"{unit}, the unit of this experiment")
    alone = ~rows.duplicated("experiment", keep=False)
    _refuse_any(path, rows, "experiment", alone, "at least 2 observations of an experiment")
    manifest, sha256 = _read_manifest(path.with_name(MANIFEST_NAME)), file_hash(path)
    if manifest.trace.sha256 != sha256:
        allowed = f"the hash of {path.name}: {sha256}"
        raise InputError(manifest.where, "trace.sha256", manifest.trace.sha256, allowed)
    return Trace(rows, manifest, path, sha256)


def _refuse_any(path: Path, rows: pd.DataFrame, column: str, bad: pd.Series, allowed: str) -> None:
    if bad.any():
        first = int(np.argmax(bad))
        value = rows[column].iloc[first]
        raise InputError(path, f"{column} (line {first + 2})", value, allowed)


def _read_manifest(path: Path) -> DeviceManifest | NetworkManifest:
    content = read_json(path, "manifest of a trace", LARGEST_MANIFEST)
    kind = content.get("kind") if isinstance(content, dict) else None
    if kind == "device":
        return validated(DeviceManifest, content, path)
    if kind == "network":
        return validated(NetworkManifest, content, path)
    raise InputError(path, "kind", kind, "device or network")
