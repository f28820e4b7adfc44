"""Commands around parts that only note what they are given: what is asked, printed, returned."""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
from collections.abc import Callable
from dataclasses import make_dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bprr.commands import plan_arguments
from bprr.commands.arguments import natural_number, positive_number, print_json, whole_number
from bprr.commands.completion import words_by_place
from bprr.commands.main import main
from bprr.commands.plan_arguments import asked, wish_of
from bprr.commands.simulate import _print
from bprr.commands.solve import print_result, read_requests
from bprr.commands.solver import add_solver_arguments, chosen
from bprr.commands.suggesting import SuggestingParser, set_dashed
from bprr.ground.errors import BprrError, InputError
from bprr.plan.goal import Wish
from bprr.plan.record import PlanRecord
from bprr.plan.replan import Moving
from bprr.settings.configuration import Settings, load_settings

Said = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


class Noted:
    """Functions that give what they are told to, and note what they were given."""

    def __init__(self, monkeypatch: Patch) -> None:
        self.monkeypatch, self.calls = monkeypatch, list[tuple[Any, ...]]()

    def put(self, place: str, given: Any = None) -> None:
        name = place.rpartition(".")[2]

        def noting(*arguments: Any, **named: Any) -> Any:
            self.calls.append((name, *arguments, *([named] if named else [])))
            return given(*arguments, **named) if callable(given) else given

        self.monkeypatch.setattr(place, noting)


@pytest.fixture
def noted(monkeypatch: Patch) -> Noted:
    return Noted(monkeypatch)


class Bar:
    """A bar that shows no progress."""

    seen: list[dict[str, Any]]

    def __init__(self, **options: Any) -> None:
        Bar.seen.append(options)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, _: int) -> None:
        pass


@pytest.fixture
def bars(monkeypatch: Patch) -> list[dict[str, Any]]:
    Bar.seen = []
    monkeypatch.setattr("tqdm.tqdm", Bar)
    return Bar.seen


def planned(name: str) -> SimpleNamespace:
    return SimpleNamespace(
        path=Path(f"{name}.parquet"), provenance=lambda: {"of": name}, source="s"
    )


# --- sweeps and times


@pytest.fixture
def sweeping(noted: Noted, bars: list[dict[str, Any]]) -> Noted:
    settings = SimpleNamespace(runs_of=lambda name: 4)
    table = pd.DataFrame({"x": [0.5, 0.5, 2, 2], "method": ["a", "a", "b", "a"],
                          "status": ["no room", "no room", "no room", "ok"]})  # fmt: skip
    noted.put("bprr.study.slices.settings_at", settings)
    noted.put("bprr.study.points.sweep_points", [1, 2, 3])
    noted.put("bprr.study.planned.planned_sweep", lambda *_: planned("whole"))
    noted.put("bprr.study.sweep.swept", (table, [2, 2]))
    noted.put("bprr.study.parts.provenance", lambda made, first, rows: (made, first, rows))
    noted.put("bprr.ground.storage.write_table")
    noted.put("bprr.study.kept_means.keep_means")
    return noted


def test_a_sweep_tells_what_is_infeasible(
    sweeping: Noted, bars: list[dict[str, Any]], capsys: Said
) -> None:
    for first in ("0", "3"):
        sweeping.calls.clear()
        assert main(["sweep", "mine", "here", "--first-run", first]) == 0
        told = {name: rest for name, *rest in sweeping.calls}
        assert told["swept"][1:4] == ["mine", "here", range(int(first), 4)]
        assert told["provenance"] == [{"of": "whole"}, int(first), [2, 2]]
        assert told["write_table"][1:] == [
            Path("whole.parquet"),
            ({"of": "whole"}, int(first), [2, 2]),
            "s",
        ]
        assert told["keep_means"][1:] == [Path("whole.parquet")]
        lines = capsys.readouterr().out.splitlines()
        assert lines == [
            "x = 0.5, a: no room", "x = 2, b: no room", "4 requests in whole.parquet",
        ]  # fmt: skip
    assert bars == [{"total": 3 * runs, "unit": "run", "desc": "mine on here"} for runs in (4, 1)]
    assert main(["sweep", "mine", "here", "--first-run", "4"]) == 2
    assert capsys.readouterr().err.strip().endswith("at most 3, the last run of mine")


def test_a_sweep_that_is_known_is_taken(
    sweeping: Noted, monkeypatch: Patch, tmp_path: Path, capsys: Said
) -> None:
    """If it is current; a part is run, and what was to be taken keeps no means."""
    made = make_dataclass("Made", ["path", "provenance", "source"])
    whole = made(tmp_path / "whole.parquet", lambda: {}, "s")
    sweeping.put("bprr.study.planned.planned_sweep", lambda *_: whole)
    known = tmp_path / "known.parquet"
    known.write_text("known", encoding="utf-8")
    words = ["sweep", "mine", "here", "--known", str(known)]
    for state, more, taken in (
        ("current", [], True), ("stale", [], False), ("current", ["--first-run", "1"], False),
    ):  # fmt: skip
        sweeping.put("bprr.study.status.state_of", SimpleNamespace(word=state))
        sweeping.calls.clear()
        whole.path.unlink(missing_ok=True)
        assert main([*words, *more]) == 0
        names = [name for name, *_ in sweeping.calls]
        assert whole.path.exists() == taken
        assert ("write_table" in names) != taken
        assert "keep_means" not in names
        out = capsys.readouterr().out
        assert (out == f"{whole.path}: taken from {known}\n") == taken
        for name, *rest in sweeping.calls:
            assert name != "state_of" or rest[0].path == known


def test_parts_are_merged(noted: Noted, capsys: Said) -> None:
    noted.put("bprr.study.slices.settings_at", SimpleNamespace(runs_of=lambda name: 4))
    noted.put("bprr.study.parts.expected", [range(2), range(2, 4)])
    noted.put("bprr.study.planned.planned_sweep", lambda *given, **_: planned(f"{given[3:]}"))
    noted.put("bprr.study.parts.read_part", lambda path, *_: path.stem)
    noted.put("bprr.study.parts.merged", (pd.DataFrame({"a": range(1200)}), [7]))
    noted.put("bprr.study.parts.provenance", lambda made, first, rows: (made, first, rows))
    noted.put("bprr.ground.storage.write_table")
    noted.put("bprr.study.kept_means.keep_means")
    assert main(["merge", "mine", "here", "a.parquet", "b.parquet", "-o", "c.parquet"]) == 0
    whole = "(PosixPath('c.parquet'),)"
    assert capsys.readouterr().out == f"1,200 requests of 4 runs in {whole}.parquet\n"
    told = [(name, *rest) for name, *rest in noted.calls if name in ("read_part", "merged")]
    assert told == [
        ("read_part", Path("a.parquet"), range(2), {"of": "()"}, "s"),
        ("read_part", Path("b.parquet"), range(2, 4), {"of": "()"}, "s"), ("merged", ["a", "b"]),
    ]  # fmt: skip
    runs = [rest[-1] for name, *rest in noted.calls if name == "planned_sweep"]
    assert runs == [{"runs": 2}, {"runs": 4}, Path("c.parquet")]
    written = {name: rest for name, *rest in noted.calls}
    path = Path(f"{whole}.parquet")
    assert written["write_table"][1:] == [path, ({"of": whole}, 0, [7]), "s"]
    assert written["keep_means"][1:] == [path]


def test_bounds_of_a_sweep(noted: Noted, bars: list[dict[str, Any]], capsys: Said) -> None:
    noted.put("bprr.study.slices.settings_at", SimpleNamespace(runs_of=lambda name: 4))
    noted.put("bprr.study.points.sweep_points", [1, 2, 3])
    noted.put("bprr.study.planned.planned_bounds", lambda *_: planned("bounds"))
    noted.put("bprr.study.beyond.bounds_of_sweep", range(1500))
    noted.put("bprr.ground.storage.write_table")
    assert main(["bounds", "mine", "here", "--waiting", "5"]) == 0
    assert capsys.readouterr().out == "1,500 bounds in bounds.parquet\n"
    assert bars == [{"total": 12, "unit": "draw", "desc": "bounds of mine on here"}]
    told = {name: rest for name, *rest in noted.calls}
    assert told["bounds_of_sweep"][1:3] == ["mine", "here"]
    assert told["bounds_of_sweep"][4] == 5
    assert told["write_table"][1:] == [
        Path("bounds.parquet"), {"of": "bounds", "waiting": 5}, "s",
    ]  # fmt: skip


