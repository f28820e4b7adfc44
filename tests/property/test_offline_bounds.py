"""Whatever gap is asked for and whatever options a solver is given, what it reports is true."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from brute_force import enumerated
from small_instances import random_instance

from bprr.offline.backends.base import SolverSettings
from bprr.offline.backends.solve import SOLVERS, installed_solvers
from bprr.offline.instance import OfflineInstance
from bprr.offline.solve import solve_offline
from bprr.settings.offline import Option

INSTALLED = installed_solvers()
SMALLEST = {"most_blocks": 5, "most_servers": 3, "most_requests": 2}  # the paper's MILP is slow

# Options that anyone may set, and what is to come of them is still true.
HARMLESS: dict[str, list[dict[str, Option]]] = {
    "highs": [
        {"mip_max_nodes": 1},
        {"mip_max_improving_sols": 1},
        {"objective_target": 1e6},
        {"presolve": False},
        {"mip_heuristic_effort": 0.6},
        {"mip_detect_symmetry": False},
    ],
    "cbc": [
        {"maxNodes": 1},
        {"maxSolutions": 1},
        {"presolve": False, "cuts": "off"},
        {"heur": "off"},
        {"strategy": "aggressive", "Rens": "on"},
        {"strongBranching": 0, "tunePreProcess": 3},
        {"maxIterations": 20},
    ],
    "gurobi": [
        {"NodeLimit": 1},
        {"SolutionLimit": 1},
        {"BestObjStop": 1e6},
        {"MIPFocus": 3, "Cuts": 0},
        {"Presolve": 0},
    ],
    "scip": [
        {"limits/nodes": 1},
        {"limits/solutions": 1},
        {"presolving/maxrounds": 0},
        {"separating/maxrounds": 0},
    ],
}


@cache
def known(seed: int) -> tuple[OfflineInstance, float]:
    """Instance and its optimum."""
    instance = random_instance(np.random.default_rng([6, seed]), **SMALLEST)
    return instance, enumerated(instance)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("seed", range(20))
def test_bounds_hold_under_random_gaps_and_options(solver: str, seed: int) -> None:
    if solver not in INSTALLED:
        pytest.skip(f"{solver} is not installed")
    instance, optimum = known(seed)
    rng = np.random.default_rng([7, seed])
    for options in ({}, HARMLESS[solver][rng.integers(len(HARMLESS[solver]))]):
        gap = float(rng.choice([1e-6, 0.02, 0.3]))
        settings = SolverSettings(solver, 60, 1, gap, options)
        for formulation in ("paper", "strong"):
            result = solve_offline(instance, formulation, settings)
            about = f"{formulation} with {settings}: {result.status}, {result.details['ended']}"
            assert result.bound_ms <= optimum * (1 + 1e-6), about
            assert result.objective_ms >= optimum * (1 - 1e-6), about
            assert (result.status in {"optimal", "gap_reached"}) == (result.gap <= gap), about
            if not options:
                done = {"infeasible"} if math.isinf(optimum) else {"optimal", "gap_reached"}
                assert result.status in done, about
            if result.status == "optimal":
                assert result.objective_ms == pytest.approx(optimum, rel=1e-6), about
            assert result.status != "infeasible" or math.isinf(optimum), about
