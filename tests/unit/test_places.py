"""Who sits where, and on which device: drawn or said, with every refusal in full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from bprr.ground.errors import InputError, InputErrors
from bprr.scenario.fleet import Fleet, PinnedServers, round_half_up
from bprr.scenario.network import FIBRE_US_PER_KM, LinkNetwork
from bprr.scenario.places import (
    ClusteredNetwork,
    GeoNetwork,
    GraphNetwork,
    Names,
    NodeNetwork,
    RepetitaNetwork,
    RttNetwork,
    TopohubNetwork,
    TopologyNetwork,
)
from bprr.scenario.streams import PURPOSES, Streams

HERE = Path("unused")
STREAMS = Streams(3, 5)


def network_of(count: int, names: tuple[str, ...] = ()) -> LinkNetwork:
    unknown = np.full(count, np.nan)
    rtt = np.abs(np.subtract.outer(np.arange(count), np.arange(count))) * 10.0
    return LinkNetwork("a line", rtt, unknown, unknown, names)


class Line(NodeNetwork):
    """Nodes in a line."""

    count: int
    names: tuple[str, ...] = ()

    def build(self, streams: Streams, topology_dir: Path) -> LinkNetwork:
        return network_of(self.count, self.names)


def said(call: Any, *arguments: Any, **named: Any) -> list[tuple[str, str, object, str]]:
    with pytest.raises((InputError, InputErrors)) as caught:
        call(*arguments, **named)
    errors = getattr(caught.value, "errors", [caught.value])
    return [(each.where, each.key, each.value, each.allowed) for each in errors]


def refused(of: Any, **content: Any) -> tuple[str, object, str]:
    with pytest.raises(ValidationError) as caught:
        of.model_validate(content)
    (one,) = caught.value.errors()
    error = one["ctx"]["error"]
    return error.key, error.value, error.allowed


def test_servers_and_clients_at_random_nodes_no_two_at_one() -> None:
    nodes = STREAMS.of("nodes").permutation(6)
    fleet = Fleet(servers=4, rest="slow", share={"fast": 0.25})
    found = Line(count=6).places(fleet, 2, STREAMS, HERE, "mine")
    assert found.client_node.tolist() == nodes[:2].tolist()
    assert found.server_node.tolist() == nodes[2:6].tolist()
    assert found.devices == fleet.deal(4, STREAMS)
    assert (found.pinned, found.network.nodes) == ([], 6)
    few = Line(count=6).places(Fleet(servers=1, rest="slow"), 1, STREAMS, HERE, "mine")
    assert (few.client_node.tolist(), few.server_node.tolist()) == ([nodes[0]], [nodes[1]])
    assert said(Line(count=6).places, Fleet(servers=5, rest="slow"), 2, STREAMS, HERE, "mine") == [
        ("mine", "fleet.servers", 5, "with 2 client(s) at most 4 on a line, which has 6 nodes")
    ]


ABC = ("a", "b", "c", "", "a")


def test_clients_at_nodes_of_a_name_servers_at_others() -> None:
    line = Line(count=5, names=ABC)
    fleet = Fleet(servers=3, share={"fast": 1.0})
    found = line.places(fleet, ["c", "b", "c"], STREAMS, HERE, "mine")
    assert found.client_node.tolist() == [2, 1, 2]
    free = [node for node in STREAMS.of("nodes").permutation(5) if node not in (1, 2)]
    assert found.server_node.tolist() == free
    assert (found.devices, found.pinned) == (["fast"] * 3, [])
    assert said(line.places, Fleet(servers=4, rest="x"), ["c", "b"], STREAMS, HERE, "mine") == [
        ("mine", "fleet.servers", 4, "at most 3, the nodes of a line without a client")
    ]
    for name, allowed in (
        ("a", "a name that only one node of a line has"),
        ("bb", "did you mean b? a node of a line: a, b, c, a"),
        ("xyz", "a node of a line: a, b, c, a"),
    ):
        found = said(line.places, fleet, ["b", name], STREAMS, HERE, "mine")
        assert found == [("mine", "clients", name, allowed)]


def test_nodes_that_are_drawn_have_no_names_and_many_names_are_cut() -> None:
    fleet = Fleet(servers=1, rest="x")
    allowed = "a node of a line: no names: its nodes are drawn"
    found = said(Line(count=3).places, fleet, ["b"], STREAMS, HERE, "mine")
    assert found == [("mine", "clients", "b", allowed)]
    names = tuple(f"n{node}" for node in range(60))
    ((*_, allowed),) = said(
        Line(count=60, names=names).places, fleet, ["zz"], STREAMS, HERE, "mine"
    )
    assert allowed == "a node of a line: " + ", ".join(names[:50])


def test_servers_that_are_listed_stand_where_they_are_said() -> None:
    line = Line(count=4, names=("a", "b", "c", "d"))
    two = {"device": "fast", "at": "c", "count": 2, "memory_gb": 7.0}
    fleet = Fleet(servers=[two, {"device": "slow", "at": "a", "block_cap": 3}])
    found = line.places(fleet, 4, STREAMS, HERE, "mine")
    assert found.server_node.tolist() == [2, 2, 0]
    assert found.client_node.tolist() == STREAMS.of("nodes").permutation(4).tolist()
    assert found.devices == ["fast", "fast", "slow"]
    assert [server.memory_gb for server in found.pinned] == [7, 7, None]
    assert [server.block_cap for server in found.pinned] == [None, None, 3]
    assert line.places(fleet, ["d"], STREAMS, HERE, "mine").client_node.tolist() == [3]
    assert said(line.places, fleet, 5, STREAMS, HERE, "mine") == [
        ("mine", "clients", 5, "at most 4, the nodes of a line")
    ]
    fleet = Fleet(servers=[{"device": "fast", "at": "e"}])
    ((where, key, value, _),) = said(line.places, fleet, 1, STREAMS, HERE, "mine")
    assert (where, key, value) == ("mine", "fleet.servers.at", "e")


def test_names_are_texts_one_or_many() -> None:
    names = TypeAdapter(Names)
    assert names.validate_python("paris") == ["paris"]
    assert names.validate_python(7) == ["7"]
    assert names.validate_python(["a", 7]) == ["a", "7"]
    for wrong in ([], [True], [1.5], None):
        with pytest.raises(ValidationError):
            names.validate_python(wrong)


def test_networks_know_their_files(tmp_path: Path) -> None:
    file = Path("x.csv")
    for network, files in (
        (TopologyNetwork(kind="topology", name="n"),
         [tmp_path / "n.nodes.csv", tmp_path / "n.links.csv"]),
        (RepetitaNetwork(kind="repetita", file=file), [file]),
        (GraphNetwork(kind="graph", file=file), [file]),
        (RttNetwork(kind="rtt", file=file), [file]),
        (TopohubNetwork(kind="topohub", name="n"), []),
        (GeoNetwork(kind="geo", nodes=3), []),
        (ClusteredNetwork(kind="clustered", clusters={"a": {"x": 1}}, client="a"), []),
    ):  # fmt: skip
        assert network.files(tmp_path) == files
    assert Line(count=1).files(tmp_path) == []


def test_networks_build_themselves(tmp_path: Path) -> None:
    for name, text in (
        ("n.nodes.csv", "node,city,longitude_deg,latitude_deg\na,A,0,0\nb,B,1,0\n"),
        ("n.links.csv", "node_a,node_b,delay_us\na,b,3000\n"),
        ("n.graph", "NODES 2\nlabel x y\nA 0 1\nB 1 1\nEDGES 1\nlabel a b delay\ne 0 1 9000\n"),
        ("n.gml", "graph [ node [ id 0 lon 0.0 lat 0.0 ] node [ id 1 lon 1.0 lat 0.0 ]"
                  " edge [ source 0 target 1 delay 7 ] ]"),
        ("n.csv", "from,to,rtt\na,b,4\n"),
    ):  # fmt: skip
        (tmp_path / name).write_text(text)
    degree_ms = 6371.0 * np.pi / 180 / 1000
    for network, rtt_ms in (
        (TopologyNetwork(kind="topology", name="n"), 6),
        (TopologyNetwork(kind="topology", name="n", delay_factor=2.0), 12),
        (TopologyNetwork(kind="topology", name="n", delay_factor=0.5), 3),
        (RepetitaNetwork(kind="repetita", file=tmp_path / "n.graph"), 18),
        (RepetitaNetwork(kind="repetita", file=tmp_path / "n.graph", delay_unit="ms"), 18000),
        (GraphNetwork(kind="graph", file=tmp_path / "n.gml"), 2 * degree_ms * FIBRE_US_PER_KM),
        (GraphNetwork(kind="graph", file=tmp_path / "n.gml", us_per_km=3.0), 2 * degree_ms * 3),
        (GraphNetwork(kind="graph", file=tmp_path / "n.gml", delay="delay", delay_unit="s"), 14000),
        (RttNetwork(kind="rtt", file=tmp_path / "n.csv", missing="other_way"), 4),
        (RttNetwork(kind="rtt", file=tmp_path / "n.csv", missing="detour", unit="s"), 4000),
    ):
        built = network.build(STREAMS, tmp_path)
        assert built.rtt_ms(np.array([0]), np.array([1]))[0, 0] == pytest.approx(rtt_ms)
        assert network.build(STREAMS, tmp_path).rtt is built.rtt or network.kind == "topology"
    globe = GeoNetwork(kind="geo", nodes=4, us_per_km=2.0).build(STREAMS, tmp_path)
    assert (globe.nodes, globe.us_per_km) == (4, 2)
    even = STREAMS.of("network").random(4)
    np.testing.assert_allclose(globe.longitude_deg, 360 * even - 180)


def test_a_unit_goes_with_a_delay_and_with_nothing_else() -> None:
    allowed = "us, ms or s, beside `delay` alone"
    both = {"kind": "graph", "file": Path("x.gml")}
    assert refused(GraphNetwork, **both, delay="d") == ("delay_unit", None, allowed)
    assert refused(GraphNetwork, **both, delay_unit="ms") == ("delay_unit", "ms", allowed)
    for more in ({}, {"delay": "d", "delay_unit": "ms"}):
        GraphNetwork.model_validate({**both, **more})


def test_clusters_are_as_they_are_said() -> None:
    clusters = {"a": {"fast": 2, "slow": 1}, "b": {}, "c": {"slow": 2}}
    network = ClusteredNetwork(kind="clustered", clusters=clusters, client=["b", "c"])
    found = network.places(Fleet(), 1, STREAMS, HERE, "mine")
    # The last cluster comes first.
    assert found.devices == ["slow", "slow", "fast", "fast", "slow"]
    assert found.server_node.tolist() == [0, 1, 2, 3, 4]
    assert found.client_node.tolist() == [5, 6]
    rtt = found.network.rtt_ms(found.client_node, found.server_node)
    assert rtt.tolist() == [[100] * 5, [5, 5, 100, 100, 100]]
    between = found.network.rtt_ms(found.server_node[1:3], found.server_node)
    assert between.tolist() == [[5, 0, 100, 100, 100], [100, 100, 0, 5, 5]]
    assert found.pinned == []
    said = {"kind": "clustered", "clusters": clusters}
    key = ("client", "d", "one of the clusters a, b, c")
    assert refused(ClusteredNetwork, **said, client=["a", "d"]) == key
    empty = {"kind": "clustered", "clusters": {"a": {"fast": 0}}, "client": "a"}
    assert refused(ClusteredNetwork, **empty) == ("clusters", "no servers", "at least one server")


@pytest.mark.parametrize(
    ("value", "whole"), [(0.4999, 0), (0.5, 1), (1.5, 2), (2.5, 3), (2.49, 2), (-0.5, 0), (7, 7)]
)
def test_halves_are_rounded_up(value: float, whole: int) -> None:
    assert round_half_up(value) == whole


@pytest.mark.parametrize(
    ("content", "key", "value", "allowed"),
    [
        ({"servers": 3, "share": {"a": 0.5, "b": 0.6}}, "share", {"a": 0.5, "b": 0.6},
         "shares that add up to at most 1"),
        ({"servers": 3, "share": {"a": 0.5, "b": 0.4}}, "rest", "nothing",
         "a device for what {'a': 0.5, 'b': 0.4} leaves over, or shares that add up to 1"),
        ({"servers": 3, "rest": "a", "servers_per_node": 0.5}, "servers",
         "3 with servers_per_node: 0.5", "servers or servers_per_node, not both"),
        ({"servers": [{"device": "a", "at": "x"}], "share": {"a": 1.0}}, "share", {"a": 1.0},
         "nothing: the servers are listed one by one"),
        ({"servers": [{"device": "a", "at": "x"}], "rest": "b"}, "share", "b",
         "nothing: the servers are listed one by one"),
        ({"file": Path("x"), "rest": "b"}, "share", "b",
         "nothing: the servers are listed one by one"),
        ({"file": Path("x"), "servers_per_node": 0.5}, "share", 0.5,
         "nothing: the servers are listed one by one"),
        ({"file": Path("x"), "servers": 3}, "file", "x", "servers or file, not both"),
        ({"servers": []}, "servers", [], "at least one server"),
    ],
)  # fmt: skip
def test_fleets_refused(content: Any, key: str, value: object, allowed: str) -> None:
    assert refused(Fleet, **content) == (key, value, allowed)


def test_shares_may_be_off_by_a_rounding() -> None:
    for shares in ({"a": 0.1, "b": 0.2, "c": 0.7}, {"a": 0.5 + 5e-10, "b": 0.5}, {"a": 1 - 5e-10}):
        assert Fleet(servers=3, share=shares).share == shares
    for shares in ({"a": 0.5 + 2e-9, "b": 0.5}, {"a": 1 - 2e-9}):
        with pytest.raises(ValidationError):
            Fleet(servers=3, share=shares)
    assert Fleet(servers=3, share={"a": 0.2}, rest="b").rest == "b"


def test_what_is_dealt() -> None:
    assert Fleet(servers=3, share={"a": 0.25, "b": 0.5}, rest="c").dealt == {
        "a": 0.25, "b": 0.5, "c": 0.25,
    }  # fmt: skip
    assert Fleet(servers=3, share={"a": 0.25, "b": 0.5}, rest="a").dealt == {"a": 0.5, "b": 0.5}
    assert Fleet(servers=3, share={"a": 0.25, "b": 0.75}).dealt == {"a": 0.25, "b": 0.75}
    assert Fleet(servers=3, rest="c").dealt == {"c": 1}
    assert Fleet().dealt == {}
    for share, nodes, count in ((0.25, 10, 3), (0.25, 9, 2), (0.01, 10, 1), (1.0, 7, 7)):
        assert Fleet(servers_per_node=share, rest="c").count(nodes) == count
    assert Fleet(servers=4, rest="c").count(100) == 4


@pytest.mark.parametrize(
    ("share", "rest", "count", "counts"),
    [
        ({"a": 0.25, "b": 0.5}, "c", 8, {"a": 2, "b": 4, "c": 2}),
        ({"a": 0.25, "b": 0.5}, "c", 2, {"a": 1, "b": 1}),  # halves up
        ({"a": 0.5, "b": 0.5}, None, 3, {"a": 2, "b": 1}),  # and no more than there are
        ({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, None, 4, {"a": 1, "b": 1, "c": 2}),
        ({"a": 0.0}, "b", 3, {"b": 3}),
        ({"a": 0.9}, "b", 1, {"a": 1}),
    ],
)
def test_devices_are_dealt_at_random(
    share: dict[str, float], rest: str | None, count: int, counts: dict[str, int]
) -> None:
    found = Fleet(servers=count, share=share, rest=rest).deal(count, STREAMS)
    # The servers in the order of one random number each; the last device has what is left over.
    order = np.argsort(STREAMS.of("devices").random(count)).tolist()
    expected = [device for device, many in counts.items() for _ in range(many)]
    assert [found[server] for server in order] == expected


def test_servers_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "servers.csv"
    path.write_text("note,device,at,count,memory_gb,block_cap\nx,a,1,2,7,\ny,b,paris,,,3\n")
    none = {"count": 1, "memory_gb": None, "block_cap": None}
    assert [server.model_dump() for server in Fleet(file=path).pinned] == [
        {**none, "device": "a", "at": "1", "count": 2, "memory_gb": 7},
        {**none, "device": "b", "at": "paris", "block_cap": 3},
    ]
    one = {"device": "a", "at": "x"}
    assert Fleet(servers=[one]).pinned == [PinnedServers(device="a", at="x")]
    assert Fleet(servers=3, rest="a").pinned == []
    assert Fleet().pinned == []
    path.write_text("device,at,count\na,x,1\nb,y,0\n")
    assert said(lambda: Fleet(file=path).pinned) == [
        (f"{path} (line 3)", "count", 0, "a number of at least 1")
    ]
    path.write_text("device,at,count\na,x,1.5\n")
    assert said(lambda: Fleet(file=path).pinned) == [
        (str(path), "count (line 2)", 1.5, "a whole number, or nothing")
    ]
    path.write_text("device,count\na,1\n")
    assert said(lambda: Fleet(file=path).pinned) == [
        (str(path), "columns", "no at", "servers: device, at")
    ]


def test_what_is_not_redrawn_is_that_of_the_first_run() -> None:
    streams = Streams(3, 5, ["nodes", "churn"])
    for purpose in PURPOSES:
        run = 5 if purpose in ("nodes", "churn") else 0
        assert streams.of(purpose).random() == Streams(3, run).of(purpose).random()
        assert Streams(3, 5, []).of(purpose).random() == Streams(3, 0).of(purpose).random()
