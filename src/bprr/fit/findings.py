"""Which statements of the paper's performance model hold on a device, in plain words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bprr.fit.line import LinearModel, medians_by_setting
from bprr.fit.regression import median_interval
from bprr.ground.intervals import Interval
from bprr.measure.trace import Trace

__all__ = ["INFLUENCES", "Finding", "influence", "linearity", "steadiness"]

R2_REQUIRED = 0.99
HELD_OUT_ERROR_ALLOWED = 0.05
INFLUENCE_ALLOWED = 0.10
DRIFT_ALLOWED = 0.05

# Experiment -> (column that it varies, what the paper says of it).
INFLUENCES = {
    "decode_context": ("context_tokens", "τ does not depend on the tokens so far"),
    "decode_sessions": ("sessions", "τ hardly depends on how many sessions are open"),
    "decode_batch": ("batch", "a step hardly takes longer for several sessions at once"),
}


@dataclass(frozen=True)
class Finding:
    """Whether a statement holds (None where the trace cannot tell), and the numbers behind it."""

    statement: str
    holds: bool | None
    evidence: str
    change: Interval | None = None  # share of the time that a step takes longer, of `influence`


def steadiness(drift: Interval | None) -> Finding:
    """Whether the device stayed as fast as it was."""
    statement = "the device was steady while it was measured"
    if drift is None:
        return Finding(statement, None, "the reference was observed in fewer than three rounds")
    evidence = (
        f"between rounds the reference had a standard deviation of {drift.value:.1%} "
        f"[{drift.low:+.1%}, {drift.high:+.1%}]"
    )
    return Finding(statement, bool(drift.value <= DRIFT_ALLOWED), evidence)


def linearity(name: str, model: LinearModel) -> Finding:
    """Whether a line describes the times, also at settings that were left out."""
    statement = f"{name} is linear"
    quality = f"R² {model.r2_settings:.4f}, worst setting off by {model.worst_setting_error:.1%}"
    if model.held_out_median_error is None:
        return Finding(statement, None, f"{quality}, too few settings to leave any out")
    error = model.held_out_median_error
    holds = bool(model.r2_settings >= R2_REQUIRED and error <= HELD_OUT_ERROR_ALLOWED)
    return Finding(statement, holds, f"{quality}, median error on held-out settings {error:.1%}")


def influence(trace: Trace, experiment: str, rng: np.random.Generator) -> Finding:
    """Whether the time of a step stays the same while one of `INFLUENCES` varies."""
    varied, statement = INFLUENCES[experiment]
    rows = trace.of(experiment)
    name = varied.removesuffix("_tokens")
    if rows[varied].nunique() < 2:
        return Finding(statement, None, f"the trace does not vary {name}")
    medians = medians_by_setting(rows, [varied])
    levels, table = medians.index, medians.to_numpy()
    of_levels = np.nanmedian(table, axis=1)
    worst = int(np.argmax(np.abs(of_levels / of_levels[0] - 1.0)))
    # The ratio within a round is free of the drift between rounds.
    change = median_interval(pd.Series(table[worst] / table[0] - 1.0).dropna(), rng)
    if change is None:
        return Finding(statement, None, f"no round visited both {name} {levels[worst]} and less")
    evidence = (
        f"{change.value:+.1%} [{change.low:+.1%}, {change.high:+.1%}] at {name} {levels[worst]} "
        f"against {levels[0]}, the largest change up to {levels[-1]}"
    )
    rounded = Interval(*(round(share, 4) for share in change))
    return Finding(statement, bool(abs(change.value) <= INFLUENCE_ALLOWED), evidence, rounded)
