"""Scenarios as they are written: what they read, which devices they name, what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bprr.ground.errors import InputErrors
from bprr.scenario.scenario import Scenario, load_scenario, scenario_of
from bprr.settings.shipped import SHIPPED

CONTENT: dict[str, Any] = {
    "network": {"kind": "geo", "nodes": 5},
    "fleet": {"servers": 2, "rest": "slow"},
    "overheads": {"token_ms": 1, "prompt_ms": 2, "initial_ms": 3},
    "workload": {"kind": "poisson", "rate_per_s": 1.0, "requests": 2, "input_tokens": 1,
                 "output_tokens": 2},
}  # fmt: skip
CLUSTERS = {"kind": "clustered", "clusters": {"a": {"fast": 1}, "b": {"slow": 2, "fast": 0}},
            "client": ["a", "b"]}  # fmt: skip


def of(**keys: Any) -> Scenario:
    return scenario_of({**CONTENT, **keys}, {}, "mine")


def refused(**keys: Any) -> tuple[str, object, str]:
    with pytest.raises(InputErrors) as caught:
        of(**keys)
    (one,) = caught.value.errors
    assert one.where == "mine"
    return one.key, one.value, one.allowed


def test_what_a_scenario_is_unless_it_says_otherwise() -> None:
    found = of()
    assert found.where == "mine"
    assert (found.model, found.clients, found.engine) == ("bloom_176b", 1, "auto")
    assert found.reload_s_per_gb == 8
    kinds = ("admission", "charging", "service", "forwarding", "churn", "replacement")
    names = ("reserve", "whole", "independent", "hub", "none", "never")
    assert tuple(getattr(found, kind).name for kind in kinds) == names
    for nothing in ("session_tokens", "believed", "lost", "join_order", "redrawn"):
        assert getattr(found, nothing) is None
    assert found.design_load.model_dump() == {
        "load": None, "rate_per_s": None, "count_allocation_delay": False,
        "count_block_cap": False,
    }  # fmt: skip
    assert of(lost={"server": "random"}).lost.model_dump() == {  # type: ignore[union-attr]
        "server": "random", "placed_anew": False,
    }  # fmt: skip
    assert of(clients="b").clients == ["b"]
    assert of(clients=["a", 7]).clients == ["a", "7"]
    assert of(clients=3).clients == 3
    assert found.overheads.model_dump() == {
        "token_ms": 1, "prompt_ms": 2, "prompt_ms_per_token": 0, "initial_ms": 3,
        "prompt_round_trips": 1,
    }  # fmt: skip


def test_files_and_devices(tmp_path: Path) -> None:
    assert of().files(tmp_path) == []
    trace = {"kind": "trace", "file": "t.csv"}
    fleet = {"file": "servers.csv", "memory_gb": {"fast": 3.0}, "block_cap": {"slow": 2}}
    (tmp_path / "servers.csv").write_text("device,at\nfast,x\nslow,y\nfast,x\n")
    fleet["file"] = str(tmp_path / "servers.csv")
    found = of(network={"kind": "topology", "name": "n"}, fleet=fleet, workload=trace)
    assert found.files(Path("there")) == [
        tmp_path / "servers.csv", Path("there/n.nodes.csv"), Path("there/n.links.csv"),
        Path("t.csv"),
    ]  # fmt: skip
    listed = "fleet.servers.device"
    assert list(found.devices()) == [
        (listed, "fast"), (listed, "slow"), (listed, "fast"),
        ("fleet.memory_gb", "fast"), ("fleet.block_cap", "slow"),
    ]  # fmt: skip
    found = of(fleet={"servers": 2, "share": {"fast": 0.5}, "rest": "slow"})
    assert list(found.devices()) == [("fleet.share", "fast"), ("fleet.rest", "slow")]
    found = of(network=CLUSTERS, fleet={"memory_gb": {"slow": 2.0}})
    assert list(found.devices()) == [
        ("fleet.memory_gb", "slow"), ("network.clusters.a", "fast"),
        ("network.clusters.b", "slow"), ("network.clusters.b", "fast"),
    ]  # fmt: skip


IN_CLUSTERS = "in a clustered network the clusters say how many of which device"


@pytest.mark.parametrize(
    ("keys", "key", "value", "allowed"),
    [
        ({"fleet": {}}, "fleet", {}, "servers, servers_per_node or file, one of them"),
        ({"fleet": {"rest": "a"}}, "fleet", {"rest": "a"},
         "servers, servers_per_node or file, one of them"),
        ({"fleet": {"servers": 2}}, "fleet", {"servers": 2},
         "rest (a device), share (a share per device), or both"),
        ({"fleet": {"servers_per_node": 0.5}}, "fleet", {"servers_per_node": 0.5},
         "rest (a device), share (a share per device), or both"),
        ({"network": CLUSTERS, "fleet": {"servers": 2, "rest": "a"}}, "fleet",
         {"servers": 2, "rest": "a"}, IN_CLUSTERS),
        ({"network": CLUSTERS, "fleet": {"servers": 2}}, "fleet", {"servers": 2}, IN_CLUSTERS),
        ({"network": CLUSTERS, "fleet": {"servers_per_node": 0.5}}, "fleet",
         {"servers_per_node": 0.5}, IN_CLUSTERS),
        ({"network": CLUSTERS, "fleet": {"rest": "a"}}, "fleet", {"rest": "a"}, IN_CLUSTERS),
        ({"network": CLUSTERS, "fleet": {"share": {"a": 1.0}}}, "fleet", {"share": {"a": 1.0}},
         IN_CLUSTERS),
        ({"network": CLUSTERS, "fleet": {"file": "x"}}, "fleet", {"file": Path("x")}, IN_CLUSTERS),
        ({"network": CLUSTERS, "fleet": {}, "clients": 3}, "clients", 3,
         "2, or nothing: network.client says where clients sit"),
        ({"forwarding": {"relay": {"overhead_ms_per_leg": 4.0}}}, "forwarding", None,
         "no options: a leg pays half of the scenario's overheads"),
    ],
)  # fmt: skip
def test_refused(keys: dict[str, Any], key: str, value: object, allowed: str) -> None:
    found = refused(**keys)
    assert (found[0], found[2]) == (key, allowed)
    assert value is None or found[1] == value


def test_fleets_that_will_do() -> None:
    for fleet in (
        {"servers": 2, "share": {"a": 1.0}}, {"servers_per_node": 0.5, "rest": "a"},
        {"file": "x"}, {"servers": [{"device": "a", "at": "x"}]},
    ):  # fmt: skip
        of(fleet=fleet)
    assert of(network=CLUSTERS, fleet={"block_cap": {"fast": 2}}).clients == 1
    assert of(network=CLUSTERS, fleet={}, clients=2).clients == 2


def test_a_file_and_a_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        (SHIPPED / "config/scenarios/scattered.yaml").read_text()
        .replace("kind: topology, name: abovenet", "kind: rtt, file: table.csv")
    )  # fmt: skip
    found = load_scenario(path, {"fleet.servers": 4})
    assert found.network.file == tmp_path / "table.csv"
    assert (found.fleet.servers, found.fleet.servers_per_node) == (4, None)
    assert found.where == str(path)
    assert load_scenario(str(path)).fleet.servers_per_node == 0.4
    shipped = load_scenario("scattered")
    assert shipped.network.name == "abovenet"
    assert shipped == load_scenario(SHIPPED / "config/scenarios/scattered.yaml")
    with pytest.raises(InputErrors, match=r"mine\.yaml: fleet\.servers: got 0; allowed: a number"):
        load_scenario(path, {"fleet.servers": 0})
