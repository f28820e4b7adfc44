"""Draws, loads and rows of the offline experiments, number by number."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bprr.ground.errors import InfeasibleError
from bprr.offline.backends.base import NothingFoundError, SolverLicenceError, SolverSettings
from bprr.offline.experiments import (
    EXPERIMENTS,
    Study,
    equal_blocks,
    optimality,
    relaxed_stopping,
    solver_race,
    study,
)
from bprr.offline.experiments.study import Case, compared_row, finite, heuristic_row, optimum_row
from bprr.offline.experiments.swarms import (
    SESSION_TOKENS,
    cluster_instance,
    equal_memory_instance,
    uniform_instance,
)
from bprr.offline.experiments.theorem_2 import theorem_2
from bprr.offline.plan import OfflineResult
from bprr.scenario.draw import draw
from bprr.settings.offline import OfflineSettings
from bprr.study.offline import scattered

SEED = 2025


def rng(*key):
    return np.random.default_rng(np.random.SeedSequence(SEED, spawn_key=key))


def result(objective_ms=100.0, bound_ms=90.0, status="optimal", seconds=1.5, **keys):
    plan = None if math.isinf(objective_ms) else SimpleNamespace()
    return OfflineResult(
        plan, objective_ms, bound_ms, status, seconds, 7, "strong", "highs", "HiGHS 1", **keys
    )


def uniform_rtt(generator, clients, mig, a100):
    near = generator.uniform(0, 5, (clients, mig)) + 25
    return np.hstack([near, generator.uniform(100, 200, (clients, a100)) + 25])


@pytest.fixture
def setting(configuration, published):
    def at(scale, **keys):
        offline = OfflineSettings(scale=scale, **keys)
        return Study(published, scattered(configuration), offline, "highs", SEED)

    return at


@pytest.fixture
def solved(monkeypatch):
    """Every call of a solver by an experiment, which ends at once."""
    calls = []

    def solve(instance, formulation, settings):
        calls.append((instance, formulation, settings))
        return result()

    for module in (equal_blocks, optimality, relaxed_stopping, solver_race):
        monkeypatch.setattr(module, "solve_offline", solve)
        for name in ("cg_bprr_plan", "gsa_plan", "petals_plan"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, lambda *_: 120.0)
    monkeypatch.setattr(study, "evaluate_plan", lambda _, plan: plan)
    return calls


# --- swarms ---------------------------------------------------------------------------------------


def test_swarms_of_one_draw_exactly(published):
    for requests, mig, a100 in (((5,), 7, 2), ((1, 2), 3, 4)):
        keys = {} if mig == 7 else {"mig": mig, "a100": a100}
        found = uniform_instance(published, requests, rng(9), **keys)
        rtt = uniform_rtt(rng(9), len(requests), mig, a100)
        assert found.swarm.token_rtt_ms.tolist() == rtt.tolist()
        assert found.swarm.prompt_rtt_ms.tolist() == rtt.tolist()
        assert not found.swarm.prompt_rtt_ms_per_token.any()
        assert list(found.swarm.device) == ["mig"] * mig + ["a100"] * a100
        assert (found.requests, found.session_tokens) == (requests, 148)
    cluster = cluster_instance(published, (1, 1, 1))
    assert cluster.swarm.token_rtt_ms.tolist() == [
        [55.0] * 7 + [150.0] * 2, [150.0] * 7 + [55.0] * 2, [150.0] * 9,
    ]  # fmt: skip
    assert (cluster.session_tokens, SESSION_TOKENS) == (148, 148)


def test_servers_of_equal_memory_exactly(published):
    found = equal_memory_instance(published, 3, rng(9), 5, 9.1)
    generator = rng(9)
    assert found.swarm.tau_ms.tolist() == generator.uniform(3, 17, 5).tolist()
    rtt = generator.uniform(50, 200, (1, 5))
    assert found.swarm.token_rtt_ms.tolist() == found.swarm.prompt_rtt_ms.tolist() == rtt.tolist()
    assert found.swarm.memory_gb.tolist() == [9.1] * 5
    assert not found.swarm.prefill_ms.any() and not found.swarm.prefill_ms_per_token.any()
    assert (found.requests, found.swarm.model.name) == ((3,), "bloom_176b")


# --- rows -----------------------------------------------------------------------------------------


def test_a_study_hands_its_limits_on(setting, tmp_path):
    asked = setting("smoke", time_limit_s=7.0, threads=3, relative_gap=0.5)
    assert asked.solver == SolverSettings("highs", 7.0, 3, 0.5, {}, None)
    assert replace(asked, log_dir=tmp_path).solver.log_dir == tmp_path
    assert asked.rng(1, 2).random() == rng(1, 2).random() != asked.rng(1).random()
    assert [finite(value) for value in (1.5, -1.5)] == [1.5, -1.5]
    assert all(math.isnan(finite(value)) for value in (math.inf, -math.inf, math.nan))


def test_rows_in_full(published, monkeypatch):
    case = Case("uniform", 3, uniform_instance(published, (2, 3), rng(9)))
    labels = {"family": "uniform", "servers": 9, "clients": 2, "load": 5, "draw": 3}
    assert case.labels == labels
    optimum = result(200.0, 190.0, "time_limit", 2.5)
    beside = {"bound_ms": 190.0, "solver": "HiGHS 1"}
    assert optimum_row(case, optimum) == {
        **labels, **beside, "method": "optimum", "objective_ms": 200.0, "status": "time_limit",
        "above_optimum_percent": 0.0, "seconds": 2.5, "verified": True,
    }  # fmt: skip
    assert compared_row(case, "own", optimum, 250.0, "so") == {
        **labels, **beside, "method": "own", "objective_ms": 250.0, "status": "so",
        "above_optimum_percent": 25.0, "seconds": 0.0, "verified": False,
    }  # fmt: skip
    clock = iter([100.0, 104.5] * 3)
    monkeypatch.setattr(study, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(study, "evaluate_plan", lambda _, plan: plan)
    assert heuristic_row(case, "own", optimum, lambda: 300.0) == {
        **labels, **beside, "method": "own", "objective_ms": 300.0, "status": "ok",
        "above_optimum_percent": 50.0, "seconds": 4.5, "verified": True,
    }  # fmt: skip

    def fails(error):
        def make():
            raise error

        return make

    for error, status in (
        (InfeasibleError("GPU memory", "all"), "infeasible: GPU memory"),
        (NothingFoundError("x"), "nothing found"),
    ):
        row = heuristic_row(case, "own", optimum, fails(error))
        assert (row["status"], row["seconds"], row["verified"]) == (status, 4.5, False)
        assert math.isnan(row["objective_ms"]) and math.isnan(row["above_optimum_percent"])


# --- optimality -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["smoke", "main"])
def test_cases_with_their_loads_in_order(setting, scale):
    asked, scales = setting(scale), optimality.SCALES[scale]
    loads, few = ((1, 5), (5,)) if scale == "smoke" else (range(1, 21), (1, 2, 3, 5, 8, 12, 16, 20))
    sizes = {"smoke": {"scattered": ((9, 1),), "uniform": ((9, 1),)},
             "main": {"scattered": ((9, 3), (26, 1)), "uniform": ((9, 1),)}}[scale]  # fmt: skip
    expected = [
        ("clustered", 0, servers, clients, load)
        for clients in (1, 2, 3) for servers in (9, 26) for load in loads if load >= clients
    ] + [
        (family, number, servers, clients, load)
        for family in ("scattered", "uniform") for servers, most in sizes[family]
        for clients in range(1, most + 1) for number in range(1 if scale == "smoke" else 2)
        for load in few if load >= clients
    ]  # fmt: skip
    found = list(optimality.cases(asked, scales))
    assert [tuple(case.labels[name] for name in ("family", "draw", "servers", "clients", "load"))
            for case in found] == expected  # fmt: skip
    for case in found:
        requests = case.instance.requests
        assert max(requests) - min(requests) <= 1 and list(requests) == sorted(requests)[::-1]
        assert case.instance.session_tokens == 148
        a100 = list(case.instance.swarm.device).count("a100")
        if case.family == "clustered":
            assert a100 == {9: 2, 26: 5}[case.instance.swarm.servers]


@pytest.mark.parametrize(
    ("scale", "scattered_on", "uniform_on", "draws", "orders"),
    [
        ("smoke", ((9, 1),), ((9, 1),), 1, 1), ("main", ((9, 3), (26, 1)), ((9, 1),), 2, 5),
        ("study", ((9, 3), (26, 3)), ((9, 3), (26, 3)), 10, 20),
    ],
)  # fmt: skip
def test_scales(scale, scattered_on, uniform_on, draws, orders):
    found = optimality.SCALES[scale]
    assert (found.scattered, found.uniform) == (scattered_on, uniform_on)
    assert (found.draws, found.petals_orders) == (draws, orders)


@pytest.mark.parametrize(("servers", "a100"), [(9, 2), (26, 5), (12, 2), (13, 3)])
def test_uniform_swarms_have_a_fifth_of_fast_servers(setting, servers, a100):
    found = optimality.drawn_swarm(setting("main"), "uniform", servers, 2, 1)
    assert list(found.device) == ["mig"] * (servers - a100) + ["a100"] * a100
    rtt = uniform_rtt(rng(3, 1), 2, servers - a100, a100)
    assert found.token_rtt_ms.tolist() == rtt.tolist()


def test_scattered_swarms_are_the_scenarios(setting):
    asked = setting("main")
    found = optimality.drawn_swarm(asked, "scattered", 11, 2, 1)
    fleet = asked.scattered.fleet.model_copy(update={"servers": 11, "servers_per_node": None})
    scenario = asked.scattered.model_copy(update={"fleet": fleet, "clients": 2})
    drawn = draw(scenario, asked.catalogue, SEED, 1).swarm
    assert found.token_rtt_ms.tolist() == drawn.token_rtt_ms.tolist()
    assert list(found.device) == list(drawn.device) and found.block_cap is None
    assert (found.servers, found.clients) == (11, 2)


def test_petals_servers_join_in_drawn_orders(setting, solved, monkeypatch):
    orders = []
    monkeypatch.setattr(
        optimality, "petals_plan", lambda _, order, __: orders.append(order.tolist()) or 120.0
    )
    asked = setting("main")
    for number in (0, 4):
        case = Case("clustered", number, cluster_instance(asked.catalogue, (2,)))
        list(optimality.case_rows(asked, case, optimality.SCALES["main"]))
        generator = rng(0, number)
        assert orders == [generator.permutation(9).tolist() for _ in range(5)]
        orders.clear()
    assert {formulation for _, formulation, _ in solved} == {"strong"}
    assert all(settings == asked.solver for *_, settings in solved)


def test_the_whole_table_of_the_smallest_scale(setting, solved):
    table = EXPERIMENTS["optimality"](setting("smoke"))
    methods = ["optimum", "cg_bprr", "gsa", "petals", "theorem_2"]
    assert table["method"].tolist() == methods * (len(table) // 5)
    assert len(solved) == len(table) // 5 == 10
    rest = table[table["method"] != "theorem_2"]
    assert rest["objective_ms"].tolist() == [100.0, 120.0, 120.0, 120.0] * 10
    bounds = table[table["method"] == "theorem_2"]
    assert set(bounds["status"]) == {"bound"} and (bounds["seconds"] == 0).all()


# --- the others -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "limit_s"), [("smoke", 30.0), ("main", 30.0), ("study", 60.0)])
def test_cases_of_equal_memory_exactly(setting, solved, scale, limit_s):
    asked = setting(scale)
    table = EXPERIMENTS["equal_blocks"](asked)
    loads = {"smoke": (5,), "main": (1, 5, 20), "study": (1, 2, 3, 5, 8, 12, 16, 20)}[scale]
    draws = {"smoke": 1, "main": 2, "study": 10}[scale]
    cases = [
        (memory_gb, servers, number, load)
        for memory_gb, servers in ((9.1, 26), (20.0, 12), (40.0, 12))
        for number in range(draws) for load in loads
    ]  # fmt: skip
    keys = ["memory_gb", "servers", "draw", "load"]
    assert list(table[keys].itertuples(index=False, name=None)) == [
        case for case in cases for _ in range(3)
    ]
    assert set(table["family"]) == {"equal memory"} and set(table["clients"]) == {1}
    for (memory_gb, servers, number, load), (instance, formulation, settings) in zip(
        cases, solved, strict=True
    ):
        tau = rng(2, number).uniform(3, 17, servers)
        assert instance.swarm.tau_ms.tolist() == tau.tolist()
        assert instance.swarm.memory_gb[0] == memory_gb and instance.requests == (load,)
        assert (formulation, settings.time_limit_s) == ("strong", limit_s)
    short = setting(scale, time_limit_s=5.0)
    solved.clear()
    list(equal_blocks.case_rows(short, 20.0, 2, 0, 1))
    assert solved[0][2].time_limit_s == 5.0


def test_stopping_anywhere_in_full(setting, monkeypatch):
    answers = {"strong": result(200.0, 180.0, "time_limit", 2.0),
               "relaxed": result(150.0, 120.0, "stopped", 0.5)}  # fmt: skip
    seen = []

    def solve(instance, formulation, settings):
        seen.append((instance.requests, formulation, settings))
        return answers[formulation]

    monkeypatch.setattr(relaxed_stopping, "solve_offline", solve)
    asked = setting("smoke")
    (row,) = EXPERIMENTS["relaxed_stopping"](asked).to_dict("records")
    assert row == {
        "family": "clustered", "servers": 9, "clients": 1, "load": 2, "draw": 0,
        "suffix_ms": 200.0, "relaxed_ms": 150.0, "relaxed_bound_ms": 120.0, "gain_percent": 25.0,
        "most_gain_percent": 40.0, "suffix_status": "time_limit", "relaxed_status": "stopped",
        "seconds": 2.5,
    }  # fmt: skip
    assert seen == [((2,), name, asked.solver) for name in ("strong", "relaxed")]
    answers["relaxed"] = result(math.inf, 250.0)
    (row,) = EXPERIMENTS["relaxed_stopping"](asked).to_dict("records")
    assert (row["relaxed_ms"], row["gain_percent"], row["most_gain_percent"]) == (200.0, 0.0, 0.0)
    answers["strong"] = result(math.inf, 250.0)
    (row,) = EXPERIMENTS["relaxed_stopping"](asked).to_dict("records")
    assert math.isnan(row["suffix_ms"]) and math.isnan(row["relaxed_ms"])


def test_a_race_in_full(setting, monkeypatch):
    trace = ((0.25, math.inf, -math.inf), (0.5, 80.0, 60.0))
    calls = []

    def solve(instance, formulation, settings):
        calls.append((instance, formulation, settings))
        if settings.solver == "cbc":
            raise SolverLicenceError("cbc", None, "")
        return result(50.0, 45.0, "time_limit", 2.5, trace=trace)

    monkeypatch.setattr(solver_race, "solve_offline", solve)
    monkeypatch.setattr(solver_race, "installed_solvers", lambda: ("highs", "cbc"))
    monkeypatch.setattr(solver_race, "cores", lambda: 1)
    asked = setting("smoke", threads=5, options={"highs": {"presolve": "off"}})
    table = EXPERIMENTS["solver_race"](asked)
    assert calls[0][2] == SolverSettings(
        "highs", 0.5, 5, asked.offline.relative_gap, {"presolve": "off"}
    )
    assert set(table["draw"]) == {0}
    last = calls[-1][0].swarm
    assert last.token_rtt_ms.tolist() == uniform_rtt(rng(1), 1, 7, 2).tolist()
    rows = table.iloc[:4].drop(columns=["servers", "clients", "load", "draw", "family"])
    expected = pd.DataFrame(
        [
            ["strong", "highs", 0.25, np.nan, np.nan, np.nan, "running", 7],
            ["strong", "highs", 0.5, 80.0, 60.0, 0.25, "running", 7],
            ["strong", "highs", 2.5, 50.0, 45.0, 0.1, "time_limit", 7],
            ["strong", "cbc", np.nan, np.nan, np.nan, np.nan, "licence", 0],
        ],
        columns=["formulation", "solver", "seconds", "objective_ms", "bound_ms", "gap", "status",
                 "nodes"],
    )  # fmt: skip
    pd.testing.assert_frame_equal(rows[expected.columns], expected)


@pytest.mark.parametrize(
    ("threads", "cores", "names", "lanes"),
    [(4, 8, "ab", 2), (4, 1, "ab", 1), (1, 8, "ab", 1), (6, 2, "abc", 2), (3, 8, "", 1)],
)
def test_lanes_of_a_race(setting, monkeypatch, threads, cores, names, lanes):
    made, given = [], []

    class Pool:
        def __init__(self, count):
            made.append(count)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def map(self, function, solvers):
            given.extend(each.threads for each in solvers)
            return []

    monkeypatch.setattr(solver_race, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(solver_race, "cores", lambda: cores)
    monkeypatch.setattr(solver_race, "installed_solvers", lambda: tuple(names))
    EXPERIMENTS["solver_race"](setting("smoke", threads=threads))
    assert made == [lanes]
    assert set(given) <= {threads // lanes} and len(given) == 6 * len(names)


def test_cores_that_may_be_used(monkeypatch):
    monkeypatch.setattr(solver_race.os, "sched_getaffinity", lambda pid: {0, 3, pid}, raising=False)
    assert solver_race.cores() == 2
    monkeypatch.delattr(solver_race.os, "sched_getaffinity")
    for counted, cores in ((7, 7), (None, 1)):
        monkeypatch.setattr(solver_race.os, "cpu_count", lambda n=counted: n)
        assert solver_race.cores() == cores


def test_theorem_2_leaves_other_methods_out():
    label = {"family": "clustered", "servers": 9, "clients": 1, "load": 4}
    rows = [
        {**label, "draw": number, "method": name, "objective_ms": ms * (number + 1)}
        for number in (0, 1)
        for name, ms in (("theorem_2", 2400.0), ("optimum", 800.0), ("cg_bprr", 1200.0), ("x", 1.0))
    ]
    found = theorem_2(pd.DataFrame(rows)).to_dict("records")
    ratios = {"bound_over_cg_bprr": 2.0, "bound_over_optimum": 3.0}
    assert found == [
        {**label, "draw": number, "bound_ms": 600.0 * (number + 1),
         "cg_bprr_ms": 300.0 * (number + 1), "optimum_ms": 200.0 * (number + 1), **ratios}
        for number in (0, 1)
    ]  # fmt: skip


def test_every_experiment_has_its_name():
    assert list(EXPERIMENTS) == ["optimality", "solver_race", "relaxed_stopping", "equal_blocks"]
