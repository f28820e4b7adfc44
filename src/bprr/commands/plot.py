"""``bprr plot``: figures and tables from results."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_command"]

ARTEFACT_MEANS = Path("data/published/artefact_sweeps.csv")


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser("plot", help="make a figure or table from results")
    kinds = command.add_subparsers(dest="what", required=True, metavar="WHAT")

    sweep = kinds.add_parser("sweep", help="figure of one sweep on one topology")
    sweep.add_argument("results", type=Path, help="results/sweeps/<figure>_<topology>.parquet")
    sweep.add_argument("--artefact", type=Path, default=ARTEFACT_MEANS, help="reference means")
    sweep.set_defaults(run=_sweep)

    fit = kinds.add_parser("fit", help="figure of a fitted device profile")
    fit.add_argument("folder", type=Path, help="what bprr fit wrote: results/fit/<device>")
    fit.add_argument(
        "-o", "--output", type=Path, required=True, help="the figure's PDF; PNG, CSV beside it"
    )
    fit.set_defaults(run=_fit)

    for kind in (sweep,):
        kind.add_argument("--config", type=Path, default=Path("config/default.yaml"))
        kind.add_argument(
            "-o", "--output", type=Path, required=True, help="the figure's PDF; PNG, CSV beside it"
        )


def _sweep(arguments: argparse.Namespace) -> int:
    from bprr.config import load_settings
    from bprr.figures.sweep import plot_sweep

    settings = load_settings(arguments.config)
    stem = arguments.output.with_suffix("")
    for path in plot_sweep(arguments.results, settings, arguments.artefact, stem):
        print(path)
    return 0


def _fit(arguments: argparse.Namespace) -> int:
    from bprr.figures.fit_time import plot_fit

    for path in plot_fit(arguments.folder, arguments.output.with_suffix("")):
        print(path)
    return 0
