"""Batch means, and the load that a method carries for good."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest

from bprr.commands.main import main
from bprr.ground.errors import InputError
from bprr.scenario.draw import draw
from bprr.study import regime as regimes
from bprr.study import steady as module
from bprr.study.points import catalogue
from bprr.study.regime import Regime, regime_of
from bprr.study.single import single_point
from bprr.study.steady import Carried, Steady, SteadyStates, batch_interval, carried_per_s


def test_the_interval_of_independent_values_covers_their_mean():
    rng = np.random.default_rng(1)
    found = [batch_interval(rng.exponential(2.0, 5_000)) for _ in range(400)]
    covered = [abs(mean - 2.0) <= half * mean for mean, half in found]
    assert 0.93 <= np.mean(covered) <= 0.99


def test_the_warm_up_is_left_out():
    values = np.r_[np.full(200, 1e9), np.random.default_rng(1).normal(5.0, 0.1, 800)]
    mean, half = batch_interval(values)
    assert mean == pytest.approx(5.0, rel=1e-2)
    assert half < 0.01


def test_batches_that_depend_on_each_other_widen_the_interval():
    rng, noise = np.random.default_rng(1), np.random.default_rng(2).normal(0, 1, 20_000)
    walk = [0.0]
    for step in noise:
        walk.append(0.999 * walk[-1] + step)
    slow = 200 + np.array(walk)
    mixed = rng.permutation(slow)
    assert batch_interval(slow)[1] > 10 * batch_interval(mixed)[1]
    assert batch_interval(np.linspace(1, 2, 1_000))[1] > 0.2
    assert batch_interval(np.ones(30))[1] == np.inf  # too few
    assert batch_interval(np.ones(1_000)) == (1.0, 0.0)


def states(settings, method, *, least=32_000, most=64_000, **overrides):
    keys = {key.replace("__", "."): value for key, value in overrides.items()}
    point = single_point(settings, "scattered", keys, [method])
    profiles = catalogue(settings)
    instance = draw(point.scenario, profiles, settings.seed, 0)
    return SteadyStates(
        instance, profiles, settings.seed, 0, point.methods[method], 0.0,
        least_requests=least, most_requests=most,
    )  # fmt: skip


def test_states_of_a_method_by_its_load(configuration):
    proposed = states(configuration, "proposed")
    light = proposed.at(0.1 * proposed.bound_per_s)
    assert light.state == "stable"
    assert light.half_width <= 0.02
    assert light.requests >= 32_000
    assert proposed.at(1.1 * proposed.bound_per_s).state == "overloaded"
    assert proposed.at(0.95 * proposed.bound_per_s).state == "backlogged"


@pytest.mark.parametrize(
    ("shown", "requests", "state"),
    [
        (["stable"], 4_000, "stable"),  # long enough as it is
        (["undecided", "stable"], 8_000, "stable"),
        (["undecided", "undecided", "undecided"], 16_000, "undecided"),
        (["backlogged", "stable"], 8_000, "stable"),  # it grew by chance
        (["backlogged", "undecided", "backlogged"], 16_000, "backlogged"),  # the longest
        (["backlogged", "backlogged"], 8_000, "backlogged"),  # twice in a row
        (["undecided", "overloaded"], 8_000, "overloaded"),
    ],
)
def test_runs_are_doubled_until_they_show_a_state(
    configuration, monkeypatch, shown, requests, state
):
    monkeypatch.setattr("bprr.study.steady.FIRST_REQUESTS", 4_000)
    tried, asked = states(configuration, "proposed", least=4_000, most=16_000), []

    def run(rate_per_s, count):
        word = shown[len(asked)]
        asked.append(count)
        steady = Steady(rate_per_s, word, count, 1.0, 0.01, 1.0, 0.5)
        return steady, word == "backlogged"

    monkeypatch.setattr(tried, "_run", run)
    found = tried.at(0.2)
    assert (found.state, found.requests, found.rate_per_s) == (state, requests, 0.2)
    assert asked == [4_000 * 2**rank for rank in range(len(shown))]


def test_a_stable_run_below_the_least_length_is_not_enough(configuration, monkeypatch):
    tried = states(configuration, "proposed", least=8_000, most=32_000)
    monkeypatch.setattr("bprr.study.steady.FIRST_REQUESTS", 4_000)
    monkeypatch.setattr(
        tried, "_run", lambda rate, count: (Steady(rate, "stable", count, 1, 0, 1, 0.5), False)
    )
    assert tried.at(0.2).requests == 8_000


@pytest.mark.parametrize(
    ("of_rate", "of_run", "state"),
    [
        (0.9, 1.2, "stable"),  # by chance the stream was denser than its rate
        (1.0, 1.2, "overloaded"),
        (0.9, 0.9, "stable"),
    ],
)
def test_a_load_is_that_of_the_rate(configuration, monkeypatch, of_rate, of_run, state):
    regime = Regime(of_run, 0.0, 0.01, 1.0)
    monkeypatch.setattr("bprr.study.steady.regime_of", lambda *_: regime)
    tried = states(configuration, "proposed")
    monkeypatch.setattr(tried, "_precision", 1e9)
    found, grows = tried._run(of_rate * tried.bound_per_s, 2_000)
    assert (found.state, found.load) == (state, pytest.approx(of_rate))
    assert not grows
    monkeypatch.setattr(tried, "_precision", 1e-9)
    again, _ = tried._run(of_rate * tried.bound_per_s, 2_000)
    assert again.state == ("undecided" if state == "stable" else state)


def test_a_short_run_near_capacity_proves_nothing(configuration):
    """8,000 sessions pass as if the swarm were idle; then a backlog comes and stays."""
    rate_per_s = 0.46
    short = states(configuration, "proposed", least=2_000, most=8_000).at(rate_per_s)
    assert short.state == "stable"
    assert short.half_width < 0.02
    assert states(configuration, "proposed", most=8_000).at(rate_per_s).state == "undecided"
    assert states(configuration, "proposed").at(rate_per_s).state == "backlogged"


def test_the_placement_is_that_of_the_scenarios_rate(configuration):
    planned = states(configuration, "proposed")
    before = planned.placement.blocks.tolist()
    planned.at(0.05)
    assert planned.placement.blocks.tolist() == before
    scarce = states(configuration, "proposed", workload__rate_per_s=0.01)
    assert scarce.placement.blocks.tolist() != before


@pytest.mark.parametrize("method", ["petals", "proposed"])
def test_bisection_ends_between_two_states(configuration, method):
    found = carried_per_s(states(configuration, method), within=0.1)
    assert 0 < found.most_stable_per_s < found.least_unstable_per_s <= found.bound_per_s
    assert found.least_unstable_per_s - found.most_stable_per_s <= 0.1 * found.least_unstable_per_s
    by_rate = {each.rate_per_s: each.state for each in found.tried}
    assert by_rate[found.most_stable_per_s] == "stable"


def test_the_command_tells_and_refuses(at_root, capsys, tmp_path):
    few = ["--least-requests", "4000", "--most-requests", "8000", "--within", "0.3"]
    assert main(["capacity", "scattered", "--method", "proposed", "--json", *few]) == 0
    told = json.loads(capsys.readouterr().out)["proposed"]
    assert told["most_stable_per_s"] < told["least_unstable_per_s"] <= told["bound_per_s"]
    assert main(["capacity", "scattered", "--set", "fleet.servers=2", *few]) == 0
    assert "not enough GPU memory" in capsys.readouterr().out
    (tmp_path / "trace.csv").write_text("timestamp,input_tokens,output_tokens\n1,2,3\n2,2,3\n")
    trace = f"workload={{kind: trace, file: {tmp_path / 'trace.csv'}}}"
    assert main(["capacity", "scattered", "--set", trace, *few]) == 2
    assert "poisson" in capsys.readouterr().err


def test_a_trace_has_no_rate_to_vary(configuration, tmp_path):
    (tmp_path / "trace.csv").write_text("timestamp,input_tokens,output_tokens\n1,2,3\n2,2,3\n")
    with pytest.raises(InputError, match="poisson"):
        states(
            configuration,
            "proposed",
            workload={"kind": "trace", "file": str(tmp_path / "trace.csv")},
        )


def test_growth_and_its_error_by_hand():
    """Twenty of 25 are kept: means of 1 and 3 ms per token by turns, whatever the tokens are."""
    arrival_ms, tokens = 1000.0 * np.arange(25) + 5000, np.arange(1, 26)
    per_token_ms = np.r_[np.full(5, 1e3), np.tile([1.0, 1.0, 3.0, 3.0], 5)]
    found = regime_of(arrival_ms, per_token_ms * tokens, tokens, 2.0)
    # A line of slope 5 / 82.5 over ten batches, of which 10 - 25 / 82.5 of the squares are left.
    error = 9 / 2 * np.sqrt((10 - 25 / 82.5) / 8 / 82.5)
    assert found[:3] == pytest.approx((0.5, 9 / 2 * 5 / 82.5, error))
    few = regime_of(arrival_ms[:10], np.full(10, 1e9), tokens[:10])
    assert few.backlog == pytest.approx(10 / np.arange(3, 11).mean())  # the last one alone
    close = regime_of(5.0 + 0.05 * np.arange(11), tokens[:11], tokens[:11], 1e4)
    assert close.load == pytest.approx(2.0)  # ten in half a millisecond


def test_growth_counts_from_a_tenth_and_two_errors():
    assert Regime(0.9, 0.15, 0.0, 1.0).state == "backlogged"
    assert Regime(0.9, 0.25, 0.05, 1.0).state == "backlogged"


def interval_by_hand(kept):
    """Of twenty batches; 2.093 is Student's t with 19 degrees of freedom."""
    means = [float(np.mean(batch)) for batch in np.array_split(kept, 20)]
    middle = sum(means) / 20
    off = [mean - middle for mean in means]
    squares = sum(each * each for each in off)
    ratio = sum(low * high for low, high in itertools.pairwise(off)) / squares
    rho = max(ratio, 0.0)
    half = 2.093024054 * (squares / 19 / 20 * (1 + rho) / (1 - rho)) ** 0.5
    return np.mean(kept), half / np.mean(kept), ratio


