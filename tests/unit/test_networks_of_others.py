"""Networks and fleets of others: read right, or refused (tests/cases/networks, swarms)."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from bprr.ground.errors import InputError, InputErrors
from bprr.ground.performance import chain_times_ms
from bprr.ground.swarm import Device, LanguageModel, Overheads, Swarm
from bprr.scenario.draw import draw
from bprr.scenario.measured import read_rtt
from bprr.scenario.places import RttNetwork, TopologyNetwork
from bprr.scenario.scenario import load_scenario, scenario_of
from bprr.scenario.streams import Streams
from bprr.scenario.topologies import read_repetita


def everything(network):
    nodes = np.arange(network.nodes)
    return network.rtt_ms(nodes, nodes).tolist()


@pytest.fixture
def case(root):
    return lambda name: root / "tests/cases/networks" / name


def refusal(call):
    with pytest.raises((InputError, InputErrors)) as refused:
        call()
    return refused.value


def test_a_round_trip_is_both_ways(case):
    assert everything(read_repetita(case("asym.graph")))[0] == [0, 40, 50]


def test_a_measurement_is_no_topology(case):
    measured = read_rtt(case("triangle.graph"), None, "refuse")
    assert everything(measured)[0] == [0, 200, 80]
    assert everything(read_repetita(case("triangle.graph")))[0] == [0, 160, 80]


def test_columns_are_those_of_the_header(case):
    assert everything(read_repetita(case("swapped_cols.graph")))[0] == [0, 10]


def test_delays_may_be_zero_and_files_from_windows(case):
    assert everything(read_repetita(case("zero.graph")))[0] == [0, 0]
    assert case("bom_crlf.graph").read_bytes().startswith(b"\xef\xbb\xbf")
    assert everything(read_repetita(case("bom_crlf.graph")))[0] == [0, 0.01]


def test_a_unit_is_a_key_and_doubts_are_said(case):
    assert everything(read_repetita(case("rocketfuel_unit.graph"), "ms"))[0] == [0, 60]
    (said,) = read_repetita(case("rocketfuel_unit.graph")).remarks
    assert "2 of 2 nodes have no place" in said
    assert "delay_unit" in said


def test_links_faster_than_light_are_said(case, tmp_path):
    (said,) = read_repetita(case("bom_crlf.graph")).remarks
    assert "1 of 2 nodes have no place" in said
    path = tmp_path / "fast.graph"
    path.write_text(
        "NODES 2\nlabel x y\nOslo 10.75 59.91\nRome 12.48 41.89\nEDGES 2\n"
        "label src dest weight bw delay\na 0 1 1 1 20\nb 1 0 1 1 20000\n"
    )
    (said,) = read_repetita(path).remarks
    assert "1 of 2 links are faster than light in fibre (4.9 µs/km), e.g. Oslo to Rome" in said
    assert "in 20 µs instead of 98" in said  # some 2007 km
    assert read_repetita(path, "ms").remarks == ()


MATRIX = ",berlin,paris,tokyo\nberlin,,15,230\nparis,16,,240.5\ntokyo,231,239,1\n"
PAIRS = """from,to,rtt_ms
berlin,paris,15
berlin,tokyo,230
paris,berlin,16
paris,tokyo,240.5
tokyo,berlin,231
tokyo,paris,239
tokyo,tokyo,1
"""


@pytest.mark.parametrize(
    "text",
    [
        MATRIX,
        MATRIX.replace(",", "\t"),
        PAIRS,
        PAIRS.replace("from,to,rtt_ms", "source,target,avg"),
        PAIRS.replace("rtt_ms", "rtt_ms,x").replace("\n", ",0\n").replace("x,0", "x"),
        PAIRS + "berlin,paris,14\nberlin,paris,99\n",
    ],
)
def test_round_trips_are_used_as_measured(tmp_path, text):
    path = tmp_path / "rtt.csv"
    path.write_text(text)
    network = read_rtt(path, None, "refuse")
    assert network.node_names == ("berlin", "paris", "tokyo")
    assert everything(network) == [[0, 15, 230], [16, 0, 240.5], [231, 239, 1]]


def test_units_of_round_trips(tmp_path):
    path = tmp_path / "rtt.csv"
    path.write_text("from,to,rtt_us\na,b,5000\nb,a,7000\n")
    assert everything(read_rtt(path, None, "refuse")) == [[0, 5], [7, 0]]
    path.write_text("from,to,rtt\na,b,.005\nb,a,.007\n")
    assert everything(read_rtt(path, "s", "refuse")) == [[0, 5], [7, 0]]


def test_missing_pairs_follow_a_named_rule(tmp_path):
    path = tmp_path / "rtt.csv"
    path.write_text("from,to,rtt_ms\na,b,10\nb,c,30\nc,b,20\n")
    error = refusal(lambda: read_rtt(path, None, "refuse"))
    assert error.value == "3 not measured, e.g. a to c, b to a, c to a"
    assert "other_way, detour" in error.allowed
    refusal(lambda: read_rtt(path, None, "other_way"))
    network = read_rtt(path, None, "detour")
    assert everything(network) == [[0, 10, 40], [10, 0, 30], [30, 20, 0]]
    assert "3 of 9 pairs not measured: detour" in network.remarks[-1]
    path.write_text("from,to,rtt_ms\na,b,10\n")
    assert everything(read_rtt(path, None, "other_way")) == [[0, 10], [10, 0]]


@pytest.mark.parametrize(
    "text, key",
    [
        ("from,to,rtt_ms\na,b,-1\n", "line 2"),
        ("from,to,rtt_ms\na,b,fast\n", "line 2"),
        ("from,to,rtt_ms\na,b,1,2\n", "line 2"),
        ("from,rtt_ms\na,1\n", "columns"),
        ("from,to,rtt_ms\n", "rows"),
        (",a,a\na,1,2\na,3,4\n", "line 1"),
    ],
)
def test_a_bad_table_is_refused(tmp_path, text, key):
    path = tmp_path / "rtt.csv"
    path.write_text(text)
    assert refusal(lambda: read_rtt(path, None, "detour")).key == key


BASE = {
    "overheads": {"token_ms": 50, "prompt_ms": 55, "initial_ms": 100},
    "workload": {
        "kind": "poisson", "rate_per_s": 0.1, "requests": 3, "input_tokens": 20,
        "output_tokens": 128,
    },
}  # fmt: skip


@pytest.fixture
def pinned(published, tmp_path):
    (tmp_path / "rtt.csv").write_text(MATRIX)
    network = {"kind": "rtt", "file": str(tmp_path / "rtt.csv")}

    def drawn(**more):
        return draw(scenario_of({**BASE, "network": network, **more}, {}, "mine"), published, 1, 0)

    return drawn


SERVERS = [
    {"device": "a100", "at": "paris", "count": 2, "memory_gb": 40.0},
    {"device": "mig", "at": "tokyo", "block_cap": 3},
]


def test_servers_stand_where_they_are_said_to(pinned, tmp_path):
    (tmp_path / "servers.csv").write_text(
        "device,at,count,memory_gb,block_cap\na100,paris,2,40,\nmig,tokyo,,,3\n"
    )
    for fleet in ({"servers": SERVERS}, {"file": str(tmp_path / "servers.csv")}):
        swarm = pinned(fleet=fleet, clients=["tokyo", "berlin"]).swarm
        assert swarm.device == ("a100", "a100", "mig")
        assert swarm.memory_gb.tolist() == [40, 40, 9.1]
        assert swarm.block_cap.tolist() == [70, 70, 3]
        assert swarm.raw_rtt_ms.tolist() == [[239, 239, 1], [15, 15, 230]]


def test_clients_may_be_anywhere_and_so_may_servers(pinned):
    swarm = pinned(fleet={"servers": SERVERS}, clients=3).swarm
    assert sorted(swarm.raw_rtt_ms[:, 0].tolist()) == [0, 15, 239]
    swarm = pinned(fleet={"servers": 2, "rest": "mig"}, clients="paris").swarm
    assert sorted(swarm.raw_rtt_ms[0].tolist()) == [16, 240.5]


@pytest.mark.parametrize(
    "more, key, says",
    [
        ({"fleet": {"servers": [{"device": "a100", "at": "Pariss"}]}}, "fleet.servers.at", "paris"),
        ({"fleet": {"servers": [{"device": "a10", "at": "paris"}]}}, "fleet.servers.device",
         "known device"),
        ({"fleet": {"servers": SERVERS}, "clients": ["rome"]}, "clients", "berlin, paris"),
        ({"fleet": {"servers": SERVERS}, "clients": 4}, "clients", "at most 3"),
        ({"fleet": {"servers": SERVERS, "rest": "mig"}}, "fleet.share", "one by one"),
        ({"fleet": {"servers": []}}, "fleet.servers", "at least one"),
        ({"fleet": {"servers": [{"device": "a100"}]}}, "fleet.servers.0.at", "required"),
        ({"fleet": {"servers": 3, "rest": "mig"}, "clients": ["paris"]}, "fleet.servers",
         "at most 2"),
        ({"fleet": {"servers": 2, "share": {"a100": 0.2}}}, "fleet.rest", "add up to 1"),
    ],
)  # fmt: skip
def test_a_fleet_that_cannot_be_is_refused(pinned, more, key, says):
    error = refusal(lambda: pinned(**more))
    (error,) = getattr(error, "errors", [error])
    assert error.key == key
    assert says in error.allowed


def test_a_share_without_a_rest_is_refused(root):
    path = root / "tests/cases/swarms/share_typo_a100.yaml"
    assert "fleet.rest" in str(refusal(lambda: load_scenario(path)))
    load_scenario(path, {"fleet.rest": "mig"})


def test_names_may_look_like_numbers(root, published):
    path = root / "tests/cases/swarms/numeric_clusters.yaml"
    assert draw(load_scenario(path), published, 1, 0).swarm.servers == 3
    content = yaml.safe_load(path.read_text())
    content["network"]["clusters"] = {"1": {"a100": 2}}
    content["network"]["client"] = 2
    assert "network.client: got '2'" in str(refusal(lambda: scenario_of(content, {}, "x")))


def test_back_off_goes_up(root):
    backwards = {"retry": {"first_ms": 10.0, "longest_ms": 5.0}}
    error = refusal(lambda: load_scenario("scattered", {"admission": backwards}))
    assert "admission.retry.first_ms: got 10.0; allowed: at most longest_ms" in str(error)


def test_misspelt_names_get_suggestions(published):
    for network in ("abovnet", "topozoo/Abelene"):
        kind = "topohub" if "/" in network else "topology"
        scenario = load_scenario("scattered", {"network": {"kind": kind, "name": network}})
        error = refusal(lambda scenario=scenario: draw(scenario, published, 1, 0))
        assert "did you mean" in error.allowed


def test_bandwidth_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "home.csv"
    lines = ["from,to,rtt_ms,bandwidth_mbps", "here,box,20,50", "box,here,22,10", "here,rack,30,"]
    path.write_text("\n".join([*lines, "rack,here,30,", "box,rack,5,1000", "rack,box,5,1000"]))
    network = read_rtt(path, None, "refuse")
    assert network.mbit_per_s is not None
    speed = network.mbit_per_s
    assert (speed[0, 1], speed[1, 0]) == (50, 10)
    assert np.isnan(speed[0, 2])
    model = LanguageModel(name="m", blocks=4, d_model=8192, block_gb=1.0)
    device = Device(name="d", tau_ms=1.0, memory_gb=24.0, prefill_ms=0.0, prefill_ms_per_token=0.0)
    overheads = Overheads(token_ms=1.0, prompt_ms=2.0, prompt_ms_per_token=0.5, initial_ms=0.0)
    home, servers = np.array([0]), np.array([1, 2])
    pair = speed[np.ix_(home, servers)], speed[np.ix_(servers, home)].T
    rtt_ms = network.rtt_ms(home, servers)
    swarm = Swarm.of(model, [device, device], rtt_ms, overheads, pair)
    # 8,192 values of 16 bits, there at 50 Mbit/s and back at 10; unknown to the rack.
    expected = [131072 / 50e6 * 1000 + 131072 / 10e6 * 1000, 0.5]
    np.testing.assert_allclose(swarm.prompt_rtt_ms_per_token, [expected])
    first_ms, _ = chain_times_ms(swarm, 0, np.array([0]), np.array([4]), 1000, 2)
    assert first_ms == pytest.approx(22 + 1000 * expected[0])


@pytest.mark.parametrize("bandwidth", ["0", "-1", "fast", "1e9"])
def test_bandwidth_refused(tmp_path: Path, bandwidth: str) -> None:
    path = tmp_path / "home.csv"
    path.write_text(f"from,to,rtt_ms,mbps\nhere,box,20,{bandwidth}\nbox,here,20,5\n")
    with pytest.raises(InputError, match="line 2"):
        read_rtt(path, None, "refuse")


def test_a_file_that_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = []
    for folder, rtt_ms in (("one", 10), ("two", 20)):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        for factor in (1, 30):
            Path("rtt.csv").write_text(f"from,to,rtt_ms\na,b,{rtt_ms * factor}\nb,a,9\n")
            network = RttNetwork(kind="rtt", file=Path("rtt.csv"))
            networks.append(network.build(Streams(1, 0), tmp_path).rtt_ms([0], [1])[0, 0])
    assert networks == [10, 300, 20, 600]


def test_a_table_of_a_topology_that_changed_is_read_again(tmp_path: Path) -> None:
    nodes = "node,city,longitude_deg,latitude_deg\na,A,0,0\nb,B,1,1\n"
    (tmp_path / "small.nodes.csv").write_text(nodes)
    rtt_ms = []
    for delay_us in (1000, 20000):
        links = f"node_a,node_b,delay_us\na,b,{delay_us}\n"
        (tmp_path / "small.links.csv").write_text(links)
        network = TopologyNetwork(kind="topology", name="small")
        rtt_ms.append(network.build(Streams(1, 0), tmp_path).rtt_ms([0], [1])[0, 0])
    assert rtt_ms == [2, 40]
