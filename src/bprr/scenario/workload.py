"""Requests: when they arrive, from which client, and how long they are (docs/model.md#workload)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bprr.ground.swarm import FloatArray, IntArray

__all__ = ["Workload", "poisson_arrivals_ms"]


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

    def part(self, chosen: NDArray[np.bool_]) -> Workload:
        """The chosen requests."""
        return Workload(
            self.arrival_ms[chosen],
            self.client[chosen],
            self.input_tokens[chosen],
            self.output_tokens[chosen],
            self.cache_tokens[chosen],
        )


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
