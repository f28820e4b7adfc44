"""One draw of a scenario to the last number: the swarm, its legs, its requests, what is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bprr.scenario.demand as demands
import bprr.scenario.draw as draws
from bprr.ground.errors import InfeasibleError, InputError, InputErrors
from bprr.ground.swarm import Device, LanguageModel
from bprr.scenario.beliefs import Believed
from bprr.scenario.demand import PoissonDemand, TraceDemand
from bprr.scenario.draw import Catalogue, Instance, draw
from bprr.scenario.drift import Diurnal, Piecewise
from bprr.scenario.scenario import Scenario, scenario_of
from bprr.scenario.streams import Streams
from bprr.scenario.workload import Workload

MODEL = LanguageModel(name="small", blocks=6, d_model=500, block_gb=2.0, max_sequence_tokens=100,
                      cache_bytes_per_value=1e6)  # fmt: skip
OTHER = LanguageModel(name="other", blocks=9, d_model=250, block_gb=4.0)
FAST = Device(name="fast", tau_ms=2.0, prefill_ms=8.0, prefill_ms_per_token=0.5, memory_gb=11.0,
              forward_rps=100.0, network_rps=50.0)  # fmt: skip
SLOW = FAST.model_copy(update={"name": "slow", "tau_ms": 5.0, "memory_gb": 7.0})
ALIEN = FAST.model_copy(update={"name": "alien", "model": "other", "tau_ms": 6.0})
CATALOGUE = Catalogue(
    {"small": MODEL, "other": OTHER}, {"fast": FAST, "slow": SLOW, "alien": ALIEN}, Path("unused")
)
TABLE = """from,to,rtt_ms,mbps
a,b,10,80
b,a,12,40
a,c,20,8
c,a,24,
b,c,6,16
c,b,8,32
a,b,10,160
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Any:
    (tmp_path / "rtt.csv").write_text(TABLE)
    content = {
        "model": "small",
        "network": {"kind": "rtt", "file": str(tmp_path / "rtt.csv")},
        "fleet": {"servers": [{"device": "fast", "at": "b", "memory_gb": 9.0},
                              {"device": "slow", "at": "c", "block_cap": 4}]},
        "clients": ["a", "c"],
        "overheads": {"token_ms": 1, "prompt_ms": 3, "prompt_ms_per_token": 0.25,
                      "initial_ms": 7, "prompt_round_trips": 2.0},
        "workload": {"kind": "poisson", "rate_per_s": 2.0, "requests": 5, "input_tokens": 10,
                     "output_tokens": 20},
    }  # fmt: skip

    def with_keys(**keys: Any) -> Scenario:
        return scenario_of(content, keys, "mine")

    return with_keys


def refused(call: Any, *arguments: Any) -> list[tuple[str, str, object, str]]:
    with pytest.raises((InputError, InputErrors)) as caught:
        call(*arguments)
    errors = getattr(caught.value, "errors", [caught.value])
    return [(each.where, each.key, each.value, each.allowed) for each in errors]


