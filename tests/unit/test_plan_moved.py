"""Plans for swarms that have changed, and chains as rings or as PETALS takes them, by hand."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import bprr.plan.replan as replan
from bprr.ground.errors import InfeasibleError, InputError
from bprr.placement.base import Placement
from bprr.plan.arms import own_arm
from bprr.plan.explain import REFRESHES, explained, hops, hosted
from bprr.plan.machines import Machine
from bprr.plan.make import Made
from bprr.plan.replan import Moving, advice, kept_placement, loaded_gb
from bprr.plan.ring import ring_pace, ring_swarm
from bprr.wan.swarm import pace

from .toy_plan import MACHINES, arm_of, toy_problem

CHAIN = ([1, 1, 3, 4], [0, 2, 2, 1])


def before(*servers, blocks=4):
    """What a plan says of servers: name, first block, blocks, cache."""
    return SimpleNamespace(
        blocks=blocks,
        placement=[
            SimpleNamespace(name=name, first_block=first, blocks=count, cache_tokens=cache)
            for name, first, count, cache in servers
        ],
    )


def kept(problem, *servers, blocks=4):
    found = kept_placement(problem, before(*servers, blocks=blocks))
    return None if found is None else (
        found.first_block.tolist(), found.blocks.tolist(), found.cache_tokens.tolist()
    )  # fmt: skip


@pytest.fixture
def problem(tmp_path, configuration):
    """Room for 4, 2, 2 and 1 blocks beside a session."""
    return toy_problem(tmp_path, configuration)


def test_servers_stay_as_they_were(problem):
    """With their cache, or what of it still fits."""
    most = 10**9
    found = kept(problem, ("d", 4, 1, 300), ("c", 3, 2, most), ("b", 1, 2, 512), ("a", 1, 4, 1024))
    assert found[:2] == ([1, 1, 3, 4], [4, 2, 2, 1])
    assert found[2][:2] == [1024, 512] and found[2][3] == 300
    assert found[2][2] == problem_cache(problem, [4, 2, 2, 1])[2] < most
    # A window that no longer fits is cut.
    assert kept(problem, ("a", 1, 4, 9), ("b", 1, 3, 9), ("c", 2, 3, 9), ("d", 1, 2, 9))[:2] == (
        [1, 1, 2, 1], [4, 2, 2, 1],
    )  # fmt: skip


def problem_cache(problem, blocks):
    left_gb = problem.swarm.memory_gb - np.array(blocks)
    return np.floor(left_gb / 4e-6 + 1e-6).astype(int).tolist()


def test_newcomers_take_what_is_missing(problem):
    """The largest first: what nobody hosts, then what few host, then what comes first."""
    found = kept(problem, ("b", 1, 2, 512))
    # a comes with room for all; c then finds 3 and 4 hosted least, and d all alike.
    assert found[:2] == ([1, 1, 3, 1], [4, 2, 2, 1])
    assert found[2] == [problem_cache(problem, found[1])[0], 512,
                        *problem_cache(problem, found[1])[2:]]  # fmt: skip
    # Who hosted nothing is a newcomer, and so is everybody of another model.
    assert kept(problem, ("b", 1, 2, 512), ("a", 0, 0, 0), ("c", 1, 0, 0))[:2] == found[:2]
    assert kept(problem, ("a", 1, 1, 5), ("b", 4, 1, 5), blocks=5)[:2] == (
        [1, 1, 3, 1], [4, 2, 2, 1],
    )  # fmt: skip


def test_servers_that_nobody_needs_move(tmp_path, configuration, problem):
    """The largest of them, as few as it takes; its cache is made anew."""
    small = (replace(MACHINES[0], memory_gb=4.0), *MACHINES[1:])
    tight = toy_problem(tmp_path, configuration, small)
    assert kept(tight, ("a", 1, 2, 99), ("b", 1, 2, 99), ("c", 1, 2, 99), ("d", 4, 1, 99)) == (
        [3, 1, 1, 4], [2, 2, 2, 1], [problem_cache(tight, [2] * 4)[0], 99, 99, 99],
    )  # fmt: skip
    # One move is not always enough.
    few = tuple(replace(each, memory_gb=2.6) for each in MACHINES)
    single = toy_problem(tmp_path, configuration, few)
    found = kept(single, *((name, 1, 1, 99) for name in "abcd"))
    assert sorted(found[0]) == [1, 2, 3, 4] and found[0][3] == 1 and found[2][3] == 99
    assert kept(single, ("a", 1, 1, 9), ("b", 2, 1, 9), ("c", 3, 1, 9), ("d", 3, 1, 9))[0] == (
        [1, 2, 4, 3]
    )
    three = toy_problem(tmp_path, configuration, few[:3])
    assert kept(three, *((name, 1, 1, 99) for name in "abc")) is None


def test_the_order_of_those_who_are_placed(tmp_path, configuration):
    """The largest newcomer first; who moves is no host of its old blocks any more."""
    turned = toy_problem(tmp_path, configuration, MACHINES[::-1])
    assert kept(turned)[:2] == ([1, 1, 3, 1], [1, 2, 2, 4])
    small = (replace(MACHINES[0], memory_gb=4.0), MACHINES[2], MACHINES[3])
    tight = toy_problem(tmp_path, configuration, small)
    found = kept(tight, ("a", 1, 1, 99), ("c", 3, 2, 99), ("d", 1, 1, 99))
    assert found[:2] == ([1, 3, 1], [2, 2, 1])


@pytest.mark.parametrize(
    ("first", "count", "most", "blocks", "placed"),
    [
        ([1, 0], [2, 0], 2, 6, (3, 2)),  # missing blocks, the first of them
        ([3, 0], [2, 0], 3, 6, (1, 3)),
        ([2, 0], [4, 0], 2, 6, (1, 2)),
        ([1, 0], [4, 0], 9, 4, (1, 4)),
        ([1, 0], [5, 0], 2, 6, (5, 2)),
        ([1, 3], [6, 2], 2, 6, (1, 2)),  # all are hosted: least where few are
    ],
)
def test_where_a_window_goes(first, count, most, blocks, placed):
    first, count = np.array([*first, 0]), np.array([*count, 0])
    replan._place(2, most, first, count, blocks)
    assert (first[2], count[2]) == placed


def test_what_has_to_be_loaded(problem, configuration):
    arm = arm_of(problem, configuration, *CHAIN)
    found = loaded_gb(problem, before(("b", 2, 2, 0), ("c", 3, 2, 0), ("x", 1, 4, 0)),
                      arm.placement)  # fmt: skip
    assert found.tolist() == [0, 1, 0, 1]
    heavy = replace(problem, served=problem.served._replace(
        model=problem.served.model.model_copy(update={"block_gb": 2.5})))  # fmt: skip
    assert loaded_gb(heavy, before(), arm.placement).tolist() == [0, 5, 5, 2.5]


OLD = before(("b", 1, 2, 2000), ("c", 3, 2, 2000), ("a", 0, 0, 0), ("d", 4, 1, 999))


def advised(problem, configuration, best_ms, stay_ms=100.0, moving=None, old=OLD, loaded=False):
    """Advice where staying and moving take so long, and the best plan loads a's four blocks."""
    best = arm_of(problem, configuration, [1, 1, 3, 4], [4, 2, 2, 1], "best")
    name = "loaded_ms" if loaded else "mean_alone_ms"
    best.__dict__[name] = best_ms

    def with_time(*given):
        arm = own_arm(*given)
        arm.__dict__[name] = stay_ms
        return arm

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replan, "own_arm", with_time)
        return advice(
            Made(problem, best, (best,), None, ()), old, moving or Moving(), configuration
        )


