"""Tables of round trips to the last cell: units, gaps, medians, bandwidths, and every refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprr.ground.errors import InputError
from bprr.scenario import measured, network
from bprr.scenario.measured import read_rtt

from .refusals import refused

NAN = float("nan")
NO_TABLE = "a matrix with equal names along both sides, or columns from, to, rtt_ms"


@pytest.fixture
def table(tmp_path: Path) -> Any:
    def written(text: str, name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return written


def pair(path: Path, unit: Any = None, missing: Any = "refuse") -> list[Any]:
    found = read_rtt(path, unit, missing)
    assert found.rtt.shape == (2, 2)
    return [found.rtt[0, 1], found.rtt[1, 0]]


def test_a_matrix_whole(table: Any) -> None:
    path = table('"";a ; b\n\n a;7;1.5\n\nb;2;-\n', "mine.tsv")
    found = read_rtt(path, None, "refuse")
    assert found.name == "mine"
    assert found.node_names == ("a", "b")
    assert found.rtt.tolist() == [[7, 1.5], [2, 0]]
    assert (found.links, found.remarks, found.mbit_per_s) == ((), (), None)
    assert np.isnan([found.longitude_deg, found.latitude_deg]).all()
    assert found.longitude_deg.shape == found.latitude_deg.shape == (2,)
    assert pair(table(",a,b\na,,0.5\nb,0.25,\n"), "s") == [500, 250]
    assert pair(table(",a,b\na,,500\nb,250,\n"), "us") == [0.5, 0.25]
    assert pair(table(",a,b\nb,250,\na,,500\n")) == [500, 250]  # rows in another order


@pytest.mark.parametrize(
    ("header", "unit", "rtt_ms"),
    [
        ("from,to,rtt", None, 2), ("from,to,rtt_ms", None, 2), ("from,to,rtt_s", None, 2000),
        ("from,to,rtt_us", None, 0.002), ("From,TO,RTT_us", "ms", 2),
        ("src,dst,ping_s", "us", 0.002),
        ("source,target,p50_us", None, 0.002), ("probe,dest,average_s", None, 2000),
        ("origin,dst,min", "s", 2000), ("from_region,to_region,latency_ms", None, 2),
        ("source_region,destination_region,median_us", None, 0.002),
        ("source,destination,mean_ms", "us", 0.002),
    ],
)  # fmt: skip
def test_columns_and_units(table: Any, header: str, unit: Any, rtt_ms: float) -> None:
    assert pair(table(f"{header}\na,b,2\nb,a,4\n"), unit) == [rtt_ms, 2 * rtt_ms]


def test_the_first_of_known_columns_counts(table: Any) -> None:
    # A column that says its unit before one that does not, `from` before `source`.
    text = "source,from,dst,to,min,avg_us,rtt,mean_ms\nx,a,x,b,1,2,3,4\nx,b,x,a,1,6,3,4\n"
    assert pair(table(text)) == [0.002, 0.006]
    assert read_rtt(table(text), None, "refuse").node_names == ("a", "b")


def test_several_measurements_of_a_pair_are_their_median(table: Any) -> None:
    path = table("from,to,rtt_ms\na,b,1\na,b,9\na,b,2\nb,a,4\nb,a,5\na,a,3\nb,a,*\n")
    found = read_rtt(path, None, "refuse")
    assert found.rtt.tolist() == [[3, 2], [4.5, 0]]
    assert found.remarks == (f"{path}: 2 pairs measured several times: their median",)


@pytest.mark.parametrize("word", ["", "-", "N/A", "na", "NaN", "None", "null", "Inf", "*"])
def test_words_for_nothing(table: Any, word: str) -> None:
    path = table(f"from,to,rtt_ms,mbps\na,b,5,8\nb,a,{word},{word}\n")
    found = read_rtt(path, None, "other_way")
    assert found.rtt.tolist() == [[0, 5], [5, 0]]
    assert found.remarks == (f"{path}: 1 of 4 pairs not measured: other_way",)
    assert found.mbit_per_s is not None
    assert found.mbit_per_s[[0, 1], [1, 0]].tolist() == [8, 8]


@pytest.mark.parametrize("cell", ["-0.5", "1.1e7", "soon", "1e400"])
def test_a_round_trip_that_is_none_is_refused_with_its_line(table: Any, cell: str) -> None:
    allowed = "a round trip from 0 to 1e+07 ms, or nothing"
    path = table(f"from,to,rtt_ms\na,b,0\n\nb,a,{cell}\n")
    assert refused(read_rtt, path, None, "refuse") == ("line 4", cell, allowed)
    path = table(f",a,b\na,0,0\nb,{cell},0\n")
    assert refused(read_rtt, path, None, "refuse") == ("line 3", cell, allowed)


def test_round_trips_reach_from_nothing_to_the_longest(table: Any) -> None:
    assert pair(table("from,to,rtt_ms\na,b,0\nb,a,1e7\n")) == [0, 1e7]
    assert pair(table("from,to,rtt_s\na,b,0\nb,a,1e4\n")) == [0, 1e7]


def test_rows_that_are_too_few_or_too_long(table: Any) -> None:
    for text in ("", "from,to,rtt_ms\n", "\n , ,\nfrom,to,rtt_ms\n"):
        at_least = ("rows", 0, "at least one round trip")
        assert refused(read_rtt, table(text), None, "refuse") == at_least
    allowed = "3 values, as many as the header has"
    for row, count in (("b,a", 2), ("b,a,1,2", 4)):
        path = table(f"from,to,rtt_ms\na,b,1\n\n{row}\n")
        assert refused(read_rtt, path, None, "refuse") == ("line 4", f"{count} values", allowed)


def test_a_table_without_known_columns_is_refused(table: Any) -> None:
    names = [f"c{place}" for place in range(25)]
    for known in ([], ["from"], ["from", "to"]):
        header = [*known, *names][:25]
        row = ",".join("x" * 25)
        said = refused(read_rtt, table(f"{','.join(header)}\n{row}\n"), None, "refuse")
        assert said == ("columns", ", ".join(header[:20]), NO_TABLE)


def test_names_of_a_matrix_stand_once_along_both_sides(table: Any) -> None:
    allowed = "each name once, along both sides"
    twice = table(",a,b,a\na,1,2,3\nb,1,2,3\n")
    assert refused(read_rtt, twice, None, "refuse") == ("line 1", "a, b, a", allowed)
    row_twice = table(",a,b\na,1,2\nb,1,2\nb,1,2\n")
    assert refused(read_rtt, row_twice, None, "refuse") == ("line 1", "a, b", allowed)


def test_as_many_nodes_as_all_pairs_are_kept_of(
    table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "MOST_NODES", 2)
    assert pair(table(",a,b\na,0,1\nb,2,0\n")) == [1, 2]
    assert pair(table("from,to,rtt\na,b,1\nb,a,2\n")) == [1, 2]
    path = table(",a,b,c\na,0,1,1\nb,2,0,1\nc,1,1,1\n")
    allowed = "each name once, along both sides"
    assert refused(read_rtt, path, None, "refuse") == ("line 1", "a, b, c", allowed)
    path = table("from,to,rtt\na,b,1\nb,c,2\n")
    assert refused(read_rtt, path, None, "refuse") == ("nodes", 3, "at most 2")


def test_pairs_that_nobody_measured(table: Any) -> None:
    path = table("from,to,rtt_ms\na,b,1\nb,c,2\nc,d,4\nd,a,9\nb,a,3\n")
    value = "7 not measured, e.g. a to c, a to d, b to d"
    allowed = "every pair, or network.missing: other_way, detour"
    assert refused(read_rtt, path, None, "refuse") == ("pairs", value, allowed)
    value = "4 not measured, e.g. a to c, b to d, c to a"
    assert refused(read_rtt, path, None, "other_way") == ("pairs", value, allowed)
    found = read_rtt(path, None, "detour")
    # a to c over b; b to d over c, back from d to b over c (each link works both ways), and so on.
    expected = [[0, 1, 3, 9], [3, 0, 2, 6], [5, 2, 0, 4], [9, 6, 4, 0]]
    assert found.rtt.tolist() == expected
    assert found.remarks == (f"{path}: 7 of 16 pairs not measured: detour",)


GRAPH = """NODES 3
label x y
A 0 0
B 0 0
C 0 0

