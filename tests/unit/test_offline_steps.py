"""Steps of the offline procedure with scripted programmes, and packings against all there are."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.request import Request
from bprr.ground.swarm import LanguageModel, Swarm
from bprr.offline import heuristics, packing, procedure, routing_ilp
from bprr.offline.backends.base import NothingFoundError, SolverKilledError, SolverSettings
from bprr.offline.backends.solve import solve_milp
from bprr.offline.formulation_paper import _network_ms
from bprr.offline.heuristics import cg_bprr_plan, gsa_plan, petals_plan
from bprr.offline.instance import OfflineInstance, ServerClass, shared_out
from bprr.offline.packing import Arc, Window, pack_arcs, pack_arcs_by_end
from bprr.offline.plan import OfflineResult, Plan, Route
from bprr.offline.procedure import FlowFormulation, Search, solve_for_classes
from bprr.offline.routing_ilp import route_exactly
from bprr.offline.solve import solve_offline
from bprr.offline.throughput import passing_rates, solve_throughput
from bprr.placement.base import Placement

INF = float("inf")
HIGHS = SolverSettings("highs", 60, 1)


def servers(memory_gb, tau_ms, rtt, blocks=4, **more):
    """Blocks of 1 GB, and 0.1 GB for a token in each."""
    count = len(memory_gb)
    model = LanguageModel(blocks=blocks, d_model=1, block_gb=1.0, cache_bytes_per_value=0.05e9)
    none, rtt = np.zeros(count), np.array(rtt, dtype=float)
    memory, tau = np.array(memory_gb, float), np.array(tau_ms, float)
    return Swarm(model, memory, tau, none, none, rtt, rtt, **more)


# --- instances ------------------------------------------------------------------------------------


def test_slots_by_hand():
    swarm = servers([2.5, 3.2, 9.0], [1, 1, 1], np.zeros((2, 3)), 3, block_cap=np.array([3, 3, 2]))
    instance = OfflineInstance(swarm, [1, np.int64(2)], 5)
    # Half a GB a slot; nothing beside no block, and none where blocks do not fit or may not be.
    assert instance.slots.tolist() == [[0, 3, 1, 0], [0, 4, 2, 0], [0, 16, 14, 0]]
    assert instance.most_blocks.tolist() == [3, 3, 2]
    assert (instance.requests, instance.load) == ((1, 2), 3)


def test_classes_are_equal_in_everything():
    rtt = np.array([[5.0] * 7, [6.0] * 7])
    rtt[1, 6] = 7.0
    swarm = servers(
        [4, 4, 4, 5, 4, 4, 4], [1, 2, 1, 1, 1, 1, 1], rtt,
        block_cap=np.array([4, 4, 4, 4, 3, 4, 4]),
    )  # fmt: skip
    instance = OfflineInstance(swarm, (1, 1), 5)
    assert [found.members for found in instance.classes] == [(0, 2, 5), (1,), (3,), (4,), (6,)]
    found = instance.server_class([6, 9])
    assert (found.members, found.count, found.tau_ms) == ((6, 9), 2, 1.0)
    assert found.token_rtt_ms.tolist() == [5.0, 7.0] and found.slots.tolist() == [0, 6, 4, 2, 0]


@pytest.mark.parametrize(
    ("requests", "tokens", "key", "allowed"),
    [
        ((1,), 5, "requests", "one count for each of the 2 clients"),
        ((1, -1), 5, "requests", "counts ≥ 0, one request"),
        ((2, -1), 5, "requests", "counts ≥ 0, one request"),
        ((0, 0), 5, "requests", "counts ≥ 0, one request"),
        ((0, 1), 0, "session_tokens", "≥ 1"),
    ],
)
def test_instances_that_are_refused(requests, tokens, key, allowed):
    swarm = servers([4.0], [1.0], [[1.0], [2.0]])
    with pytest.raises(InputError) as refused:
        OfflineInstance(swarm, requests, tokens)
    assert (refused.value.where, refused.value.key) == ("offline instance", key)
    assert refused.value.allowed == allowed
    assert refused.value.value == (tokens if key == "session_tokens" else requests)
    assert OfflineInstance(swarm, (0, 1), 1).load == 1


def test_requests_are_dealt_out():
    assert [shared_out(load, 3) for load in range(1, 8)] == [
        (1, 0, 0), (1, 1, 0), (1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 2, 2), (3, 2, 2),
    ]  # fmt: skip


# --- packing --------------------------------------------------------------------------------------


def fits(arcs, places):
    used = {}
    for arc, window in zip(arcs, places, strict=True):
        if window.tail > arc.tail or window.end < arc.head:
            return False
        used[window] = used.get(window, 0) + arc.head - arc.tail
    return all(count <= window.slots for window, count in used.items())


def test_packings_are_found_exactly_where_there_are_some():
    rng, found = random.Random(5), 0
    for _ in range(400):
        windows = []
        for server in range(rng.randint(1, 3)):
            tail = rng.randint(0, 2)
            windows.append(Window(server, tail, rng.randint(tail + 1, 4), rng.randint(1, 7)))
        arcs = []
        for client in range(rng.randint(0, 4)):
            tail = rng.randint(0, 3)
            arcs.append(Arc(client, tail, rng.randint(tail + 1, 4)))
        for pack, by_end in ((pack_arcs, False), (pack_arcs_by_end, True)):
            some = any(
                fits(arcs, places)
                and not (by_end and any(a.head != w.end for a, w in zip(arcs, places, strict=True)))
                for places in itertools.product(windows, repeat=len(arcs))
            )
            places = pack(arcs, windows)
            assert (places is not None) == some
            if places is not None:
                assert fits(arcs, places)
                assert not by_end or all(
                    arc.head == window.end for arc, window in zip(arcs, places, strict=True)
                )
                found += len(arcs) > 1
    assert found > 50


@pytest.mark.parametrize(
    ("arcs", "windows", "steps"),
    [
        # The longest first: 3 in the window of three slots, and 3 and 1 in that of four.
        ([(0, 1), (0, 3), (0, 3)], [(0, 3, 3), (0, 3, 4)], 3),
        # The first goes to a window that is full for the third; not to another one like it.
        ([(0, 2), (1, 3), (1, 3)], [(0, 3, 2), (0, 3, 2), (0, 2, 3)], 5),
        ([(0, 2), (1, 3), (1, 3)], [(0, 2, 3), (0, 3, 2), (0, 3, 2)], 5),
        # Narrow windows first, though they hold more.
        ([(1, 3), (0, 3)], [(0, 3, 3), (1, 3, 9)], 2),
        ([(1, 3), (0, 2)], [(0, 3, 2), (1, 3, 9)], 2),
    ],
)
def test_steps_of_a_packing(arcs, windows, steps, monkeypatch):
    arcs = [Arc(0, *ends) for ends in arcs]
    windows = [Window(server, *window) for server, window in enumerate(windows)]
    for allowed, found in ((steps, True), (steps - 1, False)):
        monkeypatch.setattr(packing, "SEARCH_NODES", allowed)
        places = pack_arcs(arcs, windows)
        assert (places is not None) == found
        assert not found or fits(arcs, places)


# --- the procedure --------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(s=0.0)
    monkeypatch.setattr(procedure, "perf_counter", lambda: now.s)
    monkeypatch.setattr(procedure, "Search", partial(Search, started=0.0))
    return now


def outcome(values=None, bound=0.0, status="optimal", nodes=2):
    return SimpleNamespace(
        values=None if values is None else np.array(values, dtype=float), bound=bound, nodes=nodes,
        status=status, said=f"{status}!", objective=7.0, seconds=0.5, log_path=None,
    )  # fmt: skip


class Scripted:
    """A search over three columns of at most three, whose programmes end as they are told to."""

    def __init__(self, monkeypatch, swarm, results, *, linear=(100.0, (1.0, 0.5, 0.0)), gap=1e-6):
        self.asked, self.routed, self.offered, self.unpacked = [], [], [], []
        self.results, self.failed, self.routes = iter(results), [], None
        self.plans = iter(())
        milp = SimpleNamespace(columns=3, upper=np.full(3, 3.0), restricted=self.restricted)
        self.model = SimpleNamespace(milp=milp)
        formulation = FlowFormulation("mine", self.build, "pack", lambda _, plan: plan)
        settings = SolverSettings("cbc", 100.0, 1, gap)
        self.search = Search(OfflineInstance(swarm, (1, 0), 1), formulation, settings, 0.0)
        monkeypatch.setattr(procedure, "solve_relaxation", self.relaxed(linear))
        monkeypatch.setattr(procedure, "solve_milp", self.solved)
        monkeypatch.setattr(procedure, "unpack", self.unpack)
        monkeypatch.setattr(procedure, "route_exactly", self.route)
        monkeypatch.setattr(procedure, "plan_from_arcs", self.plan)

    def build(self, instance, classes):
        assert (instance, classes) == (self.search.instance, ("classes",))
        return self.model

    def relaxed(self, linear):
        def solve(milp, limit_s):
            assert (milp, limit_s) == (self.model.milp, self.search.remaining)
            return linear[0], np.array(linear[1])

        return solve

    def restricted(self, caps):
        self.caps = caps.tolist()
        kept = np.flatnonzero(caps > 0)
        return SimpleNamespace(columns=kept.size, rows=9), kept

    def solved(self, milp, settings, stem):
        assert stem == "mine"
        self.asked.append((self.caps, settings.time_limit_s))
        return next(self.results)

    def unpack(self, model, values, pack):
        assert (model, pack) == (self.model, "pack")
        self.unpacked.append(values.tolist())
        return "placement", "packed", self.failed

    def plan(self, instance, placement, packed):
        assert (placement, packed) == ("placement", "packed")
        return next(self.plans)

    def route(self, instance, placement, settings):
        assert placement == "placement"
        self.routed.append(settings.time_limit_s)
        if isinstance(self.routes, Exception):
            raise self.routes
        return self.routes

    def run(self):
        found = solve_for_classes(self.search, ("classes",))
        return found, [each["target_ms"] for each in self.search.solves]


def test_targets_rise_until_no_column_is_left_out(small_swarm, monkeypatch, clock):
    bounds = [100.2, 101.0, 104.0, 110.0, 150.0]
    results = [outcome(bound=bound, status="infeasible") for bound in bounds[:-1]]
    one = Scripted(monkeypatch, small_swarm, [*results, outcome([3, 2, 1], 120.0)])
    one.plans = iter([121.0])
    found, targets = one.run()
    assert found == []
    # A step of 0.25 %, 1 %, 4 %, 16 % and 64 % over the bound that there is by then.
    expected = [100.25, 100.2 * 1.01, 101.0 * 1.04, 104.0 * 1.16, 110.0 * 1.64]
    assert targets == pytest.approx(expected)
    assert [caps for caps, _ in one.asked] == [
        [0, 0, 3], [1, 2, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3],
    ]  # fmt: skip
    assert [limit for _, limit in one.asked] == pytest.approx([35.0, 35.0, 100.0, 100.0, 100.0])
    assert one.unpacked == [[3.0, 2.0, 1.0]]
    assert (one.search.objective, one.search.bound) == (121.0, 120.0)
    assert (one.search.nodes, one.search.ended) == (10, "optimal!")
    assert one.search.solves[0] == {
        "target_ms": 100.25, "columns": 1, "rows": 9, "status": "infeasible", "objective": 7.0,
        "bound": 100.2, "seconds": 0.5, "nodes": 2, "log_path": None,
    }  # fmt: skip
    assert [bound for _, _, bound in one.search.trace] == [100.0, *bounds[:-1], 120.0, 120.0]


def test_a_bound_beyond_the_target_says_nothing_unless_all_columns_are_there(
    small_swarm, monkeypatch, clock
):
    one = Scripted(monkeypatch, small_swarm, [outcome(bound=INF), outcome(bound=INF)])
    one.search.plan, one.search.objective = 100.5, 100.5
    found, targets = one.run()
    # A step of 0.25 is no third of what lies between; then the rest is.
    assert (found, targets) == ([], [100.25, 100.5])
    assert one.search.bound == 100.5 and one.search.proven
    every = Scripted(monkeypatch, small_swarm, [outcome(bound=INF)], linear=(100.0, (0, 0, 0)))
    assert every.run() == ([], [100.25])
    assert every.search.bound == INF


@pytest.mark.parametrize(
    ("status", "programmes"), [("stopped", 1), ("infeasible", 2), ("time_limit", 2)]
)
def test_a_last_programme_that_was_stopped_is_not_repeated(
    small_swarm, monkeypatch, clock, status, programmes
):
    results = [outcome(bound=100.0, status=status)] * 2
    one = Scripted(monkeypatch, small_swarm, results, linear=(100.0, (0, 0, 0)))
    if programmes == 1:
        assert one.run()[0] == []
    else:
        with pytest.raises(StopIteration):
            one.run()
    assert len(one.search.solves) == programmes


@pytest.mark.parametrize(
    ("status", "programmes"), [("optimal", 1), ("stopped", 1), ("time_limit", 2)]
)
def test_a_plan_of_the_last_programme_ends_it(small_swarm, monkeypatch, clock, status, programmes):
    results = [outcome([1, 1, 1], 100.0, status), outcome([1, 1, 1], 200.0)]
    one = Scripted(monkeypatch, small_swarm, results, linear=(100.0, (0, 0, 0)))
    one.plans = iter([110.0, 109.0])
    assert one.run()[0] == []
    assert len(one.search.solves) == programmes
    assert one.search.objective == (110.0 if programmes == 1 else 109.0)


def test_a_plan_before_the_last_programme_does_not_end_it(small_swarm, monkeypatch, clock):
    results = [outcome([1], 100.1, "optimal"), outcome([1, 2], 100.6, "optimal")]
    one = Scripted(monkeypatch, small_swarm, results)
    one.plans = iter([100.6, 101.0])
    found, targets = one.run()
    # Values go to the columns that were left: the third, then the second and it.
    assert (found, targets) == ([], [100.25, 100.6])
    assert one.unpacked == [[0.0, 0.0, 1.0], [0.0, 1.0, 2.0]]
    assert (one.search.objective, one.search.plan) == (100.6, 100.6)


@pytest.mark.parametrize(
    ("routes", "again"),
    [
        (105.0, True), (InfeasibleError("x", "y"), True), (NothingFoundError("x"), True),
        (100.2, False),
    ],
)  # fmt: skip
def test_what_is_not_packed_is_routed(small_swarm, monkeypatch, clock, routes, again):
    one = Scripted(monkeypatch, small_swarm, [outcome([1], 100.2)])
    one.failed, one.routes = ["class"], routes
    found, _ = one.run()
    assert found == (["class"] if again else [])
    assert one.routed == pytest.approx([10.0])  # a tenth of the time that is left
    assert one.search.objective == (routes if isinstance(routes, float) else INF)


def test_no_programme_without_time_or_need(small_swarm, monkeypatch, clock):
    one = Scripted(monkeypatch, small_swarm, [])
    clock.s = 100.0
    assert one.run() == ([], [])
    assert one.search.bound == 100.0
    clock.s = 0.0
    one = Scripted(monkeypatch, small_swarm, [])
    one.search.plan, one.search.objective = 100.0, 100.0
    assert one.run() == ([], [])


@pytest.mark.parametrize(
    ("objective", "bound", "gap", "proven"),
    [
        (4.0, 3.0, 0.25, True), (4.0, 2.99, 0.25, False), (4.0, 4.0, 0.0, True),
        (4.0, 5.0, 0.0, True),
    ],
)  # fmt: skip
def test_a_proof_at_the_gap_that_is_asked_for(small_swarm, objective, bound, gap, proven):
    search = Search(OfflineInstance(small_swarm, (1, 0), 1), None, replace(HIGHS, relative_gap=gap))
    search.plan, search.objective, search.bound = "plan", objective, bound
    assert search.proven is proven


def test_a_search_keeps_time_and_the_best_plan(small_swarm, clock):
    clock.s = 5.0
    formulation = FlowFormulation("mine", None, None, lambda _, plan: plan)
    search = Search(OfflineInstance(small_swarm, (1, 0), 1), formulation, HIGHS, 5.0)
    assert (search.bound, search.nodes, search.splits, search.ended) == (0.0, 0, 0, "")
    clock.s = 15.0
    assert (search.seconds, search.remaining) == (10.0, 50.0)
    for plan, best in ((9.0, 9.0), (9.0, 9.0), (8.0, 8.0), (8.5, 8.0)):
        search.offer(plan)
        assert (search.plan, search.objective) == (best, best)
    search.raise_bound(4.0)
    search.raise_bound(3.0)
    assert search.trace == [
        *((10.0, objective, 0.0) for objective in (9.0, 9.0, 8.0, 8.0)),
        (10.0, 8.0, 4.0), (10.0, 8.0, 4.0),
    ]  # fmt: skip


def test_one_class_of_many_is_enough_for_a_symmetry(clock):
    """What HiGHS need not look for where all differ, it looks for where two are alike."""
    swarm = servers([4, 4, 5], [1, 1, 1], np.ones((1, 3)))
    search = Search(OfflineInstance(swarm, (1,), 1), None, HIGHS, 0.0)
    assert dict(procedure.limited(search, 0.5).options) == {}
    assert procedure.limited(search, 0.5).time_limit_s == 30.0
    differ = servers([4, 6, 5], [1, 1, 1], np.ones((1, 3)))
    search = Search(OfflineInstance(differ, (1,), 1), None, replace(HIGHS, solver="cbc"))
    assert dict(procedure.limited(search, 0.5).options) == {}


def test_rounding_takes_no_unit_of_a_column_away():
    model = SimpleNamespace(milp=SimpleNamespace(upper=np.full(2, 9.0)))
    for slack, most in ((3.0, 3.0), (3 - 0.9e-6, 3.0), (3 - 1.1e-6, 2.0)):
        caps = procedure.caps_for_target(model, slack, np.array([1.0, 0.0]))
        assert caps.tolist() == [most, 9.0]


def test_greedy_plans_are_looked_for_with_less_and_less(small_swarm, monkeypatch, clock):
    asked = []

    def place(swarm, load, tokens):
        asked.append((load, tokens))
        if load > 4:
            raise InfeasibleError("x", "y")
        return load

    def route(instance, placement, settings):
        asked.append((placement, settings.time_limit_s))
        if placement > 2:
            raise NothingFoundError("x")
        return 55.0

    monkeypatch.setattr(procedure, "cg_bp", place)
    monkeypatch.setattr(procedure, "route_exactly", route)
    formulation = FlowFormulation("mine", None, None, lambda _, plan: plan)
    search = Search(OfflineInstance(small_swarm, (9, 4), 7), formulation, HIGHS, 0.0)
    procedure.greedy_plan(search)
    # Four fifths each time: 13, 10, 8, 6, 4, 3, 2; a tenth of a minute for the routes.
    assert asked == [
        (13, 7), (10, 7), (8, 7), (6, 7), (4, 7), (4, 6.0), (3, 7), (3, 6.0), (2, 7), (2, 6.0),
    ]  # fmt: skip
    assert search.plan == 55.0
    asked.clear()
    monkeypatch.setattr(procedure, "route_exactly", lambda *_: pytest.fail("routed"))
    monkeypatch.setattr(
        procedure, "cg_bp", lambda _, load, __: (asked.append(load), place(0, 9, 0))
    )
    search.plan = None
    procedure.greedy_plan(search)
    assert [each for each in asked if isinstance(each, int)] == [13, 10, 8, 6, 4, 3, 2, 1]


class Rounds:
    """The procedure with rounds that are told how they end."""

    def __init__(self, monkeypatch, clock, rounds):
        self.seen, self.rounds, self.clock = [], iter(rounds), clock
        monkeypatch.setattr(procedure, "greedy_plan", lambda search: self.seen.append("greedy"))
        monkeypatch.setattr(procedure, "solve_for_classes", self.one)

    def one(self, search, classes):
        self.seen.append([each.members for each in classes])
        return next(self.rounds)(search, classes)

    def result(self, instance, **keys):
        formulation = FlowFormulation("mine", None, None, lambda _, plan: plan.objective)
        settings = replace(HIGHS, **keys)
        return procedure.solve_flow_formulation(formulation, instance, settings)


def ends(clock, s=1.0, objective=None, bound=0.0, failed=(), error=None):
    def one(search, classes):
        clock.s = s
        if objective is not None:
            search.offer(SimpleNamespace(objective=objective))
        search.raise_bound(bound)
        search.ended, search.nodes = "so", 4
        if error:
            raise error
        return [classes[number] for number in failed]

    return one


PAIRS = ([4, 4, 5, 5, 6], [1, 1, 1, 1, 1], np.ones((1, 5)))


def test_classes_that_are_not_packed_are_split(monkeypatch, clock):
    instance = OfflineInstance(servers(*PAIRS), (1,), 1)
    rounds = Rounds(monkeypatch, clock, [
        ends(clock, failed=[1]), ends(clock, failed=[0, 1, 2]), ends(clock, objective=9, bound=9),
    ])  # fmt: skip
    found = rounds.result(instance)
    assert rounds.seen == [
        "greedy", [(0, 1), (2, 3), (4,)], [(0, 1), (2,), (3,), (4,)],
        [(0,), (1,), (2,), (3,), (4,)],
    ]  # fmt: skip
    assert found.details == {"programmes": [], "classes_split": 4, "ended": "so"}
    assert (found.status, found.objective_ms, found.bound_ms, found.gap) == ("optimal", 9, 9, 0.0)
    assert (found.formulation, found.solver_requested, found.nodes) == ("mine", "highs", 4)
    assert (found.seconds, found.verified) == (1.0, True)
    assert found.trace[-1] == (1.0, 9, 9) and len(found.trace) == 4


@pytest.mark.parametrize(
    ("keys", "status", "bound"),
    [
        ({"s": 60.0, "objective": 9, "bound": 4.0}, "time_limit", 4.0),
        ({"s": 59.9, "objective": 9, "bound": 4.0}, "stopped", 4.0),
        ({"s": 60.0, "bound": 4.0}, "time_limit", 4.0),
        ({"s": 60.0, "bound": INF}, "infeasible", INF),
        ({"s": 60.0, "objective": 9, "bound": 10.0}, "optimal", 9.0),  # no more than the plan's
        ({"s": 60.0, "objective": 9, "bound": 4.0, "failed": [0]}, "time_limit", 4.0),
        ({"objective": 9, "bound": 4.0, "error": SolverKilledError("killed\nand more")}, "stopped",
         4.0),
    ],
)  # fmt: skip
def test_how_the_procedure_ends(monkeypatch, clock, keys, status, bound):
    rounds = Rounds(monkeypatch, clock, [ends(clock, **keys)])
    found = rounds.result(OfflineInstance(servers(*PAIRS), (1,), 1))
    assert (found.status, found.bound_ms) == (status, bound)
    assert found.objective_ms == keys.get("objective", INF)
    assert found.details["ended"] == ("killed" if "error" in keys else "so")
    assert found.gap == (INF if "objective" not in keys else (9 - bound) / 9)


def test_a_gap_that_was_reached(monkeypatch, clock):
    rounds = Rounds(monkeypatch, clock, [ends(clock, 60.0, objective=8, bound=6.0)])
    found = rounds.result(OfflineInstance(servers(*PAIRS), (1,), 1), relative_gap=0.25)
    assert found.status == "gap_reached"


def test_results_without_more():
    found = OfflineResult(None, INF, 3.0, "stopped", 1.0, 0, "strong", "highs", "HiGHS 1")
    assert (found.verified, found.gap, found.trace, found.details) == (False, INF, (), {})


# --- routing, heuristics --------------------------------------------------------------------------


def test_routes_that_do_not_exist_in_words(monkeypatch):
    swarm = servers([5.0, 3.0], [1, 1], [[1.0, 1.0]])
    one = Placement(swarm, np.array([1, 0]), np.array([4, 0]))
    for count, words in (
        (2, None), (3, "cache slots: a route for each of 3 requests at once missing"),
    ):  # fmt: skip
        instance = OfflineInstance(swarm, (count,), 1)
        if words is None:
            assert route_exactly(instance, one, HIGHS).routes == (Route(0, (0,), (4,)),) * 2
            continue
        with pytest.raises(InfeasibleError) as refused:
            route_exactly(instance, one, HIGHS)
        assert str(refused.value) == (
            f"infeasible: not enough {words} (routing (19) under the given placement)"
        )
    none = Placement(swarm, np.zeros(2), np.zeros(2))
    with pytest.raises(InfeasibleError) as refused:
        route_exactly(OfflineInstance(swarm, (1,), 1), none, HIGHS)
    assert str(refused.value) == (
        "infeasible: not enough GPU memory: room for a block on any server missing (routing (19))"
    )
    asked = []

    def stopped(milp, settings, stem):
        asked.append((settings.relative_gap, stem))
        return outcome(status="stopped")

    monkeypatch.setattr(routing_ilp, "solve_milp", stopped)
    for gap, proving in ((0.5, 1e-6), (1e-7, 1e-7)):
        with pytest.raises(NothingFoundError) as nothing:
            route_exactly(instance, one, replace(HIGHS, relative_gap=gap))
        assert str(nothing.value) == "routing (19) ended before it found routes: stopped"
        assert asked.pop() == (proving, "routing")


def test_routes_share_scarce_cache():
    """The nearer server has four slots beside its four blocks; all else goes to the farther two."""
    swarm = servers([4.4, 4.4, 4.5], [1, 1, 1], [[1.0, 9.0, 9.0], [2.0, 4.0, 4.0]])
    where = Placement(swarm, np.array([1, 1, 3]), np.array([4, 4, 2]), np.array([4, 7, 4]))
    found = route_exactly(OfflineInstance(swarm, (1, 1), 1), where, HIGHS)
    # The first saves 8 ms at server 0, the second only 2.
    assert found.routes == (Route(0, (0,), (4,)), Route(1, (1,), (4,)))
    assert found.placement is where


def test_heuristics_place_and_route(monkeypatch):
    swarm = servers(
        [9.0, 9.0, 9.0], [1, 2, 3], [[5.0, 1.0, 9.0], [1.0, 9.0, 9.0], [9.0, 9.0, 1.0]],
        forward_rps=np.array([5.0, 1.0, 3.0]),
    )  # fmt: skip
    instance = OfflineInstance(swarm, (2, 0, 1), 5)
    asked = []

    def route(instance, placement, settings):
        asked.append(instance.requests)
        return Plan(placement, (Route(0, (0,), (4,)), Route(2, (2,), (4,))))

    monkeypatch.setattr(heuristics, "route_exactly", route)
    found = cg_bprr_plan(instance, HIGHS)
    # A client's way is found once, whatever the number of its requests.
    assert asked == [(1, 0, 1)]
    assert [found_route.client for found_route in found.routes] == [0, 0, 2]
    gsa_plan(instance, HIGHS)
    monkeypatch.setattr(heuristics, "petals_blocks", lambda _: np.array([2, 2, 2]))
    placed = petals_plan(instance, np.array([2, 0, 1]), HIGHS).placement
    assert asked[1:] == [(2, 0, 1), (2, 0, 1)]
    # 3 is served at blocks 1 and 2, 5 at 3 and 4, then 1 more where least is.
    assert placed.first_block.tolist() == [3, 1, 1]
    assert placed.cache_tokens.tolist() == [70, 70, 70]
    with pytest.raises(InputError) as refused:
        petals_plan(OfflineInstance(replace(swarm, forward_rps=None), (1, 1, 1), 5), [0], HIGHS)
    assert str(refused.value) == (
        "devices: forward_rps: got 'nothing'; allowed: "
        "forward_rps of every device: PETALS' placement needs it"
    )


def test_formulations_by_name():
    instance = OfflineInstance(servers([9.0], [1.0], [[2.0]]), (2,), 5)
    with pytest.raises(InputError) as refused:
        solve_offline(instance, "weak", HIGHS)
    assert str(refused.value) == (
        "bprr solve: formulation: got 'weak'; allowed: strong, paper, relaxed"
    )
    for name in ("strong", "paper", "relaxed"):
        found = solve_offline(instance, name, HIGHS)
        assert (found.formulation, found.solver_requested, found.status) == (
            name,
            "highs",
            "optimal",
        )
        assert found.objective_ms == pytest.approx(2 * (2 + 4))
        assert found.bound_ms <= found.objective_ms
        assert found.plan.routes == (Route(0, (0,), (4,)),) * 2
    paper = solve_offline(instance, "paper", HIGHS)
    assert set(paper.details) == {"columns", "rows", "ended", "log_path"}
    assert (paper.details["ended"], paper.details["log_path"]) == ("Optimal", None)
    full = OfflineInstance(servers([4.5], [1.0], [[2.0]]), (2,), 5)
    for name in ("strong", "paper", "relaxed"):
        found = solve_offline(full, name, HIGHS)
        assert (found.status, found.objective_ms, found.bound_ms) == ("infeasible", INF, INF)
        assert found.plan is None and found.gap == INF


# --- throughput -----------------------------------------------------------------------------------


def test_memory_for_one_session_is_enough_to_pass_some():
    # A block with one session of five tokens takes 1.5 GB, with two 2 GB.
    swarm = servers([3.2, 4.6, 1.4], [1, 2, 1], np.zeros((1, 3)), 3)
    rates, unit = passing_rates(swarm, Request(0, 5, 10, 5))
    assert unit == "sessions"
    assert rates == pytest.approx(np.array([
        [1000 / 9, 1000 / 18, 0.0], [1000 / 18, 1000 / 36, 1000 / 54], [0.0] * 3,
    ]))  # fmt: skip


def test_rates_of_three_chains_with_their_members():
    """Two servers that hold the model alone, and two that hold it together."""
    swarm = servers([99.0] * 4, [1, 1, 2, 2], np.zeros((1, 4)), 2)
    found = solve_throughput(swarm, Request(0, 1, 11, 5))
    # 10 ms a block: 1000 / 20 of the fast ones alone, 1000 / 20 of two slow ones with a block each.
    assert found.rate_per_s == pytest.approx(150.0) == pytest.approx(found.bound_per_s)
    assert (found.status, found.unit) == ("optimal", "sessions")
    members = sorted((chain.tolist(), held.tolist()) for chain, held in found.chains)
    assert members == [([0], [2]), ([1], [2]), ([2, 3], [1, 1])]
    assert found.placement.first_block.tolist() == [1, 1, 1, 2]
    assert found.seconds >= 0


def test_what_no_servers_hold_in_words():
    with pytest.raises(InfeasibleError) as refused:
        solve_throughput(servers([1.5, 1.4], [1, 1], np.zeros((1, 2)), 3), Request(0, 5, 10, 5))
    assert str(refused.value) == (
        "infeasible: not enough GPU memory: 2 of 3 blocks missing (all servers together)"
    )
    assert ServerClass((1,), 1.0, np.zeros(1), np.zeros(2, dtype=np.int64)).count == 1


def test_what_the_network_takes_on_every_link():
    """Into 0 and 1, from 0 to 1 and back, and out of both; of the second client."""
    rtt = np.array([[1.0, 2.0], [3.0, 4.0]])
    tail, head = np.array([-1, -1, 0, 1, 0, 1]), np.array([0, 1, 1, 0, -1, -1])
    hub = SimpleNamespace(token_rtt_ms=rtt, neighbours=None)
    assert _network_ms(hub, 1, tail, head).tolist() == [3.0, 4.0, 4.0, 3.0, 0.0, 0.0]
    legs = SimpleNamespace(
        enter=SimpleNamespace(token_ms=10 + rtt), leave=SimpleNamespace(token_ms=20 + rtt),
        between=SimpleNamespace(token_ms=np.array([[0.0, 7.0], [8.0, 0.0]])),
    )  # fmt: skip
    ring = SimpleNamespace(token_rtt_ms=rtt, neighbours=legs)
    assert _network_ms(ring, 1, tail, head).tolist() == [13.0, 14.0, 7.0, 8.0, 23.0, 24.0]


@pytest.mark.parametrize(("bound", "kept"), [(1.0, 1.0), (12.0, 12.0), (1e9, 12.0)])
def test_no_bound_of_the_papers_programme_is_above_its_plan(bound, kept, monkeypatch):
    instance = OfflineInstance(servers([9.0], [1.0], [[2.0]]), (2,), 5)

    def solved(*words):
        return replace(solve_milp(*words), bound=bound)

    monkeypatch.setattr("bprr.offline.solve.solve_milp", solved)
    found = solve_offline(instance, "paper", HIGHS)
    assert (found.objective_ms, found.bound_ms) == (12.0, kept)
