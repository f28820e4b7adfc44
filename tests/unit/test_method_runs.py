"""What a method is asked with: loads, delays, trials, which requests fit; and who else asks it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import bprr.study.api as api
from bprr.ground.errors import InputError
from bprr.ground.registry import SERVICE, Choice, ChoiceOf
from bprr.ground.request import Request
from bprr.placement.base import Placement, Trial
from bprr.scenario.draw import draw
from bprr.scenario.scenario import load_scenario
from bprr.scenario.workload import Workload
from bprr.settings.configuration import load_settings
from bprr.study import beyond, checks, design_load, life, method, offline
from bprr.study.capacity import capacity_per_s
from bprr.study.method import MethodRunner
from bprr.study.single import single_point


def drawn(published, run=0, **keys):
    overrides = {"network.name": "abovenet", "workload.requests": 20, **keys}
    return draw(load_scenario("scattered", overrides), published, 2025, run)


@pytest.fixture
def noted(monkeypatch):
    """Arguments of a function, which is still called, or gives what is said."""

    def watch(module, name, *answer):
        asked, own = [], getattr(module, name)

        def called(*args, **keys):
            asked.append(args)
            return answer[0] if answer else own(*args, **keys)

        monkeypatch.setattr(module, name, called)
        return asked

    return watch


@pytest.mark.parametrize(("counted", "expected_ms"), [(True, 500.0), (False, 0.0)])
def test_delays_count_for_the_load_if_the_scenario_says_so(
    configuration, published, noted, counted, expected_ms
):
    instance = drawn(published, **{"design_load.count_allocation_delay": counted})
    asked = noted(method, "design_load_of", 3)
    placed = MethodRunner(instance).placement(configuration.methods["proposed"].placement, 500.0)
    assert asked == [(instance, expected_ms)] and placed.details["load"] == 3


@pytest.mark.parametrize("counted", [True, False])
def test_a_load_is_chosen_for_what_the_scenario_counts(published, noted, counted):
    keys = {"count_allocation_delay": counted, "count_block_cap": counted, "rate_per_s": 0.25}
    instance = drawn(published, **{f"design_load.{key}": value for key, value in keys.items()})
    asked = noted(design_load, "choose_design_load", 5)
    assert design_load.design_load_of(instance, 500.0) == 5
    ((swarm, request, rate_per_s, delay_ms),) = asked
    assert (swarm.block_cap is not None) is counted
    assert instance.swarm.block_cap is not None
    assert (request, rate_per_s) == (instance.design_request, 0.25)
    assert delay_ms == (570.0 if counted else 70.0)
    given = drawn(published, **{"design_load.load": 7})
    assert design_load.design_load_of(given, 500.0) == 7 and len(asked) == 1


def test_a_single_request_is_placed_for_by_itself(small_swarm, noted):
    """All four blocks at one server: 50 + 2, 4 · 14, and ten more tokens at 40 + 4."""
    asked, alone = noted(design_load, "cg_bp"), small_swarm.part(np.array([0]))
    found = design_load.single_request_ms(alone, Request(0, 8, 11, 19), 7.0)
    assert [(load, tokens) for _, load, tokens in asked] == [(1, 19)]
    assert found == pytest.approx(7 + 52 + 4 * 14 + 10 * (40 + 4))


def test_loads_are_at_least_one_and_as_many_as_are_guaranteed(small_swarm, monkeypatch):
    monkeypatch.setattr(
        design_load, "single_request_ms", lambda _, request, delay: 1000.0 * request.client + delay
    )
    request, largest = Request(0, 8, 11, 19), []
    monkeypatch.setattr(design_load, "max_design_load", lambda *_: largest[-1])
    # Two clients: 500 ms more than the delay in the mean; 4 + 2 at 2/s and 3,500 + 500 ms.
    for most, rate_per_s, delay_ms, expected in (
        (100, 1.0, 3500.0, 6), (5, 1.0, 3500.0, 5), (100, 1e-9, 3500.0, 1), (1, 1.0, 3500.0, 1),
        (0, 1.0, 3500.0, 1), (-3, 1.0, 3500.0, 1),
    ):  # fmt: skip
        largest.append(most)
        chosen = design_load.choose_design_load(small_swarm, request, rate_per_s, delay_ms)
        assert chosen == expected, (most, rate_per_s)


def test_requests_at_one_instant_have_no_rate(published):
    instance = replace(drawn(published), rate_per_s=np.nan)
    with pytest.raises(InputError) as refused:
        design_load.rate_to_plan_for(instance)
    found = "got 'none, and 20 requests at one instant have no rate'"
    assert str(refused.value) == (
        f"{instance.scenario.where}: design_load.load: {found};"
        " allowed: R, or design_load.rate_per_s"
    )
    planned = replace(drawn(published, **{"design_load.rate_per_s": 0.25}), rate_per_s=np.nan)
    assert design_load.rate_to_plan_for(planned) == 0.25


def test_a_trial_by_hand(published, monkeypatch):
    """Ten sessions of 128 tokens that take 128 ms, 256 ms, …: two of them are left out."""
    asked = {}

    def simulated(placement, workload, routing, **keys):
        asked.update(keys, placement=placement, workload=workload, routing=routing)
        return SimpleNamespace(completion_ms=128.0 * np.arange(1, 11))

    monkeypatch.setattr(method, "simulate", simulated)
    instance, serial = drawn(published, clients=3), ChoiceOf(SERVICE).read("serial")
    placement = Placement(instance.swarm, *np.zeros((2, instance.swarm.servers), dtype=np.int64))
    found = MethodRunner(instance).trial(serial, 500.0, placement, "ws_rr", 10)
    assert found == Trial(6.5, pytest.approx(3 + 0.99 * 7))
    assert (asked["admission"], asked["service"], asked["routing"]) == (
        "central_queue", serial, "ws_rr",
    )  # fmt: skip
    assert (asked["delays"].initial_ms, asked["delays"].allocation_ms) == (70.0, 500.0)
    rng, load = np.random.default_rng(2025), asked["workload"]
    gaps = rng.standard_exponential(10)
    assert load.arrival_ms == pytest.approx(np.cumsum([0, *gaps[1:]]) * 1000 / instance.rate_per_s)
    assert load.client.tolist() == rng.integers(3, size=10).tolist()
    assert set(load.input_tokens) == {20} and set(load.output_tokens) == {128}
    assert set(load.cache_tokens) == {148}
    MethodRunner(replace(instance, rate_per_s=0.0)).trial(serial, 0.0, placement, "ws_rr", 10)
    assert asked["workload"].arrival_ms[1:] == pytest.approx(np.cumsum(gaps[1:]) * 1e9)


def test_requests_that_have_room(small_swarm, published):
    """A chain over all four blocks at server 0 has room for 80 / 4 tokens."""
    own = Workload(np.arange(3.0), 0, 1, np.array([18, 19, 20]))
    runner = MethodRunner(replace(drawn(published), workload=own))
    placed = Placement(small_swarm, np.array([1, 0, 0]), np.array([4, 0, 0]), [80, 0, 0])
    assert runner.served(placed).tolist() == [True, True, False]
    other = Workload(np.arange(2.0), 0, 1, np.array([20, 3]))
    assert runner.served(placed, other).tolist() == [False, True]
    longer = Workload(np.arange(2.0), 0, 1, np.array([20, 30]))
    assert runner.served(placed, longer).tolist() == [True, True]  # none has: let routing say so


def test_capacities_count_all_delays(configuration, published):
    instance = drawn(published)
    runner, chosen = MethodRunner(instance), configuration.methods["proposed"]
    placement = runner.placement(chosen.placement, 0.0)
    assert runner.capacities(chosen, placement, 500.0) == {}
    queued = chosen.model_copy(update={"service": ChoiceOf(SERVICE).read("serial")})
    request = instance.design_request
    expected = [
        capacity_per_s(placement, request, SERVICE.build(name, instance.swarm, 570.0))
        for name in ("serial", "independent")
    ]
    found = runner.capacities(queued, placement, 500.0)
    assert list(found) == ["capacity_per_s", "memory_capacity_per_s"]
    assert list(found.values()) == expected
    assert runner.bound_per_s(queued, placement, 500.0) == expected[0]
    assert runner.bound_per_s(chosen, placement, 500.0) == expected[1]


def test_a_method_with_a_server_of_its_own_is_not_misjudged(configuration, published):
    instance = drawn(published, believed={"tau_least": 0.5, "tau_most": 2.0})
    records, placement = MethodRunner(instance).run(configuration.methods["offloading"], 0.0)
    plain, _ = MethodRunner(drawn(published)).run(configuration.methods["offloading"], 0.0)
    assert placement.swarm.servers == 1
    assert records.completion_ms.tolist() == plain.completion_ms.tolist()


# --- who else asks --------------------------------------------------------------------------------


def test_programs_place_and_solve_without_delays(at_root, noted):
    scenario = load_scenario("scattered", {"workload.requests": 3, "fleet.servers": 9})
    placed = noted(api.MethodRunner, "placement")
    loads, draws = noted(api, "design_load_of", 5), noted(api, "draw")
    settings = load_settings()
    api.place(scenario)
    assert [args[1:] for args in placed] == [(settings.methods["proposed"].placement, 0.0)]
    problem = api.offline_instance(draw(scenario, api.catalogue(settings), settings.seed, 0))
    assert [delay_ms for _, delay_ms in loads] == [0.0] and list(problem.requests) == [5]
    assert [args[2:] for args in draws] == [(settings.seed, 0)]


def test_programs_simulate_ten_runs(at_root, noted):
    asked = noted(api, "simulate_point", "table")
    scenario = load_scenario("scattered")
    assert api.simulate(scenario) == api.simulate(scenario, ["petals", "best"], 3) == "table"
    settings = load_settings()
    assert [(list(point.methods), *rest) for point, _, *rest in asked] == [
        (["proposed"], settings.seed, 10), (["petals", "best"], settings.seed, 3),
    ]  # fmt: skip
    assert {point.x for point, *_ in asked} == {0.0}
    assert single_point(settings, "scattered", {}).x == 0.0
    api.simulate(scenario, delays="published")
    assert [list(point.delays) for point, *_ in asked] == [["none"], ["none"], ["published"]]


def test_the_first_draw_of_every_point_is_tried(at_root, noted):
    sweep = {"topologies": ["abovenet"], "axes": {"fleet.servers": {"abovenet": [8, 9]}}}
    settings = load_settings(overrides={"sweeps": {"fig7": sweep}})
    only = settings.model_copy(update={"sweeps": {"fig7": settings.sweeps["fig7"]}})
    asked = noted(checks, "draw", None)
    assert checks.check_settings(only) == 2
    assert [args[2:] for args in asked] == [(settings.seed, 0)] * 2


@pytest.mark.parametrize("waiting", [0, 4])
def test_bounds_beside_a_sweep(at_root, noted, monkeypatch, waiting):
    """L2 of the first arrivals where it is asked for, servers are serial, and it is larger."""
    sweep = {
        "topologies": ["abovenet"], "axes": {"workload.rate_per_s": {"abovenet": [0.03]}},
        "set": {"workload.requests": 9, "admission": "central_queue"}, "runs": 2,
        "methods": ["petals", "pipe", "proposed"],
    }  # fmt: skip
    settings = load_settings(overrides={"sweeps": {"beyond_independent": sweep}})
    serial = {"serial": {"order": "oldest", "prompt": "block", "prompt_within_ms": 100,
                         "prompt_idle_power": 4}}  # fmt: skip
    methods = dict(settings.methods)
    for name, service in (("pipe", serial), ("proposed", "serial")):
        chosen = ChoiceOf(SERVICE).read(service)
        methods[name] = methods[name].model_copy(update={"service": chosen})
    methods["petals"] = methods["petals"].model_copy(
        update={"service": Choice("independent", SERVICE["independent"].Options())}
    )
    settings = settings.model_copy(update={"methods": methods})
    for key in list(settings.derived):
        del settings.derived[key]
    later, told = [1e9, 1.0, 1e9, 1.0], []
    arrivals = []

    def bound_ms(swarm, request, service, arrival_ms):
        arrivals.append(arrival_ms.tolist())
        return later[len(arrivals) - 1]

    monkeypatch.setattr(beyond, "waiting_bound_ms", bound_ms)
    more = [waiting] if waiting else []  # none if nobody asks
    table = beyond.bounds_of_sweep(settings, "beyond_independent", "abovenet", told.append, *more)
    assert told == [1, 1]
    assert table["method"].tolist() == ["petals", "pipe", "proposed"] * 2
    assert table["run"].tolist() == [0] * 3 + [1] * 3
    assert table["order"].tolist() == [
        "", "oldest block prompts within 0.1 s / idle^4", "fifo",
    ] * 2  # fmt: skip
    kinds, rows = table["bound_kind"].tolist(), table.to_dict("records")
    if waiting:
        assert kinds == ["L1", "L2", "L1"] * 2
        assert [row["bound_ms"] for row in rows if row["bound_kind"] == "L2"] == [1e9 / 128] * 2
        assert [len(each) for each in arrivals] == [4] * 4
    else:
        assert kinds == ["L1"] * 6 and not arrivals
    point = beyond.sweep_points(settings, "beyond_independent", "abovenet")[0]
    instance = draw(point.scenario, beyond.catalogue(settings), settings.seed, 1)
    service = SERVICE.build("serial", instance.swarm, point.scenario.overheads.initial_ms)
    bound = beyond.fluid_bound(instance.swarm, instance.design_request, service, 0.03)
    assert rows[-1]["bound_ms"] == pytest.approx(bound.mean_ms / 128)
    most = beyond.capacity_of_any_placement(instance.swarm, instance.design_request)
    assert rows[-1]["any_placement_per_s"] == most


def test_two_placements_are_compared_by_four_hundred_sessions(configuration, published):
    instance, asked = drawn(published), []
    servers = np.arange(4)

    class Runner:
        def __init__(self, part):
            assert (part.swarm.servers, part.rate_per_s) == (4, 0.125)

        def trial(self, *args):
            asked.append(args)
            return Trial(3.5, 9.0)

    chosen = configuration.methods["proposed"]
    planner = life.Replanner(instance, chosen, 500.0, instance.workload, Runner)
    count = instance.swarm.servers
    placed = Placement(instance.swarm, np.ones(count), np.full(count, 2), np.arange(count))
    assert planner.per_token_ms(placed, servers, 0.125) == 3.5
    ((service, delay_ms, own, routing, sessions),) = asked
    assert (service, delay_ms, routing, sessions) == (
        instance.scenario.service, 500.0, chosen.routing, 400,
    )  # fmt: skip
    assert own.cache_tokens.tolist() == [0, 1, 2, 3] and own.blocks.tolist() == [2] * 4


def test_the_chosen_solver_and_those_with_options_are_tried(at_root, monkeypatch):
    tried = []
    monkeypatch.setattr(offline, "check_solver", lambda chosen: tried.append(chosen.solver))
    monkeypatch.setattr(offline, "installed_solvers", lambda: ["highs", "cbc", "scip"])
    settings = load_settings(overrides={"solver": "highs"})
    with_options = settings.offline.model_copy(update={"options": {"cbc": {"a": 1}, "x": {}}})
    offline.check_solvers(settings.model_copy(update={"offline": with_options}))
    assert sorted(tried) == ["cbc", "highs"]


def test_a_study_of_the_optimum_has_ten_minutes_for_each(at_root):
    settings = load_settings()
    slices = [offline.offline_slice(settings, kind, "optimality") for kind in offline.KINDS]
    mine, study = (each.content["offline"] for each in slices)
    assert (study["scale"], study["time_limit_s"]) == ("study", 600.0)
    assert mine["time_limit_s"] == settings.offline.time_limit_s
    assert [each.name for each in slices] == ["offline_optimality", "offline_study_optimality"]
    assert slices[0].content["runs"] == 1 and slices[0].content["seed"] == settings.seed
