"""What a map of a swarm is drawn from: the first draw of a point, and who serves how much of it."""

from dataclasses import replace

import numpy as np
import pytest

from bprr.ground.errors import InputError
from bprr.scenario.draw import draw
from bprr.settings.configuration import load_settings
from bprr.study import swarm_view as module
from bprr.study.method import MethodRunner
from bprr.study.points import catalogue, sweep_points
from bprr.study.swarm_view import view_swarm


@pytest.fixture
def small(at_root):
    methods = {"methods": ["petals", "proposed"], "set": {"workload.requests": 12}}
    axes = {"fleet.servers": {"abovenet": [12, 14]}}
    clusters = {"topologies": ["cluster0"], "axes": {"workload.rate_per_s": [0.25]}}
    sweeps = {
        "fig7": {"topologies": ["abovenet"], "axes": axes, **methods},
        "table3": {**clusters, **methods},
    }
    return load_settings(overrides={"sweeps": sweeps})


@pytest.mark.parametrize(
    ("sweep", "topology", "x", "servers"),
    [("fig7", "abovenet", 14.0, 14), ("table3", "cluster0", 1.0, 9)],
)
def test_a_map_shows_the_first_draw_without_delays(small, monkeypatch, sweep, topology, x, servers):
    asked, run = [], MethodRunner.run

    def noted(self, method, delay_ms):
        asked.append(delay_ms)
        return run(self, method, delay_ms)

    monkeypatch.setattr(module.MethodRunner, "run", noted)
    view = view_swarm(small, sweep, topology, x, ["proposed", "petals"])
    assert asked == [0.0, 0.0]
    point = {each.x: each for each in sweep_points(small, sweep, topology)}[x]
    drawn = draw(point.scenario, catalogue(small), small.seed, 0)
    assert (view.blocks, view.requests, view.rate_per_s) == (70, 12, drawn.rate_per_s)
    assert view.client_node == drawn.client_node[0]
    np.testing.assert_array_equal(view.longitude_deg, drawn.network.longitude_deg)
    np.testing.assert_array_equal(view.latitude_deg, drawn.network.latitude_deg)
    assert len(view.links) == (0 if topology == "cluster0" else len(drawn.network.links))
    assert view.servers["method"].tolist() == ["proposed"] * servers + ["petals"] * servers
    for name, table in view.servers.groupby("method"):
        records, placement = run(MethodRunner(drawn), point.methods[name], 0.0)
        chains = [records.chain(i)[0].tolist() for i in range(12)]
        share = [sum(server in chain for chain in chains) / 12 for server in range(servers)]
        assert 0 < max(share) <= 1
        assert table["share"].tolist() == share
        assert table["server"].tolist() == list(range(servers))
        assert table["node"].tolist() == drawn.server_node.tolist()
        assert tuple(table["device"]) == drawn.swarm.device
        assert table["first_block"].tolist() == placement.first_block.tolist()
        assert table["blocks"].tolist() == placement.blocks.tolist()
        for degrees in ("longitude_deg", "latitude_deg"):
            there = getattr(drawn.network, degrees)[drawn.server_node]
            np.testing.assert_array_equal(table[degrees], there)
    assert view.servers.index.tolist() == list(range(2 * servers))


def test_the_client_of_a_map_is_the_first_one(small, monkeypatch):
    def with_others(*args):
        drawn = draw(*args)
        return replace(drawn, client_node=np.append(drawn.client_node, drawn.client_node + 1))

    expected = view_swarm(small, "fig7", "abovenet", 14.0, ["petals"]).client_node
    monkeypatch.setattr(module, "draw", with_others)
    assert view_swarm(small, "fig7", "abovenet", 14.0, ["petals"]).client_node == expected


def test_other_points_and_methods_are_named(small):
    with pytest.raises(InputError) as refused:
        view_swarm(small, "fig7", "abovenet", 13.0, ["petals"])
    assert str(refused.value) == "sweep fig7: x: got 13.0; allowed: 12, 14"
    with pytest.raises(InputError) as refused:
        view_swarm(small, "fig7", "abovenet", 14.0, ["petals", "pipe"])
    assert str(refused.value) == "sweep fig7: method: got 'pipe'; allowed: petals, proposed"
