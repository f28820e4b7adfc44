"""Finds the parts, runs each in a process of its own, writes JSON and prints one table."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import pkgutil
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import benchmarks
from benchmarks.measure import Row

HERE = Path(__file__).parent
SUPPORT = {"__main__", "main", "measure", "offline_agreement", "swarms"}  # no figures of their own
PACKAGES = ("bprr", "numpy", "numba", "llvmlite", "simpy", "scipy", "highspy")


def parts() -> list[str]:
    """Names of the parts."""
    return sorted({module.name for module in pkgutil.iter_modules([str(HERE)])} - SUPPORT)


def main(arguments: list[str] | None = None) -> int:
    """Run the named parts (all without names); exit status 1 if one fails or misses a target."""
    known = parts()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(known)}")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for the JSON")
    parser.add_argument("--tiny", action="store_true", help="try all parts; figures mean nothing")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.parts) - set(known))
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(known)}")

    rows: list[dict[str, Any]] = []
    failures: dict[str, str] = {}
    for part in options.parts or known:
        print(f"… {part}", file=sys.stderr, flush=True)
        begin = time.perf_counter()
        found, failure = in_own_process(f"benchmarks.{part}", options.tiny)
        rows += [{"part": part, **entry} for entry in found]
        if failure:
            failures[part] = failure
            print(f"  failed: {failure}", file=sys.stderr)
        print(f"  {time.perf_counter() - begin:.0f} s", file=sys.stderr)

    report = {"tiny": options.tiny, "machine": machine(), "rows": rows, "failures": failures}
    path = written(options.out, report)
    print(table(rows))
    print(f"\n{path}")
    missed = [entry["name"] for entry in rows if entry["met"] is False]
    if missed:
        print(f"{len(missed)} of {len(rows)} above their target: {'; '.join(missed)}")
    return 1 if missed or failures else 0


def in_own_process(module: str, tiny: bool) -> tuple[list[dict[str, Any]], str]:
    """Rows that a part yields within its budget, and what went wrong (empty if nothing did)."""
    try:
        budget_s = importlib.import_module(module).BUDGET_S
    except Exception as error:  # a broken part must not take the others' figures with it
        return [], f"{type(error).__name__}: {error}"
    path = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    code = "import sys; from benchmarks.main import report_rows; report_rows(*sys.argv[1:])"
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            [sys.executable, "-X", "utf8", "-c", code, module, *(["tiny"] if tiny else [])],
            stdout=output,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
        )
        try:
            status = process.wait(budget_s)
            failure = f"exit status {status}" if status else ""
        except subprocess.TimeoutExpired:
            failure = f"ended after its budget of {budget_s:g} s"
        finally:  # with whatever it has started
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        return [json.loads(line) for line in output if line.endswith("\n")], failure


def report_rows(module: str, tiny: str = "") -> None:
    """Print each row of a part as a line of JSON, as soon as there is one."""
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what else is printed is not a row
    found: Iterable[Row] = importlib.import_module(module).run(bool(tiny))
    for row in found:
        print(json.dumps({**asdict(row), "met": None if tiny else row.met}), file=lines, flush=True)


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as text, one line each, the note last."""
    head = ("part", "what", "median", "10 % … 90 %", "unit", "target", "met", "")
    lines = [head]
    for entry in rows:
        spread = f"{_short(entry['low'])} … {_short(entry['high'])}"
        lines.append(
            (
                entry["part"],
                entry["name"],
                _short(entry["value"]),
                spread if entry["samples"] > 1 else "",
                entry["unit"],
                "" if entry["target"] is None else f"≤ {_short(entry['target'])}",
                {True: "yes", False: "NO", None: ""}[entry["met"]],
                entry["note"],
            )
        )
    width = [max(len(line[column]) for line in lines) for column in range(len(head))]
    right = {2, 3, 5}
    return "\n".join(
        "  ".join(
            cell.rjust(width[i]) if i in right else cell.ljust(width[i])
            for i, cell in enumerate(line)
        ).rstrip()
        for line in lines
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def machine() -> dict[str, Any]:
    """Where the figures were measured, for whoever compares them."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # no such call on macOS
        usable = os.cpu_count() or 1
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "usable_cores": usable,
        "load_average": os.getloadavg(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": versions,
    }


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.processor()


def written(folder: Path, report: dict[str, Any]) -> Path:
    """Write a report whole or not at all; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    partial = path.with_suffix(".partial")
    content = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    partial.write_text(content + "\n", encoding="utf-8")
    partial.replace(path)
    return path
