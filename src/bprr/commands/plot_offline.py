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
    from bprr.ground.storage import read_table

    draw: dict[str, Callable[[pd.DataFrame], Figure]] = {
        "optimality": offline_optimality.draw_optimality,
        "theorem_2": offline_optimality.draw_bound,
        "solver_race": offline_race.draw_race,
        "relaxed_stopping": offline_variants.draw_stopping,
        "equal_blocks": offline_variants.draw_equal_blocks,
    }
    table = read_table(arguments.results)
    if arguments.figure == "optimality":
        table = offline_optimality.optimality_table(table)
    figure = draw[arguments.figure](table)
    for path in style.save(figure, table, arguments.output.with_suffix("")):
        print(path)
    return 0