def test_a_draw_whole(scenario: Any, tmp_path: Path) -> None:
    found = draw(scenario(), CATALOGUE, 3, 2)
    swarm = found.swarm
    assert (swarm.model, swarm.device) == (MODEL, ("fast", "slow"))
    assert found.server_node.tolist() == [1, 2]
    assert found.client_node.tolist() == [0, 2]
    assert swarm.memory_gb.tolist() == [9, 7]
    assert swarm.tau_ms.tolist() == [2, 5]
    assert swarm.inference_rps.tolist() == [500, 200]
    assert swarm.prefill_ms.tolist() == [8, 8]
    assert swarm.prefill_ms_per_token.tolist() == [0.5, 0.5]
    assert swarm.forward_rps is not None
    assert swarm.network_rps is not None
    assert (swarm.forward_rps.tolist(), swarm.network_rps.tolist()) == ([100] * 2, [50] * 2)
    assert swarm.raw_rtt_ms.tolist() == [[10, 20], [8, 0]]
    assert swarm.token_rtt_ms.tolist() == [[11, 21], [9, 1]]
    assert swarm.prompt_rtt_ms.tolist() == [[23, 43], [19, 3]]
    # 8,000 bits a token there and back, unless a bandwidth is unknown: what one end alone said
    # holds for both ways, and of two measurements the smaller.
    per_token = [[8 / 80 + 8 / 40, 8 / 8 + 8 / 8], [8 / 32 + 8 / 16, 0.25]]
    np.testing.assert_allclose(swarm.prompt_rtt_ms_per_token, per_token, rtol=1e-12)
    assert swarm.server_rtt_ms is not None
    assert swarm.server_rtt_ms.tolist() == [[0, 6], [8, 0]]
    assert swarm.block_cap is not None
    assert swarm.block_cap.tolist() == [6, 4]
    assert (swarm.neighbours, swarm.tokens_per_s) == (None, None)
    streams = Streams(3, 2)
    gaps_s = streams.of("arrivals").standard_exponential(5) / 2
    gaps_s[0] = 0
    np.testing.assert_allclose(found.workload.arrival_ms, 1000 * np.cumsum(gaps_s))
    client = streams.of("clients").integers(2, size=5)
    assert found.workload.client.tolist() == client.tolist()
    assert found.workload.input_tokens.tolist() == [10] * 5
    assert found.workload.output_tokens.tolist() == [20] * 5
    assert found.workload.cache_tokens.tolist() == [30] * 5
    assert found.join_order.tolist() == streams.of("join_order").permutation(2).tolist()
    assert (found.rate_per_s, found.rejected, found.believed) == (2, None, None)
    assert found.remarks == (
        f"{tmp_path / 'rtt.csv'}: 1 pairs measured several times: their median",
    )
    assert found.streams == streams
    assert found.planned_swarm is swarm
    assert found.design_request == (0, 10, 20, 30)
    assert found.held_tokens == 30


def test_legs_of_a_draw(scenario: Any) -> None:
    ring = draw(scenario(forwarding="ring"), CATALOGUE, 3, 2).swarm.neighbours
    relay = draw(scenario(forwarding="relay"), CATALOGUE, 3, 2).swarm.neighbours
    assert ring is not None
    assert relay is not None
    for legs in (ring, relay):
        assert legs.enter.token_ms.tolist() == [[5.5, 10.5], [4.5, 0.5]]
        assert legs.leave.token_ms.tolist() == [[5.5, 10.5], [4.5, 0.5]]
        assert legs.enter.prompt_ms.tolist() == [[11.5, 21.5], [9.5, 1.5]]
        np.testing.assert_allclose(
            legs.enter.prompt_ms_per_token, [[8 / 80, 8 / 8], [8 / 32, 0.125]]
        )
        np.testing.assert_allclose(
            legs.leave.prompt_ms_per_token, [[8 / 40, 8 / 8], [8 / 16, 0.125]]
        )
    assert ring.between.token_ms.tolist() == [[0.5, 3.5], [4.5, 0.5]]
    assert relay.between.token_ms.tolist() == [[1, 8], [8, 1]]
    np.testing.assert_allclose(ring.between.prompt_ms_per_token, [[0.125, 8 / 16], [8 / 32, 0.125]])
    np.testing.assert_allclose(relay.between.prompt_ms_per_token, [[0.25, 0.75], [0.75, 0.25]])
    assert (ring.crossings, relay.crossings) == (1, 2)


def test_round_trips_between_many_servers_are_left_out(
    scenario: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draws, "MOST_SERVERS_WITH_ALL_PAIRS", 2)
    assert draw(scenario(), CATALOGUE, 1, 0).swarm.server_rtt_ms is not None
    assert draw(scenario(forwarding="ring"), CATALOGUE, 1, 0).swarm.neighbours is not None
    monkeypatch.setattr(draws, "MOST_SERVERS_WITH_ALL_PAIRS", 1)
    assert draw(scenario(), CATALOGUE, 1, 0).swarm.server_rtt_ms is None
    assert refused(draw, scenario(forwarding="ring"), CATALOGUE, 1, 0) == [
        ("mine", "forwarding", "ring", "hub, or 1 servers at most: it needs the round trips"
         " between all pairs of them")
    ]  # fmt: skip


