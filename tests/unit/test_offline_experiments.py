"""What the offline experiments cover and what stands in their rows; the solvers are stubs."""

import math
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bprr.ground.errors import InfeasibleError
from bprr.offline.backends.base import NothingFoundError, SolverLicenceError
from bprr.offline.experiments import (
    EXPERIMENTS,
    Study,
    equal_blocks,
    optimality,
    relaxed_stopping,
    solver_race,
    study,
)
from bprr.offline.experiments.optimality import SCALES, cases, theorem_2_row
from bprr.offline.experiments.study import Case, heuristic_row, optimum_row
from bprr.offline.experiments.swarms import (
    cluster_instance,
    equal_memory_instance,
    uniform_instance,
)
from bprr.offline.experiments.theorem_2 import theorem_2
from bprr.offline.plan import OfflineResult
from bprr.placement.cg_bp import cg_bp
from bprr.settings.offline import OfflineSettings
from bprr.study.offline import scattered


def result(objective_ms, bound_ms, status="optimal", **keys):
    made = {"seconds": 1.5, "nodes": 7, "formulation": "strong", "solver_requested": "highs"}
    plan = None if math.isinf(objective_ms) else SimpleNamespace()
    return OfflineResult(
        plan, objective_ms, bound_ms, status, solver_used="HiGHS 1", **{**made, **keys}
    )


@pytest.fixture
def setting(configuration, published):
    def at(scale):
        offline = OfflineSettings(scale=scale)
        return Study(published, scattered(configuration), offline, "highs", 2025)

    return at


# --- swarms -------------------------------------------------------------------------------------


def test_round_trips_of_clusters_by_client(published):
    swarm = cluster_instance(published, (2, 1, 1), mig=3, a100=2).swarm
    assert swarm.token_rtt_ms.tolist() == [[55] * 3 + [150] * 2, [150] * 3 + [55] * 2, [150] * 5]
    assert (swarm.prompt_rtt_ms == swarm.token_rtt_ms).all()
    mig, a100 = published.devices["mig"], published.devices["a100"]
    assert swarm.tau_ms.tolist() == [mig.tau_ms] * 3 + [a100.tau_ms] * 2
    assert cluster_instance(published, (4,)).swarm.servers == 9


def test_random_swarms_keep_to_their_ranges(published):
    rng = np.random.default_rng(1)
    uniform = uniform_instance(published, (1, 1), rng, mig=60, a100=40).swarm.token_rtt_ms
    equal = equal_memory_instance(published, 3, rng, 80, 20.0)
    for values, low, high in (
        (uniform[:, :60], 25, 30), (uniform[:, 60:], 125, 225),
        (equal.swarm.token_rtt_ms, 50, 200), (equal.swarm.tau_ms, 3, 17),
    ):  # fmt: skip
        near = 0.15 * (high - low)
        assert low <= values.min() < low + near and high - near < values.max() < high
    assert (equal.swarm.memory_gb == 20.0).all() and equal.requests == (3,)
    assert equal.session_tokens == 148
    assert not equal.swarm.prefill_ms.any() and not equal.swarm.prefill_ms_per_token.any()


# --- (a) optimality ------------------------------------------------------------------------------


def counted(found):
    return Counter((c.family, c.instance.swarm.servers, c.instance.swarm.clients) for c in found)


def test_cases_of_the_smallest_scale(setting):
    found = list(cases(setting("smoke"), SCALES["smoke"]))
    # Loads 1 and 5 on clusters, of which two and three clients leave 1 out; 5 on the others.
    assert counted(found) == {
        ("clustered", 9, 1): 2, ("clustered", 9, 2): 1, ("clustered", 9, 3): 1,
        ("clustered", 26, 1): 2, ("clustered", 26, 2): 1, ("clustered", 26, 3): 1,
        ("scattered", 9, 1): 1, ("uniform", 9, 1): 1,
    }  # fmt: skip
    loads = {c.instance.load for c in found if c.family != "clustered"}
    assert loads == {5}
    assert [sum(c.instance.requests) for c in found] == [c.instance.load for c in found]


