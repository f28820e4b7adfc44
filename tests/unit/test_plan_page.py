"""What a plan's page shows: where places, chains, blocks and rates are drawn, by number."""

from pathlib import Path

import numpy as np
import pytest

from bprr.plan.calibrate import read_plan
from bprr.plan.distances import Distances, _network
from bprr.plan.gazetteer import Spot
from bprr.plan.known import Grade
from bprr.plan.page import COLORS, _arcs, _bars, _brief, _curve, _map, _ms, _parts, page_of
from bprr.plan.record import PointRecord, Value


def value(number):
    return Value(value=number, low=None, high=None, grade="measured")


@pytest.fixture(scope="module")
def plan(root=Path(__file__).parents[2]):
    """An example's, of which each test changes what it shows."""
    return read_plan(root / "examples/four-cities/plan")


def distances(spots, servers=(), clients=None):
    nowhere = np.zeros((len(spots), len(spots)))
    names = [f"n{node}" for node in range(len(spots))]
    places = [spot and Spot(*spot) for spot in spots]
    network = _network("by hand", nowhere, names, places, ())
    clients = range(len(spots)) if clients is None else clients
    homes = np.array(clients, dtype=int)
    return Distances(
        network, nowhere, nowhere, np.array(servers, dtype=int), homes, Grade.MEASURED, "by hand"
    )


def bare(plan, **more):
    return plan.model_copy(update={"chains": [], "placement": [], **more})


@pytest.mark.parametrize(
    ("spots", "height", "dots", "land"),
    [
        # As wide as there is room: 18 % at both ends of the longitudes, 4 degrees of latitudes.
        ([(0, 0), (0, 50)], 300.0, [(867.6, 150), (132.4, 150)], (344, 156973.2, 44620.4)),
        ([(0, 0), (20, 40)], 507.7, [(867.6, 67.2), (132.4, 440.5)], (374, 192172.2, 116043.6)),
        # A tall map is widened to 620.
        ([(-40, 0), (40, 10)], 620.0, [(528.5, 82.1), (471.5, 537.9)], (2301, 1074668.7, 512971.5)),
        ([(48, 2)], 620.0, [(500, 310)], (221, 130290.2, 59605.5)),
        # No farther north than 85 degrees; across the date line; all around.
        ([(80, 0), (60, 170)], 344.0, [(867.6, 298.5), (132.4, 45.5)], (378, 167261.9, 99997.0)),
        ([(10, 170), (-10, -170)], 620.0, [(727.9, 537.9), (272.1, 82.1)], (52, 15051.6, 21922.7)),
        ([(0, -100), (0, 0), (0, 100), (0, 200)], 300.0,
         [(415.2, 150), (132.4, 150), (867.6, 150), (584.8, 150)], (1892, 1034637.2, 210044.7)),
    ],
)  # fmt: skip
def test_a_map_holds_its_places(plan, spots, height, dots, land):
    found = _map(bare(plan), distances(spots))
    assert found.height == height
    assert [(dot.x, dot.y) for dot in found.dots] == dots
    x, y = np.sum(found.land, axis=0)
    assert (len(found.land), x, y) == pytest.approx(land)


def test_a_map_leaves_out_what_has_no_place(plan):
    assert _map(bare(plan), distances([None])) is None
    found = _map(bare(plan), distances([None, (30, -30)]))  # whose sum is finite, and none is
    assert [dot.label for dot in found.dots] == ["n1"]


def test_dots_tell_of_servers_and_clients(plan):
    """Those of clients, then of chains, get their labels first, and are drawn last."""
    placement = [plan.placement[0].model_copy(update={"blocks": n}) for n in (3, 4, 0, 5)]
    chain = with_hops(plan, [1])
    shown = plan.model_copy(update={"placement": placement, "chains": [chain]})
    spots = [(0, 0), (0, 20), (0, 40), (0, 20.1)]
    found = _map(shown, distances(spots, [0, 1, 1, 3], [2]))
    assert [dot[2:6] for dot in found.dots] == [
        ("n3", 1, 5, False), ("n0", 1, 3, False), ("n1 × 2", 2, 4, False), ("n2", 0, 0, True),
    ]  # fmt: skip
    at = {dot.label: (dot.x, dot.label_x, dot.label_y, dot.anchor) for dot in found.dots}
    assert at["n1 × 2"] == (500, 516, 140, "start")
    assert at["n3"][1:] == (485.8, 140, "end")  # beside the other's
    taken = [(0, 0), *[(0, 20 + 0.01 * n) for n in range(9)]]
    crowd = _map(bare(plan), distances(taken))
    assert crowd.dots[0][6:] == (0, 0, "")  # nowhere is room for its label


