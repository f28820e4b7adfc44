"""What a simulation leaves of every request, and the metrics over them (docs/model.md#metrics)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bprr.ground.swarm import FloatArray, IntArray
from bprr.scenario.workload import Workload

__all__ = ["Records", "Sessions", "peak_concurrency"]

CLOCK_ROUNDING_MS = 1e-6  # sums of event times differ from the arrival table by less


class Sessions(NamedTuple):
    """What an engine notes of each of N sessions while they run."""

    start_ms: FloatArray
    raw_wait_ms: FloatArray
    first_token_ms: FloatArray  # from the start on, as the next
    total_ms: FloatArray
    attempts: NDArray[np.int32]
    hops: NDArray[np.int32]
    chain_at: IntArray  # where its chain begins in the list of all chains, by time of grant

    @classmethod
    def of(cls, count: int) -> Self:
        """Notes on so many sessions, none of which has started."""
        times = (np.empty(count) for _ in range(4))
        attempts, hops = (np.zeros(count, dtype=np.int32) for _ in range(2))
        return cls._make((*times, attempts, hops, np.empty(count, dtype=np.int64)))


@dataclass(frozen=True)
class Records:
    """Records of N requests, in order of arrival; times in ms.

    Parameters
    ----------
    workload : Workload
        The requests.
    wait_ms : ndarray, shape (N,)
        From arrival to the start of the session (after back-off).
    raw_wait_ms : ndarray, shape (N,)
        Estimated wait before back-off, at the first attempt.
    ttft_ms, completion_ms : ndarray, shape (N,)
        Time to first token and completion time, wait and delays included.
    attempts : ndarray of int32, shape (N,)
        Attempts to allocate cache.
    chain_start : ndarray of int64, shape (N + 1,)
        Chain of request i: entries ``[chain_start[i], chain_start[i + 1])`` of the next two.
    chain_server, chain_processed : ndarray of int32 and int16 (or int32)
        Servers in order and the blocks each of them processes.
    engine : str
        Which engine ran: ``compiled`` or ``simpy``.
    """

    workload: Workload
    wait_ms: FloatArray
    raw_wait_ms: FloatArray
    ttft_ms: FloatArray
    completion_ms: FloatArray
    attempts: NDArray[np.int32]
    chain_start: IntArray
    chain_server: NDArray[np.integer]
    chain_processed: NDArray[np.integer]
    engine: str

    @classmethod
    def of(
        cls,
        workload: Workload,
        sessions: Sessions,
        chain_server: NDArray[np.integer],
        chain_processed: NDArray[np.integer],
        engine: str,
    ) -> Self:
        """Records from the notes of an engine, whose arrays they take over."""
        never = int((sessions.hops == 0).sum())
        if never:
            raise RuntimeError(f"{never} requests never started")
        chain_start = np.zeros(len(workload) + 1, dtype=np.int64)
        np.cumsum(sessions.hops, out=chain_start[1:])
        if not np.array_equal(sessions.chain_at, chain_start[:-1]):
            moved = np.repeat(
                (sessions.chain_at - chain_start[:-1]).astype(np.int32), sessions.hops
            )
            moved += np.arange(chain_start[-1], dtype=np.int32)
            chain_server, chain_processed = chain_server[moved], chain_processed[moved]
        wait_ms = np.subtract(sessions.start_ms, workload.arrival_ms, out=sessions.start_ms)
        wait_ms[np.abs(wait_ms) < CLOCK_ROUNDING_MS] = 0.0
        return cls(
            workload,
            wait_ms,
            sessions.raw_wait_ms,
            np.add(wait_ms, sessions.first_token_ms, out=sessions.first_token_ms),
            np.add(wait_ms, sessions.total_ms, out=sessions.total_ms),
            sessions.attempts,
            chain_start,
            chain_server,
            chain_processed,
            engine,
        )

    def __len__(self) -> int:
        return len(self.workload)

    def chain(self, index: int) -> tuple[IntArray, IntArray]:
        """Servers of a request's chain and the blocks each of them processes."""
        entries = slice(self.chain_start[index], self.chain_start[index + 1])
        chain = self.chain_server[entries], self.chain_processed[entries]
        return chain[0].astype(np.int64), chain[1].astype(np.int64)

    @property
    def start_ms(self) -> FloatArray:
        """Instant at which each session starts."""
        return self.workload.arrival_ms + self.wait_ms

    @property
    def end_ms(self) -> FloatArray:
        """Instant at which each request is complete."""
        return self.workload.arrival_ms + self.completion_ms

    @property
    def max_concurrent(self) -> int:
        """Most requests in the system at once, waiting ones included."""
        return peak_concurrency(self.workload.arrival_ms, self.end_ms)

    @property
    def outcome(self) -> dict[str, Any]:
        """What holds for all requests of a run."""
        return {"max_concurrent": self.max_concurrent, "engine": self.engine}

    @property
    def served(self) -> Records:
        """What chains have served: the requests themselves, or parts of those that were cut."""
        return self

    def table(self) -> pd.DataFrame:
        """One row per request: the metrics of docs/model.md#metrics."""
        return pd.DataFrame(self.columns())

    def columns(self) -> dict[str, NDArray[Any]]:
        """Columns of `table`."""
        output = self.workload.output_tokens
        remaining = np.full(len(self), np.nan)
        np.divide(self.completion_ms - self.ttft_ms, output - 1, out=remaining, where=output > 1)
        return {
            "request": np.arange(len(self)),
            "client": self.workload.client,
            "input_tokens": self.workload.input_tokens,
            "output_tokens": output,
            "arrival_ms": self.workload.arrival_ms,
            "per_token_ms": self.completion_ms / output,
            "ttft_ms": self.ttft_ms,
            "wait_ms": self.wait_ms,
            "remaining_per_token_ms": remaining,
            "hops": np.diff(self.chain_start),
            "attempts": self.attempts.astype(np.int64),
        }


def peak_concurrency(start_ms: FloatArray, end_ms: FloatArray) -> int:
    """Largest number of intervals [start, end) that overlap."""
    starts, ends = np.sort(start_ms), np.sort(end_ms)
    present = np.arange(1, starts.size + 1) - np.searchsorted(ends, starts, side="right")
    return int(present.max(initial=0))
