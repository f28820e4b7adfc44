"""``bprr plot-offline FIGURE``: figures of the offline optimum."""

from __future__ import annotations

import argparse
from pathlib import Path

from bprr.commands.arguments import add_config

__all__ = ["FIGURES", "add_command"]

FIGURES = ("optimality", "theorem_2", "solver_race", "relaxed_stopping", "equal_blocks")


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "plot-offline",
        help="figure of one offline experiment",
        example="plot-offline optimality results/offline/optimality.parquet -o optimality.pdf",
    )
    command.add_argument("figure", choices=FIGURES)
    command.add_argument("results", type=Path, help="results/offline/<figure>.parquet")
    add_config(command)
    command.add_argument(
        "-o", "--output", type=Path, required=True, help="the figure's PDF; PNG, CSV beside it"
    )
    command.set_defaults(run=run_plot)


def run_plot(arguments: argparse.Namespace) -> int:
    """Draw one figure, of a table that the settings ask for."""
    from bprr.figures.from_settings import made_of
    from bprr.figures.made import check_made
    from bprr.figures.offline import plot_offline
    from bprr.study.offline import KINDS, planned_experiment
    from bprr.study.slices import settings_at

    settings = settings_at(arguments.config)
    planned = (planned_experiment(settings, arguments.figure, kind) for kind in KINDS)
    check_made(arguments.results, *map(made_of, planned))
    for path in plot_offline(arguments.figure, arguments.results, arguments.output.with_suffix("")):
        print(path)
    return 0