def test_caps_of_devices_and_of_servers(scenario: Any) -> None:
    def caps(**keys: Any) -> Any:
        cap = draw(scenario(**keys), CATALOGUE, 1, 0).swarm.block_cap
        return None if cap is None else cap.tolist()

    listed = [{"device": "fast", "at": "b"}, {"device": "slow", "at": "c"}]
    assert caps() == [6, 4]
    assert caps(**{"fleet.servers": listed}) is None
    assert caps(**{"fleet.servers": listed, "fleet.block_cap": {"fast": 3}}) == [3, 6]
    assert caps(**{"fleet.servers": listed, "fleet.block_cap": {"slow": 9}}) == [6, 9]
    assert caps(**{"fleet.block_cap": {"slow": 2, "fast": 5}}) == [5, 4]
    high = [{**listed[0], "block_cap": 6}, {**listed[1], "block_cap": 7}]
    assert caps(**{"fleet.servers": high}) is None
    # The memory that is lent to a device, and over it the server's own.
    memory = {"fleet.memory_gb": {"fast": 30.0, "slow": 20.0}}
    assert draw(scenario(**memory), CATALOGUE, 1, 0).swarm.memory_gb.tolist() == [9, 20]
    found = draw(scenario(**memory), CATALOGUE, 1, 0).devices
    assert {name: device.memory_gb for name, device in found.items()} == {
        "fast": 30, "slow": 20, "alien": 11,
    }  # fmt: skip


def test_devices_of_another_model(scenario: Any) -> None:
    keys: dict[str, Any] = {"fleet.servers": [{"device": "alien", "at": "b"}]}
    allowed = (
        "a profile of small; or fleet.scale_profiles: true, with other among the models: decoding"
        " by the bytes of a block, prefill by its parameters"
    )
    wrong = [("mine", "fleet.servers.device", "alien, measured with other", allowed)]
    assert refused(draw, scenario(**keys), CATALOGUE, 1, 0) == wrong
    keys["fleet.scale_profiles"] = True
    unknown = replace(CATALOGUE, models={"small": MODEL})
    assert refused(draw, scenario(**keys), unknown, 1, 0) == wrong
    found = draw(scenario(**keys), CATALOGUE, 1, 0)
    # Blocks of half the bytes, and twice the width.
    assert found.swarm.tau_ms.tolist() == [3]
    assert found.swarm.prefill_ms.tolist() == [4]
    assert found.swarm.network_rps is not None
    assert found.swarm.network_rps.tolist() == [25]
    assert found.devices["alien"].model == "small"
    assert found.devices["fast"] is not FAST
    assert found.devices["fast"] == FAST
    said = "alien: measured with other, scaled to small: τ 6 → 3 ms, prefill 8 → 4 ms a block"
    assert found.remarks[-1] == said
    both = {"fleet.servers": [{"device": "alien", "at": "b"}] * 2 + [{"device": "fast", "at": "c"}]}
    assert CATALOGUE.remarks(scenario(**{**keys, **both})) == [said]
    assert CATALOGUE.remarks(scenario(**{"fleet.scale_profiles": True})) == []
    assert CATALOGUE.devices_for(scenario())["alien"] == ALIEN  # not asked for, and left alone
    scenario_of_other = scenario(**{"model": "other", "fleet.scale_profiles": True})
    assert CATALOGUE.devices_for(scenario_of_other)["alien"].tau_ms == 6


def test_names_that_nobody_described(scenario: Any) -> None:
    assert refused(draw, scenario(model="large"), CATALOGUE, 1, 0) == [
        ("mine", "model", "large", "small, other")
    ]
    known = "a known device: fast, slow, alien"
    for key, value in (
        ("fleet.memory_gb", {"tpu": 3.0}), ("fleet.block_cap", {"tpu": 3}),
        ("fleet.servers", [{"device": "tpu", "at": "b"}]),
    ):  # fmt: skip
        where = "fleet.servers.device" if key == "fleet.servers" else key
        found = refused(draw, scenario(**{key: value}), CATALOGUE, 1, 0)
        assert found == [("mine", where, "tpu", known)]


def test_a_window_bounds_what_is_held(scenario: Any) -> None:
    for window, held in ((29, 29), (30, 30), (31, 30)):
        model = MODEL.model_copy(update={"window_tokens": window})
        found = draw(scenario(), replace(CATALOGUE, models={"small": model}), 1, 0)
        assert found.workload.cache_tokens.tolist() == [held] * 5


def test_an_order_of_joining(scenario: Any) -> None:
    assert draw(scenario(join_order=[2, 1]), CATALOGUE, 1, 0).join_order.tolist() == [1, 0]
    for order in ([1], [1, 1], [1, 2, 3]):
        allowed = "each of the servers 1 to 2 once"
        found = refused(draw, scenario(join_order=order), CATALOGUE, 1, 0)
        assert found == [("mine", "join_order", order, allowed)]


