"""``bprr check``: refuse a bad configuration before anything runs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser("check", help="check a configuration, or print its schema")
    command.add_argument("config", type=Path, nargs="?", default=Path("config/default.yaml"))
    command.add_argument("--schema", action="store_true", help="print the JSON schema and stop")
    command.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> int:
    from bprr.settings.configuration import json_schema, load_settings

    if arguments.schema:
        print(json.dumps(json_schema(), indent=2, sort_keys=True))
        return 0

    from bprr.study.checks import check_settings

    settings = load_settings(arguments.config)
    points = check_settings(settings)
    print(f"{arguments.config}: {len(settings.sweeps)} sweeps with {points} points are sound")
    return 0