def test_times_of_tables_and_of_sweeps(noted: Noted, capsys: Said) -> None:
    settings = SimpleNamespace(sweeps={"one": 1, "two": 2}, seed=8, results_dir=Path("there"))
    noted.put("bprr.study.slices.settings_at", settings)
    noted.put("bprr.study.timing.running_times", pd.DataFrame({"a": [1, 2]}))
    noted.put("bprr.study.timing.running_times_of_sweeps", pd.DataFrame({"a": [1]}))
    noted.put("bprr.study.timing.planned_times", lambda _: planned("times"))
    noted.put("bprr.study.growth.growth", pd.DataFrame({"b": [1, 2, 3]}))
    noted.put("bprr.ground.source.source_hash", lambda name: f"code of {name}")
    noted.put("bprr.ground.storage.write_table")
    for words, said, asked_for in [
        ([], "2 timings in times.parquet\n", ("running_times", settings, 20)),
        (["--repeats", "4", "-o", "o.parquet"], "2 timings in o.parquet\n",
         ("running_times", settings, 4)),
        (["--sweeps", "one", "two"], "1 timings in there/timing/sweeps.parquet\n",
         ("running_times_of_sweeps", settings, ["one", "two"], 3)),
        (["--sweeps", "two", "--repeats", "1", "--json"], '[{"a":1}]\n',
         ("running_times_of_sweeps", settings, ["two"], 1)),
        (["--growth", "g.parquet"], "2 timings in times.parquet\n3 timings in g.parquet\n",
         ("running_times", settings, 20)),
        (["--growth", "g.parquet", "--json"], '[{"a":1},{"a":2}]\n',
         ("running_times", settings, 20)),
    ]:  # fmt: skip
        noted.calls.clear()
        assert main(["time", *words]) == 0
        assert capsys.readouterr().out == said
        assert asked_for in noted.calls
        first, *others = [rest for name, *rest in noted.calls if name == "write_table"]
        made = {"seed": 8} if "--sweeps" in words else {"of": "times"}
        source = "code of bprr.study.timing" if "--sweeps" in words else "s"
        assert {**first[2], "device": "", "measured_utc": ""} == {
            **made, "repeats": asked_for[-1], "device": "", "measured_utc": "",
        }  # fmt: skip
        assert first[3] == source
        assert len(others) == ("--growth" in words)
        for table, path, about, code in others:
            assert (len(table), path, about["of"], about["repeats"], code) == (
                3, Path("g.parquet"), "times", 20, "s",
            )  # fmt: skip
    assert main(["time", "--sweeps", "one", "three"]) == 2
    assert "three" in capsys.readouterr().err


# --- programmes


def result(**changed: Any) -> dict[str, Any]:
    return {
        "objective_per_token_ms_sum": 300.0, "requests": [2, 1], "status": "optimal",
        "solver_ended": "time limit", "seconds": 1.234, "solver_used": "highs", "bound": 2.5,
        "gap": 0.0123, "verified": True,
        "placement": [
            {"server": 0, "device": "a100", "first_block": 3, "blocks": 4},
            {"server": 1, "device": "t4", "first_block": 0, "blocks": 0},
        ],
        "chains": [{"client": 0, "servers": [0, 1]}, {"client": 0, "servers": [0, 1]},
                   {"client": 1, "servers": [1]}],
        **changed,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "lines"),
    [
        (
            {},
            ["optimal in 1.23 s by highs",
             "100.00 ms per token, mean of 3 requests (gap 1.23%, verified: True)",
             "server device           blocks", "     0 a100             3–6",
             "     1 t4               none", "client 0: 2 × servers 0 → 1",
             "client 1: 1 × servers 1"],
        ),
        (
            {"objective_per_token_ms_sum": None, "status": "stopped"},
            ["stopped (time limit) in 1.23 s by highs",
             "no plan found; no plan is below 2.50 ms per token in all"],
        ),
        (
            {"objective_per_token_ms_sum": None, "bound": None},
            ["optimal in 1.23 s by highs", "no plan found; no plan is below 0 ms per token in all"],
        ),
    ],
)  # fmt: skip
def test_a_result_as_it_is_printed(capsys: Said, changed: dict[str, Any], lines: list[str]) -> None:
    print_result(result(**changed))
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.parametrize(
    ("text", "counts"),
    [("5", (3, 2)), ("1,2", (1, 2)), ("1,2,3", None), ("1,x", None), ("", None), ("1.5", None)],
)
def test_requests_of_clients(text: str, counts: tuple[int, ...] | None) -> None:
    if counts is not None:
        assert read_requests(text, 2) == counts
        return
    with pytest.raises(InputError, match="one whole number, or 2 separated by commas"):
        read_requests(text, 2)


@pytest.fixture
def solving(noted: Noted) -> Noted:
    """A scenario of a model of 10 blocks on servers that may hold 12."""
    swarm = SimpleNamespace(clients=2, model=SimpleNamespace(blocks=10), device=["a", "b"])
    drawn = SimpleNamespace(swarm=swarm, design_request="request")
    noted.put("bprr.offline.backends.solve.check_solver")
    noted.put("bprr.scenario.scenario.load_scenario", "scenario")
    noted.put("bprr.scenario.draw.draw", drawn)
    noted.put("bprr.study.points.catalogue", "catalogue")
    noted.put("bprr.commands.solve.result_record", lambda *_: result())
    room(noted, 12)
    noted.put("bprr.offline.solve.solve_offline", SimpleNamespace(status="optimal"))
    return noted


def room(noted: Noted, blocks: int) -> None:
    instance = SimpleNamespace(
        swarm=SimpleNamespace(model=SimpleNamespace(blocks=10)), load=3,
        most_blocks=np.array([4, blocks - 4]),
    )  # fmt: skip
    noted.put("bprr.study.api.offline_instance", instance)