def test_beliefs(scenario: Any) -> None:
    keys = {"believed.tau_least": 0.5, "believed.tau_most": 2.0}
    found = draw(scenario(**keys), CATALOGUE, 3, 2)
    factor = 0.5 + 1.5 * Streams(3, 2).of("beliefs").random(2)
    assert found.believed is found.planned_swarm
    np.testing.assert_allclose(found.planned_swarm.tau_ms, [2, 5] * factor)
    np.testing.assert_allclose(found.planned_swarm.inference_rps, [500, 200] / factor)
    assert found.swarm.tau_ms.tolist() == [2, 5]
    with pytest.raises(ValueError, match="tau_least: at most tau_most, 1"):
        Believed(tau_least=1.1)
    assert Believed(tau_least=1.0).lengths == "own"


def some(scenario: Any, **keys: Any) -> Instance:
    found = draw(scenario(), CATALOGUE, 3, 2)
    return replace(found, **keys)


def test_a_part_of_a_draw(scenario: Any) -> None:
    sites = {"b": "fast", "c": "slow", "a": "alien"}
    listed = [{"device": sites[at], "at": at} for at in "bcab"]
    keys = {"fleet.servers": listed, "fleet.scale_profiles": True, "join_order": [3, 1, 4, 2]}
    keys["believed.tau_least"] = 0.5
    whole = draw(scenario(**keys), CATALOGUE, 1, 0)
    part = whole.part(np.array([1, 3]))
    assert part.swarm.device == ("slow", "fast")
    assert part.swarm.tau_ms.tolist() == [5, 2]
    assert part.server_node.tolist() == [2, 1]
    assert part.join_order.tolist() == [1, 0]
    assert part.believed is not None
    assert whole.believed is not None
    assert part.believed.tau_ms.tolist() == whole.believed.tau_ms[[1, 3]].tolist()
    assert part.workload is whole.workload
    assert some(scenario).part(np.array([0])).believed is None


def test_what_placements_are_designed_for(scenario: Any) -> None:
    tokens = np.array([4, 5]), np.array([9, 3]), np.array([20, 31])
    found = some(scenario, workload=Workload(np.array([0.0, 1.0]), np.array([1, 1]), *tokens))
    assert found.design_request == (0, 5, 6, 26)
    assert found.held_tokens == 23  # (20 · 9 + 31 · 3) / 12 = 22.75
    found.check_lengths()
    for longest in (100, 101, 103):
        tokens = np.array([90, 10]), np.array([1, longest - 10])
        many = some(scenario, workload=Workload(np.array([0.0, 1.0]), 0, *tokens))
        if longest == 100:
            many.check_lengths()
            continue
        with pytest.raises(InfeasibleError) as caught:
            many.check_lengths()
        assert str(caught.value) == (
            f"infeasible: not enough sequence length: {longest - 100} tokens missing"
            f" (a request of {longest}; small accepts 100)"
        )


def test_the_share_of_fast_servers(scenario: Any) -> None:
    assert some(scenario).fast_share == 0.5
    listed = [{"device": "fast", "at": at} for at in "bcb"]
    only = draw(scenario(**{"fleet.servers": listed}), CATALOGUE, 1, 0)
    assert only.fast_share == 0
    dealt = {"servers": 1, "share": {"fast": 0.25}, "rest": "slow"}
    assert draw(scenario(fleet=dealt), CATALOGUE, 1, 0).fast_share == 0.25


def poisson(**more: Any) -> PoissonDemand:
    return PoissonDemand(**{"rate_per_s": 2.0, "input_tokens": 10, "output_tokens": 20, **more})


def load(demand: PoissonDemand, servers: int = 3, tokens: int | None = None) -> demands.Load:
    return demand.draw(servers, 2, tokens, 100, Streams(3, 2))


