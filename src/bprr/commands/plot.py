"""``bprr plot``: figures and tables from results."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

__all__ = ["add_command"]

PUBLISHED = Path("data/published")


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser("plot", help="make a figure or table from results")
    kinds = command.add_subparsers(dest="what", required=True, metavar="WHAT")

    sweep = _kind(kinds, "sweep", _sweep, "figure of one sweep on one topology")
    sweep.add_argument("results", type=Path, help="results/sweeps/<figure>_<topology>.parquet")
    artefact = PUBLISHED / "artefact_sweeps.csv"
    sweep.add_argument("--artefact", type=Path, default=artefact, help="means of the artefact")

    headline = _kind(kinds, "headline", _headline, "proposed method relative to PETALS, all sweeps")
    headline.add_argument("results", type=Path, nargs="+", help="files of the sweeps to show")

    table = _kind(kinds, "table", _table, "Table III or VI, published beside ours")
    table.add_argument("results", type=Path, nargs="+", help="files of the table's sweep")

    running_times = _kind(kinds, "running-times", _running_times, "Table VIII")
    running_times.add_argument("results", type=Path, help="results/timing/table8.parquet")

    swarm = _kind(kinds, "swarm", _swarm, "map of a swarm: servers, blocks, chains in use")
    swarm.add_argument("topology", help="where, e.g. abovenet")

    parts = kinds.add_parser("decomposition", help="where the gain comes from")
    parts.add_argument("results", type=Path, help="results/decomposition.csv")
    parts.add_argument("-o", "--output", type=Path, required=True, help="PDF; the rest beside it")
    parts.set_defaults(run=_decomposition)

    fit = kinds.add_parser("fit", help="a fitted device profile and what it rests on")
    fit.add_argument("folder", type=Path, help="what bprr fit wrote: results/fit/<device>")
    fit.add_argument("-o", "--output", type=Path, required=True, help="PDF; the rest beside it")
    fit.set_defaults(run=_fit)

    for kind in (table, running_times):
        kind.add_argument("--published", type=Path, default=PUBLISHED / "results.csv")


def _kind(
    kinds: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    kind = kinds.add_parser(name, help=text)
    kind.add_argument("--config", type=Path, default=Path("config/default.yaml"))
    kind.add_argument("-o", "--output", type=Path, required=True, help="PDF; the rest beside it")
    kind.set_defaults(run=run)
    return kind


def _written(paths: list[Path]) -> int:
    for path in paths:
        print(path)
    return 0


def _sweep(arguments: argparse.Namespace) -> int:
    from bprr.figures.sweep import plot_sweep
    from bprr.settings.configuration import load_settings

    settings, stem = load_settings(arguments.config), arguments.output.with_suffix("")
    return _written(plot_sweep(arguments.results, settings, arguments.artefact, stem))


def _headline(arguments: argparse.Namespace) -> int:
    from bprr.figures.headline import plot_headline
    from bprr.settings.configuration import load_settings

    settings, stem = load_settings(arguments.config), arguments.output.with_suffix("")
    return _written(plot_headline(arguments.results, settings, stem))


def _table(arguments: argparse.Namespace) -> int:
    from bprr.figures.tables import render_table
    from bprr.settings.configuration import load_settings

    settings, stem = load_settings(arguments.config), arguments.output.with_suffix("")
    return _written(render_table(arguments.results, settings, arguments.published, stem))


def _running_times(arguments: argparse.Namespace) -> int:
    from bprr.figures.running_times import render_running_times
    from bprr.settings.configuration import load_settings

    settings, stem = load_settings(arguments.config), arguments.output.with_suffix("")
    return _written(render_running_times(arguments.results, settings, arguments.published, stem))


def _swarm(arguments: argparse.Namespace) -> int:
    from bprr.figures.swarm_map import plot_map
    from bprr.ground.errors import InputError
    from bprr.settings.configuration import load_settings

    settings, stem = load_settings(arguments.config), arguments.output.with_suffix("")
    if arguments.topology not in settings.topologies:
        known = ", ".join(settings.topologies)
        raise InputError(arguments.config, "topologies", arguments.topology, known)
    return _written(plot_map(settings, arguments.topology, stem))


def _decomposition(arguments: argparse.Namespace) -> int:
    from bprr.figures.decomposition import plot_decomposition

    stem = arguments.output.with_suffix("")
    return _written(plot_decomposition(arguments.results, stem))


def _fit(arguments: argparse.Namespace) -> int:
    from bprr.figures.fit_time import plot_fit

    return _written(plot_fit(arguments.folder, arguments.output.with_suffix("")))
