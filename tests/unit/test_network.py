"""Networks: the three of the paper, and readers for others."""

import numpy as np
import pytest

from bprr.ground.errors import InputError
from bprr.scenario.network import GeoNetwork, clustered, geo
from bprr.scenario.topologies import read_repetita, read_tables, read_topohub


def everything(network):
    nodes = np.arange(network.nodes)
    return network.rtt_ms(nodes, nodes)


@pytest.mark.parametrize(
    "name, nodes, directed_links, shortest_ms, longest_ms",
    [
        ("abovenet", 23, 62, 0.100, 13.800),
        ("bellcanada", 48, 130, 0.078, 6.160),
        ("gts_ce", 149, 386, 0.005, 1.081),
    ],
)
def test_networks_of_the_paper(published, name, nodes, directed_links, shortest_ms, longest_ms):
    network = read_tables(published.topology_dir, name)
    assert network.nodes == nodes
    # Every link both ways; BellCanada's doubled link counts twice.
    assert 2 * len(network.links) == directed_links
    rows = (published.topology_dir / f"{name}.links.csv").read_text().splitlines()[1:]
    delays_ms = [float(row.split(",")[2]) / 1000 for row in rows]
    assert (min(delays_ms), max(delays_ms)) == (shortest_ms, longest_ms)
    rtt = everything(network)
    assert (rtt == rtt.T).all()
    assert (np.diag(rtt) == 0).all()
    assert (rtt[~np.eye(nodes, dtype=bool)] > 0).all()
    # Two ways over the fastest link; no way is longer than a detour.
    assert rtt[rtt > 0].min() == pytest.approx(2 * shortest_ms)
    via = (rtt[:, :, None] + rtt[None, :, :]).min(axis=1)
    assert np.allclose(via, rtt)


GRAPH = """NODES 4
label x y
0_Oslo 10.75 59.91
1_Rome 12.48 41.89
2_Kiev 30.52 50.45
3_Cork -8.47 51.9

EDGES 7
label src dest weight bw delay
edge_0 0 1 10 1000 2000
edge_1 1 0 10 1000 2000
edge_2 1 2 10 1000 500
edge_3 2 1 10 1000 500
edge_4 0 2 10 1000 4000
edge_5 2 0 10 1000 4000
edge_6 3 2 10 1000 100
"""


def test_repetita(tmp_path):
    path = tmp_path / "Small.graph"
    path.write_text(GRAPH)
    network = read_repetita(path)
    assert (network.name, network.nodes) == ("Small", 4)
    assert network.node_names == ("0_Oslo", "1_Rome", "2_Kiev", "3_Cork")
    assert network.longitude_deg.tolist() == [10.75, 12.48, 30.52, -8.47]
    assert network.latitude_deg.tolist() == [59.91, 41.89, 50.45, 51.9]
    # Oslo to Kiev is faster over Rome; round trips in ms. A link works both ways.
    assert everything(network).tolist() == [
        [0, 4, 5, 5.2],
        [4, 0, 1, 1.2],
        [5, 1, 0, 0.2],
        [5.2, 1.2, 0.2, 0],
    ]


@pytest.mark.parametrize(
    "change, key",
    [
        (("edge_3 2 1 10 1000 500", "edge_3 2 9 10 1000 500"), "line 13"),
        (("edge_3 2 1 10 1000 500", "edge_3 2 1 10 1000 -5"), "line 13"),
        (("edge_3 2 1 10 1000 500", "edge_3 2 1 10 1000 fast"), "line 13"),
        (("edge_3 2 1 10 1000 500", "edge_3"), "line 13"),
        (("1_Rome 12.48 41.89", "1_Rome 12.48"), "line 4"),
        (("NODES 4", "POINTS 4"), "line 1"),
        (("edge_3 2 1 10 1000 500", "edge_3 2 1 10 1000 inf"), "line 13"),
        (("edge_6 3 2", "edge_6 2 2"), "links"),
        (("edge_6 3 2 10 1000 100\n", ""), "EDGES"),
        (("NODES 4", "NODES 5"), "NODES"),
        (("NODES 4", "NODES 3"), "NODES"),
        (("NODES 4", "NODES four"), "line 1"),
        (("NODES 4", "NODES"), "line 1"),
    ],
)
def test_a_bad_repetita_file_is_refused_by_line(tmp_path, change, key):
    path = tmp_path / "bad.graph"
    text = GRAPH.replace(*change)
    assert text != GRAPH
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        read_repetita(path)
    assert str(path) in str(refused.value)
    assert refused.value.key == key


def test_a_disconnected_network_names_who_is_cut_off(tmp_path):
    path = tmp_path / "apart.graph"
    path.write_text(GRAPH.replace("edge_6 3 2", "edge_6 2 2"))
    with pytest.raises(InputError, match="no path from 0_Oslo to 3_Cork"):
        read_repetita(path)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00", b"NODES 1\nlabel x y\na 1 2\n"])
