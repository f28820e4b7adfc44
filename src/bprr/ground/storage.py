"""Results on disk: Parquet tables that carry their provenance, written in one step."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import bprr
from bprr.ground.errors import InputError
from bprr.ground.files import regular_file
from bprr.ground.tables import read_table

__all__ = [
    "file_hash",
    "files_hash",
    "package_versions",
    "read_provenance",
    "read_table",
    "replacing",
    "text_hash",
    "write_table",
]

PROVENANCE_KEY = b"bprr"
PACKAGES = ("numpy", "numba", "pandas", "pyarrow", "scipy", "simpy", "pydantic")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Path to write to; it takes the place of ``path`` only once everything is written.

    Raises
    ------
    InputError
        If ``path`` is a folder, or what should be its folder is none.
    """
    if path.is_dir():
        raise InputError(path, "output", "a folder", "a file to write")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(path, "output", error.strerror, "a file in a folder we may make") from None
    _sweep(path.parent.resolve())
    unfinished = path.with_name(f".{path.name}.{_host()}.{os.getpid()}.unfinished")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


@functools.cache
def _sweep(folder: Path) -> None:
    """Delete what killed processes of this machine left unfinished, once per folder."""
    ours = re.compile(rf"\..+\.{re.escape(_host())}\.(\d+)\.unfinished")
    with suppress(OSError):  # a folder that we may not list or tidy
        for name in os.listdir(folder):
            if (match := ours.fullmatch(name)) and not _is_running(int(match[1])):
                (folder / name).unlink(missing_ok=True)


@functools.cache
def _host() -> str:
    # Folders are shared between machines: a process of another one is not seen here.
    return re.sub(r"[^A-Za-z0-9-]", "-", os.uname().nodename) or "here"


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # another user's
    return True


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
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_hash(paths: Iterable[Path | str]) -> str:
    """Short hash of the content of those files that exist, in a rule's parameters.

    Snakemake itself does not see a change that comes with an older date.
    """
    hashes = [f"{path} {file_hash(Path(path))}" for path in paths if Path(path).is_file()]
    return text_hash("\n".join(hashes))


def text_hash(text: str) -> str:
    """Short hash of a text, for the parameters of a rule."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_table(
    table: pd.DataFrame, path: Path, provenance: Mapping[str, Any], source: str
) -> None:
    """Write a table and where it comes from.

    The same table and provenance give the same bytes.

    Parameters
    ----------
    table : DataFrame
        Rows to write.
    path : Path
        Parquet file; its folder is made if need be.
    provenance : mapping
        JSON-serialisable; package versions are added.
    source : str
        Hash of the code that made the table (`bprr.ground.source.source_hash`).
    """
    record = {**provenance, "packages": package_versions(), "source": source}
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {
        **(arrow.schema.metadata or {}),
        PROVENANCE_KEY: json.dumps(record, sort_keys=True, default=str).encode(),
    }
    with replacing(path) as unfinished:
        pq.write_table(arrow.replace_schema_metadata(metadata), unfinished, compression="zstd")


def read_provenance(path: Path) -> dict[str, Any]:
    """Where a Parquet file comes from.

    Raises
    ------
    InputError
        If the file cannot be read or carries no provenance.
    """
    try:
        metadata = pq.read_schema(regular_file(path, "Parquet file")).metadata or {}
    except InputError:
        raise
    except Exception as error:  # a damaged file makes pyarrow raise almost anything
        raise InputError(path, "file", str(error), "a readable Parquet file") from None
    if PROVENANCE_KEY not in metadata:
        raise InputError(path, "provenance", "none", "a result of this project")
    try:
        record = json.loads(metadata[PROVENANCE_KEY])
    except (ValueError, RecursionError) as error:
        raise InputError(path, "provenance", str(error), "valid JSON, as bprr writes it") from None
    if not isinstance(record, dict):
        raise InputError(path, "provenance", record, "a mapping, as bprr writes it")
    return record
