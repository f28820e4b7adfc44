"""Bad input is refused before anything runs, with file, key, value and what is allowed."""

import copy

import numpy as np
import pytest
import yaml

from bprr.commands.main import main
from bprr.ground.errors import InfeasibleError, InputError, InputErrors
from bprr.placement.base import Placement
from bprr.scenario.draw import draw
from bprr.scenario.scenario import load_scenario
from bprr.scenario.workload import Workload
from bprr.settings.configuration import load_settings
from bprr.settings.overrides import with_overrides
from bprr.settings.yaml_file import read_yaml
from bprr.simulation.engine import simulate
from bprr.study.method import MethodRunner
from bprr.study.points import sweep_points
from bprr.study.sweep import run_sweep


@pytest.fixture(scope="module")
def scattered(root):
    return yaml.safe_load(
        (root / "config" / "scenarios" / "scattered.yaml").read_text(encoding="utf-8")
    )


@pytest.fixture(scope="module")
def shipped(root):
    return read_yaml(root / "config" / "default.yaml")


def refusal(call):
    """The one error that a call raises."""
    with pytest.raises((InputError, InputErrors)) as refused:
        call()
    error = refused.value
    if isinstance(error, InputErrors):
        assert len(error.errors) == 1, str(error)
        (error,) = error.errors
    return error


def assert_says(error, where, key, value, allowed):
    assert str(where) in error.where
    assert error.key == key
    assert error.value == value or str(value) in str(error.value)
    assert allowed in error.allowed
    text = str(error)
    for part in (str(where), key, repr(error.value), error.allowed):
        assert part in text
    # Words for users, not for readers of pydantic's source.
    assert "Input should" not in text
    assert "\n" not in text


SCENARIOS = [
    # unknown keys
    ({"fleet.memory_mb": {"a100": 80_000}}, "fleet.memory_mb", 80_000, "did you mean memory_gb?"),
    ({"overheads.token_s": 0.1}, "overheads.token_s", 0.1, "did you mean token_ms?"),
    ({"workload.rate_per_min": 3}, "workload.rate_per_min", 3, "did you mean rate_per_s?"),
    ({"fleet.servrs": 3}, "fleet.servrs", 3, "did you mean servers?"),
    ({"network.nodes": 3}, "network.nodes", 3, "kind, name"),
    ({"colour": "red"}, "colour", "red", "one of the keys admission, believed, charging"),
    ({"admission.first_s": 1}, "admission.reserve.first_s", 1, "did you mean first_ms?"),
    # wrong types: nothing is read out of text or truth values
    ({"fleet.servers": "10"}, "fleet.servers", "10", "a whole number, without quotes"),
    ({"fleet.servers": True}, "fleet.servers", True, "a whole number"),
    ({"fleet.servers": 2.5}, "fleet.servers", 2.5, "a whole number"),
    ({"overheads.token_ms": "100ms"}, "overheads.token_ms", "100ms", "without quotes or a unit"),
    ({"overheads.token_ms": True}, "overheads.token_ms", True, "a number"),
    ({"overheads": 3}, "overheads", 3, "a mapping with the keys initial_ms"),
    ({"model": 7}, "model", 7, "a text"),
    # out of range, wrong units, negative sizes
    ({"fleet.memory_gb": {"a100": 81_559}}, "fleet.memory_gb.a100", 81_559, "the unit is GB"),
    ({"fleet.memory_gb": {"a100": -80}}, "fleet.memory_gb.a100", -80, "a number above 0"),
    ({"fleet.servers": 0}, "fleet.servers", 0, "at least 1"),
    ({"fleet.servers": -3}, "fleet.servers", -3, "at least 1"),
    ({"fleet.share": {"a100": 20}}, "fleet.share.a100", 20, "at most 1"),
    ({"workload.rate_per_s": 0}, "workload.rate_per_s", 0, "a number above 0"),
    ({"workload.output_tokens": -1}, "workload.output_tokens", -1, "at least 1"),
    ({"workload.requests": 0}, "workload.requests", 0, "at least 1"),
    ({"design_load.load": 0}, "design_load.load", 0, "at least 1"),
    ({"admission.first_ms": float("inf")}, "admission.reserve.first_ms", float("inf"), "finite"),
    ({"fleet.block_cap": {"mig": 0}}, "fleet.block_cap.mig", 0, "at least 1"),
    ({"clients": 0}, "clients", 0, "at least 1"),
    # beyond what any machine holds
    ({"workload.requests": 10**13}, "workload.requests", 10**13, "at most 1e+12"),
    ({"workload.output_tokens": 10**30}, "workload.output_tokens", 10**30, "at most 1e+12"),
    ({"network": {"kind": "geo", "nodes": 10**11}}, "network.nodes", 10**11, "at most 1e+07"),
    ({"network": {"kind": "clustered", "clusters": {"a": {"mig": 10**9}}, "client": "a"},
      "fleet": {}}, "network.clusters.a.mig", 10**9, "at most 100000"),
    # combinations
    ({"fleet": {"servers": 3, "servers_per_node": 0.4, "rest": "mig"}},
     "fleet.servers", 0.4, "not both"),
    ({"fleet": {"rest": "mig"}}, "fleet", "mig", "servers, servers_per_node or file"),
    ({"fleet": {"servers": 3}}, "fleet", 3, "rest (a device)"),
    ({"fleet.share": {"a100": 0.6, "mig": 0.6}}, "fleet.share", 0.6, "add up to at most 1"),
    ({"workload": {"kind": "poisson", "rate_per_s": 1, "input_tokens": 1, "output_tokens": 1}},
     "workload.requests", None, "requests or duration_s"),
    # names
    ({"network.kind": "topologie"}, "network.kind", "topologie", "'topology', 'repetita'"),
    ({"workload.kind": "burst"}, "workload.kind", "burst", "'poisson', 'trace'"),
    ({"network": {"name": "abovenet"}}, "network.kind", "nothing", "required"),
    ({"network": {"kind": "clustered", "clusters": {"a": {"mig": 9}}, "client": "b"}, "fleet": {}},
     "network.client", "b", "one of the clusters a"),
    ({"network": {"kind": "clustered", "clusters": {"a": {"mig": 9}}, "client": "a"}, "fleet": {},
      "clients": 3}, "clients", 3, "1, or nothing"),
    # policies
    ({"admission": "nonesuch"}, "admission", "nonesuch", "reserve, retry"),
    ({"charging": "hole"}, "charging", "hole", "whole"),
    ({"admission": {"retry": {}, "reserve": {}}}, "admission", "retry", "one name with"),
    ({"admission": {"retry": 3}}, "admission.retry", 3, "a mapping"),
]  # fmt: skip


