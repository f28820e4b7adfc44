"""Draws of a scenario: common random numbers, devices, the choice of R."""

import numpy as np
import pytest

from bprr.ground.errors import InputErrors
from bprr.scenario.draw import draw
from bprr.scenario.places import ClusteredNetwork
from bprr.scenario.scenario import load_scenario
from bprr.scenario.streams import PURPOSES, Streams
from bprr.settings.overrides import with_overrides


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


# First draw of every stream of two runs: any other generator, seeding or numbering of purposes
# would change all results.
FIRST_DRAWS = {
    (7, 0, "beliefs"): 0.4648659444851322,
    (2025, 1, "beliefs"): 0.739689872118516,
    (2025, 0, "beliefs"): 0.0612259397579582,
    (2025, 0, "network"): 0.7474357919111253,
    (2025, 0, "nodes"): 0.7344133102495758,
    (2025, 0, "devices"): 0.9175953034554376,
    (2025, 0, "join_order"): 0.5230547358751514,
    (2025, 0, "arrivals"): 0.4513133611148108,
    (2025, 0, "clients"): 0.918022434938409,
    (2025, 1, "network"): 0.2701469543377317,
    (2025, 1, "nodes"): 0.952592931469604,
    (2025, 1, "devices"): 0.5004124868995968,
    (2025, 1, "join_order"): 0.7049221976490538,
    (2025, 1, "arrivals"): 0.8515456584314494,
    (2025, 1, "clients"): 0.4569409672959064,
    (7, 0, "network"): 0.3921071947199256,
    (7, 0, "nodes"): 0.872908525547428,
    (7, 0, "devices"): 0.3097973919483319,
    (7, 0, "join_order"): 0.9432168673415459,
    (7, 0, "arrivals"): 0.5358338940268926,
    (7, 0, "clients"): 0.867589346691492,
    (2025, 0, "churn"): 0.42163552781299096,
    (2025, 1, "churn"): 0.6584884769274887,
    (7, 0, "churn"): 0.19469743190196198,
}


def test_streams_are_what_they_were():
    drawn = {
        (seed, run, purpose): Streams(seed, run).of(purpose).random()
        for seed, run in ((2025, 0), (2025, 1), (7, 0))
        for purpose in PURPOSES
    }
    assert drawn == FIRST_DRAWS


def test_streams_are_pairwise_distinct():
    drawn = {
        (seed, run, purpose): tuple(Streams(seed, run).of(purpose).integers(1 << 62, size=4))
        for seed in (0, 1, 2025)
        for run in range(4)
        for purpose in PURPOSES
    }
    assert len(set(drawn.values())) == len(drawn) == 3 * 4 * len(PURPOSES)
    # The start of each stream, not just its state: no first number of one is another's later one.
    numbers = [number for first in drawn.values() for number in first]
    assert len(set(numbers)) == len(numbers)


def test_a_stream_starts_anew_whenever_it_is_asked_for():
    streams = Streams(1, 0)
    assert streams.of("nodes").random() == streams.of("nodes").random()


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
    assert instance.swarm.block_cap.tolist() == expected
    assert drawn(**{"fleet.block_cap": {}}).swarm.block_cap is None


def test_clustered(drawn):
    homes = ["cluster2", "cluster0"]
    instance = drawn(file="clustered", **{"network.client": homes, "clients": 2})
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


def test_the_clusters_say_how_many_clients_there_are(drawn):
    with pytest.raises(
        InputErrors, match=r"clustered\.yaml: clients: got 3; allowed: 1, or nothing"
    ):
        drawn(file="clustered", clients=3)
    with pytest.raises(InputErrors, match=r"clients: got 1; allowed: 2, or nothing"):
        drawn(file="clustered", clients=1, **{"network.client": ["cluster2", "cluster0"]})


FLEETS = [
    ({"share": {"a100": 0.2}, "rest": "mig"}, 0.2),
    # What is left over after the shares is not always slow.
    ({"share": {"mig": 0.3}, "rest": "a100"}, 0.7),
    ({"share": {"mig": 0.25, "a100": 0.75}}, 0.75),
    ({"share": {"a100": 0.25, "mig": 0.25}, "rest": "mig"}, 0.25),
    ({"share": {"a100": 0.1, "mig_26": 0.3}, "rest": "mig"}, 0.1),  # mig_26 is as slow as mig
    ({"share": {"a100": 0.1, "a100_clustered": 0.2}, "rest": "mig"}, 0.3),
    ({"share": {"a100": 0.6, "a100_clustered": 0.4}}, 0.4),
    ({"rest": "mig"}, 0.0),
]


@pytest.mark.parametrize("fleet, expected", FLEETS)
def test_the_share_of_fast_servers_is_of_those_that_are_faster(drawn, fleet, expected):
    instance = drawn(**{"fleet": {"servers": 20, **fleet}})
    assert instance.fast_share == pytest.approx(expected)


def test_the_share_of_fast_servers_is_as_asked_for_not_as_dealt(drawn):
    instance = drawn(**{"fleet.servers": 6, "fleet.share.a100": 0.25})
    assert instance.swarm.device.count("a100") == 2
    assert instance.fast_share == 0.25


def test_the_share_of_fast_servers_is_counted_in_clusters(drawn):
    assert drawn(file="clustered").fast_share == pytest.approx(2 / 9)
    clusters = {"cluster0": {}, "cluster1": {"mig_clustered": 4}, "cluster2": {}}
    assert drawn(file="clustered", **{"network.clusters": clusters}).fast_share == 0


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
    assert instance.rate_per_s == pytest.approx(0.2)
    assert instance.workload.cache_tokens.tolist() == [148, 74, 8]
    assert instance.design_request[1:] == (12, 65, 77)  # means, rounded up
    fixed = drawn(**overrides, session_tokens=148)
    assert fixed.workload.cache_tokens.tolist() == [148, 148, 148]


def test_overrides_replace_rivals_and_leave_the_original_alone():
    content = {"fleet": {"servers": 3}, "workload": {"requests": 5}}
    changed = with_overrides(content, {"fleet.servers_per_node": 0.5, "workload.duration_s": 9})
    assert changed == {"fleet": {"servers_per_node": 0.5}, "workload": {"duration_s": 9}}
    assert content == {"fleet": {"servers": 3}, "workload": {"requests": 5}}


def test_a_cluster_may_have_none_of_a_device_but_not_all_of_them():
    said = {"kind": "clustered", "client": ["a"]}
    some = {"a": {"a100": 0, "mig": 2}, "b": {}}
    assert ClusteredNetwork.model_validate({**said, "clusters": some}).clusters == some
    with pytest.raises(ValueError, match="at least one server"):
        ClusteredNetwork.model_validate({**said, "clusters": {"a": {"a100": 0}, "b": {}}})