def test_a_model_needs_room_for_its_blocks(solving: Noted, capsys: Said) -> None:
    for blocks, status in ((9, 2), (10, 0), (12, 0)):
        room(solving, blocks)
        assert main(["solve", "x.yaml", "--set", "a=1", "--draw", "4"]) == status
        told = capsys.readouterr()
        assert ("1 of 10 blocks" in told.err) == (status == 2)
        assert ("9 are allowed in all" in told.err) == (status == 2)
        assert bool(told.out) == (status == 0)
    calls = {name: rest for name, *rest in solving.calls}
    assert calls["load_scenario"] == [Path("x.yaml"), {"a": 1}]
    assert calls["draw"][0] == "scenario"
    assert calls["draw"][1] == "catalogue"
    assert calls["draw"][3] == 4
    assert calls["offline_instance"][1] is None
    assert calls["solve_offline"][1] == "strong"
    assert main(["solve", "x.yaml", "--requests", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(result()))
    calls = {name: rest for name, *rest in solving.calls}
    assert calls["offline_instance"][1] == (2, 1)


def test_what_has_no_solution_says_who_proved_it(solving: Noted, capsys: Said) -> None:
    found = SimpleNamespace(status="infeasible", solver_used="highs", seconds=2.04)
    solving.put("bprr.offline.solve.solve_offline", found)
    assert main(["solve", "x.yaml"]) == 2
    line = capsys.readouterr().err
    assert "room for 3 concurrent requests in every block" in line
    assert "proven by highs in 2.0 s" in line
    assert main(["solve", "x.yaml", "--json"]) == 0


def test_the_largest_rate_needs_no_solver(solving: Noted, capsys: Said) -> None:
    placement = SimpleNamespace(
        swarm=SimpleNamespace(device=["a100", "t4"]), first_block=np.array([0, 6]),
        blocks=np.array([6, 4]),
    )  # fmt: skip
    plan = SimpleNamespace(
        placement=placement, status="optimal", seconds=0.126, rate_per_s=1.25, unit="tokens",
        chains=[(np.array([0, 1]), np.array([6, 4])), (np.array([1]), np.array([10]))],
        rates_per_s=np.array([1.0, 0.25]), bound_per_s=1.5, gap=0.2,
    )  # fmt: skip
    solving.put("bprr.offline.throughput.solve_throughput", plan)
    assert main(["solve", "x.yaml", "--objective", "throughput"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "optimal in 0.13 s: 1.25 tokens/s over 2 chains; no placement passes 1.5 (gap 20.00%)",
        "server device           blocks", "     0 a100             0–5",
        "     1 t4               6–9", "1 tokens/s: servers 0 → 1", "0.25 tokens/s: servers 1",
    ]  # fmt: skip
    assert "check_solver" not in {name for name, *_ in solving.calls}
    assert main(["solve", "x.yaml", "--objective", "throughput", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "objective": "throughput", "unit": "tokens/s", "rate": 1.25, "bound": 1.5, "gap": 0.2,
        "status": "optimal", "seconds": 0.126,
        "placement": [
            {"server": 0, "device": "a100", "first_block": 0, "blocks": 6},
            {"server": 1, "device": "t4", "first_block": 6, "blocks": 4},
        ],
        "chains": [{"servers": [0, 1], "blocks_processed": [6, 4], "rate": 1.0},
                   {"servers": [1], "blocks_processed": [10], "rate": 0.25}],
    }  # fmt: skip


@pytest.mark.usefixtures("at_root")
def test_experiments_on_the_optimum(noted: Noted, tmp_path: Path, capsys: Said) -> None:
    import bprr.offline.experiments as experiments

    noted.put("bprr.study.offline.check_solvers")
    noted.put("bprr.offline.backends.solve.clear_logs")
    noted.put("bprr.study.offline.scattered", "scattered")
    noted.put("bprr.study.points.catalogue", "catalogue")
    noted.put("bprr.study.offline.planned_experiment", lambda *_: planned("experiment"))
    noted.put("bprr.ground.storage.write_table")
    studies = []

    def run(study: Any) -> range:
        studies.append(study)
        return range(1001)

    for name in ("optimality", "equal_blocks"):
        noted.monkeypatch.setitem(experiments.EXPERIMENTS, name, run)
    logs = tmp_path / "logs"
    words = ["-o", "o.parquet", "--solver", "cbc", "--threads", "3"]
    assert main(["offline", "optimality", *words, "--log-dir", str(logs)]) == 0
    assert main(["offline", "equal_blocks", *words]) == 0
    assert capsys.readouterr().out == "1,001 rows in o.parquet\n" * 2
    names = [name for name, *_ in noted.calls]
    assert (names.count("check_solvers"), names.count("clear_logs")) == (2, 1)
    assert ("clear_logs", logs) in noted.calls
    written = [rest for name, *rest in noted.calls if name == "write_table"]
    assert written[0][1:] == [
        Path("o.parquet"), {"experiment": "optimality", "of": "experiment"}, "s",
    ]  # fmt: skip
    first, second = studies
    assert (first.scattered, second.scattered) == ("scattered", None)
    assert (first.log_dir, second.log_dir) == (logs, None)
    assert {(study.solver_name, study.offline.threads) for study in studies} == {("cbc", 3)}


# --- simulations


def spread(mean: float, half: float | None) -> dict[str, float | None]:
    return {"mean": mean, "half": half, "p50": mean, "p95": 2 * mean, "p99": None}


def simulated(servers: int, **changed: Any) -> dict[str, Any]:
    return {
        "label": "Mine", "not_served": {}, "runs": 2, "requests": 1234,
        "per_token_s": spread(0.5, 0.125), "ttft_s": spread(2.25, None),
        "wait_s": spread(0.0, 0.0), "tokens_per_s": 12.345, "computing_busiest": 0.756,
        "cache_fullest": 0.4567, "design_load": 7, "hops": 2.25, "warnings": ["It is hot."],
        "servers": [
            {"first_block": 4, "blocks": 3 * (number % 2), "at": (None, "Rome", "")[number % 3],
             "server": number, "device": "a100", "weights_gb": 1.234, "cache_gb": 5.678,
             "free_gb": 9.012, "decode": 0.25, "prefill": 0.5, "cache_used": 0.126}
            for number in range(servers)
        ],
        "chains": [{"servers": [0, 3], "blocks": [4, 6], "requests": 1200, "client": 1}],
        **changed,
    }  # fmt: skip


HEAD = (
    "method                       runs  s per token  TTFT (s)  wait (s)  tokens/s computing  cache"
)
ONE = (
    "Mine                            2        0.500      2.25      0.00     12.35      0.76    46%"
)


def test_a_simulation_as_it_is_printed(capsys: Said) -> None:
    living = {
        "engine": "events", "cuts_per_request": 0.125, "tokens_prefilled_again": 33.33,
        "replacements": 1.25,
    }  # fmt: skip
    _print(
        {
            "remarks": ["Think."],
            "methods": {
                "mine": simulated(4),
                "other": {"label": "Other", "requests": 0, "runs": 0,
                          "not_served": {"no room": 20, "rejected: full": 1500}},
                "third": simulated(31, label="Third", design_load=None, warnings=[],
                                   within_objective=0.98765, living=living),
            },
            "delays_ms": {"paid": {"mine": 250.0, "third": 60000}},
        }
    )  # fmt: skip
    told = capsys.readouterr()
    assert told.err == "note: Think.\n"
    third = ONE.replace("Mine ", "Third")
    seconds = [
        "  seconds           mean    ± 95 %       p50       p95       p99",
        "  per token        0.500     0.125     0.500     1.000          ",
        "  first token      2.250               2.250     4.500          ",
        "  wait             0.000     0.000     0.000     0.000          ",
    ]
    numbers = "    1.23    5.68     9.01      0.75   13%"
    assert told.out.splitlines() == [
        HEAD, ONE, "Other                        no room",
        "Other                        rejected: full (1,500 requests)", third,
        "allocation delays (paid): Mine 0.25 s, Third 60 s", "",
        "Mine: 1,234 requests in 2 runs, R = 7, 2.2 servers on a chain", "  warning: It is hot.",
        *seconds,
        "  first run: server                      blocks  weights   cache  free GB computing  held",
        f"             0 a100                        none {numbers}",
        f"             1 a100 at Rome                 4-6 {numbers}",
        f"             2 a100                        none {numbers}",
        f"             3 a100                         4-6 {numbers}",
        "   1,200 × client 1: servers (blocks) 0 (4) → 3 (6)", "",
        "Third: 1,234 requests in 2 runs, 2.2 servers on a chain", *seconds,
        "  a living swarm (events): 0.12 cuts a request, 33.3 tokens prefilled again, blocks "
        "placed anew 1.2 times a run",
        "  within the objective: 98.8% of the requests",
        "  first run: 31 servers, listed by --json",
    ]  # fmt: skip
    _print({"remarks": [], "methods": {"mine": simulated(30)}, "delays_ms": {}})
    assert "listed" not in capsys.readouterr().out


@pytest.mark.parametrize("length", [None, 40])
def test_a_simulation_shows_how_far_it_is(
    noted: Noted, bars: list[dict[str, Any]], capsys: Said, length: int | None
) -> None:
    method = SimpleNamespace(service=None, label="")
    point = SimpleNamespace(
        methods={"a": method, "b": method}, delays={"paid": {"a": 500}},
        scenario=SimpleNamespace(workload="workload", service="service"),
    )  # fmt: skip
    summed: list[Any] = []
    method_told = {"label": "A", "not_served": {}, "requests": 0}

    class Account:
        observe = "observe"

        def __init__(self, services: object) -> None:
            summed.append(services)

        def summary(self, *given: Any) -> dict[str, Any]:
            summed.append(given)
            return {"remarks": [], "methods": {"a": dict(method_told)}}

    noted.put("bprr.study.single.single_point", point)
    noted.put("bprr.study.single.scenario_provenance", {"of": "scenario"})
    noted.put("bprr.study.slices.policy_modules", {"z", "y"})
    noted.put("bprr.study.cost.length_of", length)
    noted.put("bprr.study.points.catalogue", "catalogue")
    noted.put("bprr.study.sweep.simulate_point", range(1200))
    noted.put("bprr.ground.source.source_hash", lambda *names: names)
    noted.put("bprr.ground.storage.write_table")
    noted.monkeypatch.setattr("bprr.study.account.Account", Account)
    words = ["simulate", "x", "--runs", "3", "--slo-ttft", "2", "-o", "o.parquet"]
    assert main(words) == 0
    total = None if length is None else 240
    assert bars == [{"total": total, "unit": " requests", "unit_scale": True, "delay": 1.0}]
    services, (table, labels, objective) = summed
    assert services == {"a": "service", "b": "service"}
    assert (table, labels) == (range(1200), {"a": "a", "b": "b"})
    assert list(vars(objective).values()) == [math.inf, 2.0]
    assert capsys.readouterr().out.splitlines() == [
        HEAD, "allocation delays (paid): A 0.5 s", "1,200 requests in o.parquet",
    ]  # fmt: skip
    written = {name: rest for name, *rest in noted.calls}["write_table"]
    assert written[1] == Path("o.parquet")
    assert written[2]["of"] == "scenario"
    assert written[3] == ("bprr.study.sweep", "y", "z")
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "remarks": [], "methods": {"a": method_told}, "delays_ms": {"paid": {"a": 500}},
    }  # fmt: skip


# --- swarms as they run


def pace(rate: float, round_ms: float, **terms: float) -> SimpleNamespace:
    return SimpleNamespace(tokens_per_s=rate, round_ms=round_ms, terms=lambda: terms)


@pytest.fixture
def explaining(noted: Noted) -> Noted:
    paces = (pace(100.0, 200.0, network=150.0, computing=50.0, nothing=0.0), pace(110.0, 180.0))
    swarm = SimpleNamespace(prompt="prompt", streams=1, batch="lockstep", paces=paces)
    quick = SimpleNamespace(paces=(None, pace(101.5, 1)))
    same = SimpleNamespace(paces=(None, pace(101.0, 1)))
    noted.put("bprr.wan.swarm.read_swarm", swarm)
    noted.put("bprr.wan.swarm.pace", lambda of, from_above=True: of.paces[not from_above])
    noted.put("bprr.wan.swarm.prefill_ms", 2345.0)
    noted.put(
        "bprr.wan.what_ifs.what_ifs",
        [SimpleNamespace(change="faster", pace=pace(100.0, 1), term="network", swarm=quick),
         SimpleNamespace(change="nearer", pace=pace(100.0, 1), term="computing", swarm=same)],
    )  # fmt: skip
    noted.put("bprr.wan.by_frame.in_flight", lambda _, frames, __: [
        SimpleNamespace(paces=(pace(10.0 * one, 1),), frames=one) for one in frames])  # fmt: skip
    noted.put("bprr.wan.by_frame.by_frame", lambda changed: SimpleNamespace(
        tokens_per_s=9.0 * changed.frames, mean_frames=0.5, dropped=0.256,
        queued_ms=(-4.0, 7.4)[changed.frames > 1]))  # fmt: skip
    noted.swarm = swarm  # type: ignore[attr-defined]
    return noted


def test_why_a_swarm_is_slow(explaining: Noted, capsys: Said) -> None:
    assert main(["explain", "my.yaml", "--frames", "2"]) == 0
    lines = [
        "my.yaml: 100.00 tokens/s; a round of 200 ms:",
        "  network                   150 ms   75 %", "  computing                  50 ms   25 %",
        "  or 110.00 tokens/s while rounds take 180 ms", "  first token after 2.3 s",
        "change                                    before   after  times  what changes most",
        "faster                                    100.00  100.00   1.00  network; 101.50 in its "
        "fast state",
        "nearer                                    100.00  100.00   1.00  computing",
        "* with legs that were not measured, as long as the median of the others",
        "",
        "frames  formula  by frame tokens/s   dropped    queues",
        "     1    10.00      9.00                26%      0 ms",
        "     2    20.00     18.00                26%      7 ms",
    ]  # fmt: skip
    assert capsys.readouterr().out.splitlines() == lines
    swarm = explaining.swarm  # type: ignore[attr-defined]
    swarm.prompt, swarm.paces = None, (swarm.paces[0], pace(100.0, 180.0))
    assert main(["explain", "my.yaml"]) == 0
    shorter = [*lines[:3], *lines[5:9]]
    assert capsys.readouterr().out.splitlines() == shorter
    assert main(["explain", "my.yaml", "--frames", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "tokens_per_s": 100.0, "tokens_per_s_fast": 100.0, "round_ms": 200.0,
        "terms_ms": {"network": 150.0, "computing": 50.0, "nothing": 0.0}, "first_token_ms": None,
        "changes": [
            {"change": "faster", "tokens_per_s": 100.0, "tokens_per_s_fast": 101.5,
             "changes_most": "network"},
            {"change": "nearer", "tokens_per_s": 100.0, "tokens_per_s_fast": 101.0,
             "changes_most": "computing"},
        ],
        "frames_under_way": [
            {"frames": 1, "tokens_per_s": 10.0, "by_frame_per_s": 9.0, "mean_frames": 0.5,
             "dropped": 0.256, "queued_ms": 0.0},
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("frames", "streams", "batch", "refused"),
    [
        (64, 1, "lockstep", ""), (65, 1, "own_frames", "at most 64"), (2, 2, "own_frames", ""),
        (2, 2, "lockstep", "own_frames, several under way"),
    ],
)  # fmt: skip
def test_how_many_frames_may_be_under_way(
    explaining: Noted, capsys: Said, frames: int, streams: int, batch: str, refused: str
) -> None:
    swarm = explaining.swarm  # type: ignore[attr-defined]
    swarm.streams, swarm.batch = streams, batch
    words = ["explain", "my.yaml", "--frames", str(frames), "--json"]
    assert main(words) == (2 if refused else 0)
    told = capsys.readouterr()
    assert refused in told.err
    if not refused:
        assert len(json.loads(told.out)["frames_under_way"]) == frames


def test_models_against_measurements(noted: Noted, tmp_path: Path, capsys: Said) -> None:
    columns = ["group", "run", "ring", "arm", "quantity", "measured", "model", "predicted",
               "error"]  # fmt: skip
    table = pd.DataFrame(
        [["tokens", "r1", "a", "b", "q", 2.0, "hub", 1.0, -0.5],
         ["tokens", "r2", "a", "b", "q", 2.0, "hub", math.nan, math.nan],
         ["tokens", "r2", "a", "b", "p", 2.0, "hub", math.nan, math.nan]], columns=columns,
    )  # fmt: skip
    changes = pd.DataFrame(
        {"model": ["m", "m", "m"], "step": ["s", "t", "u"], "quantity": "rate", "measured": 2.0,
         "predicted": 3.0, "error": [0.5, -0.25, 0.125], "right": True}
    )  # fmt: skip
    error = pd.DataFrame(
        [{"group": "tokens", "model": "hub", "n": 3, "median": 0.123, "p90": 0.5, "worst": 1.504}]
    )
    noted.put("bprr.wan.measured.read_measured", "measured")
    noted.put("bprr.wan.validation.compared", table)
    noted.put("bprr.wan.validation.errors", error)
    noted.put("bprr.wan.what_ifs.measured_what_ifs", changes)
    noted.put("bprr.wan.what_ifs.directions", (2, 3))
    assert main(["wan", "here", "-o", str(tmp_path / "o.csv")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "sizes of the errors in %         model             n  median   90 % worst",
        "tokens                           hub               3    12.3   50.0   150",
        "1 runs lack an input that was not published",
        "changes: 2 of 3 in the right direction, median error 25.0 %",
    ]
    assert (tmp_path / "o.csv").read_text(encoding="utf-8").splitlines() == [
        ",".join(columns), "tokens,r1,a,b,q,2,hub,1,-0.5", "tokens,r2,a,b,q,2,hub,,",
        "tokens,r2,a,b,p,2,hub,,", "changes,,m,s,after / before: rate,2,what-if,3,0.5",
        "changes,,m,t,after / before: rate,2,what-if,3,-0.25",
        "changes,,m,u,after / before: rate,2,what-if,3,0.125",
    ]  # fmt: skip
    assert main(["wan", "here", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["errors"] == error.to_dict("records")
    assert told["changes"] == changes.to_dict("records")


# --- is it sound


@pytest.mark.parametrize("passed", [True, False])
def test_cases_that_are_replayed(noted: Noted, capsys: Said, passed: bool) -> None:
    report = make_dataclass("Report", ["kind", "cases", "worst", "worst_id", "passed"])
    reports = [
        report("placement", 3, 1.23456e-9, "p1", True), report("run", 4, 0.5, "r1", passed),
        report("route", 5, 0.25, "s1", passed),
    ]  # fmt: skip
    noted.put("bprr.study.golden.replay_file", reports)
    noted.monkeypatch.setattr("bprr.study.golden.TOLERANCE", 1e-6)
    assert main(["verify", "golden", "cases.json"]) == int(not passed)
    failed = ["", ""] if passed else ["  FAILED at r1", "  FAILED at s1"]
    assert capsys.readouterr().out.splitlines() == [
        "kind             cases  worst relative difference",
        "placement            3  1.23e-09", f"run                  4  0.5{failed[0]}",
        f"route                5  0.25{failed[1]}",
        "all 12 cases within 1e-06" if passed else "run, route: beyond 1e-06",
    ]  # fmt: skip
    assert main(["verify", "golden", "cases.json", "--json"]) == int(not passed)
    assert json.loads(capsys.readouterr().out) == [vars(one) for one in reports]
    with pytest.raises(SystemExit):
        main(["verify"])


def test_manifests_are_written_and_compared(tmp_path: Path, capsys: Said) -> None:
    one, other = tmp_path / "a.csv", tmp_path / "b.csv"
    kept, later = str(tmp_path / "kept.json"), str(tmp_path / "later.json")
    for path in (one, other):
        path.write_text(path.name, encoding="utf-8")
    assert main(["manifest", str(one), str(other), "-o", kept]) == 0
    other.write_text("otherwise", encoding="utf-8")
    assert main(["manifest", str(one), str(other), "-o", later]) == 0
    assert capsys.readouterr().out == f"{kept}: 2 outputs\n{later}: 2 outputs\n"
    for files, status, found in (([kept, later], 1, [str(other)]), ([kept, kept], 0, [])):
        assert main(["manifest", "--compare", *files]) == status
        lines = capsys.readouterr().out.splitlines()
        assert lines == [*found, f"{len(found)} outputs differ"]
        assert main(["manifest", "--compare", *files, "--json"]) == status
        assert json.loads(capsys.readouterr().out) == found
    for files, allowed in (([kept], "two manifests"), ([kept] * 3, "two manifests"),
                           ([kept, str(tmp_path / "none")], "files that exist")):  # fmt: skip
        assert main(["manifest", "--compare", *files]) == 2
        assert allowed in capsys.readouterr().err


# --- measuring a device


@pytest.mark.parametrize(
    ("words", "blocks"),
    [([], 40), (["--quick"], 4), (["--blocks", "3"], 3), (["--quick", "--blocks", "2"], 2)],
)
def test_a_device_is_measured(
    noted: Noted, monkeypatch: Patch, capsys: Said, words: list[str], blocks: int
) -> None:
    plans = {
        name: SimpleNamespace(
            most_blocks=most, limited_to=lambda most, tokens, name=name: (name, most, tokens)
        )
        for name, most in (("FULL", 40), ("QUICK", 4))
    }
    for name, plan in plans.items():
        monkeypatch.setattr(f"bprr.measure.plan.{name}", plan)
    hardware = SimpleNamespace(kind="cpu", name=lambda: "EPYC")
    for module, functions in {
        "hardware": {"find_hardware": lambda device: hardware, "pin_threads": lambda given: given},
        "quantise": {"weight_format": lambda weights, _: f"as {weights}"},
        "session": {
            "measure_device": lambda *given: (
                noted.calls.append(given) or (range(1200), {"duration_s": 3.5})
            )
        },
    }.items():
        stand_in = ModuleType(f"bprr.measure.{module}")
        vars(stand_in).update(functions)
        monkeypatch.setitem(sys.modules, f"bprr.measure.{module}", stand_in)
    shape = SimpleNamespace(max_sequence_tokens=2048)
    noted.put("bprr.measure.shapes.load_shape", shape)
    noted.put("bprr.measure.trace.default_folder", Path("traces/cpu-epyc"))
    noted.put("bprr.measure.trace.write_trace", lambda folder, *_: folder / "trace.csv")
    there: set[str] = {"torch", "transformers"}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name in there else None)
    assert main(["measure", *words]) == 0
    assert capsys.readouterr().out == "traces/cpu-epyc/trace.csv: 1,200 observations in 3.5 s\n"
    (asked_for,) = [call for call in noted.calls if call[0] is shape]
    name = "QUICK" if "--quick" in words else "FULL"
    assert asked_for[2:4] == (hardware, (name, blocks, 2048))
    assert main(["measure", *words, "-o", "own"]) == 0
    assert capsys.readouterr().out.startswith("own/trace.csv: ")
    for absent in ("torch", "transformers"):
        there.remove(absent)
        assert main(["measure", *words]) == 2
        assert capsys.readouterr().err.strip() == (
            "bprr measure: measuring needs torch and transformers: make measure-env"
        )
        there.add(absent)


# --- plans


def test_a_plan_is_of_one_swarm(capsys: Said) -> None:
    for words, told in [
        ([], ""), (["one.csv", "two.csv"], "one.csv two.csv"),
        (["explain", "a", "b"], "explain a b"),
    ]:  # fmt: skip
        assert main(["plan", *words]) == 2
        assert capsys.readouterr().err == (
            f"bprr plan: command line: SWARM: got {told!r}; allowed: one description of machines\n"
        )
    assert main(["plan", "a.csv", "--until-slo"]) == 2
    assert capsys.readouterr().err.strip().endswith("--slo with it")


def test_the_schema_of_a_plan(capsys: Said) -> None:
    assert main(["plan", "--schema"]) == 0
    schema = PlanRecord.model_json_schema()
    assert capsys.readouterr().out == json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


@pytest.fixture
def planning(noted: Noted) -> Noted:
    settings = SimpleNamespace(all_models={"m": 1})
    plan = SimpleNamespace(
        remarks=["Mind."], model_dump_json=lambda: '{"a": 1}', name="plan"
    )  # fmt: skip
    noted.put("bprr.commands.plan.settings_of", settings)
    noted.put("bprr.commands.plan.model_of", SimpleNamespace(model="model"))
    noted.put("bprr.commands.plan.wish_of", "wish")
    noted.put("bprr.plan.devices.bits_of", "8")
    noted.put("bprr.plan.make.plan_of", "made")
    noted.put("bprr.plan.make.standard_changes", "changes")
    noted.put("bprr.plan.summary.summary_of", plan)
    noted.put("bprr.plan.folder.files_of", "files")
    noted.put("bprr.plan.folder.write_folder")
    noted.put("bprr.plan.text.briefly", ["In brief,", "it runs."])
    machines(noted, 3)
    return noted


def machines(noted: Noted, count: int) -> None:
    noted.put("bprr.plan.readers.read_inventory", SimpleNamespace(machines=range(count)))


@pytest.mark.parametrize(
    ("count", "words", "losses"),
    [(60, [], True), (61, [], False), (61, ["--n-1"], True), (3, ["--quant", "nf4"], True)],
)
def test_each_server_is_lost_in_turn_up_to_sixty(
    planning: Noted, capsys: Said, count: int, words: list[str], losses: bool
) -> None:
    machines(planning, count)
    assert main(["plan", "s.csv", "--slo", "ttft=1s", *words, "--what-if", "-b"]) == 0
    calls = {name: rest for name, *rest in planning.calls}
    made, changes, named = calls["summary_of"]
    assert (made, changes) == ("made", "changes")
    assert named.pop("asked")["swarm"] == "s.csv"
    assert named == {
        "quantisation": "nf4" if "--quant" in words else "int8", "until_slo": False,
        "with_losses": losses, "with_curve": True,
    }  # fmt: skip
    assert calls["read_inventory"] == [Path("s.csv"), None, False]
    assert calls["plan_of"][1:] == [
        "wish", calls["standard_changes"][1], calls["plan_of"][3], None, "best", None,
    ]  # fmt: skip
    assert calls["standard_changes"][3:] == [["-b"], None]
    told = capsys.readouterr()
    assert (told.out, told.err) == ("In brief,\nit runs.\n", "note: Mind.\n")
    assert "write_folder" not in calls


def test_a_plan_in_its_folder(planning: Noted, monkeypatch: Patch, capsys: Said) -> None:
    words = ["plan", "s.csv", "--model", "m", "-o", "there", "--keep-names", "--until-slo",
             "--slo", "ttft=1s"]  # fmt: skip
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines() == [
        "In brief,", "it runs.", "there/plan.html, and all that PETALS needs beside it",
    ]  # fmt: skip
    calls = {name: rest for name, *rest in planning.calls}
    assert calls["files_of"][2:] == ["m", {"m"}]
    assert calls["write_folder"] == [Path("there"), "files"]
    assert calls["read_inventory"][2] is True
    assert calls["summary_of"][2]["until_slo"] is True
    assert main([*words, "--json"]) == 0
    assert capsys.readouterr().out == '{"a": 1}\n'
    monkeypatch.setattr("bprr.plan.arms.LARGE", 5)
    for count in (5, 6):
        machines(planning, count)
        screen = io.StringIO()
        screen.isatty = lambda: True  # type: ignore[method-assign]
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", screen)
            assert main([*words, "--json"]) == 0
        waits = f"{count} servers: about half a minute" in screen.getvalue()
        assert waits == (count > 5)


def plan_words(*words: str) -> argparse.Namespace:
    parser = SuggestingParser()
    plan_arguments.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0.0), ("0.00", 0.0), ("2.5", 2.5), ("", None), ("-1", None)]
)
def test_what_may_be_nothing(text: str, value: float | None) -> None:
    if value is None:
        with pytest.raises(SystemExit):
            plan_words(f"--reserve-gb={text}")
    else:
        assert plan_words(f"--reserve-gb={text}").reserve_gb == value


def test_what_is_wished_for(tmp_path: Path) -> None:
    assert wish_of(plan_words()) == Wish(requests=150, prove_s=1.0, seed=2025, reserve_gb=1.5)
    calibration = tmp_path / "c.yaml"
    calibration.write_text(
        "hop_overhead_ms: [1, 2, 3]\ndevices: {L4: [0.5, 1, 2]}\n", encoding="utf-8"
    )
    found = wish_of(plan_words("--calibration", str(calibration), "--mbit", "90"))
    assert found.hop_overhead_ms == (1, 2, 3)
    assert found.overhead_is_calibrated is True
    assert found.factors == {"L4": (0.5, 1, 2)}
    assert found.mbit_per_s == (90, 90, 90)
    found = wish_of(plan_words("--hop-overhead", "10", "--rate", "1e-4"))
    assert found.hop_overhead_ms == (8.0, 10.0, 12.5)
    assert found.overhead_is_calibrated is True
    assert found.objective == "latency-at-rate"
    both = plan_words("--hop-overhead", "10", "--calibration", str(calibration))
    assert wish_of(both).hop_overhead_ms == (8.0, 10.0, 12.5)
    for words, allowed in [
        (["--rate", "9.9e-5"], "at least 0.0001; without it, one session at a time"),
        (["--rate", "1", "--trace", "t.csv"], "--rate or --trace, not both"),
        (["--objective", "latency-at-rate"], "--rate or --trace with it"),
    ]:
        with pytest.raises(InputError) as error:
            wish_of(plan_words(*words))
        assert str(error.value).endswith(allowed) or allowed in str(error.value)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("Paris;London", ("Paris", "London")), ("Paris, London", ("Paris", "London")),
        ("Paris, FR", ("Paris, FR",)), ("48.8, 2.3", ("48.8, 2.3",)),
        ("48.8,2.3; Rome, IT;", ("48.8,2.3", "Rome, IT")), ("", ()),
    ],
)  # fmt: skip
def test_places_that_sessions_come_from(text: str, places: tuple[str, ...]) -> None:
    assert wish_of(plan_words("--clients", text)).clients == places


def test_what_a_plan_remembers() -> None:
    words = ["--model", "m", "--rate", "2", "--devices", "a.yaml", "--devices", "b.yaml",
             "--rtt", "r.csv", "--upper-bound"]  # fmt: skip
    assert asked(plan_words(*words), Path("s.csv")) == {
        "swarm": "s.csv", "model": "m", "upper_bound": True, "rate": 2.0, "input": 128,
        "output": 128, "rtt": "r.csv", "forwarding": "hub", "speculation": "none",
        "window": "idle_restart", "wire_bytes": 2, "engine": "eager", "reserve_gb": 1.5,
        "method": "best", "sessions": 150, "prove": 1.0, "seed": 2025,
        "devices": ["a.yaml", "b.yaml"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("none", "none"), ("chain:drafts=3, acceptance=0.5",
                           {"chain": {"drafts": 3, "acceptance": 0.5}}),
    ],
)  # fmt: skip
def test_speculation_with_options(text: str, told: object) -> None:
    assert wish_of(plan_words("--speculation", text)).speculation == told


@pytest.fixture
def replanning(noted: Noted, monkeypatch: Patch) -> Noted:
    asked_for = {"swarm": "old.csv", "rate": 2.0, "rtt": "old-rtt.csv", "upper_bound": True,
                 "devices": ["a.yaml", "b.yaml"]}  # fmt: skip
    noted.put("bprr.plan.calibrate.read_plan", SimpleNamespace(asked=asked_for))
    noted.put("bprr.commands.plan_arguments.settings_of", "settings")
    noted.put("bprr.plan.arms.at_level", lambda stay, swarm: (stay, swarm))
    plans = iter(range(100))

    def one(*_: object, **__: object) -> tuple[str, SimpleNamespace]:
        number = next(plans)
        return f"made{number}", SimpleNamespace(model_dump_json=lambda: f'{{"n": {number}}}')

    noted.put("bprr.commands.plan.planned", one)
    noted.put("bprr.commands.plan.written", 0)
    return noted


def advised(moves: bool, **changed: Any) -> SimpleNamespace:
    told = {
        "because": "it pays", "stay": SimpleNamespace(placement="stay"), "stay_ms": 100.04,
        "best_ms": 80.0, "stay_gb": 0.0, "best_gb": 12.345,
    }  # fmt: skip
    return SimpleNamespace(moves=moves, **{**told, **changed})


def test_advice_to_move_or_to_stay(replanning: Noted, capsys: Said) -> None:
    words = ["replan", "plan", "--swarm", "now.csv"]
    for moves, more in ((True, []), (False, ["-o", "there"])):
        replanning.calls.clear()
        replanning.put("bprr.plan.replan.advice", advised(moves))
        assert main([*words, *more]) == 0
        told = capsys.readouterr()
        assert told.out.splitlines() == [
            f"{'move' if moves else 'stay'}: it pays",
            "  to stay   100.0 ms per token, 0.0 GB to load",
            "  to move   80.0 ms per token, 12.3 GB to load",
        ]  # fmt: skip
        assert told.err == ("" if more else "note: -o DIR writes the plan\n")
        names = [name for name, *_ in replanning.calls]
        assert names.count("planned") == 2 - moves
        made, _, moving, settings = next(
            rest for name, *rest in replanning.calls if name == "advice"
        )
        assert (made[:4], settings) == ("made", "settings")
        assert moving == Moving(8.0, 24.0, 0.1)
        again, swarm, *rest = next(rest for name, *rest in replanning.calls if name == "planned")
        assert (swarm, rest) == (Path("now.csv"), [])
        assert (again.rate, again.rtt, again.upper_bound) == (2.0, Path("old-rtt.csv"), True)
        assert again.devices == [Path("a.yaml"), Path("b.yaml")]
        arguments = next(rest for name, *rest in replanning.calls if name == "written")[0]
        assert (arguments.folder, arguments.json) == (Path("there") if more else None, False)
        if not moves:
            given = [rest for name, *rest in replanning.calls if name == "planned"][1][2]
            assert given["given"]("swarm") == ("stay", "swarm")


def test_advice_where_blocks_have_no_host(replanning: Noted, capsys: Said) -> None:
    lost = advised(False, stay_ms=math.nan, stay=None)
    replanning.put("bprr.plan.replan.advice", lost)
    words = ["replan", "plan", "--swarm", "now.csv", "--rtt", "now-rtt.csv"]
    words += ["--seconds-per-gb", "1", "--horizon", "2", "--hysteresis", "3"]
    assert main(words) == 0
    assert "  to stay   impossible: blocks without a host\n" in capsys.readouterr().out
    assert [name for name, *_ in replanning.calls].count("planned") == 1
    calls = {name: rest for name, *rest in replanning.calls}
    assert calls["advice"][2] == Moving(1, 2, 3)
    assert calls["planned"][0].rtt == Path("now-rtt.csv")
    replanning.calls.clear()
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert isinstance(told.pop("plan")["n"], int)
    assert told == {
        "advice": "stay", "because": "it pays", "stay_ms": None, "best_ms": 80.0, "stay_gb": 0.0,
        "best_gb": 12.345,
    }  # fmt: skip
    assert "written" not in {name for name, *_ in replanning.calls}


# --- the door


def test_options_whose_values_may_begin_with_a_dash() -> None:
    parser = SuggestingParser(prog="x", example="x --what -a")
    parser.add_argument("--what", action="append")
    parser.add_argument("--other", action="store_true")
    with pytest.raises(SystemExit):
        parser.parse_args(["--what", "-a"])
    set_dashed(parser, "--what")
    found = parser.parse_args(["--what", "-a", "--what", "b", "--other"])
    assert (found.what, found.other) == (["-a", "b"], True)
    set_dashed(argparse.ArgumentParser(), "--what")  # which has no such options
    assert parser.example == "x --what -a"
    assert parser.format_help().endswith("\nexample:\n  bprr x --what -a\n")
    plain = SuggestingParser(prog="x")
    assert (plain.epilog, plain.example) == (None, "")


def test_the_nearest_choice_is_named(capsys: Said) -> None:
    parser = SuggestingParser(prog="x")
    parser.add_argument("--way", choices=("long", "short"))
    for word, said in (("shrt", "; did you mean short?"), ("zzzz", "(choose from ")):
        with pytest.raises(SystemExit) as left:
            parser.parse_args(["--way", word])
        assert left.value.code == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert f"invalid choice: '{word}'" in line
        assert said in line
        assert ("(choose from " in line) == (word == "zzzz")


def test_what_is_printed_leaves_before_the_command_ends(
    monkeypatch: Patch, capsys: Said, tmp_path: Path
) -> None:
    """A disk that is full is told of, although it is noticed last."""

    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(28, "No space left on device")

        def fileno(self) -> int:
            return taken.fileno()

    (tmp_path / "a.csv").write_text("a", encoding="utf-8")
    with (tmp_path / "out").open("w") as taken:
        monkeypatch.setattr(sys, "stdout", Full())
        words = ["manifest", str(tmp_path / "a.csv"), "-o", str(tmp_path / "m.json")]
        assert main(words) == 1
    assert capsys.readouterr().err == "bprr manifest: No space left on device\n"


def test_a_failure_is_one_line(monkeypatch: Patch, capsys: Said) -> None:
    failures: list[BaseException] = []

    def fails(_: object) -> None:
        raise failures[-1]

    monkeypatch.setattr("bprr.commands.main._run", fails)
    for failure, status, said in [
        (BprrError("It is so."), 2, "bprr check: It is so.\n"),
        (KeyboardInterrupt(), 130, "bprr check: interrupted; nothing half-written is left\n"),
        (MemoryError(), 1, "bprr check: not enough memory\n"),
        (OSError(13, "Denied", "a.csv"), 1, "bprr check: a.csv: Denied\n"),
        (OSError("Odd."), 1, "bprr check: Odd.\n"),
        (ValueError("Odd."), 70,
         "bprr check: unexpected ValueError: Odd.; bprr --debug shows where\n"),
    ]:  # fmt: skip
        failures.append(failure)
        assert main(["check", "x"]) == status
        assert capsys.readouterr().err == said
        assert main(["--debug", "check"]) == status
        line = capsys.readouterr().err
        assert line.startswith("Traceback")
        assert line.endswith(said)


# --- small ones


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (whole_number, {"1": 1, "12": 12}, ["0", "-1", "1.0", "", "x", " 1"]),
        (natural_number, {"0": 0, "7": 7, "9" * 20: int("9" * 20)}, ["-1", "1.5", "", "9" * 21]),
        (positive_number, {"1e-9": 1e-9, "2": 2.0}, ["0", "-1", "inf", "nan", "x", ""]),
    ],
)
def test_numbers_as_arguments(
    kind: Callable[[str], float], good: dict[str, float], bad: list[str]
) -> None:
    least = {whole_number: "a whole number of at least 1",
             natural_number: "a whole number of at least 0",
             positive_number: "a number above 0"}[kind]  # fmt: skip
    assert {text: kind(text) for text in good} == good
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError) as error:
            kind(text)
        assert str(error.value) == f"{text[:20]!r}: {least}"


