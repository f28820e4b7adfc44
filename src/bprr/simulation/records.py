"""What a simulation leaves of every request, and the metrics over them (docs/model.md#metrics)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bprr.ground.swarm import FloatArray, IntArray
from bprr.scenario.workload import Workload

__all__ = ["Records", "peak_concurrency"]


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
    attempts : ndarray of int64, shape (N,)
        Attempts to allocate cache.
    chain_start : ndarray of int64, shape (N + 1,)
        Chain of request i: entries ``[chain_start[i], chain_start[i + 1])`` of the next two.
    chain_server, chain_processed : ndarray of int64
        Servers in order and the blocks each of them processes.
    """

    workload: Workload
    wait_ms: FloatArray
    raw_wait_ms: FloatArray
    ttft_ms: FloatArray
    completion_ms: FloatArray
    attempts: IntArray
    chain_start: IntArray
    chain_server: IntArray
    chain_processed: IntArray

    def __len__(self) -> int:
        return len(self.workload)

    def chain(self, index: int) -> tuple[IntArray, IntArray]:
        """Servers of a request's chain and the blocks each of them processes."""
        entries = slice(self.chain_start[index], self.chain_start[index + 1])
        return self.chain_server[entries], self.chain_processed[entries]

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

    def table(self) -> pd.DataFrame:
        """One row per request: the metrics of docs/model.md#metrics."""
        output = self.workload.output_tokens
        remaining = np.full(len(self), np.nan)
        np.divide(self.completion_ms - self.ttft_ms, output - 1, out=remaining, where=output > 1)
        return pd.DataFrame(
            {
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
                "attempts": self.attempts,
            }
        )


def peak_concurrency(start_ms: FloatArray, end_ms: FloatArray) -> int:
    """Largest number of intervals [start, end) that overlap."""
    starts, ends = np.sort(start_ms), np.sort(end_ms)
    present = np.arange(1, starts.size + 1) - np.searchsorted(ends, starts, side="right")
    return int(present.max(initial=0))