EDGES 4
label src dest weight bw delay
e0 0 1 1 1 10
e1 0 1 1 1 8
e2 1 0 1 1 4
e3 1 2 1 1 1
"""


@pytest.mark.parametrize(("unit", "per_ms"), [(None, 1000), ("us", 1000), ("ms", 1), ("s", 1e-3)])
def test_links_of_a_graph_are_measurements_one_way(table: Any, unit: Any, per_ms: float) -> None:
    path = table(GRAPH, "small.graph")
    found = read_rtt(path, unit, "detour")
    # The faster of parallel links; what one end alone measured is the other's too.
    expected = np.array([[0, 12, 14], [12, 0, 2], [14, 2, 0]]) / per_ms
    np.testing.assert_allclose(found.rtt, expected, rtol=1e-12)
    assert (found.name, found.node_names) == ("small", ("A", "B", "C"))
    assert found.remarks == (f"{path}: 2 of 9 pairs not measured: detour",)
    assert found.mbit_per_s is None


@pytest.mark.parametrize(
    ("column", "factor"),
    [("mbit_per_s", 1), ("BANDWIDTH_mbit_per_s", 1), ("mbps", 1), ("bandwidth_mbps", 1),
     ("gbit_per_s", 1000), ("bandwidth_gbit_per_s", 1000), ("Gbps", 1000),
     ("bandwidth_gbps", 1000)],
)  # fmt: skip
def test_bandwidths_are_the_smallest_measured(table: Any, column: str, factor: float) -> None:
    rows = "a,b,1,30\na,b,1,0.5\nb,a,1,\na,c,1,7\nc,a,1,9\nb,c,1,\nc,b,1,-\n"
    found = read_rtt(table(f"from,to,rtt_ms,{column}\n{rows}"), None, "refuse").mbit_per_s
    expected = np.array([[NAN, 0.5, 7], [0.5, NAN, NAN], [9, NAN, NAN]]) * factor
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("column", "most"), [("mbps", "1e7"), ("gbps", "1e4")])
def test_bandwidths_reach_to_the_fastest(table: Any, column: str, most: str) -> None:
    found = read_rtt(table(f"from,to,rtt,{column}\na,b,1,{most}\nb,a,1,\n"), None, "refuse")
    assert found.mbit_per_s is not None
    assert found.mbit_per_s[0, 1] == 1e7
    for cell in ("0", "-1", "1.1e7", "fast"):
        path = table(f"from,to,rtt,{column}\na,b,1,{cell}\nb,a,1,1\n")
        allowed = "a bandwidth up to 1e+07 Mbit/s, or nothing"
        assert refused(read_rtt, path, None, "refuse") == ("line 2", cell, allowed)


def test_places_drawn_on_earth_are_even_over_it() -> None:
    even = np.random.default_rng(5).random(6)
    found = network.geo(np.random.default_rng(5), 3, 2.5)
    np.testing.assert_allclose(found.longitude_deg, 360 * even[:3] - 180, rtol=1e-12)
    np.testing.assert_allclose(found.latitude_deg, np.degrees(np.arcsin(2 * even[3:] - 1)))
    assert (found.name, found.nodes, found.us_per_km) == ("geo", 3, 2.5)
    assert (found.node_names, found.remarks, found.mbit_per_s) == ((), (), None)


def test_great_circles() -> None:
    longitude, latitude = np.array([0.0, 90, 180, 0, 0]), np.array([0.0, 0, 0, 90, 60])
    earth = network.GeoNetwork("", longitude, latitude, 5.0)
    everyone = np.arange(5)
    # In quarters of a circle, a third of which is from 60 degrees to the pole.
    quarters = [
        [0, 1, 2, 1, 2 / 3], [1, 0, 1, 1, 1], [2, 1, 0, 1, 4 / 3], [1, 1, 1, 0, 1 / 3],
        [2 / 3, 1, 4 / 3, 1 / 3, 0],
    ]  # fmt: skip
    expected = 2 * np.array(quarters) * np.pi / 2 * 6371.0 * 5 / 1000
    np.testing.assert_allclose(earth.rtt_ms(everyone, everyone), expected, atol=1e-5)
    assert earth.rtt_ms(np.array([0]), np.array([1, 2])).shape == (1, 2)


def test_clusters() -> None:
    found = network.clustered([0, 1, 0], 5.0, 100.0)
    assert found.rtt.tolist() == [[0, 100, 5], [100, 0, 100], [5, 100, 0]]
    assert (found.name, found.nodes, found.node_names) == ("clustered", 3, ())
    assert np.isnan([found.longitude_deg, found.latitude_deg]).all()
    assert found.longitude_deg.shape == (3,)


LINKS = [(0, 1, 5.0), (0, 1, 3.0), (1, 2, 4.0), (2, 1, 1.0), (2, 3, 2.0), (3, 0, 6.0)]


@pytest.mark.parametrize("sums", [1, 9, 1_000_000])
def test_shortest_ways_over_links(monkeypatch: pytest.MonkeyPatch, sums: int) -> None:
    monkeypatch.setattr(network, "MOST_SUMS", sums)
    found = network.shortest_us("here", "abcd", LINKS)
    assert found.tolist() == [[0, 3, 7, 6], [3, 0, 4, 6], [4, 1, 0, 2], [6, 3, 2, 0]]
    joined = network.linked("here", "mine", "abcd", (np.arange(4.0), np.ones(4)), LINKS, ["odd"])
    assert (joined.rtt * 1000).tolist() == [
        [0, 6, 11, 12], [6, 0, 5, 9], [11, 5, 0, 4], [12, 9, 4, 0],
    ]  # fmt: skip
    assert (joined.name, joined.node_names, joined.remarks) == ("mine", tuple("abcd"), ("odd",))
    assert joined.links == ((0, 1), (0, 1), (1, 2), (2, 1), (2, 3), (3, 0))
    assert joined.longitude_deg.tolist() == [0, 1, 2, 3]
    assert joined.latitude_deg.tolist() == [1, 1, 1, 1]
    assert joined.rtt_ms(np.array([1]), np.array([2, 3])).tolist() == [[0.005, 0.009]]


def test_a_network_that_falls_apart_or_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError) as caught:
        network.shortest_us("mine.csv", "abcdefgh", [(0, 1, 1.0), (2, 3, 1.0)])
    assert str(caught.value) == (
        "mine.csv: links: got 'no path from a to c, d, e, f, g'; allowed: a connected network"
    )
    assert network.shortest_us("mine.csv", "a", []).tolist() == [[0]]
    monkeypatch.setattr(network, "MOST_NODES", 2)
    assert network.shortest_us("", "ab", [(0, 1, 1.0)]).tolist() == [[0, 1], [1, 0]]
    said = refused(network.shortest_us, "", "abc", [(0, 1, 1.0), (1, 2, 1.0)])
    assert said == ("nodes", 3, "at most 2")