@pytest.mark.parametrize("change, key, value, allowed", SCENARIOS)
def test_a_scenario_is_refused_when_read(tmp_path, scattered, change, key, value, allowed):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(with_overrides(scattered, change)))
    assert_says(refusal(lambda: load_scenario(path)), path, key, value, allowed)


DRAWS = [
    ({"model": "gpt5"}, "model", "gpt5", "bloom_176b"),
    ({"fleet.rest": "h100"}, "fleet.rest", "h100", "a known device: rtx_4090_estimated, a100"),
    (
        {"fleet.share": {"h100": 0.2}},
        "fleet.share",
        "h100",
        "a known device: rtx_4090_estimated, a100",
    ),
    (
        {"fleet.memory_gb": {"h100": 80}},
        "fleet.memory_gb",
        "h100",
        "a known device: rtx_4090_estimated, a100",
    ),
    (
        {"fleet.block_cap": {"migg": 4}},
        "fleet.block_cap",
        "migg",
        "a known device: rtx_4090_estimated, a100",
    ),
    ({"fleet.servers": 400}, "fleet.servers", 400, "at most 22 on abovenet, which has 23 nodes"),
    ({"clients": 20}, "fleet.servers", 9, "with 20 client(s) at most 3"),
    ({"workload.requests": 10**9}, "requests", 10**9, "at most 100,000,000 in a run"),
    (
        {"network": {"kind": "clustered", "clusters": {"a": {"x": 1}}, "client": "a"}, "fleet": {}},
        "network.clusters.a",
        "x",
        "a known device: rtx_4090_estimated, a100",
    ),
]


@pytest.mark.parametrize("change, key, value, allowed", DRAWS)
def test_a_scenario_is_refused_when_drawn(
    tmp_path, scattered, published, change, key, value, allowed
):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(with_overrides(scattered, change)))
    scenario = load_scenario(path)
    where = "workload" if key == "requests" else path
    assert_says(refusal(lambda: draw(scenario, published, 1, 0)), where, key, value, allowed)


