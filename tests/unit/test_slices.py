"""Slices of the settings: complete, the same when cut again, and changed by what a job reads."""

import json
from pathlib import Path

import pytest
import yaml

from bprr.commands.main import main
from bprr.ground.errors import InputError, InputErrors
from bprr.ground.storage import read_table
from bprr.settings.configuration import load_settings, settings_of
from bprr.study.points import sweep_points
from bprr.study.slices import Slice, settings_at, sweep_slice, sweeps_slice
from bprr.study.sweep import run_sweep

# As `bprr fit` may write them: whole numbers where the schema has reals, and remarks.
FITTED = """
{name}:
  title: A CPU
  tau_ms: 40
  prefill_ms: 3
  memory_gb: 8
  forward_rps: 10
  network_rps: 1000
  source: measured here
  provenance: {{host: here, cores: 2}}
"""
MODEL = """
{name}: {{blocks: 24, d_model: 2048, max_sequence_tokens: 2048, block_gb: 1, source: here}}
"""


def jobs(settings):
    return [(name, place) for name, sweep in settings.sweeps.items() for place in sweep.topologies]


def cut_again(part, name, *pairs):
    return sweeps_slice(settings_of(json.loads(part.text), "slice"), name, pairs)


@pytest.mark.parametrize("pair", jobs(load_settings()), ids="_".join)
def test_a_slice_of_a_slice_is_the_same(configuration, pair):
    part = sweep_slice(configuration, *pair)
    assert cut_again(part, part.name, pair).text == part.text


def test_a_slice_of_several_sweeps_is_the_same_when_cut_again(configuration):
    pairs = [("table6", "abovenet"), ("table3", "cluster0"), ("table6", "gts_ce")]
    part = sweeps_slice(configuration, "timing", pairs, ["petals", "proposed"])
    again = sweeps_slice(
        settings_of(json.loads(part.text), "x"), "timing", pairs, ["petals", "proposed"]
    )
    assert again.text == part.text


@pytest.fixture
def measured(tmp_path, root):
    """config/measured.yaml, its fitted device and model at hand."""
    (tmp_path / "device.yaml").write_text(FITTED.format(name="cpu_amd_epyc"))
    (tmp_path / "model.yaml").write_text(MODEL.format(name="cpu_amd_epyc_model"))
    content = yaml.safe_load((root / "config" / "measured.yaml").read_text())
    for key, name in (("device_files", "device.yaml"), ("model_files", "model.yaml")):
        files = [root / "config" / path for path in content[key]]
        content[key] = [str(files[0]), str(tmp_path / name)]
    (tmp_path / "measured.yaml").write_text(yaml.safe_dump(content))
    return load_settings(tmp_path / "measured.yaml")


def test_a_slice_with_a_measured_device_is_the_same_when_cut_again(measured):
    part = sweep_slice(measured, "servers", "abovenet")
    assert set(part.content["devices"]) == {"cpu_amd_epyc"}
    assert set(part.content["models"]) == {"cpu_amd_epyc_model"}
    assert cut_again(part, part.name, ("servers", "abovenet")).text == part.text


def test_a_file_that_is_still_to_be_made_is_kept_by_name(measured, tmp_path):
    made = sweep_slice(measured, "servers", "abovenet")
    assert (made.content["device_files"], made.content["model_files"]) == ([], [])
    (tmp_path / "device.yaml").unlink()
    before = sweep_slice(load_settings(tmp_path / "measured.yaml"), "servers", "abovenet")
    assert before.content["device_files"] == [str(tmp_path / "device.yaml")]
    assert before.content["devices"] == {}
    assert cut_again(before, before.name, ("servers", "abovenet")).text == before.text


def test_a_sweep_gives_the_same_from_its_slice(configuration, tmp_path):
    small = {"axes": {"fleet.servers": [6, 10]}, "set": {"workload.requests": 5}, "runs": 2}
    sweep = configuration.sweeps["fig7"].model_copy(update=small)
    settings = configuration.model_copy(update={"sweeps": {"fig7": sweep}})
    part = sweep_slice(settings, "fig7", "abovenet")
    part.write(str(tmp_path))
    from_slice = run_sweep(settings_at(path_of(part, tmp_path)), "fig7", "abovenet")
    assert from_slice.equals(run_sweep(settings, "fig7", "abovenet"))


