"""Means over runs, their confidence intervals, and paired comparisons (docs/model.md#metrics).

A run is one independent draw, so a run's mean over its requests is one observation, and intervals
are taken over runs. All methods of a run meet the same draw (common random numbers): differences
and ratios to a baseline are taken run by run, which removes most of the variance between runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from bprr.ground.errors import InputError
from bprr.ground.intervals import Interval
from bprr.ground.results import REJECTED

__all__ = [
    "CONDITIONS",
    "METRICS",
    "POINT",
    "mean_interval",
    "paired_difference",
    "paired_ratio",
    "run_means",
    "summarize",
]

METRICS = ("per_token_ms", "ttft_ms", "remaining_per_token_ms", "wait_ms", "max_concurrent")
CONDITIONS = ("servers", "eta", "rate_per_s", "output_tokens", "requests")
# Metrics that are times per token, and how many output tokens of a request they leave out.
SKIPPED_TOKENS = {"per_token_ms": 0, "remaining_per_token_ms": 1}
POINT = ("figure", "topology", "x", "allocation_delays", "method")


def run_means(requests: pd.DataFrame) -> pd.DataFrame:
    """Mean of every metric over the requests of each run.

    Times per token are means over all tokens, so a long request counts for more than a short one.
    Requests that were rejected as they arrived have no part in them.

    Parameters
    ----------
    requests : DataFrame
        One row per request, as `bprr.study.sweep.run_sweep` returns them.

    Returns
    -------
    DataFrame
        One row per point, method and run: `POINT`, ``run``, `CONDITIONS`, ``input_tokens`` and
        `METRICS`, and ``feasible``. The metrics of an infeasible run are missing.

    Raises
    ------
    InputError
        If this is no table of requests.
    """
    constant = [*CONDITIONS, "input_tokens"]
    required = [*POINT, "run", "status", *CONDITIONS]
    if missing := [name for name in required if name not in requests]:
        raise InputError("requests", "columns", f"no {', '.join(missing)}", ", ".join(required))
    status = requests["status"].astype("category")  # few words, many rows
    refused = [word for word in status.cat.categories if str(word).startswith(REJECTED)]
    requests = requests[~status.isin(refused)] if refused else requests
    # A table of infeasible runs alone has no metrics at all.
    known = requests.reindex(columns=[*METRICS, *constant])
    keyed = known.assign(feasible=requests["status"].to_numpy() == "ok")
    keys = [*POINT, "run"]
    run = requests.groupby(keys, observed=True).ngroup().to_numpy()  # numbers group in one pass
    tokens = keyed.groupby(run)["output_tokens"].transform("mean")
    for name, skipped in SKIPPED_TOKENS.items():
        # Exactly 1 where all requests are of one length, so that nothing is rounded there.
        weight = (known["output_tokens"] - skipped) / (tokens - skipped)
        keyed[f"{name}_weight"] = weight.where(known[name].notna())
        keyed[name] = known[name] * weight
    grouped = keyed.groupby(run)
    parts = (grouped[list(METRICS)].mean(), grouped[constant].first(), grouped["feasible"].all())
    table = pd.concat(parts, axis=1)
    for name in SKIPPED_TOKENS:
        weights = grouped[f"{name}_weight"].sum()
        table[name] = grouped[name].sum(min_count=1) / weights.where(weights > 0)
    table.loc[~table["feasible"], list(METRICS)] = np.nan
    table["output_tokens"] = grouped["output_tokens"].mean().round()
    _, first = np.unique(run, return_index=True)
    table = pd.concat([requests[keys].iloc[first].reset_index(drop=True), table], axis=1)
    return table.astype(dict.fromkeys(("figure", "topology", "allocation_delays", "method"), str))


def mean_interval(values: ArrayLike, confidence: float) -> Interval:
    """Mean and its t-interval.

    Parameters
    ----------
    values : array_like, shape (n,)
        Independent observations.
    confidence : float
        Level of the interval, e.g. 0.95.

    Examples
    --------
    >>> mean, low, high = mean_interval([1.0, 2.0, 3.0], 0.95)
    >>> print(f"{mean:.3f} [{low:.3f}, {high:.3f}]")
    2.000 [-0.484, 4.484]
    """
    data = np.asarray(values, dtype=float)
    if data.size == 0:
        return Interval(np.nan, np.nan, np.nan)
    mean = float(data.mean())
    half = _half_width(data, confidence)
    return Interval(mean, mean - half, mean + half)


def paired_difference(values: ArrayLike, baseline: ArrayLike, confidence: float) -> Interval:
    """Mean of ``values − baseline``, observation by observation, and its t-interval."""
    return mean_interval(np.subtract(values, baseline), confidence)


def paired_ratio(values: ArrayLike, baseline: ArrayLike, confidence: float) -> Interval:
    """Ratio of the means of paired observations, with a delta-method interval.

    The interval is that of the linearised ratio: with r = mean(y)/mean(x), the standard error of r
    is that of the mean of ``y − r·x`` over mean(x), with Student's quantile for n − 1 degrees of
    freedom. Missing where the baseline's mean is zero.

    Examples
    --------
    >>> paired_ratio([1.0, 2.0, 3.0], [2.0, 4.0, 6.0], 0.95)
    Interval(value=0.5, low=0.5, high=0.5)
    """
    y, x = np.asarray(values, dtype=float), np.asarray(baseline, dtype=float)
    if y.size == 0 or x.mean() == 0:
        return Interval(np.nan, np.nan, np.nan)
    ratio = float(y.mean() / x.mean())
    half = _half_width(y - ratio * x, confidence) / abs(float(x.mean()))
    return Interval(ratio, ratio - half, ratio + half)


def _half_width(data: np.ndarray, confidence: float) -> float:
    if data.size < 2:
        return float("nan")
    quantile = stdtrit(data.size - 1, (1 + confidence) / 2)  # Student's t
    return float(quantile * data.std(ddof=1) / np.sqrt(data.size))


def summarize(
    means: pd.DataFrame,
    confidence: float,
    baseline: str = "petals",
    metrics: Sequence[str] = METRICS,
) -> pd.DataFrame:
    """Every metric of every method at every point, and how it compares with a baseline.

    Parameters
    ----------
    means : DataFrame
        Run means (`run_means`).
    confidence : float
        Level of all intervals.
    baseline : str
        Method that the others are paired with, over the runs feasible for both.
    metrics : sequence of str
        Which metrics.

    Returns
    -------
    DataFrame
        One row per point, method and metric: `POINT`, ``metric``, ``mean``, ``ci_low``,
        ``ci_high``, ``standard_deviation`` (over runs), ``runs`` (feasible ones),
        ``infeasible_runs``, and for difference and ratio to the baseline
        ``difference_to_<baseline>``, ``difference_ci_low``, ``difference_ci_high``,
        ``ratio_to_<baseline>``, ``ratio_ci_low``, ``ratio_ci_high``, ``paired_runs``. Points with
        no feasible run keep their row, their values missing.
    """
    rows = []
    place = [key for key in POINT if key != "method"]
    for keys, point in means.groupby(place, sort=True):
        constant = dict(zip(place, keys, strict=True))
        # Runs side by side; a method that is infeasible in a run is missing there.
        methods, whose = np.unique(point["method"].to_numpy(dtype=str), return_inverse=True)
        runs, when = np.unique(point["run"].to_numpy(), return_inverse=True)
        feasible = np.bincount(whose, point["feasible"]).astype(int)
        infeasible = np.bincount(whose) - feasible
        wide = np.full((len(metrics), methods.size, runs.size), np.nan)
        wide[:, whose, when] = point[list(metrics)].to_numpy(dtype=float).T
        known = ~np.isnan(wide)
        (others,) = np.nonzero(methods == baseline)
        for own, method in enumerate(methods.tolist()):
            for at, metric in enumerate(metrics):
                values = wide[at, own, known[at, own]]
                paired = np.empty((0, 2))
                if others.size and method != baseline:
                    other = int(others[0])
                    both = known[at, own] & known[at, other]
                    paired = np.column_stack([wide[at, own, both], wide[at, other, both]])
                rows.append(
                    {
                        **constant,
                        "method": method,
                        "metric": metric,
                        **_named(mean_interval(values, confidence), "mean", ""),
                        "standard_deviation": values.std(ddof=1) if values.size > 1 else np.nan,
                        "runs": int(feasible[own]),
                        "infeasible_runs": int(infeasible[own]),
                        **_comparison(paired, baseline, confidence),
                    }
                )
    return pd.DataFrame(rows)


def _comparison(
    both: NDArray[np.float64], baseline: str, confidence: float
) -> dict[str, float | int]:
    """Columns that compare two methods, shape (runs, 2); missing for the baseline itself."""
    arguments = (both[:, 0], both[:, 1], confidence)
    return {
        **_named(paired_difference(*arguments), f"difference_to_{baseline}", "difference_"),
        **_named(paired_ratio(*arguments), f"ratio_to_{baseline}", "ratio_"),
        "paired_runs": len(both),
    }


def _named(interval: Interval, value: str, prefix: str) -> dict[str, float]:
    return {
        value: interval.value,
        f"{prefix}ci_low": interval.low,
        f"{prefix}ci_high": interval.high,
    }
