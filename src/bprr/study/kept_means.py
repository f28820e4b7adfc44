"""Run means beside a table of requests, so that figures and claims need not take them again."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bprr.ground.errors import InputError
from bprr.ground.source import source_hash
from bprr.ground.storage import file_hash, read_provenance, write_table
from bprr.ground.tables import read_table
from bprr.study.summary import run_means

__all__ = ["keep_means", "kept_means"]


def keep_means(requests: pd.DataFrame, path: Path) -> None:
    """Write the run means of a table of requests, in a folder beside its file."""
    write_table(run_means(requests), _beside(path), {"of": file_hash(path)}, _source())


def kept_means(path: Path) -> pd.DataFrame | None:
    """Run means that were kept of just this file, by just this code; None if there are none."""
    kept = _beside(path)
    try:
        made = read_provenance(kept)
        current = made.get("of") == file_hash(path) and made.get("source") == _source()
        return read_table(kept) if current else None
    except (InputError, OSError):
        return None


def _beside(path: Path) -> Path:
    return path.parent / "means" / path.name


def _source() -> str:
    return source_hash("bprr.study.summary")
