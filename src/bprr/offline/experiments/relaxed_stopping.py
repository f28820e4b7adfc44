"""Experiment (d): what servers that may stop before the end of their range would gain."""

from __future__ import annotations

import pandas as pd

from bprr.offline.experiments.study import HUNDRED_PER_CENT, Case, Study, finite
from bprr.offline.experiments.swarms import cluster_instance
from bprr.offline.solve import solve_offline

__all__ = ["relaxed_stopping"]

LOADS = {"smoke": (2,), "main": (1, 2, 3, 5, 8), "study": range(1, 21)}


def relaxed_stopping(study: Study) -> pd.DataFrame:
    """Solve nine clustered servers under both rules.

    Returns
    -------
    DataFrame
        One row per case; ``gain_percent`` of the optimum under the suffix rule, and the most that
        the bound leaves possible where the relaxed optimum is not proven.
    """
    cases = [
        Case("clustered", 0, cluster_instance(study.catalogue, (load,)))
        for load in LOADS[study.offline.scale]
    ]
    return pd.DataFrame([case_row(study, case) for case in cases])


def case_row(study: Study, case: Case) -> dict[str, object]:
    """Row of one case."""
    suffix = solve_offline(case.instance, "strong", study.solver)
    relaxed = solve_offline(case.instance, "relaxed", study.solver)
    # A plan under the suffix rule is one under the relaxed rule too.
    best_ms = min(relaxed.objective_ms, suffix.objective_ms)
    least_ms = min(relaxed.bound_ms, best_ms)
    return {
        **case.labels,
        "suffix_ms": finite(suffix.objective_ms),
        "relaxed_ms": finite(best_ms),
        "relaxed_bound_ms": relaxed.bound_ms,
        "gain_percent": HUNDRED_PER_CENT * (1 - best_ms / suffix.objective_ms),
        "most_gain_percent": HUNDRED_PER_CENT * (1 - least_ms / suffix.objective_ms),
        "suffix_status": suffix.status,
        "relaxed_status": relaxed.status,
        "seconds": suffix.seconds + relaxed.seconds,
    }
