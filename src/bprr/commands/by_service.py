"""``bprr by-service``: claims and steps of the gain once more, by how servers compute."""

from __future__ import annotations

import argparse
from pathlib import Path

from bprr.commands.scorecard import add_result_options, judge_with, spelled

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "by-service",
        help="claims and the steps of the gain by how servers compute, after make study",
        example="by-service",
    )
    add_result_options(command)
    command.add_argument("-o", "--output", type=Path, help="CSV of the claims; the steps beside it")
    command.set_defaults(run=_by_service)


def _by_service(arguments: argparse.Namespace) -> int:
    from bprr.report.by_service import (
        claims_by_service,
        decomposition_by_service,
        write_by_service,
    )

    claims, register, results = judge_with(arguments)
    output = arguments.output or results.folder / "claims_by_service.csv"
    table = claims_by_service(spelled(arguments, claims, results), results)
    steps = decomposition_by_service(register, results)
    write_by_service({output: table, output.with_name("decomposition_by_service.csv"): steps})
    for holds, own in table.groupby("holds"):
        print(f"{holds}: {len(own):,}")
    if steps.empty:
        print("steps of the gain: not run (make study)")
    print(f"in {output}")
    return 0
