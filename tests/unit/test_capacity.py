"""What a placement can carry, and whether a run has come to rest."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.optimize

from bprr.ground.registry import SERVICE, ChoiceOf
from bprr.ground.request import Request
from bprr.ground.swarm import LanguageModel, Swarm
from bprr.placement.base import Placement
from bprr.scenario.draw import draw
from bprr.scenario.scenario import load_scenario
from bprr.scenario.workload import Workload, poisson_arrivals_ms
from bprr.simulation import Delays, simulate
from bprr.study.capacity import capacity_of_any_placement, capacity_per_s, flows_of
from bprr.study.method import MethodRunner
from bprr.study.points import catalogue
from bprr.study.regime import Regime, joint_regime, regime_of

TOPOLOGIES = ("abovenet", "bellcanada", "gts_ce")
# Capacities with serial servers (sessions/s), found by other code: in the order of TOPOLOGIES.
ANY_PLACEMENT = (0.1085, 0.2232, 0.6884)
PROPOSED = {0.5: (0.062, 0.195, 0.594), 0.1: (0.092, 0.184, 0.552)}
PETALS = (0.0883, 0.191, 0.640)


def service(swarm, choice, delay_ms=70.0):
    return SERVICE.build(ChoiceOf(SERVICE).read(choice), swarm, delay_ms)


def instances(configuration, topology, rate, runs):
    scenario = load_scenario("scattered", {"network.name": topology, "workload.rate_per_s": rate})
    return [draw(scenario, catalogue(configuration), configuration.seed, r) for r in range(runs)]


def capacities(configuration, method, topology, rate, runs=10):
    found = []
    for instance in instances(configuration, topology, rate, runs):
        policy = configuration.methods[method].placement
        placement = MethodRunner(instance).placement(policy, 0.0)
        serial = service(instance.swarm, "serial")
        found.append(capacity_per_s(placement, instance.design_request, serial))
    return np.array(found)


@pytest.mark.parametrize("number", range(3))
def test_capacities_of_the_paper_s_swarms(configuration, number):
    topology = TOPOLOGIES[number]
    for rate, expected in PROPOSED.items():
        found = capacities(configuration, "proposed", topology, rate)
        assert found.mean() == pytest.approx(expected[number], abs=6e-4)
    petals = capacities(configuration, "petals", topology, 0.5)
    error = petals.std(ddof=1) / np.sqrt(petals.size)
    assert petals.mean() == pytest.approx(PETALS[number], abs=2 * error)
    (instance,) = instances(configuration, topology, 0.5, 1)
    bound = capacity_of_any_placement(instance.swarm, instance.design_request)
    assert bound == pytest.approx(ANY_PLACEMENT[number], abs=6e-5)
    assert (petals <= bound).all()


@pytest.mark.parametrize(
    "choice",
    [
        "independent",
        {"serial": {"belief": "where_room"}},
        {"serial": {"prompt": "token"}},
        {"batched": {"belief": "where_room"}},
        {"batched": {"curve": [(1, 1), (4, 1.2), (8, 3.0)]}},
    ],
)
@pytest.mark.parametrize("method", ["petals", "proposed"])
def test_no_run_beats_the_capacity(configuration, choice, method):
    """From empty to empty, with all requests there from the start."""
    (instance,) = instances(configuration, "bellcanada", 0.5, 1)
    placement = MethodRunner(instance).placement(configuration.methods[method].placement, 0.0)
    request, count = instance.design_request, 300
    workload = Workload(
        np.zeros(count), 0, request.input_tokens, request.output_tokens, request.cache_tokens
    )
    records = simulate(
        placement,
        workload,
        configuration.methods[method].routing,
        admission="central_queue",
        service=ChoiceOf(SERVICE).read(choice),
        delays=Delays(70.0, 0.0),
    )
    least_s = count / capacity_per_s(placement, request, service(instance.swarm, choice))
    assert least_s * 1000 <= records.end_ms.max()
    assert least_s * 1000 > 0.15 * records.end_ms.max()  # and it says something


def test_memory_carries_as_many_sessions_as_fit_at_once(small_swarm):
    (request,) = workload_requests(Workload(np.zeros(1), 0, 8, 11, 19))
    # Prompt 50 + 2, blocks 4 · (10 + 4), ten more tokens at 40 + 4 · 1: 548 ms for client 0.
    for tokens, sessions in ((80, 1), (4 * 19 * 3, 3)):
        alone = Placement(small_swarm, np.array([1, 0, 0]), np.array([4, 0, 0]), [tokens, 0, 0])
        free = service(small_swarm, "independent")
        found = capacity_per_s(alone, request, free)
        assert found == pytest.approx(1000 * sessions / (70 + 548))
    # Two servers in a row, blocks 1–2 on server 0 and 3–4 on server 1, each with room for one:
    # 52 + 2 · 14 + 10 · (40 + 2 · 1) = 500 and 22 + 2 · (20 + 8) + 10 · (10 + 2 · 5) = 278.
    row = Placement(small_swarm, np.array([1, 3, 0]), np.array([2, 2, 0]), [2 * 19, 2 * 19, 0])
    assert capacity_per_s(row, request, free) == pytest.approx(1000 / (70 + 500 + 278))


def test_no_chain_no_capacity(small_swarm):
    half = Placement(small_swarm, np.array([1, 0, 0]), np.array([2, 0, 0]))
    workload = Workload(np.zeros(1), 0, 1, 20)
    (request,) = workload_requests(workload)
    assert capacity_per_s(half, request, service(small_swarm, "serial")) == 0.0


def workload_requests(workload):
    columns = (workload.client, workload.input_tokens, workload.output_tokens)
    return [Request(*map(int, row)) for row in zip(*columns, workload.cache_tokens, strict=True)]


def run_of_one_server(small_swarm, load, requests, seed):
    """Sessions of one token on one serial server: nearly M/D/1."""
    placement = Placement(small_swarm, np.array([1, 0, 0]), np.array([4, 0, 0]))
    serial = service(small_swarm, "serial", 0.0)
    (request,) = workload_requests(Workload(np.zeros(1), 0, 1, 1))
    one = np.ones(1, dtype=np.int64)
    work_ms = float(serial.least_work_ms(request, 0 * one, 4 * one, one)[0])
    arrivals = poisson_arrivals_ms(np.random.default_rng(seed), requests, 1000 * load / work_ms)
    records = simulate(
        placement, Workload(arrivals, 0, 1, 1), "ws_rr", admission="central_queue", service="serial"
    )
    return records, 1000 / work_ms


def of(records, *capacity):
    tokens = records.workload.output_tokens
    return regime_of(records.workload.arrival_ms, records.completion_ms, tokens, *capacity)


def test_light_load_is_stable_and_too_much_is_not(small_swarm):
    light = [run_of_one_server(small_swarm, 0.4, 1000, seed)[0] for seed in range(10)]
    heavy = [run_of_one_server(small_swarm, 1.3, 1000, seed) for seed in range(10)]
    assert [of(records).state for records in light].count("stable") >= 9
    assert joint_regime([of(records) for records in light]).state == "stable"
    assert {of(records).state for records, _ in heavy} == {"backlogged"}
    assert {of(*each).state for each in heavy} == {"overloaded"}


def test_a_regime_by_hand():
    arrival_ms, tokens = 1000.0 * np.arange(100), np.full(100, 2)
    slower_ms = 100.0 + np.arange(100)  # per token; 159.5 in the mean of the last 80
    found = regime_of(arrival_ms, 2 * slower_ms, tokens, 2.0)
    assert found == pytest.approx((0.5, 8 * 9 / 159.5, 0.0, 1.0))
    kept = regime_of(arrival_ms, np.full(100, 1e9), tokens)  # nobody leaves
    assert np.isnan(kept.load)
    assert kept.backlog == pytest.approx(np.arange(93, 101).mean() / np.arange(21, 101).mean())
    leaving = regime_of(arrival_ms, np.full(100, 1000.0), tokens)  # as the next one arrives
    assert leaving.backlog == 1
    assert regime_of(arrival_ms, slower_ms, tokens, 0.0).load == np.inf
    assert regime_of(0 * arrival_ms, slower_ms, tokens, 1.0).load == np.inf
    few = regime_of(arrival_ms[:24], slower_ms[:24], tokens[:24])  # twenty of them are kept
    assert (few.growth, few.growth_error) == pytest.approx((2 * 9 / 113.5, 0.0))
    fewer = regime_of(arrival_ms[:23], slower_ms[:23], tokens[:23])
    assert (fewer.growth, fewer.growth_error) == (0.0, np.inf)


def test_what_makes_a_regime():
    assert Regime(0.5, 0.0, 0.0, 1.0).state == "stable"
    assert Regime(np.nan, 0.6, 0.1, 1.0).state == "backlogged"
    assert Regime(0.9, 0.6, 0.3, 1.0).state == "stable"  # may be chance
    assert Regime(0.9, 0.05, 0.01, 1.4).state == "backlogged"
    assert Regime(1.0, 0.0, 0.0, 1.0).state == "overloaded"
    assert Regime(0.9, 0.1, 0.0, 1.0).state == "stable"  # what is allowed is allowed
    assert Regime(0.9, 0.2, 0.05, 1.0).state == "stable"  # so far two standard errors below it
    assert Regime(0.9, 0.05, 0.01, 1.3).state == "stable"
    assert Regime(0.9, 0.02, 0.01, 1.4).state == "stable"
    assert Regime(0.9, -0.02, 0.0, 9.0).state == "stable"
    runs = [Regime(0.4, 0.1, 0.2, 1.0), Regime(0.6, 0.5, 0.4, 2.0)]
    assert joint_regime(runs) == pytest.approx((0.5, 0.3, 0.2, 1.5))
    assert joint_regime(runs[:1]) == runs[0]
    noisy = [Regime(0.5, growth, 0.01, 1.0) for growth in (-0.5, 0.9, -0.3, 0.6)]
    assert joint_regime(noisy).state == "stable"


def test_the_least_share_of_a_batched_step_is_that_of_its_best_size(configuration):
    """Each size that is allowed, tried: the curve's time over the size."""
    (instance,) = instances(configuration, "abovenet", 0.1, 1)
    sizes, times = [1, 2, 4, 8], [1.0, 1.6, 1.8, 4.0]  # best at 4; from 8 on a step of .55 each
    curve = [list(pair) for pair in zip(sizes, times, strict=True)]
    batched = service(instance.swarm, {"batched": {"curve": curve}})
    most = np.array([1.0, 1.5, 2.0, 4.0, 6.0, 8.0, 40.0])
    for each, found in zip(most, batched.least_share(most), strict=True):
        tried = np.arange(1, each + 1e-9, 0.01)
        took = np.where(tried <= 8, np.interp(tried, sizes, times), 4.0 + 0.55 * (tried - 8))
        assert found == pytest.approx((took / tried).min(), rel=1e-3)


