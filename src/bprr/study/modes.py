"""Runs that fall into two groups, whose mean is the time of neither.

The rule. Runs are split where their logarithms vary least within two groups, each of a tenth of
the runs and three at least. They are in two modes if the groups' means are a factor of 1.5 apart,
and those of the logarithms more than 3.6 + 38/n standard deviations within the groups, for n runs:
a few in a hundred samples of a uniform distribution are, and fewer of one with a single peak.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bprr.study.summary import POINT

__all__ = ["Modes", "modes_of_points", "two_modes"]

FEWEST = 10  # runs of which anything is said
SMALLEST_GROUP, LEAST_SHARE = 3, 0.1
LEAST_FACTOR = 1.5  # between the means
APART, APART_FEW = 3.6, 38.0  # standard deviations, and times 1/n


class Modes(NamedTuple):
    """Means of the two groups, and the share of runs in the lower one."""

    low: float
    high: float
    low_share: float


def two_modes(values: ArrayLike) -> Modes | None:
    """Two modes of positive observations; None where there is one, or too few to say.

    Examples
    --------
    >>> two_modes([1.0, 1.1, 0.9, 1.0, 1.1, 9.0, 10.0, 9.5, 9.9, 10.1])
    Modes(low=1.02, high=9.7, low_share=0.5)
    >>> two_modes(range(1, 11))
    """
    data = np.sort(np.asarray(values, dtype=float))
    count = data.size
    least = max(SMALLEST_GROUP, int(np.ceil(LEAST_SHARE * count)))
    if count < FEWEST or data[0] <= 0:
        return None
    logs = np.log(data)
    sizes = np.arange(least, count - least + 1)
    sums, squares = (np.concatenate([[0.0], np.cumsum(each)]) for each in (logs, logs**2))
    within = [
        squares[end] - squares[start] - (sums[end] - sums[start]) ** 2 / (end - start)
        for start, end in ((0, sizes), (sizes, count))
    ]
    best = int(np.argmin(within[0] + within[1]))
    size = int(sizes[best])
    apart = logs[size:].mean() - logs[:size].mean()
    spread = np.sqrt((logs[:size].var() + logs[size:].var()) / 2)
    low, high = float(data[:size].mean()), float(data[size:].mean())
    if high < LEAST_FACTOR * low or apart <= (APART + APART_FEW / count) * spread:
        return None
    return Modes(low, high, size / count)


def modes_of_points(means: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Points whose runs are in two modes by a metric: `POINT`, ``metric``, ``mean`` and `Modes`.

    Parameters
    ----------
    means : DataFrame
        Run means (`bprr.study.summary.run_means`).
    """
    rows = []
    for key, runs in means.groupby(list(POINT), sort=False):
        values = runs[metric].dropna()
        modes = two_modes(values)
        if modes is not None:
            place = dict(zip(POINT, key, strict=True))
            shown = {"metric": metric, "mean": values.mean(), "runs": len(values)}
            rows.append({**place, **shown, **modes._asdict()})
    columns = [*POINT, "metric", "mean", "runs", *Modes._fields]
    return pd.DataFrame(rows, columns=columns)
