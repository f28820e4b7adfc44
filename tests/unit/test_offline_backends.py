"""Every solver installed here: one answer, incumbents kept, errors that say what to do."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import LinearConstraint, milp

from bprr.ground.errors import BprrError, InputError
from bprr.offline.backends import (
    SOLVERS,
    SolverLicenceError,
    SolverMissingError,
    SolverSettings,
    cbc,
    installed_solvers,
    require_solver,
    scip,
    solve_milp,
    solve_relaxation,
)
from bprr.offline.milp import Milp, RowBuilder

INSTALLED = installed_solvers()


def covering(columns: int, rows: int, seed: int = 0) -> Milp:
    """Random covering problem with ranged, equal and one-sided rows."""
    rng = np.random.default_rng(seed)
    builder = RowBuilder()
    weights = rng.integers(1, 20, (rows, columns)).astype(float)
    need = builder.add(weights.sum(axis=1) * 0.4, np.full(rows, np.inf))
    builder.fill(need[:, None], np.arange(columns)[None, :], weights)
    ranged = builder.add(np.array([1.0]), np.array([columns - 1.0]))
    builder.fill(ranged, np.arange(columns), 1.0)
    equal = builder.add(np.zeros(1), np.zeros(1))
    builder.fill(equal, np.array([0]), 1.0)
    builder.fill(equal, np.array([1]), -1.0)
    cost = rng.integers(5, 30, columns) + rng.random(columns)
    return builder.build(cost, np.zeros(columns), np.full(columns, 2.0), np.ones(columns, bool))


def infeasible() -> Milp:
    """No whole number lies between 1.2 and 1.8."""
    builder = RowBuilder()
    builder.fill(builder.add(np.array([1.2]), np.array([1.8])), np.array([0, 1]), 1.0)
    return builder.build(np.ones(2), np.zeros(2), np.full(2, 3.0), np.ones(2, bool))


def hard() -> Milp:
    """Market split: feasible plans are easy here, the proof is not."""
    rng = np.random.default_rng(3)
    rows, columns = 8, 60
    builder = RowBuilder()
    weights = rng.integers(0, 100, (rows, columns)).astype(float)
    half = np.floor(weights.sum(axis=1) / 2)
    split = builder.add(half, half)
    builder.fill(split[:, None], np.arange(columns)[None, :], weights)
    builder.fill(split, columns + np.arange(rows), 1.0)
    builder.fill(split, columns + rows + np.arange(rows), -1.0)
    cost = np.concatenate([np.zeros(columns), np.ones(2 * rows)])
    upper = np.concatenate([np.ones(columns), np.full(2 * rows, 5000.0)])
    whole = np.arange(columns + 2 * rows) < columns
    return builder.build(cost, np.zeros(columns + 2 * rows), upper, whole)


@pytest.mark.parametrize("solver", INSTALLED)
def test_same_optimum_as_an_independent_solve(solver: str, tmp_path: Path) -> None:
    problem = covering(14, 4)
    rows = LinearConstraint(problem.matrix, problem.row_lower, problem.row_upper)
    expected = milp(
        problem.cost, integrality=np.ones(14), bounds=(0, 2), constraints=rows,
        options={"mip_rel_gap": 0},
    ).fun  # fmt: skip
    result = solve_milp(problem, SolverSettings(solver, 30, 1, log_dir=tmp_path))
    assert result.status == "optimal"
    assert result.objective == pytest.approx(expected, rel=1e-6)
    assert result.bound <= expected * (1 + 1e-9)
    assert result.gap <= 1e-5
    assert result.solver_requested == solver
    assert result.solver_used == require_solver(solver)
    assert result.log_path is not None
    assert result.log_path.read_text().strip()


@pytest.mark.parametrize("solver", INSTALLED)
def test_infeasible_is_an_answer(solver: str) -> None:
    result = solve_milp(infeasible(), SolverSettings(solver, 30, 1))
    assert (result.status, result.values) == ("infeasible", None)
    assert result.bound == float("inf")


@pytest.mark.parametrize("solver", INSTALLED)
def test_incumbent_is_kept_at_the_time_limit(solver: str) -> None:
    problem = hard()
    result = solve_milp(problem, SolverSettings(solver, time_limit_s=2, threads=1))
    assert result.status == "time_limit"
    assert result.values is not None
    activity = problem.matrix @ result.values
    assert (activity >= problem.row_lower - 1e-5).all()
    assert (activity <= problem.row_upper + 1e-5).all()
    assert result.bound <= result.objective
    assert result.gap > 0
    assert result.seconds < 20


@pytest.mark.parametrize("solver", INSTALLED)
def test_logs_of_several_solves_stay_apart(solver: str, tmp_path: Path) -> None:
    settings = SolverSettings(solver, 30, 1, log_dir=tmp_path)
    logs = {solve_milp(covering(8, 2), settings, "same").log_path for _ in range(2)}
    assert len(logs) == 2


def test_programme_without_columns() -> None:
    none = np.zeros(0)
    for side, status in ((0.0, "optimal"), (1.0, "infeasible")):
        empty = Milp(
            none, none, none, none.astype(bool), sparse.csr_matrix((1, 0)),
            np.array([side]), np.array([np.inf]),
        )  # fmt: skip
        assert solve_milp(empty, SolverSettings("highs")).status == status


def test_unknown_solver_is_refused() -> None:
    with pytest.raises(InputError, match=r"cplex.*highs, cbc, gurobi, scip"):
        solve_milp(infeasible(), SolverSettings("cplex"))


@pytest.mark.parametrize(
    ("solver", "package"), [("cbc", "cbcbox"), ("gurobi", "gurobipy"), ("scip", "pyscipopt")]
)
def test_missing_solver_says_what_to_install(
    solver: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original: Callable[..., object] = builtins.__import__

    def without(name: str, *rest: object, **named: object) -> object:
        if name.split(".")[0] == package:
            raise ImportError(name)
        return original(name, *rest, **named)

    cbc.version.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SolverMissingError, match=package):
        solve_milp(infeasible(), SolverSettings(solver))
    assert solver not in installed_solvers()
    assert "highs" in installed_solvers()


@pytest.mark.skipif("gurobi" not in INSTALLED, reason="gurobipy is not installed")
def test_size_limited_licence_says_what_to_set() -> None:
    pytest.importorskip("gurobipy")
    try:
        solve_milp(covering(2100, 2), SolverSettings("gurobi", 5))
    except SolverLicenceError as error:
        assert "2100 columns" in str(error)
        assert "GRB_LICENSE_FILE" in str(error)
    else:
        pytest.skip("a full licence is installed")


def test_unknown_option_is_refused() -> None:
    with pytest.raises(BprrError, match="no_such_option"):
        solve_milp(covering(8, 2), SolverSettings("highs", options={"no_such_option": 1}))


def test_options_reach_the_solver() -> None:
    limited = SolverSettings("highs", 30, 1, options={"mip_max_nodes": 0, "presolve": "off"})
    assert solve_milp(hard(), limited).status == "time_limit"


@pytest.mark.parametrize("seed", range(5))
def test_relaxation_is_a_bound_with_right_reduced_costs(seed: int) -> None:
    problem = covering(14, 4, seed)
    bound, reduced = solve_relaxation(problem, 30)
    best = solve_milp(problem, SolverSettings("highs", 30, 1))
    assert bound <= best.objective
    assert bound > 0.5 * best.objective
    # Raising the lower bound of a column to 1 costs at least its reduced cost.
    for column in np.flatnonzero(reduced > 0)[:4]:
        lower = problem.lower.copy()
        lower[column] = 1
        forced = solve_milp(replace(problem, lower=lower), SolverSettings("highs", 30, 1))
        assert forced.objective >= bound + reduced[column] - 1e-9


def test_restriction_keeps_what_matters() -> None:
    problem = covering(14, 4)
    upper = problem.upper.copy()
    upper[5:9] = 0
    smaller, kept = problem.restricted(upper)
    assert not set(kept) & {5, 6, 7, 8}
    whole = solve_milp(replace(problem, upper=upper), SolverSettings("highs", 30, 1))
    part = solve_milp(smaller, SolverSettings("highs", 30, 1))
    assert part.objective == pytest.approx(whole.objective)


CBC_SEARCH = """
     Nodes   OnTree  Depth         BestSol Method                 BestBound     Gap%   Time(s)
         0        1      0           -1868                         -1882.94    0.80%     0.030
      3864     1608     28           -1869 rounding                -1882.65    0.73%     0.730
       100        7      2           1e+50                          10.5e+0    inf%      0.9
