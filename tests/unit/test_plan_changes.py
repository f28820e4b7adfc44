"""What changes would do, what is said of a plan, and what its sessions see, by hand."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import bprr.plan.changes as changes
import bprr.plan.make as make
import bprr.plan.predict as predict
from bprr.ground.errors import InfeasibleError
from bprr.placement.base import Placement
from bprr.plan.arms import own_arm
from bprr.plan.changes import Change, changed_inventory, halved_distances, losses, most_rate, spares
from bprr.plan.goal import Goal
from bprr.plan.known import Grade, Known
from bprr.plan.machines import Inventory, Machine
from bprr.plan.make import Made, Optimum, bottleneck, plan_of, standard_changes
from bprr.plan.predict import chains, curve, loaded, rates

from .refusals import refused_text
from .toy_plan import MACHINES, SERVED, arm_of, round_trips, toy_problem

CHAIN = ([1, 1, 3, 4], [0, 2, 2, 1])


# Changes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("Paris", "--what-if: got 'Paris'; allowed: +GPU@PLACE, +2xGPU@PLACE or -NAME"),
        ("-e", "--what-if: got '-e'; allowed: -NAME of a, b, c, d"),
    ],
)
def test_changes_that_cannot_be(tmp_path, what, said):
    told = refused_text(changed_inventory, Inventory(tmp_path, MACHINES), what)
    assert told == f"command line: {said}"
    many = Inventory(tmp_path, tuple(Machine(f"m{n}") for n in range(40)))
    names = ", ".join(f"m{n}" for n in range(30))
    assert refused_text(changed_inventory, many, "-e").endswith(f"allowed: -NAME of {names}")


def test_machines_more_and_less(tmp_path):
    inventory = Inventory(tmp_path, MACHINES, ("remark",))
    found = changed_inventory(inventory, "+3x T4 @ Oslo ")
    assert found.remarks == ("remark",)
    added = [replace(MACHINES[3], name=f"new-{n}", place="Oslo") for n in (1, 2, 3)]
    assert found.machines == (*MACHINES, *added)
    assert len(changed_inventory(inventory, "+0xT4@Oslo").machines) in (4, 5)
    assert changed_inventory(inventory, "-c").machines == (*MACHINES[:2], MACHINES[3])


def test_half_of_the_distances(tmp_path, configuration):
    problem = toy_problem(tmp_path, configuration)
    swarm = problem.swarm
    half = halved_distances(swarm)
    raw = swarm.raw_rtt_ms / 2
    assert half.raw_rtt_ms == pytest.approx(raw)
    assert half.token_rtt_ms == pytest.approx(raw + 8)
    assert half.prompt_rtt_ms == pytest.approx(1.05 * raw + 8)
    assert half.server_rtt_ms == pytest.approx(swarm.server_rtt_ms / 2)
    assert halved_distances(replace(swarm, server_rtt_ms=None)).server_rtt_ms is None
    assert (half.tau_ms == swarm.tau_ms).all()
    other = changes.with_swarm(problem, lambda each: replace(each, memory_gb=each.memory_gb * 2))
    assert all((each.memory_gb == 2 * swarm.memory_gb).all() for each in other.swarms)
    assert other.instance.swarm is other.swarm
    ends = zip(other.swarms, problem.swarms, strict=True)
    assert all((one.tau_ms == two.tau_ms).all() for one, two in ends)


def test_a_plan_after_a_change(tmp_path, configuration, monkeypatch):
    """Chosen by latency where simulations would be asked for; or why there is none."""
    problem = toy_problem(tmp_path, configuration, rate_per_s=0.1, objective="latency-at-rate")
    arm = arm_of(problem, configuration, *CHAIN)
    seen = []
    monkeypatch.setattr(changes, "arms_of", lambda problem, _: seen.append(problem.wish) or ["x"])
    monkeypatch.setattr(changes, "rate_arms", lambda problem, _: ["y"])
    monkeypatch.setattr(changes, "best_of", lambda problem, found: seen.append(found) or arm)
    found = changes.replanned("this", lambda: problem, configuration)
    assert found == Change("this", arm.mean_alone_ms, arm.capacity_per_s, "")
    assert seen[0].objective == "latency" and seen[1] == ["x", "y"]
    widest = toy_problem(tmp_path, configuration, objective="throughput")
    changes.replanned("this", lambda: widest, configuration)
    assert seen[2].objective == "throughput"

    def fails():
        raise InfeasibleError("GPU memory", "1 GB", "anywhere")

    told = changes.replanned("that", fails, configuration)
    assert told.what == "that" and math.isnan(told.mean_ms) and math.isnan(told.capacity_per_s)
    assert told.why_not.startswith("infeasible: not enough GPU memory: 1 GB")


def test_servers_lost_in_turn(tmp_path, configuration):
    """Blocks gone; a detour; nobody missed; nobody with room for a session."""
    machines = [*MACHINES, replace(MACHINES[0], name="e"), replace(MACHINES[2], name="f")]
    problem = toy_problem(tmp_path, configuration, machines, clients=("Paris",))
    first, blocks = np.array([1, 1, 3, 4, 1, 1]), np.array([3, 2, 2, 1, 0, 3])
    arm = arm_of(problem, configuration, first, blocks)
    assert [route.servers.tolist() for route in arm.routes] == [[0, 3]]

    # Without a: over b and c; without d: over a and then c (38 + 10).
    def mean(later_ms, servers, processed):
        tau = np.array([1.0, 2.0, 10.0, 0.5, 1.0, 10.0])[servers]
        raw = np.array([2.0, 20.0, 30.0, 20.0, 2.0, 30.0])[servers]
        prompt = (1.05 * raw + 8 + 128 * 0.16 + np.array(processed) * tau * (1 + 3.2)).sum()
        assert later_ms == (raw + 8 + tau * processed).sum()
        return (prompt + 127 * later_ms) / 128

    found = {each.server: each for each in losses(arm)}
    assert list(found) == [0, 1, 2, 3, 5]
    assert not any(each.blocks_lost for each in found.values())
    assert found[0].mean_ms == pytest.approx(mean(90.0, [1, 2], [2, 2]))
    assert found[3].mean_ms == pytest.approx(mean(61.0, [0, 2], [3, 1]))
    for server in (1, 2, 5):
        assert found[server].mean_ms == arm.mean_alone_ms
    sole = arm_of(problem, configuration, first, np.array([3, 2, 0, 1, 0, 0]))
    gone = {each.server: (each.blocks_lost, each.mean_ms) for each in losses(sole)}
    assert [gone[server][0] for server in gone] == [1, 0, 1]
    assert math.isnan(gone[0][1]) and gone[1][1] == sole.mean_alone_ms
    full = np.array([9999, 9999, 255, 9999, 0, 9999])
    tight = Placement(problem.swarm, first, np.array([3, 2, 2, 1, 0, 0]), full)
    lost = {each.server: each for each in losses(own_arm(problem, "x", "X", tight, configuration))}
    assert lost[3].blocks_lost == 0 and math.isnan(lost[3].mean_ms)


def test_a_server_that_one_of_two_clients_needs(tmp_path, configuration):
    """Oslo goes over e at home, at 4 ms a block; without it as Paris does, and back."""
    near = Machine("e", "L4", 7.5, "Oslo", inference_rps=272.5)
    problem = toy_problem(tmp_path, configuration, [*MACHINES, near])
    arm = arm_of(problem, configuration, [1, 1, 3, 4, 1], [4, 0, 0, 0, 4])
    assert [route.servers.tolist() for route in arm.routes] == [[0], [4]]
    a, e = losses(arm)
    to_a = arm_of(problem, configuration, [1, 1, 3, 4, 1], [4, 0, 0, 0, 0])
    to_e = arm_of(problem, configuration, [1, 1, 3, 4, 1], [0, 0, 0, 0, 4])
    assert (a.server, a.blocks_lost, e.server, e.blocks_lost) == (0, 0, 4, 0)
    assert a.mean_ms == pytest.approx(to_e.mean_alone_ms)
    assert e.mean_ms == pytest.approx(to_a.mean_alone_ms)
    assert a.mean_ms > arm.mean_alone_ms < e.mean_ms


def test_spares_of_heavier_blocks(tmp_path, configuration):
    served = SERVED._replace(model=SERVED.model.model_copy(update={"block_gb": 0.5}))
    problem = toy_problem(tmp_path, configuration, served=served)
    arm = arm_of(problem, configuration, [1, 1, 1, 1], [4, 1, 0, 0])
    assert spares(arm.placement) == [(0, 2, 4, 1.5)]


def simulating(meets, rate=2.0, capacity=64.0):
    """An arm whose sessions take as many ms as they come a second, from a rate on for ever."""

    def simulated(rate):
        if not rate * 2.0 < meets:
            raise InfeasibleError("GPU memory", "room", "anywhere")
        return rate * 2.0

    return SimpleNamespace(
        problem=SimpleNamespace(instance=SimpleNamespace(rate_per_s=rate)),
        capacity_per_s=capacity, simulated=simulated,
    )  # fmt: skip


def test_the_largest_rate_by_bisection(monkeypatch):
    monkeypatch.setattr(
        changes, "quantities_of",
        lambda rate: {"ttft_ms": {"p95": 10 * rate}, "token_ms": {"mean": rate}},
    )  # fmt: skip
    goals = [Goal("token", 8.0, "mean")]
    # Nine halvings of a factor of 64 in its logarithm.
    step = 64.0 ** (1 / 2**9)
    found = most_rate(simulating(1e9), goals)
    assert found <= 8.0 < found * step * (1 + 1e-12)
    assert most_rate(simulating(1e9), [*goals, Goal("ttft", 50.0, "p95")]) == pytest.approx(
        5.0, rel=step - 1
    )
    assert most_rate(simulating(3.0), goals) == pytest.approx(3.0, rel=step - 1)
    assert most_rate(simulating(1e9), [Goal("token", 1.0, "mean")]) >= 1.0  # exactly at the end
    assert most_rate(simulating(1e9), [Goal("token", 0.99, "mean")]) == 0.0
    assert most_rate(simulating(1e9), [Goal("token", 1e9, "mean")]) == pytest.approx(64 / step**1)


# What is made -----------------------------------------------------------------------------------


def made_of(problem, arm, *others):
    return Made(problem, arm, (arm, *others), None, ())


def test_standard_changes(tmp_path, configuration, monkeypatch):
    problem = toy_problem(tmp_path, configuration)
    arm = arm_of(problem, configuration, *CHAIN)
    made, seen = made_of(problem, arm), {}

    def replanned(what, problem_made, settings):
        seen[what] = problem_made()
        return Change(what, 1.0, 1.0)

    monkeypatch.setattr(make, "replanned", replanned)
    rtt = round_trips(tmp_path)
    found = standard_changes(made, SERVED, configuration, ["-b", "+T4@Oslo"], rtt)
    whats = ["-b", "+T4@Oslo", "distances halved", "twice the memory", "+T4@Paris"]
    assert [each.what for each in found] == whats
    assert [len(seen[what].inventory.machines) for what in whats] == [3, 5, 4, 4, 5]
    assert seen["distances halved"].swarm.raw_rtt_ms == pytest.approx(problem.swarm.raw_rtt_ms / 2)
    assert seen["twice the memory"].swarm.memory_gb == pytest.approx(2 * problem.swarm.memory_gb)
    assert seen["+T4@Oslo"].inventory.machines[4].place == "Oslo"
    monkeypatch.setattr(make, "LARGE", 3)
    few = standard_changes(made, SERVED, configuration, ["-b"], rtt)
    assert [each.what for each in few] == ["-b"]
    monkeypatch.setattr(make, "LARGE", 4)
    assert len(standard_changes(made, SERVED, configuration, ["-b"], rtt)) == 4


@pytest.mark.parametrize(
    ("gpus", "places", "clients", "what"),
    [
        (("L4", "T4"), ("Paris", "Rome"), ("Rome", "Paris"), "+T4@Rome"),
        (("L4", "T4"), ("Paris", "Oslo"), ("Rome",), "+T4@Paris"),  # the nearest one's place
        (("L4", ""), ("Paris", "Oslo"), ("Paris",), None),
    ],
)
def test_one_more_of_the_fastest(tmp_path, configuration, gpus, places, clients, what):
    machines = [
        Machine(name, gpu, 9.0, place, inference_rps=rps)
        for name, gpu, place, rps in zip("ab", gpus, places, (100.0, 200.0), strict=True)
    ]
    problem = toy_problem(tmp_path, configuration, machines, clients=clients)
    described = replace(problem, inventory=Inventory(tmp_path / "servers.csv", tuple(machines)))
    assert make._one_more(SimpleNamespace(problem=described)) == what
    if what == "+T4@Rome":  # hosts of a folder are at the place of the nearest one
        assert make._one_more(SimpleNamespace(problem=problem)) == "+T4@Rome"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], ""),
        ([Change("a", math.nan, math.nan, "no")], ""),
        ([Change("a", 1.0, 1.0), Change("b", 0.5, 0.5), Change("c", 2.0, 3.0)],
         ". Of the changes tried, b helps a session alone most: × 2.00; c the sustained rate:"
         " × 3.00"),
        ([Change("a", 1 / 1.004, 1.004)], ""),
        ([Change("a", 1 / 1.006, 1.004)],
         ". Of the changes tried, a helps a session alone most: × 1.01"),
        ([Change("a", 1.0, 1.006)], "; a the sustained rate: × 1.01"),
        ([Change("a", 1.0, 1.005)], ""),
        ([Change("a", math.nan, 9.0), Change("b", 1.0, 2.0)], "; b the sustained rate: × 2.00"),
    ],
)  # fmt: skip
def test_what_a_token_waits_for(tmp_path, configuration, found, said):
    """Of 2 · 90 ms + 2 ms, 48 compute; two servers on each chain."""
    problem = toy_problem(tmp_path, configuration)
    arm = arm_of(problem, configuration, *CHAIN)
    arm.__dict__.update(mean_alone_ms=1.0, capacity_per_s=1.0)
    begin = "distance: of a token's 91 ms alone, 74% are network over 2.0 servers and 26% computing"
    assert bottleneck(made_of(problem, arm), found) == f"{begin}{said}."
    arm.__dict__.update(capacity_per_s=0.0)
    assert "sustained" not in bottleneck(made_of(problem, arm), found)


def test_what_a_token_waits_for_where_machines_are_slow(tmp_path, configuration):
    machines = [replace(each, inference_rps=each.inference_rps / 10) for each in MACHINES]
    problem = toy_problem(tmp_path, configuration, machines)
    arm = arm_of(problem, configuration, *CHAIN)
    assert bottleneck(made_of(problem, arm), []) == (
        "computing: of a token's 307 ms alone, 22% are network over 2.0 servers and 78% computing."
    )
    slow = replace(MACHINES[0], inference_rps=436.0)  # four blocks as long as the way
    one = toy_problem(tmp_path, configuration, [slow], clients=("Paris",))
    even = arm_of(one, configuration, [1], [4])
    assert bottleneck(made_of(one, even), []).startswith("computing: of a token's 20 ms alone, 50%")


# A plan -----------------------------------------------------------------------------------------


def planned(tmp_path, configuration, method="best", given=None, machines=MACHINES, **wish):
    asked = toy_problem(tmp_path, configuration, machines, **wish)
    return plan_of(asked.inventory, asked.wish, SERVED, configuration, round_trips(tmp_path),
                   method, given)  # fmt: skip


def test_a_placement_that_is_given(tmp_path, configuration):
    """It is judged beside what the servers would do; nothing else is tried."""
    made = planned(
        tmp_path, configuration,
        given=lambda swarm: Placement(swarm, np.array(CHAIN[0]), np.array(CHAIN[1])),
    )  # fmt: skip
    assert [(arm.name, arm.label) for arm in made.arms] == [
        ("given", "as given"), ("petals_shipped", "PETALS as shipped"),
    ]  # fmt: skip
    assert made.arm is made.arms[0] and made.optimum is None and made.remarks == ()


def test_what_is_compared(tmp_path, configuration):
    made = planned(tmp_path, configuration, prove_s=20.0)
    names = [arm.name for arm in made.arms]
    assert names[0] == "cg_bp_1"
    assert names[-3:] == ["offline", "petals_blocks", "petals_shipped"]
    assert made.arm is min(made.arms[:-1], key=lambda arm: arm.mean_alone_ms)
    labels = {arm.name: arm.label for arm in made.arms}
    assert labels["offline"] == "optimum of decoding"
    assert labels["petals_blocks"] == "PETALS' blocks, chains of the plan"
    theirs = next(arm for arm in made.arms if arm.name == "petals_blocks").placement
    own = made.arms[-1].placement
    assert (theirs.blocks == own.blocks).all() and (theirs.first_block == own.first_block).all()
    assert (theirs.cache_tokens >= own.cache_tokens).all()
    method = planned(tmp_path, configuration, "petals_shipped", prove_s=20.0)
    assert [arm.name for arm in method.arms] == ["petals_shipped"] and method.optimum is None
    other = planned(tmp_path, configuration, "proposed")
    assert [arm.name for arm in other.arms] == ["proposed", "petals_shipped"]


@pytest.mark.parametrize(("status", "label"), [("optimal", "optimum of decoding"),
                                               ("feasible", "solver's best")])  # fmt: skip
def test_the_placement_of_a_solver(tmp_path, configuration, monkeypatch, status, label):
    problem = toy_problem(tmp_path, configuration)
    placement = Placement(problem.swarm, np.array(CHAIN[0]), np.array(CHAIN[1]))
    for found in (placement, None):
        monkeypatch.setattr(make, "_optimum", lambda _, found=found: Optimum(status, 1, 1, found))
        made = planned(tmp_path, configuration)
        labels = [arm.label for arm in made.arms if arm.name == "offline"]
        assert labels == ([] if found is None else [label])
        assert made.optimum.status == status


def test_what_passes_as_was_measured(tmp_path, configuration):
    """A server of four blocks passes 40 tokens/s, two of two 70: remarked for throughput alone."""
    profile = next(iter(configuration.all_devices.values()))
    table = {"one": [90.0, 70.0, 50.0, 40.0]}
    known = {
        name: profile.model_copy(update={"name": name, "tokens_per_s": rates, "model": None})
        for name, rates in table.items()
    }
    settings = SimpleNamespace(all_devices=known, all_models={}, methods=configuration.methods)
    machines = [Machine(name, "one", 7.5, "Paris") for name in "ab"]
    made = planned(tmp_path, settings, machines=machines, objective="throughput")
    assert made.remarks[-1] == (
        "80.0 tokens/s pass, by what was measured of servers that host so many blocks; no placement"
        " passes more than 80.0"
    )
    latency = planned(tmp_path, settings, machines=machines)
    assert not any("tokens/s" in remark for remark in latency.remarks)
    unmeasured = planned(tmp_path, configuration, objective="throughput")
    assert not any("tokens/s" in remark for remark in unmeasured.remarks)


def test_plans_that_cannot_be(tmp_path, configuration):
    """Room for blocks, but not for a session: each is remarked, and none is left."""
    full = [replace(each, memory_gb=gb) for each, gb in zip(MACHINES, (4.5, 3.5, 0.1, 0.1),
                                                            strict=True)]  # fmt: skip
    with pytest.raises(InfeasibleError) as none:
        planned(
            tmp_path,
            configuration,
            machines=full,
            given=lambda swarm: Placement(
                swarm, np.array([1, 4, 1, 1]), np.array([3, 1, 0, 0]), np.array([9, 9, 0, 0])
            ),
        )
    assert str(none.value) == (
        "infeasible: not enough GPU memory: room for one session in every block missing (in any"
        " plan)"
    )


def test_a_baseline_that_serves_nobody(tmp_path, configuration, monkeypatch):
    remarks, problem = [], toy_problem(tmp_path, configuration)
    asked = []

    def fails(problem, name, settings):
        asked.append(name)
        raise InfeasibleError("GPU memory", "1 GB", "anywhere")

    monkeypatch.setattr(make, "method_arm", fails)
    for large in (4, 3):
        monkeypatch.setattr(make, "LARGE", large)
        assert make._baseline(problem, configuration, remarks) is None
    assert asked == ["petals_shipped", "petals"]
    assert remarks[0] == (
        "PETALS' own choice serves nobody: infeasible: not enough GPU memory: 1 GB missing"
        " (anywhere)"
    )
    made = planned(tmp_path, configuration)
    assert {arm.name.partition("_")[0] for arm in made.arms} == {"cg"}
    assert made.remarks[-1] == remarks[0]


def test_proofs_are_for_small_swarms(tmp_path, configuration, monkeypatch):
    """One session of each client; up to so many servers, blocks and clients, if there is time."""
    result = SimpleNamespace(status="optimal", objective_ms=30.0, bound_ms=20.0, plan=None)
    asked = []
    monkeypatch.setattr(make, "solve_offline", lambda *given: asked.append(given) or result)
    problem = toy_problem(tmp_path, configuration, prove_s=7.0)
    assert make._optimum(problem) == Optimum("optimal", 15.0, 10.0, None)
    (instance, level, settings) = asked[0]
    assert level == "strong" and (settings.time_limit_s, settings.threads) == (7.0, 1)
    assert instance.swarm is problem.swarm
    result.plan = SimpleNamespace(placement="theirs")
    assert make._optimum(problem).placement == "theirs"
    monkeypatch.setattr(make, "MOST_FOR_PROOF", 4)
    monkeypatch.setattr(make, "MOST_BLOCKS_FOR_PROOF", 4)
    assert make._optimum(problem) is not None
    assert make._optimum(toy_problem(tmp_path, configuration, prove_s=0.0)) is None
    assert make._optimum(toy_problem(tmp_path, configuration, prove_s=0.5)) is not None
    monkeypatch.setattr(make, "MOST_FOR_PROOF", 3)
    assert make._optimum(problem) is None
    monkeypatch.setattr(make, "MOST_FOR_PROOF", 16)
    monkeypatch.setattr(make, "MOST_BLOCKS_FOR_PROOF", 3)
    assert make._optimum(problem) is None
    monkeypatch.setattr(make, "MOST_BLOCKS_FOR_PROOF", 200)
    for clients, proven in ((4, True), (5, False)):
        many = toy_problem(
            tmp_path,
            configuration,
            prove_s=7.0,
            clients=("Paris", "Oslo", "Rome", "Paris", "Oslo")[:clients],
        )
        assert (make._optimum(many) is not None) == proven


def test_how_large_a_swarm_is_proven(monkeypatch):
    result = SimpleNamespace(status="optimal", objective_ms=30.0, bound_ms=20.0, plan=None)
    monkeypatch.setattr(make, "solve_offline", lambda *_: result)
    monkeypatch.setattr(make, "OfflineInstance", lambda *_: None)
    monkeypatch.setattr(make, "shared_out", lambda *_: None)
    for servers, blocks, clients, proven in (
        (16, 200, 4, True), (17, 200, 4, False), (16, 201, 4, False), (16, 200, 5, False),
    ):  # fmt: skip
        swarm = SimpleNamespace(
            servers=servers, clients=clients, model=SimpleNamespace(blocks=blocks)
        )
        problem = SimpleNamespace(swarm=swarm, wish=SimpleNamespace(prove_s=1.0),
                                  request=SimpleNamespace(cache_tokens=256))  # fmt: skip
        assert (make._optimum(problem) is not None) == proven


# What is expected -------------------------------------------------------------------------------


def test_chains_and_their_hops(tmp_path, configuration):
    problem = toy_problem(tmp_path, configuration)
    arm = arm_of(problem, configuration, *CHAIN)
    paris, oslo = chains(arm)
    assert [(hop.server, hop.blocks) for hop in oslo.hops] == [(1, 2), (2, 2)]
    b, c = paris.hops
    assert b.network_ms == pytest.approx((28, 22, 40.6, Grade.ESTIMATED))
    assert c.network_ms == pytest.approx((38, 31, 53.4, Grade.ESTIMATED))
    assert c.computing_ms == pytest.approx((20, 18.2, 22, Grade.MEASURED))
    low, high = 53 + 0.91 * 24, 94 + 1.1 * 24
    assert paris.token_ms == pytest.approx((90, low, high, Grade.ESTIMATED))
    assert paris.tokens_per_s == pytest.approx((1000 / 90, 1000 / high, 1000 / low, 2))
    first = [float(arm.alone_ms(level)[0, 0]) for level in (1, 0, 2)]
    assert paris.ttft_ms[:3] == pytest.approx(first)
    found = rates(arm)
    assert found.sustained_per_s[:3] == (arm.capacity(1), arm.capacity(2), arm.capacity(0))
    memory = [arm.capacity(level, memory_alone=True) for level in (1, 2, 0)]
    assert found.memory_per_s[:3] == tuple(memory) and found.bound == "computing"


@pytest.mark.parametrize(
    ("forwarding", "speculation"),
    [("ring", "none"), ("hub", {"chain": {"acceptance": 0.6, "drafts": 3}})],
)
def test_a_chain_that_is_a_ring(tmp_path, configuration, forwarding, speculation):
    problem = toy_problem(tmp_path, configuration, forwarding=forwarding, speculation=speculation)
    arm = arm_of(problem, configuration, *CHAIN)
    for client, chain in enumerate(chains(arm)):
        paces = [predict.ring_pace(problem, client, arm.routes[client], n) for n in range(3)]
        assert chain.token_ms[:3] == pytest.approx([paces[n].ms_per_token for n in (1, 0, 2)])
        assert chain.tokens_per_s[:3] == pytest.approx([paces[n].tokens_per_s for n in (1, 2, 0)])


@pytest.mark.parametrize(
    ("sustained", "memory", "bound"),
    [(0.98, 1.0, "computing"), (0.9901, 1.0, "memory"), (1.0, 1.0, "memory"), (0.99, 1.0,
                                                                           "computing")],
)  # fmt: skip
def test_what_binds(tmp_path, configuration, monkeypatch, sustained, memory, bound):
    problem = toy_problem(tmp_path, configuration)
    asked = []

    def capacity(level=1, memory_alone=False):
        asked.append((level, memory_alone))
        return memory + level if memory_alone else sustained + level

    arm = SimpleNamespace(problem=problem, capacity=capacity, capacity_per_s=sustained)
    for large in (3, 4):
        monkeypatch.setattr(predict, "LARGE", large)
        del asked[:]
        found = rates(arm)
        if large == 3:  # of many servers, at the value alone
            assert (1, True) in asked and len(asked) == 3
            assert found.memory_per_s[:3] == (memory + 1,) * 3
        else:
            assert len(asked) == 5
            assert found.memory_per_s[:3] == (memory + 1, memory, memory + 2)
    monkeypatch.setattr(arm, "capacity", lambda level=1, memory_alone=False: memory)
    assert rates(arm).bound == bound


def test_what_sessions_see_under_load(tmp_path, configuration):
    problem = toy_problem(tmp_path, configuration, rate_per_s=0.2, requests=20)
    arm = arm_of(problem, configuration, *CHAIN)
    found = loaded(arm)
    tables = [predict.quantities_of(arm.simulated(level)) for level in range(3)]
    for name, known in found.quantities.items():
        for of, value in known.items():
            low, middle, high = (table[name][of] for table in tables)
            assert value == Known.of((low, middle, high), Grade.ESTIMATED)
    assert (found.rate_per_s, found.sessions) == (0.2, 20)
    assert {(client, servers) for client, servers, _ in found.chains} == {(0, (1, 2)), (1, (1, 2))}
    counts = np.bincount(arm.simulated().workload.client, minlength=2)
    assert [count for *_, count in found.chains] == sorted(counts.tolist(), reverse=True)
    # c computes 2 · (10 · 127 + 42) ms of each session.
    server, share = found.busiest
    assert server == 2 and share == pytest.approx(0.2 * 2 * 1.312)
    nowhere = arm_of(problem, configuration, [1, 1, 3, 4], [0, 2, 0, 1])
    assert loaded(nowhere) is None


def test_the_chains_that_most_sessions_take(monkeypatch):
    """The first twelve, the most used first."""

    class Sessions:
        workload = SimpleNamespace(client=np.repeat(np.arange(14), range(2, 16)))

        def __len__(self):
            return 119

        def chain(self, index):
            return (np.array([int(self.workload.client[index]) % 3]),)

    sessions = Sessions()
    problem = SimpleNamespace(instance=SimpleNamespace(rate_per_s=2.0))
    arm = SimpleNamespace(problem=problem, simulated=lambda level: sessions)
    monkeypatch.setattr(predict, "quantities_of", lambda _: {})
    monkeypatch.setattr(predict, "_busy", lambda *_: np.array([0.1, 0.5, 0.5]))
    found = loaded(arm)
    assert found.chains == tuple((n, (n % 3,), n + 2) for n in range(13, 1, -1))
    assert (found.busiest, found.sessions, found.rate_per_s) == ((1, 0.5), 119, 2.0)


def test_a_curve_of_rates(monkeypatch):
    table = {"token_ms": {"mean": 1.0, "p95": 2.0}}
    monkeypatch.setattr(predict, "quantities_of", lambda rate: table if rate else None)
    asked = []

    def simulated(rate):
        asked.append(rate)
        if rate == 2.0:
            raise InfeasibleError("GPU memory", "room", "anywhere")
        return rate

    def arm(capacity, rate):
        instance = SimpleNamespace(rate_per_s=rate)
        return SimpleNamespace(problem=SimpleNamespace(instance=instance), simulated=simulated,
                               capacity_per_s=capacity)  # fmt: skip

    found = curve(arm(20.0, 5.0))
    assert asked == pytest.approx([0.2, 1.0, 2.0, 3.0, 3.8])
    assert [point["rate_per_s"] for point in found] == pytest.approx([1, 5, 15, 19])
    assert all(point == {**point, "mean_ms": 1.0, "p95_ms": 2.0} for point in found)
    del asked[:]
    for capacity, rate in ((0.0, 5.0), (math.inf, 5.0), (math.nan, 5.0), (20.0, 0.0),
                           (20.0, math.nan)):  # fmt: skip
        assert curve(arm(capacity, rate)) == []
    assert not asked
    assert len(curve(arm(20.0, 5.0), (0.0, 0.1))) == 1
    assert len(curve(arm(0.2, 0.5))) == 5
