"""Options of policies: refused by their full key, and reached by --set and by axes."""

import copy

import pytest
import yaml

from bprr.commands.main import main
from bprr.ground.errors import InputError, InputErrors
from bprr.scenario.draw import draw
from bprr.scenario.scenario import load_scenario
from bprr.settings.configuration import load_settings
from bprr.study.checks import json_schema
from bprr.study.method import MethodRunner
from bprr.study.points import sweep_points
from bprr.study.single import single_point
from bprr.study.sweep import run_sweep

KEYS_OF_PETALS = "one of the keys full_penalty_ms, hop_overhead_ms"
A_CHOICE = "a name, or one name with its options"

METHODS = [
    ("routing", {"petals": {"hop_overhead": 3}}, ".petals.hop_overhead", 3,
     f"did you mean hop_overhead_ms? {KEYS_OF_PETALS}"),
    ("routing", {"petals": {"colour": "red"}}, ".petals.colour", "red", KEYS_OF_PETALS),
    ("routing", {"petals": {"hop_overhead_ms": "18"}}, ".petals.hop_overhead_ms", "18",
     "a number, without quotes or a unit"),
    ("routing", {"petals": {"hop_overhead_ms": True}}, ".petals.hop_overhead_ms", True, "a number"),
    ("routing", {"petals": {"hop_overhead_ms": -1}}, ".petals.hop_overhead_ms", -1, "at least 0"),
    ("routing", {"petals": 18}, ".petals", 18, "a mapping with the keys full_penalty_ms"),
    ("routing", {"ws_rr": {"a": 1}}, ".ws_rr.a", 1, "no such key"),
    ("routing", "petal", "", "petal", "did you mean petals? one of best, exact, flow_"),
    ("routing", {"wsrr": {}}, "", "wsrr", "did you mean ws_rr? one of best, exact, "),
    ("routing", {"petals": {}, "ws_rr": {}}, "", {"petals": {}, "ws_rr": {}}, A_CHOICE),
    ("routing", ["petals"], "", ["petals"], A_CHOICE),
    ("routing", 7, "", 7, A_CHOICE),
    ("placement", "cgbp", "", "cgbp", "did you mean cg_bp? one of best, cg_bp"),
    ("placement", "base", "", "base", "one of best, cg_bp"),
    ("placement", {"offloading": {"bandwidth_gb_per_s": 0}}, ".offloading.bandwidth_gb_per_s", 0,
     "a number above 0"),
    ("placement", {"offloading": {"buffered_blocks": 1.5}}, ".offloading.buffered_blocks", 1.5,
     "a whole number"),
    ("placement", {"offloading": {"device": 7}}, ".offloading.device", 7, "a text"),
    ("admission", {"retry": {"first_s": 1}}, ".retry.first_s", 1, "did you mean first_ms?"),
    ("admission", {"at_release": {"first_ms": 1}}, ".at_release.first_ms", 1, "no such key"),
    ("charging", "hole", "", "hole", "did you mean whole? one of paced, pages, whole"),
    ("service", "independant", "", "independant", "did you mean independent?"),
]  # fmt: skip


def only_error(call):
    with pytest.raises((InputError, InputErrors)) as refused:
        call()
    found = refused.value
    if isinstance(found, InputErrors):
        (found,) = found.errors
    return found


def assert_says(error, where, key, value, allowed):
    assert (error.key, error.value) == (key, value)
    assert error.where.startswith(where)
    assert allowed in error.allowed
    assert str(error) == f"{error.where}: {key}: got {value!r}; allowed: {error.allowed}"


@pytest.mark.parametrize("kind, written, below, value, allowed", METHODS)
def test_a_method_is_refused_by_its_full_key(tmp_path, kind, written, below, value, allowed):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"methods": {"petals": {kind: written}}}))
    error = only_error(lambda: load_settings(path))
    assert_says(error, str(path), f"methods.petals.{kind}{below}", value, allowed)


@pytest.mark.parametrize(
    "kind, written, below, value, allowed",
    [case for case in METHODS if case[0] in ("admission", "charging", "service")],
)
def test_a_scenario_is_refused_by_its_full_key(
    tmp_path, root, kind, written, below, value, allowed
):
    path = tmp_path / "mine.yaml"
    scattered = yaml.safe_load((root / "config/scenarios/scattered.yaml").read_text())
    path.write_text(yaml.safe_dump({**scattered, kind: written}))
    error = only_error(lambda: load_scenario(path))
    assert_says(error, str(path), f"{kind}{below}", value, allowed)


