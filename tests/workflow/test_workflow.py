"""The workflow as a user runs it: refused early, one figure at a time, resumed after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--quiet", "rules"]


def workflow(folder: Path, *arguments: str, runs: int = 1) -> list[str]:
    settings = [f"results_dir={folder}/results", f"figures_dir={folder}/figures", f"runs={runs}"]
    return [*SNAKEMAKE, "--cores", "1", *arguments, "--config", *settings]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize("files", [(), ("--configfile", "config/smoke.yaml")])
def test_everything_is_planned(tmp_path: Path, files: tuple[str, ...]) -> None:
    done = run(workflow(tmp_path, "--dry-run", *files))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("rums=3", ["rums", "did you mean runs?"]),
        ("runs=-1", ["runs", "-1", "at least 1"]),
        ("runs=many", ["runs", "many", "whole number"]),
    ],
)
def test_bad_configuration_is_refused_before_any_job(
    tmp_path: Path, setting: str, named: list[str]
) -> None:
    done = run([*workflow(tmp_path, "--dry-run"), setting])
    assert done.returncode != 0
    for word in named:
        assert word in done.stdout + done.stderr
    assert not (tmp_path / "results").exists()


def test_unknown_device_is_refused_before_any_job(tmp_path: Path) -> None:
    scenario = (ROOT / "config/scenarios/scattered.yaml").read_text()
    (tmp_path / "scattered.yaml").write_text(scenario.replace("rest: mig", "rest: gtx"))
    clustered = (ROOT / "config/scenarios/clustered.yaml").read_text()
    (tmp_path / "clustered.yaml").write_text(clustered)
    done = run([*workflow(tmp_path, "--dry-run"), f"scenario_dir={tmp_path}"])
    assert done.returncode != 0
    assert "gtx" in done.stdout + done.stderr
    assert not (tmp_path / "results").exists()


def test_killed_run_resumes_with_the_same_result(tmp_path: Path) -> None:
    name = "results/sweeps/table3_cluster0.parquet"
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    assert run(workflow(whole, str(whole / name), runs=40)).returncode == 0

    command = workflow(resumed, str(resumed / name), runs=40)
    process = subprocess.Popen(
        command, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    log = resumed / "results/logs/sweep_table3_cluster0.log"
    deadline = time.monotonic() + 120
    while not (log.exists() and "run" in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (resumed / name).exists(), "the run was over before it could be killed"

    done = run(command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (resumed / name).read_bytes() == (whole / name).read_bytes()
