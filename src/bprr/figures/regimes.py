"""Whether the means of points belong to their loads, and what is scarcer, beside run means."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bprr.study.regime import Regime, joint_regime, regime_of

__all__ = ["INFEASIBLE", "REGIMES", "counts_of_regimes", "regime_of_run", "with_regimes"]

POINT = ["x", "method", "allocation_delays"]
REGIMES = ("stable", "backlogged", "overloaded")
INFEASIBLE = "infeasible"


def with_regimes(means: pd.DataFrame, requests: pd.DataFrame) -> pd.DataFrame:
    """Run means of one sweep on one network, with what its requests say of every point.

    Returns
    -------
    DataFrame
        ``means`` with ``regime`` (of all runs of the point together; docs/service.md#regime),
        ``load`` (rate over capacity) and ``bound`` (what is scarcer: computing or memory; empty
        where the capacity is not known).
    """
    served = requests[requests["status"] == "ok"]
    found = {point: _regime(asked) for point, asked in served.groupby(POINT, sort=False)}
    each = [
        found.get(point, (None, "")) for point in zip(*(means[key] for key in POINT), strict=True)
    ]
    return means.assign(
        regime=[regime.state if regime else INFEASIBLE for regime, _ in each],
        load=[regime.load if regime else np.nan for regime, _ in each],
        bound=[bound for _, bound in each],
    )


def counts_of_regimes(points: pd.DataFrame) -> str:
    """How many points are stable, backlogged, overloaded: ``12 / 3 / 45``."""
    counts = points["regime"].value_counts()
    return " / ".join(f"{counts.get(word, 0)}" for word in REGIMES)


def regime_of_run(run: pd.DataFrame) -> Regime:
    """Regime of the requests of one run."""
    columns = ("arrival_ms", "per_token_ms", "output_tokens")
    arrival_ms, per_token_ms, tokens = (run[name].to_numpy() for name in columns)
    return regime_of(arrival_ms, per_token_ms * tokens, tokens, _capacity_per_s(run))


def _capacity_per_s(run: pd.DataFrame) -> float:
    return float(run["capacity_per_s"].iloc[0]) if "capacity_per_s" in run else np.nan


def _regime(requests: pd.DataFrame) -> tuple[Regime, str]:
    found, bounds = list[Regime](), list[bool]()
    for _, run in requests.groupby("run"):
        found.append(regime_of_run(run))
        capacity = _capacity_per_s(run)
        if capacity == capacity:
            bounds.append(float(run["memory_capacity_per_s"].iloc[0]) <= capacity * (1 + 1e-9))
    memory = sum(bounds) * 2 > len(bounds)
    return joint_regime(found), ("memory" if memory else "computing") if bounds else ""