def with_hops(plan, servers, network=(10.0,), computing=(30.0,), client=0):
    hops = [
        plan.chains[0].hops[0].model_copy(
            update={
                "server": server, "name": f"s{server}", "blocks": 7,
                "network_ms": value(network[at % len(network)]),
                "computing_ms": value(computing[at % len(computing)]),
            }
        )
        for at, server in enumerate(servers)
    ]  # fmt: skip
    update = {"client": client, "servers": list(servers), "hops": hops, "place": f"home {client}"}
    return plan.chains[0].model_copy(update=update)


def test_arcs_go_out_and_back(plan):
    """From the client to each server, or on to the next; each leg bends to another side."""
    way = distances([(0, 0), (0, 10), (0, 20)], [1, 2], [0])
    place_of = {0: (0.0, 0.0), 1: (100.0, 0.0), 2: (200.0, 50.0)}
    chain = with_hops(plan, [0, 1], (11.0, 12.0))
    hub = plan.model_copy(update={"chains": [chain], "forwarding": "hub"})
    assert _arcs(hub, way, place_of) == [
        ("M0.0,0.0 Q50.0,14.0 100.0,0.0", COLORS[0], "home 0 → s0: 11 ms (measured)"),
        ("M0.0,0.0 Q107.0,-3.0 200.0,50.0", COLORS[0], "home 0 → s1: 12 ms (measured)"),
    ]
    ring = hub.model_copy(update={"forwarding": "ring"})
    assert [arc.path for arc in _arcs(ring, way, place_of)] == [
        "M0.0,0.0 Q50.0,14.0 100.0,0.0",
        "M100.0,0.0 Q157.0,11.0 200.0,50.0",
        "M200.0,50.0 Q107.0,-3.0 0.0,0.0",
    ]
    on, back = (arc.title for arc in _arcs(ring, way, place_of)[1:])
    assert on == back == "home 0 → s1: 12 ms (measured)"
    assert len(_arcs(ring, way, {0: (0.0, 0.0), 2: (9.0, 9.0)})) == 1
    many = hub.model_copy(update={"chains": [chain] * 14})
    arcs = _arcs(many, way, place_of)
    assert len(arcs) == 24
    assert [arc.color for arc in arcs[::2]] == [*COLORS, *COLORS]
    bends = ["Q50.0,14.0", "Q50.0,19.0", "Q50.0,24.0"]
    assert [arc.path.split()[1] for arc in arcs[::2]] == bends * 4
    home = distances([(0, 0)], [0, 0], [0])
    assert _arcs(hub, home, {0: (0.0, 0.0)}) == []


def test_bars_stand_where_blocks_do(plan):
    """Those of chains first, by first block and the wider before; of two chains, in the first's."""
    spans = [(1, 40), (1, 80), (41, 40), (21, 20), (0, 0)]
    placement = [
        plan.placement[0].model_copy(
            update={
                "server": n, "name": f"s{n}", "first_block": first, "blocks": blocks, "gpu": "",
                "device": "d", "tau_ms": value(2.0), "sessions": 9,
            }
        )
        for n, (first, blocks) in enumerate(spans)
    ]  # fmt: skip
    chains = [with_hops(plan, [3]), with_hops(plan, [2, 3])]
    shown = plan.model_copy(update={"placement": placement, "chains": chains, "blocks": 80})
    found = _bars(shown)
    assert [(bar[0], *bar[1:5]) for bar in found] == [
        ("s3", 25, 25, "21–40", COLORS[0]), ("s2", 50, 50, "41–80", COLORS[1]),
        ("s1", 0, 100, "1–80", ""), ("s0", 0, 50, "1–40", ""),
    ]  # fmt: skip
    assert found[0].title == "s3 (d): blocks 21 to 40, 2 ms (measured) a block; room for 9 sessions"
    crowd = shown.model_copy(update={"placement": [placement[0]] * 100, "chains": chains * 4})
    assert len(_bars(crowd)) == 80
    seventh = [with_hops(plan, [n]) for n in (4, 4, 4, 4, 4, 4, 2)]
    assert _bars(shown.model_copy(update={"chains": seventh}))[0].color == COLORS[0]


