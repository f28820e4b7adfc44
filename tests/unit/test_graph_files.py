"""Networks in GML and GraphML."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bprr.ground.errors import InputError
from bprr.scenario.graph_files import read_graph_file

# As the Topology Zoo writes them: labels that repeat, parallel links, a delay that is ours.
GML = """graph [
  Network "Small"
  node [ id 0 label "Paris" Longitude 2.35 Latitude 48.85 ]
  node [ id 1 label "Lyon" Longitude 4.83 Latitude 45.76 ]
  node [ id 2 label "Paris" Longitude 2.40 Latitude 48.80 ]
  edge [ source 0 target 1 delay 2.0 LinkLabel "10 Gbit/s" ]
  edge [ source 0 target 1 delay 5.0 ]
  edge [ source 1 target 2 delay 3.0 ]
]
"""
GRAPHML = """<?xml version="1.0" encoding="utf-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key attr.name="Longitude" attr.type="double" for="node" id="d0" />
  <key attr.name="Latitude" attr.type="double" for="node" id="d1" />
  <key attr.name="label" attr.type="string" for="node" id="d2" />
  <graph edgedefault="directed">
    <node id="a"><data key="d0">0.0</data><data key="d1">0.0</data><data key="d2">West</data></node>
    <node id="b"><data key="d0">9.0</data><data key="d1">0.0</data><data key="d2">East</data></node>
    <edge source="a" target="b" />
  </graph>
</graphml>
"""


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_delays_of_an_attribute(tmp_path: Path) -> None:
    path = written(tmp_path, "small.gml", GML)
    network = read_graph_file(path, "delay", "ms", 4.9)
    assert list(network.node_names) == ["Paris", "Lyon", "Paris"]
    np.testing.assert_allclose(network.rtt, [[0, 4, 10], [4, 0, 6], [10, 6, 0]])
    assert read_graph_file(path, "delay", "us", 4.9).rtt[0, 1] == pytest.approx(0.004)


def test_delays_of_lengths(tmp_path: Path) -> None:
    network = read_graph_file(written(tmp_path, "wide.graphml", GRAPHML), None, None, 4.9)
    assert list(network.node_names) == ["West", "East"]
    kilometres = np.radians(9.0) * 6371.0
    np.testing.assert_allclose(network.rtt[0, 1], 2 * kilometres * 4.9 / 1000)


@pytest.mark.parametrize(
    ("name", "text", "delay", "said"),
    [
        ("a.gml", GML.replace("Latitude 45.76", ""), None, "node Lyon"),
        ("a.gml", GML.replace("delay 3.0", ""), "delay", "edge Lyon to Paris: delay"),
        ("a.gml", GML.replace("delay 3.0", "delay -3.0"), "delay", "-3.0"),
        ("a.gml", GML.replace("edge", "comment"), None, "edges"),
        ("a.gml", GML[:60], None, "file"),
        ("a.graphml", GML, None, "file"),
        ("a.graphml", GRAPHML.replace("<graphml", '<!DOCTYPE x [<!ENTITY a "b">]><graphml'), None,
         "XML entities"),
        ("a.gml", GML.replace("edge [ source 1 target 2 delay 3.0 ]", ""), "delay", "no path"),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, name: str, text: str, delay: str | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_graph_file(written(tmp_path, name, text), delay, delay and "ms", 4.9)
