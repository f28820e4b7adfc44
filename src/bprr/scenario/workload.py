"""Requests: when they arrive, from which client, and how long they are (docs/model.md#workload)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bprr.ground.errors import InputError
from bprr.ground.swarm import FloatArray, IntArray
from bprr.ground.tables import as_numbers, csv_cells

__all__ = ["TRACE_COLUMNS", "Workload", "poisson_arrivals_ms", "replay_trace"]

TRACE_COLUMNS = {
    "arrival": ("TIMESTAMP", "timestamp"),
    "input_tokens": ("ContextTokens", "input_tokens"),
    "output_tokens": ("GeneratedTokens", "output_tokens"),
}
LATEST_S = 1e11  # the year 5138 in Unix time; numbers beyond are most likely in ms
MOST_TOKENS = 1_000_000_000


@dataclass(frozen=True)
class Workload:
    """Arrival table, one entry per request, by time of arrival.

    Parameters
    ----------
    arrival_ms : ndarray, shape (N,)
        Arrival instants, not decreasing (ms).
    client : ndarray of int64, shape (N,)
        Client of each request.
    input_tokens, output_tokens : ndarray of int64, shape (N,)
        l_in and l_max, both at least 1.
    cache_tokens : ndarray of int64, shape (N,), optional
        Tokens for which each session reserves cache; input plus output tokens if not given.
    """

    arrival_ms: FloatArray
    client: IntArray
    input_tokens: IntArray
    output_tokens: IntArray
    cache_tokens: IntArray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        """Broadcast scalars to the number of requests, freeze, and check the ranges."""
        arrival = np.array(self.arrival_ms, dtype=np.float64)
        if self.cache_tokens is None:
            total = np.asarray(self.input_tokens) + np.asarray(self.output_tokens)
            object.__setattr__(self, "cache_tokens", total)
        if arrival.ndim != 1 or (np.diff(arrival) < 0).any():
            raise ValueError("arrival_ms must be one-dimensional and not decreasing")
        object.__setattr__(self, "arrival_ms", arrival)
        for name in ("client", "input_tokens", "output_tokens", "cache_tokens"):
            array = np.array(np.broadcast_to(getattr(self, name), arrival.shape), dtype=np.int64)
            if array.size and array.min() < (0 if name == "client" else 1):
                raise ValueError(f"{name} holds {array.min()}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        arrival.setflags(write=False)

    def __len__(self) -> int:
        return self.arrival_ms.shape[0]


def poisson_arrivals_ms(
    rng: np.random.Generator, requests: int, rate_per_s: float, start_at_zero: bool = True
) -> FloatArray:
    """Arrival instants of a Poisson process (ms).

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draws; the same draws scaled by the rate, so runs at two rates are paired.
    requests : int
        Number of requests.
    rate_per_s : float
        λ (requests/s), positive.
    start_at_zero : bool
        Let the first request arrive at time 0, as the artefact does.
    """
    gaps = rng.standard_exponential(requests)
    if start_at_zero and requests:
        gaps[0] = 0.0
    return np.cumsum(gaps) * (1000.0 / rate_per_s)


def replay_trace(
    path: Path, clients: int, limit: int | None = None, speed: float = 1.0
) -> Workload:
    """Requests of a recorded trace (columns as in the public Azure LLM inference traces).

    Parameters
    ----------
    path : Path
        CSV with a timestamp (a date and time, or seconds), input tokens and output tokens; column
        names as in `TRACE_COLUMNS`.
    clients : int
        Requests are dealt to the clients in turn.
    limit : int, optional
        Use the first so many requests.
    speed : float
        Replay so many times as fast.

    Raises
    ------
    InputError
        If the file, a column or a value cannot be used; names the row.
    """
    # Blank lines are kept at first, so that a message can name the right one.
    table = csv_cells(path, blank_lines=True).dropna(how="all")
    columns = {}
    for meaning, names in TRACE_COLUMNS.items():
        found = [name for name in names if name in table.columns]
        if not found:
            allowed = f"a column named {' or '.join(names)}"
            raise InputError(path, meaning, list(table.columns), allowed)
        columns[meaning] = table[found[0]]
    if table.empty:
        raise InputError(path, "rows", 0, "at least one request")
    seconds = _seconds(path, columns["arrival"])
    tokens = {
        name: _whole_tokens(path, name, columns[name]) for name in ("input_tokens", "output_tokens")
    }
    order = np.argsort(seconds, kind="stable")[:limit]
    with np.errstate(over="ignore"):
        arrival_ms = (seconds[order] - seconds[order[0]]) * 1000.0 / speed
    if not arrival_ms[-1] <= LATEST_S * 1000.0:
        span = f"{np.ptp(seconds[order]):g} s at {speed:g} times the speed"
        raise InputError(path, "arrival", span, f"a replay of at most {LATEST_S:g} s")
    return Workload(
        arrival_ms,
        np.arange(order.size) % clients,
        tokens["input_tokens"][order],
        tokens["output_tokens"][order],
    )


def _seconds(path: Path, column: pd.Series) -> FloatArray:
    seconds = as_numbers(column)
    if 2 * np.isfinite(seconds).sum() > len(column):
        allowed = f"a date and time, or seconds, at most {LATEST_S:g}"
        _refuse(path, "arrival", column, ~(np.abs(seconds) <= LATEST_S), allowed)
        return seconds
    times = pd.to_datetime(column.astype("str"), errors="coerce", utc=True, format="ISO8601")
    _refuse(path, "arrival", column, times.isna().to_numpy(), "seconds or a date and time")
    return np.asarray((times - times.min()).dt.total_seconds(), dtype=np.float64)


def _whole_tokens(path: Path, name: str, column: pd.Series) -> IntArray:
    numbers = as_numbers(column)
    bad = ~((numbers >= 1) & (numbers <= MOST_TOKENS)) | (numbers != np.floor(numbers))
    _refuse(path, name, column, bad, f"a whole number of tokens, from 1 to {MOST_TOKENS:,}")
    return numbers.astype(np.int64)


def _refuse(
    path: Path, name: str, column: pd.Series, bad: Sequence[bool] | ArrayLike, allowed: str
) -> None:
    rows = np.flatnonzero(bad)
    if rows.size:
        line = int(column.index[rows[0]]) + 2  # one for the header; lines count from 1
        value = column.iloc[rows[0]]
        found = "nothing" if pd.isna(value) else str(value)
        raise InputError(path, f"{name} (line {line})", found, allowed)