def test_a_bar_is_as_long_as_a_chain_takes(plan):
    chain = with_hops(plan, [0, 1], (10.0, None), (9.0, 81.0))
    found = _parts(chain, 100.0)
    assert [(part["width"], part["text"]) for part in found] == [
        ("10.000", ""), ("9.000", ""), ("0.000", ""), ("81.000", "s1"),
    ]  # fmt: skip
    assert found[3]["title"] == "s1, 7 blocks, computing: 81 ms (measured)"
    assert _parts(with_hops(plan, [0], (0.0,), (9.01,)), 100.0)[1]["text"] == "s0"
    assert _parts(with_hops(plan, [0], (0.0,), (1e-9,)), 0.0)[1]["width"] == "100.000"


@pytest.mark.parametrize(
    ("ms", "text"),
    [(None, "unknown"), (999.4, "999 ms"), (1000.0, "1.00 s"), (12345.0, "12.35 s")],
)
def test_a_fact_is_short(ms, text):
    assert _ms(value(ms)) == text
    assert (_brief(value(ms)) == "unknown") == (ms is None)
    assert _brief(value(12.0), "MB") == "12 MB" and _brief(value(12.0)) == "12"


def points(*rows):
    return [PointRecord(rate_per_s=rate, mean_ms=mean, p95_ms=p95) for rate, mean, p95 in rows]


def test_rates_are_a_curve(plan):
    """Rates from 62 to 620 up to 1.04 × the most; times on a logarithm, .8 × to 1.25 × the ends."""
    shown = plan.model_copy(
        update={
            "curve": points((1, 100, 125), (2, 200, 800), (3, None, 5), (None, 1, 1)),
            "sustained_per_s": value(4.0), "rate_per_s": 4.16,
        }
    )  # fmt: skip
    found = _curve(shown)
    # 62 + 558/4.16; 250 - 234 × log(100/80) / log(1000/80), and so on.
    assert found["mean"] == "196.1,229.3 330.3,165.1"
    assert found["p95"] == "196.1,208.7 330.3,36.7"
    assert found["dots"][1] == (
        330.3, 165.1, 36.7, "2 sessions/s: mean 200 ms, p95 800 ms",
    )  # fmt: skip
    assert (found["sustained"], found["asked"]) == (598.5, 620)
    assert found["x_ticks"] == [(62, "0"), (196.1, "1"), (330.3, "2"), (464.4, "3"), (598.5, "4")]
    assert found["y_ticks"] == [(229.3, "100"), (165.1, "200"), (80.2, "500"), (16, "1 s")]
    beyond = shown.model_copy(update={"rate_per_s": 4.17})
    assert _curve(beyond)["asked"] is None
    assert _curve(shown.model_copy(update={"rate_per_s": None}))["asked"] is None
    few = shown.model_copy(update={"sustained_per_s": value(None)})
    assert _curve(few)["sustained"] == 598.5 and _curve(few)["x_ticks"][-1][1] == "2"
    assert _curve(shown.model_copy(update={"curve": points((1, 100, 125), (0, 1, 1))})) is None
    two = shown.model_copy(update={"curve": points((1, 100, 125), (2, 0, 125), (2, 9, 0))})
    assert _curve(two) is None


def test_what_is_too_much_for_a_page_is_left_out(plan):
    """Twelve chains, of the longest's length, and losses that are felt."""
    chains = [with_hops(plan, [0], (10.0,), (30.0,)) for _ in range(13)]
    chains[12] = with_hops(plan, [0], (20.0,), (60.0,))
    unknown = with_hops(plan, [0], (None,), (None,))
    losses = [
        plan.losses[0].model_copy(update={"name": name, "blocks_lost": n, "times_slower": slower})
        for name, n, slower in (
            ("FELT-A", 1, None), ("FELT-B", 0, 1.5), ("UNFELT", 0, 1.0), ("FELT-C", 2, 1.0),
        )
    ]  # fmt: skip
    update = {"chains": chains, "title": "<T>", "losses": losses}
    placement = [
        server.model_copy(update={"blocks": int(at < 2), "first_block": int(at < 2)})
        for at, server in enumerate(plan.placement)
    ]
    shown = plan.model_copy(update={**update, "placement": placement})
    servers = [0] * len(placement)
    page = page_of(shown, distances([None], servers))
    assert page.count('class="hops"') == 12 and "… and 1 more clients" in page
    assert "width: 12.500%" in page and "width: 37.500%" in page
    assert f"&lt;T&gt; on 2 of {len(placement)} servers" in page
    assert [name in page for name in ("FELT-A", "FELT-B", "UNFELT", "FELT-C")] == [
        True, True, False, True,
    ]  # fmt: skip
    assert "\n\n\n" not in page
    lost = shown.model_copy(update={"chains": [unknown]})
    assert "width: 0.000%" in page_of(lost, distances([None], servers))