def test_objects_are_printed_on_a_line(capsys: Said) -> None:
    print_json({"a": [1.5, math.nan, {"b": math.inf}], "c": "λ", "d": -math.inf, "e": True})
    assert capsys.readouterr().out == (
        '{"a": [1.5, null, {"b": null}], "c": "λ", "d": null, "e": true}\n'
    )


def test_words_that_a_shell_completes(capsys: Said) -> None:
    parser = argparse.ArgumentParser(prog="x")
    parser.add_argument("--one", "-o")
    below = parser.add_subparsers()
    plain = below.add_parser("plain")
    plain.add_argument("kind", choices=("a", "b"))
    plain.add_argument("file")
    deeper = below.add_parser("deep").add_subparsers()
    deeper.add_parser("end").add_argument("--last", choices=("c", "d"))
    assert dict(words_by_place(parser)) == {
        "plain": "-h --help a b", "deep/end": "-h --help --last", "deep": "-h --help end",
        "": "-h --help --one -o plain deep",
    }  # fmt: skip
    assert main(["completion", "bash"]) == 0
    bash = capsys.readouterr().out
    assert bash.startswith("_bprr() {\n    local place=")
    assert bash.endswith("complete -o default -F _bprr bprr\n")
    assert '    "plot/fit") known="-h --help -o --output" ;;\n' in bash
    assert " plot/fit " in bash.partition('case " ')[2].partition('"')[0]
    assert main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out == (
        f"autoload -Uz compinit bashcompinit && compinit && bashcompinit\n{bash}"
    )


