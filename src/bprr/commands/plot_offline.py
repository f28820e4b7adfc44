"""``bprr plot-offline FIGURE``: figures of the offline optimum."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["FIGURES", "add_command"]

FIGURES = ("optimality", "theorem_2", "solver_race", "relaxed_stopping", "equal_blocks")


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser("plot-offline", help="figure of one offline experiment")
    command.add_argument("figure", choices=FIGURES)
    command.add_argument("results", type=Path, help="results/offline/<figure>.parquet")
    command.add_argument(
        "-o", "--output", type=Path, required=True, help="the figure's PDF; PNG, CSV beside it"
    )
    command.set_defaults(run=run_plot)


def run_plot(arguments: argparse.Namespace) -> int:
    """Draw one figure."""
    from bprr.figures import offline_optimality, offline_race, offline_variants, style
    from bprr.ground import results
    from bprr.ground.storage import read_provenance
    from bprr.ground.tables import Schema, read_table

    drawn: dict[str, tuple[Schema, Callable[[pd.DataFrame], Figure]]] = {
        "optimality": (results.OPTIMALITY, offline_optimality.draw_optimality),
        "theorem_2": (results.THEOREM_2, offline_optimality.draw_bound),
        "solver_race": (results.SOLVER_RACE, offline_race.draw_race),
        "relaxed_stopping": (results.STOPPING, offline_variants.draw_stopping),
        "equal_blocks": (results.EQUAL_BLOCKS, offline_variants.draw_equal_blocks),
    }
    schema, draw = drawn[arguments.figure]
    table = read_table(arguments.results, schema)
    if arguments.figure == "optimality":
        table = offline_optimality.optimality_table(table)
        settings = read_provenance(arguments.results).get("settings", {})
        network = settings.get("offline", {}).get("network", "")
        figure = offline_optimality.draw_optimality(table, network)
    else:
        figure = draw(table)
    for path in style.save(figure, table, arguments.output.with_suffix("")):
        print(path)
    return 0
