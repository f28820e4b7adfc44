"""What solvers are asked and how their answers are read, with scripted solvers in their place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import highspy
import numpy as np
import pytest
from scipy import sparse

from bprr.ground.errors import InputError
from bprr.offline.backends import cbc, highs, solve
from bprr.offline.backends.base import (
    Answer,
    Backend,
    SolverKilledError,
    SolverLicenceError,
    SolverMissingError,
    SolverRunError,
    SolverSettings,
    relative_gap,
    status_of,
)
from bprr.offline.backends.options import OptionError, accepted, of_type
from bprr.offline.backends.solve import (
    check_solver,
    clear_logs,
    solve_milp,
    two_columns,
    without_columns,
)
from bprr.offline.milp import Milp
from bprr.settings.offline import OfflineSettings

INF = float("inf")


def small(lower: float = -INF, upper: float = 4.0) -> Milp:
    """Least 3 x − 2 y, x whole and y not, with a row that bounds x + y."""
    return Milp(
        np.array([3.0, -2.0]), np.zeros(2), np.array([5.0, 6.0]), np.array([True, False]),
        sparse.csr_matrix([[1.0, 1.0]]), np.array([lower]), np.array([upper]),
    )  # fmt: skip


def same(found: Answer, ended, said, values, bound, nodes, progress=()) -> None:
    assert (found.ended, found.said, found.nodes) == (ended, said, nodes)
    assert found.bound == pytest.approx(bound, rel=1e-14, abs=0)
    assert found.progress == progress
    assert (None if found.values is None else found.values.tolist()) == values


# --- gaps, statuses, messages ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "bound", "gap"),
    [
        (INF, INF, INF), (INF, 3.0, INF), (8.0, 6.0, 0.25), (8.0, 9.0, 0.0), (8.0, -8.0, 2.0),
        (-8.0, -10.0, 0.25), (1.0, 0.5, 0.5), (0.5, 0.25, 0.25), (0.0, -0.5, 0.5),
        (1.5, 0.75, 0.5),
    ],
)  # fmt: skip
def test_gaps_are_relative_to_the_objective_or_a_millisecond(objective, bound, gap):
    assert relative_gap(objective, bound) == gap


@pytest.mark.parametrize(
    ("ended", "objective", "bound", "asked", "status"),
    [
        ("infeasible", 5.0, 5.0, 0.1, "infeasible"),
        ("time_limit", 1e6, 1e6 - 1.0, 0.0, "optimal"),
        ("stopped", 1e6, 1e6 - 1.01, 0.0, "stopped"),
        ("time_limit", 1e6, 1e6 - 1.01, 0.0, "time_limit"),
        ("time_limit", 4.0, 3.0, 0.25, "gap_reached"),
        ("time_limit", 4.0, 2.9, 0.25, "time_limit"),
        ("finished", 4.0, 2.9, 0.25, "stopped"),
        ("finished", INF, 2.9, 0.25, "stopped"),
    ],
)
def test_statuses_go_by_what_is_proven(ended, objective, bound, asked, status):
    assert status_of(ended, objective, bound, asked) == status


def test_errors_of_solvers_in_full():
    refused = SolverLicenceError("gurobi", small(), "set a licence")
    assert str(refused) == (
        "solver 'gurobi': its licence does not cover a model of 2 columns and 1 rows: "
        "set a licence; or choose another solver"
    )
    assert "does not cover any model: buy" in str(SolverLicenceError("gurobi", None, "buy"))
    missing = SolverMissingError("scip", "install it")
    assert str(missing) == ("solver 'scip' is not available: install it; or choose another solver")


def test_settings_of_a_configuration(tmp_path):
    offline = OfflineSettings(
        time_limit_s=7.0, threads=3, relative_gap=0.5, options={"cbc": {"maxNodes": 3}}
    )
    given = SolverSettings("cbc", 7.0, 3, 0.5, {"maxNodes": 3}, tmp_path)
    assert SolverSettings.of(offline, "cbc", tmp_path) == given
    assert SolverSettings.of(offline, "highs") == SolverSettings("highs", 7.0, 3, 0.5, {}, None)
    assert SolverSettings() == SolverSettings("highs", 60.0, 2, 1e-6, {}, None)


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kind", "taken"),
    [
        (True, str, "on"), (False, str, "off"), ("root", str, "root"), (2, float, 2.0),
        (2.5, float, 2.5), (2, int, 2), (True, bool, True), (False, bool, False),
    ],
)  # fmt: skip
def test_options_become_the_type_that_a_solver_takes(value, kind, taken):
    found = of_type(value, kind)
    assert (found, type(found)) == (taken, kind)


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (1, bool, "true or false"), ("on", bool, "true or false"), (True, int, "a whole number"),
        (2.0, int, "a whole number"), (True, float, "a number"), ("2", float, "a number"),
        (1, str, "a word"), (1.5, str, "a word"),
    ],
)  # fmt: skip
def test_options_of_another_type_are_refused(value, kind, words):
    with pytest.raises(OptionError, match=f"^{words}$"):
        of_type(value, kind)


def test_options_are_asked_for_once_and_reserved_by_their_full_names():
    asked = []

    def accept(name, value):
        asked.append((name, value))
        if name == "none":
            raise OptionError("something else")
        return name.upper() + "_full", of_type(value, type(value))

    backend = Backend("mine", str, accept, {"because": ("a_*", "*b_full"), "so": ("c*",)}, None)
    assert accepted(backend, "x", 1) == ("X_full", 1)
    assert type(accepted(backend, "x", True)[1]) is bool
    assert type(accepted(backend, "x", 1.0)[1]) is float
    assert accepted(backend, "x", 1) == ("X_full", 1)
    assert asked == [("x", 1), ("x", True), ("x", 1.0)]
    for name, allowed in (
        ("none", "something else"), ("a", "no value: because"), ("bb", "no value: because"),
        ("c", "no value: so"),
    ):  # fmt: skip
        with pytest.raises(InputError) as refused:
            accepted(backend, name, 5)
        assert str(refused.value) == (
            f"solver settings: offline.options.mine.{name}: got 5; allowed: {allowed}"
        )


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("mip_max_nodes", 3, 3), ("mip_heuristic_effort", 1, 1.0), ("presolve", False, "off"),
        ("mip_allow_restart", True, True),
    ],
)  # fmt: skip
def test_highs_takes_options_as_they_are(name, value, taken, capfd):
    found = highs.accept(name, value)
    assert found == (name, taken)
    assert type(found[1]) is type(taken)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("nosuch", 1, "the name of an option of HiGHS"),
        ("mip_heuristic_effort", 5.0, "a value that HiGHS takes for mip_heuristic_effort"),
        ("mip_allow_restart", 1, "true or false"),
    ],
)
def test_highs_says_what_it_takes(name, value, allowed, capfd):
    with pytest.raises(OptionError, match=f"^{allowed}$"):
        highs.accept(name, value)
    assert capfd.readouterr() == ("", "")


CBC_SAYS = {
    "-nodes??": "Match for `nodes': maxN(odes)(x)\nRange of values is 0 to 99;\n\tcurrent 5>\n",
    "-plain??": "Match for `plain': plain\n\tcurrent 5>\n",
    "-cuts??": (
        "Match for `cuts': cuts(OnOff)\nPossible options for cutsOnOff are:\n"
        "  off  on  root\n  <current: on>\n"
    ),
    "-two??": "Match for `two': two\nMatch for `two': twofold\ncurrent 5>",
    "-act??": "Match for `act': act(ion)\n",
}


@pytest.fixture
def talking_cbc(monkeypatch):
    """CBC that keeps a number to six digits and a word if it is one of its own."""
    calls = []

    def call(*words):
        calls.append(words)
        if len(words) == 2:
            return CBC_SAYS.get(words[0], "")
        _, value, asked, _ = words
        if asked == "-cuts??":
            kept = value if value in ("off", "on", "root") else "on"
            return CBC_SAYS[asked].replace("current: on", f"current: {kept}")
        kept = f"{min(float(value), 99):.6g}"
        return f"current 5>\n{CBC_SAYS[asked].replace('current 5', f'current {kept}')}"

    monkeypatch.setattr(cbc, "call", call)
    return calls


@pytest.mark.parametrize(
    ("name", "value", "full", "taken"),
    [
        ("nodes", 7, "maxNodesx", "7"), ("plain", 0.1, "plain", "0.10000000000000001"),
        ("nodes", 98.765432, "maxNodesx", "98.765432000000004"),
        ("cuts", "root", "cutsOnOff", "root"), ("cuts", False, "cutsOnOff", "off"),
    ],
)  # fmt: skip
def test_cbc_keeps_what_it_is_told(name, value, full, taken, talking_cbc):
    assert cbc.accept(name, value) == (full, taken)
    assert talking_cbc == [(f"-{name}??", "-quit"), (f"-{name}", taken, f"-{name}??", "-quit")]


NUMBER_OR_WORD = "the name of an option of CBC that takes a number or a word"


@pytest.mark.parametrize(
    ("name", "value", "allowed", "calls"),
    [
        ("a b", 1, "the name of an option of CBC", 0),
        ("", 1, "the name of an option of CBC", 0),
        ("two", 1, NUMBER_OR_WORD, 1),
        ("act", 1, NUMBER_OR_WORD, 1),
        ("nosuch", 1, NUMBER_OR_WORD, 1),
        ("nodes", "many", "a number", 1),
        ("nodes", 100, "a number from 0 to 99", 2),
        ("nodes", 99.0006, "a number from 0 to 99", 2),  # 6e-6 more, relative
        ("plain", 100, "a number", 2),
        ("cuts", "fancy", "off, on, root", 2),
        ("cuts", 1, "a word", 1),
    ],
)
def test_cbc_says_what_it_takes(name, value, allowed, calls, talking_cbc):
    with pytest.raises(OptionError) as refused:
        cbc.accept(name, value)
    assert (str(refused.value), len(talking_cbc)) == (allowed, calls)


def test_cbc_forgives_what_it_prints_less_of(talking_cbc):
    assert cbc.accept("nodes", 99.0004) == ("maxNodesx", "99.000399999999999")  # 4e-6 more


# --- CBC ------------------------------------------------------------------------------------------

WHOLE = "      0 c0    2    1.5\n**    1 c1    1.25    0\n"  # 6 − 2.5
BROKEN = "      0 c0    0.5    1.5\n"
TABLE = "  12   3   4   5.5 found  4.5  20.0%   1.5\n  13   3   4   1e+49   4.5  20.0%   1.5\n"
SEARCHED = "Result - Optimal solution found\n"
PASSED = ((1.5, 5.5, 4.5),)


@pytest.mark.parametrize(
    ("solution", "log", "expected"),
    [
        (
            f"Optimal - objective value 3.5\n{WHOLE}", f"{TABLE}{SEARCHED}Enumerated nodes:  12\n",
            ("finished", "Optimal - objective value 3.5", [2.0, 1.25], 3.5 - 1e-6, 12, PASSED),
        ),
        (
            f"Optimal (within gap tolerance) - objective value 3.5\n{WHOLE}",
            "Result - Optimal solution found (within gap tolerance)\nLower bound: 3.2\n",
            ("finished", "Optimal (within gap tolerance) - objective value 3.5", [2.0, 1.25],
             3.2 * (1 - 5e-6), 0),
        ),
        (
            f"Stopped on time - objective value 3.5\n{WHOLE}",
            "Enumerated nodes: 1\nLower bound: 2\nEnumerated nodes: 7\n",
            ("time_limit", "Stopped on time - objective value 3.5", [2.0, 1.25], 2 - 1e-5, 7),
        ),
        (
            f"Stopped on iterations - objective value 3.5\n{WHOLE}", "",
            ("stopped", "Stopped on iterations - objective value 3.5", [2.0, 1.25], -INF, 0),
        ),
        (
            "Stopped on time (no integer solution - continuous used) - objective value 1\n",
            "Lower bound: -4\n",
            ("time_limit", "Stopped on time (no integer solution - continuous used) - objective"
             " value 1", None, -4 - 2e-5, 0),
        ),
        (
            f"Optimal - objective value 1.5\n{BROKEN}", SEARCHED,
            ("time_limit", "Optimal - objective value 1.5", [0.5, 0.0], None, 0),
        ),
        (
            f"Stopped on time - objective value 1.5\n{BROKEN}", "Enumerated nodes: 2\n",
            ("time_limit", "Stopped on time - objective value 1.5", None, -INF, 2),
        ),
        (
            "Infeasible - objective value 0\n", f"{TABLE}Enumerated nodes: 4\n",
            ("infeasible", "Infeasible - objective value 0", None, INF, 4, PASSED),
        ),
        (
            "Integer infeasible - objective value 0\n", "",
            ("infeasible", "Integer infeasible - objective value 0", None, INF, 0),
        ),
    ],
)  # fmt: skip
def test_cbcs_files_become_answers(solution, log, expected, tmp_path, monkeypatch):
    asked = []

    def call(*words, log_path):
        asked.append((words, log_path))
        (tmp_path / "own.sol").write_text(solution)
        return log

    monkeypatch.setattr(cbc, "call", call)
    settings = SolverSettings("cbc", 9.5, 1, 0.25, {"maxNodes": "3", "feasibilityPump": "on"})
    found = cbc.run(small(), settings, tmp_path / "own.log")
    if BROKEN in solution:  # the relaxation, which is no incumbent: 1.5 as it is printed
        bound = 1.5 * (1 - 5e-6) if solution.startswith("Optimal") else -INF
        expected = (*expected[:2], None, bound, *expected[4:])
    same(found, *expected)
    model, sol = str(tmp_path / "own.mps"), str(tmp_path / "own.sol")
    options = [
        "-timeMode",
        "elapsed",
        "-seconds",
        "9.5",
        "-threads",
        "0",
        "-ratioGap",
        "0.25",
        "-allowableGap",
        "0",
        "-increment",
        "1e-06",
        "-feasibilityPump",
        "on",
        "-maxNodes",
        "3",
    ]
    assert asked == [((model, *options, "-solve", "-solu", sol), tmp_path / "own.log")]
    assert Path(model).read_text().endswith("ENDATA\n")
    cbc.run(small(), replace(settings, threads=2), tmp_path / "own.log")
    assert asked[1][0][5:7] == ("-threads", "2")


def test_another_end_of_cbc_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "own.sol"
    monkeypatch.setattr(cbc, "call", lambda *_, log_path: path.write_text("Unbounded\n") and "")
    with pytest.raises(SolverRunError, match=r"^CBC stopped: Unbounded$"):
        cbc.run(small(), SolverSettings("cbc"), tmp_path / "own.log")


@pytest.mark.parametrize(
    ("value", "whole"),
    [(3.0, True), (2.999991, True), (3.000009, True), (2.99998, False), (3.00002, False)],
)
def test_columns_are_whole_up_to_a_hundred_thousandth(value, whole):
    assert cbc.is_whole(small(), np.array([value, 0.5])) is whole
    assert cbc.is_whole(small(), np.array([3.0, value]))  # that may be broken


@pytest.mark.parametrize(
    ("log", "objective", "bound"),
    [
        ("Result - Optimal solution found\n", 5.0, 5.0 - 1e-6),
        ("Result - Optimal solution found (within gap tolerance)\n", 5.0, -INF),
        ("Lower bound: 1\nLower bound: 4\n", 5.0, 4.0 - 2e-5),
        ("Gap: 0.1\nResult - x\nLower bound: 4\n", 5.0, 4.0 - 2e-5),  # of something before
        ("Result - x\nLower bound: 4\nGap: 0.2\n", 5.0, 5.0 / (1 + 0.2 * (1 + 5e-6))),
        ("Result - x\nLower bound: 4\nGap: 0.4\n", 5.0, 4.0 - 2e-5),
        ("Result - x\nLower bound: 0\nGap: 0.2\n", 5.0, 0.0),
        ("Result - x\nLower bound: -4\nGap: 0.2\n", 5.0, -4.0 - 2e-5),
        ("Result - x\nLower bound: 4\nGap: 0.2\n", INF, 4.0 - 2e-5),
    ],
)
def test_bounds_from_logs(log, objective, bound):
    assert cbc.proven_bound(log, objective) == pytest.approx(bound, rel=1e-13)


def test_no_incumbent_in_the_table_of_a_search():
    row = "    12        3      4      {}  x   4.5   20.0%     1.5\n"
    found = cbc.read_progress(row.format("9.9e+48") + row.format("1e+49") + row.format("1.1e+49"))
    assert found == ((1.5, 9.9e48, 4.5),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "CBC left no solution file"),
        ("", "CBC left a damaged solution file; is the disk full?"),
        ("Optimal - x\n 0 c7 1 0\n", "CBC left a damaged solution file; is the disk full?"),
        ("Optimal - x\n 0 c0 one 0\n", "CBC left a damaged solution file; is the disk full?"),
    ],
)
def test_solution_files_that_cannot_be_read(text, words, tmp_path):
    path = tmp_path / "s.sol"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SolverRunError) as refused:
        cbc.read_solution(path, 3)
    assert str(refused.value) == words


def test_solution_files_without_an_incumbent(tmp_path):
    path = tmp_path / "s.sol"
    for heading in ("Infeasible - x", "Stopped on time (no integer solution) - x"):
        path.write_text(f"{heading}\n 0 c0 1 0\n")
        assert cbc.read_solution(path, 1) == (heading, None)


def test_cbc_is_called_in_its_own_words(tmp_path, monkeypatch):
    path = tmp_path / "cbc"
    path.write_text('#!/bin/sh\necho "CBC 9.9 — of $*"; cat; echo wrong >&2; exit 3\n')
    path.chmod(0o755)
    monkeypatch.setattr(cbc, "executable", lambda: str(path))
    said = "CBC 9.9 — of -a 1\nwrong\n"
    assert cbc.call("-a", "1") == said
    assert cbc.call("-a", "1", log_path=tmp_path / "l.log") == said
    assert (tmp_path / "l.log").read_text() == said
    path.write_text("#!/bin/sh\nprintf 'a\\377b'\n")
    assert cbc.call() == "a\N{REPLACEMENT CHARACTER}b"
    path.write_text("#!/bin/sh\nkill -9 $$\n")
    with pytest.raises(SolverKilledError, match=r"^CBC was killed by SIGKILL$"):
        cbc.call()
    path.chmod(0o644)
    with pytest.raises(SolverMissingError) as refused:
        cbc.call()
    remedy = f"{path} cannot be run (Permission denied); install cbcbox anew"
    assert str(refused.value) == str(SolverMissingError("cbc", remedy))


def test_cbc_names_its_build_and_its_wheel(monkeypatch):
    monkeypatch.setattr(cbc.metadata, "version", lambda name: f"7 of {name}")
    for said, version in (
        ("CBC 2.9 (x) — COIN\n", "CBC 2.9 (x), cbcbox 7 of cbcbox"),
        ("something\n", "CBC of unknown build, cbcbox 7 of cbcbox"),
    ):
        calls = []
        monkeypatch.setattr(cbc, "call", lambda *words, s=said, c=calls: c.append(words) or s)
        assert cbc.version.__wrapped__() == version
        assert calls == [("-quit",)]


# --- HiGHS ----------------------------------------------------------------------------------------


class Scripted:
    """HiGHS that says what it is told to say."""

    def __init__(self, statuses, feasible=True, nodes=5):
        self.statuses, self.done, self.feasible, self.nodes = list(statuses), [], feasible, nodes
        self.cbMipLogging = SimpleNamespace(subscribe=lambda note: setattr(self, "note", note))

    def setOptionValue(self, name, value):
        self.done.append((name, value))

    def run(self):
        self.done.append("run")
        data = SimpleNamespace(running_time=1.0, mip_primal_bound=9.0, mip_dual_bound=7.0)
        self.note(SimpleNamespace(data_out=data))

    def clearSolver(self):
        self.done.append("cleared")
        self.statuses.pop(0)

    def getModelStatus(self):
        return self.statuses[0]

    def getRunTime(self):
        return 4.0

    def modelStatusToString(self, status):
        return f"said {status.name}"

    def getInfo(self):
        kinds = highspy.SolutionStatus
        found = kinds.kSolutionStatusFeasible if self.feasible else kinds.kSolutionStatusNone
        return SimpleNamespace(
            primal_solution_status=found, mip_dual_bound=6.5, mip_node_count=self.nodes
        )

    def getSolution(self):
        return SimpleNamespace(col_value=[2.0, 1.0])


ASKED = [
    ("output_flag", True), ("log_to_console", False), ("time_limit", 10.0), ("threads", 3),
    ("mip_rel_gap", 0.25), ("mip_abs_gap", 0.5), ("extra", "on"),
]  # fmt: skip
STATUS = highspy.HighsModelStatus


def run_highs(monkeypatch, tmp_path, solver, time_limit_s=10):
    anew = []
    monkeypatch.setattr(highs, "load_model", lambda milp, integer: integer and solver)
    monkeypatch.setattr(highspy.Highs, "resetGlobalScheduler", anew.append)
    options = {"mip_abs_gap": 0.5, "extra": "on"}
    settings = SolverSettings("highs", time_limit_s, 3, 0.25, options)
    try:
        return highs.run(small(), settings, tmp_path / "own.log")
    finally:
        assert anew == [True]


@pytest.mark.parametrize(
    ("status", "ended"),
    [
        (STATUS.kOptimal, "finished"), (STATUS.kInfeasible, "infeasible"),
        (STATUS.kUnboundedOrInfeasible, "infeasible"), (STATUS.kTimeLimit, "time_limit"),
        (STATUS.kSolutionLimit, "stopped"), (STATUS.kInterrupt, "stopped"),
        (STATUS.kObjectiveBound, "stopped"), (STATUS.kIterationLimit, "stopped"),
    ],
)  # fmt: skip
def test_answers_of_highs(status, ended, tmp_path, monkeypatch):
    solver = Scripted([status])
    found = run_highs(monkeypatch, tmp_path, solver)
    progress = ((1.0, 9.0, 7.0),)
    same(found, ended, f"said {status.name}", [2.0, 1.0], 6.5, 5, progress)
    assert solver.done == [("log_file", str(tmp_path / "own.log")), *ASKED, "run"]
    found = run_highs(monkeypatch, tmp_path, Scripted([status], feasible=False, nodes=-1))
    same(found, ended, f"said {status.name}", None, 6.5, 0, progress)
    assert run_highs(monkeypatch, tmp_path, Scripted([status], nodes=1)).nodes == 1


@pytest.mark.parametrize(("limit_s", "left_s"), [(10.0, 6.0), (3.0, 0.0), (4.5, 0.5)])
def test_highs_that_refuses_its_own_point_goes_on_without_presolve(
    limit_s, left_s, tmp_path, monkeypatch
):
    solver = Scripted([STATUS.kSolveError, STATUS.kOptimal])
    found = run_highs(monkeypatch, tmp_path, solver, limit_s)
    assert (found.ended, found.progress) == ("finished", ((1.0, 9.0, 7.0),) * 2)
    again = [("presolve", "off"), ("time_limit", left_s), "cleared", "run"]
    assert solver.done[len(ASKED) + 2 :] == again


@pytest.mark.parametrize(
    "status",
    [STATUS.kNotset, STATUS.kLoadError, STATUS.kModelError, STATUS.kPresolveError,
     STATUS.kPostsolveError, STATUS.kUnbounded, STATUS.kUnknown],
)  # fmt: skip
def test_failures_of_highs(status, tmp_path, monkeypatch):
    with pytest.raises(SolverRunError, match=f"^HiGHS stopped: said {status.name}$"):
        run_highs(monkeypatch, tmp_path, Scripted([status]))
    twice = Scripted([STATUS.kSolveError, STATUS.kSolveError])
    with pytest.raises(SolverRunError, match=r"^HiGHS stopped: said kSolveError$"):
        run_highs(monkeypatch, tmp_path, twice)


def test_highs_holds_the_programme_and_is_silent(capfd, tmp_path):
    for integer in (True, False):
        solver = highs.load_model(small(), integer)
        assert solver.getOptionValue("output_flag")[1] is False
        lp = solver.getLp()
        assert (list(lp.col_cost_), list(lp.col_upper_)) == ([3.0, -2.0], [5.0, 6.0])
        assert (list(lp.row_lower_), list(lp.row_upper_)) == ([-highspy.kHighsInf], [4.0])
        kinds = [highspy.HighsVarType.kInteger, highspy.HighsVarType.kContinuous]
        assert list(lp.integrality_) == (kinds if integer else [])
        solver.run()
    highs.write_mps(small(-4.0, INF), tmp_path / "m.mps")
    assert "INTORG" in (tmp_path / "m.mps").read_text()
    assert capfd.readouterr() == ("", "")


def test_a_programme_that_is_not_written_to_its_end(tmp_path, monkeypatch):
    path = tmp_path / "m.mps"
    stub = SimpleNamespace(writeModel=lambda name: Path(name).write_text("NAME\nENDATA"))
    monkeypatch.setattr(highs, "load_model", lambda *_, **__: stub)
    with pytest.raises(SolverRunError) as refused:
        highs.write_mps(small(), path)
    assert str(refused.value) == f"{path} could not be written to its end; is the disk full?"


@pytest.mark.parametrize(
    ("lower", "upper", "kept"),
    [
        (0.5, INF, 1),
        (0.0, INF, 0),
        (-INF, 10.5, 1),
        (-INF, 11.0, 0),
        (0.0, 11.0, 0),
        (0.0, 10.9, 1),
    ],
)
def test_rows_that_may_be_broken_are_kept(lower, upper, kept):
    smaller, columns = small(lower, upper).restricted(np.array([5.0, 6.0]))
    assert (smaller.rows, columns.tolist()) == (kept, [0, 1])


def test_bound_of_a_relaxation_by_hand(capfd):
    # y = 4 − x is best at x = 0: −8; a unit of x takes one of y away, and its own 3.
    bound, reduced = highs.solve_relaxation(small(), 30)
    assert (bound, reduced.tolist()) == (-8.0, [5.0, 0.0])
    # x + y ≥ 8 needs x ≥ 2 beside six of y: 6 − 12, and a unit of y saves 2 + 3.
    bound, reduced = highs.solve_relaxation(small(8.0, INF), 30)
    assert (bound, reduced.tolist()) == (-6.0, [0.0, -5.0])
    bound, reduced = highs.solve_relaxation(small(12.0, INF), 30)
    assert (bound, reduced.tolist()) == (INF, [0.0, 0.0])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("dual", "bound", "reduced"),
    [
        ([], -12.0, [3.0, -2.0]),  # none in time: all of y, none of x
        ([1.0, 1.0], -12.0, [3.0, -2.0]),
        ([-1.0], -4.0 - 6.0, [4.0, -1.0]),
        ([-2.5], -10.0, [5.5, 0.5]),
        ([2.0], -12.0, [3.0, -2.0]),  # pushes against nothing
    ],
)
def test_bounds_hold_for_any_duals(dual, bound, reduced, monkeypatch):
    asked = []
    stub = SimpleNamespace(
        setOptionValue=lambda *option: asked.append(option), run=lambda: asked.append("run"),
        getModelStatus=lambda: STATUS.kTimeLimit,
        getSolution=lambda: SimpleNamespace(row_dual=dual),
    )  # fmt: skip
    monkeypatch.setattr(highs, "load_model", lambda milp, integer: None if integer else stub)
    for limit_s, given_s in ((-3.0, 0.01), (0.0, 0.01), (0.015, 0.015), (7, 7.0)):
        found, costs = highs.solve_relaxation(small(), limit_s)
        assert (found, costs.tolist()) == (bound, reduced)
        assert asked == [("time_limit", given_s), "run"]
        asked.clear()


# --- any solver -----------------------------------------------------------------------------------


@pytest.fixture
def scripted(monkeypatch):
    """A solver called highs whose answer is set by a test, and what it was asked."""
    told = SimpleNamespace(answer=None, asked=[])

    def run(milp, settings, log_path):
        told.asked.append((milp, settings, log_path))
        log_path.write_text("x" * 700 + "end")
        if isinstance(told.answer, Exception):
            raise told.answer
        return told.answer

    backend = Backend("highs", lambda: "Mine 1", lambda n, v: (n.upper(), v), {"no": ("z*",)}, run)
    monkeypatch.setitem(solve.SOLVERS, "highs", backend)
    return told


def test_an_answer_becomes_a_result(scripted, tmp_path, monkeypatch):
    clock = iter([10.0, 12.5])
    monkeypatch.setattr(solve, "perf_counter", lambda: next(clock))
    scripted.answer = Answer("time_limit", "so", np.array([2.0, 1.0]), 3.0, 8, ((1.0, 2.0, 3.0),))
    folder = tmp_path / "not" / "yet"
    settings = SolverSettings("highs", 9.0, 1, 0.25, {"a": 1}, folder)
    found = solve_milp(small(), settings)
    same(found, "time_limit", "so", [2.0, 1.0], 3.0, 8, ((1.0, 2.0, 3.0),))
    assert (found.objective, found.status, found.seconds) == (4.0, "gap_reached", 2.5)
    assert (found.solver_used, found.log_path) == ("Mine 1", folder / "milp_highs_1.log")
    assert found.log_path.read_text() == "x" * 700 + "end"
    ((_, asked, log_path),) = scripted.asked
    assert asked == replace(settings, options={"A": 1})
    assert log_path.name == "milp.log" and not log_path.exists()
    monkeypatch.undo()


def test_results_without_a_plan_and_without_a_log(scripted, tmp_path):
    scripted.answer = Answer("infeasible", "no", None, 3.0, 8)
    found = solve_milp(small(), SolverSettings("highs"), "own")
    assert (found.objective, found.bound, found.status) == (INF, INF, "infeasible")
    assert found.log_path is None
    scripted.answer = Answer("stopped", "no", None, 3.0, 8)
    settings = SolverSettings("highs", log_dir=tmp_path)
    for number in (1, 2, 3):
        found = solve_milp(small(), settings, "own")
        assert (found.objective, found.bound, found.status) == (INF, 3.0, "stopped")
        assert found.log_path == tmp_path / f"own_highs_{number}.log"
    (tmp_path / "own_highs_2.log").unlink()
    assert solve_milp(small(), settings, "own").log_path == tmp_path / "own_highs_2.log"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (SolverRunError("it stopped"), SolverRunError, "it stopped\n" + "x" * 597 + "end"),
        (SolverKilledError("killed"), SolverKilledError, "killed\n" + "x" * 597 + "end"),
        (OSError(28, "No space", "/a"), SolverRunError, "Mine 1: No space: /a"),
        (OSError(28, "No space", "/a", None, "/b"), SolverRunError, "Mine 1: No space: /b"),
        (OSError("odd"), SolverRunError, "Mine 1: odd"),
    ],
)
def test_errors_say_what_the_solver_said_last(error, kind, words, scripted, tmp_path):
    scripted.answer = error
    with pytest.raises(kind) as refused:
        solve_milp(small(), SolverSettings("highs", log_dir=tmp_path))
    assert (type(refused.value), str(refused.value)) == (kind, words)
    assert (tmp_path / "milp_highs_1.log").exists()


def test_an_error_before_anything_was_said(scripted, monkeypatch):
    def run(*_):
        raise SolverRunError("nothing yet")

    monkeypatch.setitem(solve.SOLVERS, "highs", replace(solve.SOLVERS["highs"], run=run))
    with pytest.raises(SolverRunError) as refused:
        solve_milp(small(), SolverSettings("highs"))
    assert str(refused.value) == "nothing yet"


@pytest.mark.parametrize(
    ("objective", "bound", "good"),
    [
        (2.0, 2.0, True), (2 - 0.9e-6, 2 + 0.9e-6, True), (2 - 1.1e-6, 2.0, False),
        (2 - 1e-6, 2.0, True), (2.0, 2 + 1e-6, True),
        (2.0, 2 + 1.1e-6, False), (9.0, 0.0, True), (INF, INF, False), (INF, 1.0, True),
    ],
)  # fmt: skip
def test_a_solver_is_tried_on_two_columns(objective, bound, good, monkeypatch, tmp_path):
    asked = []

    def solved(milp, settings):
        asked.append((milp.columns, settings))
        return SimpleNamespace(objective=objective, bound=bound)

    monkeypatch.setattr(solve, "solve_milp", solved)
    settings = SolverSettings("highs", 99.0, 2, 0.5, {"presolve": "on"}, tmp_path)
    if good:
        assert check_solver(settings) == highs.version()
    else:
        with pytest.raises(InputError) as refused:
            check_solver(settings)
        assert str(refused.value) == (
            "solver settings: offline.options.highs: got {'presolve': 'on'}; "
            "allowed: options that keep the problem"
        )
    assert asked == [(2, replace(settings, time_limit_s=10.0, log_dir=None))]


def test_the_two_columns_by_hand():
    milp = two_columns()
    assert (milp.cost.tolist(), milp.lower.tolist(), milp.upper.tolist()) == (
        [1.0, 2.0], [0.0, 0.0], [3.0, 3.0],
    )  # fmt: skip
    assert (milp.row_lower.tolist(), milp.row_upper.tolist()) == ([1.5], [INF])
    assert milp.integer.all() and milp.matrix.toarray().tolist() == [[1.0, 1.0]]
    assert solve_milp(milp, SolverSettings()).objective == 2.0


@pytest.mark.parametrize(
    ("lower", "upper", "holds"),
    [
        ([0.0, -INF], [0.0, INF], True), ([-1.0], [1.0], True), ([0.5], [1.0], False),
        ([-1.0], [-0.5], False), ([0.0, 0.5], [1.0, 1.0], False), ([], [], True),
        ([-1.0, -1.0], [1.0, -0.5], False),
    ],
)  # fmt: skip
def test_rows_without_columns(lower, upper, holds):
    none = np.zeros(0)
    milp = Milp(
        none, none, none, none.astype(bool), sparse.csr_matrix((len(lower), 0)),
        np.array(lower), np.array(upper),
    )  # fmt: skip
    if holds:
        same(without_columns(milp), "finished", "nothing to decide", [], 0.0, 0)
    else:
        same(without_columns(milp), "infeasible", "nothing to decide", None, INF, 0)


def test_logs_of_which_solvers_are_cleared(tmp_path):
    gone = ["a_highs_1.log", "milp_cbc_12.log", "milp_gurobi_1.log", "milp_scip_1.log"]
    kept = ["a_highs_1.logs", "a_highs_.log", "_highs_1.log", "a1_highs_1.log", "a_glpk_1.log"]
    for name in (*gone, *kept):
        (tmp_path / name).touch()
    clear_logs(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_solvers_by_name(monkeypatch):
    with pytest.raises(InputError) as refused:
        solve.require_solver("glpk")
    assert str(refused.value) == (
        "solver settings: solver: got 'glpk'; allowed: highs, cbc, gurobi, scip"
    )

    def missing():
        raise SolverMissingError("x", "y")

    for name, backend in list(solve.SOLVERS.items()):
        version = missing if name in ("cbc", "scip") else lambda n=name: f"{n} 1"
        monkeypatch.setitem(solve.SOLVERS, name, replace(backend, version=version))
    assert solve.installed_solvers() == ("highs", "gurobi")
    assert solve.require_solver("gurobi") == "gurobi 1"
