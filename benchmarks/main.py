"""Finds the parts, runs them, prints one table and writes it as JSON."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import pkgutil
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import benchmarks

HERE = Path(__file__).parent
SUPPORT = {"__main__", "main", "measure", "offline_agreement", "swarms"}  # no figures of their own
PACKAGES = ("bprr", "numpy", "numba", "llvmlite", "simpy", "scipy", "highspy")


def main(arguments: list[str] | None = None) -> int:
    """Run the named parts (all without names); exit status 1 if a target is missed."""
    known = sorted({module.name for module in pkgutil.iter_modules([str(HERE)])} - SUPPORT)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(known)}")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for the JSON")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.parts) - set(known))
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(known)}")

    rows: list[dict[str, Any]] = []
    failures: dict[str, str] = {}
    for part in options.parts or known:
        print(f"… {part}", file=sys.stderr, flush=True)
        begin = time.perf_counter()
        try:
            found = importlib.import_module(f"benchmarks.{part}").run()
        except Exception as error:  # a part that fails must not take the others' figures with it
            failures[part] = f"{type(error).__name__}: {error}"
            print(f"  failed: {failures[part]}", file=sys.stderr)
            continue
        rows += [{"part": part, **entry} for entry in found]
        print(f"  {time.perf_counter() - begin:.0f} s", file=sys.stderr)

    print(table(rows))
    report = {"machine": machine(), "rows": rows, "failures": failures}
    path = written(options.out, report)
    print(f"\n{path}")
    missed = [entry["name"] for entry in rows if entry.get("met") is False]
    if missed:
        print(f"{len(missed)} of {len(rows)} above their target: {'; '.join(missed)}")
    return 1 if missed or failures else 0


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as text, one line each, the note last."""
    head = ("part", "what", "median", "10 % … 90 %", "unit", "target", "met", "")
    lines = [head]
    for entry in rows:
        spread = f"{_short(entry.get('low'))} … {_short(entry.get('high'))}"
        target = entry.get("target")
        lines.append(
            (
                entry["part"],
                entry["name"],
                _short(entry.get("median")),
                spread if entry.get("samples", 1) > 1 else "",
                entry.get("unit", ""),
                "" if target is None else f"≤ {_short(target)}",
                {True: "yes", False: "NO", None: ""}[entry.get("met")],
                entry.get("note", ""),
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


def _short(value: float | None) -> str:
    if value is None:
        return ""
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
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.processor()


def written(folder: Path, report: dict[str, Any]) -> Path:
    """Write a report whole or not at all; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    partial.replace(path)
    return path