@pytest.mark.parametrize("count", [50, 51, 200])
def test_the_interval_by_hand(count):
    """A fifth is left out; batches that go up and down do not narrow it."""
    rng, seen = np.random.default_rng(count), set()
    for kind in range(12):
        values = rng.uniform(1, 2, count) + kind % 2 * np.sin(np.arange(count) * 16 / count)
        kept = values[count // 5 :]
        mean, half, ratio = interval_by_hand(kept)
        seen.add(ratio > 0)
        assert batch_interval(values) == pytest.approx((mean, half), rel=1e-8)
    assert seen == {True, False}


def test_fewer_than_two_a_batch_are_too_few():
    values = np.random.default_rng(1).uniform(1, 2, 50)
    assert np.isfinite(batch_interval(values)[1])  # forty are kept
    assert batch_interval(values[:48]) == (pytest.approx(values[9:48].mean()), np.inf)
    mean, half = batch_interval(values[:0])
    assert np.isnan(mean) and half == np.inf


def test_what_a_run_shows_by_hand(configuration, monkeypatch):
    """Ten requests of which two are left out; the interval may just be as wide as is asked."""
    tried, rate_per_s = states(configuration, "proposed"), 0.1
    monkeypatch.setattr(tried, "bound_per_s", 0.4)
    asked = []

    def run(method, allocation_ms, workload):
        asked.append((method, allocation_ms, len(workload)))
        times = np.arange(1.0, len(workload) + 1)
        records = {"completion_ms": 128_000 * times, "ttft_ms": 1000 * times}
        return SimpleNamespace(**records), None

    monkeypatch.setattr(tried._runner, "run", run)
    monkeypatch.setattr(module, "batch_interval", lambda values: (values.mean(), 0.02))
    found, grows = tried._run(rate_per_s, 10)
    assert asked == [(tried._method, 0.0, 10)]
    # Means of all ten, as our interval has it, and of the last eight.
    assert found == Steady(0.1, "stable", 10, 5.5, 0.02, 6.5, pytest.approx(0.25))
    assert not grows
    monkeypatch.setattr(tried, "_precision", 0.0199)
    assert tried._run(rate_per_s, 10)[0].state == "undecided"


def test_a_stream_is_that_of_its_draw_at_another_rate(configuration):
    tried = states(configuration, "proposed", workload__requests=30)
    here, there = tried._workload(0.2, 30), tried._workload(0.4, 30)
    assert here.arrival_ms == pytest.approx(2 * there.arrival_ms)
    own = tried._instance.workload.arrival_ms
    assert here.arrival_ms * 0.2 == pytest.approx(own * tried._instance.rate_per_s)
    demand = tried._demand.model_copy(update={"requests": None, "duration_s": 50.0})
    tried._demand = demand.model_copy(update={"per_servers": 3})
    assert tried._workload(0.2, 30).arrival_ms.tolist() == here.arrival_ms.tolist()


def test_runs_begin_short_and_no_longer_than_the_longest(configuration, monkeypatch):
    asked = []

    def run(rate_per_s, count):
        asked.append(count)
        return Steady(rate_per_s, "stable", count, 1.0, 0.01, 1.0, 0.5), False

    shipped = states(configuration, "proposed", least=4_000, most=8_000)
    monkeypatch.setattr(shipped, "_run", run)
    assert shipped.at(0.1).state == "stable"
    short = states(configuration, "proposed", least=500, most=1_500)
    monkeypatch.setattr(short, "_run", run)
    assert short.at(0.1).requests == 1_500
    assert asked == [2_000, 4_000, 1_500]


def test_how_long_runs_are_if_nobody_says(configuration):
    point = single_point(configuration, "scattered", {}, ["proposed"])
    profiles = catalogue(configuration)
    instance = draw(point.scenario, profiles, configuration.seed, 0)
    tried = SteadyStates(instance, profiles, 1, 0, point.methods["proposed"], 0.0)
    lengths = (tried._precision, tried._least_requests, tried._most_requests)
    assert lengths == (0.02, 128_000, 1_000_000)


class UpTo:
    """Stable up to a rate."""

    def __init__(self, most, bound_per_s=1.0):
        self.most, self.bound_per_s = most, bound_per_s

    def at(self, rate_per_s):
        state = "stable" if rate_per_s <= self.most else "backlogged"
        return Steady(rate_per_s, state, 1, 1.0, 0.0, 1.0, rate_per_s)


@pytest.mark.parametrize(
    ("most", "within", "low", "high", "rates"),
    [
        (0.3, 0.3, 0.25, 0.3125, [0.5, 0.25, 0.375, 0.3125]),
        (0.3, 0.5, 0.25, 0.5, [0.5, 0.25]),  # just as near as is asked
        (1.0, 0.2, 0.875, 1.0, [0.5, 0.75, 0.875]),
        (0.0, 0.5, 0.0, 2**-10, [2.0**-n for n in range(1, 11)]),  # below a thousandth: nothing
    ],
)
def test_bisection_by_hand(most, within, low, high, rates):
    states, told = UpTo(most), []
    found = carried_per_s(states, within, told.append)
    assert found == Carried(low, high, 1.0, [states.at(rate) for rate in rates])
    assert told == found.tried
    assert carried_per_s(states, within) == found


def test_bisection_ends_at_a_thousandth_of_the_bound():
    found = carried_per_s(UpTo(0.0, bound_per_s=4.0))
    assert [each.rate_per_s for each in found.tried] == [4 * 2.0**-n for n in range(1, 11)]
    assert (found.bound_per_s, found.least_unstable_per_s) == (4.0, 4 * 2.0**-10)


def test_bisection_ends_within_two_hundredths():
    found = carried_per_s(UpTo(0.3))
    assert len(found.tried) == 8 and found.least_unstable_per_s == pytest.approx(0.3008, abs=1e-4)


def test_requests_without_a_span_have_no_finite_rate():
    for arrivals in ([], [3.0], [3.0, 3.0]):
        assert regimes._rate_per_s(np.array(arrivals)) == np.inf
    assert regimes._rate_per_s(np.array([500.0, 1000.0, 2500.0])) == 1.0


def test_who_is_there_at_every_arrival():
    """Who leaves as another one comes is gone; the others are counted, and who comes."""
    arrival_ms = np.array([0.0, 10.0, 20.0, 30.0])
    found = regimes._in_system(arrival_ms, np.array([20.0, 110.0, 25.0, 31.0]))
    assert found.tolist() == [1.0, 2.0, 2.0, 2.0]


def test_growth_along_a_line():
    """Batches of two; the last ones of an odd number are shorter."""
    values = np.arange(1.0, 24.0)
    means = [float(np.mean(batch)) for batch in np.array_split(values, 10)]
    slope, at = np.polyfit(np.arange(10), means, 1)
    rest = means - (slope * np.arange(10) + at)
    error = np.sqrt((rest**2).sum() / 8 / 82.5)
    scale = 9 / np.mean(means)
    assert regimes._growth(values) == pytest.approx((slope * scale, error * scale))
    assert regimes._growth(values[:19]) == (0.0, np.inf)
    assert np.isfinite(regimes._growth(values[:20])[1])


def test_a_trace_is_refused_in_words(configuration, tmp_path):
    (tmp_path / "trace.csv").write_text("timestamp,input_tokens,output_tokens\n1,2,3\n2,2,3\n")
    trace = {"kind": "trace", "file": str(tmp_path / "trace.csv")}
    with pytest.raises(InputError) as refused:
        states(configuration, "proposed", workload=trace)
    assert str(refused.value).endswith(
        "workload.kind: got 'trace'; allowed: poisson: its rate is what varies"
    )