@pytest.fixture
def standing(monkeypatch, problem, configuration):
    """Staying is as before, with a idle: it loads nothing."""
    arm = arm_of(problem, configuration, *CHAIN)
    monkeypatch.setattr(replan, "kept_placement", lambda *_: arm.placement)
    return arm


def test_to_move_if_it_pays(problem, configuration, standing):
    """Sessions of 128 tokens one after another, for a day; four blocks of 1 GB at 8 s."""
    found = advised(problem, configuration, 50.0)
    assert found.moves and (found.stay_ms, found.best_ms) == (100, 50)
    assert (found.stay_gb, found.best_gb) == (0, 4)
    rate = 1000 / (100 * 128)
    assert found.saved_s == pytest.approx(rate * 86400 * 128 * 0.05)
    assert found.cost_s == pytest.approx(rate * 32 * (16 + 12.8))
    assert found.because == (
        "sessions become 100% faster: 12.0 h of users' time within 24 h, for 0.02 h lost to 32 s of"
        " loading"
    )
    assert (found.stay.name, found.stay.label) == ("kept", "as before, what is missing added")
    assert found.best.name == "best" and found.stay.placement is standing.placement


def test_to_stay_if_it_does_not(problem, configuration, standing):
    near = advised(problem, configuration, 95.0)
    assert not near.moves and near.because == "a new plan is 5% faster, less than 10%"
    slower = advised(problem, configuration, 110.0)
    assert not slower.moves and slower.because == "a new plan is 0% faster, less than 10%"
    even = advised(problem, configuration, 80.0, moving=Moving(hysteresis=0.25))
    assert not even.moves and even.because == "a new plan is 25% faster, less than 25%"
    short = advised(problem, configuration, 50.0, moving=Moving(8.0, 0.01, 0.1))
    assert not short.moves and short.because == (
        "18 s of users' time within 0.01 h do not pay for 72 s lost to 32 s of loading"
    )


