"""The workflow as users run it: refused early, alone in its folder, by its own source, resumed."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from house import House, Planner, copied

SNAKEMAKE = [sys.executable, "-m", "snakemake"]
SWEPT = "results/sweeps/table3_cluster0.parquet"
FITTED = "results/fit/cpu-amd-epyc/device.yaml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("project"))


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SNAKEMAKE, *arguments], cwd=folder, env={**os.environ, **environment},
        capture_output=True, encoding="utf-8", timeout=300, check=False,
    )  # fmt: skip


def files(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """Everything but Snakemake's own notes and compiled Python."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and not {".snakemake", "__pycache__"} & set(path.parts)
    }


@pytest.mark.parametrize("chosen", [(), ("--configfile", "config/smoke.yaml")])
def test_everything_is_planned_and_nothing_written(
    folder: Path, planner: Planner, chosen: tuple[str, ...]
) -> None:
    before = files(folder)
    answer = planner.ask(folder, "--dry-run", *chosen)
    assert answer["status"] == 0, answer["text"]
    assert {"manifest", "headline", "running_times"} <= set(answer["jobs"])
    assert files(folder) == before


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("rums=3", ["rums", "did you mean runs?"]),
        ("runs=-1", ["runs", "-1", "at least 1"]),
        ("runs=many", ["runs", "many", "whole number"]),
        ("solver=cplex", ["solver", "cplex", "highs"]),
    ],
)
def test_a_bad_setting_is_refused_before_any_job(
    folder: Path, planner: Planner, setting: str, named: list[str]
) -> None:
    before = files(folder)
    answer = planner.ask(folder, "--cores", "1", "--config", setting)
    assert answer["status"] != 0
    for word in named:
        assert word in answer["text"]
    assert "Traceback" not in answer["text"]
    assert files(folder) == before


def test_an_unknown_device_is_refused_before_any_job(planner: Planner, tmp_path: Path) -> None:
    folder = copied(tmp_path / "project")
    scenario = folder / "config/scenarios/scattered.yaml"
    text = scenario.read_text(encoding="utf-8")
    scenario.write_text(text.replace("rest: mig", "rest: gtx"), encoding="utf-8")
    answer = planner.ask(folder, "--cores", "1")
    assert answer["status"] != 0
    assert "gtx" in answer["text"]
    assert not (folder / "results").exists()


@pytest.mark.parametrize(
    "door", ["--summary", "--dag", "--unlock", "--list-changes params", "--report report.html", ""]
)
def test_doors_of_snakemake_need_no_number_of_cores(finished: House, door: str) -> None:
    answer = finished.planner.ask(finished.folder, *door.split(), "--configfile", "settings.yaml")
    assert answer["status"] == 0, answer["text"]


@pytest.mark.parametrize(
    "arguments",
    [
        [SWEPT, "--configfile", "config/smoke.yaml"],
        ["--configfile", "config/smoke.yaml", "--", SWEPT],
        [SWEPT, "--config", "runs=3"],
    ],
)
def test_a_target_beside_settings(folder: Path, planner: Planner, arguments: list[str]) -> None:
    smoke = "config/smoke.yaml" in arguments
    chosen = [word.replace("results/", "results/smoke/") if smoke else word for word in arguments]
    answer = planner.ask(folder, "--dry-run", *chosen)
    assert answer["status"] == 0, answer["text"]
    assert set(answer["jobs"]) == {"sweep table3 cluster0"}


def test_a_run_under_a_name_keeps_its_own_and_shares_the_rest(
    folder: Path, planner: Planner
) -> None:
    usual = planner.ask(folder, "--dry-run")["jobs"]
    mine = planner.ask(folder, "--dry-run", "--config", "run=mine", "runs=2")["jobs"]
    assert set(mine) == set(usual)
    for name, job in mine.items():
        shared = name.startswith(("fit ", "fit_figure ", "measured_"))
        for one, other in zip(job["outputs"], usual[name]["outputs"], strict=True):
            top, _, rest = other.partition("/")
            assert one == (other if shared else f"{top}/mine/{rest}")
    for name in ("../mine", "a/b", "settings", "readme"):
        refused = planner.ask(folder, "--dry-run", "--config", f"run={name}")
        assert f"run: got '{name}'; allowed: " in refused["text"]