def test_unknown_topologies_and_files(scattered, published, tmp_path):
    def drawn(network):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({**scattered, "network": network}))
        return refusal(lambda: draw(load_scenario(path), published, 1, 0))

    folder = published.topology_dir
    error = drawn({"kind": "topology", "name": "arpanet"})
    assert_says(error, folder, "network.name", "arpanet", "abovenet, bellcanada, gts_ce")
    error = drawn({"kind": "repetita", "file": "nope.graph"})
    assert_says(error, "nope.graph", "file", "No such file", "REPETITA")
    error = drawn({"kind": "topohub", "name": "topozoo/Nowhere"})
    assert_says(error, "network", "name", "topozoo/Nowhere", "topozoo/Abilene")
    apart = tmp_path / "apart.graph"
    apart.write_text("NODES 3\nlabel x y\na 0 0\nb 1 1\nc 2 2\nEDGES 1\nlabel\ne 0 1 1 1 500\n")
    error = drawn({"kind": "repetita", "file": str(apart)})
    assert_says(error, apart, "links", "no path from a to c", "a connected network")


def test_an_unreadable_trace(scattered, published, tmp_path):
    trace = tmp_path / "absent.csv"
    path = tmp_path / "mine.yaml"
    path.write_text(
        yaml.safe_dump({**scattered, "workload": {"kind": "trace", "file": str(trace)}})
    )
    error = refusal(lambda: draw(load_scenario(path), published, 1, 0))
    assert_says(error, trace, "file", "No such file", "a readable trace")


CONFIGURATIONS = [
    (("runs",), 0, "runs", 0, "at least 1"),
    (("runs",), "50", "runs", "50", "a whole number"),
    (("seed",), -1, "seed", -1, "at least 0"),
    (("rums",), 3, "rums", 3, "did you mean runs?"),
    (("confidence",), 95, "confidence", 95, "below 1"),
    (("delays", "none", "all_s"), 1, "delays.none.all_s", 1, "did you mean all_ms?"),
    (
        ("delays", "published", "per_method_ms"),
        {"worst": 1},
        "delays.published.per_method_ms",
        "worst",
        "petals",
    ),
    (("methods", "petals", "label"), None, "methods.petals.label", None, "a text"),
    (("methods", "petals", "route"), "x", "methods.petals.route", "x", "did you mean routing?"),
    (("sweeps", "fig7", "methods"), ["petal"], "sweeps.fig7.methods", "petal", "petals"),
    (("sweeps", "fig7", "methods"), [], "sweeps.fig7.methods", [], "at least one"),
    (("sweeps", "fig7", "topologies"), ["nsf"], "sweeps.fig7.topologies", "nsf", "abovenet"),
    (("sweeps", "fig7", "axes"), {"x": []}, "sweeps.fig7.axes.x", [], "at least one value"),
    (
        ("sweeps", "fig7", "axes"),
        {"clients": {"abovenet": [3]}},
        "sweeps.fig7.axes.clients",
        "abovenet",
        "values for bellcanada too, or for default",
    ),
    (
        ("sweeps", "fig7", "axes"),
        {"fleet.servers": {"abovnet": [3], "default": [4]}},
        "sweeps.fig7.axes.fleet.servers",
        "abovnet",
        "a topology (abovenet",
    ),
    (("sweeps", "fig7", "delays"), ["publishd"], "sweeps.fig7.delays", "publishd", "published"),
    (("methods", "petals", "placement"), "petal", "methods.petals.placement", "petal", "cg_bp"),
    (("methods", "petals", "routing"), "petal", "methods.petals.routing", "petal", "ws_rr"),
    (("methods", "petals", "admission"), "", "methods.petals.admission", "", "reserve, retry"),
    (
        ("methods", "petals", "routing"),
        {"petals": {"hop_ms": 1}},
        "methods.petals.routing.petals.hop_ms",
        1,
        "hop_overhead_ms",
    ),
    (("policy_files",), 3, "policy_files", 3, "a list"),
    (("policy_files",), [3], "policy_files.0", 3, "a path"),
    (("device_files",), "a.yaml", "device_files", "a.yaml", "a list"),
]


@pytest.mark.parametrize("place, written, key, value, allowed", CONFIGURATIONS)
def test_a_configuration_is_refused(tmp_path, shipped, place, written, key, value, allowed):
    content = copy.deepcopy(shipped)
    node = content
    for part in place[:-1]:
        node = node[part]
    node[place[-1]] = written
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    assert_says(refusal(lambda: load_settings(path)), path, key, value, allowed)


def test_unknown_sweeps_and_topologies_list_the_known(configuration):
    error = refusal(lambda: run_sweep(configuration, "fig77", "abovenet"))
    assert_says(error, "default.yaml", "sweeps", "fig77", "fig7, fig8")
    error = refusal(lambda: run_sweep(configuration, "fig7", "arpanet"))
    assert_says(error, "default.yaml", "sweeps.fig7.topologies", "arpanet", "abovenet, bellcanada")


