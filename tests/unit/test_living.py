"""Living swarms by hand: what a cut costs, what loads for how long, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest

from bprr.commands.main import main
from bprr.figures.from_settings import study_caption
from bprr.figures.living import plot_living
from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.registry import CHURN, Choice
from bprr.ground.storage import write_table
from bprr.ground.swarm import LanguageModel, Swarm
from bprr.living.churn.base import Change
from bprr.living.churn.trace import Trace
from bprr.living.moving import Trade, blocks_to_load
from bprr.living.replacement.never import Never
from bprr.living.replacement.periodic import Periodic
from bprr.living.run import Life, simulate_living
from bprr.placement.base import Placement, Trial
from bprr.scenario.draw import draw
from bprr.scenario.drift import Diurnal, Piecewise
from bprr.scenario.scenario import load_scenario
from bprr.scenario.workload import Workload
from bprr.settings.configuration import load_settings
from bprr.simulation.admission.retry import Retry
from bprr.study import life as study_life
from bprr.study.life import Replanner
from bprr.study.method import MethodRunner
from bprr.study.sweep import run_sweep

RETRY = Choice("retry", Retry.Options(first_ms=50.0, longest_ms=50.0))


@pytest.fixture
def twins():
    """Two servers with all four blocks: a prompt token takes 2 ms, a further token 10 ms or 20."""
    model = LanguageModel(name="m", blocks=4, d_model=1, block_gb=1.0, cache_bytes_per_value=1.0,
                          max_sequence_tokens=1000)  # fmt: skip
    swarm = Swarm(
        model,
        memory_gb=np.array([5.0, 5.0]),
        tau_ms=np.array([2.5, 5.0]),
        prefill_ms=np.zeros(2),
        prefill_ms_per_token=np.array([0.5, 0.5]),
        token_rtt_ms=np.zeros((1, 2)),
        prompt_rtt_ms=np.zeros((1, 2)),
    )
    return Placement(swarm, np.array([1, 1]), np.array([4, 4]), np.array([400, 400]))


def lives(placement, changes, replacement=None, seconds_per_gb=0.01, planner=None, **more):
    workload = more.pop("workload", Workload(np.array([0.0]), 0, 10, 11))
    life = Life(iter(changes), replacement or Never(), seconds_per_gb, planner)
    return simulate_living(placement, workload, "ws_rr", life, **more)


def test_a_cut_session_prefills_its_prompt_and_tokens_again(twins):
    # 20 ms for the prompt, a token each 10 ms: four of them after 55 ms; then 14 tokens to prefill,
    # 28 ms, and six more at 20 ms.
    records = lives(twins, [Change(55.0, 0, False)])
    assert records.completion_ms.tolist() == [55 + 28 + 6 * 20]
    assert records.ttft_ms.tolist() == [20]
    assert [part.output_tokens for part in records.parts] == [4, 7]
    assert records.cuts.tolist() == [1] and records.prefilled_again.tolist() == [14]
    assert [part.servers.tolist() for part in records.parts] == [[0], [1]]
    assert records.engine == "simpy"


def test_a_session_cut_before_its_first_token_begins_anew(twins):
    records = lives(twins, [Change(15.0, 0, False)])
    assert records.ttft_ms.tolist() == [15 + 20]
    assert records.completion_ms.tolist() == [15 + 20 + 10 * 20]
    assert records.prefilled_again.tolist() == [10]


def test_a_server_that_joins_loads_first(twins):
    # Both fail; the first is back at 100 ms, and loads 4 GB at 10 ms: it serves from 140 ms.
    changes = [Change(0.0, 0, False), Change(0.0, 1, False), Change(100.0, 0, True)]
    records = lives(twins, changes, admission="central_queue")
    assert records.wait_ms.tolist() == [140]
    assert records.completion_ms.tolist() == [140 + 20 + 100]
    assert [(each.server, each.to_ms) for each in records.outages] == [(0, 140), (1, np.inf)]
    assert lives(twins, changes, admission="reserve").wait_ms.tolist() == [140]
    assert lives(twins, changes, admission=RETRY).wait_ms.tolist() == [150]


def test_a_swarm_that_is_never_whole_again_is_infeasible(twins):
    gone = [Change(0.0, 0, False), Change(0.0, 1, False)]
    for admission in ("central_queue", "reserve", RETRY):
        with pytest.raises(InfeasibleError):
            lives(twins, gone, admission=admission)


class Halves:
    """Gives each server half of the blocks."""

    def __init__(self, stay_ms=2.0, best_ms=1.0):
        self.times, self.rates = {4: stay_ms, 2: best_ms}, []

    def place(self, placement, servers, rate_per_s):
        self.rates.append(rate_per_s)
        return Placement(placement.swarm, np.array([1, 3]), np.array([2, 2]), np.array([400, 400]))

    def per_token_ms(self, placement, servers, rate_per_s):
        return self.times[int(placement.blocks[0])]


def test_blocks_are_placed_anew_if_that_pays(twins):
    every = Periodic(Periodic.Options(every_s=0.05, hysteresis=0.1))
    records = lives(twins, [], every, planner=Halves())
    # At 50 ms four tokens are there. The first server keeps two of its blocks and loads nothing,
    # the second keeps the others; then 14 tokens to prefill, and six tokens at 15 ms.
    assert [each.servers for each in records.replacements] == [2]
    assert records.replacements[0].pause_ms == 0
    assert [part.servers.tolist() for part in records.parts] == [[0], [0, 1]]
    assert records.completion_ms.tolist() == [50 + 28 + 6 * 15]
    for planner in (Halves(best_ms=1.9), Halves(stay_ms=1.0)):
        assert not lives(twins, [], every, planner=planner).replacements


def test_a_move_pays_by_a_margin():
    trade = Trade(1000.0, 800.0, 0.1, 100.0, horizon_s=3600.0, pause_s=60.0)
    assert trade.saved_s == pytest.approx(0.1 * 3600 * 100 * 0.2)
    assert trade.cost_s == pytest.approx(0.1 * 60 * (30 + 100))
    assert trade.pays(0.1) and trade.pays(0.24) and not trade.pays(0.25)
    assert not trade._replace(horizon_s=400.0).pays(0.1)  # 800 s saved, 780 lost
    assert trade._replace(horizon_s=430.0).pays(0.1)
    assert trade._replace(stay_ms=np.inf).pays(0.1)
    assert not trade._replace(best_ms=np.inf).pays(0.1)


def test_only_what_is_not_there_is_loaded():
    before, after = (np.array([1, 1, 1, 0]), np.array([4, 4, 4, 0])), np.array([3, 5, 1, 2])
    assert blocks_to_load(*before, after, np.array([4, 4, 2, 3])).tolist() == [2, 4, 0, 3]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("time_s,server,event\n5,0,join\n6,0,join\n", "event"),
        ("time_s,server,event\n5,0,fail\n6,0,fail\n", "event"),
        ("time_s,server,event\n5,2,fail\n", "server"),
        ("time_s,server,event\n-1,0,fail\n", "time_s"),
        ("time_s,server,event\n1,0,leave\n", "event"),
        ("time_s,server\n1,0\n", "columns"),
    ],
)
def test_a_trace_that_cannot_be_is_refused(tmp_path, text, key):
    path = tmp_path / "churn.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        Trace(Trace.Options(file=path)).changes(2, np.random.default_rng(0))
    assert refused.value.key == key


def test_a_server_that_joins_first_was_away(tmp_path):
    path = tmp_path / "churn.csv"
    path.write_text("time_s,server,event\n9,0,fail\n5,1,join\n", encoding="utf-8")
    changes = Trace(Trace.Options(file=path)).changes(2, np.random.default_rng(0))
    assert list(changes) == [(0.0, 1, False), (5000.0, 1, True), (9000.0, 0, False)]


def test_means_of_exponential_times():
    churn = CHURN["exponential"]
    changes = churn(churn.Options(mean_up_s=50.0, mean_down_s=10.0)).changes(
        3, np.random.default_rng(1)
    )
    found = [next(changes) for _ in range(6000)]
    assert [each.time_ms for each in found] == sorted(each.time_ms for each in found)
    own = [each for each in found if each.server == 1]
    assert [each.joins for each in own[:4]] == [False, True, False, True]
    lasted = np.diff([each.time_ms for each in own])
    assert np.mean(lasted[::2]) == pytest.approx(10_000, rel=0.1)
    assert np.mean(lasted[1::2]) == pytest.approx(50_000, rel=0.1)


def test_what_cannot_live_is_refused(twins):
    for key, more in {
        "engine": {"engine": "compiled"},
        "service": {"service": "serial"},
        "admission": {"admission": "shipped"},
    }.items():
        with pytest.raises(InputError) as refused:
            lives(twins, [], **more)
        assert refused.value.key == key


@pytest.mark.parametrize(
    "drift",
    [
        Diurnal(amplitude=0.8, period_s=1000.0, peak_s=300.0),
        Diurnal(amplitude=1.0, period_s=500.0, peak_s=0.0),
        Piecewise(kind="piecewise", time_s=[0.0, 400.0, 500.0], factor=[0.5, 2.0, 2.0]),
        Piecewise(kind="piecewise", time_s=[0.0], factor=[2.0]),
    ],
)
def test_rates_drift_about_their_mean(drift):
    expected = np.arange(200_000) / 100.0  # a hundred a second on average
    times = drift.times_s(expected)
    assert (np.diff(times) >= 0).all()
    counted = np.histogram(times, bins=np.arange(0.0, 901.0, 100.0))[0]
    seconds = np.arange(900) + 0.5
    if isinstance(drift, Diurnal):
        turn = 2 * np.pi / drift.period_s
        rate = 1 + drift.amplitude * np.cos(turn * (seconds - drift.peak_s))
    else:
        rate = np.interp(seconds, drift.time_s, drift.factor)
    np.testing.assert_allclose(counted / 100, rate.reshape(9, 100).sum(axis=1), atol=0.1)


class Runner:
    """In place of a method's own: notes what it is asked, and tells what the test wants."""

    made, mean_ms, asked = None, 7.0, ()

    def __init__(self, part):
        Runner.part = part

    def placement(self, *asked):
        Runner.asked = asked
        if Runner.made is None:
            raise InfeasibleError("GPU memory", "some", "nowhere")
        return Placement(self.part.swarm, *Runner.made)

    def trial(self, *asked):
        Runner.asked = asked
        if Runner.mean_ms is None:
            raise InfeasibleError("servers", "some")
        return Trial(Runner.mean_ms, 9.0)


