"""A sweep spread over jobs is the same to the byte; what is missing or foreign is refused."""

import json
import shutil

import pytest
import yaml

from bprr.commands.main import main
from bprr.ground.errors import InfeasibleError
from bprr.ground.storage import read_provenance, read_table
from bprr.settings.configuration import load_settings
from bprr.study.method import MethodRunner
from bprr.study.parts import parts_of
from bprr.study.slices import sweep_slice

RUNS = 5
SETTINGS = {
    "runs": RUNS,
    "sweeps": {
        "fig7": {
            "axes": {"fleet.servers": [10, 15]},
            "set": {"workload.requests": 3},
            "methods": ["petals", "proposed"],
            "topologies": ["abovenet"],
        },
        "fig10_service": {
            "topologies": ["abovenet"],
            "axes": {"workload.output_tokens": [16]},
            "set": {"workload.requests": 3},
            "runs": RUNS,
        },
    },
}


@pytest.fixture
def sweep(at_root, tmp_path):
    """Runs a command on some runs of a sweep; returns its exit status and output file."""

    def run(name, runs, *words, out):
        slice_ = sweep_slice(settings, name, "abovenet", runs)
        slice_.write(str(tmp_path))
        path = tmp_path / out
        config = ["--config", slice_.path(str(tmp_path)), "-o", str(path)]
        words = [str(word) for word in words]
        command, words = ("merge", words) if "--first-run" not in words else ("sweep", words)
        return main([command, name, "abovenet", *words, *config]), path

    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(SETTINGS))
    settings = load_settings(tmp_path / "mine.yaml")
    return run


def made(sweep, name, size, runs=RUNS):
    parts = []
    for part in parts_of(runs, size):
        found = sweep(name, part.stop, "--first-run", part.start, out=f"{name}.{part}.{size}")
        assert found[0] == 0
        parts.append(found[1])
    return parts


@pytest.fixture
def sometimes_infeasible(monkeypatch):
    """The baseline finds no placement in some runs: columns lack values, and so change type."""
    run = MethodRunner.run

    def sometimes(self, method, *arguments):
        if method.placement.name == "petals" and self._instance.join_order[0] < 5:
            raise InfeasibleError("memory", "1 GB", "none")
        return run(self, method, *arguments)

    monkeypatch.setattr(MethodRunner, "run", sometimes)


@pytest.mark.parametrize("name", ["fig7", "fig10_service"])
def test_the_same_bytes_however_it_is_spread(sweep, name, sometimes_infeasible):
    status, whole = sweep(name, RUNS, "--first-run", 0, out="whole.parquet")
    assert status == 0
    for size in (1, 2, RUNS):
        parts = made(sweep, name, size)
        assert len(parts) == -(-RUNS // size)
        status, path = sweep(name, RUNS, *reversed(parts), out=f"{size}.parquet")
        assert status == 0
        assert path.read_bytes() == whole.read_bytes()
    table = read_table(whole)
    statuses = table.groupby("method", observed=True)["status"].unique()
    placed_as_petals = {"petals", "optimized_rr"} & set(statuses.index)
    assert {method for method, each in statuses.items() if len(each) > 1} == placed_as_petals


def test_only_new_runs_are_computed(sweep):
    first = made(sweep, "fig7", 2, runs=4)
    before = [path.read_bytes() for path in first]
    again = made(sweep, "fig7", 2, runs=6)
    assert [path.read_bytes() for path in again[:2]] == before


def test_a_whole_is_taken_as_the_first_part_unless_anything_differs(sweep, tmp_path, capsys):
    _, whole = sweep("fig7", 2, "--first-run", 0, out="whole.parquet")
    for runs, taken in ((2, True), (3, False)):
        capsys.readouterr()
        words = ("--first-run", 0, "--known", whole)
        status, part = sweep("fig7", runs, *words, out=f"{runs}.parquet")
        assert status == 0
        assert ("taken from" in capsys.readouterr().out) == taken
        assert (part.read_bytes() == whole.read_bytes()) == taken
    status, part = sweep("fig7", 2, "--first-run", 1, "--known", whole, out="part.parquet")
    assert status == 0
    assert set(read_table(part)["run"]) == {1}


def test_a_part_does_not_pass_for_the_whole(sweep):
    _, whole = sweep("fig7", 2, "--first-run", 0, out="whole.parquet")
    _, part = sweep("fig7", 2, "--first-run", 1, out="part.parquet")
    digests = {read_provenance(path)["settings_hash"] for path in (whole, part)}
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda parts: parts[:1] + parts[2:], "runs: got '2 to 3 missing'"),
        (lambda parts: parts[:2], "end with 3"),
        (lambda parts: [*parts, parts[1]], "2 to 3 twice"),
        (lambda parts: [*parts[:2], parts[1]], "2 to 3 twice"),
    ],
)
def test_each_run_has_to_be_in_one_part(sweep, capsys, change, said):
    parts = change(made(sweep, "fig7", 2))
    assert sweep("fig7", RUNS, *parts, out="whole.parquet") == (
        2,
        parts[0].parent / "whole.parquet",
    )
    assert said in capsys.readouterr().err
    assert not (parts[0].parent / "whole.parquet").exists()


def test_a_part_of_anything_else_is_refused(sweep, capsys, tmp_path):
    parts = made(sweep, "fig7", 3)
    foreign = made(sweep, "fig10_service", 3)
    assert sweep("fig7", RUNS, parts[0], foreign[1], out="whole.parquet")[0] == 2
    assert "settings_hash" in capsys.readouterr().err
    shutil.copyfile("config/default.yaml", tmp_path / "text.parquet")
    assert sweep("fig7", RUNS, parts[0], tmp_path / "text.parquet", out="whole.parquet")[0] == 2
    assert "a readable Parquet file" in capsys.readouterr().err


def test_runs_that_there_are_not_are_refused(sweep, capsys):
    assert sweep("fig7", 2, "--first-run", 2, out="part.parquet")[0] == 2
    assert "--first-run" in capsys.readouterr().err


def test_the_size_of_the_parts_is_no_setting_of_a_result(sweep, tmp_path):
    settings = {
        size: load_settings(tmp_path / "mine.yaml", overrides={"runs_per_job": size})
        for size in (1, 200)
    }
    slices = [sweep_slice(each, "fig7", "abovenet").content for each in settings.values()]
    assert json.dumps(slices[0]) == json.dumps(slices[1])