def test_as_many_requests_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demands, "MOST_REQUESTS", 5)
    for keys, count, rate in (
        ({"requests": 5}, 5, 2), ({"requests": 4}, 4, 2), ({"duration_s": 2.25}, 5, 2),
        ({"duration_s": 2.2}, 4, 2), ({"duration_s": 0.1}, 1, 2),
        ({"requests": 4, "per_servers": 6}, 2, 1), ({"requests": 1, "per_servers": 9}, 1, 2 / 3),
        ({"duration_s": 1.5, "per_servers": 2}, 5, 3), ({"requests": 3, "per_servers": 3}, 3, 2),
    ):  # fmt: skip
        found = load(poisson(**keys))
        assert (len(found.workload), found.rate_per_s) == (count, pytest.approx(rate))
        assert (found.rejected, found.remarks) == (None, ())
    for keys, count in (({"requests": 6}, 6), ({"duration_s": 1e9}, 10), ({"duration_s": 3.6}, 7)):
        assert refused(load, poisson(**keys)) == [
            ("workload", "requests", count, "at most 5 in a run")
        ]
    assert load(poisson(requests=2), tokens=77).workload.cache_tokens.tolist() == [77, 77]
    for keys in ({}, {"requests": 3, "duration_s": 4.0}):
        value = f"{keys.get('requests')} with duration_s: {keys.get('duration_s')}"
        with pytest.raises(ValueError, match="requests or duration_s, one of them and not") as one:
            poisson(**keys)
        assert one.value.errors()[0]["ctx"]["error"].value == value  # type: ignore[attr-defined]
    assert poisson(requests=1).files() == []


def test_the_most_requests_of_a_run() -> None:
    assert refused(load, poisson(requests=100_000_001)) == [
        ("workload", "requests", 100_000_001, "at most 100,000,000 in a run")
    ]


def test_arrivals_drift(scenario: Any) -> None:
    steady = load(poisson(requests=40)).workload.arrival_ms
    drift = {"kind": "piecewise", "time_s": [0.0, 4.0, 10.0], "factor": [0.5, 1.5, 2.5]}
    found = load(poisson(requests=40, drift=drift)).workload.arrival_ms
    np.testing.assert_allclose(found, 1000 * Piecewise(**drift).times_s(steady / 1000))
    assert (found != steady).any()


def test_pieces_of_a_rate() -> None:
    drift = Piecewise(kind="piecewise", time_s=[0, 4, 10], factor=[0.5, 1.5, 2.5])
    # By then 0.5·t + t²/8 come; after 4 s, 4 + 1.5·(t−4) + (t−4)²/12; after 10 s, 16 + 2.5·(t−10).
    times = np.array([0, 1, 2, 4, 5, 9, 10, 11, 20])
    early, late = 0.5 * times + times**2 / 8, 4 + 1.5 * (times - 4) + (times - 4) ** 2 / 12
    expected = np.where(times <= 4, early, np.where(times <= 10, late, 16 + 2.5 * (times - 10)))
    np.testing.assert_allclose(drift.times_s(expected), times, atol=1e-12)
    flat = Piecewise(kind="piecewise", time_s=[0], factor=[0.5])
    assert flat.times_s(np.array([0.0, 3.0])).tolist() == [0, 6]
    down = Piecewise(kind="piecewise", time_s=[0, 2], factor=[2, 1])
    assert down.times_s(np.array([1.75, 3.0, 4.0])).tolist() == [1, 2, 3]
    for time_s, factor, said in (
        ([0, 1], [1], "factor: 2, as of time_s"),
        ([1, 2], [1, 1], "time_s: 0, and then later times"),
        ([0, 2, 2], [1, 1, 1], "time_s: 0, and then later times"),
    ):
        with pytest.raises(ValueError, match=said):
            Piecewise(kind="piecewise", time_s=time_s, factor=factor)


@pytest.mark.parametrize("amplitude", [0, 0.3, 1])
def test_a_rate_that_comes_and_goes(amplitude: float) -> None:
    drift = Diurnal(amplitude=amplitude, period_s=8, peak_s=3)
    mean_s = np.linspace(0, 20, 41)
    found = drift.times_s(mean_s)
    # The integral of the rate until each time, in a fine sum.
    steps = np.linspace(0, 24, 480_001)
    middle = (steps[1:] + steps[:-1]) / 2
    rate = 1 + amplitude * np.cos(2 * np.pi * (middle - 3) / 8)
    until = np.append(0, np.cumsum(rate * np.diff(steps)))
    np.testing.assert_allclose(np.interp(found, steps, until), mean_s, atol=1e-6)
    assert found[0] == pytest.approx(0, abs=1e-12)
    assert (np.diff(found) > 0).all()
    assert (Diurnal().amplitude, Diurnal().period_s, Diurnal().peak_s) == (0.5, 86400, 43200)