def test_which_results_are_current(noted: Noted, capsys: Said) -> None:
    states = {"a": ("current", ""), "b": ("stale", "its source differs"), "c": ("current", "")}
    noted.put("bprr.study.slices.settings_at", "settings")
    noted.put("bprr.study.status.planned_tables", lambda _: [planned(name) for name in names])
    noted.put("bprr.study.status.state_of", lambda of: SimpleNamespace(
        word=states[of.path.stem][0], why=states[of.path.stem][1]))  # fmt: skip
    names = ["a", "b", "c"]
    assert main(["status"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "current  a.parquet", "stale    b.parquet  (its source differs)", "current  c.parquet",
        "2 current, 1 stale",
    ]  # fmt: skip
    assert main(["status", "--json"]) == 1
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told == [
        {"path": f"{name}.parquet", "state": states[name][0], "why": states[name][1]}
        for name in names
    ]
    for few, status in ((["a", "c"], 0), ([], 0), (["b"], 1)):
        names[:] = few
        assert main(["status"]) == status


def test_checks_of_the_theory(noted: Noted, capsys: Said) -> None:
    noted.put("bprr.study.slices.settings_at", "settings")
    noted.put("bprr.study.theory.theory", pd.DataFrame({"a": [1, 2]}))
    noted.put("bprr.study.theory.planned_theory", lambda _: planned("theory"))
    noted.put("bprr.ground.storage.write_table")
    for words, said, path in [
        ([], "2 checks in theory.parquet\n", "theory.parquet"),
        (["-o", "o.parquet", "--json"], '[{"a":1},{"a":2}]\n', "o.parquet"),
    ]:  # fmt: skip
        assert main(["theory", *words]) == 0
        assert capsys.readouterr().out == said
        assert noted.calls[-1][2:] == (Path(path), {"of": "theory"}, "s")


@pytest.mark.parametrize("steps", [0, 2])
def test_claims_by_service_are_counted(noted: Noted, capsys: Said, steps: int) -> None:
    results = SimpleNamespace(folder=Path("there"))
    table = pd.DataFrame({"holds": ["yes", "no", *["yes"] * 1200]})
    noted.put("bprr.commands.by_service.judge_with", ("claims", "register", results))
    noted.put("bprr.commands.by_service.spelled", "spelled")
    noted.put("bprr.report.by_service.claims_by_service", table)
    noted.put("bprr.report.by_service.decomposition_by_service", pd.DataFrame({"a": range(steps)}))
    noted.put("bprr.report.by_service.write_by_service")
    for words, folder in (([], "there"), (["-o", "own/c.csv"], "own")):
        assert main(["by-service", *words]) == 0
        name = "c.csv" if words else "claims_by_service.csv"
        lines = ["no: 1", "yes: 1,201", "steps of the gain: not run (make study)",
                 f"in {folder}/{name}"]  # fmt: skip
        assert capsys.readouterr().out.splitlines() == [
            line for line in lines if not (steps and line.startswith("steps"))
        ]
        (written,) = noted.calls[-1][1:]
        assert list(written) == [
            Path(folder, name), Path(folder, "decomposition_by_service.csv"),
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "words", "name"),
    [
        ("My-Model 2/config.json", [], "my_model_2"), ("folder/other.json", [], "other"),
        ("folder/config.json", ["--name", "Ünd so--"], "nd_so"),
        ("folder/config.json", ["--name", "…"], "model"),
    ],
)  # fmt: skip
def test_a_model_of_a_configuration(
    noted: Noted, tmp_path: Path, capsys: Said, file: str, words: list[str], name: str
) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text("{}", encoding="utf-8")
    entry = {"blocks": 4, "d_model": 8}
    model = SimpleNamespace(block_gb=1.23456, cache_gb_per_token=1.5e-3)
    noted.put("bprr.settings.hugging_face.read_architecture", "architecture")
    noted.put("bprr.settings.model_file.model_entry", entry)
    noted.put("bprr.settings.messages.validated", model)
    text = (
        "# A block takes 1.2346 GB, a token of its cache 1,500,000 bytes.\n"
        f"{name}:\n  blocks: 4\n  d_model: 8\n"
    )
    assert main(["model", str(path), *words]) == 0
    assert capsys.readouterr().out == text
    assert ("model_entry", "architecture", path, False) in noted.calls
    output = tmp_path / "o.yaml"
    assert main(["model", str(path), *words, "--upper-bound", "-o", str(output)]) == 0
    assert capsys.readouterr().out == f"{name} in {output}\n"
    assert output.read_text(encoding="utf-8") == text
    assert ("model_entry", "architecture", path, True) in noted.calls


