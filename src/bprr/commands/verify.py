"""``bprr verify golden FILE``: replay reference cases."""

from __future__ import annotations

import argparse
from pathlib import Path

from bprr.commands.arguments import add_json, print_json

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "verify",
        help="check the project against reference results",
        example="verify golden tests/golden/cases.json",
    )
    kinds = command.add_subparsers(dest="what", required=True, metavar="WHAT")
    golden = kinds.add_parser("golden", help="replay reference cases (tests/golden/cases.json)")
    golden.add_argument("file", type=Path, help="cases in the format of tests/golden/README.md")
    add_json(golden)
    golden.set_defaults(run=_golden)


def _golden(arguments: argparse.Namespace) -> int:
    from bprr.study.golden import TOLERANCE, replay_file

    reports = replay_file(arguments.file)
    if arguments.json:
        print_json([{**vars(report), "passed": report.passed} for report in reports])
        return 0 if all(report.passed for report in reports) else 1
    print(f"{'kind':<16} {'cases':>5}  worst relative difference")
    for report in reports:
        verdict = "" if report.passed else f"  FAILED at {report.worst_id}"
        print(f"{report.kind:<16} {report.cases:>5}  {report.worst:.3g}{verdict}")
    failed = [report.kind for report in reports if not report.passed]
    total = sum(report.cases for report in reports)
    if failed:
        print(f"{', '.join(failed)}: beyond {TOLERANCE:g}")
        return 1
    print(f"all {total} cases within {TOLERANCE:g}")
    return 0
