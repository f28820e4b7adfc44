"""Networks of tables, REPETITA, GML and topohub: whole, with every doubt and refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprr.scenario.graph_files import read_graph_file
from bprr.scenario.topologies import (
    _topohub_names,
    did_you_mean,
    read_graph,
    read_repetita,
    read_tables,
    read_topohub,
)

from .refusals import refused

NAN = float("nan")


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_close_names_are_suggested() -> None:
    assert did_you_mean("abovnet", ["gts_ce", "abovenet"]) == "did you mean abovenet? "
    assert did_you_mean("xyz", iter(["gts_ce", "abovenet"])) == ""
    assert did_you_mean("ab", ["abc", "abd"]) in ("did you mean abc? ", "did you mean abd? ")


NODES = "node,city,longitude_deg,latitude_deg\n7,Oslo,10.5,59.5\nx,,,\nz,Rome,12,41\n"
LINKS = "node_a,node_b,delay_us\n7,x,1000\nx,z,0\nz,7,1e10\n"


def test_tables_whole(written: Any, tmp_path: Path) -> None:
    written("net.nodes.csv", NODES)
    written("net.links.csv", LINKS)
    found = read_tables(tmp_path, "net")
    assert found.name == "net"
    assert found.node_names == ("Oslo", "", "Rome")
    np.testing.assert_array_equal(found.longitude_deg, [10.5, NAN, 12])
    np.testing.assert_array_equal(found.latitude_deg, [59.5, NAN, 41])
    assert found.links == ((0, 1), (1, 2), (2, 0))
    assert found.rtt.tolist() == [[0, 2, 2], [2, 0, 0], [2, 0, 0]]
    assert (found.remarks, found.mbit_per_s) == ((), None)


def test_tables_refused(written: Any, tmp_path: Path) -> None:
    allowed = "a file NAME.nodes.csv"
    assert refused(read_tables, tmp_path, "net") == ("network.name", "net", allowed)
    nodes = written("net.nodes.csv", NODES)
    written("atlantis.nodes.csv", NODES)
    said = refused(read_tables, tmp_path, "nett")
    assert said == ("network.name", "nett", "did you mean net? atlantis, net")
    for text, key, value, allowed in (
        (LINKS.replace("7,x", "8,x"), "node_a (line 2)", "8", f"a node of {nodes}"),
        (LINKS.replace("z,7", "z,y"), "node_b (line 4)", "y", f"a node of {nodes}"),
        (LINKS.replace("1000", "-1"), "delay_us (line 2)", -1, "a number from 0 to 1e+10 µs"),
        (LINKS.replace("1e10", "1.1e10"), "delay_us (line 4)", 1.1e10,
         "a number from 0 to 1e+10 µs"),
    ):  # fmt: skip
        written("net.links.csv", text)
        assert refused(read_tables, tmp_path, "net") == (key, value, allowed)
    written("net.links.csv", LINKS)
    written("net.nodes.csv", NODES.replace("z,", "7,"))
    assert refused(read_tables, tmp_path, "net") == ("node (line 4)", "7", "each node once")


GRAPH = """label of nothing
NODES 3
label x y
A 10.5 59.5
B 12 41

