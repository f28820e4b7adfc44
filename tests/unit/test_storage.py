"""Results on disk: whole or not at all, the same bytes for the same table, and their origin."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bprr
from bprr.ground import storage
from bprr.ground.errors import InputError
from bprr.ground.storage import (
    PROVENANCE_KEY,
    file_hash,
    files_hash,
    package_versions,
    read_provenance,
    replacing,
    text_hash,
    write_table,
)

TABLE = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new/folder/a.txt"
    with replacing(path) as unfinished:
        unfinished.write_text("first", encoding="utf-8")
        assert unfinished.parent == path.parent
        assert not path.exists()
    assert path.read_text(encoding="utf-8") == "first"
    with pytest.raises(KeyboardInterrupt), replacing(path) as unfinished:
        unfinished.write_text("half", encoding="utf-8")
        raise KeyboardInterrupt
    assert path.read_text(encoding="utf-8") == "first"
    assert [one.name for one in path.parent.iterdir()] == ["a.txt"]


def test_where_nothing_can_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="output: got 'a folder'; allowed: a file"):
        replacing(tmp_path).__enter__()
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="a file in a folder we may make"):
        replacing(tmp_path / "file/a.txt").__enter__()


def test_what_dead_processes_of_this_machine_left_is_tidied_once(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    here = os.uname().nodename
    left = tmp_path / f".a.csv.{here}.{dead.pid}.unfinished"
    others = [
        tmp_path / f".a.csv.{here}.{os.getpid()}.unfinished",  # still at work
        tmp_path / f".a.csv.{here}.1.unfinished",  # of another user, or at work
        tmp_path / f".a.csv.{here}x.{dead.pid}.unfinished",  # of another machine
        tmp_path / f".a.csv.{here}.{dead.pid}.unfinished.txt",
        tmp_path / f"a.csv.{here}.{dead.pid}.unfinished",
    ]
    for path in (left, *others):
        path.write_text("", encoding="utf-8")
    with replacing(tmp_path / "b.csv") as unfinished:
        unfinished.write_text("", encoding="utf-8")
    assert not left.exists()
    assert all(path.exists() for path in others)
    left.write_text("", encoding="utf-8")
    with replacing(tmp_path / "b.csv") as unfinished:  # a folder is listed once a process
        unfinished.write_text("", encoding="utf-8")
    assert left.exists()


def test_a_process_of_somebody_else_counts_as_running(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(error: type[Exception]) -> bool:
        def kill(*arguments: int) -> None:
            raise error

        monkeypatch.setattr(os, "kill", kill)
        return storage._is_running(7)

    assert refused(PermissionError)
    assert not refused(ProcessLookupError)
    assert not refused(OverflowError)


def test_hashes_are_of_the_content(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"abc")
    assert file_hash(one) == hashlib.sha256(b"abc").hexdigest()
    assert text_hash("abc") == hashlib.sha256(b"abc").hexdigest()[:16]
    before = files_hash([one, other])
    assert before == files_hash([one])  # a file that is not there is no part of it
    other.write_bytes(b"abc")
    both = files_hash([one, other])
    assert before != both != files_hash([other, one])
    one.write_bytes(b"abd")
    assert files_hash([one, other]) != both
    assert before == text_hash(f"{one} {hashlib.sha256(b'abc').hexdigest()}")


def test_the_same_table_gives_the_same_bytes_and_says_where_it_is_from(tmp_path: Path) -> None:
    one, other = tmp_path / "one.parquet", tmp_path / "other.parquet"
    write_table(TABLE, one, {"seed": 7, "path": Path("x")}, "0123")
    write_table(TABLE, other, {"path": Path("x"), "seed": 7}, "0123")
    assert one.read_bytes() == other.read_bytes()
    assert pd.read_parquet(one).equals(TABLE)
    assert read_provenance(one) == {
        "seed": 7, "path": "x", "source": "0123", "packages": package_versions(),
    }  # fmt: skip
    assert pq.ParquetFile(one).metadata.row_group(0).column(0).compression == "ZSTD"


def test_packages_that_are_not_there_are_left_out() -> None:
    found = package_versions(["numpy", "no-such-package", "pandas"])
    assert list(found) == ["bprr", "numpy", "pandas"]
    assert (found["bprr"], found["pandas"]) == (bprr.__version__, pd.__version__)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (None, "provenance: got 'none'; allowed: a result of this project"),
        (b"{", "valid JSON, as bprr writes it"),
        (b"[" * 100_000, "valid JSON, as bprr writes it"),
        (b"[1]", r"provenance: got \[1\]; allowed: a mapping"),
    ],
)
def test_provenance_that_is_missing_or_corrupt_is_named(
    tmp_path: Path, record: bytes | None, message: str
) -> None:
    path = tmp_path / "a.parquet"
    metadata = {} if record is None else {PROVENANCE_KEY: record}
    pq.write_table(pa.Table.from_pandas(TABLE).replace_schema_metadata(metadata), path)
    with pytest.raises(InputError, match=rf"a\.parquet: .*{message}"):
        read_provenance(path)


def test_a_damaged_file_has_no_provenance(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="a readable Parquet file"):
        read_provenance(path)
    with pytest.raises(InputError, match="absent"):
        read_provenance(tmp_path / "absent.parquet")