@pytest.mark.parametrize(
    ("curve", "allowed"),
    [
        ([(1, 1), (2, 1)], None),
        ([(1, 1), (2, 1.5), (3, 1.5)], None),
        ([(1, 1)], "at least one more pair"),
        ([], "at least one more pair"),
        ([(2, 1), (3, 2)], "[1, 1] first"),
        ([(1, 2), (3, 2)], "[1, 1] first"),
        ([(1, 1), (1, 2)], "increasing sizes"),
        ([(1, 1), (3, 2), (2, 3)], "increasing sizes"),
        ([(1, 1), (3, 2), (4, 1.5)], "times that do not fall"),
    ],
)
def test_curves_of_batches(curve, allowed):
    def read():
        return ChoiceOf(SERVICE).read({"batched": {"curve": curve}})

    if allowed is None:
        assert read().options.curve == curve
    else:
        with pytest.raises(ValueError, match=re.escape(allowed)):
            read()


def swarm_of(blocks, *block_ms):
    """Servers without round trips for a model of so many blocks."""
    model = LanguageModel(name="x", blocks=blocks, d_model=1, block_gb=1.0)
    none, rtt = np.zeros(len(block_ms)), np.zeros((1, len(block_ms)))
    return Swarm(model, none + 99, np.array(block_ms, dtype=float), none, none, rtt, rtt)