def test_a_calibration_as_it_is_printed(noted: Noted, tmp_path: Path, capsys: Said) -> None:
    content = {"hop_overhead_ms": [1.0, 2.0, 3.0]}
    calibration = SimpleNamespace(
        hop_overhead_ms=(1.04, 2.0, 3.0), devices={"L4": (0.5, 1.2345, 2.0)},
        model_dump=lambda mode: content,
    )  # fmt: skip
    fit = SimpleNamespace(calibration=calibration, before=[1.0, 2.0], after=[0.9, 1.1])
    noted.put("bprr.plan.calibrate.read_plan", "plan")
    noted.put("bprr.plan.calibrate.read_log", [1, 2, 3])
    noted.put("bprr.plan.calibrate.calibrated", fit)
    noted.put("bprr.plan.calibrate.errors", lambda ratios: pd.Series(
        {"ratio": ratios[0], "median": 0.1234, "worst": ratios[1]}))  # fmt: skip
    output = tmp_path / "c.yaml"
    words = ["calibrate", "log.csv", "--plan", "there", "-o", str(output)]
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines() == [
        "3 sessions, 2 of them held out: predicted / observed time",
        "per token      middle  median error    worst",
        "before          1.000         12.3%   200.0%",
        "after           0.900         12.3%   110.0%",
        "a hop costs 2.0 ms (1.0 to 3.0) beside distance and computing",
        "L4: 1.234 times the planned time per block (0.500 to 2.000)",
        f"{output}; bprr plan … --calibration {output}",
    ]
    assert output.read_text(encoding="utf-8").startswith("hop_overhead_ms:\n- 1.0\n")
    assert ("calibrated", "plan", [1, 2, 3], "3 sessions of log.csv") in noted.calls
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "sessions": 3, "held_out": 2, "before": {"ratio": 1.0, "median": 0.1234, "worst": 2.0},
        "after": {"ratio": 0.9, "median": 0.1234, "worst": 1.1}, "calibration": content,
    }  # fmt: skip


