"""A sweep in parts through a real Slurm that is disturbed: the same bytes as here.

Needs root and Debian's packages, which `make slurm-smoke` installs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from house import ROOT, copied

from bprr.ground.storage import write_table
from bprr.settings.configuration import load_settings
from bprr.study.parts import provenance
from bprr.study.planned import planned_sweep
from bprr.study.sweep import swept

WITH_SLURM = ROOT / "tests/slurm/with_slurm.sh"
NEEDED = ("slurmctld", "slurmd", "sbatch", "munged", "ip", "unshare")
PAIR = ("table3", "cluster0")
RUNS = 4
TARGET = f"results/sweeps/{'_'.join(PAIR)}.parquet"


def without_slurm(folder: Path) -> str:
    """What is missing, in words."""
    if os.geteuid() != 0:
        return "root"
    absent = [name for name in NEEDED if shutil.which(name) is None]
    if absent:
        return f"{', '.join(absent)} (make slurm-smoke installs Debian's packages)"
    tried = subprocess.run([WITH_SLURM, "true"], capture_output=True, text=True, check=False)
    return tried.stdout if tried.returncode == 77 else ""


def test_through_slurm_disturbed_the_same_bytes(
    at_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing := without_slurm(tmp_path):
        pytest.skip(f"no Slurm; missing: {missing}")
    folder = copied(tmp_path / "project", linked=("src",))
    done = subprocess.run(
        [WITH_SLURM, sys.executable, ROOT / "tests/slurm/disturbed.py", TARGET,
         "--latency-wait", "5",
         "--config", f"runs={RUNS}", "runs_per_job=2"],
        cwd=folder, capture_output=True, encoding="utf-8", timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["cancelled"]
    assert told["jobs"] == {"COMPLETED": 3, "CANCELLED": 1}  # two parts and what merges them
    assert told["memory"]["2000M"] == 1  # of the task that was submitted again
    settings = load_settings(overrides={"runs": RUNS})
    planned = planned_sweep(settings, *PAIR, tmp_path / "here.parquet")
    table, rows = swept(settings, *PAIR, range(RUNS))
    record = provenance(planned.provenance(), 0, rows)
    write_table(table, planned.path, record, planned.source)
    assert (folder / TARGET).read_bytes() == planned.path.read_bytes()


def test_where_slurm_cannot_be_had_it_says_what_is_missing(tmp_path: Path) -> None:
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    command = [*(nobody if os.geteuid() == 0 else []), "bash", "-s", "true"]
    done = subprocess.run(
        command, input=WITH_SLURM.read_text(), capture_output=True, encoding="utf-8", check=False
    )
    assert (done.returncode, done.stdout) == (
        77,
        "slurm: skipped, nothing was run; missing: root\n",
    )
