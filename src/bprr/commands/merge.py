"""``bprr merge NAME TOPOLOGY PART...``: put the parts of a sweep together."""

from __future__ import annotations

import argparse
from pathlib import Path

from bprr.commands.arguments import add_config

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "merge",
        help="put the parts of a sweep together",
        example="merge fig7 abovenet first-half.parquet second-half.parquet",
    )
    command.add_argument("name", help="of the sweep, e.g. fig7")
    command.add_argument("topology", help="where, e.g. abovenet")
    command.add_argument("parts", nargs="+", type=Path, help="written by bprr sweep --first-run")
    add_config(command)
    command.add_argument("-o", "--output", type=Path, help="Parquet file of the request records")
    command.set_defaults(run=_merge)


def _merge(arguments: argparse.Namespace) -> int:
    from bprr.ground.storage import write_table
    from bprr.study.kept_means import keep_means
    from bprr.study.parts import expected, merged, provenance, read_part
    from bprr.study.planned import planned_sweep
    from bprr.study.slices import settings_at

    settings = settings_at(arguments.config)
    pair, runs = (arguments.name, arguments.topology), settings.runs_of(arguments.name)
    parts = []
    for path, held in zip(arguments.parts, expected(arguments.parts, runs), strict=True):
        planned = planned_sweep(settings, *pair, runs=held.stop)
        parts.append(read_part(path, held, planned.provenance(), planned.source))
    table, rows = merged(parts)
    whole = planned_sweep(settings, *pair, arguments.output)
    write_table(table, whole.path, provenance(whole.provenance(), 0, rows), whole.source)
    keep_means(table, whole.path)
    print(f"{len(table):,} requests of {runs} runs in {whole.path}")
    return 0
