"""Tables, files and results on disk at their limits, and what is said beyond them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from bprr.ground import files, storage, tables
from bprr.ground.files import read_json, read_text, regular_file
from bprr.ground.storage import read_table, replacing, write_table
from bprr.ground.tables import (
    NUMBER,
    TEXT,
    TRUTH,
    WHOLE,
    Column,
    Schema,
    as_numbers,
    csv_cells,
    read_csv,
)

from .refusals import refused

NAN, INF = float("nan"), float("inf")


BOUND = Column("number", infinite=True)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (TEXT, "a text"), (NUMBER, "a finite number"), (WHOLE, "a whole number"),
        (TRUTH, "true or false"), (TEXT.with_gaps, "a text, or nothing"),
        (WHOLE.optional, "a whole number, or nothing"), (BOUND, "a number"),
        (BOUND.with_gaps, "a number, or nothing"),
    ],
)  # fmt: skip
def test_words_for_a_column(column: Column, words: str) -> None:
    assert column.words == words


def test_kinds_of_columns() -> None:
    assert Column("text", False, False, False) == TEXT
    assert TEXT.with_gaps == Column("text", False, True, False)
    assert BOUND.optional == Column("number", True, True, True)


@pytest.mark.parametrize(
    ("column", "values", "place", "value"),
    [
        (TEXT, ["a", "b"], None, None),
        (TEXT, ["a", None], 1, "nothing"),
        (TEXT.with_gaps, ["a", None], None, None),
        (TEXT.with_gaps, [None, 3], 1, 3),
        (TEXT.with_gaps, [None, None], None, None),
        (TEXT, ["a", True], 1, True),
        (NUMBER, [1, 2.5], None, None),
        (NUMBER, [1, NAN], 1, "nothing"),
        (NUMBER, [1.0, INF], 1, INF),
        (NUMBER, [1.0, -INF], 1, -INF),
        (BOUND, [1.0, INF, -INF], None, None),
        (BOUND, [1.0, NAN], 1, "nothing"),
        (NUMBER.with_gaps, [NAN, 1.0], None, None),
        (NUMBER.with_gaps, [NAN, INF], 1, INF),
        (NUMBER, ["1", "2"], 0, "1"),
        (NUMBER, ["1", "x", "2"], 1, "x"),
        (NUMBER, [1, True], 1, True),
        (NUMBER.with_gaps, [None, "x"], 1, "x"),
        (WHOLE, [1.0, 2.0], None, None),
        (WHOLE, [1, 2.5], 1, 2.5),
        (WHOLE, [1.0, INF], 1, INF),
        (WHOLE.with_gaps, [NAN, 2.0, 2.5], 2, 2.5),
        (WHOLE, [-3.0, -3.5], 1, -3.5),
        (WHOLE, ["1", "y"], 1, "y"),
        (TRUTH, [True, False], None, None),
        (TRUTH, [True, 1], 1, 1),
        (TRUTH, ["yes", True], 0, "yes"),
        (TRUTH.with_gaps, [None, True], None, None),
    ],
)
def test_values_of_a_column(column: Column, values: Any, place: Any, value: Any) -> None:
    schema, table = Schema("things", {"x": column}), pd.DataFrame({"x": values})
    if place is None:
        schema.checked(table, "here")
        return
    assert refused(schema.checked, table, "here") == (f"x (row {place})", value, column.words)
    said = refused(schema.checked, table, "here", "line", 2)
    assert said == (f"x (line {place + 2})", value, column.words)


def test_columns_of_a_table() -> None:
    schema = Schema("things", {"a": TEXT, "b": NUMBER.optional, "c": NUMBER})
    schema.checked(pd.DataFrame({"c": [1], "a": ["x"], "d": [None]}), "here")
    table = pd.DataFrame({"b": [1.0]})
    assert refused(schema.checked, table, "here") == ("columns", "no a, c", "things: a, c")
    twice = pd.DataFrame([["x", 1, 2, 3, 4]], columns=["a", "d", "c", "d", "c"])
    assert refused(schema.checked, twice, "here") == ("columns", "c, d", "each column once")
    empty = pd.DataFrame({"a": [], "c": []})
    assert refused(schema.checked, empty, "here") == ("rows", 0, "things: at least one row")
    both = pd.DataFrame({"a": ["x", 2], "c": ["y", 1]})
    assert refused(schema.checked, both, "here")[:2] == ("a (row 1)", 2)


def test_numbers_of_values() -> None:
    assert as_numbers(pd.Series([1, 2])).tolist() == [1, 2]
    found = as_numbers(pd.Series(["1.5", "x", None, 10**400], dtype=object))
    np.testing.assert_array_equal(found, [1.5, NAN, NAN, INF])
    found = as_numbers(pd.Series([1, None], dtype="Int64"))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [1, NAN])


def test_parquet_at_its_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]}).to_parquet(path, row_group_size=1)
    about = pq.read_metadata(path)
    size = sum(about.row_group(n).total_byte_size for n in range(3))
    monkeypatch.setattr(tables, "MOST_ROWS", 3)
    monkeypatch.setattr(tables, "LARGEST_UNPACKED", size)
    assert len(read_table(path)) == 3
    assert list(read_table(path, Schema("s", {"a": NUMBER, "z": TEXT.optional}))) == ["a"]
    monkeypatch.setattr(tables, "MOST_ROWS", 2)
    found = f"3 rows, {size} bytes"
    assert refused(read_table, path) == ("file", found, f"at most 2 rows, {size} bytes")
    monkeypatch.setattr(tables, "MOST_ROWS", 3)
    monkeypatch.setattr(tables, "LARGEST_UNPACKED", size - 1)
    assert refused(read_table, path) == ("file", found, f"at most 3 rows, {size - 1} bytes")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    assert refused(read_table, tmp_path / "bad.parquet")[::2] == (
        "file", "a readable Parquet file",
    )  # fmt: skip
    assert refused(read_table, tmp_path)[1:] == ("a folder", "a readable Parquet file")
    monkeypatch.setattr(tables, "LARGEST_UNPACKED", size)
    assert refused(read_table, path, Schema("s", {"c": NUMBER})) == ("columns", "no c", "s: c")


def test_cells_of_a_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n01,NA\n\n,2\n")
    found = csv_cells(path)
    assert found["a"].tolist()[0] == 1
    assert found["b"].tolist() == ["NA", "2"]
    assert len(found) == 2
    found = csv_cells(path, ["a"], blank_lines=True)
    assert found["a"].iloc[0] == "01"
    assert found["a"].isna().tolist() == [False, True, True]
    schema = Schema("s", {"a": TEXT.with_gaps, "b": TEXT})
    assert refused(read_csv, path, Schema("s", {"b": NUMBER})) == (
        "b (line 2)", "NA", "a finite number",
    )  # fmt: skip
    assert read_csv(path, schema)["b"].tolist() == ["NA", "2"]
    path.write_text("a,b\n1,2,3\n")
    assert refused(csv_cells, path) == (
        "file", "more cells than the header", "a cell per column",
    )  # fmt: skip
    path.write_text("")
    assert refused(csv_cells, path)[::2] == ("file", "a readable CSV file")
    path.write_text("a\n1\n")
    monkeypatch.setattr(tables, "LARGEST_CSV", 4)
    assert csv_cells(path)["a"].tolist() == [1]
    monkeypatch.setattr(tables, "LARGEST_CSV", 3)
    assert refused(csv_cells, path) == ("file", "4 bytes", "a CSV file of at most 3 bytes")


def test_files_at_their_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(b"\xef\xbb\xbf[1]")
    assert regular_file(path, "note", 6) == path
    assert refused(regular_file, path, "note", 5) == (
        "file", "6 bytes", "a note of at most 5 bytes",
    )  # fmt: skip
    assert (read_text(path, "note"), read_json(path, "note")) == ("[1]", [1])
    assert refused(read_text, path, "note", 5)[1] == "6 bytes"
    assert refused(read_json, path, "note", 5)[1] == "6 bytes"
    gone = ("file", "No such file or directory", "a readable note")
    assert refused(read_text, tmp_path / "no", "note") == gone
    assert refused(regular_file, tmp_path, "note") == ("file", "a folder", "a readable note")
    os.mkfifo(tmp_path / "pipe")
    said = ("file", "a pipe, socket or device", "a readable note")
    assert refused(regular_file, tmp_path / "pipe", "note") == said
    assert refused(regular_file, tmp_path / "a\0b", "note") == (
        "file", "embedded null byte", "a readable note",
    )  # fmt: skip
    path.write_bytes(b"\xff")
    assert refused(read_text, path, "note")[::2] == ("file", "a note in UTF-8")
    path.write_bytes(b"[1")
    assert refused(read_json, path, "note")[::2] == ("file", "a note, valid JSON")
    path.write_bytes(b"[" * 100_000)
    assert refused(read_json, path, "note")[::2] == ("file", "a note, valid JSON")
    assert files.LARGEST_TEXT == 64_000_000

    def fails(self: Path, encoding: str) -> str:
        raise OSError(5, "worn out")

    path.write_bytes(b"[1]")
    monkeypatch.setattr(Path, "read_text", fails)
    assert refused(read_text, path, "note") == ("file", "worn out", "a readable note")


def test_a_table_keeps_what_pandas_says_of_it(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": ["x", "y"]})
    table.index = [7, 8]
    write_table(table, tmp_path / "t.parquet", {}, "0")
    found = pd.read_parquet(tmp_path / "t.parquet")
    assert found["a"].dtype == "Int64"
    assert found.index.tolist() == [0, 1]
    metadata = pq.read_schema(tmp_path / "t.parquet").metadata
    assert {b"pandas", b"bprr"} <= set(metadata)


def test_what_vanishes_while_a_folder_is_tidied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_is_running", lambda process: process != 3)
    host = storage._host()
    left = tmp_path / f".b.{host}.3.unfinished"
    left.write_text("")
    busy = tmp_path / f".c.{host}.4.unfinished"
    busy.write_text("")
    names = [f".a.{host}.3.unfinished", left.name, busy.name, "b"]
    monkeypatch.setattr(os, "listdir", lambda folder: names)
    with replacing(tmp_path / "out") as unfinished:
        unfinished.write_text("x")
        assert unfinished.name == f".out.{host}.{os.getpid()}.unfinished"
    assert (left.exists(), busy.exists()) == (False, True)
    assert (tmp_path / "out").read_text() == "x"


def test_a_folder_that_may_not_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(folder: Path) -> list[str]:
        raise PermissionError

    monkeypatch.setattr(os, "listdir", fails)
    with replacing(tmp_path / "out") as unfinished:
        unfinished.write_text("x")
    assert (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("node", "host"), [("my.box_1-a", "my-box-1-a"), ("", "here"), ("ä", "-"), ("A9", "A9")]
)
def test_names_of_machines(monkeypatch: pytest.MonkeyPatch, node: str, host: str) -> None:
    monkeypatch.setattr(os, "uname", lambda: type("Uname", (), {"nodename": node}))
    assert storage._host.__wrapped__() == host
