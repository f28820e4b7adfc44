"""Experiment (c): both formulations on every installed solver, with their gaps over time."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from bprr.offline.backends.base import SolverLicenceError, SolverSettings
from bprr.offline.backends.solve import installed_solvers
from bprr.offline.experiments.study import Case, Study, finite
from bprr.offline.experiments.swarms import cluster_instance, uniform_instance
from bprr.offline.instance import shared_out
from bprr.offline.solve import solve_offline

__all__ = ["solver_race"]

LOADS = {"smoke": (1,), "main": (1, 2, 3), "study": (1, 2, 3, 5, 8)}
LIMIT_S = {"smoke": 0.5, "main": 5.0, "study": 200.0}  # of one run


def solver_race(study: Study) -> pd.DataFrame:
    """Run every solver on both formulations, each with its own options of the configuration.

    Solvers run side by side, on the same programme at the same time, as many as there are threads
    (and cores); all have equally many. Each waits outside Python.

    Returns
    -------
    DataFrame
        One row per report of progress, status ``"running"``; the last one of a run has its final
        status, which is ``"licence"`` if the solver's licence does not cover the model.
    """
    scale = study.offline.scale
    clustered = [*((load,) for load in LOADS[scale]), shared_out(8, 3)]
    cases = [
        Case("clustered", 0, cluster_instance(study.catalogue, requests)) for requests in clustered
    ]
    cases.append(Case("uniform", 0, uniform_instance(study.catalogue, (8,), study.rng(1))))
    names = installed_solvers()
    lanes = max(1, min(study.offline.threads, cores(), len(names)))
    solvers = [
        replace(
            SolverSettings.of(study.offline, name, study.log_dir),
            time_limit_s=LIMIT_S[scale],
            threads=study.offline.threads // lanes,
        )
        for name in names
    ]
    with ThreadPoolExecutor(lanes) as pool:
        # A programme begins when the one before it has ended for every solver.
        return pd.DataFrame(
            [
                row
                for case in cases
                for formulation in ("strong", "paper")
                for rows in list(pool.map(partial(race_rows, case, formulation), solvers))
                for row in rows
            ]
        )


def cores() -> int:
    """Cores that this process may use."""
    bound = getattr(os, "sched_getaffinity", None)
    return len(bound(0)) if bound else os.cpu_count() or 1


def race_rows(case: Case, formulation: str, settings: SolverSettings) -> list[dict[str, object]]:
    """Progress and outcome of one run."""
    names = {**case.labels, "formulation": formulation, "solver": settings.solver}
    try:
        result = solve_offline(case.instance, formulation, settings)
    except SolverLicenceError:
        nothing = dict.fromkeys(("seconds", "objective_ms", "bound_ms", "gap"), float("nan"))
        return [{**names, **nothing, "status": "licence", "nodes": 0}]
    reports = [(*report, "running") for report in result.trace]
    last = (result.seconds, result.objective_ms, result.bound_ms, result.status)
    return [
        {
            **names,
            "seconds": seconds,
            "objective_ms": finite(objective),
            "bound_ms": finite(bound),
            "gap": finite((objective - bound) / objective) if np.isfinite(objective) else np.nan,
            "status": status,
            "nodes": result.nodes,
        }
        for seconds, objective, bound, status in [*reports, last]
    ]