def test_what_must_be_loaded_anyway_is_no_cost(problem, configuration, monkeypatch):
    arm = arm_of(problem, configuration, [1, 1, 3, 4], [3, 2, 2, 1])
    monkeypatch.setattr(replan, "kept_placement", lambda *_: arm.placement)
    found = advised(problem, configuration, 50.0, moving=Moving(seconds_per_gb=10.0))
    assert (found.stay_gb, found.best_gb) == (3, 4)
    rate = 1000 / (100 * 128)
    assert found.cost_s == pytest.approx(rate * 10 * (5 + 12.8))
    more = arm_of(problem, configuration, [1, 3, 1, 4], [4, 2, 2, 1])
    monkeypatch.setattr(replan, "kept_placement", lambda *_: more.placement)
    assert advised(problem, configuration, 50.0).cost_s == 0


def test_under_load_the_times_of_the_load_are_compared(tmp_path, configuration, monkeypatch):
    problem = toy_problem(tmp_path, configuration, rate_per_s=0.25, requests=5)
    arm = arm_of(problem, configuration, *CHAIN)
    monkeypatch.setattr(replan, "kept_placement", lambda *_: arm.placement)
    found = advised(problem, configuration, 50.0, loaded=True)
    assert (found.stay_ms, found.best_ms) == (100, 50)
    assert found.saved_s == pytest.approx(0.25 * 86400 * 128 * 0.05)
    for lost in (True, False):
        if lost:
            gone = advised(problem, configuration, 50.0, stay_ms=math.inf, loaded=True)
        else:
            monkeypatch.setattr(replan, "kept_placement", lambda *_: None)
            gone = advised(problem, configuration, 50.0, loaded=True)
        assert gone.moves and gone.stay is None and (gone.best_ms, gone.best_gb) == (50, 4)
        assert all(math.isnan(each) for each in (gone.stay_ms, gone.stay_gb, gone.saved_s,
                                                 gone.cost_s))  # fmt: skip
        assert gone.because == "as it is, some block has no host with room for a session"


def test_who_stays_needs_room_for_a_session(problem, configuration, monkeypatch):
    cache = np.array([0, 255, 9999, 9999])
    tight = Placement(problem.swarm, np.array(CHAIN[0]), np.array(CHAIN[1]), cache)
    monkeypatch.setattr(replan, "kept_placement", lambda *_: tight)
    found = advised(problem, configuration, 50.0)
    assert found.moves and found.stay is None


# Rings and routes -------------------------------------------------------------------------------


