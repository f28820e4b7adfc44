"""Draws of a scenario: common random numbers, devices, the choice of R."""

import numpy as np
import pytest

from bprr.scenario.draw import draw, stream
from bprr.settings.configuration import load_scenario, with_overrides


@pytest.fixture
def drawn(root, published):
    def draw_with(run=0, seed=1, file="scattered", **overrides):
        path = root / "config" / "scenarios" / f"{file}.yaml"
        return draw(load_scenario(path, overrides), published, seed, run)

    return draw_with


def test_same_seed_same_draw(drawn):
    one, two = drawn(), drawn()
    assert one.server_node.tolist() == two.server_node.tolist()
    assert one.workload.arrival_ms.tolist() == two.workload.arrival_ms.tolist()
    assert one.join_order.tolist() == two.join_order.tolist()
    assert one.swarm.device == two.swarm.device


@pytest.mark.parametrize("other", [{"run": 1}, {"seed": 2}])
def test_other_runs_and_seeds_differ_in_everything(drawn, other):
    one, two = drawn(), drawn(**other)
    assert one.server_node.tolist() != two.server_node.tolist()
    assert one.workload.arrival_ms.tolist() != two.workload.arrival_ms.tolist()
    assert one.join_order.tolist() != two.join_order.tolist()


def test_streams_are_independent():
    first = {name: stream(1, 0, name).random() for name in ("nodes", "devices", "arrivals")}
    assert len(set(first.values())) == 3


def test_more_servers_leave_the_rest_as_it_was(drawn):
    few, many = drawn(**{"fleet.servers": 6}), drawn(**{"fleet.servers": 15})
    assert many.server_node[:6].tolist() == few.server_node.tolist()
    assert many.client_node.tolist() == few.client_node.tolist()
    assert many.workload.arrival_ms.tolist() == few.workload.arrival_ms.tolist()


def test_more_requests_leave_the_earlier_ones_as_they_were(drawn):
    sizes = {"clients": 3, "workload.requests": 20}
    few, many = drawn(**sizes), drawn(**sizes | {"workload.requests": 50})
    assert many.workload.arrival_ms[:20].tolist() == few.workload.arrival_ms.tolist()
    assert many.workload.client[:20].tolist() == few.workload.client.tolist()
    assert set(many.workload.client.tolist()) == {0, 1, 2}


def test_a_higher_rate_brings_the_same_requests_sooner(drawn):
    slow = drawn(**{"workload.rate_per_s": 0.5})
    fast = drawn(**{"workload.rate_per_s": 2})
    assert slow.workload.arrival_ms == pytest.approx(4 * fast.workload.arrival_ms)
    assert slow.server_node.tolist() == fast.server_node.tolist()


def test_nodes_are_used_once(drawn):
    instance = drawn(**{"fleet.servers": 20, "clients": 3})
    nodes = np.r_[instance.server_node, instance.client_node]
    assert sorted(nodes.tolist()) == list(range(23))
    rtt = instance.network.rtt_ms(instance.client_node, instance.server_node)
    assert (instance.swarm.raw_rtt_ms == rtt).all()
    assert (instance.swarm.token_rtt_ms == rtt + 100).all()
    assert (instance.swarm.prompt_rtt_ms == rtt + 67).all()


@pytest.mark.parametrize(
    "servers, share, expected", [(10, 0.2, 2), (6, 0.2, 1), (15, 0.1, 2), (10, 0.05, 1), (8, 0, 0)]
)
def test_shares_are_rounded_half_up(drawn, servers, share, expected):
    instance = drawn(**{"fleet.servers": servers, "fleet.share.a100": share})
    assert instance.swarm.device.count("a100") == expected
    assert instance.swarm.device.count("mig") == servers - expected


def test_servers_per_node_are_rounded(drawn):
    assert drawn().swarm.servers == 9  # 0.4 · 23 = 9.2


def test_fast_servers_are_dealt_at_random(drawn):
    places = {drawn(run=run).swarm.device.index("a100") for run in range(20)}
    assert len(places) > 3


def test_memory_can_be_overridden_by_name(drawn):
    instance = drawn(**{"fleet.memory_gb": {"a100": 79.13}})
    memory = dict(zip(instance.swarm.device, instance.swarm.memory_gb.tolist(), strict=True))
    assert memory == {"a100": 79.13, "mig": 9.1}


def test_caps_follow_the_device(drawn):
    instance = drawn()
    expected = [4 if device == "mig" else 70 for device in instance.swarm.device]
    assert instance.block_cap.tolist() == expected
    assert drawn(**{"block_cap": {}}).block_cap is None


def test_clustered(drawn):
    instance = drawn(file="clustered", **{"network.client": ["cluster2", "cluster0"]})
    devices = list(instance.swarm.device)
    assert (devices.count("a100_clustered"), devices.count("mig_clustered")) == (2, 7)
    rtt = {
        (client, device): set(instance.swarm.raw_rtt_ms[client][np.array(devices) == device])
        for client in (0, 1)
        for device in set(devices)
    }
    assert rtt == {
        (0, "mig_clustered"): {5},
        (0, "a100_clustered"): {100},
        (1, "mig_clustered"): {100},
        (1, "a100_clustered"): {100},
    }


def test_load_in_proportion_to_servers(drawn):
    instance = drawn(**{"fleet.servers": 18, "workload.per_servers": 9})
    assert instance.rate_per_s == 1.0
    assert len(instance.workload) == 200


def test_duration_sets_the_number_of_requests(drawn):
    instance = drawn(**{"workload.duration_s": 200, "workload.rate_per_s": 0.05})
    assert len(instance.workload) == 10


def test_a_trace_is_replayed_with_its_own_lengths(drawn, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("timestamp,input_tokens,output_tokens\n0,20,128\n2,10,64\n10,5,3\n")
    overrides = {"workload": {"kind": "trace", "file": str(path)}, "clients": 2}
    instance = drawn(**overrides)
    assert instance.rate_per_s == pytest.approx(0.3)
    assert instance.workload.cache_tokens.tolist() == [148, 74, 8]
    assert instance.design_request[1:] == (12, 65, 77)  # means, rounded up
    fixed = drawn(**overrides, session_tokens=148)
    assert fixed.workload.cache_tokens.tolist() == [148, 148, 148]


def test_overrides_replace_rivals_and_leave_the_original_alone():
    content = {"fleet": {"servers": 3}, "workload": {"requests": 5}}
    changed = with_overrides(content, {"fleet.servers_per_node": 0.5, "workload.duration_s": 9})
    assert changed == {"fleet": {"servers_per_node": 0.5}, "workload": {"duration_s": 9}}
    assert content == {"fleet": {"servers": 3}, "workload": {"requests": 5}}
