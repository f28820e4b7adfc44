"""Networks of measured round trips: a pair that was measured is used as measured.

A round trip from A to B as A saw it may differ from the one that B saw; no path over other nodes
ever replaces either.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from bprr.ground.errors import InputError
from bprr.ground.files import read_text
from bprr.ground.swarm import FloatArray
from bprr.scenario.network import MOST_NODES, US_PER_MS, LinkNetwork, shortest_us
from bprr.scenario.topologies import read_graph

__all__ = ["MISSING", "Missing", "Unit", "read_rtt"]

Unit = Literal["s", "ms", "us"]
Missing = Literal["refuse", "other_way", "detour"]
MS_PER: Mapping[str, float] = {"s": 1000.0, "ms": 1.0, "us": 1 / US_PER_MS}
LONGEST_MS = 1e7
ABSENT = {"", "-", "n/a", "na", "nan", "none", "null", "inf", "*"}

# Columns of long tables: who measured, whom, and what.
FROM = ("from", "source", "src", "from_region", "source_region", "probe", "origin")
TO = ("to", "destination", "dst", "dest", "to_region", "destination_region", "target")
RTT = ("rtt", "avg", "average", "mean", "median", "p50", "latency", "ping", "min")
MBIT_PER: Mapping[str, float] = {  # columns that say how fast the way from the one to the other is
    "mbit_per_s": 1.0, "bandwidth_mbit_per_s": 1.0, "mbps": 1.0, "bandwidth_mbps": 1.0,
    "gbit_per_s": 1000.0, "bandwidth_gbit_per_s": 1000.0, "gbps": 1000.0, "bandwidth_gbps": 1000.0,
}  # fmt: skip
FASTEST_MBIT = 1e7


def read_rtt(path: Path, unit: Unit | None, missing: Missing) -> LinkNetwork:
    """Network of a table of round trips.

    Parameters
    ----------
    path : Path
        CSV, TSV or the like: a matrix with names along both sides, or a row per pair with columns
        such as ``from,to,rtt_ms``; or a REPETITA file, whose links are then measurements.
    unit : str, optional
        Of the round trips; by the end of the column's name, or ms, if not given.
    missing : str
        What becomes of pairs that nobody measured: see `MISSING`.

    Raises
    ------
    InputError
        If the file cannot be used, or a pair is missing.
    """
    remarks: list[str] = []
    mbit_per_s = None
    if path.suffix == ".graph":
        names, rtt = _links(path, unit)
    else:
        text = read_text(path, "table of round trips")
        delimiter = max(",\t;", key=text.partition("\n")[0].count)
        rows = [
            (number, [cell.strip() for cell in row])
            for number, row in enumerate(csv.reader(text.splitlines(), delimiter=delimiter), 1)
            if any(cell.strip() for cell in row)
        ]
        if len(rows) < 2:
            raise InputError(path, "rows", max(len(rows) - 1, 0), "at least one round trip")
        width = len(rows[0][1])
        for number, row in rows:
            if len(row) != width:
                allowed = f"{width} values, as many as the header has"
                raise InputError(path, f"line {number}", f"{len(row)} values", allowed)
        if set(rows[0][1][1:]) == {row[0] for _, row in rows[1:]}:
            names, rtt = _matrix(path, rows, unit)
        else:
            names, rtt, repeated = _pairs(path, rows, unit)
            mbit_per_s = _bandwidth(path, rows, names)
            if repeated:
                remarks.append(f"{path}: {repeated} pairs measured several times: their median")
    own = np.diag(rtt)
    np.fill_diagonal(rtt, np.where(np.isnan(own), 0.0, own))
    absent = np.isnan(rtt)
    if absent.any():
        rtt = MISSING[missing](path, names, rtt)
        remarks.append(f"{path}: {int(absent.sum())} of {rtt.size} pairs not measured: {missing}")
    unknown = np.full(len(names), np.nan)
    return LinkNetwork(
        path.stem, rtt, unknown, unknown, tuple(names), (), tuple(remarks), mbit_per_s
    )


def _links(path: Path, unit: Unit | None) -> tuple[list[str], FloatArray]:
    """One-way measurements of a REPETITA file: a round trip is the sum of both ways."""
    graph = read_graph(path, "us" if unit is None else unit)
    delay = np.full((len(graph.names), len(graph.names)), np.nan)
    for a, b, delay_us in graph.links:
        delay[a, b] = np.fmin(delay[a, b], delay_us)
    delay = np.where(np.isnan(delay), delay.T, delay)
    return graph.names, (delay + delay.T) / US_PER_MS


def _number(path: Path, line: int, text: str, scale: float) -> float:
    if text.lower() in ABSENT:
        return np.nan
    try:
        value = float(text) * scale
    except ValueError:
        value = -1.0
    if not 0 <= value <= LONGEST_MS:
        allowed = f"a round trip from 0 to {LONGEST_MS:g} ms, or nothing"
        raise InputError(path, f"line {line}", text, allowed)
    return value


def _matrix(
    path: Path, rows: Sequence[tuple[int, list[str]]], unit: Unit | None
) -> tuple[list[str], FloatArray]:
    names = rows[0][1][1:]
    if len(set(names)) != len(names) or len(rows) - 1 != len(names) or len(names) > MOST_NODES:
        raise InputError(path, "line 1", ", ".join(names[:20]), "each name once, along both sides")
    scale = MS_PER[unit or "ms"]
    rtt = np.full((len(names), len(names)), np.nan)
    for line, (name, *cells) in rows[1:]:
        rtt[names.index(name)] = [_number(path, line, cell, scale) for cell in cells]
    return names, rtt


def _pairs(
    path: Path, rows: Sequence[tuple[int, list[str]]], unit: Unit | None
) -> tuple[list[str], FloatArray, int]:
    header = [name.lower() for name in rows[0][1]]
    units = {f"{name}_{end}": end for name in RTT for end in MS_PER}
    here, there = _column(path, header, FROM), _column(path, header, TO)
    value = _column(path, header, (*(name for name in units), *RTT))
    scale = MS_PER[unit or units.get(header[value], "ms")]
    measured: dict[tuple[str, str], list[float]] = {}
    for line, row in rows[1:]:
        rtt_ms = _number(path, line, row[value], scale)
        if not np.isnan(rtt_ms):
            measured.setdefault((row[here], row[there]), []).append(rtt_ms)
    names = list(dict.fromkeys(row[end] for _, row in rows[1:] for end in (here, there)))
    if len(names) > MOST_NODES:
        raise InputError(path, "nodes", len(names), f"at most {MOST_NODES:,}")
    index = {name: place for place, name in enumerate(names)}
    rtt = np.full((len(names), len(names)), np.nan)
    for (a, b), values in measured.items():
        rtt[index[a], index[b]] = float(np.median(values))
    return names, rtt, sum(len(values) > 1 for values in measured.values())


def _bandwidth(
    path: Path, rows: Sequence[tuple[int, list[str]]], names: Sequence[str]
) -> FloatArray | None:
    """Bandwidth of each pair (Mbit/s), the smallest that was measured; none without a column."""
    header = [name.lower() for name in rows[0][1]]
    value = next((place for place, name in enumerate(header) if name in MBIT_PER), None)
    if value is None:
        return None
    here, there = _column(path, header, FROM), _column(path, header, TO)
    index = {name: place for place, name in enumerate(names)}
    found = np.full((len(names), len(names)), np.nan)
    for line, row in rows[1:]:
        if row[value].lower() in ABSENT:
            continue
        try:
            mbit = float(row[value]) * MBIT_PER[header[value]]
        except ValueError:
            mbit = -1.0
        if not 0 < mbit <= FASTEST_MBIT:
            allowed = f"a bandwidth up to {FASTEST_MBIT:g} Mbit/s, or nothing"
            raise InputError(path, f"line {line}", row[value], allowed)
        a, b = index[row[here]], index[row[there]]
        found[a, b] = np.fmin(found[a, b], mbit)
    return np.where(np.isnan(found), found.T, found)


def _column(path: Path, header: Sequence[str], known: Sequence[str]) -> int:
    """Place of the first of the known columns."""
    found = next((name for name in known if name in header), None)
    if found is None:
        allowed = "a matrix with equal names along both sides, or columns from, to, rtt_ms"
        raise InputError(path, "columns", ", ".join(header[:20]), allowed)
    return header.index(found)


def _refuse(path: Path, names: Sequence[str], rtt: FloatArray) -> FloatArray:
    absent = np.argwhere(np.isnan(rtt))
    first = ", ".join(f"{names[a]} to {names[b]}" for a, b in absent[:3])
    allowed = f"every pair, or network.missing: {', '.join(list(MISSING)[1:])}"
    raise InputError(path, "pairs", f"{len(absent)} not measured, e.g. {first}", allowed)


def _other_way(path: Path, names: Sequence[str], rtt: FloatArray) -> FloatArray:
    filled: FloatArray = np.where(np.isnan(rtt), rtt.T, rtt)
    return _refuse(path, names, filled) if np.isnan(filled).any() else filled


def _detour(path: Path, names: Sequence[str], rtt: FloatArray) -> FloatArray:
    links = [(int(a), int(b), float(rtt[a, b])) for a, b in np.argwhere(~np.isnan(rtt)) if a != b]
    shortest = shortest_us(path, names, links)
    return np.where(np.isnan(rtt), np.where(np.isnan(rtt.T), shortest, rtt.T), rtt)


# Rules for pairs that were not measured: none, what the other end measured, or else the fastest
# way over pairs that were.
MISSING: Mapping[Missing, Callable[[Path, Sequence[str], FloatArray], FloatArray]] = {
    "refuse": _refuse,
    "other_way": _other_way,
    "detour": _detour,
}