MODULE = """
workdir: {folder!r}

module bprr:
    snakefile: {snakefile!r}
    config: {{"runs": 3, "solver": "cbc"}}

use rule * from bprr as bprr_*

rule mine:
    default_target: True
    input: "{swept}"
    output: {output!r}
    shell: "cp {{input}} {{output}}"

onstart:
    bprr.start()
"""


def test_another_workflow_uses_it_as_a_module(
    folder: Path, planner: Planner, tmp_path: Path
) -> None:
    snakefile, output = tmp_path / "Snakefile", tmp_path / "copy.parquet"
    names = {"folder": str(folder), "snakefile": str(folder / "Snakefile"), "swept": SWEPT}
    snakefile.write_text(MODULE.format(**names, output=str(output)), encoding="utf-8")
    before = files(folder)
    answer = planner.ask(tmp_path, "--dry-run", "--snakefile", str(snakefile))
    assert answer["status"] == 0, answer["text"]
    assert set(answer["jobs"]) == {"mine", "bprr_sweep table3 cluster0"}
    assert files(folder) == before
    # All of it, as far as the slices that say what is run.
    done = planner.ask(tmp_path, "--touch", "--cores", "1", "--snakefile", str(snakefile))
    assert list((folder / "results/settings").glob("*.json")), done["text"]
    content = json.loads((folder / "results/configuration.json").read_text(encoding="utf-8"))
    assert (content["runs"], content["solver"]) == (3, "cbc")
    shutil.rmtree(folder / "results")


def test_the_snakefile_of_the_catalogue_is_the_same_workflow(
    folder: Path, planner: Planner
) -> None:
    answer = planner.ask(folder, "--dry-run", SWEPT, "--snakefile", "workflow/Snakefile")
    assert answer["status"] == 0, answer["text"]
    assert set(answer["jobs"]) == {"sweep table3 cluster0"}


def test_an_absolute_target_is_refused_with_the_one_to_name(folder: Path, planner: Planner) -> None:
    answer = planner.ask(folder, "--dry-run", str(folder / SWEPT))
    assert answer["status"] != 0
    assert f"name a target relative to {folder}: {SWEPT}\n" in answer["text"]


def test_one_run_at_a_time_works_in_a_folder(finished: House) -> None:
    ask = finished.planner.ask
    target = ("--configfile", "settings.yaml", "--forcerun", "testbed_report")
    with open(finished.folder / ".snakemake/running", "a", encoding="utf-8") as running:
        fcntl.flock(running, fcntl.LOCK_EX)
        refused = ask(finished.folder, "--touch", *target)
        assert refused["status"] != 0
        assert "another run works in" in refused["text"]
        for door in ("--dry-run", "--summary", "--unlock"):
            answer = ask(finished.folder, door, *target)
            assert answer["status"] == 0, answer["text"]
    assert ask(finished.folder, "--touch", *target)["status"] == 0


@pytest.mark.parametrize("name", ["my thesis (O'Brien)", "a {b} $HOME & #1 %s [x] Ünï"])
def test_jobs_run_the_source_beside_the_snakefile(tmp_path: Path, name: str) -> None:
    folder = copied(tmp_path / name)
    for foreign in (tmp_path / "foreign", folder):  # on PYTHONPATH, and in the working folder
        (foreign / "bprr").mkdir(parents=True)
        (foreign / "bprr/__init__.py").write_text("raise SystemExit('foreign')", encoding="utf-8")
    done = run(folder, FITTED, "--cores", "1", PYTHONPATH=str(tmp_path / "foreign"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / FITTED).exists()


def test_a_killed_run_resumes_with_the_same_result(tmp_path: Path) -> None:
    whole, resumed = (copied(tmp_path / name, linked=("src",)) for name in ("whole", "resumed"))
    arguments = [SWEPT, "--cores", "1", "--config", "runs=15"]
    assert run(whole, *arguments).returncode == 0

    process = subprocess.Popen(
        [*SNAKEMAKE, *arguments], cwd=resumed, start_new_session=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    log = resumed / "results/logs/sweep_table3_cluster0.log"
    deadline = time.monotonic() + 120
    while not (log.exists() and "run" in log.read_text(encoding="utf-8")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (resumed / SWEPT).exists(), "the run was over before it could be killed"

    done = run(resumed, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (resumed / SWEPT).read_bytes() == (whole / SWEPT).read_bytes()
