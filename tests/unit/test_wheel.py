"""The wheel carries configuration and data, so that ``bprr`` works outside a checkout."""

import json
import os
import site
import subprocess
import sys
import venv

import pytest

FEW = ("--set", "workload.requests=5")


@pytest.fixture(scope="module")
def installed(root, tmp_path_factory):
    """An environment with nothing but the wheel, built here, and what it depends on."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=root, check=True, capture_output=True)
    (wheel,) = folder.glob("bprr-*.whl")
    venv.create(folder / "venv")
    install = [sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-deps", str(wheel)]
    install += ["--python", str(folder / "venv/bin/python")]
    subprocess.run(install, cwd=folder, check=True, capture_output=True)
    (packages,) = folder.glob("venv/lib/python*/site-packages")
    # What it depends on is there already; the checkout, which that environment names, is not.
    dependencies = [path for path in site.getsitepackages() if "site-packages" in path]
    (packages / "dependencies.pth").write_text("\n".join(dependencies), encoding="utf-8")
    return packages


@pytest.fixture
def bprr(installed, tmp_path):
    def run(*arguments, program="bprr"):
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(
            [str(installed.parents[2] / "bin" / program), *arguments],
            cwd=tmp_path,
            # Kernels need not be compiled again for what is tested here.
            env={**environment, "NUMBA_DISABLE_JIT": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_it_holds_what_the_shipped_configuration_names(root, installed):
    shipped = installed / "bprr" / "shipped"
    for folder in ("config", "config/scenarios", "data/published", "data/topologies"):
        here = {path.name for path in (root / folder).iterdir() if path.is_file()}
        assert {path.name for path in (shipped / folder).iterdir() if path.is_file()} == here
    for name in ("config/default.yaml", "data/published/devices.yaml"):
        assert (shipped / name).read_bytes() == (root / name).read_bytes()
    traces = {path.name for path in (shipped / "data/traces").iterdir()}
    assert traces == {"bursts.csv", "mixed_lengths.csv"}  # not what is measured


def test_a_scenario_is_simulated_from_an_empty_folder(installed, bprr, tmp_path):
    printed = bprr("simulate", "scattered", "--runs", "1", *FEW)
    lines = printed.splitlines()[:3]
    assert [line.split()[0] for line in lines] == ["method", "PETALS", "Proposed"]
    assert (
        json.loads(bprr("solve", "clustered", "--requests", "2", "--json"))["status"] == "optimal"
    )
    assert not list(tmp_path.iterdir())
    assert str(installed) in bprr("check")


def test_a_sweep_writes_to_the_working_folder(bprr, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "runs: 1\nsweeps: {fig10: {axes: {workload.requests: [3]}, methods: [petals, proposed]}}\n"
    )
    bprr("sweep", "fig10", "abovenet", "--config", "mine.yaml")
    assert (tmp_path / "results" / "sweeps" / "fig10_abovenet.parquet").exists()
    code = "import bprr; print(bprr.load_scenario('clustered').where, bprr.load_settings().where)"
    assert bprr("-c", code, program="python").count("shipped/config/") == 2