def test_all_mistakes_of_a_file_are_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "methods:\n"
        "  petals: {placement: petal, routing: {petals: {hop_overhead_ms: -1, penalty: 3}}}\n"
        "  mine: {placement: cg_bp, routing: wsrr}\n"
    )
    with pytest.raises(InputErrors) as refused:
        load_settings(path)
    assert {error.key for error in refused.value.errors} == {
        "methods.petals.placement",
        "methods.petals.routing.petals.hop_overhead_ms",
        "methods.petals.routing.petals.penalty",
        "methods.mine.routing",
    }


def test_a_name_alone_has_the_default_options(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("methods: {mine: {placement: offloading, routing: {petals: }}}\n")
    mine = load_settings(path).methods["mine"]
    assert mine.placement.content() == {
        "offloading": {"device": "a100", "bandwidth_gb_per_s": 32.0, "buffered_blocks": 2}
    }
    assert mine.routing.content() == {
        "petals": {"hop_overhead_ms": 18.0, "full_penalty_ms": 10_000.0}
    }
    assert (mine.admission, mine.charging, mine.service) == (None, None, None)


def test_options_reach_the_policy(configuration, published):
    point = single_point(
        configuration,
        "scattered",
        {
            "methods.petals.routing.hop_overhead_ms": 1e7,
            "methods.offloading.placement.buffered_blocks": 3,
            "admission.first_ms": 123,
        },
        ["petals", "offloading"],
    )
    asked = []
    runner = MethodRunner(drawn(point, published))
    runner.run(point.methods["petals"], 0.0, watch=lambda router: asked.append(router) or router)
    assert asked[0].options.hop_overhead_ms == 1e7
    # Each hop costs 10,000 s: no chain has more servers than it must.
    few = asked[0].route(drawn(point, published).design_request, 0.0)
    assert few.cost_ms >= 1e7 * len(few.servers)
    placement = runner.placement(point.methods["offloading"].placement, 0.0)
    model, memory_gb = placement.swarm.model, placement.swarm.memory_gb[0]
    expected = int((memory_gb - 3 * model.block_gb) / model.cache_gb_per_token)
    assert placement.cache_tokens.tolist() == [expected]
    assert point.scenario.admission.content() == {
        "reserve": {"first_ms": 123.0, "longest_ms": 60_000.0}
    }


def drawn(point, published):
    return draw(point.scenario, published, 1, 0)


def test_placements_that_differ_in_options_are_not_mixed_up(configuration, published):
    """One runner places for many methods, and keeps what it has placed."""
    point = single_point(configuration, "scattered", {}, ["offloading", "offloading_ssd"])
    runner = MethodRunner(drawn(point, published))
    tau_ms = [
        runner.placement(point.methods[name].placement, 0.0).swarm.tau_ms[0]
        for name in ("offloading", "offloading_ssd", "offloading")
    ]
    assert tau_ms[1] == pytest.approx(4 * tau_ms[0])
    assert tau_ms[2] == tau_ms[0]


def swept(configuration, **changes):
    sweep = configuration.sweeps["fig10"].model_copy(update={"set": {}, "runs": 1} | changes)
    return configuration.model_copy(update={"sweeps": {"fig10": sweep}})


def test_an_axis_reaches_an_option_of_a_method(configuration):
    settings = swept(
        configuration,
        axes={"methods.offloading.placement.bandwidth_gb_per_s": [8.0, 16.0, 32]},
        methods=["offloading", "petals"],
        delays=["none"],
    )
    points = sweep_points(settings, "fig10", "abovenet")
    assert [point.x for point in points] == [8, 16, 32]
    bandwidths = [
        point.methods["offloading"].placement.options.bandwidth_gb_per_s for point in points
    ]
    assert bandwidths == [8, 16, 32]
    assert {str(point.methods["petals"]) for point in points} == {
        str(configuration.methods["petals"])
    }
    table = run_sweep(settings, "fig10", "abovenet")
    remaining = table.groupby(["method", "x"], observed=True)["remaining_per_token_ms"].mean()
    # Transfers set the pace: 70 blocks of 1.3234 GB for every token.
    assert remaining["offloading"][8.0] == pytest.approx(70 * 1323.4 / 8, rel=1e-3)
    assert remaining["offloading"][16.0] == pytest.approx(70 * 1323.4 / 16, rel=1e-3)
    assert remaining["petals"].nunique() == 1


def test_an_axis_of_policies_replaces_the_choice_whole(configuration):
    settings = swept(
        configuration,
        axes={"methods.petals.routing": ["ws_rr", {"petals": {"hop_overhead_ms": 3}}]},
        methods=["petals"],
    )
    points = sweep_points(settings, "fig10", "abovenet")
    assert [point.methods["petals"].routing.content() for point in points] == [
        {"ws_rr": {}},
        {"petals": {"hop_overhead_ms": 3.0, "full_penalty_ms": 10_000.0}},
    ]
    assert [point.x for point in points] == [0, 1]


def test_an_axis_reaches_a_delay(configuration):
    settings = swept(
        configuration,
        axes={"delays.published.per_method_ms.petals": [0, 1_000, 300_000]},
        set={"workload.requests": 5},
        methods=["petals", "proposed"],
        delays=["published"],
    )
    points = sweep_points(settings, "fig10", "abovenet")
    assert [point.delays for point in points] == [
        {"published": {"petals": delay_ms, "proposed": 60_000}} for delay_ms in (0, 1_000, 300_000)
    ]
    table = run_sweep(settings, "fig10", "abovenet")
    first = table[table["request"] == 0].set_index(["method", "x"])["ttft_ms"]
    idle = first["petals"][0.0]
    assert first["petals"][1_000.0] == pytest.approx(idle + 1_000)
    assert first["petals"][300_000.0] == pytest.approx(idle + 300_000)
    assert first["proposed"].nunique() == 1


def test_a_new_delay_of_a_method_that_had_none_of_its_own(configuration):
    settings = swept(configuration, set={"delays.none.per_method_ms.petals": 7}, axes={})
    (point,) = sweep_points(settings, "fig10", "abovenet")
    assert point.delays["none"]["petals"] == 7
    assert {point.delays["none"][name] for name in point.methods if name != "petals"} == {0}


@pytest.mark.parametrize(
    "key, value, named, allowed",
    [
        ("methods.petals.routing.hop_overhead", 3, "methods.petals.routing.petals.hop_overhead",
         "did you mean hop_overhead_ms?"),
        ("methods.petals.routing", "petal", "methods.petals.routing", "did you mean petals?"),
        ("methods.petals.rooting", "ws_rr", "methods.petals.rooting", "did you mean routing?"),
        ("methods.petal.routing", "ws_rr", "methods.petal.routing", "methods.NAME of petals, "),
        ("methods.petals.label.x", 3, "methods.petals.label.x", "methods.petals.label is 'PETALS'"),
        ("methods.petals.admission.first_ms", 3, "methods.petals.admission.first_ms",
         "methods.petals.admission is None"),
        ("delays.publishd.all_ms", 3, "delays.publishd.all_ms", "delays.NAME of published, none"),
        ("delays.none.all_ms", -3, "delays.none.all_ms", "at least 0"),
        ("delays.none.per_method_ms.petals", "3", "delays.none.per_method_ms.petals", "a number"),
    ],
)  # fmt: skip
def test_what_a_point_sets_is_refused_by_its_full_key(configuration, key, value, named, allowed):
    settings = swept(configuration, set={key: value})
    error = only_error(lambda: sweep_points(settings, "fig10", "abovenet"))
    where = f"sweeps.fig10 of {configuration.where} on abovenet"
    assert_says(error, where, named, value, allowed)


def test_the_command_line_refuses_by_the_full_key(at_root, capsys):
    def printed(*arguments):
        assert main(["simulate", "scattered", "--runs", "1", *arguments]) == 2
        return capsys.readouterr().err

    text = printed("--set", "methods.petals.routing.petals_ms=3")
    assert "config/default.yaml: methods.petals.routing.petals.petals_ms: got 3" in text
    text = printed("--set", "admission=rety")
    assert "config/scenarios/scattered.yaml: admission: got 'rety'; allowed: did you mean" in text
    # What would change nothing is a mistake too.
    text = printed("--set", "methods.offloading.placement.device=mig")
    assert "methods.offloading.placement.device: got 'mig'" in text
    text = printed("--set", "delays.published.all_ms=3")
    assert "delays.published.all_ms: got 3; allowed: delays.NAME of none" in text
    text = printed("--delays", "publishd")
    assert "delays: got 'publishd'; allowed: published, none" in text


def test_options_are_in_the_schema():
    schema = json_schema()
    method = schema["configuration"]["$defs"]["Method"]["properties"]
    petals = copy.deepcopy(method["routing"])["anyOf"][1]["properties"]["petals"]
    assert petals["properties"]["hop_overhead_ms"]["default"] == 18.0
    assert petals["additionalProperties"] is False
    assert "cg_bp" in method["placement"]["anyOf"][0]["enum"]
