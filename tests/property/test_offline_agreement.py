"""Enumeration, the paper's MILP and the strong formulation give the same optimum."""

from __future__ import annotations

import math

import numpy as np
import pytest
from brute_force import enumerated
from small_instances import random_instance

from bprr.offline.backends.base import SolverSettings
from bprr.offline.backends.solve import installed_solvers
from bprr.offline.instance import OfflineInstance
from bprr.offline.solve import solve_offline

FEW = range(20)
SMALLEST = {"most_blocks": 5, "most_servers": 3, "most_requests": 2}  # the paper's MILP is slow


def check(instance: OfflineInstance, formulation: str, solver: str, expected: float) -> None:
    settings = SolverSettings(solver, time_limit_s=60, threads=1)
    result = solve_offline(instance, formulation, settings)
    if math.isinf(expected):
        assert result.status == "infeasible"
        assert result.plan is None
    else:
        assert result.status == "optimal"
        assert result.verified
        assert result.objective_ms == pytest.approx(expected, rel=1e-6)
        assert result.bound_ms <= expected * (1 + 1e-6)


@pytest.mark.parametrize("seed", FEW)
def test_strong_formulation_is_exact(seed: int) -> None:
    instance = random_instance(np.random.default_rng([1, seed]))
    expected = enumerated(instance)
    for solver in installed_solvers():
        check(instance, "strong", solver, expected)


@pytest.mark.parametrize("seed", FEW[:8])
def test_papers_milp_is_the_same_problem(seed: int) -> None:
    instance = random_instance(np.random.default_rng([2, seed]), **SMALLEST)
    expected = enumerated(instance)
    for solver in installed_solvers():
        check(instance, "paper", solver, expected)


@pytest.mark.parametrize("seed", FEW)
def test_relaxed_stopping_rule_is_exact_and_never_worse(seed: int) -> None:
    instance = random_instance(np.random.default_rng([2, seed]), **SMALLEST)
    expected = enumerated(instance, early=True)
    check(instance, "relaxed", "highs", expected)
    assert expected <= enumerated(instance) + 1e-9


def test_highs_is_asked_again_without_its_presolve() -> None:
    # HiGHS 1.15.1 presolves this programme to nothing, and then refuses the point it returns to.
    instance = random_instance(np.random.default_rng([3, 496]), **SMALLEST)
    check(instance, "strong", "highs", enumerated(instance))


def test_cbc_does_not_spin_in_its_feasibility_pump() -> None:
    instance = random_instance(np.random.default_rng([3, 161]), **SMALLEST)
    check(instance, "paper", "cbc", enumerated(instance))


def test_a_programme_of_all_columns_proves_beyond_its_target() -> None:
    instance = random_instance(np.random.default_rng([4, 26]))
    check(instance, "strong", "highs", enumerated(instance))