def test_cases_of_the_usual_scale(setting):
    found = list(cases(setting("main"), SCALES["main"]))
    # Loads 1 to 20 on clusters; of the others' eight, 1 is fewer than two clients, 2 than three.
    assert counted(found) == {
        **{("clustered", servers, clients): 21 - clients
           for servers in (9, 26) for clients in (1, 2, 3)},
        ("scattered", 9, 1): 16, ("scattered", 9, 2): 14, ("scattered", 9, 3): 12,
        ("scattered", 26, 1): 16, ("uniform", 9, 1): 16,
    }  # fmt: skip
    drawn = {(c.family, c.draw): c.instance.swarm for c in found if c.family != "clustered"}
    assert set(drawn) == {(f, number) for f in ("scattered", "uniform") for number in (0, 1)}
    for family in ("scattered", "uniform"):
        first, second = (drawn[family, number].token_rtt_ms for number in (0, 1))
        assert not np.array_equal(first, second)
        assert drawn[family, 0].block_cap is None
    mig = drawn["uniform", 0].tau_ms.max()
    assert (drawn["uniform", 0].tau_ms == mig).sum() == 7  # a fifth of nine are A100s


def test_cases_of_the_longest_scale(setting):
    """Ten draws of eight loads on all swarms, less those with fewer requests than clients."""
    study = SCALES["study"]
    found = list(cases(setting("study"), replace(study, clustered_loads=())))
    assert counted(found) == {
        (family, servers, clients): 10 * loads
        for family in ("scattered", "uniform")
        for servers in (9, 26)
        for clients, loads in ((1, 8), (2, 7), (3, 6))
    }
    assert list(study.clustered_loads) == list(range(1, 21))
    assert [scale.petals_orders for scale in SCALES.values()] == [1, 5, 20]


def test_a_case_is_solved_once_and_petals_tried_in_every_order(setting, monkeypatch):
    asked, orders = setting("main"), []
    case = Case("clustered", 0, cluster_instance(asked.catalogue, (2,)))
    optimum = result(800.0, 790.0, "time_limit")
    worth = {"cg": 880.0, "gsa": 1000.0, "petals": 1600.0}
    monkeypatch.setattr(optimality, "solve_offline", lambda *_: optimum)
    monkeypatch.setattr(optimality, "cg_bprr_plan", lambda *_: "cg")
    monkeypatch.setattr(optimality, "gsa_plan", lambda *_: "gsa")
    monkeypatch.setattr(
        optimality, "petals_plan", lambda _, order, __: orders.append(order.tolist()) or "petals"
    )
    monkeypatch.setattr(study, "evaluate_plan", lambda _, plan: worth[plan])
    table = pd.DataFrame(optimality.case_rows(asked, case, SCALES["main"]))
    assert table["method"].tolist() == ["optimum", "cg_bprr", "gsa", *["petals"] * 5, "theorem_2"]
    above = [0.0, 10.0, 25.0, *[100.0] * 5]
    assert table["above_optimum_percent"].tolist()[:-1] == pytest.approx(above)
    assert table["objective_ms"].tolist()[:-1] == [800.0, 880.0, 1000.0, *[1600.0] * 5]
    assert (table["bound_ms"] == 790.0).all() and (table["solver"] == "HiGHS 1").all()
    assert table["status"].tolist() == ["time_limit", *["ok"] * 7, "bound"]
    assert table["verified"].tolist() == [True] * 8 + [False]
    assert table["seconds"].iloc[0] == 1.5
    assert len({tuple(order) for order in orders}) == 5
    assert all(sorted(order) == list(range(9)) for order in orders)
    bound_ms = cg_bp(case.instance.swarm, 2, 148).details["bound_ms"]  # of one request
    assert table["objective_ms"].iloc[-1] == pytest.approx(2 * bound_ms)