ELEVEN = Request(0, 1, 11, 12)  # ten tokens after the first one, which takes no time here


def flow(swarm, first, blocks, *tokens):
    placed = Placement(swarm, np.array(first), np.array(blocks), tokens or None)
    found = flows_of(placed, ELEVEN, service(swarm, "serial", 0.0))
    columns = (found.server, found.start, found.end, found.per_s)
    return {
        (int(server), int(start), int(end)): float(per_s)
        for server, start, end, per_s in zip(*columns, strict=True)
        if per_s > 1e-9
    }, found.rate_per_s


def test_flows_by_hand():
    """A block of 5 ms takes 50 ms of a session: 20 of them a second, or 10 of two blocks."""
    one = flow(swarm_of(1, 5.0, 10.0), [1, 1], [1, 1])
    assert one == ({(0, 0, 1): pytest.approx(20.0), (1, 0, 1): pytest.approx(10.0)}, 30.0)
    # Block 1 here and 2 to 4 there; the slower one decides.
    row = flow(swarm_of(4, 5.0, 5.0), [1, 2], [1, 3])
    across = pytest.approx(20 / 3)
    assert row == ({(0, 0, 1): across, (1, 1, 4): across}, across)
    # Blocks 1 to 3, then 2 to 4, which is entered after the third one alone.
    later = flow(swarm_of(4, 5.0, 5.0), [1, 2], [3, 3])
    assert later == ({(0, 0, 3): across, (1, 3, 4): across}, across)
    # Two in front of one: what enters a position leaves it.
    split = flow(swarm_of(3, 20.0, 10.0, 5.0), [1, 1, 2], [1, 1, 2])
    assert split[0][2, 1, 3] == pytest.approx(10.0)
    assert split[0].get((0, 0, 1), 0.0) + split[0][1, 0, 1] == pytest.approx(10.0)
    # Links that lead nowhere, and servers that host nothing, carry nothing.
    assert flow(swarm_of(4, 5.0, 5.0, 5.0), [1, 3, 1], [2, 1, 0]) == ({}, 0.0)
    idle = flow(swarm_of(2, 5.0, 5.0, 5.0), [1, 2, 1], [1, 1, 0])
    assert idle == ({(0, 0, 1): pytest.approx(20), (1, 1, 2): pytest.approx(20)}, pytest.approx(20))


