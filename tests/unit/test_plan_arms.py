"""Placements that are compared, and the choice between them, by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

import bprr.plan.arms as arms
from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.registry import SERVICE
from bprr.placement.base import Placement
from bprr.placement.cg_bp_tuned import design_loads
from bprr.plan.arms import Arm, arms_of, best_of, method_arm, own_arm, rate_arms
from bprr.plan.machines import Machine
from bprr.study.capacity import capacity_per_s

from .toy_plan import MACHINES, arm_of, toy_problem

CHAIN = ([1, 1, 3, 4], [0, 2, 2, 1])  # b and then c; d has the last block too


def test_times_of_a_session_alone(tmp_path, configuration):
    """Paris to b and c: (28 + 2·2) + (38 + 2·10) a token; Oslo: (58 + 4) + (10 + 20)."""
    problem = toy_problem(tmp_path, configuration)
    arm = arm_of(problem, configuration, *CHAIN)
    assert [route.servers.tolist() for route in arm.routes] == [[1, 2], [1, 2]]
    token_ms = [28 + 4 + 38 + 20, 58 + 4 + 10 + 20]
    # A prompt of 128 tokens: 1.05 round trips, what is sent, two blocks of each.
    sent_ms, blocks_ms = 2 * 128 * 0.16, 2 * (2 + 10) * (1 + 128 / 40)
    first_ms = [1.05 * 50 + 16 + sent_ms + blocks_ms, 1.05 * 52 + 16 + sent_ms + blocks_ms]
    assert arm.alone_ms() == pytest.approx(np.array([first_ms, token_ms]).T)
    mean = (np.mean(first_ms) + 127 * np.mean(token_ms)) / 128
    assert arm.mean_alone_ms == pytest.approx(mean)
    low = arm.alone_ms(0)[:, 1]
    assert low == pytest.approx([0.9 * 50 + 8 + 0.91 * 24, 0.9 * 52 + 8 + 0.91 * 24])
    high = arm.alone_ms(2)[:, 0]
    work_ms = 2 * 2 * (2 + 10) * (1 + 128 / 40)
    assert high[0] == pytest.approx(2 * 1.28 * 50 + 30 + 2 * 128 * 0.64 + work_ms)


@pytest.mark.parametrize("tokens", [1, 2, 3])
def test_short_sessions(tmp_path, configuration, tokens):
    problem = toy_problem(tmp_path, configuration, output_tokens=tokens)
    arm = arm_of(problem, configuration, *CHAIN)
    assert arm.alone_ms()[:, 1] == pytest.approx([90, 92])
    first = arm.alone_ms()[:, 0].mean()
    assert arm.mean_alone_ms == pytest.approx((first + (tokens - 1) * 91) / tokens)


def test_rates_of_a_placement(tmp_path, configuration):
    """At each end as machines are then; memory alone as if they computed side by side."""
    problem = toy_problem(tmp_path, configuration, rate_per_s=0.1)
    arm = arm_of(problem, configuration, *CHAIN)
    # c computes longest: 2 blocks × (10 ms × 127 + a prompt's 42).
    assert arm.capacity_per_s == arm.capacity() == pytest.approx(1000 / (2 * (1270 + 42)))
    assert arm.capacity(0) == pytest.approx(1000 / (2 * (0.91 * 1270 + 0.4 * 42)))
    assert arm.capacity(2) == pytest.approx(1000 / (2 * (1.1 * 1270 + 2 * 42)))
    for level in range(3):
        placement = arms.at_level(arm.placement, problem.swarms[level])
        assert placement.swarm is problem.swarms[level]
        assert (placement.cache_tokens == arm.placement.cache_tokens).all()
        alone = SERVICE.build("independent", placement.swarm, 0.0)
        expected = capacity_per_s(placement, problem.request, alone)
        assert arm.capacity(level, memory_alone=True) == expected > arm.capacity(level)
    assert arm.passing_per_s == arm.capacity_per_s


def test_a_flow_that_was_measured(tmp_path, configuration):
    rates = {"L4": [100.0, 80.0], "server": [90.0, 50.0, 7.0], "T4": [70.0]}
    machines = [Machine(each.name, each.gpu or "server", each.memory_gb, each.place)
                for each in MACHINES[1:]]  # fmt: skip
    profile = next(iter(configuration.all_devices.values()))
    known = {
        name: profile.model_copy(update={"name": name, "tokens_per_s": table, "model": None})
        for name, table in rates.items()
    }
    settings = SimpleNamespace(
        all_devices=known, all_models={}, methods=configuration.methods
    )  # only what plans read
    problem = toy_problem(tmp_path, settings, machines)
    arm = arm_of(problem, settings, [1, 3, 4], [2, 2, 1])
    assert arm.passing_per_s == pytest.approx(50)


def test_sessions_under_load(tmp_path, configuration):
    """They come as many times as fast; the mean time per token is over all tokens."""
    problem = toy_problem(tmp_path, configuration, rate_per_s=0.2, requests=12)
    arm = arm_of(problem, configuration, *CHAIN)
    assert arm.method.routing.name == "ws_rr"
    plain, fast, slow = arm.simulated(), arm.simulated(rate=2.0), arm.simulated(2, 0.5)
    arrival_ms = problem.instance.workload.arrival_ms
    assert (plain.workload.arrival_ms == arrival_ms).all()
    assert fast.workload.arrival_ms == pytest.approx(arrival_ms / 2)
    assert slow.workload.arrival_ms == pytest.approx(arrival_ms * 2)
    assert arm.loaded_ms == pytest.approx(plain.completion_ms.mean() / 128)
    assert fast.completion_ms.mean() > plain.completion_ms.mean()
    alone = toy_problem(tmp_path, configuration)
    sole = arm_of(alone, configuration, *CHAIN)
    assert sole.method.routing.name == "shortest_path"
    assert sole.loaded_ms == pytest.approx(sole.mean_alone_ms, rel=0.05)
    assert own_arm(problem, "x", "X", arm.placement, configuration).method == arm.method
    nowhere = arm_of(problem, configuration, [1, 1, 3, 4], [0, 2, 0, 1])
    assert nowhere.loaded_ms == math.inf


def test_a_methods_own_policies_come_first(tmp_path, configuration):
    """Those of the scenario, unless the method says otherwise."""
    problem = toy_problem(tmp_path, configuration, rate_per_s=2.0, requests=6)
    arm = arm_of(problem, configuration, *CHAIN)
    wanted = {"admission": None, "charging": None, "service": None}
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arms, "simulate", lambda *_, **more: seen.append(more))
        for own in (wanted, {"admission": "own", "charging": "his", "service": "theirs"}):
            method = SimpleNamespace(routing="r", **own)
            Arm("x", "X", arm.placement, method, problem).simulated()
    scenario = problem.instance.scenario
    first, second = ({key: each[key] for key in wanted} for each in seen)
    assert first == {key: getattr(scenario, key) for key in wanted}
    assert second == {"admission": "own", "charging": "his", "service": "theirs"}


def test_methods_of_the_settings(tmp_path, configuration):
    problem = toy_problem(tmp_path, configuration, prove_s=0.0)
    arm = method_arm(problem, "petals", configuration)
    assert (arm.name, arm.label) == ("petals", configuration.methods["petals"].label or "petals")
    assert arm.method is configuration.methods["petals"]
    with pytest.raises(InputError) as refused:
        method_arm(problem, "petal", configuration)
    assert str(refused.value) == (
        f"command line: --method: got 'petal'; allowed: best, {', '.join(configuration.methods)}"
    )


# Which are tried --------------------------------------------------------------------------------


def test_each_placement_is_tried_once(tmp_path, configuration, monkeypatch):
    problem = toy_problem(tmp_path, configuration)
    swarm = problem.swarm

    def placed(swarm, load, tokens):
        assert tokens == problem.request.cache_tokens
        if load in (1, 9):
            raise InfeasibleError("GPU memory", "room", f"R = {load}")
        blocks = [0, 2, 2, 1] if load < 5 else [4, 0, 0, 0]
        return Placement(swarm, np.array([1, 1, 3, 4]), np.array(blocks))

    monkeypatch.setattr(arms, "cg_bp", placed)
    monkeypatch.setattr(arms, "_loads", lambda _: [1, 2, 4, 5, 7, 9])
    found = list(arms_of(problem, configuration))
    assert [(each.name, each.label) for each in found] == [
        ("cg_bp_2", "CG-BP for R = 2"), ("cg_bp_5", "CG-BP for R = 5"),
    ]  # fmt: skip
    assert found[0].placement.swarm is swarm
    monkeypatch.setattr(arms, "_loads", lambda _: [1, 9])
    with pytest.raises(InfeasibleError, match="R = 1"):
        list(arms_of(problem, configuration))


def test_design_loads_that_are_tried(tmp_path, configuration, monkeypatch):
    """Powers of two as far as they fit; one more for the rate, where there is one."""
    asked, ways = [], []

    def suffice(swarm, load, tokens):
        asked.append(load)
        assert tokens == 256
        return load <= 100

    monkeypatch.setattr(arms, "conservative_blocks_suffice", suffice)
    monkeypatch.setattr(arms, "choose_design_load", lambda *given: ways.append(given) or 23)
    problem = toy_problem(tmp_path, configuration)
    assert arms._loads(problem) == sorted(set(design_loads(64, 8)))
    assert asked == [2, 4, 8, 16, 32, 64, 128] and not ways
    loaded = toy_problem(tmp_path, configuration, rate_per_s=3.0)
    assert arms._loads(loaded) == sorted({*design_loads(64, 8), 23})
    assert ways[0][2:] == (3.0, 0.0)
    monkeypatch.setattr(arms, "conservative_blocks_suffice", lambda *_: True)
    assert arms._loads(problem) == sorted(set(design_loads(65536, 8)))
    monkeypatch.setattr(arms, "LARGE", 3)
    assert arms._loads(problem) == sorted(set(design_loads(65536, 4)))
    monkeypatch.setattr(arms, "LARGE", 4)
    assert arms._loads(problem) == sorted(set(design_loads(65536, 8)))


def test_placements_for_a_rate(tmp_path, configuration, monkeypatch):
    def names(**wish):
        problem = toy_problem(tmp_path, configuration, **wish)
        return [(arm.name, arm.label) for arm in rate_arms(problem, configuration)]

    methods = configuration.methods
    rated = [
        ("pipe_blocks", f"{methods['pipe'].label or 'pipe'}'s blocks"),
        ("two_resource_blocks", f"{methods['two_resource'].label or 'two_resource'}'s blocks"),
    ]
    at_rate = {"rate_per_s": 0.5, "objective": "latency-at-rate", "requests": 5}
    chains = ("chains", "chains of the largest rate")
    assert names(rate_per_s=0.5) == names() == []
    assert names(**at_rate) == rated
    assert names(objective="throughput") == [chains, *rated]
    monkeypatch.setattr(arms, "MOST_RATED", 4)
    assert names(**at_rate) == rated
    monkeypatch.setattr(arms, "MOST_RATED", 3)
    assert names(**at_rate) == []


def test_large_swarms_are_spared_placements_for_a_rate(monkeypatch, configuration):
    """From 201 servers on."""

    class Runner:
        def __init__(self, instance):
            asked.append(instance)

        def placement(self, *_):
            raise InfeasibleError("GPU memory", "room", "anywhere")

    monkeypatch.setattr(arms, "MethodRunner", Runner)
    for servers, count in ((200, 1), (201, 0)):
        asked = []
        problem = SimpleNamespace(
            swarm=SimpleNamespace(servers=servers), instance="load",
            wish=SimpleNamespace(objective="latency-at-rate"),
        )  # fmt: skip
        assert list(rate_arms(problem, configuration)) == []
        assert asked == ["load"] * count


# The choice -------------------------------------------------------------------------------------


def fake(name, alone=10.0, capacity=1.0, loaded=20.0, passing=None, blocks=(1,), first=(1,)):
    placement = SimpleNamespace(first_block=np.array(first), blocks=np.array(blocks))
    return SimpleNamespace(
        name=name, mean_alone_ms=alone, capacity_per_s=capacity, loaded_ms=loaded,
        passing_per_s=capacity if passing is None else passing, placement=placement,
    )  # fmt: skip


def chosen(candidates, objective="latency", rate=None, servers=10, fitting=()):
    """Name of the choice, where some have a variant whose caches fit."""
    problem = SimpleNamespace(
        wish=SimpleNamespace(objective=objective, loaded=rate is not None),
        instance=SimpleNamespace(rate_per_s=1.0 if rate is None else rate),
        swarm=SimpleNamespace(servers=servers),
    )
    variants = dict(fitting)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arms, "with_fitting_caches", lambda arm: variants.get(arm.name))
        patch.setattr(arms, "_can_carry", lambda arm, least: arm is not None and least == rate)
        return best_of(problem, candidates).name


@pytest.mark.parametrize(
    ("candidates", "more", "name"),
    [
        # Of the flow; of equal ones (to a milliardth) the faster; of all equal ones the first.
        ([fake("a", 1, 1), fake("b", 5, 2)], {"objective": "throughput"}, "b"),
        ([fake("a", 5, 2 + 2e-10), fake("b", 1, 2)], {"objective": "throughput"}, "b"),
        ([fake("a", 5, 2 + 2e-9), fake("b", 1, 2)], {"objective": "throughput"}, "a"),
        ([fake("a", 5, 1, passing=9), fake("b", 1, 2)], {"objective": "throughput"}, "a"),
        # One session at a time: the fastest, whatever it carries.
        ([fake("a", 5, 9), fake("b", 1, 0)], {}, "b"),
        ([fake("a", 5, 9), fake("b", 1, 0)], {"rate": math.nan}, "b"),
        # The fastest that carries more than the rate; the widest if none does.
        ([fake("a", 5, 9), fake("b", 1, 1), fake("c", 7, 9)], {"rate": 1.0}, "a"),
        ([fake("a", 5, 9), fake("b", 1, 1.1), fake("c", 7, 9)], {"rate": 1.0}, "b"),
        ([fake("a", 5, 3), fake("b", 1, 2)], {"rate": 3.0}, "a"),
        ([fake("a", 5, 2 + 2e-10), fake("b", 1, 2)], {"rate": 3.0}, "b"),
        ([fake("a", 5, 2 + 2e-9), fake("b", 1, 2)], {"rate": 3.0}, "a"),
    ],
)
def test_what_the_objective_prefers(candidates, more, name):
    assert chosen(candidates, **more) == name


AT_RATE = {"objective": "latency-at-rate", "rate": 1.0}


@pytest.mark.parametrize(
    ("candidates", "more", "name"),
    [
        ([fake("a", 1, 2, 30), fake("b", 2, 2, 20, blocks=(2,))], {}, "b"),
        ([fake("a", 1, 2, 30), fake("b", 2, 1, 20, blocks=(2,))], {}, "a"),  # b carries too little
        # Four different ones that are fastest alone are simulated, and the widest.
        ([fake(str(n), n, 2, 30 - n, blocks=(n,)) for n in range(1, 7)], {}, "4"),
        ([fake(str(n), n, 2 + n, 30 - n, blocks=(n,)) for n in range(1, 7)], {}, "6"),
        ([fake(str(n), n, 2, 30 - n, blocks=(n,)) for n in range(1, 7)], {"servers": 501}, "2"),
        ([fake(str(n), n, 2, 30 - n, blocks=(n,)) for n in range(1, 7)], {"servers": 500}, "4"),
        # The same blocks count once, also where others lie between them; the fastest stands.
        ([fake(str(n), n, 2, 30 - n, blocks=(n % 2,)) for n in range(1, 9)], {}, "2"),
        ([fake(str(n), n, 2, 30 - n, first=(max(n - 2, 1),)) for n in range(1, 7)], {}, "6"),
        # Those placed for a rate are always simulated, and have to be faster by a tenth.
        ([fake(str(n), n, 2, 30, blocks=(n,)) for n in range(1, 5)]
         + [fake("pipe_blocks", 9, 2, 27)], {}, "pipe_blocks"),
        ([fake(str(n), n, 2, 30, blocks=(n,)) for n in range(1, 5)]
         + [fake("two_resource_blocks", 9, 2, 27.3)], {}, "1"),
        ([fake("pipe_blocks", 1, 2, 27.3), fake("a", 2, 2, 30)], {}, "a"),
        # Variants with caches that fit, of all that are tried.
        ([fake("a", 1, 2, 30), fake("b", 2, 2, 20, blocks=(2,))],
         {"fitting": {"a": fake("a_fitting", 1, 2, 10)}}, "a_fitting"),
        ([fake(str(n), n, 2, 30, blocks=(n,)) for n in range(1, 7)],
         {"fitting": {"5": fake("5_fitting", 1, 2, 10)}}, "1"),
    ],
)  # fmt: skip
def test_what_is_simulated_and_chosen(candidates, more, name):
    assert chosen(candidates, **AT_RATE, **more) == name


def test_caches_that_computing_allows(tmp_path, configuration):
    """1.3 times the sessions that fill a token's time, rounded up, and at least one."""
    problem = toy_problem(tmp_path, configuration)
    arm = arm_of(problem, configuration, *CHAIN)
    found = arms.with_fitting_caches(arm)
    assert (found.name, found.label) == ("own_fitting", "arm own, caches as computing allows")
    # A token takes 91 ms: b works 4 of it, c 20 and d half a ms.
    sessions = [math.ceil(1.3 * 91 / 4), math.ceil(1.3 * 91 / 20), math.ceil(1.3 * 91 / 0.5)]
    assert sessions == [30, 6, 237]
    full = arm.placement.cache_tokens
    fits = [0, *(min(n * blocks * 256, int(had)) for n, blocks, had in
                 zip(sessions, (2, 2, 1), full[1:], strict=True))]  # fmt: skip
    assert found.placement.cache_tokens.tolist() == fits
    assert fits[1] < full[1] and fits[2] < full[2] and fits[3] < full[3]
    assert (found.placement.blocks == arm.placement.blocks).all()
    slow = toy_problem(
        tmp_path, configuration,
        [Machine("a", "", 9.0, "Paris", inference_rps=1.09)], clients=("Paris",),
    )  # fmt: skip
    one = arms.with_fitting_caches(arm_of(slow, configuration, [1], [4]))
    assert one.placement.cache_tokens.tolist() == [2 * 4 * 256]


def test_who_can_carry_a_rate(tmp_path, configuration, monkeypatch):
    problem = toy_problem(tmp_path, configuration)
    arm = arm_of(problem, configuration, *CHAIN)
    most = arm.capacity_per_s
    assert arms._can_carry(arm, most * 0.999) and not arms._can_carry(arm, most)
    cacheless = arm_of(problem, configuration, [1, 1, 3, 4], [0, 2, 1, 1])
    cache = np.array([0, 255, 999, 999])
    small = Placement(problem.swarm, cacheless.placement.first_block,
                      cacheless.placement.blocks, cache)  # fmt: skip
    assert not arms._can_carry(own_arm(problem, "x", "X", small, configuration), 0.0)
    monkeypatch.setattr(arms, "LARGE", 3)
    assert arms._can_carry(arm, most * 2)  # of many servers, no linear programme
    monkeypatch.setattr(arms, "LARGE", 4)
    assert not arms._can_carry(arm, most * 2)