def test_a_chain_as_a_ring(tmp_path, configuration):
    """Paris, then b in Rome and c in Oslo: legs of half a hop's overhead, at either end."""
    problem = toy_problem(tmp_path, configuration, forwarding="ring", wire_bytes=1)
    route = arm_of(problem, configuration, *CHAIN).routes[0]
    for level, (rtt, tau, hop_ms) in enumerate(((0.9, 0.91, 4.0), (1, 1, 8.0), (1.28, 1.1, 15.0))):
        found = ring_swarm(problem, 0, route, level)
        assert found.stages_ms == pytest.approx([4 * tau, 20 * tau])
        expected = rtt * np.array([[0, 20, 30], [20, 0, 50], [30, 50, 0.0]])
        assert np.array(found.rtt_ms) == pytest.approx(expected)
        assert found.kb_per_position == 2.0 and found.wire_bytes == 1
        content = found.model_dump()
        assert content["forwarding"].get("overhead_ms_per_leg", None) in (hop_ms / 2, None)
        assert f"{hop_ms / 2}" in str(content["forwarding"])
        whole = pace(found)
        own = ring_pace(problem, 0, route, level)
        assert own == (1000 / whole.tokens_per_s, whole.tokens_per_s, whole.terms())
    assert "idle_restart" in str(found.model_dump()["window"]) + found.model_dump_json()
    hub = toy_problem(tmp_path, configuration, speculation={"chain": {"acceptance": 0.5,
                                                                      "drafts": 2}})  # fmt: skip
    assert "idle_restart" not in ring_swarm(hub, 0, route, 1).model_dump_json()


def test_routes_through_servers_as_they_are(tmp_path, configuration):
    """a hosts all but is far by PETALS' own reckoning of a chain; each is timed by hand."""
    spans = [(0, 4), (0, 2), (2, 2), None]
    machines = [replace(each, span=span) for each, span in zip(MACHINES, spans, strict=True)]
    problem = toy_problem(tmp_path, configuration, machines)
    placement = hosted(problem)
    assert placement.first_block.tolist() == [1, 1, 3, 0]
    assert placement.blocks.tolist() == [4, 2, 2, 0]
    assert placement.cache_tokens.tolist() == [500_000, 125_000, 250_000, 0]
    for client, (alone_ms, far_ms) in enumerate([(14.0, 90.0), (42.0, 92.0)]):
        found = explained(problem, placement, client)
        assert found.client == client and found.better.servers.tolist() == [0]
        assert found.better_ms == pytest.approx(alone_ms)
        assert found.petals_ms in (pytest.approx(alone_ms), pytest.approx(far_ms))
        (hop,) = hops(problem, client, found.better)
        assert hop == {"name": "a", "blocks": 4, "network_ms": alone_ms - 4,
                       "computing_ms": pytest.approx(4.0)}  # fmt: skip
    own = arm_of(problem, configuration, *CHAIN).routes[1]
    assert hops(problem, 1, own) == [
        {"name": "b", "blocks": 2, "network_ms": 58.0, "computing_ms": pytest.approx(4.0)},
        {"name": "c", "blocks": 2, "network_ms": 10.0, "computing_ms": pytest.approx(20.0)},
    ]
    assert REFRESHES == 12


def test_routes_without_room_for_a_session(tmp_path, configuration):
    """PETALS waits: the other route is its own."""
    machine = Machine("a", "L4", 9.0, "Paris", inference_rps=109.0, span=(0, 4), cache_tokens=10)
    problem = toy_problem(tmp_path, configuration, [machine])
    found = explained(problem, hosted(problem), 0)
    assert found.better is found.petals and found.better_ms == found.petals_ms == 50
    half = replace(machine, span=(0, 3))
    lost = toy_problem(tmp_path, configuration, [half])
    with pytest.raises(InfeasibleError):
        explained(lost, hosted(lost), 0)


@pytest.mark.parametrize(
    ("spans", "said"),
    [
        ([None, None], "blocks: got 'nothing'; allowed: blocks a:b that servers host now"),
        ([None, (2, 3)], "blocks of b: got '2:5'; allowed: blocks of toy, 0:4"),
    ],
)
def test_blocks_that_cannot_be(tmp_path, configuration, spans, said):
    machines = [replace(each, span=span) for each, span in zip(MACHINES[:2], spans, strict=True)]
    problem = toy_problem(tmp_path, configuration, machines)
    with pytest.raises(InputError) as refused:
        hosted(problem)
    assert str(refused.value) == f"{tmp_path}: {said}"


def test_blocks_that_leave_no_memory(tmp_path, configuration):
    machine = Machine("a", "L4", 5.0, "Paris", inference_rps=109.0, span=(0, 4))
    problem = toy_problem(tmp_path, configuration, [machine])
    assert hosted(problem).cache_tokens.tolist() == [0]
    just = replace(machine, memory_gb=5.5 + 7 * 4e-6)
    assert hosted(toy_problem(tmp_path, configuration, [just])).cache_tokens.tolist() == [7]
