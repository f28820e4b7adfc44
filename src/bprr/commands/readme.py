"""``bprr readme``: fill the numbers of a whole run into README and documentation."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "readme",
        help="numbers of a whole run into README and docs",
        example="readme",
    )
    command.add_argument("--root", type=Path, default=Path(), help="folder of the repository")
    command.set_defaults(run=_readme)


def _readme(arguments: argparse.Namespace) -> int:
    from bprr.report.readme import write_readme

    changed = write_readme(arguments.root)
    print("\n".join(map(str, changed)) or "nothing has changed")
    return 0
