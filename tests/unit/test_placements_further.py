"""Placements at their boundaries, by hand: files of others, trials, rates, chains, messages."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.registry import PLACEMENT
from bprr.ground.request import Request
from bprr.ground.swarm import Device, LanguageModel, Swarm
from bprr.placement import (
    best,
    cg_bp,
    cg_bp_tuned,
    gbp_cr,
    gsa,
    max_flow,
    petals_rebalanced,
    pipe,
    two_resource,
    windows,
)
from bprr.placement.base import Flows, Placement, PlacementProblem, Trial
from bprr.placement.composed import ChainTable, chain_table, chains_of
from bprr.placement.gca import greedy_chains
from bprr.placement.given import Given, Span, read_spans
from bprr.placement.offloading import Offloading, offloading
from bprr.placement.petals import (
    block_gain,
    petals_blocks,
    petals_placement,
    pool_cache_tokens,
    pool_tokens_per_block,
)
from bprr.placement.pipe import Composition, Terms, compose

REQUEST = Request(0, 4, 6, 10)


def servers(memory_gb, tau_ms=None, blocks=4, rtt=None, **more):
    """Blocks of 1 GB, and 0.01 GB for a token in each."""
    memory_gb = np.array(memory_gb, dtype=float)
    count = memory_gb.size
    model = LanguageModel(
        name="x", blocks=blocks, d_model=1, block_gb=1.0, cache_bytes_per_value=5e6
    )
    none, tau_ms = np.zeros(count), np.ones(count) if tau_ms is None else np.array(tau_ms, float)
    rtt = np.zeros((1, count)) if rtt is None else np.array(rtt, dtype=float)
    return Swarm(model, memory_gb, tau_ms, none, none, rtt, rtt, **more)


class Computing:
    """Sessions of 5 ms at a server for each ms of distance, and of so much a block."""

    def __init__(self, swarm, block_ms=None, work=0.5):
        self.swarm, self.work = swarm, work
        self.block_ms = swarm.tau_ms if block_ms is None else np.array(block_ms, dtype=float)

    def session_terms_ms(self, request):
        return 5 * self.swarm.token_rtt_ms, self.block_ms

    def least_work_ms(self, request, server, blocks, slots):
        return self.work * self.block_ms[server] * blocks


def problem(swarm, rate=1.0, computing=None, **more):
    keys = {"request": REQUEST, "choose_rate": lambda: rate, **more}
    keys["computing"] = computing or Computing(swarm)
    return PlacementProblem(swarm, lambda: 1, 10, np.arange(swarm.servers), **keys)


# --- what a placement is --------------------------------------------------------------------------


def test_placements_are_frozen_whole_numbers():
    swarm = servers([3.0, 2.0])
    found = Placement(swarm, np.array([1.0, 3.0]), np.array([2, 2]))
    for name, values in (("first_block", [1, 3]), ("blocks", [2, 2]), ("cache_tokens", [100, 0])):
        array = getattr(found, name)
        assert (array.tolist(), array.dtype) == (values, np.int64)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    assert found.last_block.tolist() == [2, 4] and found.details == {}
    given = Placement(swarm, np.array([1, 0]), np.array([4, 0]), np.array([7, 8]), {"a": 1})
    assert (given.cache_tokens.tolist(), given.details) == ([7, 8], {"a": 1})


@pytest.mark.parametrize(
    ("first", "blocks", "cache", "words"),
    [
        ([1], [1, 1], [1, 1], r"Placement\.first_block has shape \(1,\)"),
        ([1, 1], [1], [1, 1], r"Placement\.blocks has shape \(1,\)"),
        ([1, 1], [1, 1], [1], r"Placement\.cache_tokens has shape \(1,\)"),
        ([0, 1], [1, 1], [1, 1], "a server hosts blocks outside the model"),
        ([1, 4], [1, 2], [1, 1], "a server hosts blocks outside the model"),
    ],
)
def test_what_is_no_placement(first, blocks, cache, words):
    with pytest.raises(ValueError, match=f"^{words}$"):
        Placement(servers([3.0, 2.0]), np.array(first), np.array(blocks), np.array(cache))


def test_a_server_without_blocks_may_begin_anywhere():
    found = Placement(servers([3.0, 2.0]), np.array([9, 4]), np.array([0, 1]))
    assert found.first_block.tolist() == [9, 4]


def test_what_a_problem_asks():
    swarm, none = servers([3.0]), np.zeros(0, dtype=np.int64)
    flows = Flows(
        np.array([0, 1, 0]), np.array([0, 1, 0]), np.array([1, 2, 2]), np.array([1, 2, 4])
    )
    calls = []
    asked = problem(
        swarm, 2.5, flows_of=lambda placement: flows,
        try_out=lambda *words: calls.append(words) or Trial(1.0, 2.0),
    )  # fmt: skip
    assert (asked.load, asked.rate_per_s, asked.held_tokens) == (1, 2.5, None)
    assert asked.capacity_per_s(None) == flows.rate_per_s == 5.0
    assert asked.flows(None) is flows
    assert asked.trial("where", "how", 3) == Trial(1.0, 2.0)
    assert calls == [("where", "how", 3)]
    assert Flows(none, none, none, np.zeros(0)).rate_per_s == 0.0


# --- files of others ------------------------------------------------------------------------------


def plan(*rows):
    return json.dumps({"placement": list(rows)})


ROW = {"server": 0, "first_block": 1, "blocks": 4}


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        (f" \n{plan(ROW)}", [Span(0, 1, 4)]),
        (
            plan(
                {**ROW, "server": 3, "device": "a", "cache_tokens": 0}, {**ROW, "cache_tokens": 9}
            ),
            [Span(3, 1, 4, "a", 0), Span(0, 1, 4, None, 9)],
        ),
        ("--block_indices 0:3 # 5:6\n--block_indices 2:4\n", [Span(0, 1, 3), Span(1, 3, 2)]),
        ("0:3,1:4", [Span(0, 1, 3), Span(1, 2, 3)]),
        ("x0:3 1:4", [Span(0, 2, 3)]),
        ("1.0:3 1:4", [Span(0, 2, 3)]),
        ("0:3.5 0:3x 1:4", [Span(0, 2, 3)]),
        ("1234567890:3 1:2 1:1234567890", [Span(0, 2, 1)]),
        ("123456789:123456790", [Span(0, 123456790, 1)]),
        ("  [Solution]\ncompute_node_0 = [0, 1]\ncompute_node_2 = [3]\n",
         [Span(0, 1, 2), Span(2, 4, 1)]),
        ("[Settings]\noffset = 2\n[Solution]\ncompute_node_2 = []\ncompute_node_3 = [1, 2]\n",
         [Span(0, 1, 0), Span(1, 2, 2)]),
    ],
)  # fmt: skip
def test_spans_of_a_file(text, spans, tmp_path):
    (tmp_path / "p").write_text(text)
    assert read_spans(tmp_path / "p") == spans


OWN = "a list `placement` of server, first_block, blocks, as bprr solve --json prints it"
LISTED = "bprr solve --json, lines of --block_indices a:b, or a [Solution] of Helix"


@pytest.mark.parametrize(
    ("text", "key", "value", "allowed"),
    [
        ("x" * 70, "file", "x" * 60, LISTED),
        (plan(), "file", plan(), LISTED),
        ("{", "placement", None, OWN),
        ('{"a": 1}', "placement", "KeyError('placement')", OWN),
        (plan({"server": 0}), "placement", "KeyError('first_block')", OWN),
        (plan(3), "placement", None, OWN),
        (plan({**ROW, "server": "0"}), "placement", Span("0", 1, 4), OWN),
        (plan({**ROW, "first_block": 1.0}), "placement", Span(0, 1.0, 4), OWN),
        (plan({**ROW, "blocks": True}), "placement", Span(0, 1, True), OWN),
        (plan({**ROW, "cache_tokens": -1}), "placement", Span(0, 1, 4, None, -1), OWN),
        (plan({**ROW, "cache_tokens": 1.0}), "placement", Span(0, 1, 4, None, 1.0), OWN),
        (plan(ROW, ROW), "servers", [0, 0], "each server once, counted from 0"),
        (plan(*[ROW] * 60), "servers", [0] * 50, "each server once, counted from 0"),
        (plan({**ROW, "server": -1}), "servers", [-1], "each server once, counted from 0"),
        ("[Settings]\noffset = 1\n[Solution]\ncompute_node_0 = [0]\n", "servers", [-1],
         "each server once, counted from 0"),
        ("[Settings]\noffset = x\n[Solution]\ncompute_node_0 = [0]\n", "file", None,
         "a solution file of Helix"),
        ("[Solution]\n[Solution]\n", "file", None, "a solution file of Helix"),
        ("[Solution]\nnode_0 = [0]\n", "Solution", "node_0 = [0]",
         "compute_node_n = [consecutive layers]"),
        ("[Solution]\ncompute_node_0 = [0, 2]\n", "Solution", "compute_node_0 = [0, 2]",
         "compute_node_n = [consecutive layers]"),
        ("[Solution]\ncompute_node_0 = [1, 0]\n", "Solution", "compute_node_0 = [1, 0]",
         "compute_node_n = [consecutive layers]"),
    ],
)  # fmt: skip
def test_files_that_are_no_placement(text, key, value, allowed, tmp_path):
    (tmp_path / "p").write_text(text)
    with pytest.raises(InputError) as refused:
        read_spans(tmp_path / "p")
    assert (refused.value.where, refused.value.key) == (str(tmp_path / "p"), key)
    assert refused.value.allowed == allowed
    assert value is None or (refused.value.value, type(refused.value.value)) == (value, type(value))


def given(swarm, tmp_path, *rows):
    (tmp_path / "p").write_text(plan(*rows))
    return Given(Given.Options(file=tmp_path / "p")).place(problem(swarm))


def row(server, first, blocks, **more):
    return {"server": server, "first_block": first, "blocks": blocks, **more}


def test_a_given_placement_with_its_caches(tmp_path):
    swarm = servers([3.0, 2.0, 9.0, 4.5], device=("a", "b", "b", "c"))
    found = given(
        swarm, tmp_path, row(1, 3, 2, device="b", cache_tokens=5), row(0, 1, 2, cache_tokens=70),
        row(3, 1, 4, cache_tokens=60), row(2, 7, 0, cache_tokens=3),
    )  # fmt: skip
    assert found.first_block.tolist() == [1, 3, 0, 1]
    assert found.blocks.tolist() == [2, 2, 0, 4]
    assert found.cache_tokens.tolist() == [70, 0, 0, 50]  # no more than is left
    found = given(swarm, tmp_path, row(3, 1, 4, cache_tokens=0), row(0, 1, 2))
    assert found.cache_tokens.tolist() == [100, 0, 0, 0]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([row(2, 1, 4)], "server 2: got 'hosts blocks'; allowed: one of 2 servers"),
        ([row(1, 1, 2, device="a")], "server 1: got 'a'; allowed: b, as the scenario draws it"),
        ([row(0, 1, -1)], "server 0: got 'blocks 1 to -1'; allowed: blocks 1 to 4"),
        ([row(0, 0, 1)], "server 0: got 'blocks 0 to 0'; allowed: blocks 1 to 4"),
        ([row(0, 3, 3)], "server 0: got 'blocks 3 to 5'; allowed: blocks 1 to 4"),
        ([row(1, 1, 3)], "server 1: got '3 blocks'; allowed: at most 2, its block_cap"),
    ],
)
def test_given_placements_that_do_not_fit_the_swarm(rows, words, tmp_path):
    swarm = servers([4.0, 4.0], device=("a", "b"), block_cap=np.array([4, 2]))
    with pytest.raises(InputError) as refused:
        given(swarm, tmp_path, *rows)
    assert str(refused.value) == f"{tmp_path / 'p'}: {words}"


def test_given_placements_at_the_memory(tmp_path):
    path = tmp_path / "p"
    assert given(servers([4.0 - 3.9e-9]), tmp_path, row(0, 1, 4)).blocks.tolist() == [4]
    with pytest.raises(InfeasibleError) as refused:
        given(servers([4.0 - 4.1e-9]), tmp_path, row(0, 1, 4))
    assert str(refused.value) == (
        f"infeasible: not enough GPU memory: 0.00 GB missing (server 0 of {path}: 4 blocks)"
    )
    with pytest.raises(InfeasibleError, match=r"memory: 1\.25 GB missing"):
        given(servers([2.75]), tmp_path, row(0, 1, 4))
    with pytest.raises(InfeasibleError) as refused:
        given(servers([9.0], blocks=13), tmp_path, row(0, 3, 2))
    assert str(refused.value) == (
        "infeasible: not enough blocks: 11 of 13 blocks missing "
        f"({path} hosts nowhere 1, 2, 5, 6, 7, 8, 9, 10)"
    )


# --- the best of several --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trial", "rank"),
    [
        (Trial(4.0, 8.0), (False, 4.0)), (Trial(4.0, 8.01), (True, 4.0)),
        (Trial(0.5, 1.0), (False, 0.5)),
    ],
)  # fmt: skip
def test_long_tails_come_last(trial, rank):
    assert best._rank(trial) == rank


class Arms:
    """PIPE that places by the rate, and 2R that has so many placements."""

    def __init__(self, monkeypatch, pipes, twos):
        self.swarm = servers([9.0] * 3, blocks=9)
        self.rates, self.capacity, self.tried = [], {}, []

        def place(_, asked):
            self.rates.append(asked.rate_per_s)
            first = pipes[len(self.rates) - 1]
            if first is None:
                raise InfeasibleError("x", "y")
            return self.at(first)

        found = [two_resource._Candidate(1.0, time, self.at(first)) for time, first in twos]
        monkeypatch.setattr(best.Pipe, "place", place)
        monkeypatch.setattr(best, "candidates", lambda _: iter(found))

    def at(self, first):
        return Placement(
            self.swarm, np.array([first, 1, 1]), np.array([1, 1, 1]), details={"own": first}
        )

    def asked(self, capacity=lambda first: 99.0, trial=None):
        def flows(placement):
            per_s = np.array([capacity(int(placement.first_block[0]))])
            return Flows(np.array([0]), np.array([0]), np.array([1]), per_s)

        def try_out(placement, routing, sessions):
            first = int(placement.first_block[0])
            self.tried.append((first, sessions))
            return trial(first, routing, sessions)

        return problem(self.swarm, 2.0, flows_of=flows, try_out=try_out)

    def found(self, **keys):
        return [
            (int(arm.placement.first_block[0]), arm.routing.name,
             arm.routing.options.model_dump().get("hold_back"))
            for arm in best._arms(self.asked(**keys))
        ]  # fmt: skip


def test_arms_are_tried_once_each(monkeypatch):
    arms = Arms(monkeypatch, [1, 2, 1], [(5.0, 4), (4.0, 3), (6.0, 1)])
    assert arms.found() == [
        (1, "pipe", False), (1, "pipe", True), (2, "pipe", False), (2, "pipe", True),
        (3, "two_resource", None), (4, "two_resource", None),
    ]  # fmt: skip
    assert arms.rates == [2.0, 2.2, 2.5]
    arms = Arms(monkeypatch, [1, None], [(5.0, 4)])
    assert arms.found() == [(1, "pipe", False), (1, "pipe", True), (4, "two_resource", None)]


def test_the_fastest_that_carry_the_rate_or_all(monkeypatch):
    twos = [(float(20 - first), first) for first in range(1, 10)] * 2
    arms = Arms(monkeypatch, [None], twos)
    assert [first for first, *_ in arms.found(capacity=lambda first: first / 2)] == [
        9,
        8,
        7,
        6,
        5,
        4,
    ]
    arms = Arms(monkeypatch, [None], twos)
    # Twelve of eighteen, each of which is there twice.
    assert [first for first, *_ in arms.found(capacity=lambda _: 1.0)] == [9, 8, 7, 6, 5, 4]


def test_the_best_three_are_tried_for_four_times_as_long(monkeypatch):
    arms = Arms(monkeypatch, [None], [(float(first), first) for first in range(1, 6)])

    def trial(first, _, sessions):
        long = {1: 9.0, 2: 5.0, 3: 7.0, 4: 6.0, 5: 8.0}[first]
        return Trial(long if sessions == 50 else -long, 0.0 if first != 5 else 99.0)

    placed = best.Best(best.Best.Options(sessions=50)).place(arms.asked(trial=trial))
    assert arms.tried == [(n, 50) for n in range(1, 6)] + [(2, 200), (4, 200), (3, 200)]
    assert placed.first_block[0] == 3
    assert placed.details["own"] == 3 and placed.details["routing"].name == "two_resource"


def test_one_arm_is_not_tried_and_none_is_an_error(monkeypatch):
    arms = Arms(monkeypatch, [None], [(1.0, 7)])
    assert best.Best().place(arms.asked()).first_block[0] == 7
    assert arms.tried == []
    arms = Arms(monkeypatch, [None], [])
    with pytest.raises(InfeasibleError) as refused:
        best.Best().place(arms.asked())
    assert str(refused.value) == (
        "infeasible: not enough GPU memory: blocks of a whole model missing (PIPE and 2R)"
    )


def test_two_arms_are_both_tried(monkeypatch):
    arms = Arms(monkeypatch, [None], [(1.0, 7), (2.0, 8)])
    placed = best.Best().place(arms.asked(trial=lambda first, *_: Trial(-first, 0.0)))
    assert arms.tried == [(7, 400), (8, 400), (8, 1600), (7, 1600)]
    assert placed.first_block[0] == 8


# --- CG-BP, tuned ---------------------------------------------------------------------------------


def tuned(monkeypatch, load, most, means, **options):
    """Placement of one server at the block that its load is."""
    swarm, tried = servers([99.0], blocks=20), []

    def place(_, load, tokens):
        assert tokens == 10
        return Placement(swarm, np.array([load]), np.array([1]), details={"load": load})

    def try_out(placement, routing, sessions):
        tried.append((placement.details["load"], sessions))
        return Trial(means[tried[-1]], 0.0)

    monkeypatch.setattr(cg_bp_tuned, "cg_bp", place)
    monkeypatch.setattr(cg_bp_tuned, "largest_load", lambda *_: most)
    policy = cg_bp_tuned.CgBpTuned(cg_bp_tuned.CgBpTuned.Options(**options))
    order = np.arange(1)
    asked = PlacementProblem(
        swarm, lambda: load, 10, order, choose_rate=lambda: 1.0, try_out=try_out
    )
    return policy.place(asked).details["load"], tried


def test_two_finalists_and_the_papers(monkeypatch):
    short = {(1, 5): 4.0, (2, 5): 3.0, (4, 5): 2.0, (8, 5): 1.0, (3, 5): 9.0}
    found, tried = tuned(
        monkeypatch, 3, 8, {**short, (8, 20): 5.0, (4, 20): 4.0, (3, 20): 4.5}, loads=4, sessions=5
    )
    assert found == 4
    assert tried == [(3, 5), (1, 5), (2, 5), (4, 5), (8, 5), (8, 20), (4, 20), (3, 20)]
    # The paper's is among the best: it is not tried twice.
    found, tried = tuned(
        monkeypatch, 4, 8, {**short, (8, 20): 5.0, (4, 20): 4.0}, loads=4, sessions=5
    )
    assert found == 4
    assert tried == [(4, 5), (1, 5), (2, 5), (8, 5), (8, 20), (4, 20)]


def test_one_design_is_not_tried(monkeypatch):
    for load, most in ((0, 0), (7, 1), (1, 1)):
        assert tuned(monkeypatch, load, most, {}) == (1, [])
    found, tried = tuned(monkeypatch, 9, 2, {(1, 400): 1, (2, 400): 2, (1, 1600): 2, (2, 1600): 1})
    assert (found, tried) == (2, [(2, 400), (1, 400), (1, 1600), (2, 1600)])


def test_what_cannot_be_tried_in_full():
    asked = problem(servers([9.0]))
    with pytest.raises(InputError) as refused:
        cg_bp_tuned.CgBpTuned().place(asked)
    assert str(refused.value) == (
        "placement: cg_bp_tuned: got 'nothing to simulate with'; allowed: "
        "where sessions can be simulated, as in bprr simulate; or cg_bp"
    )

    def no_rate():
        raise InputError("own.yaml", "workload", None, "x")

    asked = problem(servers([9.0]), choose_rate=no_rate, try_out=lambda *_: Trial(1.0, 1.0))
    with pytest.raises(InputError) as refused:
        cg_bp_tuned.CgBpTuned().place(asked)
    assert str(refused.value) == (
        "own.yaml: design_load.rate_per_s: got None; allowed: a rate (placement cg_bp_tuned)"
    )


def test_cg_bp_says_what_is_missing(monkeypatch):
    """Two requests of ten tokens: 1.2 GB a block."""
    capped = servers([9.0, 1.2], block_cap=np.array([2, 1]))
    full = servers([2.4, 1.2])
    for swarm, load, words in (
        (capped, 2, "blocks within block_cap: 1 of 4 blocks missing (CG-BP with R = 2)"),
        (full, 2, "GPU memory: 1 of 4 blocks, 1.20 GB missing (CG-BP with design load R = 2)"),
        (full, 6, "GPU memory: 3 of 4 blocks, 4.80 GB missing (CG-BP with design load R = 6)"),
        (servers([2.4, 1.2], block_cap=np.array([1, 1])), 2,
         "GPU memory: 2 of 4 blocks, 2.40 GB missing (CG-BP with design load R = 2)"),
        (full, 0, "GPU memory: room for a single session missing (design load R = 0)"),
    ):  # fmt: skip
        with pytest.raises(InfeasibleError) as refused:
            cg_bp.cg_bp(swarm, load, 10)
        assert str(refused.value) == f"infeasible: not enough {words}"
    # It never comes to this where rounding does not make a server hold fewer sessions.
    short = np.zeros(2, dtype=np.int64), np.array([2, 1, 0, 5]), 2
    monkeypatch.setattr(cg_bp, "greedy_windows", lambda *_: short)
    with pytest.raises(InfeasibleError) as refused:
        cg_bp.cg_bp(servers([9.0, 9.0]), 2, 10)
    assert str(refused.value) == (
        "infeasible: not enough session capacity: 2 of 2 sessions at block 3 missing "
        "(CG-BP with design load R = 2; 2 blocks are short)"
    )


# --- GSA ------------------------------------------------------------------------------------------


def gsa_by_the_rule(load, stages, times, sessions):
    """Stage of every server; None where some stage is not served."""
    slow = max(times) + 1
    capacity, waiting, stage_of = [0] * stages, [load * slow] * stages, [0] * len(times)
    for server in sorted(range(len(times)), key=lambda j: times[j]):
        short = [stage for stage in range(stages) if capacity[stage] < load]
        if short:
            stage = max(short, key=lambda each: (waiting[each], -each))
        else:
            stage = min(range(stages), key=lambda each: (capacity[each], each))
        for _ in range(sessions[server]):
            if capacity[stage] < load:
                waiting[stage] -= slow - times[server]
            capacity[stage] += 1
        stage_of[server] = stage
    return stage_of if min(capacity) >= load else None, capacity


def test_gsa_by_the_rule_whatever_servers_hold(monkeypatch):
    """As many sessions as are designed for at the least, but for rounding; here fewer too."""
    rng, found = np.random.default_rng(3), 0
    for _ in range(300):
        count, load = int(rng.integers(2, 9)), int(rng.integers(1, 6))
        tau = rng.integers(1, 9, count)
        swarm = servers(rng.uniform(5.2, 9.0, count), tau, blocks=7)
        sessions = rng.integers(1, load + 3, count)
        monkeypatch.setattr(gsa, "session_capacity", lambda *_, held=sessions: held)
        stage_of, capacity = gsa_by_the_rule(load, 3, tau.tolist(), sessions.tolist())
        monkeypatch.setattr(gsa, "conservative_blocks", lambda *_, n=count: np.full(n, 3))
        if stage_of is None:
            worst = capacity.index(min(capacity))
            with pytest.raises(InfeasibleError) as refused:
                gsa.gsa(swarm, load, 10)
            assert str(refused.value) == (
                f"infeasible: not enough session capacity: {load - capacity[worst]} of {load} "
                f"sessions in stage {worst + 1} of 3 missing (GSA with design load R = {load})"
            )
            continue
        placed = gsa.gsa(swarm, load, 10)
        assert placed.first_block.tolist() == [1 + 3 * stage for stage in stage_of]
        assert placed.blocks.tolist() == [[3, 3, 1][stage] for stage in stage_of]
        assert (placed.details["stages"], placed.details["load"]) == (3, load)
        found += 1
    assert found > 50


# --- GBP-CR and GCA -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("enough", "chains"),
    [
        (0.0, 1), (1 / 30, 1), (1 / 30 + 1e-9, 2), (1 / 30 + 1 / 110 - 1e-9, 2),
        (1 / 30 + 1 / 110 + 1e-9, 3), (1.0, 3),
    ],
)  # fmt: skip
def test_chains_until_they_are_enough(enough, chains):
    order, held = np.array([1, 0, 4, 2, 3, 5]), np.array([2, 2, 0, 3, 1, 4])
    time_ms = np.array([10.0, 20.0, 9.0, 60.0, 50.0, 70.0])
    used = [[2, 2, 0, 0, 0, 0], [2, 2, 0, 3, 1, 0], [2, 2, 0, 3, 1, 4]][chains - 1]
    assert gbp_cr._until_enough(order, held, time_ms, 4, enough).tolist() == used


def test_a_chain_ends_with_the_last_block_and_no_earlier():
    order, held = np.arange(5), np.array([3, 3, 1, 2, 4])
    # The second server begins a block early; of the second chain three servers hold a block each.
    used = gbp_cr._until_enough(order, held, np.full(5, 10.0), 4, 0.06)
    assert used.tolist() == [3, 3, 1, 2, 4]
    used = gbp_cr._until_enough(order, held, np.full(5, 10.0), 4, 0.05)
    assert used.tolist() == [3, 3, 0, 0, 0]


def test_numbers_of_sessions_that_are_tried():
    numbers = gbp_cr._numbers()
    assert numbers[:16] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18]
    assert numbers[-2] < 10_000 <= numbers[-1] == int(numbers[-2] * 1.15)
    assert len(numbers) == 63


def table(times, places):
    count = len(places)
    times = np.array(times, dtype=float)
    return ChainTable(
        np.arange(count + 1), np.arange(count), np.ones(count, dtype=np.int64),
        np.array(places, dtype=float), times,
    )  # fmt: skip


@pytest.mark.parametrize("rate", [0.05, 0.5, 1.3])
def test_jobs_on_the_fastest_places_by_a_long_sum(rate):
    """Means 1000, 2000 and 2500 ms over two clients, of 1, 2 and 1 places."""
    chains = table([[3000.0, 500.0, 2500.0], [1000.0, 1500.0, 2500.0]], [2.9, 1.0, 1.0])
    leaving = [1.0, 1.5, 2.0, 2.4]
    weights = [1.0]
    for n in range(1, 3000):
        weights.append(weights[-1] * rate / leaving[min(n, 4) - 1])
    jobs = sum(n * weight for n, weight in enumerate(weights)) / sum(weights)
    assert gbp_cr.least_response_ms(chains, rate) == pytest.approx(1000 * jobs / rate)


def test_jobs_that_come_too_fast_or_not_at_all():
    chains = table([[1000.0, 2000.0]], [1.0, 1.0])
    assert gbp_cr.least_response_ms(chains, 1.5) == np.inf
    assert gbp_cr.least_response_ms(chains, 1.499999) < np.inf
    assert gbp_cr.least_response_ms(chains, 0.0) == pytest.approx(1000.0)
    assert gbp_cr.least_response_ms(table(np.zeros((1, 0)), []), 0.0) == np.inf


def test_gbp_cr_at_exactly_the_memory():
    swarm = servers([2.2, 2.2], [1.0, 2.0], rtt=[[4.0, 1.0], [8.0, 3.0]])
    found = gbp_cr.GbpCr().place(problem(swarm, 0.01))
    # (6 · 5 + 2) / 2 and (2 · 5 + 4) / 2: the second server first.
    assert (found.first_block.tolist(), found.blocks.tolist()) == ([3, 1], [2, 2])
    assert found.details["sessions"] == 1
    assert found.details["chains"].time_ms.tolist() == [[31.0], [61.0]]
    assert found.details["response_ms"] == pytest.approx(46.0, rel=1e-3)
    for given_sessions, count in ((None, 1), (3, 3)):
        policy = gbp_cr.GbpCr(gbp_cr.GbpCr.Options(sessions=given_sessions))
        with pytest.raises(InfeasibleError) as refused:
            policy.place(problem(servers([2.2, 2.0])))
        assert str(refused.value) == (
            "infeasible: not enough GPU memory: blocks of a whole model missing "
            f"(GBP-CR with cache for {count} sessions)"
        )


@pytest.mark.parametrize(
    ("rate", "options", "used"),
    [
        # Chains of 4 and 8 ms; a rate of 1 takes a load of 0.7 of 250 · 0.7 = 175 per s.
        (175.0, {"sessions": 1}, 1), (175.1, {"sessions": 1}, 2),
        (350.0, {"sessions": 2}, 1), (350.1, {"sessions": 2}, 2),
        (125.0, {"sessions": 1, "most_load": 0.5}, 1),
        (125.1, {"sessions": 1, "most_load": 0.5}, 2),
    ],
)  # fmt: skip
def test_as_many_chains_as_the_rate_needs(rate, options, used):
    swarm = servers([9.0, 9.0], [1.0, 2.0])
    policy = gbp_cr.GbpCr(gbp_cr.GbpCr.Options(**options))
    assert (policy.place(problem(swarm, rate)).blocks > 0).sum() == used


def test_gca_by_hand():
    swarm = servers([4.5, 4.8, 5.0], [1.0, 2.0, 4.0], rtt=[[0.0, 1.0, 0.0], [4.0, 1.0, 0.0]])
    where = Placement(swarm, np.array([1, 3, 1]), np.array([4, 2, 2]))
    found = greedy_chains(where, REQUEST, Computing(swarm))
    # 0 alone: 10 + 4, one session in its five slots; then 2 and 1: 8 + 5 + 4, 30 and 28 slots.
    assert found.server.tolist() == [0, 2, 1]
    assert found.blocks.tolist() == [4, 2, 2]
    assert found.first.tolist() == [0, 1, 3]
    assert found.places.tolist() == [1.0, 14.0]
    assert found.time_ms.tolist() == [[4.0, 17.0], [24.0, 17.0]]
    assert found.disjoint


def test_tables_of_chains():
    swarm = servers([9.0] * 3, [1.0, 2.0, 3.0], rtt=[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    chains = [(np.array([0, 1]), np.array([3, 1])), (np.array([1]), np.array([4]))]
    found = chain_table(chains, [2, 0.5], REQUEST, Computing(swarm))
    assert found.first.tolist() == [0, 2, 3]
    assert found.time_ms.tolist() == [[20.0, 18.0], [50.0, 33.0]]
    assert (found.places.tolist(), found.places.dtype) == ([2.0, 0.5], float)
    assert not found.disjoint
    none = chain_table([], [], REQUEST, Computing(swarm))
    assert (none.first.tolist(), none.time_ms.shape, none.server.size) == ([0], (2, 0), 0)
    assert none.disjoint
    placed = Placement(swarm, np.ones(3), np.ones(3), details={"chains": found})
    assert chains_of(placed) is found
    assert chains_of(Placement(swarm, np.ones(3), np.ones(3), details={"chains": 3})) is None
    assert chains_of(Placement(swarm, np.ones(3), np.ones(3))) is None


# --- 2R -------------------------------------------------------------------------------------------


def test_laid_end_to_end_by_hand():
    first = two_resource.laid_end_to_end(np.array([2, 0, 1, 3, 4]), np.array([3, 3, 2, 0, 1]), 4)
    assert first.tolist() == [2, 1, 1, 0, 4]


def chosen(monkeypatch, found, rate, capacities):
    """Number of the one that is taken of (θ, time)."""
    swarm = servers([9.0], blocks=9)
    made = [
        two_resource._Candidate(
            pace, time, Placement(swarm, np.array([1]), np.array([1]), details={"n": n})
        )
        for n, (pace, time) in enumerate(found)
    ]
    asked = []

    def flows(placement):
        asked.append(placement.details["n"])
        per_s = np.array([capacities[placement.details["n"]]])
        return Flows(np.array([0]), np.array([0]), np.array([1]), per_s)

    monkeypatch.setattr(two_resource, "candidates", lambda *_: iter(made))
    placed = two_resource.TwoResource().place(problem(swarm, rate, flows_of=flows))
    assert len(set(asked)) == len(asked)  # each once
    return placed.details["n"]


@pytest.mark.parametrize(
    ("found", "rate", "capacities", "taken"),
    [
        # The fastest that carries it, and of those as fast the least θ.
        ([(1, 300.0), (2, 200.0), (3, 100.0)], 3.0, [9, 9, 3.9], 1),
        ([(1, 300.0), (2, 200.0), (3, 100.0)], 3.0, [9, 9, 4.0], 2),
        ([(1, 103.0), (2, 102.0), (3, 100.0)], 3.0, [9, 9, 9], 0),
        ([(1, 103.1), (2, 102.0), (3, 100.0)], 3.0, [9, 9, 9], 1),
        ([(1, 103.0), (2, 102.0), (3, 100.0)], 3.0, [3, 9, 9], 1),
        # None does: the most, within three per cent, then time within three, then θ.
        ([(1, 300.0), (2, 200.0), (3, 100.0)], 30.0, [10.3, 10.0, 9.9], 1),
        ([(1, 300.0), (2, 200.0), (3, 100.0)], 30.0, [10.4, 10.0, 9.9], 0),
        ([(1, 103.0), (2, 102.0), (3, 100.0)], 30.0, [10, 10, 10], 0),
        ([(1, 103.1), (2, 102.0), (3, 100.0)], 30.0, [10, 10, 10], 1),
    ],
)
def test_which_placement_2r_takes(monkeypatch, found, rate, capacities, taken):
    assert chosen(monkeypatch, found, rate, capacities) == taken


@pytest.mark.parametrize(
    ("memory", "lacking"), [([2.2, 1.2], 1), ([1.2, 1.2], 2), ([0.5], 4), ([9.0], 1)]
)
def test_2r_and_max_flow_say_what_is_missing(memory, lacking, monkeypatch):
    monkeypatch.setattr(two_resource, "candidates", lambda *_: iter(()))
    monkeypatch.setattr(max_flow, "candidates", lambda *_: iter(()))
    for policy, name in ((two_resource.TwoResource, "2R"), (max_flow.MaxFlow, "max flow")):
        with pytest.raises(InfeasibleError) as refused:
            policy().place(problem(servers(memory)))
        assert str(refused.value) == (
            f"infeasible: not enough GPU memory: {lacking} blocks missing "
            f"({name}, with cache for one session)"
        )


def test_paces_by_hand():
    # Shares of 4, 2, 1 of 3 and of 5 ms; and 9 ms, with which a whole model is held.
    found = two_resource._paces_ms(np.array([3, 3]), np.array([3.0, 5.0]), 4)
    assert found == [3.0, 5.0, 6.0, 9.0, 10.0, 12.0, 20.0]
    # One is held with 6 ms, two with 10; none of what is not held counts.
    found = two_resource._paces_ms(np.array([4, 2, 3]), np.array([3.0, 5.0, 3.0]), 4)
    assert found == [3.0, 5.0, 6.0, 10.0, 12.0, 20.0]
    found = two_resource._paces_ms(np.array([3, 0]), np.array([3.0, 5.0]), 3)
    assert found == [3.0, 5.0, 6.0, 9.0, 10.0, 15.0]
    # Three blocks of the slower one are the last that a model needs.
    found = two_resource._paces_ms(np.array([1, 3]), np.array([3.0, 5.0]), 4)
    assert found == [3.0, 5.0, 6.0, 10.0, 12.0, 15.0, 20.0]


def found_by(swarm, pace_ms=None, **keys):
    return [
        (each.pace_ms, each.alone_ms, each.placement.first_block.tolist(),
         each.placement.blocks.tolist(), each.placement.details)
        for each in two_resource.candidates(problem(swarm, **keys), pace_ms)
    ]  # fmt: skip


def test_candidates_by_hand():
    """10 ms to the faster server; one and two blocks each are too few."""
    swarm = servers([9.0, 9.0], [1.0, 2.0], rtt=[[4.0, 0.0], [0.0, 0.0]])
    assert found_by(swarm) == [
        (3.0, 2 + 10 + 3, [2, 1], [3, 1], {"pace_ms": 3.0}),
        (4.0, 10 + 4, [1, 1], [4, 2], {"pace_ms": 4.0}),
        (8.0, 4 * 2, [1, 1], [4, 4], {"pace_ms": 8.0}),
    ]
    assert found_by(swarm, 5.9) == [(5.9, 14.0, [1, 1], [4, 2], {"pace_ms": 5.9})]
    assert found_by(swarm, 2.9) == []


@pytest.mark.parametrize(
    ("memory_gb", "blocks"),
    [(1.15, 1), (2.35, 2), (2.45, 1), (3.35, 1), (3.45, 2), (4.35, 2), (4.45, 3)],
)
def test_candidates_leave_cache_for_the_sessions_that_saturate_a_server(memory_gb, blocks):
    """8 ms for the fastest chain, over 6 tokens of 0.1 ms a block: 14 sessions, of 0.1 GB each.

    Where there is no room for so many, there is for one.
    """
    swarm = servers([memory_gb, 9.0], [0.1, 2.0], rtt=[[2.0, 0.0]])
    assert {held[0] for *_, held, _ in found_by(swarm)} == {blocks}


def test_no_candidate_where_memory_holds_no_model():
    assert found_by(servers([2.2, 1.2])) == []
    assert len(found_by(servers([2.2, 2.2]))) == 1


# --- the largest flow -----------------------------------------------------------------------------


def moved(rates, moves=60, best_rate=1.0):
    """Servers at blocks 1, 1, 3 and none; what flows is looked up by where they are."""
    swarm = servers([9.0] * 4, [1.0, 2.0, 4.0, 1.0])
    start = Placement(swarm, np.array([1, 1, 3, 0]), np.array([2, 2, 2, 0]), details={"own": 1})
    asked = []

    def flows(placement):
        if placement is start:
            # Server 2 passes least, then 0.
            return Flows(
                np.array([0, 1, 2]), np.array([0, 0, 2]), np.array([2, 2, 4]),
                np.array([0.3, 0.5, 0.2]),
            )  # fmt: skip
        key = tuple(placement.first_block.tolist())
        asked.append(key)
        per_s = np.array([rates.get(key, 0.0)])
        return Flows(np.array([0]), np.array([0]), np.array([4]), per_s)

    found = max_flow._moved(problem(swarm, flows_of=flows), start, best_rate, moves)
    return found.first_block.tolist(), asked


def test_servers_move_to_where_least_is_computed():
    # Without server 2 nothing is computed of 3 and 4; without 0, most of 1 and 2 goes; of 1 less.
    assert moved({}) == ([1, 1, 3, 0], [(1, 1, 3, 0), (3, 1, 3, 0), (1, 3, 3, 0)])
    assert moved({(3, 1, 3, 0): 1.1}) == (
        [3, 1, 3, 0], [(1, 1, 3, 0), (3, 1, 3, 0), (3, 1, 3, 0)],
    )  # fmt: skip
    assert moved({(3, 1, 3, 0): 1.1}, moves=1) == ([1, 1, 3, 0], [(1, 1, 3, 0)])
    assert moved({(3, 1, 3, 0): 1 + 0.9e-6})[0] == [1, 1, 3, 0]
    assert moved({(3, 1, 3, 0): 1 + 1.1e-6})[0] == [3, 1, 3, 0]
    assert moved({(3, 1, 3, 0): 2.0 * (1 + 1e-6)}, best_rate=2.0)[0] == [1, 1, 3, 0]


# --- PIPE -----------------------------------------------------------------------------------------


def terms_of(swarm, work_ms=None, hop_ms=None):
    count = swarm.servers
    return Terms(
        swarm, 10, np.zeros(count) if hop_ms is None else np.array(hop_ms, dtype=float),
        swarm.tau_ms, np.array(work_ms if work_ms is not None else swarm.tau_ms, dtype=float),
    )  # fmt: skip


def test_chains_give_back_what_they_hold_too_much():
    swarm = servers([9.0] * 5, [1.0, 2.0, 3.0, 3.0, 1.0], blocks=7)
    # By time 0, 4, 1, 2, 3. One chain of 3 + 3 + 3 holds two too many: twice from the busiest, 1.
    found = compose(terms_of(swarm), 1, np.array([3, 3, 3, 3, 3]))
    assert found.chain.tolist() == [0, 0, -1, -1, 0] and found.blocks.tolist() == [3, 1, 0, 0, 3]
    assert (found.time_ms.tolist(), found.pace_ms.tolist()) == ([8.0], [3.0])
    # Blocks of nobody's turn go by their time.
    found = compose(terms_of(swarm, np.zeros(5)), 1, np.array([3, 3, 3, 3, 3]))
    assert found.blocks.tolist() == [3, 1, 0, 0, 3]
    assert found.pace_ms.tolist() == [0.0]
    # A server that is no longer needed goes, the smallest first: 2 of 9 are too many.
    found = compose(terms_of(swarm), 1, np.array([4, 0, 0, 5, 2]))
    assert found.chain.tolist() == [0, -1, -1, 0, -1]
    assert found.blocks.tolist() == [4, 0, 0, 3, 0]
    assert compose(terms_of(swarm), 2, np.array([3, 3, 3, 3, 1])) is None
    assert compose(terms_of(swarm), 1, np.array([3, 3, 0, 0, 0])) is None


def test_places_of_chains():
    swarm = servers([2.5, 3.0], [2.0, 1.0], blocks=4)
    # 5 slots of two blocks in the first, 10 in the second: two sessions; 6 ms and a pace of 4.
    found = compose(terms_of(swarm), 1, np.array([2, 2]))
    assert found.places.tolist() == [1.5]
    assert compose(terms_of(swarm, [0.0, 0.0]), 1, np.array([2, 2])).places.tolist() == [2.0]
    found = compose(terms_of(swarm, hop_ms=[4.0, 1.0]), 1, np.array([2, 2]))
    assert (found.time_ms.tolist(), found.places.tolist()) == ([11.0], [2.0])


def composition(times, places):
    none = np.zeros(0, dtype=np.int64)
    times = np.array(times, dtype=float)
    return Composition(none, none, times, times, np.array(places, dtype=float))


def test_the_formula_by_hand():
    found = composition([4000.0, 1000.0], [1.9, 2.0])
    # Three places that pass 2.25 per s: 1333.3 ms each; a third of the time at 0.75 per s.
    load = 0.75 / 2.25
    wait = (3 / 2.25 * 1000 / 3) * load ** (np.sqrt(8) - 1) / (1 - load) / 2
    assert pipe.estimated_ms(found, 0.75) == pytest.approx(1000.0 + wait)
    # At 1.5 two of the three are taken, at 1.875 two and a half: the half is the slow one.
    load = 1.875 / 2.25
    wait = (3 / 2.25 * 1000 / 3) * load ** (np.sqrt(8) - 1) / (1 - load) / 2
    assert pipe.estimated_ms(found, 1.875) == pytest.approx((2 * 1000 + 0.5 * 4000) / 2.5 + wait)
    assert pipe.estimated_ms(found, 2.26) == np.inf
    assert pipe.estimated_ms(composition([1000.0], [1.0]), 1.0) == np.inf
    assert pipe.estimated_ms(composition([1000.0], [1.0]), 0.99) < np.inf
    few = composition([1000.0], [0.4])
    assert pipe.estimated_ms(few, 0.5) == pytest.approx(1000 + 1000 * 0.5**1 / 0.5 / 2)


def test_sessions_one_after_another_by_hand():
    found = composition([1000.0], [1.0])
    # 1000 / 0.97 ms apart at the best; they come every 500 ms.
    late = [n * (1000 / 0.97 - 500) for n in range(5)]
    expected = 1000 + np.mean(late[1:])
    assert pipe.simulated_ms(found, np.ones(5), 2.0) == pytest.approx(expected)
    # A place and a half: one that is free after two thirds.
    late = [max(0.0, n * (1000 / 1.5 / 0.97 - 500)) for n in range(5)]
    found = composition([1000.0], [1.5])
    assert pipe.simulated_ms(found, np.ones(5), 2.0) == pytest.approx(1000 + np.mean(late[1:]))
    assert pipe.simulated_ms(composition([1000.0], [np.inf]), np.ones(5), 2.0) == 1000.0
    many = composition([1000.0, 900.0], [4e9, 2.0])
    assert pipe.simulated_ms(many, np.ones(5), 1.0) == pytest.approx(900.0)


def looked_at(monkeypatch, most, rate=1.0, count=1, blocks=4, work=1.0):
    """Numbers of chains and widths that are tried where none is found."""
    swarm = servers([9.0] * len(most), [1.0] * len(most), blocks=blocks)
    tried = []
    monkeypatch.setattr(pipe, "compose", lambda _, chains, width: tried.append(
        (chains, width.tolist())))  # fmt: skip
    terms = terms_of(swarm, np.full(len(most), work))
    assert list(pipe._compositions(terms, np.array(most), rate)) == []
    return tried


def test_widths_that_are_tried(monkeypatch):
    # Of a chain's pace of 4 ms 0.7 to 1.0 in steps of 0.02, at 1 ms a block: 2, 3, 4 of 9.
    assert looked_at(monkeypatch, [4, 3], 250.0) == [(1, [2, 2]), (1, [3, 3]), (1, [4, 3])]
    assert looked_at(monkeypatch, [4, 3], 250.0, work=0.0) == [(1, [4, 3])]
    found = looked_at(monkeypatch, [50], 10.0, blocks=50)
    assert found == [(1, [min(50, 2 * n)]) for n in (25,)]
    found = looked_at(monkeypatch, [999], 10.0, blocks=999)
    assert found == [(1, [n]) for n in range(70, 101, 2)]


def test_numbers_of_chains_that_are_tried(monkeypatch):
    def chains(servers_with_a_model):
        tried = looked_at(monkeypatch, [1] * servers_with_a_model, blocks=1, work=0.0)
        return [number for number, _ in tried]

    assert chains(40) == list(range(1, 41))
    monkeypatch.setattr(pipe, "MOST_SIMULATED", 40)
    assert chains(40) == list(range(1, 41))
    monkeypatch.setattr(pipe, "MOST_SIMULATED", 39)
    assert chains(40) == [*range(1, 26), 27, 29, 31, 33, 35, 37, 39]


def test_pipe_takes_the_least_time_of_those_that_carry_the_rate(monkeypatch):
    """Three compositions of the same two chains; the rate falls until one carries it."""
    swarm = servers([9.0] * 2)
    found = [
        Composition(np.array([n]), np.array([n]), np.array([9.0 - n]), np.array(pace), np.ones(2))
        for n, pace in enumerate(([200.0, 200.0], [1000.0, 125.0], [500.0, 500.0]))
    ]  # 10, 9 and 4 per s
    rates = []

    def compositions(_, most, rate):
        rates.append(rate)
        return iter(found)

    monkeypatch.setattr(pipe, "_compositions", compositions)
    monkeypatch.setattr(pipe, "simulated_ms", lambda each, gaps, rate: float(each.time_ms[0]))
    monkeypatch.setattr(pipe, "estimated_ms", lambda each, rate: -float(each.time_ms[0]))
    terms = terms_of(swarm)

    def taken(rate):
        rates.clear()
        return int(pipe.plan(terms, np.array([4, 4]), rate).chain[0])

    assert taken(3.9) == 2 and taken(4 / 1.008 - 1e-9) == 2
    assert taken(4 / 1.008 + 1e-9) == 1
    assert taken(9 / 1.008 + 1e-9) == 0
    assert rates == [9 / 1.008 + 1e-9]
    assert taken(10.0) == 0 and rates == [10.0, 9.5]
    monkeypatch.setattr(pipe, "MOST_SIMULATED", 1)
    assert taken(3.9) == 0
    monkeypatch.setattr(pipe, "MOST_SIMULATED", 2)
    assert taken(3.9) == 2


@pytest.mark.parametrize(("count", "simulated"), [(500, True), (501, False)])
def test_what_ranks_the_compositions_of_a_swarm(monkeypatch, count, simulated):
    seen = []
    one = Composition(np.array([0]), np.array([4]), np.ones(1), np.ones(1), np.ones(1))
    monkeypatch.setattr(pipe, "_compositions", lambda *_: iter([one]))
    monkeypatch.setattr(pipe, "simulated_ms", lambda _, gaps, rate: seen.append(gaps) or 1.0)
    monkeypatch.setattr(pipe, "estimated_ms", lambda *_: 1.0)
    pipe.plan(terms_of(servers([9.0] * count)), np.full(count, 4), 1.0)
    drawn = np.random.default_rng(2025).standard_exponential(4000)
    assert [gaps.tolist() for gaps in seen] == ([drawn.tolist()] if simulated else [])


def test_pipe_without_memory_for_a_model():
    with pytest.raises(InfeasibleError) as refused:
        pipe.Pipe().place(problem(servers([2.2, 1.1])))
    assert str(refused.value) == (
        "infeasible: not enough GPU memory: 1 of 4 blocks missing "
        "(PIPE, with cache for one session)"
    )
    placed = pipe.Pipe().place(problem(servers([2.2, 2.2])))
    assert placed.blocks.tolist() == [2, 2] and placed.first_block.tolist() == [1, 3]
    assert pipe.Pipe().place(problem(servers([2.2, 2.2]), 0.0)).blocks.tolist() == [2, 2]


def test_what_pipe_asks_of_the_service():
    """What a block takes at the best, with as many slots beside it as there are, at least one."""
    swarm, asked = servers([3.05, 1.1, 0.5, 9.0]), []

    class Noting(Computing):
        def least_work_ms(self, request, server, blocks, slots):
            asked.append((server.tolist(), blocks.tolist(), slots.tolist()))
            return super().least_work_ms(request, server, blocks, slots)

    pipe.Pipe().place(problem(swarm, computing=Noting(swarm)))
    assert asked == [([0, 1, 2, 3], [1, 1, 1, 1], [20, 1, 1, 80])]


# --- PETALS, offloading ---------------------------------------------------------------------------


def test_petals_in_numbers():
    one = LanguageModel(name="x", blocks=9, d_model=14336, block_gb=1.0,
                        cache_bytes_per_token_per_block=1e9 / 4096)  # fmt: skip
    grouped = one.model_copy(update={"key_value_groups": 2})
    assert [pool_tokens_per_block(model) for model in (one, grouped)] == [4096, 16384]
    assert pool_cache_tokens(one, np.array([0, 3])).tolist() == [0, 12288]
    reserve = 2 * 2**30 / 1e9
    memory = np.array([reserve + 6.0, reserve + 5.99, reserve, 0.5, 99.0])
    none, pairs = np.zeros(5), np.zeros((1, 5))
    swarm = Swarm(one, memory, none + 1, none, none, pairs, pairs)
    assert petals_blocks(swarm).tolist() == [3, 2, 0, 0, 9]
    narrow = Swarm(one.model_copy(update={"d_model": 7168}), *[memory - reserve / 2, none + 1],
                   none, none, pairs, pairs)  # fmt: skip
    assert petals_blocks(narrow).tolist() == [3, 2, 0, 0, 9]


def test_petals_gain_of_a_block():
    swarm = servers([9.0] * 3, forward_rps=np.array([10.0, 10.0, 60.0]),
                    network_rps=np.array([9.0, 9.0, 9.0]))  # fmt: skip
    assert block_gain(swarm, np.array([1, 4, 4])).tolist() == [9.0, 4.0, 9.0]
    words = (
        "devices: forward_rps: got 'nothing'; allowed: "
        "forward_rps and network_rps of every device: PETALS' placement needs them"
    )
    for known in ({}, {"forward_rps": np.ones(1)}, {"network_rps": np.ones(1)}):
        with pytest.raises(InputError) as refused:
            block_gain(servers([9.0], **known), np.array([1]))
        assert str(refused.value) == words


def test_petals_servers_join_where_least_is():
    swarm = servers([9.0] * 4)
    found = petals_placement(
        swarm, np.array([2, 0, 2, 1]), np.array([3.0, 9.0, 1.0, 2.0]), [3, 1, 2, 0]
    )
    # 3 at block 1; 2 at 2 and 3; 0 at 3 and 4, which hold 1 and nothing.
    assert found.first_block.tolist() == [3, 0, 2, 1]
    assert found.details["block_throughput"].tolist() == [2.0, 1.0, 4.0, 3.0]
    assert found.cache_tokens.tolist() == [700, 0, 700, 800]
    given_cache = petals_placement(
        swarm, np.array([2, 0, 2, 1]), np.ones(4), [3], np.array([1, 2, 3, 4])
    )
    assert given_cache.cache_tokens.tolist() == [1, 2, 3, 4]


def rejoined(server, start, width, gain, throughput):
    """Where a server goes that leaves and joins again, and what all blocks then have."""
    without, blocks = list(throughput), len(throughput)
    for block in range(start[server], start[server] + width[server]):
        without[block] -= gain[server]
    ways = range(blocks - width[server] + 1)
    chosen = min(ways, key=lambda at: (sorted(without[at : at + width[server]]), at))
    for block in range(chosen, chosen + width[server]):
        without[block] += gain[server]
    return chosen, without


def rebalanced(order, start, width, gain, throughput, quality, rounds):
    """The rule of docs/baselines.md on lists."""
    moves = 0
    for _ in range(rounds):
        before = moves
        for server in order:
            chosen, after = rejoined(server, start, width, gain, throughput)
            least = 0
            if chosen != start[server]:
                places = [chosen if j == server else at for j, at in enumerate(start)]
                for _ in range(10):
                    going = False
                    for other in order:
                        at, after = rejoined(other, places, width, gain, after)
                        going |= at != places[other]
                        places[other] = at
                    if not going:
                        break
                least = min(after)
            if min(throughput) < (quality - 1e-3) * least:
                start[server], throughput = rejoined(server, start, width, gain, throughput)
                moves += 1
        if moves == before:
            break
    return moves, start, throughput


def test_servers_move_by_the_rule():
    rng, most = np.random.default_rng(8), 0
    for number in range(150):
        blocks, count = int(rng.integers(2, 7)), int(rng.integers(2, 7))
        width = rng.integers(1, blocks + 1, count)
        start = np.array([rng.integers(0, blocks - w + 1) for w in width])
        gain = rng.integers(1, 9, count).astype(float)
        throughput = np.zeros(blocks)
        for j in range(count):
            throughput[start[j] : start[j] + width[j]] += gain[j]
        order, quality = rng.permutation(count), (0.75, 1.0)[number % 2]
        rounds = (1, 2, 20)[number % 3]
        expected = rebalanced(
            order.tolist(), start.tolist(), width.tolist(), gain.tolist(), throughput.tolist(),
            quality, rounds,
        )  # fmt: skip
        moves = petals_rebalanced.rebalance(order, start, width, gain, throughput, quality, rounds)
        assert (moves, start.tolist(), throughput.tolist()) == expected
        most = max(most, moves)
    assert most > 3


@pytest.mark.parametrize(("least", "moves"), [(0.7485, 1), (0.7495, 0)])
def test_a_server_moves_if_it_gains_enough(least, moves):
    """From 1.5 and as much as is said to 1 and half more: a quarter better, or almost."""
    order, start, width = np.array([1, 0, 2]), np.array([0, 0, 1]), np.ones(3, dtype=np.int64)
    gain, throughput = np.array([1.0, 0.5, least]), np.array([1.5, least])
    found = petals_rebalanced.rebalance(order, start, width, gain, throughput, 0.75, 20)
    assert found == moves and start.tolist() == [0, moves, 1]


@pytest.mark.parametrize(("more", "start"), [(0.9e-9, 0), (1.1e-9, 1)])
def test_windows_that_wait_as_long_are_alike(more, start):
    time, capacity = np.array([100.0, 100.0 * (1 + more)]), np.zeros(2, dtype=np.int64)
    assert windows.longest_waiting_window(time, capacity, 1, 1) == start


GPU = Device(name="gpu", tau_ms=3.0, prefill_ms=33.0, prefill_ms_per_token=0.5, memory_gb=10.0)
MODEL = LanguageModel(name="x", blocks=4, d_model=1, block_gb=1.0, cache_bytes_per_value=5e6)


@pytest.mark.parametrize(
    ("bandwidth", "buffered", "tau_ms", "prefill_ms", "cache"),
    [
        (20.0, 2, 50.0, 50.0, 800), (50.0, 9, 20.0, 33.0, 100), (500.0, 1, 3.0, 33.0, 900),
    ],
)  # fmt: skip
def test_offloading_streams_every_block(bandwidth, buffered, tau_ms, prefill_ms, cache):
    found = offloading(MODEL, GPU, bandwidth, buffered, 3)
    swarm = found.swarm
    assert (swarm.tau_ms.tolist(), swarm.prefill_ms.tolist()) == ([tau_ms], [prefill_ms])
    assert swarm.prefill_ms_per_token.tolist() == [0.5] and swarm.memory_gb.tolist() == [10.0]
    for rtt in (swarm.token_rtt_ms, swarm.prompt_rtt_ms):
        assert rtt.tolist() == [[0.0]] * 3
    assert list(swarm.device) == ["gpu with offloading"]
    assert found.cache_tokens.tolist() == [cache]
    assert (found.first_block.tolist(), found.blocks.tolist()) == ([1], [4])
    assert offloading(MODEL, GPU, 20.0).swarm.clients == 1
    assert offloading(MODEL, GPU, 20.0).cache_tokens.tolist() == [800]


def test_offloading_of_half_blocks():
    found = offloading(MODEL.model_copy(update={"block_gb": 0.5}), GPU, 20.0)
    assert found.cache_tokens.tolist() == [900] and found.swarm.tau_ms.tolist() == [25.0]


def test_offloading_refuses_in_words():
    for buffered, missing in ((10, "-0.00"), (12, "2.00")):
        with pytest.raises(InfeasibleError) as refused:
            offloading(MODEL, GPU, 20.0, buffered)
        assert str(refused.value) == (
            f"infeasible: not enough GPU memory: {missing} GB missing "
            "(offloading on gpu: no room for a cache)"
        )
    measured = GPU.model_copy(update={"model": "y"})
    policy = Offloading(Offloading.Options(device="gpu"))
    with pytest.raises(InputError) as refused:
        policy.place(problem(servers([9.0]), devices={"gpu": measured}))
    assert str(refused.value) == (
        "offloading: device: got 'gpu, measured with y'; "
        "allowed: a profile of x, or fleet.scale_profiles: true"
    )
    with pytest.raises(InputError) as refused:
        Offloading().place(problem(servers([9.0]), devices={"gpu": GPU, "other": GPU}))
    assert str(refused.value) == (
        "offloading: device: got 'a100'; allowed: a known device: gpu, other"
    )
    placed = policy.place(problem(servers([9.0], rtt=[[1.0], [2.0]]), devices={"gpu": GPU}))
    assert placed.swarm.clients == 2 and placed.cache_tokens.tolist() == [800]
    assert placed.swarm.tau_ms.tolist() == [31.25]


def test_options_as_they_are_shipped():
    assert Offloading.Options().model_dump() == {
        "device": "a100", "bandwidth_gb_per_s": 32.0, "buffered_blocks": 2,
    }  # fmt: skip
    assert gbp_cr.GbpCr.Options().model_dump() == {"sessions": None, "most_load": 0.7}
    assert cg_bp_tuned.CgBpTuned.Options().model_dump() == {"loads": 8, "sessions": 400}
    assert best.Best.Options().model_dump() == {"sessions": 400}
    assert max_flow.MaxFlow.Options().model_dump() == {"moves": 60}
    assert two_resource.TwoResource.Options().model_dump() == {"pace_ms": None}
    assert petals_rebalanced.PetalsRebalanced.Options().model_dump() == {
        "balance_quality": 0.75, "rounds": 20,
    }  # fmt: skip
    for name in ("best", "gbp_cr", "pipe", "two_resource", "cg_bp", "gsa", "petals", "max_flow"):
        assert PLACEMENT[name].hub_only == (name in ("best", "gbp_cr", "pipe", "two_resource"))
