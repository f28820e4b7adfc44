"""The one reader of tables: each kind of table has a `Schema`, and every file is held against it.

Whoever reads relies on it: the columns are there and hold values of their kind. The schemas of this
project's own tables stand in `bprr.ground.results`. (A library for this, pandera, would double the
time to start and still leave all messages to us.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from bprr.ground.errors import InputError
from bprr.ground.files import regular_file

__all__ = [
    "NUMBER",
    "TEXT",
    "TRUTH",
    "WHOLE",
    "Column",
    "Schema",
    "as_numbers",
    "csv_cells",
    "read_csv",
    "read_table",
]

LARGEST_CSV = 256_000_000  # bytes; in memory it takes several times as much
MOST_ROWS = 50_000_000
LARGEST_UNPACKED = 8_000_000_000  # bytes of a Parquet file's columns


@dataclass(frozen=True)
class Column:
    """What a column holds.

    Parameters
    ----------
    kind : str
        ``whole`` is an integer, ``truth`` true or false.
    absent : bool
        The column may be missing.
    gaps : bool
        Single values may be missing.
    infinite : bool
        Numbers may be infinite, e.g. a bound of a solver that found none.
    """

    kind: Literal["text", "number", "whole", "truth"]
    absent: bool = False
    gaps: bool = False
    infinite: bool = False

    @property
    def with_gaps(self) -> Column:
        """The same, single values may be missing."""
        return replace(self, gaps=True)

    @property
    def optional(self) -> Column:
        """The same, it or single values of it may be missing."""
        return replace(self, absent=True, gaps=True)

    @property
    def words(self) -> str:
        """What a value may be, for messages."""
        kind = {
            "text": "a text",
            "number": "a number" if self.infinite else "a finite number",
            "whole": "a whole number",
            "truth": "true or false",
        }[self.kind]
        return f"{kind}, or nothing" if self.gaps else kind


TEXT, NUMBER = Column("text"), Column("number")
WHOLE, TRUTH = Column("whole"), Column("truth")

# What pandas says a column holds: it looks at every value.
_INFERRED = {
    "text": {"string"},
    "truth": {"boolean"},
    "number": {"integer", "floating", "mixed-integer-float"},
    "whole": {"integer", "floating", "mixed-integer-float"},
}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "truth": (bool, np.bool_),
    "number": (int, float, np.integer, np.floating),
    "whole": (int, float, np.integer, np.floating),
}


@dataclass(frozen=True)
class Schema:
    """One kind of table.

    Parameters
    ----------
    what : str
        What it is and what writes it, for messages, e.g. ``"running times (bprr time)"``.
    columns : mapping of str to Column
        What is read of it; a table may have more columns.
    """

    what: str
    columns: Mapping[str, Column]

    def checked(self, table: pd.DataFrame, where: object, row: str = "row", first: int = 0) -> None:
        """Refuse a table that is not of this kind.

        Parameters
        ----------
        table : DataFrame
            The rows.
        where : object
            The file, for messages.
        row, first : str, int
            What a row is called, and the number of the first.

        Raises
        ------
        InputError
            Names the column, or the first row and value that does not fit.
        """
        if twice := sorted({str(name) for name in table.columns[table.columns.duplicated()]}):
            raise InputError(where, "columns", ", ".join(twice), "each column once")
        needed = [name for name, column in self.columns.items() if not column.absent]
        if missing := [name for name in needed if name not in table.columns]:
            allowed = f"{self.what}: {', '.join(needed)}"
            raise InputError(where, "columns", f"no {', '.join(missing)}", allowed)
        if table.empty:
            raise InputError(where, "rows", 0, f"{self.what}: at least one row")
        for name, column in self.columns.items():
            if name in table.columns and (found := _misfit(table[name], column)):
                position, value = found
                raise InputError(where, f"{name} ({row} {first + position})", value, column.words)


def _misfit(values: pd.Series, column: Column) -> tuple[int, object] | None:
    """Position and value of the first that does not fit."""
    known = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else values
    present = values.notna().to_numpy(dtype=bool)
    bad = np.zeros(len(values), dtype=bool) if column.gaps else ~present
    inferred = pd.api.types.infer_dtype(known, skipna=True)
    if present.any() and inferred not in _INFERRED[column.kind]:
        types = _TYPES[column.kind]
        strange = [
            not isinstance(value, types) or (isinstance(value, bool) and bool not in types)
            for value in values
        ]
        bad |= present & np.array(strange, dtype=bool)
        # One word makes pandas read a whole column as text: name the word, not the first number.
        words = bad & np.isnan(as_numbers(values))
        bad = words if column.kind in ("number", "whole") and words.any() else bad
    elif present.any() and column.kind in ("number", "whole"):
        numbers = as_numbers(values)
        if not column.infinite:
            bad |= present & ~np.isfinite(numbers)
        if column.kind == "whole":
            bad |= present & (numbers != np.floor(numbers))
    if not bad.any():
        return None
    position = int(np.argmax(bad))
    return position, values.iloc[position] if present[position] else "nothing"


def as_numbers(values: pd.Series) -> np.ndarray:
    """Values as floating-point numbers, NaN where they are none; beyond their range, infinite."""
    if not pd.api.types.is_numeric_dtype(values):
        values = values.astype("str")  # whole numbers of hundreds of digits are objects
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def read_table(path: Path, schema: Schema | None = None) -> pd.DataFrame:
    """Table of a Parquet file.

    Parameters
    ----------
    path : Path
        The file.
    schema : Schema, optional
        What it must hold; no other columns are read.

    Raises
    ------
    InputError
        If the file cannot be read or is not a table of this kind.
    """
    try:
        about = pq.read_metadata(regular_file(path, "Parquet file"))
        unpacked = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
        if about.num_rows > MOST_ROWS or unpacked > LARGEST_UNPACKED:
            size = f"{about.num_rows:,} rows, {unpacked:,} bytes"
            allowed = f"at most {MOST_ROWS:,} rows, {LARGEST_UNPACKED:,} bytes"
            raise InputError(path, "file", size, allowed)
        # Without partitioning: a folder named `a=b` would add a column.
        names = about.schema.to_arrow_schema().names
        read = None if schema is None else [name for name in names if name in schema.columns]
        table = pd.read_parquet(path, columns=read, partitioning=None)
    except InputError:
        raise
    except Exception as error:  # a damaged file makes pyarrow raise almost anything
        raise InputError(path, "file", str(error), "a readable Parquet file") from None
    if schema is not None:
        schema.checked(table, path)
    return table


def read_csv(path: Path, schema: Schema) -> pd.DataFrame:
    """Table of a CSV file of a known kind.

    Raises
    ------
    InputError
        If the file cannot be read or is not a table of this kind; rows are lines of the file.
    """
    texts = [name for name, column in schema.columns.items() if column.kind == "text"]
    table = csv_cells(path, texts)
    schema.checked(table, path, "line", 2)  # line 1 is the header
    return table


def csv_cells(path: Path, texts: Iterable[str] = (), blank_lines: bool = False) -> pd.DataFrame:
    """Cells of a CSV file; an empty one is a missing value, and nothing else is.

    Parameters
    ----------
    path : Path
        The file.
    texts : iterable of str
        Columns whose cells stay text, whatever they look like.
    blank_lines : bool
        Keep blank lines as rows without values, so that rows count as lines do.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    try:
        table: pd.DataFrame = pd.read_csv(
            regular_file(path, "CSV file", LARGEST_CSV),
            encoding="utf-8",
            compression=None,
            dtype=dict.fromkeys(texts, "str"),
            keep_default_na=False,
            na_values=[""],
            skip_blank_lines=not blank_lines,
            low_memory=False,  # or a column could be of two minds
        )
    except (OSError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(path, "file", str(error), "a readable CSV file") from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas took the first column for names
        raise InputError(path, "file", "more cells than the header", "a cell per column")
    return table