"""


def test_cbc_progress_is_read() -> None:
    assert cbc.read_progress(CBC_SEARCH) == ((0.03, -1868.0, -1882.94), (0.73, -1869.0, -1882.65))


SCIP_TABLE = """
 time | node  | left  |LP iter|LP it/n|mem/heur|mdpt |vars |  dualbound   | primalbound  |  gap   |
p 0.0s|     1 |     0 |     0 |     - |shiftand|   0 |  15 |-6.260000e+02 |-6.300000e+01 | 893.65%|
  1.5s|     1 |     0 |     5 |     - |   969k |   0 |  15 |-2.609478e+02 |      --      |    Inf |
"""


def test_scip_progress_is_read() -> None:
    assert scip.read_progress(SCIP_TABLE) == ((0.0, -63.0, -626.0),)


@pytest.mark.parametrize(
    ("heading", "kept"),
    [
        ("Optimal - objective value 5.0", True),
        ("Stopped on time - objective value 5.0", True),
        ("Stopped on time (no integer solution - continuous used) - objective value 3.2", False),
        ("Integer infeasible - objective value 0.0", False),
    ],
)
def test_cbc_solution_file(heading: str, kept: bool, tmp_path: Path) -> None:
    path = tmp_path / "s.sol"
    path.write_text(f"{heading}\n      0 c0    2    1.5\n**    2 c2    1    0\n")
    _, values = cbc.read_solution(path, 3)
    assert (values is not None) == kept
    if kept:
        np.testing.assert_array_equal(values, [2, 0, 1])


def test_all_solvers_have_their_word() -> None:
    assert list(SOLVERS) == ["highs", "cbc", "gurobi", "scip"]
