"""Every solver installed here: one answer, incumbents kept, errors that say what to do."""

from __future__ import annotations

import builtins
import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import LinearConstraint, milp

from bprr.ground.errors import BprrError, InputError
from bprr.offline.backends import cbc, scip
from bprr.offline.backends.base import (
    SolverKilledError,
    SolverLicenceError,
    SolverMissingError,
    SolverRunError,
    SolverSettings,
    relative_gap,
)
from bprr.offline.backends.highs import solve_relaxation
from bprr.offline.backends.solve import (
    SOLVERS,
    check_solver,
    clear_logs,
    installed_solvers,
    require_solver,
    solve_milp,
)
from bprr.offline.milp import Milp, RowBuilder
from bprr.settings.offline import Option

INSTALLED = installed_solvers()


def needs(solver: str) -> None:
    """Skip a test of a solver that is not installed."""
    if solver not in INSTALLED:
        pytest.skip(f"{solver} is not installed")


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


@pytest.mark.parametrize("solver", SOLVERS)
def test_same_optimum_as_an_independent_solve(solver: str, tmp_path: Path) -> None:
    needs(solver)
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
    assert relative_gap(result.objective, result.bound) <= 1e-6
    assert result.solver_used == require_solver(solver)
    assert result.log_path is not None
    assert result.log_path.read_text().strip()


@pytest.mark.parametrize("solver", SOLVERS)
def test_infeasible_is_an_answer(solver: str) -> None:
    needs(solver)
    result = solve_milp(infeasible(), SolverSettings(solver, 30, 1))
    assert (result.status, result.values) == ("infeasible", None)
    assert result.bound == float("inf")


@pytest.mark.parametrize("solver", SOLVERS)
def test_incumbent_is_kept_at_the_time_limit(solver: str) -> None:
    needs(solver)
    problem = hard()
    result = solve_milp(problem, SolverSettings(solver, time_limit_s=2, threads=1))
    assert result.status == "time_limit"
    assert result.values is not None
    activity = problem.matrix @ result.values
    assert (activity >= problem.row_lower - 1e-5).all()
    assert (activity <= problem.row_upper + 1e-5).all()
    assert result.bound <= result.objective
    assert result.seconds < 20


@pytest.mark.parametrize("solver", SOLVERS)
def test_logs_of_several_solves_stay_apart(solver: str, tmp_path: Path) -> None:
    needs(solver)
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


GAP = "relative_gap"


@pytest.mark.parametrize(
    ("solver", "option", "value", "allowed"),
    [
        ("highs", "no_such_option", 1, "the name of an option"),
        ("highs", "mip_max_nodes", "many", "a whole number"),
        ("highs", "mip_max_nodes", 1.5, "a whole number"),
        ("highs", "mip_max_nodes", True, "a whole number"),
        ("highs", "mip_heuristic_effort", 5.0, "a value that HiGHS takes"),
        ("highs", "mip_rel_gap", 0.1, GAP),
        ("highs", "mip_abs_gap", 0.1, GAP),
        ("highs", "time_limit", 5.0, "time_limit_s"),
        ("highs", "threads", 1, "threads"),
        ("highs", "objective_bound", 5.0, "another problem"),
        ("highs", "primal_feasibility_tolerance", 1e-2, "another problem"),
        ("highs", "solution_file", "x", "what the solver writes"),
        ("cbc", "noSuchOption", 1, "the name of an option"),
        ("cbc", "a b", 1, "the name of an option"),
        ("cbc", "maxNodes", "many", "a number"),
        ("cbc", "maxNodes", 1.5, "a number from 0"),
        ("cbc", "maxNodes", -1, "a number from 0"),
        ("cbc", "cuts", "fancy", "off, on, root"),
        ("cbc", "cut", 1, "the name of an option"),  # of four
        ("cbc", "ratioGap", 0.1, GAP),
        ("cbc", "RATIO", 0.1, GAP),
        ("cbc", "allowableGap", 100000, GAP),
        ("cbc", "allow", 100000, GAP),
        ("cbc", "seconds", 5, "time_limit_s"),
        ("cbc", "threads", 1, "threads"),
        ("cbc", "cutoff", 1.0, "another problem"),
        ("cbc", "fixOnDj", 1.0, "another problem"),
        ("cbc", "maximize", 1, "the name of an option"),
        ("cbc", "solution", "x", "the name of an option"),
        ("gurobi", "NoSuchOption", 1, "the name of an option"),
        ("gurobi", "Cuts", 1.5, "a whole number"),
        ("gurobi", "Cuts", 99, "maximum is 3"),
        ("gurobi", "mipgap", 0.1, GAP),
        ("gurobi", "MIPGapAbs", 0.1, GAP),
        ("gurobi", "TimeLimit", 5.0, "time_limit_s"),
        ("gurobi", "Cutoff", 1.0, "another problem"),
        ("scip", "no/such/option", 1, "the name of an option"),
        ("scip", "limits/nodes", 1.5, "a whole number"),
        ("scip", "limits/solutions", -7, "invalid"),
        ("scip", "limits/gap", 0.1, GAP),
        ("scip", "limits/absgap", 0.1, GAP),
        ("scip", "limits/time", 5.0, "time_limit_s"),
        ("scip", "numerics/feastol", 1e-4, "another problem"),
    ],
)
def test_option_is_refused_before_anything_runs(
    solver: str, option: str, value: object, allowed: str
) -> None:
    needs(solver)
    with pytest.raises(InputError, match=f"offline.options.{solver}") as refused:
        check_solver(SolverSettings(solver, options={option: value}))  # type: ignore[dict-item]
    assert (refused.value.key, refused.value.value) == (f"offline.options.{solver}.{option}", value)
    assert allowed in refused.value.allowed


