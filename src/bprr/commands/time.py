"""``bprr time``: running times of the algorithms (Table VIII)."""

from __future__ import annotations

import argparse
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from bprr.commands.arguments import add_config, whole_number

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser("time", help="time placement and routing; run it alone")
    add_config(command)
    command.add_argument("--repeats", type=whole_number, help="draws per setting (20)")
    command.add_argument("-o", "--output", type=Path, help="Parquet file of the times")
    command.set_defaults(run=_time)


def _time(arguments: argparse.Namespace) -> int:
    from bprr.ground.storage import write_table
    from bprr.study.slices import settings_at
    from bprr.study.timing import REPEATS, planned_times, running_times

    settings = settings_at(arguments.config)
    planned = planned_times(settings)
    repeats = arguments.repeats or REPEATS
    times = running_times(settings, repeats)
    output = arguments.output or planned.path
    # Times alone depend on the machine and the hour; all other results are the same everywhere.
    about = {
        **planned.provenance(),
        "repeats": repeats,
        "device": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "measured_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
    }
    write_table(times, output, about, planned.source)
    print(f"{len(times)} timings in {output}")
    return 0
