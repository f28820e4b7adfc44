"""``bprr theory``: bounds, sizes and capacities that the paper states."""

from __future__ import annotations

import argparse
from pathlib import Path

from bprr.commands.arguments import add_config, add_json

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "theory",
        help="compute bounds and sizes that the paper states",
        example="theory -o results/theory/checks.parquet",
    )
    add_config(command)
    command.add_argument("-o", "--output", type=Path, help="Parquet file of the checks")
    add_json(command)
    command.set_defaults(run=_theory)


def _theory(arguments: argparse.Namespace) -> int:
    from bprr.ground.storage import write_table
    from bprr.study.slices import settings_at
    from bprr.study.theory import planned_theory, theory

    settings = settings_at(arguments.config)
    checks = theory(settings)
    planned = planned_theory(settings)
    output = arguments.output or planned.path
    write_table(checks, output, planned.provenance(), planned.source)
    if arguments.json:
        print(checks.to_json(orient="records"))
        return 0
    print(f"{len(checks)} checks in {output}")
    return 0
