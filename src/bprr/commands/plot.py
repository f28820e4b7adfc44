"""``bprr plot``: figures and tables from results."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from bprr.commands.captions import add_caption_options, caption_from
from bprr.settings.shipped import SHIPPED

__all__ = ["add_command"]

PUBLISHED = SHIPPED / "data/published"


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "plot",
        help="make a figure or table from results",
        example="plot sweep results/sweeps/fig10_abovenet.parquet -o figures/fig10_abovenet.pdf",
    )
    kinds = command.add_subparsers(dest="what", required=True, metavar="WHAT")

    sweep = _kind(kinds, "sweep", _sweep, "figure of one sweep on one topology")
    sweep.add_argument("results", type=Path, help="results/sweeps/<figure>_<topology>.parquet")
    artefact = PUBLISHED / "artefact_sweeps.csv"
    sweep.add_argument("--artefact", type=Path, default=artefact, help="means of the artefact")

    headline = _kind(kinds, "headline", _headline, "proposed method relative to PETALS, all sweeps")
    headline.add_argument("results", type=Path, nargs="+", help="files of the sweeps to show")
    headline.add_argument("--found", type=Path, help="figures/tables_found.csv, for the answer")

    modes = _kind(kinds, "two-modes", _two_modes, "means whose runs fall into two groups")
    modes.add_argument("results", type=Path, nargs="+", help="files of the sweeps to show")

    orders = _kind(kinds, "orders", _orders, "distributions over orders of joining")
    orders.add_argument("results", type=Path, nargs="+", help="files of the sweep")

    table = _kind(kinds, "table", _table, "Table III or VI, published beside ours")
    table.add_argument("results", type=Path, nargs="+", help="files of the table's sweep")

    found = _kind(kinds, "tables-found", _tables_found, "Tables III and VI in both settings")
    found.add_argument("results", type=Path, nargs="+", help="files of all three sweeps")

    served = _kind(
        kinds, "tables-queues", _tables_queues, "Tables III and VI against the GPUs, by service"
    )
    served.add_argument("results", type=Path, nargs="+", help="files of all four sweeps")

    sensitivity = _kind(kinds, "sensitivity", _sensitivity, "how sharp the settings found are")
    sensitivity.add_argument("results", type=Path, nargs="+", help="files of the sweep")

    services = _kind(
        kinds, "service-models", _service_models, "times under every model of a server's computing"
    )
    services.add_argument("results", type=Path, nargs="+", help="files of the sweeps to show")

    beyond = _kind(kinds, "beyond", _beyond, "better methods against load, beside bounds")
    beyond.add_argument("results", type=Path, nargs="+", help="files of the sweeps to show")
    beyond.add_argument("--bounds", type=Path, nargs="+", required=True, help="of bprr bounds")

    living = _kind(kinds, "living", _living, "servers that fail, join and are given other blocks")
    living.add_argument("results", type=Path, nargs="+", help="files of the sweeps to show")

    robust = _kind(kinds, "robust", _robust, "better methods with one thing changed")
    robust.add_argument("results", type=Path, nargs="+", help="files of the sweep")

    frontier = _kind(kinds, "frontier", _frontier, "what the order of service costs")
    frontier.add_argument("results", type=Path, nargs="+", help="files of the sweep")

    running_times = _kind(kinds, "running-times", _running_times, "Table VIII")
    running_times.add_argument("results", type=Path, help="results/timing/table8.parquet")

    sweep_times = _kind(kinds, "sweep-times", _sweep_times, "running times at points of sweeps")
    sweep_times.add_argument("results", type=Path, help="results/timing/sweeps.parquet")

    swarm = _kind(kinds, "swarm", _swarm, "map of a swarm: servers, blocks, chains in use")
    swarm.add_argument("sweep", help="which sweep, e.g. fig10")
    swarm.add_argument("topology", help="where, e.g. abovenet")
    swarm.add_argument("--x", type=float, required=True, help="which point of the sweep")

    parts = _kind(kinds, "decomposition", _decomposition, "where the gain comes from")
    parts.add_argument("results", type=Path, help="results/decomposition.csv")

    claims = _kind(kinds, "claims", _claims, "claims by how servers compute")
    claims.add_argument("results", type=Path, help="results/claims_by_service.csv")

    fit = kinds.add_parser("fit", help="a fitted device profile and what it rests on")
    fit.add_argument("folder", type=Path, help="what bprr fit wrote: results/fit/<device>")
    fit.add_argument("-o", "--output", type=Path, required=True, help="PDF; the rest beside it")
    fit.set_defaults(run=_fit)

    wan = kinds.add_parser("wan", help="models against measurements of real swarms")
    wan.add_argument("results", type=Path, help="what bprr wan wrote: results/wan_swarms.csv")
    wan.add_argument("-o", "--output", type=Path, required=True, help="PDF; the rest beside it")
    wan.set_defaults(run=_wan)

    for kind in (table, found, served, sensitivity, running_times):
        kind.add_argument("--published", type=Path, default=PUBLISHED / "results.csv")


def _kind(
    kinds: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    kind = kinds.add_parser(name, help=text)
    add_caption_options(kind)
    kind.add_argument("-o", "--output", type=Path, required=True, help="PDF; the rest beside it")
    kind.set_defaults(run=run)
    return kind


def _written(paths: list[Path]) -> int:
    for path in paths:
        print(path)
    return 0


def _sweep(arguments: argparse.Namespace) -> int:
    from bprr.figures.sweep import plot_sweep

    caption, stem = caption_from(arguments), arguments.output.with_suffix("")
    return _written(plot_sweep(arguments.results, caption, arguments.artefact, stem))


def _headline(arguments: argparse.Namespace) -> int:
    from bprr.figures.headline import plot_headline

    caption, stem = caption_from(arguments), arguments.output.with_suffix("")
    return _written(plot_headline(arguments.results, caption, stem, arguments.found))


def _two_modes(arguments: argparse.Namespace) -> int:
    from bprr.figures.two_modes import render_two_modes

    caption, stem = caption_from(arguments), arguments.output.with_suffix("")
    return _written(render_two_modes(arguments.results, caption, stem))


def _orders(arguments: argparse.Namespace) -> int:
    from bprr.figures.orders import plot_orders

    caption, stem = caption_from(arguments), arguments.output.with_suffix("")
    return _written(plot_orders(arguments.results, caption, stem))


def _table(arguments: argparse.Namespace) -> int:
    from bprr.figures.tables import render_table

    caption, stem = caption_from(arguments), arguments.output.with_suffix("")
    return _written(render_table(arguments.results, caption, arguments.published, stem))


def _tables_found(arguments: argparse.Namespace) -> int:
    from bprr.figures.tables_found import plot_tables_found

    caption, stem = caption_from(arguments), arguments.output.with_suffix("")
    return _written(plot_tables_found(arguments.results, caption, arguments.published, stem))


def _tables_queues(arguments: argparse.Namespace) -> int:
    from bprr.figures.tables_queues import plot_tables_queues

    caption, stem = caption_from(arguments), arguments.output.with_suffix("")
    return _written(plot_tables_queues(arguments.results, caption, arguments.published, stem))


def _sensitivity(arguments: argparse.Namespace) -> int:
    from bprr.figures.sensitivity import plot_sensitivity

    caption, stem = caption_from(arguments), arguments.output.with_suffix("")
    return _written(plot_sensitivity(arguments.results, caption, arguments.published, stem))


def _service_models(arguments: argparse.Namespace) -> int:
    from bprr.figures.service_models import plot_service_models

    caption, stem = caption_from(arguments), arguments.output.with_suffix("")
    return _written(plot_service_models(arguments.results, caption, stem))


def _beyond(arguments: argparse.Namespace) -> int:
    from bprr.figures.beyond import plot_beyond
    from bprr.study.planned import planned_bounds

    shown = {path.name for path in arguments.bounds}
    caption = caption_from(
        arguments,
        lambda settings: [
            planned_bounds(settings, name, topology)
            for name, sweep in settings.sweeps.items()
            for topology in sweep.topologies
            if f"{name}_{topology}.parquet" in shown
        ],
    )
    stem = arguments.output.with_suffix("")
    return _written(plot_beyond(arguments.results, arguments.bounds, caption, stem))


def _living(arguments: argparse.Namespace) -> int:
    from bprr.figures.living import plot_living

    caption, stem = caption_from(arguments), arguments.output.with_suffix("")
    return _written(plot_living(arguments.results, caption, stem))


def _robust(arguments: argparse.Namespace) -> int:
    from bprr.figures.robust import plot_robust

    caption, stem = caption_from(arguments), arguments.output.with_suffix("")
    return _written(plot_robust(arguments.results, caption, stem))


def _frontier(arguments: argparse.Namespace) -> int:
    from bprr.figures.frontier import plot_frontier

    caption, stem = caption_from(arguments), arguments.output.with_suffix("")
    return _written(plot_frontier(arguments.results, caption, stem))


def _running_times(arguments: argparse.Namespace) -> int:
    from bprr.figures.running_times import render_running_times
    from bprr.study.timing import planned_times

    caption = caption_from(arguments, lambda settings: [planned_times(settings)])
    stem = arguments.output.with_suffix("")
    return _written(render_running_times(arguments.results, caption, arguments.published, stem))


def _sweep_times(arguments: argparse.Namespace) -> int:
    from bprr.figures.sweep_times import plot_sweep_times

    caption, stem = caption_from(arguments), arguments.output.with_suffix("")
    return _written(plot_sweep_times(arguments.results, caption, stem))


def _swarm(arguments: argparse.Namespace) -> int:
    from bprr.figures.swarm_map import plot_map
    from bprr.study.slices import settings_at
    from bprr.study.swarm_view import view_swarm

    settings, caption = settings_at(arguments.config), caption_from(arguments)
    pair = [caption.compared.baseline, caption.compared.method]
    view = view_swarm(settings, arguments.sweep, arguments.topology, arguments.x, pair)
    return _written(plot_map(view, caption, arguments.topology, arguments.output.with_suffix("")))


def _decomposition(arguments: argparse.Namespace) -> int:
    from bprr.figures.decomposition import plot_decomposition

    caption, stem = caption_from(arguments), arguments.output.with_suffix("")
    return _written(plot_decomposition(arguments.results, caption, stem))


def _claims(arguments: argparse.Namespace) -> int:
    from bprr.figures.claims_services import plot_claims_services

    caption, stem = caption_from(arguments), arguments.output.with_suffix("")
    return _written(plot_claims_services(arguments.results, caption, stem))


def _fit(arguments: argparse.Namespace) -> int:
    from bprr.figures.fit_time import plot_fit

    return _written(plot_fit(arguments.folder, arguments.output.with_suffix("")))


def _wan(arguments: argparse.Namespace) -> int:
    from bprr.figures.wan_swarms import plot_wan_swarms

    return _written(plot_wan_swarms(arguments.results, arguments.output.with_suffix("")))