@pytest.mark.parametrize(
    ("solver", "option", "value"),
    [
        ("highs", "mip_max_improving_sols", 1),
        ("highs", "objective_target", 1e9),
        ("cbc", "maxSolutions", 1),
        ("gurobi", "SolutionLimit", 1),
        ("gurobi", "BestObjStop", 1e9),
        ("scip", "limits/solutions", 1),
    ],
)
def test_incumbent_is_kept_at_any_limit(solver: str, option: str, value: Option) -> None:
    needs(solver)
    result = solve_milp(hard(), SolverSettings(solver, 30, 1, options={option: value}))
    assert result.status == "stopped"
    assert result.values is not None
    assert result.bound < result.objective


CBC_STOPPED = """
✔ Optimal — Obj: 124.743   Bound: 124.743   Gap: 0.00%   Nodes: 0   Iters: 0   Time: 0.010s

Result - Optimal solution found (within gap tolerance)
Objective value:                124.7432204
Lower bound:                    113.241
Gap:                            0.101577
"""


def test_cbcs_bound_is_the_one_it_proved() -> None:
    assert cbc.proven_bound(CBC_STOPPED, 124.7432204) == pytest.approx(113.2405, abs=1e-3)
    assert cbc.proven_bound(CBC_STOPPED, float("inf")) < 113.241
    assert cbc.proven_bound("Result - Optimal solution found\n", 5.0) == pytest.approx(5, abs=1e-5)
    assert cbc.proven_bound("Result - Stopped on time limit\n", 5.0) == -float("inf")


def fake_cbc(folder: Path, script: str) -> Path:
    """Executable in CBC's place that solves nothing."""
    path = folder / "cbc"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        ("kill -9 $$", SolverKilledError, "CBC was killed by SIGKILL"),
        ("kill -15 $$", SolverKilledError, "CBC was killed by SIGTERM"),
        ("echo sorry; exit 3", SolverRunError, "no solution file\nsorry"),
        ('for last; do :; done; echo "Optimal - x\n 0 c1" > "$last"', SolverRunError, "damaged"),
        ('for last; do :; done; : > "$last"', SolverRunError, "disk full"),
    ],
)
def test_what_becomes_of_cbc_is_one_clear_error(
    script: str,
    error: type[BprrError],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cbc.version()
    monkeypatch.setattr(cbc, "executable", lambda: str(fake_cbc(tmp_path, script)))
    with pytest.raises(error, match=words):
        solve_milp(covering(8, 2), SolverSettings("cbc"))


def test_cbc_that_cannot_be_run_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cbc"
    monkeypatch.setattr(cbc, "executable", lambda: str(path))
    cbc.version.cache_clear()
    with pytest.raises(SolverMissingError, match="No such file"):
        check_solver(SolverSettings("cbc"))
    path.write_text("no program", encoding="utf-8")
    with pytest.raises(SolverMissingError, match="Permission denied"):
        check_solver(SolverSettings("cbc"))
    path.chmod(0o755)
    path.write_bytes(b"\x7fELF, but not really")
    with pytest.raises(SolverMissingError, match="Exec format"):
        check_solver(SolverSettings("cbc"))


def test_full_disk_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/x.log")

    monkeypatch.setattr("bprr.offline.backends.solve.tempfile.TemporaryDirectory", full)
    with pytest.raises(SolverRunError, match=r"No space left on device: /tmp/x.log"):
        solve_milp(covering(8, 2), SolverSettings("highs"))


def test_only_logs_of_solvers_are_cleared(tmp_path: Path) -> None:
    kept = ["mine.log", "strong_highs_1.txt", "strong_mine_1.log", "Strong_highs_1.log"]
    for name in (*kept, "strong_highs_1.log", "routing_cbc_12.log"):
        (tmp_path / name).touch()
    clear_logs(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
    clear_logs(tmp_path / "no folder yet")


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
