"""Reference cases through the public functions; and that a wrong number would be noticed."""

import copy
import functools
import json

import numpy as np
import pytest

from bprr.commands.main import main
from bprr.ground.errors import InputError
from bprr.simulation.engine import simulate
from bprr.study import golden
from bprr.study.golden import (
    NOT_REPLAYED,
    REPLAYS,
    TOLERANCE,
    replay,
    replay_file,
    worst_difference,
)

COUNTS = {
    "bprr_ext": 14,
    "cg_bp": 23,
    "petals_online": 24,
    "petals_place": 14,
    "ws_rr": 18,
    "petals_opt_num": 13,
    "petals_opt_rr": 13,
    "bprr_general": 13,
    "petals_offline": 13,
}


@pytest.fixture(scope="module")
def cases_file(root):
    return root / "tests" / "golden" / "cases.json"


@pytest.fixture(scope="module")
def cases(cases_file):
    return json.loads(cases_file.read_text())["cases"]


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
@pytest.mark.parametrize("kind", COUNTS)
def test_cases_of_a_kind(cases, kind, engine, monkeypatch):
    monkeypatch.setattr(golden, "simulate", functools.partial(simulate, engine=engine))
    found = {case["id"]: replay(case) for case in cases if case["kind"] == kind}
    assert len(found) == COUNTS[kind]
    assert {name: gap for name, gap in found.items() if gap > TOLERANCE} == {}


def test_whole_file(cases_file):
    reports = replay_file(cases_file)
    assert {report.kind: report.cases for report in reports} == COUNTS
    assert sum(report.cases for report in reports) == 145
    assert all(report.passed for report in reports)


def recorded_numbers(output):
    """Places of the numbers that a case records, one per output."""
    for name, value in output.items():
        if name in NOT_REPLAYED:
            continue
        path = [name]
        while isinstance(value, list):
            path.append(len(value) - 1)
            value = value[-1]
        yield path


@pytest.mark.parametrize("kind", COUNTS)
def test_every_recorded_number_is_looked_at(cases, kind):
    case = next(c for c in cases if c["kind"] == kind and "error" not in c["output"])
    places = list(recorded_numbers(case["output"]))
    assert places
    for path in places:
        tampered = copy.deepcopy(case)
        holder = tampered["output"]
        for part in path[:-1]:
            holder = holder[part]
        value = holder[path[-1]]
        holder[path[-1]] = value + max(1, abs(value)) * 1e-8 if isinstance(value, float) else 77
        assert replay(tampered) > TOLERANCE, path


@pytest.mark.parametrize("kind", COUNTS)
def test_inputs_matter(cases, kind):
    case = copy.deepcopy(next(c for c in cases if c["kind"] == kind and "error" not in c["output"]))
    given = case["input"]
    if kind == "petals_place":
        given["throughput"][0] = (np.array(given["throughput"][0]) * 1.01).tolist()
    else:
        given["RTT"][given["RTT"].index(min(given["RTT"]))] += 1.0
        given["tau"] = (np.array(given["tau"]) * 1.001).tolist()
    assert replay(case) > TOLERANCE


def test_a_failure_of_the_artefact_must_be_one_here(cases):
    failing = [case for case in cases if "error" in case["output"]]
    assert len(failing) == 7
    assert all(replay(case) == 0 for case in failing)
    served = copy.deepcopy(next(c for c in cases if c["kind"] == "ws_rr"))
    served["output"] = {"error": "no chain"}
    assert replay(served) == np.inf


def test_a_missing_output_or_another_shape_is_infinitely_wrong():
    assert worst_difference({}, {"a": 1}) == np.inf
    assert worst_difference({"a": [1.0, 2.0]}, {"a": [1.0]}) == np.inf
    assert worst_difference({"a": np.nan}, {"a": 1.0}) == np.inf
    assert worst_difference({"chains": [[1], [2]]}, {"chains": [[1]]}) == np.inf
    assert worst_difference({"chains": [[1, 2]]}, {"chains": [[1, 2, 0]]}) == 0


def one_case(**changes):
    case = {"id": "x", "kind": "bprr_ext", "input": {}, "output": {}} | changes
    return json.dumps({"cases": [case]})


@pytest.mark.parametrize(
    "text, named",
    [
        (None, "cases"),
        ("", "cases"),
        ("{not json", "cases"),
        ("[1, 2]", "cases"),
        ('{"case": []}', "cases"),
        ('{"cases": []}', "cases"),
        ('{"cases": {"a": 1}}', "cases"),
        ('{"cases": [1]}', "cases.0"),
        (one_case(kind="cg_pb"), "x.kind"),
        (one_case(), "x"),
        (one_case(input={"M": "much", "lc": 1, "lc_in": 1, "L": 3, "sm": 1}), "x"),
        (one_case(input=None), "x"),
        (json.dumps({"cases": [{"id": "y", "kind": "cg_bp"}]}), "cases.0"),
        ("\udcff", "cases"),
    ],
)
def test_an_odd_file_is_refused_by_name(tmp_path, text, named):
    path = tmp_path / "odd.json"
    if text is not None:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError) as refused:
        replay_file(path)
    assert str(path) in str(refused.value)
    assert refused.value.key.startswith(named)


def test_every_kind_has_a_replay():
    assert set(REPLAYS) == set(COUNTS)


def test_command_line_prints_kinds_and_returns_0(cases_file, capsys):
    assert main(["verify", "golden", str(cases_file)]) == 0
    printed = capsys.readouterr().out
    lines = {line.split()[0]: line.split() for line in printed.splitlines()}
    for kind, count in COUNTS.items():
        assert lines[kind][1] == str(count)
        assert float(lines[kind][2]) <= TOLERANCE
    assert "145" in printed


def test_command_line_names_what_is_wrong(cases, tmp_path, capsys):
    chosen = [copy.deepcopy(c) for c in cases if c["kind"] == "bprr_ext"][:2]
    chosen[1]["output"]["time_per_request"] *= 1 + 1e-8
    path = tmp_path / "tampered.json"
    path.write_text(json.dumps({"cases": chosen}))
    assert main(["verify", "golden", str(path)]) not in (0, None)
    assert f"FAILED at {chosen[1]['id']}" in capsys.readouterr().out
    chosen[1] = copy.deepcopy(chosen[0])
    path.write_text(json.dumps({"cases": chosen}))
    assert main(["verify", "golden", str(path)]) == 0


def test_command_line_refuses_an_unreadable_file(tmp_path, capsys):
    assert main(["verify", "golden", str(tmp_path / "absent.json")]) == 2
    assert "absent.json" in capsys.readouterr().err
