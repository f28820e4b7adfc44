"""``bprr doctor``: can this machine do it, and what helps where it cannot."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from bprr.commands.arguments import add_json, print_json

__all__ = ["add_command"]

LEAST_FREE_GB = 2.0


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "doctor",
        help="what this machine can do, and what it lacks",
        example="doctor",
    )
    add_json(command)
    command.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    troubles, checks = 0, []
    for what, good, found, remedy in _checks():
        troubles += good is False
        checks.append({"what": what, "good": good, "found": found, "remedy": remedy})
        if arguments.json:
            continue
        mark = {True: "ok", False: "BAD", None: "-"}[good]
        print(f"{mark:<4} {what:<12} {found}" + ("" if good else f"; {remedy}"))
    if arguments.json:
        print_json(checks)
    return 1 if troubles else 0


def _checks() -> Iterator[tuple[str, bool | None, str, str]]:
    """What is looked at, whether it is good (None: not needed), what was seen, what helps."""
    import importlib.util
    import locale
    import os
    import shutil
    import sys
    import tempfile
    from pathlib import Path

    import bprr
    from bprr.ground.errors import BprrError
    from bprr.offline.backends.base import SolverSettings
    from bprr.offline.backends.solve import check_solver, installed_solvers
    from bprr.placement.windows import longest_waiting_window
    from bprr.testbed.swarm_process import what_is_missing

    version = ".".join(map(str, sys.version_info[:3]))
    new = sys.version_info >= (3, 11)
    yield "Python", new, f"{version}, {sys.executable}", "3.11 or newer: make PYTHON=python3.12"
    made = Path(sys.prefix, ".installed")  # where make setup made it
    moved = made.exists() and Path(made.read_text(encoding="utf-8").strip()) != made.parents[1]
    yield "environment", not moved, sys.prefix, "made elsewhere, so its scripts fail: make setup"
    yield "source", True, str(Path(bprr.__file__).parent), ""
    for name in ("highs", "cbc", "gurobi", "scip"):
        needed = name in ("highs", "cbc")
        try:
            installed = name in installed_solvers()
            if installed:
                check_solver(SolverSettings(name))
            good, found = (True, "runs") if installed else (False if needed else None, "missing")
        except BprrError as error:
            good, found = False, str(error)
        yield name, good, found, "make setup" if needed else "make solvers-env"
    cache = longest_waiting_window.stats.cache_path
    found = f"cached in {cache}" if cache else "compiled in every process"
    yield "kernels", bool(cache), found, "set NUMBA_CACHE_DIR to a folder of yours"
    yield "locale", True, locale.getpreferredencoding(False), ""
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        free_gb = shutil.disk_usage(folder).free / 1e9
        good = free_gb >= LEAST_FREE_GB and os.access(folder, os.W_OK)
        yield "disk", good, f"{free_gb:.1f} GB free in {folder}", "a whole run writes 0.1 GB here"
    lacks = what_is_missing()
    yield "testbed", None if lacks else True, "; ".join(lacks) or "ready", "only to measure PETALS"
    gpus = _gpus()
    driver = "only to measure one: its driver, then make measure-env"
    yield "GPU", bool(gpus) or None, "; ".join(gpus) or "none with a driver", driver
    torch = importlib.util.find_spec("torch") is not None
    found = "torch is installed" if torch else "no torch"
    yield "measuring", torch or None, found, "only to measure a device: make measure-env"


def _gpus() -> list[str]:
    """GPUs that the driver names; none without one."""
    import subprocess

    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=20)
    except (OSError, subprocess.SubprocessError):
        return []
    return told.stdout.splitlines() if told.returncode == 0 else []
