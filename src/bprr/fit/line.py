"""Time models of docs/model.md#performance, fitted and tested on settings that they have not seen.

- decoding: time of a step over k blocks = hop + τ·k
- prefilling: time over k blocks = hop + k·(p₀ + p₁·l_in), so τ^I(l_in) = p₀ + p₁·l_in
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bprr.fit.regression import RobustFit, robust_fit
from bprr.ground.errors import InputError
from bprr.ground.intervals import Interval
from bprr.ground.swarm import FloatArray
from bprr.measure.trace import Trace

__all__ = ["LinearModel", "fit_line", "medians_by_setting"]


@dataclass(frozen=True)
class LinearModel:
    """A fitted time model and how well it describes what was observed."""

    fit: RobustFit  # coefficients (ms) in the order of the columns
    columns: tuple[str, ...]  # regressors: 1, k, k·l_in
    r2_settings: float  # over the medians of the settings
    r2_observations: float  # over every single observation
    # Median relative error over the observations of settings that were left out of the fit in
    # turn, the outermost excepted; None with fewer than three settings.
    held_out_median_error: float | None
    worst_setting_error: float  # largest relative error of the median of a setting

    def at(self, blocks: float, input_tokens: float) -> Interval:
        """Predicted time (ms) of a step over so many blocks."""
        return self.fit.estimate(self._row(blocks, input_tokens))

    @property
    def coefficients_ms(self) -> dict[str, Interval]:
        """Every coefficient by its column."""
        return {name: self.coefficient(name) for name in self.columns}

    def coefficient(self, column: str) -> Interval:
        """One coefficient; zero where the trace did not vary what it needs."""
        return self.fit.estimate(np.array([name == column for name in self.columns], dtype=float))

    def per_block(self, input_tokens: float) -> Interval:
        """Predicted time (ms) that one more block adds: τ, or τ^I(l_in)."""
        row = self._row(1.0, input_tokens)
        row[[name == "1" for name in self.columns]] = 0.0
        return self.fit.estimate(row)

    def _row(self, blocks: float, input_tokens: float) -> FloatArray:
        return _design(np.array([blocks]), np.array([input_tokens]), self.columns)[0]


def _design(blocks: FloatArray, input_tokens: FloatArray, columns: Sequence[str]) -> FloatArray:
    regressors = {"1": np.ones_like(blocks), "k": blocks, "k·l_in": blocks * input_tokens}
    return np.column_stack([regressors[name] for name in columns]).astype(float)


def _r_squared(values: FloatArray, predicted: FloatArray) -> float:
    total = float(((values - values.mean()) ** 2).sum())
    return 1.0 - float(((values - predicted) ** 2).sum()) / total if total > 0 else float("nan")


def medians_by_setting(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Median of the repeats of each setting (row) in each round (column), NaN where not visited."""
    return rows.pivot_table(index=keys, columns="round", values="value", aggfunc="median")


def fit_line(
    trace: Trace,
    experiment: str,
    varied: str,
    columns: Sequence[str],
    drift: float,
    rng: np.random.Generator,
) -> LinearModel:
    """Fit the times of an experiment that varies ``varied``.

    Parameters
    ----------
    trace, experiment, varied
        An experiment of a trace, and the column that it varies.
    columns : sequence of str
        Regressors.
    drift, rng
        As `bprr.fit.regression.robust_fit` takes them.

    Raises
    ------
    InputError
        If the trace lacks the experiment, or ``varied`` is constant in it.
    """
    rows = trace.of(experiment)
    if rows[varied].nunique() < 2:
        found = rows[varied].unique().tolist()
        raise InputError(
            trace.path, f"{experiment}: {varied}", found, "at least 2 different values"
        )
    keys = ["blocks", "input_tokens"]
    medians = medians_by_setting(rows, keys)
    table, settings = medians.to_numpy(), medians.index.to_frame(index=False)
    if settings["blocks"].nunique() < 2:
        columns = [name for name in columns if name != "1"]  # hop and block cannot be told apart
    blocks, input_tokens = settings.to_numpy(dtype=float).T
    design = _design(blocks, input_tokens, columns)
    fit = robust_fit(design, table, rng, drift=drift)

    values = rows["value"].to_numpy(dtype=float)
    level = rows.groupby(keys).ngroup().to_numpy()
    key_of_level = settings[varied].to_numpy()
    errors = []
    for left_out in np.unique(key_of_level)[1:-1]:
        kept = key_of_level != left_out
        partial = robust_fit(design[kept], table[kept], rng, draws=2)
        of_left_out = ~kept[level]
        predicted = design[level[of_left_out]] @ partial.coefficients
        errors.append(np.abs(predicted / values[of_left_out] - 1.0))
    of_settings = np.nanmedian(table, axis=1)
    predicted = design @ fit.coefficients
    return LinearModel(
        fit=fit,
        columns=tuple(columns),
        r2_settings=_r_squared(of_settings, predicted),
        r2_observations=_r_squared(values, predicted[level]),
        held_out_median_error=float(np.median(np.concatenate(errors))) if errors else None,
        worst_setting_error=float(np.abs(predicted / of_settings - 1.0).max()),
    )