def test_a_method_is_asked_for_the_servers_that_are_up(configuration, published):
    drawn = draw(load_scenario("scattered", {"workload.requests": 5}), published, 2025, 0)
    method = configuration.methods["proposed"]
    planner = Replanner(drawn, method, 5.0, drawn.workload, Runner)
    servers, longest = np.array([0, 3, 7]), int(drawn.workload.cache_tokens.max())
    count, blocks = drawn.swarm.servers, drawn.swarm.model.blocks
    before = Placement(drawn.swarm, np.ones(count, dtype=int), np.full(count, 2), np.arange(count))
    whole = np.ones(3, dtype=int), np.full(3, blocks)
    for spare, taken in ((0, True), (-1, False)):  # room for the longest request, just or not
        Runner.made = (*whole, np.full(3, blocks * longest + spare))
        placed = planner.place(before, servers, 0.25)
        assert (placed is not None) == taken
    assert Runner.asked == (method.placement, 5.0, method.service)
    assert Runner.part.rate_per_s == 0.25
    order = [0, 3, 7].index
    wanted = [order(each) for each in drawn.join_order.tolist() if each in (0, 3, 7)]
    assert Runner.part.join_order.tolist() == wanted
    assert Runner.part.server_node.tolist() == drawn.server_node[servers].tolist()
    assert Runner.part.swarm.tau_ms.tolist() == drawn.swarm.tau_ms[servers].tolist()
    Runner.made = (*whole, np.full(3, blocks * longest))
    placed = planner.place(before, servers, 0.25)
    assert placed.blocks.tolist() == [blocks if s in (0, 3, 7) else 2 for s in range(count)]
    assert before.blocks.tolist() == [2] * count and placed.details == {}
    Runner.made = None
    assert planner.place(before, servers, 0.25) is None
    assert planner.per_token_ms(before, servers, 0.5) == 7.0
    service, allocation_ms, own, routing, sessions = Runner.asked
    assert (service, allocation_ms) == (drawn.scenario.service, 5.0)
    assert own.cache_tokens.tolist() == [0, 3, 7] and routing == method.routing
    assert sessions == 400
    Runner.mean_ms = None
    assert planner.per_token_ms(before, servers, 0.5) == np.inf