def test_an_unreadable_repetita_file_is_refused(tmp_path, content):
    path = tmp_path / "x.graph"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.graph"):
        read_repetita(path)


NODES = "node,city,longitude_deg,latitude_deg\n0,A,1,2\n1,B,,\n2,C,5,6\n"


def write_tables(folder, nodes=NODES, links=None):
    (folder / "n.nodes.csv").write_text(nodes)
    (folder / "n.links.csv").write_text(links or "node_a,node_b,delay_us\n0,1,500\n1,2,250\n")


def test_tables(tmp_path):
    write_tables(tmp_path)
    network = read_tables(tmp_path, "n")
    assert everything(network).tolist() == [[0, 1, 1.5], [1, 0, 0.5], [1.5, 0.5, 0]]
    assert np.isnan(network.longitude_deg).tolist() == [False, True, False]


@pytest.mark.parametrize(
    "tables, key",
    [
        ({"links": "node_a,node_b,delay_us\n0,1,500\n1,7,250\n"}, "node_b (line 3)"),
        ({"links": "node_a,node_b,delay_us\n0,1,500\n1,2,-1\n"}, "delay_us (line 3)"),
        ({"links": "node_a,node_b,delay_us\n0,1,soon\n1,2,3\n"}, "delay_us (line 2)"),
        ({"links": "node_a,node_b,delay_us\n0,1,\n1,2,3\n"}, "delay_us (line 2)"),
        ({"links": "node_a,node_b,delay_ms\n0,1,500\n"}, "columns"),
        ({"links": "node_a,node_b,delay_us\n0,1,500\n"}, "links"),
        ({"nodes": NODES.replace("0,A,1", "0,A,west")}, "longitude_deg (line 2)"),
        ({"links": "node_a,node_b,delay_us\n0,1,500\n1,2,1e11\n"}, "delay_us (line 3)"),
        ({"links": "node_a,node_b,delay_us\n0,1,500\n1,2,soon\n"}, "delay_us (line 3)"),
        ({"nodes": "node,city\n0,A\n"}, "columns"),
        ({"nodes": NODES + "1,D,7,8\n"}, "node (line 5)"),
        ({"nodes": NODES + "3,D,7,8,9\n"}, "file"),
    ],
)
def test_bad_tables_are_refused_by_line(tmp_path, tables, key):
    write_tables(tmp_path, **tables)
    with pytest.raises(InputError) as refused:
        read_tables(tmp_path, "n")
    assert str(tmp_path) in str(refused.value)
    assert refused.value.key.startswith(key)


def test_an_unknown_topology_lists_the_known(published):
    with pytest.raises(InputError, match="abovenet, bellcanada, gts_ce"):
        read_tables(published.topology_dir, "arpanet")


def test_topohub():
    network = read_topohub("topozoo/Abilene", 1.67)
    assert network.nodes == 11
    rtt = everything(network)
    names = list(network.node_names)
    ends = names.index("New York"), names.index("Seattle")
    # Some 3900 km as the crow flies: 13 ms there and back; the fibre goes round by Denver.
    assert 13 < rtt[ends] < 20
    with pytest.raises(InputError, match="topozoo/Nowhere"):
        read_topohub("topozoo/Nowhere", 1.67)


@pytest.mark.parametrize(
    "here, there, km",
    [
        ((-0.1278, 51.5074), (2.3522, 48.8566), 344),  # London, Paris
        ((-74.0060, 40.7128), (-0.1278, 51.5074), 5570),  # New York, London
        (
            (139.6917, 35.6895),
            (-122.4194, 37.7749),
            8280,
        ),  # Tokyo, San Francisco
        ((151.2093, -33.8688), (103.8198, 1.3521), 6300),  # Sydney, Singapore
        ((0, 90), (0, -90), 20015),  # the poles
    ],
)
def test_great_circles(here, there, km):
    longitude, latitude = np.array([here, there], dtype=float).T
    network = GeoNetwork("cities", longitude, latitude, us_per_km=5.0)
    rtt = everything(network)
    assert rtt[0, 1] / 2 / 5.0 * 1000 == pytest.approx(km, rel=0.01)
    assert rtt[0, 1] == pytest.approx(rtt[1, 0])
    assert np.diag(rtt) == pytest.approx([0, 0], abs=1e-3)


def test_geo_is_uniform_on_the_sphere():
    network = geo(np.random.default_rng(0), 20_000, 5.0)
    # A sphere has as much surface in every slice of equal height.
    heights = np.sin(np.radians(network.latitude_deg))
    assert heights.mean() == pytest.approx(0, abs=0.02)
    assert (heights**2).mean() == pytest.approx(1 / 3, abs=0.01)
    assert network.longitude_deg.min() < -179
    assert network.longitude_deg.max() > 179


def test_clusters():
    network = clustered([1, 1, 2, 0], 5.0, 100.0)
    assert everything(network).tolist() == [
        [0, 5, 100, 100],
        [5, 0, 100, 100],
        [100, 100, 0, 100],
        [100, 100, 100, 0],
    ]
