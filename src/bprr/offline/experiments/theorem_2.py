"""Experiment (b): Theorem 2's bound beside what it bounds and beside the optimum."""

from __future__ import annotations

import pandas as pd

__all__ = ["theorem_2"]

CASE = ["family", "servers", "clients", "load", "draw"]
COLUMNS = {"bound_ms": "theorem_2", "cg_bprr_ms": "cg_bprr", "optimum_ms": "optimum"}


def theorem_2(optimality: pd.DataFrame) -> pd.DataFrame:
    """Compare per-token means of each case.

    Parameters
    ----------
    optimality : DataFrame
        Result of `bprr.offline.experiments.optimality.optimality`.

    Returns
    -------
    DataFrame
        One row per case: ``bound_ms``, ``cg_bprr_ms``, ``optimum_ms``, and the bound's ratios to
        the two others.
    """
    wanted = optimality[optimality["method"].isin(COLUMNS.values())]
    wide = wanted.pivot(index=CASE, columns="method", values="objective_ms").reset_index()
    table = wide[CASE].copy()
    for column, method in COLUMNS.items():
        table[column] = wide[method] / wide["load"]
    table["bound_over_cg_bprr"] = table["bound_ms"] / table["cg_bprr_ms"]
    table["bound_over_optimum"] = table["bound_ms"] / table["optimum_ms"]
    return table
