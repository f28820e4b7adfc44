"""The configuration: points of sweeps, names that must exist, files laid over each other."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest

from bprr.ground.errors import InputError, InputErrors
from bprr.ground.registry import ROUTING
from bprr.ground.swarm import Device
from bprr.settings.configuration import (
    OTHER_FOLDERS,
    DelayVariant,
    Method,
    Settings,
    Sweep,
    load_settings,
    named_in_files,
    settings_of,
)
from bprr.settings.shipped import DEFAULT

CONTENT: dict[str, Any] = {
    "seed": 1, "runs": 3,
    "delays": {"none": {}, "some": {"all_ms": 5.0, "per_method_ms": {"a": 2.0}},
               "rare": {"in_every_sweep": False}},
    "topologies": {"x": {"set": {}}, "y": {"set": {"clients": 2}}},
    "methods": {"a": {"placement": "cg_bp", "routing": "ws_rr"},
                "b": {"placement": "petals", "routing": "petals", "admission": "retry"}},
    "sweeps": {"s": {"scenario": "scattered", "topologies": ["x"], "methods": ["a"],
                     "axes": {"clients": [1, 2]}}},
}  # fmt: skip


def changed(path: str, value: Any) -> dict[str, Any]:
    content = copy.deepcopy(CONTENT)
    *parents, last = path.split("/")
    node = content
    for parent in parents:
        node = node[parent]
    node[last] = value
    return content


def refused(content: Any) -> tuple[str, object, str]:
    with pytest.raises(InputErrors) as caught:
        settings_of(content, "mine")
    (one,) = caught.value.errors
    assert one.where == "mine"
    return one.key, one.value, one.allowed


def test_what_a_configuration_is_unless_it_says_otherwise() -> None:
    found = settings_of(CONTENT, "mine")
    assert found.where == "mine"
    assert (found.run, found.results_dir, found.figures_dir) == ("", "results", "figures")
    assert (found.runs_per_job, found.confidence, found.solver) == (200, 0.95, "highs")
    assert (found.topology_dir, found.scenario_dir) == (
        Path("data/topologies"), Path("config/scenarios"),
    )  # fmt: skip
    assert found.compared.model_dump() == {"method": "proposed", "baseline": "petals"}
    assert found.offline.model_dump() == {
        "scale": "main", "network": "bellcanada", "time_limit_s": 60, "threads": 2,
        "relative_gap": 1e-6, "options": {},
    }  # fmt: skip
    sweep = found.sweeps["s"]
    assert (sweep.delays, sweep.runs, sweep.study, sweep.set) == (None, None, False, {})
    assert found.derived == found._scenario_files == {}


@pytest.mark.parametrize(
    ("path", "value", "key", "found", "allowed"),
    [
        ("sweeps/s/methods", ["a", "c"], "sweeps.s.methods", "c", "any of a, b"),
        ("sweeps/s/topologies", ["z"], "sweeps.s.topologies", "z", "any of x, y"),
        ("sweeps/s/delays", ["none", "no"], "sweeps.s.delays", "no", "any of none, some, rare"),
        ("sweeps/s/axes/clients", [], "sweeps.s.axes.clients", [], "at least one value"),
        ("sweeps/s/axes/clients", {"x": [1], "y": []}, "sweeps.s.axes.clients",
         {"x": [1], "y": []}, "at least one value"),
        ("sweeps/s/axes/clients", {"z": [1], "x": [1]}, "sweeps.s.axes.clients", "z",
         "a topology (x, y) or default"),
        ("sweeps/s/axes/clients", {"y": [1]}, "sweeps.s.axes.clients", "y",
         "values for x too, or for default"),
        ("sweeps/s/one_at_a_time", {"k": []}, "sweeps.s.one_at_a_time.k", [],
         "at least one value"),
        ("sweeps/s/one_at_a_time", {"k": {"z": [1]}}, "sweeps.s.one_at_a_time.k", "z",
         "a topology (x, y) or default"),
        ("sweeps/s/scenario", {"y": "scattered"}, "sweeps.s.scenario", {"y": "scattered"},
         "a scenario of x too"),
        ("delays/some/per_method_ms", {"c": 1.0}, "delays.some.per_method_ms", "c",
         "methods: a, b"),
        ("run", "sweeps", "run", "sweeps",
         f"a name of your own, none of {', '.join(OTHER_FOLDERS)}"),
    ],
)  # fmt: skip
def test_refused(path: str, value: Any, key: str, found: Any, allowed: str) -> None:
    assert refused(changed(path, value)) == (key, found, allowed)


def test_names_of_runs() -> None:
    for name in ("", "a", "A.b_c-9"):
        assert settings_of(changed("run", name), "mine").run == name
    for name in ("-a", ".a", "a b", "a/b", "_"):
        assert refused(changed("run", name))[:2] == ("run", name)
    assert set(OTHER_FOLDERS) == {
        "benchmarks", "fit", "logs", "measured", "offline", "offline_study", "readme", "settings",
        "sweeps", "testbed", "theory", "timing",
    }  # fmt: skip


def test_axes_that_will_do() -> None:
    both = {"x": [1], "y": [2]}
    for axis in ([1], {"default": [1]}, {"x": [1]}, both, {"y": [2], "default": [1]}):
        settings_of(changed("sweeps/s/axes/clients", axis), "mine")
    settings_of(changed("sweeps/s/one_at_a_time", {"k": {"y": [1]}}), "mine")
    settings_of(changed("sweeps/s/scenario", {"x": "scattered"}), "mine")


def test_points_of_a_sweep() -> None:
    sweep = Sweep(
        scenario={"x": "one", "y": "two"}, topologies=["x", "y"], methods=["a"],
        axes={"p": [1, 2], "q": {"x": ["u", "v"], "default": ["w"]}, "r": [0]},
        one_at_a_time={"p": [2, 7], "z": {"y": [5]}},
    )  # fmt: skip
    whole = [{"p": p, "q": q, "r": 0} for p in (1, 2) for q in "uv"]
    assert sweep.changed_points("x") == [
        *(("", None, point) for point in whole),
        ("p", 2, {"p": 2, "q": "u", "r": 0}), ("p", 2, {"p": 2, "q": "v", "r": 0}),
        ("p", 7, {"p": 7, "q": "u", "r": 0}), ("p", 7, {"p": 7, "q": "v", "r": 0}),
    ]  # fmt: skip
    assert sweep.points("x")[:4] == whole
    assert sweep.changed_points("y") == [
        ("", None, {"p": 1, "q": "w", "r": 0}), ("", None, {"p": 2, "q": "w", "r": 0}),
        ("p", 2, {"p": 2, "q": "w", "r": 0}), ("p", 7, {"p": 7, "q": "w", "r": 0}),
        ("z", 5, {"p": 1, "q": "w", "r": 0, "z": 5}), ("z", 5, {"p": 2, "q": "w", "r": 0, "z": 5}),
    ]  # fmt: skip
    assert (sweep.scenario_on("x"), sweep.scenario_on("y")) == ("one", "two")
    plain = Sweep(scenario="one", topologies=["x"], methods=["a"], axes={})
    assert (plain.scenario_on("x"), plain.points("x")) == ("one", [{}])


def test_variants_and_runs() -> None:
    found = settings_of(CONTENT, "mine")
    sweep = found.sweeps["s"]
    assert found.variants_of(sweep) == ["none", "some"]
    for delays in (["rare"], []):
        assert found.variants_of(sweep.model_copy(update={"delays": delays})) == delays
    assert found.runs_of("s") == 3
    assert settings_of(changed("sweeps/s/runs", 8), "mine").runs_of("s") == 8
    with pytest.raises(InputError) as caught:
        found.runs_of("t")
    assert str(caught.value) == "mine: sweeps: got 't'; allowed: s"
    assert [found.delays["some"].of(method) for method in "ab"] == [2, 5]
    a, b = found.methods.values()
    assert DelayVariant().applied(a) is a
    patient = DelayVariant(admission="at_release")
    assert patient.applied(b) is b
    applied = patient.applied(a)
    assert applied.admission is not None
    assert (applied.admission.name, applied.placement) == ("at_release", a.placement)
    assert Method(placement="petals", routing="petals").charging is None


def test_scenarios_by_name_and_by_file(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("network: {file: a.csv}\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/two.yaml").write_text("network: {file: a.csv}\n")
    content = {**CONTENT, "scenario_dir": str(tmp_path), "scenarios": {"mine": {"clients": 2}}}
    found = settings_of(content, "here")
    assert found.scenario("mine") == ({"clients": 2}, "scenarios.mine of here")
    path = tmp_path / "one.yaml"
    assert found.scenario("one") == ({"network": {"file": f"{tmp_path}/a.csv"}}, str(path))
    inner = tmp_path / "sub/two.yaml"
    content = {"network": {"file": f"{tmp_path}/sub/a.csv"}}
    assert found.scenario(str(inner)) == (content, str(inner))
    path.write_text("clients: 9\n")
    assert found.scenario("one")[0] == {"network": {"file": f"{tmp_path}/a.csv"}}  # read once
    with pytest.raises(InputError) as caught:
        found.scenario("three")
    assert str(caught.value) == "here: scenario: got 'three'; allowed: a file, or mine, one"
    found.derived["x"] = 1
    other = copy.copy(found)
    assert (other.derived, found.derived) == ({}, {"x": 1})
    assert other.scenario("one")[0] == {"clients": 9}
    assert other.seed == 1
    assert found.model_copy(update={"seed": 7}).derived == {}


PROFILE = "{tau_ms: 1.0, prefill_ms: 2.0, memory_gb: 3.0}"


def test_devices_of_files(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(f"a: {PROFILE}\nb: {PROFILE}\n")
    two.write_text(f"c: {PROFILE}\n")
    given = {"d": Device(tau_ms=1.0, prefill_ms=2.0, memory_gb=4.0)}
    found = named_in_files([one, two], Device, given)
    assert {name: device.name for name, device in found.items()} == {n: n for n in "dabc"}
    assert given["d"].name == ""
    assert found["a"].where == f"{one}: a"
    content = {**CONTENT, "device_files": [str(one)], "devices": {"z": {"tau_ms": 1.0,
               "prefill_ms": 2.0, "memory_gb": 3.0}}}  # fmt: skip
    assert list(settings_of(content, "mine").all_devices) == ["z", "a", "b"]
    assert settings_of(CONTENT, "mine").all_models == {}
    for text, key, value in (
        (f"b: {PROFILE}\n", "b", "defined twice"), ("e: 3\n", "e", 3),
    ):  # fmt: skip
        two.write_text(text)
        with pytest.raises(InputError) as caught:
            named_in_files([one, two], Device, given)
        assert (caught.value.where, caught.value.key, caught.value.value) == (str(two), key, value)
        allowed = "each name once over all files" if key == "b" else (
            "a mapping with the keys forward_rps, inference_rps, memory_gb, model, name,"
            " network_rps, prefill_ms, prefill_ms_per_token, provenance, source, tau_ms, title,"
            " tokens_per_s"
        )  # fmt: skip
        assert caught.value.allowed == allowed
    two.write_text("f: {tau_ms: 1.0}\n")
    with pytest.raises(InputErrors, match=rf"{two}: f: prefill_ms: got 'nothing'"):
        named_in_files([two], Device, {})


def test_files_laid_over_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = tmp_path / "one.yaml"
    one.write_text("seed: 11\ntopology_dir: t\nmethods: {petals: {label: mine}}\n")
    two = tmp_path / "two.yaml"
    two.write_text("seed: 12\nrun: trial\n")
    plain = load_settings()
    assert plain.where == str(DEFAULT)
    assert load_settings(DEFAULT) == plain
    assert load_settings(os.path.relpath(DEFAULT)).where == plain.where
    found = load_settings(one)
    assert (found.seed, found.where, found.topology_dir) == (11, str(one), Path("t"))
    assert found.methods["petals"].label == "mine"
    assert found.methods["petals"].routing == plain.methods["petals"].routing
    found = load_settings(one, str(two), overrides={"runs": 7, "methods.petals.label": "third"})
    assert (found.seed, found.where, found.runs) == (12, str(two), 7)
    assert found.methods["petals"].label == "third"
    assert (found.results_dir, found.figures_dir) == (
        f"{plain.results_dir}/trial", f"{plain.figures_dir}/trial",
    )  # fmt: skip
    found = load_settings(two, overrides={"run": "", "topology_dir": "u/../v"})
    assert (found.results_dir, found.topology_dir) == (plain.results_dir, Path("v"))
    with pytest.raises(InputErrors, match=r"one\.yaml: runs: got 0"):
        load_settings(one, overrides={"runs": 0})


def test_policy_files_come_first(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        settings_of({**CONTENT, "policy_files": [str(tmp_path / "no.py")]}, "mine")
    assert caught.value.allowed == "a readable Python file with policies"
    path = tmp_path / "fresh_routing_of_tests.py"
    path.write_text(
        "from bprr.routing.base import RoutingPolicy\n"
        "class Fresh(RoutingPolicy, name='fresh_of_tests'):\n    pass\n"
    )
    content = changed("methods/a/routing", "fresh_of_tests")
    with pytest.raises(InputErrors):
        settings_of(content, "mine")
    found = settings_of({**content, "policy_files": [str(path)]}, "mine")
    assert isinstance(found, Settings)
    assert found.methods["a"].routing.name == "fresh_of_tests"
    assert refused({**CONTENT, "policy_files": [3]})[:2] == ("policy_files.0", 3)
    del ROUTING._policies["fresh_of_tests"]