@pytest.mark.parametrize(
    "overrides, key",
    [
        ({"fleet.server": 3}, "fleet.server"),
        ({"model.x": 1}, "model.x"),
        ({"fleet.servers": "a"}, "fleet.servers"),
    ],
)
def test_what_a_sweep_sets_is_blamed_on_the_sweep(configuration, overrides, key):
    sweep = configuration.sweeps["fig10"].model_copy(update={"set": overrides})
    settings = configuration.model_copy(update={"sweeps": {"fig10": sweep}})
    error = refusal(lambda: sweep_points(settings, "fig10", "abovenet"))
    assert_says(error, "scattered.yaml", key, overrides[key], "")
    assert "sweeps.fig10" in error.where
    assert "default.yaml on abovenet" in error.where


def test_an_axis_of_names_numbers_its_points(configuration):
    sweep = configuration.sweeps["fig10"].model_copy(
        update={"axes": {"admission": ["reserve", "retry"]}}
    )
    settings = configuration.model_copy(update={"sweeps": {"fig10": sweep}})
    points = sweep_points(settings, "fig10", "abovenet")
    assert [(point.x, point.scenario.admission.name) for point in points] == [
        (0.0, "reserve"),
        (1.0, "retry"),
    ]


@pytest.mark.parametrize(
    "text, key, value, allowed",
    [
        ("a: 1\nb: {c: 1,\n  c: 2}\n", "line 3", "key 'c' a second time", "each key once"),
        ("a: [1\n", "line 2", "expected", "valid YAML"),
        ("- 1\n", "file", "list", "a mapping"),
        ("", "file", "nothing", "a mapping"),
        (b"\xff\xfe\x00\x01", "file", "decode", "UTF-8"),
        (None, "file", "No such file", "a readable YAML file"),
    ],
)
@pytest.mark.parametrize("load", [load_settings, load_scenario, lambda path: named_in(path)])
def test_an_unreadable_file_is_refused(tmp_path, load, text, key, value, allowed):
    path = tmp_path / "mine.yaml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert_says(refusal(lambda: load(path)), path, key, value, allowed)


def test_1e5_is_a_number(tmp_path, scattered):
    path = tmp_path / "mine.yaml"
    text = yaml.safe_dump(scattered).replace("first_ms: 1000", "first_ms: 1e3")
    assert "1e3" in text
    path.write_text(text)
    assert load_scenario(path).admission.options.first_ms == 1_000


def named_in(*paths, kind="device"):
    """Devices or models of some files alone."""
    empty = load_settings().model_copy(update={f"{kind}_files": list(paths)})
    return {"device": empty.all_devices, "model": empty.all_models}[kind]


def test_devices_and_models_are_named(tmp_path):
    path = tmp_path / "d.yaml"
    device = "tau_ms: 3, prefill_ms: 3, memory_gb: 8, forward_rps: 1, network_rps: 1, source: me"
    path.write_text(f"slow: {{{device}}}\n4090: {{{device}}}\n")
    assert {name: entry.name for name, entry in named_in(path).items()} == {
        name: name for name in ("rtx_4090_estimated", "slow", "4090")
    }
    path.write_text(f"slow: {{{device.replace('memory_gb: 8', 'memory_gb: 8192')}}}\n")
    error = refusal(lambda: named_in(path))
    assert_says(error, f"{path}: slow", "memory_gb", 8192, "GB = 1e9 bytes")
    path.write_text("slow: 3\n")
    assert_says(refusal(lambda: named_in(path)), path, "slow", 3, "memory_gb")
    path.write_text(f"slow: {{{device}}}\n")
    error = refusal(lambda: named_in(path, path))
    assert_says(error, path, "slow", "defined twice", "once")
    path.write_text("tiny: {blocks: 0, width: 1}\n")
    with pytest.raises(InputErrors) as refused:
        named_in(path, kind="model")
    assert {error.key for error in refused.value.errors} == {"blocks", "d_model", "width"}
    path.write_text("tiny: {blocks: 2, d_model: 1}\n")
    error = refusal(lambda: named_in(path, kind="model"))
    assert_says(error, path, "block_gb", "nothing", "bits_per_parameter")


def instance(published, root, **overrides):
    path = root / "config" / "scenarios" / "scattered.yaml"
    return draw(load_scenario(path, overrides), published, 1, 0)


