"""``bprr testbed run`` and ``bprr testbed report``: genuine PETALS beside the simulator."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bprr.commands.arguments import add_config, add_json, print_json

__all__ = ["add_command"]

R = TypeVar("R")
SKIPPED = 3  # exit status of a run that this machine cannot do


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "testbed",
        help="genuine PETALS beside the simulator",
        example="testbed report",
    )
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    run = actions.add_parser("run", help="measure and predict (Linux, root, make testbed)")
    run.add_argument("settings", type=Path, help="e.g. config/testbed/smoke.yaml")
    run.add_argument("-o", "--output", type=Path, required=True, help="folder of the run")
    add_config(run)
    run.add_argument("--logs", type=Path, help="folder that keeps the logs of all processes")
    run.set_defaults(run=_run)
    load = actions.add_parser("load", help="measure sessions that queue (as run)")
    load.add_argument("settings", type=Path, help="e.g. config/testbed/loaded.yaml")
    load.add_argument("-o", "--output", type=Path, required=True, help="folder of the run")
    add_config(load)
    load.add_argument("--logs", type=Path, help="folder that keeps the logs of all processes")
    load.set_defaults(run=_load)
    check = actions.add_parser("check", help="can this machine run a swarm?")
    check.add_argument(
        "--machine", action="store_true", help="whether or not `make testbed` has been run"
    )
    add_json(check)
    check.set_defaults(run=_check)
    report = actions.add_parser("report", help="table, scatter plot, CDFs and summary of a run")
    report.add_argument("folder", type=Path, nargs="?", help="of the run; default: the shipped one")
    report.add_argument("-o", "--output", type=Path, help="stem of the files to write")
    add_json(report)
    report.set_defaults(run=_report)
    loads = actions.add_parser(
        "load-report", help="queueing measured, beside every model of how servers compute"
    )
    loads.add_argument("folder", type=Path, nargs="?", help="of the run; default: the shipped one")
    loads.add_argument("-o", "--output", type=Path, help="stem of the files to write")
    loads.add_argument("--results", type=Path, help="Parquet file of the errors of every case")
    loads.set_defaults(run=_load_report)


def _run(arguments: argparse.Namespace) -> int:
    from bprr.testbed.experiment import run_testbed
    from bprr.testbed.records import write_run
    from bprr.testbed.report import layout, summary_text
    from bprr.testbed.settings import load_testbed

    run = _measured(run_testbed, load_testbed(arguments.settings), arguments)
    if run is None:
        return SKIPPED
    write_run(run, arguments.output)
    print(layout(run).markdown())
    print(summary_text(run))
    return 0


def _load(arguments: argparse.Namespace) -> int:
    from bprr.testbed.loaded import run_loaded
    from bprr.testbed.loaded_records import write_loaded
    from bprr.testbed.loaded_settings import load_loaded

    run = _measured(run_loaded, load_loaded(arguments.settings), arguments)
    if run is None:
        return SKIPPED
    write_loaded(run, arguments.output)
    return 0


def _measured(
    measure: Callable[..., R], settings: object, arguments: argparse.Namespace
) -> R | None:
    """What a run measures; None where this machine cannot run it, which is said."""
    import signal
    import sys

    from bprr.settings.configuration import load_settings
    from bprr.study.points import catalogue
    from bprr.testbed.experiment import CannotRun

    known = catalogue(load_settings(arguments.config))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leave the swarm in order
    try:
        return measure(settings, known, arguments.logs, lambda line: print(line, flush=True))
    except CannotRun as error:
        print(error)
        return None


def _check(arguments: argparse.Namespace) -> int:
    from bprr.testbed.swarm_process import machine_lacks, what_is_missing

    lacks = machine_lacks() if arguments.machine else what_is_missing()
    if arguments.json:
        print_json({"ready": not lacks, "missing": lacks})
        return SKIPPED if lacks else 0
    if lacks:
        print(f"testbed: skipped, nothing is measured here; missing: {'; '.join(lacks)}")
        return SKIPPED
    print("testbed: this machine can run a swarm")
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from bprr.settings.shipped import SHIPPED
    from bprr.testbed.records import read_run
    from bprr.testbed.report import case_means, layout, render, summary_text

    run = read_run(arguments.folder or SHIPPED / "data/traces/testbed")
    if arguments.json:
        print(case_means(run.requests).to_json(orient="records"))
    else:
        print(layout(run).markdown())
        print(summary_text(run))
    if arguments.output:
        for path in render(run, arguments.output):
            if not arguments.json:
                print(path)
    return 0


def _load_report(arguments: argparse.Namespace) -> int:
    from bprr.ground.source import source_hash
    from bprr.ground.storage import write_table
    from bprr.settings.shipped import SHIPPED
    from bprr.testbed.loaded_prediction import case_errors, compared
    from bprr.testbed.loaded_records import read_loaded
    from bprr.testbed.loaded_report import error_table, render_loaded, summary_of_load

    run = read_loaded(arguments.folder or SHIPPED / "data/traces/testbed_loaded")
    comparison = compared(run)
    print(error_table(comparison).markdown())
    print(summary_of_load(run, comparison))
    if arguments.results:
        source = source_hash("bprr.testbed.loaded_prediction")
        write_table(case_errors(comparison), arguments.results, {}, source)
    if arguments.output:
        for path in render_loaded(run, comparison, arguments.output):
            print(path)
    return 0
