"""Whether a run has reached a steady state, or its mean says how long it was (docs/service.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from bprr.ground.swarm import FloatArray, IntArray

__all__ = ["WARM_UP", "Regime", "batch_means", "joint_regime", "regime_of"]

WARM_UP = 0.2  # share of the requests that is left out
BATCHES = 10  # of the others, by arrival
MOST_GROWTH = 0.1  # of the time per token over the batches, in means
MOST_BACKLOG = 1.3  # requests in the system in the last batch, in means
SURE = 2.0  # standard errors

State = Literal["stable", "backlogged", "overloaded"]


class Regime(NamedTuple):
    """What a mean may be quoted as, and why."""

    load: float  # arrival rate over capacity; nan if not known
    growth: float  # of the time per token from the first batch to the last, in means
    growth_error: float  # standard error of that
    backlog: float  # requests in the system in the last batch, in means over the run

    @property
    def state(self) -> State:
        """Stable if the mean belongs to the load; if not, it says how long the run was.

        Overloaded: more requests arrive than any routing can carry on this placement. Backlogged:
        the time per token, or the number of requests in the system, grows over the run.
        """
        if self.load >= 1:
            return "overloaded"
        surely = self.growth - SURE * self.growth_error
        grows = surely > MOST_GROWTH or (self.backlog > MOST_BACKLOG and surely > 0)
        return "backlogged" if grows else "stable"


def regime_of(
    arrival_ms: FloatArray,
    completion_ms: FloatArray,
    output_tokens: IntArray,
    capacity_per_s: float = np.nan,
) -> Regime:
    """Regime of a run; of one with fewer than some hundred requests little can be said.

    Parameters
    ----------
    arrival_ms, completion_ms, output_tokens : ndarray, shape (N,)
        When each request arrives, in order, how long it takes, and its tokens.
    capacity_per_s : float
        As `study.capacity` has it.
    """
    kept = slice(int(WARM_UP * arrival_ms.size), None)
    present = _in_system(arrival_ms, arrival_ms + completion_ms)[kept]
    return Regime(
        _rate_per_s(arrival_ms) / capacity_per_s if capacity_per_s else np.inf,
        *_growth((completion_ms / output_tokens)[kept]),
        float(present[-max(present.size // BATCHES, 1) :].mean() / present.mean()),
    )


def joint_regime(runs: Sequence[Regime]) -> Regime:
    """Regime of several draws of the same point."""
    load, growth, error, backlog = np.array(runs).T
    if len(runs) > 1:
        error = growth.std(ddof=1) / np.sqrt(len(runs))
    return Regime(*(float(np.mean(each)) for each in (load, growth, error, backlog)))


def _rate_per_s(arrival_ms: FloatArray) -> float:
    span_ms = float(arrival_ms[-1] - arrival_ms[0]) if arrival_ms.size else 0.0
    return 1000.0 * (arrival_ms.size - 1) / span_ms if span_ms > 0 else np.inf


def batch_means(values: FloatArray, batches: int) -> FloatArray:
    """Means of so many batches of neighbours, shape (batches,)."""
    return np.array([batch.mean() for batch in np.array_split(values, batches)])


def _growth(values: FloatArray) -> tuple[float, float]:
    """Growth along a line through the means of the batches, over their mean; its error."""
    if values.size < 2 * BATCHES:
        return 0.0, np.inf
    means = batch_means(values, BATCHES)
    x = np.arange(BATCHES) - (BATCHES - 1) / 2
    slope = (x * means).sum() / (x**2).sum()
    rest = means - means.mean() - slope * x
    error = np.sqrt((rest**2).sum() / (BATCHES - 2) / (x**2).sum())
    scale = (BATCHES - 1) / means.mean()
    return float(slope * scale), float(error * scale)


def _in_system(arrival_ms: FloatArray, end_ms: FloatArray) -> FloatArray:
    """Requests in the system at every arrival, that one too."""
    ended = np.searchsorted(np.sort(end_ms), arrival_ms, side="right")
    return (1.0 + np.arange(arrival_ms.size) - ended).astype(float)
