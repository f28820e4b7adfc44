"""The campaign in its small form, and that it would notice."""

import json
import random
import sys

import pytest

from tests.campaign import inputs, kills
from tests.campaign.finding import Finding, Skipped
from tests.campaign.main import FIGURES, PARTS, main, tried
from tests.campaign.projects import broken, differing


def test_some_mutated_inputs_at_every_door(capsys):
    faults, figures = tried("inputs", seed=7, tries=len(inputs.DOORS))
    assert faults == []
    assert figures["tries"] == len(inputs.DOORS)
    assert 0 < figures["most_gb"] < 2


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("raise ValueError('Traceback')", "traceback"),
        ("return 70", "status 70"),
        ("os.kill(os.getpid(), 15)", "status -15"),
        ("time.sleep(9)", "still running"),
        ("return 2", ""),
    ],
)
def test_what_a_command_should_not_do_is_noticed(tmp_path, monkeypatch, code, fault):
    lines = ["import os, time", "def main(words):", f"    {code}"]
    names: dict[str, object] = {}
    exec("\n".join(lines), names)
    monkeypatch.setattr("bprr.commands.main.main", names["main"])
    monkeypatch.setattr(inputs, "MOST_S", 1.0)
    found = inputs.forked(["check"], tmp_path)
    assert (fault in found.fault) if fault else not found.fault


def test_mutations_are_the_same_for_a_seed():
    drawn = [
        [inputs.mutation(b"runs: 1\na: b\n", random.Random(seed)) for _ in range(3)]
        for seed in (1, 1)
    ]
    assert drawn[0] == drawn[1]
    assert all(inputs.mutation(b"runs: 1\n", random.Random(seed))[1] != b"" for seed in (3, 4))


def test_tables_that_differ_and_broken_ones_are_found(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        (folder / "results").mkdir(parents=True)
        (folder / "results/a.csv").write_text("x\n1\n")
    assert differing(one, other) == []
    (other / "results/a.csv").write_text("x\n2\n")
    (other / "results/b.parquet").write_text("no table")
    assert differing(one, other) == ["results/a.csv", "results/b.parquet"]
    assert differing(one, other, missing=False) == ["results/a.csv"]
    assert broken(one) == []
    assert broken(other) == [str(other / "results/b.parquet")]
    (other / "results/table8.csv").write_text("1")
    assert "results/table8.csv" not in differing(one, other)


@pytest.mark.parametrize(
    ("code", "after_s", "status"),
    [("", 60, 0), ("raise SystemExit(3)", 60, 3), ("import time; time.sleep(60)", 0.5, None)],
)
def test_a_run_that_fails_by_itself_is_no_kill(tmp_path, monkeypatch, code, after_s, status):
    monkeypatch.setattr(kills, "command", lambda arguments: [sys.executable, "-c", *arguments])
    assert kills.killed_run(tmp_path, [code], after_s, with_jobs=True) == status


def test_figures_are_kept_by_part(tmp_path, monkeypatch, capsys):
    def run(tries, chance, folder):
        yield Finding("well", seconds=2.0)
        yield Finding("not well", "lost", gb=0.5)
        raise Skipped("no disk")

    monkeypatch.setattr("tests.campaign.places.run", run)
    path = tmp_path / "figures.json"
    path.write_text('{"inputs": {"tries": 3}}')
    assert main(["places", "--out", str(path)]) == 1
    said = json.loads(path.read_text())
    assert said["inputs"] == {"tries": 3}
    places = {"tries": 2, "faults": 1, "longest_s": 2.0, "most_gb": 0.5, "skipped": "no disk"}
    assert said["places"] == places
    assert "not well: lost" in capsys.readouterr().err


def test_the_figures_are_of_all_parts():
    kept = json.loads(FIGURES.read_text(encoding="utf-8"))
    assert set(kept) == set(PARTS)
    assert all(part["tries"] > 0 for part in kept.values())
