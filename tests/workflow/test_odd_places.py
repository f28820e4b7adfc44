"""Folders with odd names, nowhere to write, and what is said before anything runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from house import ODD, ROOT, House

from bprr.commands.main import main
from bprr.settings.configuration import Settings
from bprr.study.cost import about, requests_of
from bprr.study.sweep import run_sweep


def test_another_working_folder_is_refused_with_the_remedy(finished: House, tmp_path: Path) -> None:
    snakefile = str(finished.folder / "Snakefile")
    answer = finished.planner.ask(tmp_path, "--dry-run", "--snakefile", snakefile)
    assert answer["status"] != 0
    assert f"--directory {finished.folder}" in answer["text"]
    assert "run=NAME" in answer["text"]
    assert not [path for path in tmp_path.iterdir() if path.name != ".snakemake"]


def test_what_is_to_do_is_said_before_it_starts(finished: House) -> None:
    arguments = ("--touch", "--configfile", "settings.yaml", "--forcerun", "manifest", "--cores")
    answer = finished.planner.ask(finished.folder, *arguments, "2")
    assert "Jobs: 1, about 1 min on 2 cores, about 1 MB" in answer["text"]


def test_the_cost_of_a_sweep_grows_with_what_it_simulates(configuration: Settings) -> None:
    sweep = configuration.sweeps["table3"]
    small = configuration.model_copy(update={"runs": 2})
    table = run_sweep(small, "table3", "cluster0")
    requests, seconds = requests_of(small, "table3", "cluster0")
    assert (requests, seconds) == (len(table), pytest.approx(len(table) * 4e-6))
    queues = configuration.model_copy(update={"runs": 1})
    requests, seconds = requests_of(queues, "fig10_service", "abovenet")
    assert seconds > 60 * requests * 4e-6  # 4 µs a request, and as much a token where it queues
    pairs = [("table3", topology) for topology in sweep.topologies]
    # 90 million requests of 4 µs and 4 experiments of 50 s on four cores
    many = small.model_copy(update={"runs": round(90e6 / len(table) * 2 / len(pairs))})
    swept = [(pair, share) for pair in pairs for share in (0.25, 0.75)]  # in two parts
    assert about(many, 10, swept, 4, 4) == "10, about 2 min on 4 cores, about 208 MB"


READ_ONLY = """
import tempfile

def refused(*args, **kwargs):
    raise PermissionError("read-only")

tempfile.TemporaryFile = refused  # by which Numba finds out where it can write
import numpy as np
import bprr.study.sweep
from bprr.placement.windows import longest_waiting_window
ones = np.ones(4)
assert longest_waiting_window.stats.cache_path is None
print(longest_waiting_window(np.array([1.0, 3.0, 2.0, 0.0]), ones, 2, 2))
"""


def test_kernels_compile_where_nothing_can_be_written() -> None:
    done = subprocess.run(
        [sys.executable, "-c", READ_ONLY], capture_output=True, encoding="utf-8", check=False
    )
    assert (done.stdout, done.returncode) == ("1\n", 0), done.stderr


def test_doctor_says_what_is_good_and_what_helps(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == [
        "Python", "environment", "source", "highs", "cbc", "gurobi", "scip", "kernels", "locale",
        "disk", "disk", "testbed", "GPU", "measuring",
    ]  # fmt: skip
    assert all(line.startswith("ok ") or "; " in line for line in lines)
    driver = tmp_path / "bin/nvidia-smi"
    driver.parent.mkdir()
    monkeypatch.setenv("PATH", str(driver.parent))
    for script, seen in (
        ("echo NVIDIA H200", "ok   GPU          NVIDIA H200"),
        ("echo failed; exit 9", "-    GPU          none with a driver; only to measure one"),
    ):
        driver.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        driver.chmod(0o755)
        main(["doctor"])
        assert [line for line in capsys.readouterr().out.splitlines() if line.startswith(seen)]
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    (tmp_path / ".venv").mkdir()
    made = tmp_path / ".venv/.installed"
    for written, good in ((f"{tmp_path}\n", True), ("/elsewhere\n", False)):
        made.write_text(written, encoding="utf-8")
        status = main(["doctor"])
        (line,) = [line for line in capsys.readouterr().out.splitlines() if "environment" in line]
        assert line.startswith("ok ") if good else line.startswith("BAD ")
        assert ("make setup" in line) is not good
        assert good or status == 1
    version = namedtuple("version", ["major", "minor", "micro", "releaselevel", "serial"])
    for minor, word in ((10, "BAD "), (11, "ok ")):
        monkeypatch.setattr(sys, "version_info", version(3, minor, 0, "final", 0))
        main(["doctor"])
        assert capsys.readouterr().out.splitlines()[0].startswith(word)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The Makefile in an odd place, with an environment whose Python only notes what it does."""
    folder = tmp_path / ODD
    (folder / ".venv/bin").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    python = folder / ".venv/bin/python"
    python.write_text(
        '#!/bin/sh\necho "$*" >> "$NOTES"\n[ "$*" != "-m pip --version" ]\n', encoding="utf-8"
    )
    python.chmod(0o755)
    (folder / "python3").symlink_to(".venv/bin/python")
    return folder


