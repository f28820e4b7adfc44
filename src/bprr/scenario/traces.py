"""Recorded requests: tables of times and lengths, as CSV, TSV or JSON lines.

What a value means is never guessed in silence: a row of another length than the header is refused
with its line, numbers that may be seconds or anything else need a unit, and only the rows that are
used are judged.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json

from bprr.ground.errors import InputError
from bprr.ground.files import regular_file
from bprr.ground.swarm import FloatArray, IntArray
from bprr.scenario.trace_families import FAMILIES, SECONDS, Family, family_of

__all__ = ["LATEST_S", "Trace", "read_trace"]

LARGEST_TRACE = 2_000_000_000  # bytes
LATEST_S = 1e11  # the year 5138 in Unix time; numbers beyond are most likely in ms
MOST_TOKENS = 1_000_000_000
LONGEST_GAP_S = 300.0  # between two requests on average; beyond, "seconds" are most likely ms
DAY_NUMBERS = (19700101, 21001231)  # as in 20231116
JSON_BLOCK = 64 << 20  # bytes; a line must fit


@dataclass(frozen=True)
class Trace:
    """Requests of a file by time of arrival, lengths as they stand there, not yet judged.

    Parameters
    ----------
    file : TraceFile
        Where they are from.
    arrival_s : ndarray, shape (N,), optional
        Times from the first one on; none where the trace has lengths alone.
    input_tokens, output_tokens : ndarray, shape (N,)
        Lengths; NaN where there is no number.
    row : ndarray of int64, shape (N,)
        Row of the file that each is from.
    remarks : tuple of str
        What a user should know about how it was read.
    """

    file: TraceFile
    arrival_s: FloatArray | None
    input_tokens: FloatArray
    output_tokens: FloatArray
    row: IntArray
    remarks: tuple[str, ...]

    def __len__(self) -> int:
        return self.row.size

    def window(self, start_s: float, duration_s: float | None, requests: int | None) -> Trace:
        """Requests from a time on, for a duration, at most so many; their lengths are judged.

        Raises
        ------
        InputError
            If there are none, or a length is no whole number of at least 1.
        """
        first, last = 0, len(self)
        if self.arrival_s is not None:
            end_s = np.inf if duration_s is None else start_s + duration_s
            first, last = np.searchsorted(self.arrival_s, [start_s, end_s]).tolist()
        part = slice(first, last if requests is None else min(last, first + requests))
        if not len(self.row[part]):
            times = "" if self.arrival_s is None else f" over {self.arrival_s[-1]:g} s"
            found = f"none of {len(self)} requests{times}"
            raise InputError(self.file.path, "rows", found, "a window with at least one request")
        family = self.file.family
        for name in (family.input_tokens, family.output_tokens):
            numbers = self.input_tokens if name == family.input_tokens else self.output_tokens
            numbers = numbers[part]
            bad = ~((numbers >= 1) & (numbers <= MOST_TOKENS)) | (numbers != np.floor(numbers))
            key = "input_tokens" if name == family.input_tokens else "output_tokens"
            allowed = f"a whole number of tokens, from 1 to {MOST_TOKENS:,}"
            self.file.refuse(key, name, self.row[part], bad, allowed)
        return replace(
            self,
            arrival_s=None if self.arrival_s is None else self.arrival_s[part],
            input_tokens=self.input_tokens[part],
            output_tokens=self.output_tokens[part],
            row=self.row[part],
        )


@dataclass(frozen=True)
class TraceFile:
    """A file, and how its rows are found and named."""

    path: Path
    family: Family
    delimiter: str  # empty for JSON lines
    header: tuple[str, ...] = ()

    def rows(self) -> Iterator[tuple[int, Any]]:
        """Line and content of every row, slowly: for messages."""
        with self.path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            if not self.delimiter:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        yield number, line
                return
            reader = csv.reader(file, delimiter=self.delimiter)
            next(filter(None, reader), None)
            for cells in reader:
                if cells:
                    yield reader.line_num, cells

    def refuse(self, key: str, column: str, row: IntArray, bad: Any, allowed: str) -> None:
        """Refuse the first bad value, with its line."""
        wrong = np.flatnonzero(bad)
        if not wrong.size:
            return
        wanted = int(row[wrong[0]])
        line, content = next(each for place, each in enumerate(self.rows()) if place == wanted)
        if self.delimiter:
            value: Any = content[self.header.index(column)]
        else:
            value = json.loads(content).get(column)
        found = "nothing" if value in ("", None) else str(value)
        raise InputError(self.path, f"{key} (line {line})", found, allowed)

    def table(self) -> pa.Table:
        """The columns that are read.

        Raises
        ------
        InputError
            Names the first line that does not fit.
        """
        try:
            table = self._json() if not self.delimiter else self._csv()
            for name in table.column_names:
                if pa.types.is_binary(table[name].type):
                    raise InputError(self.path, name, "bytes that are no text", "UTF-8")
            return table
        except (pa.ArrowException, OSError, ValueError) as error:
            self._refuse_a_line()
            raise InputError(self.path, "file", str(error), "a readable trace") from None

    def _csv(self) -> pa.Table:
        return pa.csv.read_csv(
            self.path,
            read_options=pa.csv.ReadOptions(use_threads=False),
            parse_options=pa.csv.ParseOptions(delimiter=self.delimiter),
            convert_options=pa.csv.ConvertOptions(
                include_columns=self.family.columns, null_values=[""], strings_can_be_null=True
            ),
        )

    def _json(self) -> pa.Table:
        _, first = next(self.rows())
        values = json.loads(first)
        texts = {name for name, value in values.items() if isinstance(value, str)}
        fields = [
            (name, pa.string() if name in texts else pa.float64()) for name in self.family.columns
        ]
        return pa.json.read_json(
            self.path,
            read_options=pa.json.ReadOptions(use_threads=False, block_size=JSON_BLOCK),
            parse_options=pa.json.ParseOptions(
                explicit_schema=pa.schema(fields), unexpected_field_behavior="ignore"
            ),
        )

    def _refuse_a_line(self) -> None:
        try:
            for line, content in self.rows():
                if self.delimiter and len(content) != len(self.header):
                    allowed = f"{len(self.header)} values, as many as the header has"
                    found = f"{len(content)} values"
                    raise InputError(self.path, f"line {line}", found, allowed)
                if not self.delimiter:
                    self._refuse_json(line, content)
        except csv.Error as error:
            raise InputError(self.path, "file", str(error), "a readable trace") from None

    def _refuse_json(self, line: int, content: str) -> None:
        try:
            values = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise InputError(self.path, f"line {line}", str(error), "one JSON object") from None
        for name in self.family.columns:
            if not isinstance(values, dict) or isinstance(values.get(name), bool | list | dict):
                raise InputError(self.path, f"line {line}", content.strip(), f"{name}: a number")


def read_trace(
    path: Path, columns: Mapping[str, str] | None = None, time_unit: str | None = None
) -> Trace:
    """Requests of a recorded trace, read once.

    Parameters
    ----------
    path : Path
        CSV, TSV or JSON lines, of one of `FAMILIES` or as the next two say.
    columns : mapping, optional
        Which column holds ``arrival``, ``input_tokens`` and ``output_tokens``.
    time_unit : str, optional
        Of times that are numbers: ``s``, ``ms``, ``us``, ``ns``, or ``date`` (20231116).

    Raises
    ------
    InputError
        If the file, a row or a time cannot be used; names the line.
    """
    status = regular_file(path, "trace", LARGEST_TRACE).stat()
    named = tuple(sorted((columns or {}).items()))
    return _read(path, status.st_mtime_ns, status.st_size, named, time_unit)


@lru_cache(maxsize=2)
def _read(
    path: Path, _changed: int, _size: int, named: tuple[tuple[str, str], ...], time_unit: str | None
) -> Trace:
    file = _opened(path, dict(named))
    family, table = file.family, file.table()
    row = np.arange(table.num_rows)
    remarks = [f"{path}: read as a trace of {family.name}"] if family.name != "own" else []
    used = np.ones(table.num_rows, dtype=bool)
    for column, value in family.served.items():
        used &= np.asarray(pc.equal(table[column].cast(pa.string()), value).fill_null(False))
    outputs = _numbers(table[family.output_tokens])
    if family.failed_without_output:
        used &= outputs != 0
    if not used.all():
        remarks.append(f"{path}: {int((~used).sum()):,} failed calls are left out")
    row, outputs = row[used], outputs[used]
    if not row.size:
        raise InputError(path, "rows", 0, "at least one request")
    inputs = _numbers(table[family.input_tokens])[used]
    if family.arrival is None:
        return Trace(file, None, inputs, outputs, row, tuple(remarks))
    seconds, said = _seconds(file, table[family.arrival].filter(pa.array(used)), row, time_unit)
    order = np.argsort(seconds, kind="stable")
    seconds = seconds[order]
    trace = Trace(
        file,
        seconds - seconds[0],
        inputs[order],
        outputs[order],
        row[order],
        (*remarks, *(f"{path}: {each}" for each in said)),
    )
    for array in (trace.arrival_s, trace.input_tokens, trace.output_tokens, trace.row):
        assert array is not None
        array.setflags(write=False)  # every run reads them
    return trace


def _opened(path: Path, named: dict[str, str]) -> TraceFile:
    """The file with its columns, as its first line says them."""
    with path.open("rb") as binary:
        start = next((line for line in binary if line.strip()), b"")[: JSON_BLOCK + 1]
    try:
        first = start.decode("utf-8-sig").strip("\r\n")
    except UnicodeDecodeError as error:
        raise InputError(path, "file", str(error), "a trace in UTF-8") from None
    delimiter = ""
    if first.lstrip().startswith("{"):
        try:
            names = list(json.loads(first))
        except (ValueError, RecursionError) as error:
            raise InputError(path, "line 1", str(error), "one JSON object per line") from None
    else:
        delimiter = max(",\t;", key=first.count)
        names = next(csv.reader([first], delimiter=delimiter), [])
    family = family_of(names)
    if named:
        lengths = named["input_tokens"], named["output_tokens"]
        family = Family("own", *lengths, named.get("arrival"))
    known = "; ".join(dict.fromkeys(", ".join(each.columns) for each in FAMILIES))
    if family is None:
        allowed = f"the columns of a known kind ({known}), or workload.columns"
        raise InputError(path, "columns", ", ".join(names), allowed)
    for name in family.columns:
        if names.count(name) != 1:
            raise InputError(path, "columns", ", ".join(names), f"{name}, once")
    return TraceFile(path, family, delimiter, tuple(names))


def _numbers(column: pa.ChunkedArray) -> FloatArray:
    """Values as floating-point numbers, NaN where they are none."""
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        rounded = column.cast(pa.float64(), safe=False)  # beyond 2⁵³, as Unix times in ns are
        return np.asarray(rounded.fill_null(np.nan))
    texts = column.cast(pa.string()).to_pandas()
    numbers = pd.to_numeric(texts, errors="coerce")
    return np.asarray(numbers.to_numpy(dtype=np.float64, na_value=np.nan))


def _seconds(
    file: TraceFile, column: pa.ChunkedArray, row: IntArray, unit: str | None
) -> tuple[FloatArray, list[str]]:
    """Times in seconds, and what to say about them."""
    name = str(file.family.arrival)
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _since_first(file, name, column.cast(pa.timestamp("ns")).to_pandas(), row)
    numbers = _numbers(column)
    if 2 * np.isfinite(numbers).sum() <= len(column):
        texts = column.cast(pa.string()).to_pandas().astype("str")
        times = pd.to_datetime(texts, errors="coerce", utc=True, format="ISO8601")
        return _since_first(file, name, times, row)
    if unit == "date":
        days = pd.Series(numbers).map(lambda day: f"{day:.0f}")
        times = pd.to_datetime(days, errors="coerce", utc=True, format="%Y%m%d")
        return _since_first(file, name, times, row)
    said: list[str] = []
    known = unit or file.family.time_unit or _suffix(name)
    scale = SECONDS[known or "s"]
    limit = LATEST_S / scale
    unit_said = known or "s"
    allowed = f"a date and time, or a number, at most {limit:g} {unit_said}"
    file.refuse("arrival", name, row, ~(np.abs(numbers) <= limit), allowed)
    if pa.types.is_integer(kind):  # exact before they are scaled: Unix times in ns
        exact = np.asarray(column.cast(pa.int64()))
        seconds = (exact - exact.min()).astype(np.float64) * scale
    else:
        seconds = numbers * scale
    if known is None:
        said.append(_plausible(file.path, numbers))
    return seconds, said


def _since_first(
    file: TraceFile, name: str, times: pd.Series, row: IntArray
) -> tuple[FloatArray, list[str]]:
    file.refuse("arrival", name, row, times.isna().to_numpy(), "seconds or a date and time")
    return np.asarray((times - times.min()).dt.total_seconds(), dtype=np.float64), []


def _suffix(name: str) -> str | None:
    unit = name.rpartition("_")[2].lower()
    return unit if unit in SECONDS else None


def _plausible(path: Path, numbers: FloatArray) -> str:
    """What to say of numbers taken for seconds; refused where they hardly are any."""
    low, high, count = float(numbers.min()), float(numbers.max()), len(numbers)
    found = f"{low:.16g} to {high:.16g} without a unit, over {count:,} requests"
    allowed = "workload.time_unit: s, ms, us, ns, or date (20231116)"
    if DAY_NUMBERS[0] <= low and high <= DAY_NUMBERS[1] and _are_days(numbers):
        raise InputError(path, "arrival", f"{found}: numbers like dates", allowed)
    gap_s = (high - low) / max(count - 1, 1)
    if gap_s > LONGEST_GAP_S:
        raise InputError(path, "arrival", f"{found}: as seconds, one in {gap_s:g} s", allowed)
    rate = f", one in {gap_s:g} s" if count > 1 else ""
    return f"times taken for seconds: {count:,} requests over {high - low:g} s{rate}"


def _are_days(numbers: FloatArray) -> bool:
    days = pd.Series(np.unique(numbers)).map(lambda day: f"{day:.0f}")
    return bool(pd.to_datetime(days, errors="coerce", format="%Y%m%d").notna().all())
