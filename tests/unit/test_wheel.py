"""The wheel carries configuration and data, so that ``bprr`` works outside a checkout."""

import os
import subprocess
import sys
import zipfile

import pytest

FEW = ("--set", "workload.requests=5")


@pytest.fixture(scope="module")
def unpacked(root, tmp_path_factory):
    """Folder with the contents of a wheel built here, offline."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=root, check=True, capture_output=True)
    (wheel,) = folder.glob("bprr-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def python(unpacked, tmp_path):
    def run(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            # Kernels need not be compiled again for what is tested here.
            env={**os.environ, "PYTHONPATH": str(unpacked), "NUMBA_DISABLE_JIT": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_it_holds_what_the_shipped_configuration_names(root, unpacked):
    shipped = unpacked / "bprr" / "shipped"
    for folder in ("config", "config/scenarios", "data/published", "data/topologies"):
        here = {path.name for path in (root / folder).iterdir() if path.is_file()}
        assert {path.name for path in (shipped / folder).iterdir() if path.is_file()} == here
    for name in ("config/default.yaml", "data/published/devices.yaml"):
        assert (shipped / name).read_bytes() == (root / name).read_bytes()
    assert not (shipped / "data" / "traces").exists()


def test_a_scenario_is_simulated_from_an_empty_folder(unpacked, python, tmp_path):
    printed = python("-m", "bprr", "simulate", "scattered", "--runs", "1", *FEW)
    lines = printed.splitlines()[:3]
    assert [line.split()[0] for line in lines] == ["method", "PETALS", "Proposed"]
    assert not list(tmp_path.iterdir())
    assert str(unpacked) in python("-m", "bprr", "check")


def test_a_sweep_writes_to_the_working_folder(python, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "runs: 1\nsweeps: {fig10: {axes: {workload.requests: [3]}, methods: [petals, proposed]}}\n"
    )
    python("-m", "bprr", "sweep", "fig10", "abovenet", "--config", "mine.yaml")
    assert (tmp_path / "results" / "sweeps" / "fig10_abovenet.parquet").exists()
    code = "import bprr; print(bprr.load_scenario('clustered').where, bprr.load_settings().where)"
    assert python("-c", code).count("shipped/config/") == 2