def test_the_solver_that_is_chosen() -> None:
    settings = load_settings()

    def chosen_by(*words: str) -> Settings:
        parser = argparse.ArgumentParser()
        add_solver_arguments(parser)
        parser.add_argument("--scale")
        return chosen(parser.parse_args(words), settings)

    assert chosen_by().offline.model_dump() == settings.offline.model_dump()
    assert chosen_by().solver == settings.solver
    found = chosen_by(
        "--solver", "cbc", "--time-limit", "7", "--threads", "3", "--gap", "0.25", "--scale",
        "smoke", "--option", "a=1", "--option", "b=x",
    )  # fmt: skip
    assert found.solver == "cbc"
    offline = found.offline
    assert (offline.time_limit_s, offline.threads, offline.relative_gap, offline.scale) == (
        7.0, 3, 0.25, "smoke",
    )  # fmt: skip
    assert offline.options["cbc"] == {**settings.offline.options.get("cbc", {}), "a": 1, "b": "x"}
    with pytest.raises(BprrError, match="threads"):
        chosen_by("--threads", "0")


def test_figures_of_the_offline_optimum(noted: Noted, capsys: Said) -> None:
    noted.put("bprr.study.slices.settings_at", "settings")
    noted.put("bprr.study.offline.planned_experiment", lambda _, name, kind: f"{name} {kind}")
    noted.put("bprr.figures.from_settings.made_of", lambda what: f"made of {what}")
    noted.put("bprr.figures.made.check_made")
    noted.put("bprr.figures.offline.plot_offline", [Path("a.csv"), Path("a.pdf")])
    noted.monkeypatch.setattr("bprr.study.offline.KINDS", ("one", "two"))
    assert main(["plot-offline", "theorem_2", "t.parquet", "-o", "there/b.pdf"]) == 0
    assert capsys.readouterr().out == "a.csv\na.pdf\n"
    calls = {name: rest for name, *rest in noted.calls}
    assert calls["check_made"] == [
        Path("t.parquet"), "made of theorem_2 one", "made of theorem_2 two",
    ]  # fmt: skip
    assert calls["plot_offline"] == ["theorem_2", Path("t.parquet"), Path("there/b")]


