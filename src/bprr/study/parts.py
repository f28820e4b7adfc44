"""Parts of a sweep: tables of some of its runs each, and the table that they make up.

A sweep of many runs is spread over jobs, each with a part of the runs. The whole is the same to the
byte however it is spread: it holds, and says of itself, what one job with all runs would write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bprr.ground.errors import InputError
from bprr.ground.storage import read_provenance, read_table

__all__ = ["Part", "expected", "merged", "parts_of", "provenance", "read_part"]


def parts_of(runs: int, runs_per_job: int) -> list[range]:
    """Runs of each job; more of them leave all but the last part as they are."""
    starts = range(0, runs, runs_per_job)
    return [range(first, min(first + runs_per_job, runs)) for first in starts]


def provenance(planned: Mapping[str, Any], first_run: int, rows: Sequence[int]) -> dict[str, Any]:
    """What a table of some runs says of itself; ``planned`` is that of a sweep that ends there.

    A part that leaves out the first runs does not pass for the whole.
    """
    digest = planned["settings_hash"] + (f" from run {first_run}" if first_run else "")
    record = {**planned, "settings_hash": digest}
    return {**record, "first_run": first_run, "rows_per_point": list(rows)}


class Part(NamedTuple):
    """Table of some runs of a sweep, and how many rows each point has."""

    path: Path
    runs: range
    table: pd.DataFrame
    rows: Sequence[int]

    def points(self) -> Iterator[pd.DataFrame]:
        """Its rows, point by point."""
        for first, end in pairwise(np.cumsum([0, *self.rows])):
            yield self.table.iloc[first:end]


def expected(paths: Sequence[Path], runs: int) -> list[range]:
    """Runs of each part, by what the parts say: all runs, each once, in the order of the parts.

    Raises
    ------
    InputError
        If a run is in no part, or in two.
    """
    found = []
    for path in paths:
        made = read_provenance(path)
        try:
            found.append(range(int(made["first_run"]), int(made["settings"]["runs"])))
        except (KeyError, TypeError, ValueError):
            raise InputError(path, "provenance", "no runs", "a table of bprr sweep") from None
    before = 0
    for path, part in sorted(zip(paths, found, strict=True), key=lambda pair: pair[1].start):
        if part.start != before:
            what = "missing" if part.start > before else "twice"
            span = f"{min(before, part.start)} to {max(before, part.start) - 1} {what}"
            raise InputError(path, "runs", span, f"each of 0 to {runs - 1} in one part")
        before = part.stop
    if before != runs:
        raise InputError(paths[-1], "runs", f"end with {before - 1}", f"runs 0 to {runs - 1}")
    return found


def read_part(path: Path, runs: range, planned: Mapping[str, Any], source: str) -> Part:
    """Part of a sweep, made from nothing else than what is planned.

    Parameters
    ----------
    planned, source
        Provenance, and hash of the source, of a sweep that ends with these runs.

    Raises
    ------
    InputError
        If it was made from anything else, or does not hold these runs.
    """
    made, table = read_provenance(path), read_table(path)
    rows = made.get("rows_per_point")
    if not isinstance(rows, list) or sum(rows) != len(table):
        raise InputError(path, "rows", len(table), f"{rows} of the points")
    for key, value in {**provenance(planned, runs.start, rows), "source": source}.items():
        if key != "settings" and made.get(key) != value:
            raise InputError(path, key, made.get(key), f"{value}, as this sweep asks for")
    part = Part(path, runs, table, rows)
    for point in part.points():
        if set(point["run"]) != set(runs):
            span = f"{point['run'].min()} to {point['run'].max()}"
            raise InputError(path, "runs of a point", span, f"{runs.start} to {runs.stop - 1}")
    return part


def merged(parts: Sequence[Part]) -> tuple[pd.DataFrame, list[int]]:
    """Table of all runs and the rows of each point, as one job would have made them."""
    parts = sorted(parts, key=lambda part: part.runs.start)
    words = {
        name: sorted(set().union(*(_words(part.table, name) for part in parts)))
        for name in dict.fromkeys(str(name) for part in parts for name in part.table)
        if any(name in part.table and part.table[name].dtype == "category" for part in parts)
    }
    for part in parts:
        for name, categories in words.items():
            values = part.table.get(name, np.full(len(part.table), None))
            part.table[name] = pd.Categorical(values, categories)
    by_point = zip(*(part.points() for part in parts), strict=True)
    table = pd.concat([rows for point in by_point for rows in point], ignore_index=True)
    return table, np.sum([part.rows for part in parts], axis=0).tolist()


def _words(table: pd.DataFrame, name: str) -> set[str]:
    return set(table[name].cat.categories) if name in table else set()