def test_links_need_room_for_a_session_in_every_block():
    """Twelve tokens a block: room for one session in two blocks, or in one alone, or in none."""
    two = swarm_of(2, 5.0)
    assert flow(two, [1], [2], 24)[1] == pytest.approx(1000 / 100)  # it computes all the time
    assert flow(two, [1], [2], 23) == ({}, 0.0)
    links = flows_of(
        Placement(swarm_of(3, 5.0, 5.0), np.array([1, 2]), np.array([3, 2]), [24, 12]),
        ELEVEN, service(swarm_of(3, 5.0, 5.0), "serial", 0.0),
    )  # fmt: skip
    # Nobody can enter the model: one would need three blocks' room.
    assert links.server.size == links.start.size == links.end.size == links.per_s.size == 0


def test_a_programme_that_fails_is_said(monkeypatch):
    failed = SimpleNamespace(status=4, message="numerical difficulties", x=None)
    monkeypatch.setattr(scipy.optimize, "linprog", lambda *_, **__: failed)
    with pytest.raises(RuntimeError, match="capacity: numerical difficulties"):
        flow(swarm_of(1, 5.0), [1], [1])


def test_what_no_placement_exceeds_by_hand():
    """Four blocks of 50 ms and of 100 ms: five and two and a half sessions a second."""
    assert capacity_of_any_placement(swarm_of(4, 5.0, 10.0), ELEVEN) == pytest.approx(7.5)
