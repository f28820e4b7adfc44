"""A run of Snakemake on Slurm that is disturbed on its way.

    tests/slurm/with_slurm.sh python tests/slurm/disturbed.py [snakemake's arguments]

One running job is cancelled, which Snakemake has to run again, and the controller is restarted with
jobs in its queue. Prints what was done as one line of JSON, and ends as Snakemake does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

PROFILE = "profiles/slurm"
CONTROLLER = Path("/etc/slurm/slurmctld.pid")
MOST_S = 600.0


def main(arguments: Sequence[str]) -> int:
    """Run Snakemake with these arguments and disturb it."""
    begin = time.monotonic()
    run = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--workflow-profile", PROFILE, *arguments]
    )
    cancelled = cancel_one(lambda: run.poll() is None)
    restart_controller()
    status = run.wait()
    states = Counter(queue("all").values())
    memory = Counter(queue("all", "%m").values())  # more for a job that is submitted again
    told = {
        "status": status,
        "seconds": round(time.monotonic() - begin, 1),
        "cancelled": cancelled,
        "jobs": states,
        "memory": memory,
    }
    print(json.dumps(told))
    return status or (0 if states["CANCELLED"] == 1 else 1)


def queue(states: str, what: str = "%T") -> dict[str, str]:
    """State (or what else) of jobs by their number; none while the controller does not answer."""
    done = subprocess.run(
        ["squeue", "--noheader", "--array", f"--states={states}", f"--format=%i {what}"],
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    return dict(line.split() for line in done.stdout.splitlines())  # type: ignore[arg-type]


def cancel_one(goes_on: Callable[[], bool]) -> str:
    """Cancel the first job that is seen running; its number."""
    deadline = time.monotonic() + MOST_S
    while goes_on() and time.monotonic() < deadline:
        for job in queue("RUNNING"):
            subprocess.run(["scancel", job], check=True)
            return job
        time.sleep(0.2)
    return ""


def restart_controller() -> None:
    """End the controller, which saves the jobs that it knows, and start it anew after a while."""
    before = int(CONTROLLER.read_text())
    subprocess.run(["scontrol", "shutdown", "slurmctld"], check=True)
    while Path(f"/proc/{before}").exists():
        time.sleep(0.1)
    time.sleep(2)
    subprocess.run(["setsid", "slurmctld"], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