def test_no_plan_is_said_and_has_no_number(published, monkeypatch):
    case = Case("clustered", 3, cluster_instance(published, (1,)))
    labels = {"family": "clustered", "servers": 9, "clients": 1, "load": 1, "draw": 3}
    optimum = result(math.inf, 500.0, "time_limit")
    row = optimum_row(case, optimum)
    assert row.items() >= labels.items()
    assert np.isnan(row["objective_ms"]) and row["bound_ms"] == 500.0 and row["verified"] is False

    def lacks_memory():
        raise InfeasibleError("GPU memory", "2 blocks", "x")

    def finds_nothing():
        raise NothingFoundError("x")

    for make, status in (
        (lacks_memory, "infeasible: GPU memory"), (finds_nothing, "nothing found"),
    ):  # fmt: skip
        row = heuristic_row(case, "gsa", optimum, make)
        assert (row["status"], row["verified"], row["method"]) == (status, False, "gsa")
        assert np.isnan(row["objective_ms"])
    full = Case("clustered", 0, cluster_instance(published, (500,)))
    row = theorem_2_row(full, optimum)
    assert np.isnan(row["objective_ms"]) and row["status"].startswith("infeasible: ")


# --- (b) to (e) ---------------------------------------------------------------------------------


def test_theorem_2_per_request():
    label = {"family": "clustered", "servers": 9, "clients": 1, "load": 4, "draw": 0}
    values = {"theorem_2": 2400.0, "cg_bprr": 1200.0, "optimum": 800.0, "petals": 9e9}
    rows = [{**label, "method": name, "objective_ms": ms} for name, ms in values.items()]
    (row,) = theorem_2(pd.DataFrame(rows)).to_dict("records")
    assert row == {
        **label, "bound_ms": 600.0, "cg_bprr_ms": 300.0, "optimum_ms": 200.0,
        "bound_over_cg_bprr": 2.0, "bound_over_optimum": 3.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("suffix", "relaxed", "expected"),  # (objective, bound); (relaxed, gain %, most %)
    [
        ((100.0, 100.0), (90.0, 90.0), (90.0, 10.0, 10.0)),
        ((100.0, 95.0), (90.0, 80.0), (90.0, 10.0, 20.0)),
        ((100.0, 95.0), (math.inf, 60.0), (100.0, 0.0, 40.0)),  # its own plan is one as well
        ((100.0, 95.0), (120.0, 110.0), (100.0, 0.0, 0.0)),
    ],
)
def test_gain_of_stopping_anywhere(setting, monkeypatch, suffix, relaxed, expected):
    asked = setting("smoke")
    results = {"strong": result(*suffix), "relaxed": result(*relaxed, status="time_limit")}
    monkeypatch.setattr(relaxed_stopping, "solve_offline", lambda _, name, __: results[name])
    (row,) = EXPERIMENTS["relaxed_stopping"](asked).to_dict("records")
    found = row["relaxed_ms"], row["gain_percent"], row["most_gain_percent"]
    assert found == pytest.approx(expected)
    assert (row["family"], row["servers"], row["load"]) == ("clustered", 9, 2)
    assert (row["suffix_ms"], row["relaxed_bound_ms"]) == (suffix[0], relaxed[1])
    assert (row["suffix_status"], row["relaxed_status"]) == ("optimal", "time_limit")
    assert row["seconds"] == 3.0