def path_of(part, folder):
    return Path(part.path(str(folder)))


PAIR = ("fig7", "abovenet")
DEVICES = "data/published/devices.yaml"

UNREAD = {
    "label of a method": {"methods.petals.label": "Petals!"},
    "title": {"sweeps.fig7.title": "Other", "sweeps.fig7.x_label": "C"},
    "figure of the paper": {"sweeps.fig7.paper": "Figure 70"},
    "label of a topology": {"topologies.abovenet.label": "Above"},
    "label and source of delays": {"delays.none.label": "no", "delays.none.source": "guessed"},
    "confidence": {"confidence": 0.9},
    "compared pair": {"compared.baseline": "optimized_rr"},
    "folders": {"results_dir": "elsewhere", "figures_dir": "figures2"},
    "solver": {"solver": "cbc", "offline.time_limit_s": 5.0},
    "method that it leaves out": {"methods.offloading_ssd.routing": "exact"},
    "new method": {"methods.mine": {"placement": "gsa", "routing": "exact"}},
    "topology that it leaves out": {"topologies.gts_ce.set": {"network.name": "abovenet"}},
    "delays that it leaves out": {"delays.petals_for_all.all_ms": 1},
    "other sweep": {"sweeps.fig8.runs": 3},
    "values of another topology": {"sweeps.fig7.axes": {"fleet.servers": {
        "abovenet": [6, 10, 15, 20, 22], "default": [3]}}},
    "unused device": {"devices.mine": {"tau_ms": 1, "prefill_ms": 1, "memory_gb": 1,
                                       "forward_rps": 1, "network_rps": 1}},
    "default said": {"methods.petals.routing": {"petals": {"hop_overhead_ms": 18}}},
}  # fmt: skip
READ = {
    "seed": {"seed": 7},
    "runs": {"runs": 7},
    "runs of the sweep": {"sweeps.fig7.runs": 7},
    "delay of a method": {"delays.published.per_method_ms.proposed": 1},
    "delay of all": {"delays.none.all_ms": 1},
    "variants": {"sweeps.fig7.delays": ["none"]},
    "option": {"methods.petals.routing.hop_overhead_ms": 19},
    "policy": {"methods.proposed.routing": "exact"},
    "methods": {"sweeps.fig7.methods": ["petals", "proposed"]},
    "key that it sets": {"sweeps.fig7.set": {"workload.requests": 51}},
    "values": {"sweeps.fig7.axes": {"fleet.servers": [6]}},
    "its topology": {"topologies.abovenet.set": {"network.name": "gts_ce"}},
    "device of the same name": {"device_files": [], "devices": {
        name: {"tau_ms": 3, "prefill_ms": 1, "memory_gb": 90, "forward_rps": 1, "network_rps": 1}
        for name in ("a100", "mig", "mig_26")
    }},
}  # fmt: skip


@pytest.mark.parametrize("change", UNREAD.values(), ids=list(UNREAD))
def test_what_a_sweep_does_not_read_leaves_its_slice(at_root, change):
    before = sweep_slice(load_settings(), *PAIR)
    assert sweep_slice(load_settings(overrides=change), *PAIR).text == before.text


@pytest.mark.parametrize("change", READ.values(), ids=list(READ))
def test_what_a_sweep_reads_changes_its_slice(at_root, change):
    before = sweep_slice(load_settings(), *PAIR)
    after = sweep_slice(load_settings(overrides=change), *PAIR)
    assert after.digest != before.digest
    assert after.path("r") != before.path("r")


@pytest.mark.parametrize(
    "old, new, changes",
    [
        ("tau_ms: 3.2197", "tau_ms: 3.22", True),
        ("memory_gb: 9.1", "memory_gb: 9.2", True),
        ("title: A100 80GB\n", "title: A100\n", False),
        ("source: ", "source: seen in ", False),
        ("memory_gb: 79.138427734375", "memory_gb: 80.0", False),  # of a device of other sweeps
        ("# tau_ms: decode", "# decode", False),
    ],
)
def test_constants_of_devices(tmp_path, root, old, new, changes):
    text = (root / DEVICES).read_text()
    slices = []
    for each in (text, text.replace(old, new)):
        path = tmp_path / "devices.yaml"
        path.write_text(each)
        settings = load_settings(overrides={"device_files": [str(path)]})
        slices.append(sweep_slice(settings, *PAIR))
    assert old in text
    assert (slices[0].digest != slices[1].digest) is changes