@pytest.mark.parametrize(
    ("words", "function", "given"),
    [
        ("sweep a.parquet", "sweep.plot_sweep", [Path("a.parquet"), "caption", ..., Path("o")]),
        ("headline a b", "headline.plot_headline",
         [[Path("a"), Path("b")], "caption", Path("o"), None]),
        ("two-modes a b", "two_modes.render_two_modes",
         [[Path("a"), Path("b")], "caption", Path("o")]),
        ("orders a", "orders.plot_orders", [[Path("a")], "caption", Path("o")]),
        ("table a", "tables.render_table", [[Path("a")], "caption", ..., Path("o")]),
        ("living a", "living.plot_living", [[Path("a")], "caption", Path("o")]),
        ("robust a", "robust.plot_robust", [[Path("a")], "caption", Path("o")]),
        ("frontier a", "frontier.plot_frontier", [[Path("a")], "caption", Path("o")]),
        ("running-times a", "running_times.render_running_times",
         [Path("a"), "caption", ..., Path("o")]),
        ("sweep-times a", "sweep_times.plot_sweep_times", [Path("a"), "caption", Path("o")]),
        ("decomposition a", "decomposition.plot_decomposition",
         [Path("a"), "caption", Path("o")]),
        ("claims a", "claims_services.plot_claims_services", [Path("a"), "caption", Path("o")]),
        ("fit a", "fit_time.plot_fit", [Path("a"), Path("o")]),
        ("wan a", "wan_swarms.plot_wan_swarms", [Path("a"), Path("o")]),
        ("beyond a --bounds b", "beyond.plot_beyond",
         [[Path("a")], [Path("b")], "caption", Path("o")]),
    ],
)  # fmt: skip
def test_what_figures_are_made_of(
    noted: Noted, capsys: Said, words: str, function: str, given: list[object]
) -> None:
    noted.put("bprr.commands.plot.caption_from", "caption")
    noted.put(f"bprr.figures.{function}", [Path("o.csv"), Path("o.pdf")])
    assert main(["plot", *words.split(), "-o", "o.pdf"]) == 0
    assert capsys.readouterr().out == "o.csv\no.pdf\n"
    called = list(noted.calls[-1][1:])
    assert [... if each is ... else found for found, each in zip(called, given, strict=True)] == (
        given
    )


def test_only_bounds_that_are_shown_are_asked_for(noted: Noted, monkeypatch: Patch) -> None:
    asked_for: list[list[object]] = []

    def caption_from(_: object, tables: Callable[[object], list[object]]) -> str:
        sweeps = {"a": SimpleNamespace(topologies=["gts", "bell"]),
                  "b": SimpleNamespace(topologies=["gts"])}  # fmt: skip
        asked_for.append(tables(SimpleNamespace(sweeps=sweeps)))
        return "caption"

    monkeypatch.setattr("bprr.commands.plot.caption_from", caption_from)
    noted.put("bprr.study.planned.planned_bounds", lambda _, *name: name)
    noted.put("bprr.figures.beyond.plot_beyond", [])
    bounds = ["x/a_gts.parquet", "b_gts.parquet", "c_gts.parquet"]
    assert main(["plot", "beyond", "r", "-o", "o.pdf", "--bounds", *bounds]) == 0
    assert asked_for == [[("a", "gts"), ("b", "gts")]]
