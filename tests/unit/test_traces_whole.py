"""Traces: every row where it belongs, every remark and every refusal in full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bprr.scenario.traces as traces
from bprr.scenario.trace_families import FAMILIES, SECONDS, Family, family_of
from bprr.scenario.traces import Trace, read_trace

from .refusals import refused

OWN = "timestamp,input_tokens,output_tokens\n"
COLUMNS = {"arrival": "when", "input_tokens": "in", "output_tokens": "out"}


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(text: str, name: str = "t.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return write


def rows(trace: Trace) -> list[tuple[Any, ...]]:
    times = [None] * len(trace) if trace.arrival_s is None else trace.arrival_s.tolist()
    lengths = trace.input_tokens.tolist(), trace.output_tokens.tolist(), trace.row.tolist()
    return list(zip(times, *lengths, strict=True))


def test_rows_by_time_with_their_places(written: Any) -> None:
    path = written(OWN + "9,1,2\n\n7.5,3,4\n9,5,6\n7.5,7,8\n")
    found = read_trace(path)
    assert rows(found) == [(0, 3, 4, 1), (0, 7, 8, 3), (1.5, 1, 2, 0), (1.5, 5, 6, 2)]
    assert found.remarks == (
        f"{path}: times taken for seconds: 4 requests over 1.5 s, one in 0.5 s",
    )
    assert len(found) == 4
    assert found.file.family.name == "own"
    assert (found.file.delimiter, found.file.header) == (
        ",", ("timestamp", "input_tokens", "output_tokens"),
    )  # fmt: skip
    for array in (found.arrival_s, found.input_tokens, found.output_tokens, found.row):
        assert array is not None
        assert not array.flags.writeable
    assert read_trace(written(OWN + "9,1,2\n")).remarks == (
        f"{path}: times taken for seconds: 1 requests over 0 s",
    )


def test_failed_calls_are_left_out(written: Any) -> None:
    burst = "Timestamp,Request tokens,Response tokens\n5,3,4\n6,9,0\n8,1,2\n9,,0\n"
    path = written(burst)
    found = read_trace(path)
    assert rows(found) == [(0, 3, 4, 0), (3, 1, 2, 2)]
    assert found.remarks == (
        f"{path}: read as a trace of BurstGPT", f"{path}: 2 failed calls are left out",
    )  # fmt: skip
    path = written(
        "input_tokens,output_tokens,arrival_time_us,status\n3,4,7,ok\n1,2,9,no\n5,6,8,\n"
    )
    found = read_trace(path)
    assert rows(found) == [(0, 3, 4, 0)]
    assert found.remarks == (
        f"{path}: read as a trace of BLIS", f"{path}: 2 failed calls are left out",
    )  # fmt: skip
    path = written("Timestamp,Request tokens,Response tokens\n5,3,0\n")
    assert refused(read_trace, path) == ("rows", 0, "at least one request")
    path = written("prompt_size,token_size,arrival_timestamp\n3,0,1\n")
    assert rows(read_trace(path)) == [(0, 3, 0, 0)]  # judged once it is used


def test_lengths_alone(written: Any) -> None:
    path = written("output_tokens,input_tokens\n4,3\n2,1\n")
    found = read_trace(path)
    assert rows(found) == [(None, 3, 4, 0), (None, 1, 2, 1)]
    assert found.remarks == (f"{path}: read as a trace of lengths",)
    assert rows(found.window(5.0, 1.0, 1)) == [(None, 3, 4, 0)]
    said = ("rows", "none of 2 requests", "a window with at least one request")
    assert refused(found.window, 0.0, None, 0) == said


def test_windows(written: Any) -> None:
    path = written(OWN + "".join(f"{9 + time},{time},1\n" for time in range(1, 7)))
    found = read_trace(path)
    for start_s, duration_s, requests, inputs in (
        (0, None, None, [1, 2, 3, 4, 5, 6]), (1, None, None, [2, 3, 4, 5, 6]),
        (1, 2, None, [2, 3]), (1, 2.5, None, [2, 3, 4]), (1, 9, 2, [2, 3]), (0.5, 2, 9, [2, 3]),
        (5, 1, None, [6]), (2, 2, 1, [3]),
    ):  # fmt: skip
        window = found.window(start_s, duration_s, requests)
        assert window.input_tokens.tolist() == inputs
        assert window.arrival_s is not None
        assert window.arrival_s.tolist() == [value - 1 for value in inputs]
        assert window.row.tolist() == [value - 1 for value in inputs]
        assert window.output_tokens.tolist() == [1] * len(inputs)
    said = ("rows", "none of 6 requests over 5 s", "a window with at least one request")
    assert refused(found.window, 5.5, None, None) == said


@pytest.mark.parametrize(
    ("row", "key", "value"),
    [
        ("1,0,5", "input_tokens (line 4)", "0"), ("1,1.5,5", "input_tokens (line 4)", "1.5"),
        ("1,,5", "input_tokens (line 4)", "nothing"), ("1,x,5", "input_tokens (line 4)", "x"),
        ("1,1000000001,5", "input_tokens (line 4)", "1000000001"),
        ("1,5,0", "output_tokens (line 4)", "0"), ("1,5,2.25", "output_tokens (line 4)", "2.25"),
        ("1,5,-3", "output_tokens (line 4)", "-3"), ("1,5,inf", "output_tokens (line 4)", "inf"),
        ("1,5,1000000001", "output_tokens (line 4)", "1000000001"),
    ],
)  # fmt: skip
def test_lengths_that_are_none(written: Any, row: str, key: str, value: str) -> None:
    found = read_trace(written(OWN + f"0,1,1000000000\n\n{row}\n2,9,0\n"))
    allowed = "a whole number of tokens, from 1 to 1,000,000,000"
    assert refused(found.window, 0, None, None) == (key, value, allowed)
    assert rows(found.window(0, None, 1)) == [(0, 1, 1e9, 0)]


JSON = '{"timestamp": 1000, "input_length": 3, "output_length": 4, "more": [1]}\n'


def test_lines_of_json(written: Any) -> None:
    path = written("\ufeff" + JSON + "\n" + JSON.replace("1000", "1500"), "t.jsonl")
    found = read_trace(path)
    assert rows(found) == [(0, 3, 4, 0), (0.5, 3, 4, 1)]
    assert found.remarks == (f"{path}: read as a trace of Mooncake",)
    found = read_trace(written(JSON + "\n" + JSON.replace("3", "0"), "t.jsonl"))
    allowed = "a whole number of tokens, from 1 to 1,000,000,000"
    assert refused(found.window, 0, None, None) == ("input_tokens (line 3)", "0", allowed)
    found = read_trace(written(JSON + JSON.replace('"output_length": 4, ', ""), "t.jsonl"))
    assert refused(found.window, 0, None, None) == ("output_tokens (line 2)", "nothing", allowed)
    own = '{"timestamp": "2024-01-01T00:00:0%d", "input_tokens": "3", "output_tokens": 4}\n'
    found = read_trace(written(own % 7 + own % 1, "t.jsonl"))
    assert rows(found) == [(0, 3, 4, 1), (6, 3, 4, 0)]


@pytest.mark.parametrize(
    ("line", "value", "allowed"),
    [
        ("{", None, "one JSON object"),
        ("[1]", "[1]", "timestamp: a number"),
        ('{"timestamp": true}', '{"timestamp": true}', "timestamp: a number"),
        (JSON.strip().replace("3", "[3]"), JSON.strip().replace("3", "[3]"),
         "input_length: a number"),
        (JSON.strip().replace("4", '{"a": 1}'), JSON.strip().replace("4", '{"a": 1}'),
         "output_length: a number"),
    ],
)  # fmt: skip
def test_lines_of_json_refused(written: Any, line: str, value: str | None, allowed: str) -> None:
    found = refused(read_trace, written(f"{JSON}\n{line}\n", "t.jsonl"))
    assert (found[0], found[2]) == ("line 3", allowed)
    assert value in (None, found[1])


def test_rows_of_another_length(written: Any) -> None:
    for row, count in (("1,2", 2), ("1,2,3,4", 4)):
        said = refused(read_trace, written(f"\n{OWN}0,1,2\n\n{row}\n"))
        assert said == ("line 5", f"{count} values", "3 values, as many as the header has")


def test_columns_of_a_file(written: Any) -> None:
    known = "; ".join(dict.fromkeys(", ".join(family.columns) for family in FAMILIES))
    said = refused(read_trace, written("when,in,out\n1,2,3\n"))
    allowed = f"the columns of a known kind ({known}), or workload.columns"
    assert said == ("columns", "when, in, out", allowed)
    said = refused(read_trace, written("when,in,in,out\n1,2,2,3\n"), COLUMNS)
    assert said == ("columns", "when, in, in, out", "in, once")
    said = refused(read_trace, written("in,out\n2,3\n"), COLUMNS)
    assert said == ("columns", "in, out", "when, once")
    found = read_trace(written("when\tin\tout\n1\t2\t3\n"), COLUMNS)
    assert rows(found) == [(0, 2, 3, 0)]
    del_when = {name: column for name, column in COLUMNS.items() if name != "arrival"}
    assert rows(read_trace(written("when;in;out\n1;2;3\n"), del_when)) == [(None, 2, 3, 0)]
    assert refused(read_trace, written("{]\n"))[::2] == ("line 1", "one JSON object per line")
    path = written("")
    path.write_bytes(b"\xff\xfe\n")
    assert refused(read_trace, path)[::2] == ("file", "a trace in UTF-8")
    path.write_bytes(OWN.encode() + b"1,\xff,3\n")
    said = refused(read_trace, path)
    assert said == ("input_tokens", "bytes that are no text", "UTF-8")


@pytest.mark.parametrize(("unit", "scale"), [("s", 1), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)])
def test_units_of_times(written: Any, unit: str, scale: float) -> None:
    assert SECONDS[unit] == scale
    path = written("when,in,out\n1500,1,2\n500,3,4\n")
    found = read_trace(path, COLUMNS, unit)
    assert rows(found) == [(0, 3, 4, 1), (pytest.approx(1000 * scale), 1, 2, 0)]
    assert found.remarks == ()
    name = f"a_{unit.upper()}"
    path = written(f"{name},in,out\n1500.5,1,2\n500,3,4\n")
    named = read_trace(path, {**COLUMNS, "arrival": name})
    assert rows(named) == [(0, 3, 4, 1), (pytest.approx(1000.5 * scale), 1, 2, 0)]
    assert named.remarks == ()
    limit = 1e11 / scale
    allowed = f"a date and time, or a number, at most {limit:g} {unit}"
    path = written(f"when,in,out\n0,1,2\n{limit:.0f},1,2\n-{limit:.0f},1,2\n")
    arrival_s = read_trace(path, COLUMNS, unit).arrival_s
    assert arrival_s is not None
    assert arrival_s.tolist() == pytest.approx([0, 1e11, 2e11])
    for value in (f"{limit * 1.01:.0f}", f"-{limit * 1.01:.0f}", "noon"):
        said = refused(
            read_trace, written(f"when,in,out\n0,1,2\n1,1,2\n{value},1,2\n"), COLUMNS, unit
        )
        assert said == ("arrival (line 4)", value, allowed)


def test_times_of_nanoseconds_are_exact(written: Any) -> None:
    path = written("when,in,out\n1700000000000000001,1,2\n1700000000000000129,1,2\n")
    arrival_s = read_trace(path, COLUMNS, "ns").arrival_s
    assert arrival_s is not None
    np.testing.assert_allclose(arrival_s, [0, 128e-9], rtol=1e-12)


def test_dates(written: Any) -> None:
    days = "when,in,out\n20240301,1,2\n20240228,3,4\n"
    found = read_trace(written(days), COLUMNS, "date")
    assert rows(found) == [(0, 3, 4, 1), (172800, 1, 2, 0)]
    said = refused(read_trace, written(days.replace("0301", "0332")), COLUMNS, "date")
    assert said == ("arrival (line 2)", "20240332", "seconds or a date and time")
    texts = "when,in,out\n2024-03-01 00:00:01.5,1,2\n2024-03-01T01:00:00+01:00,3,4\n"
    found = read_trace(written(texts), COLUMNS)
    assert rows(found) == [(0, 3, 4, 1), (1.5, 1, 2, 0)]
    assert found.remarks == ()
    said = refused(read_trace, written(texts + "later,1,2\n"), COLUMNS)
    assert said == ("arrival (line 4)", "later", "seconds or a date and time")
    # With numbers in one half of the rows, or less, they are dates that were written wrongly.
    half = written("when,in,out\n1,1,2\nnoon,1,2\n")
    said = refused(read_trace, half, COLUMNS)
    assert said == ("arrival (line 2)", "1", "seconds or a date and time")
    most = written("when,in,out\n1,1,2\nnoon,1,2\n2,1,2\n")
    said = refused(read_trace, most, COLUMNS)
    assert said == ("arrival (line 3)", "noon", "a date and time, or a number, at most 1e+11 s")


def test_numbers_without_a_unit(written: Any) -> None:
    allowed = "workload.time_unit: s, ms, us, ns, or date (20231116)"

    def of(*times: object) -> Path:
        return written("when,in,out\n" + "".join(f"{time},1,2\n" for time in times))

    for low, high in ((20240228, 20240301), (19700101, 19700102), (21001230, 21001231)):
        found = f"{low} to {high} without a unit, over 2 requests: numbers like dates"
        assert refused(read_trace, of(low, high), COLUMNS) == ("arrival", found, allowed)
    said = "{path}: times taken for seconds: 2 requests over {gap} s, one in {gap} s"
    for low, high in (
        (19700100, 19700101), (21001231, 21001232), (20240228, 20240230), (19700199, 19700200),
        (0, 300), (-300, 0),
    ):  # fmt: skip
        path = of(low, high)
        assert read_trace(path, COLUMNS).remarks == (said.format(path=path, gap=high - low),)
    found = "0 to 301 without a unit, over 2 requests: as seconds, one in 301 s"
    assert refused(read_trace, of(0, 301), COLUMNS) == ("arrival", found, allowed)
    found = "0 to 603 without a unit, over 3 requests: as seconds, one in 301.5 s"
    assert refused(read_trace, of(0, 1, 603), COLUMNS) == ("arrival", found, allowed)
    path = of(0, 1, 600)
    assert read_trace(path, COLUMNS).remarks == (
        f"{path}: times taken for seconds: 3 requests over 600 s, one in 300 s",
    )
    assert read_trace(of(0, 1e9), COLUMNS, "s").remarks == ()


def test_families_are_told_apart() -> None:
    times = [family for family in FAMILIES if family.arrival is not None]
    for family in FAMILIES:
        assert family_of(["x", *family.columns]) in (family, *times)
        for missing in family.columns:
            without = [name for name in family.columns if name != missing]
            assert family_of(without) is None or not set(family.columns) <= set(without)
    assert family_of([]) is None
    assert Family("x", "in", "out").columns == ["in", "out"]
    assert Family("x", "in", "out", "t", served={"ok": "1"}).columns == ["t", "in", "out", "ok"]
    assert [(family.name, *family.columns, family.time_unit) for family in FAMILIES] == [
        ("Azure 2023, 2024", "TIMESTAMP", "ContextTokens", "GeneratedTokens", None),
        ("BurstGPT", "Timestamp", "Request tokens", "Response tokens", "s"),
        ("Mooncake", "timestamp", "input_length", "output_length", "ms"),
        ("vidur", "arrived_at", "num_prefill_tokens", "num_decode_tokens", "s"),
        ("LLMServingSim", "arrival_time_ns", "input_toks", "output_toks", "ns"),
        ("BLIS", "arrival_time_us", "input_tokens", "output_tokens", "status", "us"),
        ("splitwise-sim", "arrival_timestamp", "prompt_size", "token_size", "s"),
        ("own", "timestamp", "input_tokens", "output_tokens", None),
        ("own", "TIMESTAMP", "input_tokens", "output_tokens", None),
        ("Azure 2023, 2024", "timestamp", "ContextTokens", "GeneratedTokens", None),
        ("vidur lengths", "num_prefill_tokens", "num_decode_tokens", None),
        ("LLMServingSim lengths", "input_toks", "output_toks", None),
        ("Mooncake lengths", "input_length", "output_length", None),
        ("lengths", "input_tokens", "output_tokens", None),
    ]
    assert [family.failed_without_output for family in FAMILIES] == [False, True, *[False] * 12]


def test_a_trace_that_is_too_large_or_no_file(written: Any, monkeypatch: Any) -> None:
    path = written(OWN + "1,2,3\n")
    size = path.stat().st_size
    monkeypatch.setattr(traces, "LARGEST_TRACE", size)
    assert len(read_trace(path)) == 1
    monkeypatch.setattr(traces, "LARGEST_TRACE", size - 1)
    said = ("file", f"{size} bytes", f"a trace of at most {size - 1} bytes")
    assert refused(read_trace, path) == said
    assert refused(read_trace, path.parent) == ("file", "a folder", "a readable trace")


def test_a_trace_that_changed_is_read_again(written: Any) -> None:
    assert len(read_trace(written(OWN + "1,2,3\n"))) == 1
    assert len(read_trace(written(OWN + "1,2,3\n2,3,4\n"))) == 2
    swapped = {"arrival": "timestamp", "input_tokens": "output_tokens",
               "output_tokens": "input_tokens"}  # fmt: skip
    assert rows(read_trace(written(OWN + "1,2,3\n2,3,4\n"), swapped))[0] == (0, 3, 2, 0)


def test_a_line_of_json_must_fit_into_a_block(written: Any, monkeypatch: Any) -> None:
    path = written(JSON * 2, "t.jsonl")
    monkeypatch.setattr(traces, "JSON_BLOCK", len(JSON))
    assert len(read_trace(path)) == 2
    monkeypatch.setattr(traces, "JSON_BLOCK", len(JSON) - 3)
    assert refused(read_trace, path.rename(path.with_name("u.jsonl")))[::2] == (
        "line 1", "one JSON object per line",
    )  # fmt: skip