def test_the_scenario_is_in_the_slice(tmp_path, root):
    scattered = (root / "config/scenarios/scattered.yaml").read_text()
    slices = []
    for text in (scattered, f"# a remark\n{scattered}", scattered.replace("0.5", "0.6")):
        (tmp_path / "scattered.yaml").write_text(text)
        settings = load_settings(overrides={"scenario_dir": str(tmp_path)})
        slices.append(sweep_slice(settings, *PAIR).digest)
    assert slices[0] == slices[1] != slices[2]


def test_a_slice_holds_what_its_own_topology_needs(at_root):
    """So a value for another topology reruns nothing here, and a scenario for all stays one."""
    topologies = load_settings().sweeps["fig9"].topologies
    by_place = dict.fromkeys(topologies, "clustered") | {"abovenet": "scattered"}
    settings = load_settings(overrides={"sweeps.fig9.scenario": by_place})
    content = sweep_slice(settings, "fig9", "abovenet").content
    own = content["sweeps"]["fig9"]
    assert own["scenario"] == {"abovenet": "scattered"}
    assert own["topologies"] == ["abovenet"]
    assert set(content["scenarios"]) == {"scattered"} and set(content["topologies"]) == {"abovenet"}
    shipped = sweep_slice(load_settings(), "fig9", "abovenet").content
    assert shipped["sweeps"]["fig9"]["scenario"] == "scattered"


def test_a_slice_is_written_once_and_a_changed_one_refused(configuration, tmp_path):
    part = sweep_slice(configuration, *PAIR)
    path = path_of(part, tmp_path)
    part.write(str(tmp_path))
    assert settings_at(path).seed == configuration.seed
    modified = path.stat().st_mtime_ns
    part.write(str(tmp_path))
    assert path.stat().st_mtime_ns == modified

    path.write_text(part.text.replace('"seed": 2025', '"seed": 2026'))
    with pytest.raises(InputError, match=r"changed since it was written"):
        settings_at(path)
    for text in ("", "[]", part.text[:-10]):
        path.write_text(text)
        with pytest.raises(InputError) as refused:
            settings_at(path)
        assert str(path) in refused.value.where
    path.write_text(json.dumps(part.content))  # the same settings, other spacing: as they were
    assert settings_at(path).seed == configuration.seed


def test_a_slice_holds_nothing_but_settings(configuration, tmp_path):
    part = Slice("mine", {**sweep_slice(configuration, *PAIR).content, "colour": "red"})
    part.write(str(tmp_path))
    with pytest.raises(InputErrors, match="colour: got 'red'"):
        settings_at(path_of(part, tmp_path))


def test_a_copy_of_settings_forgets_what_was_derived(configuration):
    before = sweep_points(configuration, "fig7", "abovenet")
    configuration.all_devices  # noqa: B018
    assert sweep_points(configuration, "fig7", "abovenet")[0] is before[0]
    changed = configuration.model_copy(
        update={"sweeps": {"fig7": configuration.sweeps["fig9"]}, "devices": {}}
    )
    assert sweep_points(changed, "fig7", "abovenet") != before
    assert changed.derived is not configuration.derived


def test_sweeps_are_timed_by_a_slice_of_theirs_alone(at_root, tmp_path, capsys):
    few = {"sweeps.fig7.axes": {"fleet.servers": {"default": [10]}}}
    pair = ("fig7", "abovenet")
    part = sweeps_slice(load_settings(overrides=few), "timed", [pair], ["petals", "proposed"])
    path, output = tmp_path / f"timed.{part.digest}.json", tmp_path / "sweeps.parquet"
    path.write_text(part.text, encoding="utf-8")
    command = ["time", "--sweeps", "fig7", "--repeats", "1", "--config", str(path)]
    assert main([*command, "-o", str(output)]) == 0
    assert set(read_table(output)["method"]) == {"petals", "proposed"}
    assert main([*command[:2], "table3", *command[3:]]) == 2
    assert "table3" in capsys.readouterr().err
