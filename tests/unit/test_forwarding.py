"""`forwarding` of a scenario: through the doors of a user, and what is refused at them."""

import json

import numpy as np
import pytest

import bprr.scenario.draw
from bprr.commands.main import main
from bprr.forwarding.base import ForwardingPolicy
from bprr.ground.errors import InputError, InputErrors
from bprr.ground.registry import FORWARDING, PLACEMENT, ROUTING
from bprr.scenario.draw import draw
from bprr.scenario.scenario import load_scenario
from bprr.study.api import simulate
from bprr.study.points import catalogue, point_of

CLUSTERS = {"a": {"a100": 1}, "b": {"a100": 1}}
TWO = {
    "network": {"kind": "clustered", "clusters": CLUSTERS, "client": "a"},
    "fleet": {"memory_gb": {"a100": 60}},
    "workload.requests": 1,
}  # fmt: skip


@pytest.fixture
def told(monkeypatch, capsys, root):
    """What a command prints as JSON."""
    monkeypatch.chdir(root)

    def run(*arguments):
        assert main([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_simulate_takes_the_way_that_is_said(told):
    means = {
        name: told("simulate", "ring", "--runs", "1", "--method", "proposed",
                   "--set", f"forwarding={name}", "--set", "workload.requests=20",
                   "--set", "fleet.servers=12")["methods"]["proposed"]
        for name in ("ring", "relay", "hub")
    }  # fmt: skip
    per_token = {name: each["per_token_s"]["mean"] for name, each in means.items()}
    assert per_token["ring"] < per_token["hub"]
    assert per_token["ring"] < per_token["relay"]


@pytest.mark.parametrize("forwarding, legs_ms", [("hub", 55 + 150), ("ring", (55 + 150 + 150) / 2)])
def test_two_clusters_by_hand(forwarding, legs_ms):
    # No server has memory for all blocks; 5 ms and 100 ms, and 50 ms of overheads a round trip.
    scenario = load_scenario("clustered", {**TWO, "forwarding": forwarding})
    (row,) = simulate(scenario, "proposed", runs=1).to_dict("records")
    assert row["remaining_per_token_ms"] == pytest.approx(legs_ms + 70 * 3.2197)


def test_solve_knows_the_ring_by_the_papers_formulation(told):
    arguments = ["solve", "config/scenarios/ring.yaml", "--requests", "1", "--formulation", "paper"]
    sizes = ["--set", "fleet.servers=3", "--set", "fleet.share={a100: 1}"]
    sizes += ["--set", "fleet.rest=null"]
    times = {
        name: told(*arguments, *sizes, "--set", f"forwarding={name}")["objective_per_token_ms_sum"]
        for name in ("hub", "ring")
    }
    assert times["ring"] < times["hub"]


HUB_ONLY = {
    "placement": ["best", "gbp_cr", "pipe", "two_resource"],
    "routing": ["best", "jffc", "pipe", "two_resource"],
}


@pytest.mark.parametrize("registry", [PLACEMENT, ROUTING], ids=["placement", "routing"])
def test_a_method_that_knows_the_client_s_distances_alone_is_refused(registry, configuration):
    kind = registry.kind
    assert [name for name, each in registry.items() if each.hub_only] == HUB_ONLY[kind]
    content, methods = configuration.scenario("ring"), {"mine": configuration.methods["proposed"]}
    for name in HUB_ONLY[kind]:
        changed = {f"methods.mine.{kind}": name}
        point_of(content, methods, {}, {**changed, "forwarding": "hub"}, "test")
        allowed = "with forwarding ring, where a link costs what the server before it makes of it"
        with pytest.raises(InputError, match=rf"methods\.mine\.{kind}: got '{name}'; .*{allowed}"):
            point_of(content, methods, {}, changed, "test")


def test_overheads_are_the_scenario_s():
    with pytest.raises(InputErrors, match="no options: a leg pays half of the scenario's over"):
        load_scenario("ring", {"forwarding": {"ring": {"overhead_ms_per_leg": 4.0}}})


def test_too_many_servers_for_the_round_trips_between_them(monkeypatch, configuration):
    monkeypatch.setattr(bprr.scenario.draw, "MOST_SERVERS_WITH_ALL_PAIRS", 5)
    hub, ring = (load_scenario("ring", {"forwarding": each}) for each in ("hub", "ring"))
    assert draw(hub, catalogue(configuration), 1, 0).swarm.server_rtt_ms is None
    with pytest.raises(InputError, match="forwarding: got 'ring'; allowed: hub, or 5 servers at"):
        draw(ring, catalogue(configuration), 1, 0)


def test_a_way_whose_time_is_no_sum_over_links_is_not_simulated(monkeypatch, configuration):
    class Star(ForwardingPolicy):
        """Everybody to everybody."""

    monkeypatch.setitem(FORWARDING._policies, "star", Star)
    scenario = load_scenario("ring", {"forwarding": "star"})
    with pytest.raises(InputError, match="got 'star'; allowed: hub, relay, ring: a chain's time"):
        draw(scenario, catalogue(configuration), 1, 0)


def test_bandwidths_of_a_network_are_those_of_each_way(tmp_path, configuration):
    rows = ["from,to,rtt_ms,mbit_per_s"]
    for i, sender in enumerate("abc"):
        rows += [f"{sender},{to},20,{100 * (i + 1)}" for to in "abc" if to != sender]
    (tmp_path / "rtt.csv").write_text("\n".join(rows))
    network = {"kind": "rtt", "file": str(tmp_path / "rtt.csv")}
    fleet = {"servers": [{"at": "b", "device": "a100"}, {"at": "c", "device": "a100"}]}
    keys = {"network": network, "fleet": fleet, "clients": "a"}
    legs = draw(load_scenario("ring", keys), catalogue(configuration), 1, 0).swarm.neighbours
    bits = 16 * 14336 / 1000
    assert legs.enter.prompt_ms_per_token == pytest.approx(np.full((1, 2), bits / 100))
    assert legs.between.prompt_ms_per_token[0, 1] == pytest.approx(bits / 200)
    assert legs.leave.prompt_ms_per_token == pytest.approx(np.array([[bits / 200, bits / 300]]))
    assert legs.between.token_ms[0, 1] == (20 + 8) / 2
