"""``bprr time``: running times of the algorithms (Table VIII)."""

from __future__ import annotations

import argparse
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from bprr.commands.arguments import add_config, add_json, whole_number

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "time",
        help="time placement and routing; run it alone",
        example="time --repeats 2",
    )
    add_config(command)
    command.add_argument(
        "--repeats", type=whole_number, help="draws per setting: 20; of a point of a sweep: 3"
    )
    command.add_argument(
        "--sweeps", nargs="+", metavar="NAME", help="every method at every point of these, instead"
    )
    command.add_argument("-o", "--output", type=Path, help="Parquet file of the times")
    command.add_argument("--growth", type=Path, help="and of CG-BPRR's by servers and blocks")
    add_json(command)
    command.set_defaults(run=_time)


def _time(arguments: argparse.Namespace) -> int:
    from bprr.ground.errors import InputError
    from bprr.ground.source import source_hash
    from bprr.ground.storage import write_table
    from bprr.study.growth import growth
    from bprr.study.slices import settings_at
    from bprr.study.timing import REPEATS, planned_times, running_times, running_times_of_sweeps

    settings = settings_at(arguments.config)
    if unknown := set(arguments.sweeps or ()) - set(settings.sweeps):
        raise InputError("bprr time", "sweeps", ", ".join(unknown), ", ".join(settings.sweeps))
    repeats = arguments.repeats or (3 if arguments.sweeps else REPEATS)
    if arguments.sweeps:
        times = running_times_of_sweeps(settings, arguments.sweeps, repeats)
        path = Path(settings.results_dir, "timing", "sweeps.parquet")
        made, source = {"seed": settings.seed}, source_hash("bprr.study.timing")
    else:
        planned = planned_times(settings)
        times, path = running_times(settings, repeats), planned.path
        made, source = planned.provenance(), planned.source
    output = arguments.output or path
    # Times alone depend on the machine and the hour; all other results are the same everywhere.
    about = {
        **made,
        "repeats": repeats,
        "device": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "measured_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
    }
    write_table(times, output, about, source)
    if arguments.json:
        print(times.to_json(orient="records"))
    else:
        print(f"{len(times)} timings in {output}")
    if arguments.growth is not None:
        planned = planned_times(settings)
        steps = growth(settings.seed)
        write_table(steps, arguments.growth, about | planned.provenance(), planned.source)
        if not arguments.json:
            print(f"{len(steps)} timings in {arguments.growth}")
    return 0
