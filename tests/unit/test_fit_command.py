"""From a trace to files that scenarios name, and to the figure, by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bprr.commands.main import main
from bprr.figures.fit_time import draw_fit
from bprr.fit.profile import read_fit
from bprr.measure.shapes import ModelShape
from bprr.settings.configuration import load_settings
from bprr.settings.yaml_file import read_yaml

from .synthetic_trace import MANIFEST, Truth, write

ROOT = Path(__file__).parents[2]
SHAPE_OF_TOY = ModelShape.model_validate(MANIFEST["model"])


@pytest.fixture(scope="module")
def fit_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy-gpu")
    write(folder, Truth(per_batch=1.0), 0)
    output = folder / "fit"
    assert main(["fit", str(folder), "--name", "toy_gpu", "-o", str(output)]) == 0
    return output


def test_a_scenario_can_name_the_fit(fit_folder, tmp_path):
    own = tmp_path / "own.yaml"
    files = {f"{kind}_files": [str(fit_folder / f"{kind}.yaml")] for kind in ("device", "model")}
    own.write_text(json.dumps(files), encoding="utf-8")
    settings = load_settings(own)
    device = settings.all_devices["toy_gpu"]
    assert device.tau_ms == pytest.approx(5.0, rel=0.05)
    assert len(device.provenance["trace_sha256"]) == 64
    low, high = device.provenance["fit"]["tau_ms"]["interval"]
    assert low < device.tau_ms < high
    model = settings.all_models["toy_gpu_model"]
    assert model.cache_gb_per_token == pytest.approx(2 * 1000 / 4 * 4 / 1e9)
    shape = SHAPE_OF_TOY.language_model(4, 4)
    assert model.block_gb == shape.block_gb


def test_the_figure_names_its_device_and_what_fails(fit_folder, tmp_path):
    assert main(["plot", "fit", str(fit_folder), "-o", str(tmp_path / "fit.pdf")]) == 0
    assert {file.suffix for file in tmp_path.iterdir()} == {".pdf", ".png", ".csv"}
    figure = draw_fit(*read_fit(fit_folder))
    foot = figure.get_supxlabel()
    assert "invented" in foot
    assert "Refuted here of what the model says: “a step hardly takes longer" in foot


def test_refusals_reach_the_user(tmp_path, capsys):
    assert main(["fit", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert "trace.csv" in capsys.readouterr().err
    write(tmp_path, Truth(), 0)
    assert main(["fit", str(tmp_path), "-o", str(tmp_path / "o"), "--memory-gb", "1e6"]) == 2
    assert "memory_gb" in capsys.readouterr().err


def test_the_measured_scenario_names_what_the_fit_writes():
    """`config/measured.yaml` refers to files and names that the rule `fit` produces."""
    settings = read_yaml(ROOT / "config/measured.yaml")
    scenario = read_yaml(ROOT / "config/scenarios/measured.yaml")
    folder = Path(settings["device_files"][-1]).parent
    assert (ROOT / "data/traces" / folder.name / "trace.csv").exists()
    name = folder.name.replace("-", "_")
    assert scenario["fleet"]["rest"] == name
    assert scenario["model"] == f"{name}_model"
