"""``bprr offline EXPERIMENT``: one experiment on the offline optimum."""

from __future__ import annotations

import argparse
from pathlib import Path

from bprr.commands.solver import add_solver_arguments, chosen

__all__ = ["add_command"]

THEOREM_2 = "theorem_2"
MADE_FROM = ("settings", "settings_hash", "data")  # of the provenance of the table it is from


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "offline",
        help="run one experiment on the offline optimum",
        example="offline optimality --scale smoke -o results/offline/optimality.parquet",
    )
    command.add_argument(
        "experiment",
        choices=("optimality", THEOREM_2, "solver_race", "relaxed_stopping", "equal_blocks"),
    )
    command.add_argument("--scale", help="smoke, main or study")
    command.add_argument("--network", help="where the scattered swarms are")
    command.add_argument("--optimality", type=Path, help="result that theorem_2 is computed from")
    add_solver_arguments(command)
    command.add_argument("-o", "--output", type=Path, required=True, help="Parquet file")
    command.set_defaults(run=_offline)


def _offline(arguments: argparse.Namespace) -> int:
    from bprr.ground.errors import InputError
    from bprr.ground.results import OPTIMALITY
    from bprr.ground.source import source_hash
    from bprr.ground.storage import read_provenance, write_table
    from bprr.ground.tables import read_table
    from bprr.offline.backends.solve import clear_logs
    from bprr.offline.experiments import EXPERIMENTS, Study
    from bprr.offline.experiments.theorem_2 import theorem_2
    from bprr.study.offline import SCATTERED, check_solvers, planned_experiment, scattered
    from bprr.study.points import catalogue
    from bprr.study.slices import settings_at

    if arguments.experiment == THEOREM_2:
        if arguments.optimality is None:
            raise InputError("command line", "--optimality", None, "the table of `optimality`")
        table = theorem_2(read_table(arguments.optimality, OPTIMALITY))
        made = read_provenance(arguments.optimality)
        about = {key: made[key] for key in MADE_FROM if key in made}
        # Made by other code, that table is stale, and so is what follows from it.
        source = made.get("source") or source_hash("bprr.offline.experiments.theorem_2")
    else:
        settings = chosen(arguments, settings_at(arguments.config))
        check_solvers(settings)
        if arguments.log_dir is not None:
            clear_logs(arguments.log_dir)
        study = Study(
            catalogue(settings),
            scattered(settings) if arguments.experiment == SCATTERED else None,
            settings.offline,
            settings.solver,
            settings.seed,
            arguments.log_dir,
        )
        table = EXPERIMENTS[arguments.experiment](study)
        planned = planned_experiment(settings, arguments.experiment)
        about, source = planned.provenance(), planned.source
    write_table(table, arguments.output, {"experiment": arguments.experiment, **about}, source)
    print(f"{len(table):,} rows in {arguments.output}")
    return 0
