"""``bprr sweep NAME TOPOLOGY``: run one sweep of the configuration."""

from __future__ import annotations

import argparse
from pathlib import Path

from bprr.commands.arguments import add_config

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser("sweep", help="run one sweep of the configuration")
    command.add_argument("name", help="of the sweep, e.g. fig7")
    command.add_argument("topology", help="where, e.g. abovenet")
    add_config(command)
    command.add_argument("-o", "--output", type=Path, help="Parquet file of the request records")
    command.set_defaults(run=_sweep)


def _sweep(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from bprr.ground.storage import write_table
    from bprr.study.planned import planned_sweep
    from bprr.study.points import sweep_points
    from bprr.study.slices import settings_at
    from bprr.study.sweep import run_sweep

    settings = settings_at(arguments.config)
    name, topology = arguments.name, arguments.topology
    points = len(sweep_points(settings, name, topology))
    runs = settings.sweeps[name].runs or settings.runs
    with tqdm(total=points * runs, unit="run", desc=f"{name} on {topology}") as bar:
        table = run_sweep(settings, name, topology, bar.update)
    planned = planned_sweep(settings, name, topology, arguments.output)
    write_table(table, planned.path, planned.provenance(), planned.source)
    infeasible = table.loc[table["status"] != "ok", ["x", "method", "status"]].drop_duplicates()
    for row in infeasible.itertuples():
        print(f"x = {row.x:g}, {row.method}: {row.status}")
    print(f"{len(table):,} requests in {planned.path}")
    return 0
