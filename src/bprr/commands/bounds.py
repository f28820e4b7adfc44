"""``bprr bounds NAME TOPOLOGY``: lower bounds beside the simulations of a sweep."""

from __future__ import annotations

import argparse
from pathlib import Path

from bprr.commands.arguments import add_config, whole_number

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "bounds",
        help="lower bounds beside a sweep's simulations",
        example="bounds beyond_serial abovenet -o results/bounds/beyond_serial_abovenet.parquet",
    )
    command.add_argument("name", help="of the sweep, e.g. beyond_serial")
    command.add_argument("topology", help="where, e.g. abovenet")
    add_config(command)
    command.add_argument(
        "--waiting",
        type=whole_number,
        default=0,
        metavar="N",
        help="serial servers: the bound that sees waiting, of N first arrivals, where it is larger",
    )
    command.add_argument("-o", "--output", type=Path, help="Parquet file of the bounds")
    command.set_defaults(run=_bounds)


def _bounds(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from bprr.ground.storage import write_table
    from bprr.study.beyond import bounds_of_sweep
    from bprr.study.planned import planned_bounds
    from bprr.study.points import sweep_points
    from bprr.study.slices import settings_at

    settings = settings_at(arguments.config)
    name, topology = arguments.name, arguments.topology
    points = len(sweep_points(settings, name, topology))
    planned = planned_bounds(settings, name, topology, arguments.output)
    with tqdm(
        total=points * settings.runs_of(name), unit="draw", desc=f"bounds of {name} on {topology}"
    ) as bar:
        table = bounds_of_sweep(settings, name, topology, bar.update, arguments.waiting)
    record = planned.provenance() | {"waiting": arguments.waiting}
    write_table(table, planned.path, record, planned.source)
    print(f"{len(table):,} bounds in {planned.path}")
    return 0