def replayed(path: Path, longest: int = 10, **keys: Any) -> demands.Load:
    tokens = keys.pop("session_tokens", None)
    demand = TraceDemand(kind="trace", file=path, **keys)
    assert demand.files() == [path]
    return demand.draw(1, 2, tokens, longest, Streams(3, 2))


ROWS = "timestamp,input_tokens,output_tokens\n5,4,6\n6,5,8\n8,1,1\n8,9,2\n13,3,20\n15,2,2\n"


def test_requests_that_are_too_long(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(ROWS)
    # Kept of all, what is rejected beside them, the input and output tokens, the rate.
    for how, arrival, kept, rejected, rate in (
        ("reject", [0, 3000, 10000], [(4, 6), (1, 1), (2, 2)], [(5, 8), (9, 2), (3, 20)], 0.2),
        ("skip", [0, 3000, 10000], [(4, 6), (1, 1), (2, 2)], None, 0.2),
        ("truncate", [0, 1000, 3000, 3000, 8000, 10000],
         [(4, 6), (2, 8), (1, 1), (8, 2), (1, 9), (2, 2)], None, 0.5),
    ):  # fmt: skip
        found = replayed(path, too_long=how)
        workload = found.workload
        assert workload.arrival_ms.tolist() == arrival
        lengths = np.stack([workload.input_tokens, workload.output_tokens], axis=1)
        pairs = list(map(tuple, lengths.tolist()))
        assert pairs == kept
        assert workload.cache_tokens.tolist() == [sum(pair) for pair in kept]
        assert found.rate_per_s == rate
        assert found.remarks[-1] == (
            f"{path}: 3 of 6 requests are longer than 10 tokens: "
            + {"reject": "rejected", "skip": "skipped", "truncate": "truncated"}[how]
        )
        if rejected is None:
            assert found.rejected is None
            clients = np.arange(len(kept)) % 2
        else:
            assert found.rejected is not None
            assert found.rejected.arrival_ms.tolist() == [1000, 3000, 8000]
            assert found.rejected.input_tokens.tolist() == [5, 9, 3]
            assert found.rejected.output_tokens.tolist() == [8, 2, 20]
            assert found.rejected.client.tolist() == [1, 1, 0]
            clients = np.array([0, 0, 1])
        assert workload.client.tolist() == clients.tolist()
    found = replayed(path, longest=23, session_tokens=7)
    assert found.workload.cache_tokens.tolist() == [7] * 6
    assert found.rejected is None
    assert len(found.remarks) == 1  # about the times alone
    for how in ("reject", "skip"):
        allowed = "at least one request of at most 1 tokens"
        said = [(str(path), "rows", "6 longer requests", allowed)]
        assert refused(lambda how=how: replayed(path, 1, too_long=how)) == said
    assert len(replayed(path, 2, too_long="truncate").workload) == 6


def test_arrivals_of_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(ROWS)
    assert replayed(path, 99, speed=4.0, start_s=1.0).workload.arrival_ms.tolist() == [
        0, 500, 500, 1750, 2250,
    ]  # fmt: skip
    span = "10 s at 9e-11 times the speed"
    assert refused(lambda: replayed(path, 99, speed=9e-11)) == [
        (str(path), "arrival", span, "a replay of at most 1e+11 s")
    ]
    assert replayed(path, 99, speed=1e-10).workload.arrival_ms[-1] == 1e14
    assert refused(lambda: replayed(path, 99, rate_per_s=2.0)) == [
        (str(path), "rate_per_s", 2.0, "nothing: the trace has times; speed replays it faster")
    ]
    path.write_text("input_tokens,output_tokens\n1,2\n3,4\n50,60\n")
    assert refused(lambda: replayed(path)) == [
        (str(path), "arrival", ["input_tokens", "output_tokens"],
         "a column of times, or workload.rate_per_s for Poisson arrivals")
    ]  # fmt: skip
    found = replayed(path, rate_per_s=2.0, too_long="skip")
    gap_s = Streams(3, 2).of("arrivals").standard_exponential(2)[1] / 2
    np.testing.assert_allclose(found.workload.arrival_ms, [0, 1000 * gap_s])
    assert found.rate_per_s == 2
    path.write_text("timestamp,input_tokens,output_tokens\n5,1,2\n")
    assert replayed(path).rate_per_s == 0
    path.write_text("timestamp,input_tokens,output_tokens\n5,1,2\n5,3,4\n")
    assert np.isnan(replayed(path).rate_per_s)