def test_every_solver_races_on_both_formulations(setting, monkeypatch):
    calls = []

    def solve(instance, formulation, settings):
        calls.append((instance.swarm, instance.requests, formulation, settings))
        if settings.solver == "gurobi":
            raise SolverLicenceError("gurobi", None, "buy one")
        trace = ((0.1, math.inf, 10.0), (0.2, 50.0, 40.0))
        return result(50.0, 45.0, "time_limit", seconds=0.5, trace=trace, nodes=3)

    monkeypatch.setattr(solver_race, "solve_offline", solve)
    monkeypatch.setattr(solver_race, "installed_solvers", lambda: ["highs", "gurobi"])
    table = EXPERIMENTS["solver_race"](setting("smoke"))
    # One load on a cluster, 8 requests of three clients there, 8 of one on uniform round trips.
    assert [requests for _, requests, _, _ in calls] == [(1,)] * 4 + [(3, 3, 2)] * 4 + [(8,)] * 4
    assert [name for _, _, name, _ in calls[:4]] == ["strong", "strong", "paper", "paper"]
    assert {each.time_limit_s for *_, each in calls} == {0.5}
    assert len(table) == 3 * 2 * (3 + 1)
    rows = table[(table["solver"] == "highs") & (table["formulation"] == "paper")].iloc[:3]
    assert rows["status"].tolist() == ["running", "running", "time_limit"]
    assert rows["seconds"].tolist() == [0.1, 0.2, 0.5]
    assert rows["gap"].tolist() == pytest.approx([np.nan, 0.2, 0.1], nan_ok=True)
    assert rows["objective_ms"].tolist() == pytest.approx([np.nan, 50, 50], nan_ok=True)
    assert (rows["nodes"] == 3).all()
    refused = table[table["solver"] == "gurobi"]
    assert set(refused["status"]) == {"licence"} and refused["objective_ms"].isna().all()


@pytest.mark.parametrize(
    ("scale", "loads", "limit_s"), [("main", [1, 2, 3], 5.0), ("study", [1, 2, 3, 5, 8], 200.0)]
)
def test_a_larger_race_has_more_loads_and_more_time(setting, monkeypatch, scale, loads, limit_s):
    calls = []

    def solve(instance, formulation, settings):
        calls.append((instance.requests, settings.time_limit_s))
        return result(50.0, 45.0)

    monkeypatch.setattr(solver_race, "solve_offline", solve)
    monkeypatch.setattr(solver_race, "installed_solvers", lambda: ["highs"])
    EXPERIMENTS["solver_race"](setting(scale))
    cases_in_order = [*((load,) for load in loads), (3, 3, 2), (8,)]
    assert calls == [(requests, limit_s) for requests in cases_in_order for _ in range(2)]


@pytest.mark.parametrize(
    ("scale", "loads"), [("smoke", [2]), ("main", [1, 2, 3, 5, 8]), ("study", range(1, 21))]
)
def test_loads_of_stopping_anywhere(setting, monkeypatch, scale, loads):
    monkeypatch.setattr(relaxed_stopping, "solve_offline", lambda *_: result(9.0, 9.0))
    assert EXPERIMENTS["relaxed_stopping"](setting(scale))["load"].tolist() == list(loads)


def test_equal_memory_gives_all_servers_as_many_blocks(setting, monkeypatch):
    limits = []

    def solve(instance, formulation, solver):
        limits.append(solver.time_limit_s)
        return result(100.0, 100.0)

    monkeypatch.setattr(equal_blocks, "solve_offline", solve)
    monkeypatch.setattr(equal_blocks, "gsa_plan", lambda *_: 150.0)
    monkeypatch.setattr(equal_blocks, "cg_bprr_plan", lambda *_: 110.0)
    monkeypatch.setattr(study, "evaluate_plan", lambda _, worth: worth)
    table = EXPERIMENTS["equal_blocks"](setting("main"))
    keys = ["memory_gb", "servers", "draw", "load", "method"]
    assert table[keys].to_numpy().tolist() == [
        [memory_gb, servers, number, load, method]
        for memory_gb, servers in ((9.1, 26), (20.0, 12), (40.0, 12))
        for number in (0, 1)
        for load in (1, 5, 20)
        for method in ("optimum", "gsa", "cg_bprr")
    ]
    assert table["above_optimum_percent"].tolist() == pytest.approx([0.0, 50.0, 10.0] * 18)
    assert set(limits) == {30.0}  # half of what the configuration allows
    # A block takes 1.32 GB, and a session's cache in it 0.0085: ⌊M/(s_m + R s_c)⌋.
    model = setting("main").catalogue.models["bloom_176b"]
    each = [model.block_gb + load * model.session_cache_gb(148) for load in table["load"]]
    assert table["blocks"].tolist() == (table["memory_gb"] // each).astype(int).tolist()
    limits.clear()
    list(equal_blocks.case_rows(setting("study"), 20.0, 12, 0, 1))
    assert limits == [60.0]