def test_what_brings_servers_of_its_own_is_not_placed_anew(configuration, published):
    drawn = draw(load_scenario("scattered", {"workload.requests": 5}), published, 2025, 0)
    method = configuration.methods["offloading"]
    planner = Replanner(drawn, method, 0.0, drawn.workload, MethodRunner)
    none = np.zeros(drawn.swarm.servers, dtype=int)
    with pytest.raises(InputError) as refused:
        planner.place(Placement(drawn.swarm, none, none), np.array([0, 1]), 0.1)
    assert refused.value.key == "replacement"


def test_who_lives(configuration, published):
    """Failures, or blocks placed anew by the scenario or the method; either is enough."""
    still, anew = configuration.methods["proposed"], configuration.methods["proposed_replaced"]
    churn, often = {"churn": "exponential"}, {"replacement": "periodic"}
    for keys, method, living in (
        ({}, still, False), (churn, still, True), (often, still, True), ({}, anew, True),
    ):  # fmt: skip
        scenario = load_scenario("scattered", {"workload.requests": 2, **keys})
        drawn = draw(scenario, published, 2025, 0)
        assert study_life.lives(drawn, method) is living


def test_the_door(tmp_path, capsys):
    trace = tmp_path / "churn.csv"
    trace.write_text("time_s,server,event\n20,0,fail\n60,0,join\n", encoding="utf-8")
    command = ["simulate", "scattered", "--runs", "1", "--set", "fleet.servers=9",
               "--set", "workload.requests=30", "--method", "proposed"]  # fmt: skip
    living = ["--set", f"churn={{trace: {{file: {trace}}}}}",
              "--set", "replacement={periodic: {every_s: 30}}"]  # fmt: skip
    assert main([*command, *living, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["methods"]["proposed"]
    assert told["living"]["engine"] == "simpy" and told["requests"] == 30
    assert main([*command, "--json"]) == 0
    assert "living" not in json.loads(capsys.readouterr().out)["methods"]["proposed"]


def test_the_sweep_and_its_figure(at_root, tmp_path):
    settings = load_settings("config/smoke.yaml")
    requests = run_sweep(settings, "living_steady", "bellcanada")
    path = tmp_path / "living_steady_bellcanada.parquet"
    write_table(requests, path, {}, "test")
    caption = study_caption(settings, ["living_steady"])
    written = plot_living([path], caption, tmp_path / "living")
    assert {each.suffix for each in written} == {".csv", ".pdf", ".png"}
    rows = pd.read_csv(tmp_path / "living.csv").set_index(["method", "measure"])
    served = requests[requests["method"] == "proposed_moved"]
    runs = served.groupby("run")[["per_token_ms", "cuts"]].mean()
    assert rows.loc[("proposed_moved", "cuts"), "mean"] == pytest.approx(runs["cuts"].mean())
    stays = requests[requests["method"] == "proposed"].groupby("run")["per_token_ms"].mean()
    ratio = rows.loc[("proposed_moved", "per_token_ms"), "ratio_to_staying"]
    assert ratio == pytest.approx(runs["per_token_ms"].mean() / stays.mean(), rel=1e-6)
    assert rows.loc[("petals", "replacements"), "mean"] == 0


@pytest.mark.parametrize("times", [[0.0, 5.0, 5.0], [0.0, 5.0, 4.0], [1.0, 5.0, 6.0]])
def test_factors_have_times_that_go_on(times):
    with pytest.raises(ValueError, match="time_s"):
        Piecewise(kind="piecewise", time_s=times, factor=[1.0, 1.0, 1.0])


def test_a_drift_counts_in_seconds(published):
    def arrivals(**more):
        demand = {"workload.rate_per_s": 2.0, "workload.requests": 40, **more}
        return draw(load_scenario("scattered", demand), published, 2025, 0).workload.arrival_ms

    twice = {"kind": "piecewise", "time_s": [0.0, 4.0], "factor": [2.0, 2.0]}
    assert arrivals(**{"workload.drift": twice}) == pytest.approx(arrivals() / 2)
    slow, later = {"kind": "piecewise", "time_s": [0.0, 4.0, 4.001], "factor": [1.0, 1.0, 4.0]}, 4e3
    plain, drifted = arrivals(), arrivals(**{"workload.drift": slow})
    before = plain < later
    assert drifted[before] == pytest.approx(plain[before])
    assert drifted[~before] == pytest.approx(later + (plain[~before] - later) / 4, abs=2.0)
