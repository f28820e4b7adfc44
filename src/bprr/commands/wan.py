"""``bprr wan``: models of swarms as they run today against what others measured."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bprr.commands.arguments import add_json
from bprr.settings.shipped import SHIPPED

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "wan",
        help="models of real swarms against measurements",
        example="wan",
    )
    measured = SHIPPED / "data/wan_swarms"
    command.add_argument("folder", type=Path, nargs="?", default=measured, help="tables of swarms")
    command.add_argument("-o", "--output", type=Path, help="CSV of every number and model")
    add_json(command)
    command.set_defaults(run=_wan)


def _wan(arguments: argparse.Namespace) -> int:
    import pandas as pd

    from bprr.ground.storage import replacing
    from bprr.wan.measured import read_measured
    from bprr.wan.validation import compared, errors
    from bprr.wan.what_ifs import directions, measured_what_ifs

    table = compared(read_measured(arguments.folder))
    changes = measured_what_ifs(arguments.folder)
    if arguments.output is not None:
        rows = changes.rename(columns={"model": "ring", "step": "arm"}).drop(columns="right")
        quantity = "after / before: " + rows["quantity"]
        rows = rows.assign(group="changes", run="", model="what-if", quantity=quantity)
        with replacing(arguments.output) as unfinished:
            pd.concat([table, rows[table.columns]]).to_csv(
                unfinished, index=False, float_format="%.9g", lineterminator="\n"
            )
    if arguments.json:
        told = {"errors": errors(table), "changes": changes}
        print(
            json.dumps(
                {name: json.loads(each.to_json(orient="records")) for name, each in told.items()}
            )
        )
        return 0
    print(f"{'sizes of the errors in %':32} {'model':14} {'n':>4} {'median':>7} {'90 %':>6} worst")
    lines: Iterator[Any] = errors(table).itertuples()
    for line in lines:
        sizes = f"{100 * line.median:7.1f} {100 * line.p90:6.1f} {100 * line.worst:5.0f}"
        print(f"{line.group:32} {line.model:14} {line.n:4} {sizes}")
    unknown = table[table["predicted"].isna()]["run"].nunique()
    right, steps = directions(changes)
    size = 100 * changes["error"].abs().median()
    print(f"{unknown} runs lack an input that was not published")
    print(f"changes: {right} of {steps} in the right direction, median error {size:.1f} %")
    return 0
