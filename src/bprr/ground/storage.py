"""Results on disk: Parquet tables that carry their provenance, written in one step."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import bprr
from bprr.ground.errors import InputError

__all__ = [
    "file_hash",
    "package_versions",
    "read_provenance",
    "read_table",
    "replacing",
    "source_hash",
    "text_hash",
    "write_table",
]

PROVENANCE_KEY = b"bprr"
PACKAGES = ("numpy", "numba", "pandas", "pyarrow", "scipy", "simpy", "pydantic")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Path to write to; it takes the place of ``path`` only once everything is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def package_versions(names: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Versions of the packages that results depend on; absent ones are left out."""
    found = {"bprr": bprr.__version__}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def source_hash(*rooms: str) -> str:
    """Hash of the source of some rooms (modules or packages of `bprr`), of all if none is named.

    Snakemake does not rerun a rule when the code under ``src/`` changes; rules put this into their
    parameters.
    """
    root = Path(__file__).parents[1]
    files: set[Path] = set()
    for room in rooms or (".",):
        path = root / room
        files.update(path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")])
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def text_hash(text: str) -> str:
    """Short hash of a text, for the parameters of a rule."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_table(table: pd.DataFrame, path: Path, provenance: Mapping[str, Any]) -> None:
    """Write a table and where it comes from.

    The same table and provenance give the same bytes.

    Parameters
    ----------
    table : DataFrame
        Rows to write.
    path : Path
        Parquet file; its folder is made if need be.
    provenance : mapping
        JSON-serialisable; package versions and the hash of the source are added.
    """
    record = {**provenance, "packages": package_versions(), "source": source_hash()}
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {
        **(arrow.schema.metadata or {}),
        PROVENANCE_KEY: json.dumps(record, sort_keys=True, default=str).encode(),
    }
    with replacing(path) as unfinished:
        pq.write_table(arrow.replace_schema_metadata(metadata), unfinished, compression="zstd")


def read_table(path: Path) -> pd.DataFrame:
    """Table of a Parquet file.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    try:
        return pd.read_parquet(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(path, "file", str(error), "a readable Parquet file") from None


def read_provenance(path: Path) -> dict[str, Any]:
    """Where a Parquet file comes from.

    Raises
    ------
    InputError
        If the file cannot be read or carries no provenance.
    """
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(path, "file", str(error), "a readable Parquet file") from None
    if PROVENANCE_KEY not in metadata:
        raise InputError(path, "provenance", "none", "a result of this project")
    record: dict[str, Any] = json.loads(metadata[PROVENANCE_KEY])
    return record