def make(folder: Path, *arguments: str, **environment: str) -> list[str]:
    """Run make; what its Pythons were asked for."""
    notes = folder.parent / "notes"
    notes.unlink(missing_ok=True)
    done = subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, encoding="utf-8", check=False,
        env={**os.environ, "NOTES": str(notes), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []


def test_an_environment_made_elsewhere_is_made_anew(made: Path) -> None:
    mark = made / ".venv/.installed"
    asked = make(made, "setup", "PYTHON=./python3")
    assert "-m venv --clear .venv" in asked
    assert mark.read_text(encoding="utf-8").strip() == str(made)
    assert make(made, "setup", "PYTHON=./python3") == ["-c "]
    moved = made.rename(made.with_name("moved (again)"))
    assert "-m venv --clear .venv" in make(moved, "setup", "PYTHON=./python3")


def test_an_environment_without_pip_gets_it(made: Path) -> None:
    (made / ".venv/.installed").write_text(f"{made}\n", encoding="utf-8")
    os.utime(made / ".venv/.installed", (1, 1))
    asked = make(made, "setup", "PYTHON=./python3")
    assert "-m venv --clear .venv" not in asked
    assert asked.index("-m ensurepip --upgrade") < asked.index(
        "-m pip install --quiet --require-hashes -r requirements.lock"
    )


@pytest.mark.parametrize("home", ["", "/proc/nowhere"])
def test_without_a_home_caches_go_beside_the_project(made: Path, home: str) -> None:
    make(made, "--eval", 'say: ; @printf %s "$$HOME" > home', "say", HOME=home)
    assert (made / "home").read_text(encoding="utf-8") == f"{made}/.cache"
    make(made, "--eval", 'say: ; @printf %s "$$HOME" > home', "say", HOME=str(made))
    assert (made / "home").read_text(encoding="utf-8") == str(made)


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (("RUN=mine",), "--config run=mine"),
        (("RUN=mine", "ARGS=--config runs=100"), "--config runs=100 run=mine"),
        (("RUN=mine", "ARGS=--until figures"), "--until figures --config run=mine"),
        ((), ""),
    ],
)
def test_a_run_under_a_name(made: Path, arguments: tuple[str, ...], asked: str) -> None:
    (made / ".venv/.installed").write_text(f"{made}\n", encoding="utf-8")
    (line,) = [line for line in make(made, "reproduce", *arguments) if "snakemake" in line]
    assert line.split() == f"-m snakemake --logger bprr --cores all {asked}".split()


def test_clean_deletes_what_it_names_and_nothing_else(made: Path) -> None:
    subprocess.run(["git", "init", "-q", made.parent], check=True)  # a repository of the user's
    kept = [
        made / "thesis.tex",
        made / "figures/README.md",
        made / "figures/readme/a.png",
        made / "src/a.py",
        made / "data/a.csv",
        made.parent / "results/a",
        made / ".venv/mine",
    ]
    gone = [made / "results/mine/a", made / "figures/mine/a.pdf", made / "figures/a b.pdf",
            made / "src/__pycache__/a.pyc", made / ".snakemake/a"]  # fmt: skip
    for path in (*kept, *gone, made / "tests/a.py", made / "benchmarks/a.py"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", encoding="utf-8")
    make(made, "clean")
    assert [path for path in kept if not path.exists()] == []
    assert [path for path in gone if path.exists()] == []