C 30 50
EDGES 4
label src dest delay weight
e0 0 1 2000 1 1
e1 1 2 0
e2 2 0 1e10
e3 2 1 500
"""


def test_a_graph_whole(written: Any) -> None:
    found = read_graph(written("g.graph", GRAPH))
    assert found.names == ["A", "B", "C"]
    assert found.longitude_deg.tolist() == [10.5, 12, 30]
    assert found.latitude_deg.tolist() == [59.5, 41, 50]
    assert found.links == [(0, 1, 2000), (1, 2, 0), (2, 0, 1e10), (2, 1, 500)]


HEAD = "NODES 2\nlabel x y\nA 1 2\nB 3 4\nEDGES 1\nlabel src dest delay\n"


@pytest.mark.parametrize(
    ("text", "line", "unit"),
    [
        (HEAD + "e 0 1\n", 7, "us"),
        (HEAD + "e 0 2 1\n", 7, "ms"),
        (HEAD + "e 2 0 1\n", 7, "us"),
        (HEAD + "e -1 0 1\n", 7, "us"),
        (HEAD + "e 0 -1 1\n", 7, "us"),
        (HEAD + "e 0 1 -1\n", 7, "us"),
        (HEAD + "e 0 1 1.1e10\n", 7, "us"),
        (HEAD + "e 0 1 1.1e7\n", 7, "ms"),
        (HEAD + "e 0 1 nan\n", 7, "us"),
        (HEAD.replace("A 1 2", "A 1"), 3, "us"),
        (HEAD.replace("A 1 2", "A 1 north"), 3, "us"),
        (HEAD.replace("NODES 2", "NODES"), 1, "us"),
        (HEAD.replace("EDGES 1", "EDGES one"), 5, "us"),
        ("# a comment\n" + HEAD, 1, "us"),
        ("\nLINKS 1\n" + HEAD, 2, "us"),
    ],
)
def test_a_line_of_a_graph_is_refused(written: Any, text: str, line: int, unit: str) -> None:
    most = {"us": "1e+10", "ms": "1e+07"}[unit]
    allowed = (
        f"NODES n: label x y; EDGES m: label src dest … delay, delay in {unit}, from 0 to {most}"
    )
    value = text.splitlines()[line - 1]
    said = refused(read_graph, written("g.graph", text), unit)
    assert said == (f"line {line}", value, allowed)


def test_limits_of_delays(written: Any) -> None:
    for unit, most in (("us", "1e10"), ("ms", "1e7"), ("s", "1e4")):
        path = written("g.graph", HEAD + f"e 0 1 {most}\n")
        assert read_graph(path, unit).links == [(0, 1, 1e10)]
    assert read_graph(written("g.graph", HEAD + "e 1 0 0\n")).links == [(1, 0, 0)]


def test_a_delay_without_a_header_is_the_last_column(written: Any) -> None:
    for header in (HEAD.replace("delay", "cost"), HEAD.replace("label src dest delay\n", "")):
        assert read_graph(written("g.graph", header + "e 0 1 9 5\n")).links == [(0, 1, 5)]
    header = HEAD.replace("label x y", "label x y delay")  # of nodes, not of links
    assert read_graph(written("g.graph", header + "e 0 1 9 5\n")).links == [(0, 1, 9)]


def test_sections_of_a_graph_hold_what_they_announce(written: Any) -> None:
    none = ("file", "0 nodes, 0 edges", "both sections")
    assert refused(read_graph, written("g.graph", "")) == none
    assert refused(read_graph, written("g.graph", HEAD)) == (
        "file", "2 nodes, 0 edges", "both sections",
    )  # fmt: skip
    path = written("g.graph", HEAD.replace("NODES 2", "NODES 3") + "e 0 1 1\n")
    assert refused(read_graph, path) == ("NODES", 3, "the number of lines that follow, 2")
    path = written("g.graph", HEAD + "e 0 1 1\ne 1 0 1\n")
    assert refused(read_graph, path) == ("EDGES", 1, "the number of lines that follow, 2")


DOUBT = (
    "{path}: {lost} of {all} nodes have no place: delays of {least} to {most} µs cannot be checked"
    " and may be placeholders, or in ms (network.delay_unit)"
)
FAST = (
    "{path}: {fast} of {all} links are faster than light in fibre (4.9 µs/km), e.g. {ends} in {us}"
    " µs instead of {least} µs or more (network.delay_unit)"
)


def places(*nodes: str, edges: list[str]) -> str:
    lines = ["NODES " + str(len(nodes)), "label x y"]
    lines += [f"{'ABCDE'[n]} {node}" for n, node in enumerate(nodes)]
    lines += [f"EDGES {len(edges)}", "label src dest delay"]
    return "\n".join([*lines, *(f"e {edge}" for edge in edges)]) + "\n"


def test_doubts_about_delays(written: Any) -> None:
    # One degree along the equator: 111.19 km, 544.9 µs at least; two degrees 1089.7.
    degree = 6371.0 * np.pi / 180 * 4.9
    for node in ("0 0", "nan 5", "5 inf", "361 5", "-361 5", "5 91", "5 -91"):
        edges = ["0 1 9", "1 0 2000", "1 2 600", "2 1 600"]
        path = written("g.graph", places(node, "10 0", "11 0", edges=edges))
        doubt = DOUBT.format(path=path, lost=1, all=3, least=9, most=2000)
        assert read_repetita(path).remarks == (doubt,)
    for node in ("360 5", "-360 5", "0 5", "5 0", "5 90", "5 -90"):
        path = written("g.graph", places(node, "10 1", edges=["0 1 1e9", "1 0 1e9"]))
        assert read_repetita(path).remarks == ()
    edges = ["0 1 10", f"1 2 {degree * 0.9901}", f"2 1 {degree * 0.9899}", "0 2 1000"]
    path = written("g.graph", places("9 0", "10 0", "11 0", edges=edges))
    said = FAST.format(path=path, fast=3, all=4, ends="A to B", us=10, least=f"{degree:.0f}")
    found = read_repetita(path)
    assert found.remarks == (said,)
    assert (found.name, found.node_names) == ("g", ("A", "B", "C"))
    assert found.links == ((0, 1), (1, 2), (2, 1), (0, 2))
    assert found.longitude_deg.tolist() == [9, 10, 11]
    assert found.latitude_deg.tolist() == [0, 0, 0]
    edges = ["0 1 1", "1 2 1", "2 1 600"]
    path = written("g.graph", places("0 0", "10 0", "11 0", edges=edges))
    doubt = DOUBT.format(path=path, lost=1, all=3, least=1, most=600)
    said = FAST.format(path=path, fast=1, all=2, ends="B to C", us=1, least=f"{degree:.0f}")
    assert read_repetita(path).remarks == (doubt, said)
    path = written("g.graph", places("0 0", "10 0", edges=["0 1 3", "1 0 4"]))
    assert read_repetita(path).remarks == (DOUBT.format(path=path, lost=1, all=2, least=3, most=4),)
    path = written("g.graph", places("0 0", "10 0", edges=["0 1 3", "1 0 4"]))
    assert read_repetita(path, "ms").rtt.tolist() == [[0, 7], [7, 0]]


GML = """graph [
  directed {directed}
  node [ id 0 label "graph [A" lon 0.0 latitude 0.0 ]
  node [ id 1 name "B" LNG 1.0 LAT 0.0 ]
  node [ id 2 label "" city "C" Longitude "2.0" Latitude 0.0 ]
  edge [ source 0 target 1 delay 2 ]
  edge [ source 1 target 2 delay 3 ]
  edge [ source 2 target 1 delay 9 ]
]
"""


def test_a_gml_file_whole(written: Any) -> None:
    path = written("net.gml", GML.format(directed=1))
    found = read_graph_file(path, "delay", "ms", 4.9)
    assert (found.name, found.node_names) == ("net", ("graph [A", "B", "C"))
    assert found.longitude_deg.tolist() == [0, 1, 2]
    assert found.latitude_deg.tolist() == [0, 0, 0]
    assert found.links == ((0, 1), (1, 2), (2, 1))
    assert found.rtt.tolist() == [[0, 4, 16], [4, 0, 12], [16, 12, 0]]
    found = read_graph_file(written("net.gml", GML.format(directed=0)), "delay", "us", 4.9)
    assert found.links == ((0, 1), (1, 0), (1, 2), (2, 1), (1, 2), (2, 1))
    np.testing.assert_allclose(found.rtt * 1000, [[0, 4, 10], [4, 0, 6], [10, 6, 0]])
    degree_ms = 6371.0 * np.pi / 180 * 2.5 / 1000
    found = read_graph_file(path, None, None, 2.5)
    np.testing.assert_allclose(
        found.rtt, degree_ms * 2 * np.array([[0, 1, 2], [1, 0, 1], [2, 1, 0]])
    )


@pytest.mark.parametrize(
    ("change", "delay", "unit", "said"),
    [
        (("LAT 0.0", ""), None, None, ("node B", "no place", None)),
        (("lon 0.0", 'lon "west"'), None, None, ("node graph [A", "no place", None)),
        (("target 2 delay 3", "target 2 delay 100000"), "delay", "s",
         ("edge B to C: delay", 100_000, "a number from 0 to 10000 s")),
        (("delay 3", 'delay "slow"'), "delay", "ms",
         ("edge B to C: delay", "slow", "a number from 0 to 1e+07 ms")),
        (("delay 9", "x 9"), "delay", "us",
         ("edge C to B: delay", None, "a number from 0 to 1e+10 us")),
    ],
)  # fmt: skip
def test_a_gml_file_refused(written: Any, change: Any, delay: Any, unit: Any, said: Any) -> None:
    text = GML.format(directed=1).replace(*change)
    key, value, allowed = said
    if allowed is None:
        allowed = (
            "Longitude and Latitude of every node, or network.delay: the attribute with the delay"
        )
    found = refused(read_graph_file, written("net.gml", text), delay, unit, 4.9)
    assert found == (key, value, allowed)


def test_limits_of_gml(written: Any) -> None:
    text = GML.format(directed=1).replace("delay 3", "delay 10000").replace("delay 9", "delay 0")
    found = read_graph_file(written("net.gml", text), "delay", "s", 4.9)
    assert found.rtt[1, 2] == 1e7
    edges = "\n".join(line for line in text.splitlines() if "edge" not in line)
    said = refused(read_graph_file, written("net.gml", edges), None, None, 4.9)
    assert said == ("edges", 0, "at least one")
    allowed = "a GML (.gml) or GraphML (.graphml) file"
    for name in ("net.graphml", "net.GRAPHML"):
        said = refused(read_graph_file, written(name, "<!ENTITY a>"), None, None, 4.9)
        assert said == ("file", "XML entities", allowed)


def test_a_network_of_topohub_whole() -> None:
    found = read_topohub("topozoo/Abilene", 4.0)
    assert (found.name, found.nodes) == ("topozoo/Abilene", 11)
    import topohub

    topology = topohub.get("topozoo/Abilene")
    edges = topology.get("edges", topology.get("links"))
    ids = [node["id"] for node in topology["nodes"]]
    assert found.links == tuple(
        (ids.index(edge["source"]), ids.index(edge["target"])) for edge in edges
    )
    for edge in edges:
        a, b = ids.index(edge["source"]), ids.index(edge["target"])
        assert found.rtt[a, b] <= 2 * edge["dist"] * 4 / 1000 + 1e-9
    nearest = min(edges, key=lambda edge: edge["dist"])
    a, b = ids.index(nearest["source"]), ids.index(nearest["target"])
    assert found.rtt[a, b] == pytest.approx(2 * nearest["dist"] * 4 / 1000)
    assert list(found.node_names) == [str(node["name"]) for node in topology["nodes"]]
    assert found.longitude_deg.tolist() == [node["pos"][0] for node in topology["nodes"]]
    assert found.latitude_deg.tolist() == [node["pos"][1] for node in topology["nodes"]]
    said = refused(read_topohub, "topozoo/Abelene", 4.0)
    allowed = "a name of the topohub package, e.g. topozoo/Abilene or sndlib/polska"
    assert said == ("name", "topozoo/Abelene", f"did you mean topozoo/Abilene? {allowed}")


def test_names_of_topohub(tmp_path: Path) -> None:
    for name in ("a/One.json", "a/Two.json.gz", "b/c/Three.json", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert sorted(_topohub_names(tmp_path)) == ["a/One", "a/Two", "b/c/Three"]
