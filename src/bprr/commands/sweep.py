"""``bprr sweep NAME TOPOLOGY``: run one sweep of the configuration."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from bprr.commands.arguments import add_config, natural_number

if TYPE_CHECKING:
    from bprr.study.planned import Planned

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "sweep",
        help="run one sweep of the configuration",
        example="sweep fig10 abovenet --config config/smoke.yaml",
    )
    command.add_argument("name", help="of the sweep, e.g. fig7")
    command.add_argument("topology", help="where, e.g. abovenet")
    add_config(command)
    command.add_argument(
        "--first-run",
        type=natural_number,
        default=0,
        metavar="N",
        help="leave out the runs before it (runs count from 0): a part, for bprr merge",
    )
    command.add_argument(
        "--known",
        type=Path,
        metavar="FILE",
        help="table that is taken as it stands if it holds just what is asked for",
    )
    command.add_argument("-o", "--output", type=Path, help="Parquet file of the request records")
    command.set_defaults(run=_sweep)


def _sweep(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from bprr.ground.errors import InputError
    from bprr.ground.storage import write_table
    from bprr.study.kept_means import keep_means
    from bprr.study.parts import provenance
    from bprr.study.planned import planned_sweep
    from bprr.study.points import sweep_points
    from bprr.study.slices import settings_at
    from bprr.study.sweep import swept

    settings = settings_at(arguments.config)
    name, topology = arguments.name, arguments.topology
    points = len(sweep_points(settings, name, topology))
    runs = range(settings.runs_of(name))[arguments.first_run :]
    if not runs:
        allowed = f"at most {settings.runs_of(name) - 1}, the last run of {name}"
        raise InputError("bprr sweep", "--first-run", arguments.first_run, allowed)
    planned = planned_sweep(settings, name, topology, arguments.output)
    if arguments.known and not runs.start and _taken(arguments.known, planned):
        return 0
    with tqdm(total=points * len(runs), unit="run", desc=f"{name} on {topology}") as bar:
        table, rows = swept(settings, name, topology, runs, bar.update)
    record = provenance(planned.provenance(), runs.start, rows)
    write_table(table, planned.path, record, planned.source)
    if arguments.known is None:  # a whole sweep, of which figures are drawn
        keep_means(table, planned.path)
    infeasible = table.loc[table["status"] != "ok", ["x", "method", "status"]].drop_duplicates()
    for row in infeasible.itertuples():
        print(f"x = {row.x:g}, {row.method}: {row.status}")
    print(f"{len(table):,} requests in {planned.path}")
    return 0


def _taken(known: Path, planned: Planned) -> bool:
    """Copy a table if it is current, as what is planned."""
    from dataclasses import replace

    from bprr.ground.storage import replacing
    from bprr.study.status import state_of

    if state_of(replace(planned, path=known)).word != "current":
        return False
    with replacing(planned.path) as unfinished:
        shutil.copyfile(known, unfinished)
    print(f"{planned.path}: taken from {known}")
    return True