@pytest.mark.parametrize("method", ["petals", "proposed", "optimized_order", "optimized_rr"])
def test_a_model_that_fits_nowhere_says_what_is_missing(configuration, published, root, method):
    tiny = instance(published, root, **{"fleet.memory_gb": {"a100": 1.0, "mig": 1.0}})
    runner = MethodRunner(tiny)
    with pytest.raises(InfeasibleError) as refused:
        runner.run(configuration.methods[method], 0.0)
    error = refused.value
    assert error.resource == "GPU memory"
    assert any(character.isdigit() for character in error.missing)
    assert "GB" in error.missing or "70 of 70 blocks hosted nowhere" in error.missing


def test_the_missing_memory_adds_up(published, root, configuration):
    """Six MIG slices: CG-BP must name the blocks without a place and the memory they need."""
    small = instance(
        published,
        root,
        **{"fleet.servers": 6, "fleet.share": {}, "design_load.load": 1},
    )
    with pytest.raises(InfeasibleError) as refused:
        MethodRunner(small).run(configuration.methods["proposed"], 0.0)
    model = small.swarm.model
    lacking = model.blocks - 6 * 4  # the cap
    need_gb = lacking * (model.block_gb + model.session_cache_gb(148))
    assert f"{lacking} of 70 blocks, {need_gb:.2f} GB" in str(refused.value)


def test_a_request_longer_than_the_model_is_that_runs_status(published, root, configuration):
    long = instance(published, root, **{"workload.output_tokens": 5000})
    with pytest.raises(InfeasibleError, match="2972 tokens missing"):
        MethodRunner(long).run(configuration.methods["proposed"], 0.0)


def test_an_infeasible_run_is_a_row_not_an_end(configuration):
    sweep = configuration.sweeps["fig7"].model_copy(
        update={
            "axes": {"fleet.servers": [2, 10]},
            "set": {"workload.requests": 3},
            "methods": ["petals", "proposed"],
            "runs": 1,
        }
    )
    settings = configuration.model_copy(update={"sweeps": {"fig7": sweep}})
    table = run_sweep(settings, "fig7", "abovenet")
    lost = table[table["x"] == 2]
    assert len(lost) == 4  # two methods, with the delays and without
    assert lost["status"].str.startswith("infeasible: not enough GPU memory").all()
    assert lost["per_token_ms"].isna().all()
    served = table[table["x"] == 10]
    assert (served["status"] == "ok").all()
    assert np.isfinite(served["per_token_ms"]).all()


def test_the_command_line_prints_the_message_and_nothing_else(at_root, tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text("runs: many\n")
    assert main(["check", str(path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"{path}: runs: got 'many'" in printed.err
    assert "Traceback" not in printed.err
    scenario = "config/scenarios/scattered.yaml"
    assert main(["simulate", scenario, "--set", "fleet.servers"]) == 2
    assert "KEY=VALUE" in capsys.readouterr().err
    assert main(["simulate", scenario, "--set", "fleet.servers=many"]) == 2
    assert "fleet.servers: got 'many'" in capsys.readouterr().err
    assert main(["simulate", scenario, "--method", "worst"]) == 2
    assert "petals" in capsys.readouterr().err
    assert main(["sweep", "fig70", "abovenet"]) == 2
    assert "fig7" in capsys.readouterr().err


def test_caches_too_small_for_a_request_are_named(small_swarm):
    """Every block is hosted, but server 0's cache of 90 tokens ends one short of four blocks."""
    cache = np.array([90, 0, 0])
    placement = Placement(small_swarm, np.array([1, 0, 0]), np.array([4, 0, 0]), cache)
    workload = Workload(np.zeros(1), 0, 12, 11)
    for routing in ("ws_rr", "exact", "shortest_path"):
        with pytest.raises(InfeasibleError) as refused:
            simulate(placement, workload, routing)
        assert str(refused.value) == (
            "infeasible: not enough attention cache: room for 23 tokens in every block of a chain "
            "missing (the largest cache holds 90 tokens of one block)"
        )


def test_blocks_hosted_nowhere_are_named(small_swarm):
    placement = Placement(small_swarm, np.array([1, 4, 0]), np.array([1, 1, 0]))
    for routing in ("ws_rr", "exact", "shortest_path", "petals"):
        with pytest.raises(
            InfeasibleError, match=r"2 of 4 blocks hosted nowhere .* \(blocks 2, 3\)"
        ):
            simulate(placement, Workload(np.zeros(1), 0, 12, 11), routing)
