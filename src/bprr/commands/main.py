"""The command line: one subcommand per stage, the same that the workflow's rules call.

A subcommand is a module with ``add_command(subparsers)``, which sets ``run`` to a function of the
parsed arguments that returns the exit status.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

import bprr
from bprr.ground.errors import BprrError

__all__ = ["main"]

COMMANDS = (
    "bprr.commands.check",
    "bprr.commands.simulate",
    "bprr.commands.sweep",
    "bprr.commands.plot",
    "bprr.commands.measure",
    "bprr.commands.measure_network",
    "bprr.commands.fit",
    "bprr.commands.time",
    "bprr.commands.offline",
    "bprr.commands.plot_offline",
    "bprr.commands.scorecard",
    "bprr.commands.report",
    "bprr.commands.manifest",
    "bprr.commands.testbed",
    "bprr.commands.verify",
    "bprr.commands.provenance",
    "bprr.commands.readme",
)


def parser() -> argparse.ArgumentParser:
    """Parser of all subcommands."""
    top = argparse.ArgumentParser(
        prog="bprr",
        description="Which blocks each server holds, and through which chain each request goes.",
    )
    top.add_argument("--version", action="version", version=f"bprr {bprr.__version__}")
    subparsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        importlib.import_module(module).add_command(subparsers)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; return the exit status (2: bad input or an infeasible plan)."""
    arguments = parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except BprrError as error:
        print(f"bprr {arguments.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bprr: interrupted; nothing half-written is left", file=sys.stderr)
        return 130
    return status
