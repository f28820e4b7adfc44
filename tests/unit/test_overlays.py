"""Files laid over the shipped defaults, paths relative to their file, other working folders."""

import os
import subprocess
import sys

import pandas as pd
import pytest
import yaml

from bprr.commands.main import main
from bprr.ground.errors import InputError
from bprr.scenario.scenario import load_scenario
from bprr.settings.configuration import load_settings
from bprr.settings.overrides import located, overlaid, parse_override, with_overrides
from bprr.study.api import place, simulate
from bprr.study.points import sweep_points

GRAPH = """NODES 4
label x y
a 0 0
b 1 1
c 2 2
d 3 3
EDGES 3
label src dest weight bw delay
e0 0 1 1 1 100
e1 1 2 1 1 100
e2 2 3 1 1 100
"""
TRACE = "timestamp,input_tokens,output_tokens\n0,20,128\n2,10,64\n10,5,3\n"


def test_an_overlay_says_only_what_differs(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("runs: 3\nmethods: {petals: {label: Mine}}\nsweeps: {fig7: {title: Other}}\n")
    shipped, mine = load_settings(), load_settings(path)
    assert (mine.runs, mine.seed, mine.where) == (3, shipped.seed, str(path))
    assert mine.methods["petals"].label == "Mine"
    assert mine.methods["petals"].routing == shipped.methods["petals"].routing
    assert mine.sweeps["fig7"].title == "Other"
    assert mine.sweeps["fig7"].axes == shipped.sweeps["fig7"].axes
    assert list(mine.sweeps) == list(shipped.sweeps)
    assert mine.all_devices == shipped.all_devices


def test_overlays_lie_over_each_other_in_order(tmp_path):
    for name, text in (("a", "runs: 3\nseed: 1\n"), ("b", "runs: 4\n")):
        (tmp_path / f"{name}.yaml").write_text(text)
    both = load_settings(tmp_path / "a.yaml", tmp_path / "b.yaml")
    assert (both.runs, both.seed) == (4, 1)


def test_the_shipped_file_laid_over_itself_changes_nothing(root):
    assert load_settings(root / "config" / "default.yaml") == load_settings()


@pytest.mark.parametrize(
    "written, content",
    [
        ("exact", {"exact": {}}),
        ({"petals": {"hop_overhead_ms": 3}},
         {"petals": {"hop_overhead_ms": 3.0, "full_penalty_ms": 10_000.0}}),
        # Options of one policy are no options of another one.
        ({"petals_oversubscription": {}},
         {"petals_oversubscription": {"hop_overhead_ms": 18.0, "full_penalty_ms": 10_000.0}}),
    ],
)  # fmt: skip
def test_the_choice_of_a_policy_is_replaced_whole(tmp_path, written, content):
    below, above = tmp_path / "below.yaml", tmp_path / "above.yaml"
    below.write_text(
        "methods: {petals: {routing: {petals: {full_penalty_ms: 5, hop_overhead_ms: 6}}}}\n"
    )
    above.write_text(yaml.safe_dump({"methods": {"petals": {"routing": written}}}))
    first = load_settings(below).methods["petals"].routing
    assert first.content() == {"petals": {"hop_overhead_ms": 6.0, "full_penalty_ms": 5.0}}
    assert load_settings(below, above).methods["petals"].routing.content() == content


def test_a_single_option_leaves_the_others(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("methods: {petals: {routing: {petals: {full_penalty_ms: 5}}}}\n")
    mine = load_settings(path, overrides={"methods.petals.routing.hop_overhead_ms": 6})
    options = mine.methods["petals"].routing.options
    assert (options.full_penalty_ms, options.hop_overhead_ms) == (5, 6)


def test_lists_and_values_are_replaced_and_mappings_merge():
    below = {"a": {"b": [1, 2], "c": 1, "d": {"e": 1}}, "f": 1}
    above = {"a": {"b": [3], "d": {"g": 2}}, "f": {"h": 1}}
    assert overlaid(below, above) == {
        "a": {"b": [3], "c": 1, "d": {"e": 1, "g": 2}},
        "f": {"h": 1},
    }
    assert below == {"a": {"b": [1, 2], "c": 1, "d": {"e": 1}}, "f": 1}


def test_single_keys_lead_through_mappings_only():
    with pytest.raises(InputError, match=r"here: a\.b\.c: got 2; allowed: .*a\.b is 1"):
        with_overrides({"a": {"b": 1}}, {"a.b.c": 2}, "here")
    content = {"routing": "petals", "placement": {"x": None}}
    changed = with_overrides(content, {"routing.c": 1, "placement.d": 2, "admission.e": 3})
    assert changed["routing"] == {"petals": {"c": 1}}
    assert changed["placement"] == {"x": {"d": 2}}
    assert content == {"routing": "petals", "placement": {"x": None}}


# Where paths begin


def files_in(folder):
    """A device, a network, a trace, a policy, scenarios and a configuration that name them."""
    for name in ("data", "scenes", "conf"):
        (folder / name).mkdir(parents=True)
    device = "tau_ms: 3, prefill_ms: 3, memory_gb: 90, forward_rps: 100, network_rps: 100"
    (folder / "data" / "d.yaml").write_text(f"own: {{{device}}}\n")
    (folder / "data" / "n.graph").write_text(GRAPH)
    (folder / "data" / "t.csv").write_text(TRACE)
    (folder / "data" / "p.py").write_text("LOADED = True\n")
    scenario = {
        "network": {"kind": "repetita", "file": "../data/n.graph"},
        "fleet": {"servers": 3, "rest": "own"},
        "overheads": {"token_ms": 1, "prompt_ms": 1, "initial_ms": 1},
        "workload": {"kind": "trace", "file": "../data/t.csv"},
    }
    (folder / "scenes" / "mine.yaml").write_text(yaml.safe_dump(scenario))
    configuration = {
        "device_files": ["../data/d.yaml"],
        "policy_files": ["../data/p.py"],
        "scenario_dir": "../scenes",
        "sweeps": {
            "mine": {
                "scenario": "mine",
                "topologies": ["here"],
                "axes": {"workload.file": ["../data/t.csv"], "network.file": ["../data/n.graph"]},
                "methods": ["proposed"],
                "delays": ["none"],
                "runs": 1,
            }
        },
        "topologies": {"here": {"set": {"network.file": "../data/n.graph"}}},
    }
    # Only this sweep: the others' scenarios lie elsewhere.
    (folder / "conf" / "mine.yaml").write_text(yaml.safe_dump(configuration))
    return folder


def test_paths_begin_at_the_folder_of_their_file(tmp_path, monkeypatch):
    folder = files_in(tmp_path / "my place")
    monkeypatch.chdir(tmp_path)
    settings = load_settings(folder / "conf" / "mine.yaml")
    assert "own" in settings.all_devices and "a100" not in settings.all_devices
    (point,) = sweep_points(settings, "mine", "here")
    files = point.scenario.files(settings.topology_dir)
    # Seen from the working folder, so that results do not say where it lies.
    assert list(map(str, files)) == ["my place/data/n.graph", "my place/data/t.csv"]
    assert settings.topology_dir.is_absolute()
    assert (settings.topology_dir / "abovenet.nodes.csv").exists()

    scenario = load_scenario(folder / "scenes" / "mine.yaml")
    assert scenario.where == "my place/scenes/mine.yaml"
    table = simulate(scenario, runs=1, settings=settings)
    assert table["input_tokens"].tolist() == [20, 10, 5]
    assert table["servers"].tolist() == [3, 3, 3]
    assert place(scenario, settings=settings).swarm.device == ("own",) * 3


def test_paths_of_the_command_line_begin_at_the_working_folder(tmp_path, monkeypatch, capsys):
    folder = files_in(tmp_path / "place")
    monkeypatch.chdir(folder / "data")
    assert parse_override("workload.file=t.csv") == ("workload.file", "t.csv")
    arguments = ["../scenes/mine.yaml", "--config", "../conf/mine.yaml", "--runs", "1"]
    (folder / "data" / "two.csv").write_text(TRACE.replace("10,5,3\n", ""))
    out = ["--set", "workload.file=two.csv", "--method", "proposed", "-o", "out.parquet"]
    assert main(["simulate", *arguments, *out]) == 0
    assert "2 requests in out.parquet" in capsys.readouterr().out
    assert main(["simulate", *arguments, "--set", "workload.file=data/t.csv"]) == 2
    assert "data/t.csv: file: got 'No such file" in capsys.readouterr().err


def test_only_relative_paths_are_moved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = {
        "file": "a.csv",
        "device_files": ["/d.yaml", "e.yaml", "../f.yaml"],
        "axes": {
            "workload.file": ["b.csv"],
            "network.file": {"x": ["n.graph"]},
            "files": ["c.csv"],
            "workload": {"x": [{"kind": "trace", "file": "t.csv"}]},
        },
        "title": "file",
        "topology_dir": None,
    }
    assert located(content, tmp_path / "inside") == {
        "file": "inside/a.csv",
        "device_files": ["/d.yaml", "inside/e.yaml", "f.yaml"],
        "axes": {
            "workload.file": ["inside/b.csv"],
            "network.file": {"x": ["inside/n.graph"]},
            "files": ["c.csv"],
            "workload": {"x": [{"kind": "trace", "file": "inside/t.csv"}]},
        },
        "title": "file",
        "topology_dir": None,
    }
    assert located({"file": "a.csv"}, tmp_path.parent) == {"file": str(tmp_path.parent / "a.csv")}


def test_another_working_folder_gives_the_same(tmp_path, root):
    def requests(folder, *config):
        out = tmp_path / f"{folder.name}.parquet"
        arguments = ["simulate", "scattered", "--runs", "1", "-o", str(out), *config]
        done = subprocess.run(
            [sys.executable, "-m", "bprr", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(root / "src")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return pd.read_parquet(out)

    empty = tmp_path / "empty"
    empty.mkdir()
    here = requests(root)
    assert here.equals(requests(empty))
    assert not list(empty.iterdir())
    # And from a folder with a configuration of its own, laid over the shipped one.
    (empty / "mine.yaml").write_text("seed: 7\n")
    assert not here.equals(requests(empty, "--config", "mine.yaml"))


def test_a_program_may_change_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_settings().where.endswith("config/default.yaml")
    assert load_scenario("scattered").model == "bloom_176b"
    assert load_settings().scenario("clustered")[0]["model"] == "bloom_176b"
    with pytest.raises(InputError, match=r"scenario: got 'scatered'; allowed: a file, or cluster"):
        load_settings().scenario("scatered")


def test_what_is_set_stays_as_it_was_when_more_is_set_below_it() -> None:
    whole = {"churn": {"exponential": {"mean_down_s": 900}}}
    for mean_up_s in (1, 2):
        made = with_overrides({}, {**whole, "churn.mean_up_s": mean_up_s})
        assert made["churn"]["exponential"] == {"mean_down_s": 900, "mean_up_s": mean_up_s}
    assert whole == {"churn": {"exponential": {"mean_down_s": 900}}}
