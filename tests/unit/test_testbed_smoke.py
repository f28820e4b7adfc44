"""Genuine PETALS on three servers, where the machine can; skipped visibly where it cannot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bprr.testbed.planned_records import read_planned
from bprr.testbed.records import read_run
from bprr.testbed.report import case_means
from bprr.testbed.rivals_records import read_rivals
from bprr.testbed.swarm_process import what_is_missing

MARK = "bprr.testbed.petals_swarm"


@pytest.fixture(autouse=True)
def _possible(at_root: Path) -> None:
    lacks = what_is_missing()
    if lacks:
        pytest.skip(f"genuine PETALS cannot run here; missing: {'; '.join(lacks)}")


def command(output: Path) -> list[str]:
    settings = "config/testbed/smoke.yaml"
    return [sys.executable, "-m", "bprr", "testbed", "run", settings, "-o", str(output)]


def descendants(session: int) -> list[str]:
    """Command lines of the testbed's processes that were started by a driver."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            folder = (entry / "environ").read_bytes()
        except (OSError, ValueError):
            continue
        if f"BPRR_TEST_RUN={session}".encode() in folder and MARK in line:
            found.append(line)
    return found


def test_three_servers_are_measured_and_predicted(tmp_path: Path):
    start_s = time.monotonic()
    subprocess.run(command(tmp_path / "run"), check=True, timeout=400)
    run = read_run(tmp_path / "run")
    assert (run.requests["status"] == "ok").all()
    assert run.requests["tokens_equal"].all()
    assert all(entry.equal for entry in run.manifest.placements.values())
    # Wide, since other tests run beside: the table's accuracy is the shipped run's business.
    assert case_means(run.requests)["per_token_ms_error"].abs().max() < 0.5
    assert time.monotonic() - start_s < 400


def test_a_plan_for_three_machines_runs_from_its_files(tmp_path: Path):
    settings, output = "config/testbed/planned_smoke.yaml", tmp_path / "run"
    command = [sys.executable, "-m", "bprr", "testbed", "plan", settings, "-o", str(output)]
    subprocess.run(command, check=True, timeout=400)
    run = read_planned(output)
    assert (run.sessions["status"] == "ok").all()
    assert run.sessions["tokens_equal"].all()
    assert set(run.sessions["arm"]) == {"planned", "shipped"}


def test_methods_run_side_by_side_and_leave_no_cache_held(tmp_path: Path):
    settings, output = "config/testbed/rivals_smoke.yaml", tmp_path / "run"
    command = [sys.executable, "-m", "bprr", "testbed", "rivals", settings, "-o", str(output)]
    subprocess.run(command, check=True, timeout=400)
    run = read_rivals(output)
    assert (run.sessions["status"] == "ok").all()
    assert run.sessions["tokens_equal"].all()
    assert set(run.sessions["arm"]) == {"petals", "pipe", "pages"}
    assert {placed.held_at_end for placed in run.manifest.placed.values()} == {0}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_the_driver_is_ended(tmp_path: Path, number: int):
    environment = {**os.environ, "BPRR_TEST_RUN": str(os.getpid())}
    driver = subprocess.Popen(
        command(tmp_path / "run"), env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline_s = time.monotonic() + 120
    while len(descendants(os.getpid())) < 6 and time.monotonic() < deadline_s:
        assert driver.poll() is None
        time.sleep(0.5)
    driver.send_signal(number)
    driver.wait(timeout=60)
    deadline_s = time.monotonic() + 20
    while descendants(os.getpid()) and time.monotonic() < deadline_s:
        time.sleep(0.2)
    assert descendants(os.getpid()) == []
    assert not (tmp_path / "run").exists()
