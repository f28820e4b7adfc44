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
    plan = actions.add_parser("plan", help="serve from the files that bprr plan writes (as run)")
    plan.add_argument("settings", type=Path, help="e.g. config/testbed/planned.yaml")
    plan.add_argument("-o", "--output", type=Path, required=True, help="folder of the run")
    plan.add_argument("--logs", type=Path, help="folder that keeps the logs of all processes")
    plan.set_defaults(run=_plan)
    frames = actions.add_parser("frames", help="round trips of frames after pauses (as run)")
    frames.add_argument("settings", type=Path, help="e.g. config/testbed/frames.yaml")
    frames.add_argument("-o", "--output", type=Path, required=True, help="folder of the run")
    frames.add_argument("--logs", type=Path, help="folder that keeps the logs of PETALS")
    frames.set_defaults(run=_frames)
    rivals = actions.add_parser("rivals", help="methods side by side under load (as run)")
    rivals.add_argument("settings", type=Path, help="e.g. config/testbed/rivals.yaml")
    rivals.add_argument("-o", "--output", type=Path, required=True, help="folder of the run")
    add_config(rivals)
    rivals.add_argument("--logs", type=Path, help="folder that keeps the logs of all processes")
    rivals.set_defaults(run=_rivals)
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
    plans = actions.add_parser("plan-report", help="what plans said, beside what PETALS did")
    plans.add_argument("folder", type=Path, nargs="?", help="of the run; default: the shipped one")
    plans.add_argument("-o", "--output", type=Path, help="stem of the files to write")
    add_config(plans)
    plans.set_defaults(run=_plan_report)
    windows = actions.add_parser("frames-report", help="these round trips beside predicted ones")
    windows.add_argument("folder", type=Path, nargs="?", help="of the run; default: the shipped")
    windows.add_argument("-o", "--output", type=Path, help="stem of the files to write")
    windows.set_defaults(run=_frames_report)
    contest = actions.add_parser("rivals-report", help="methods beside what is predicted of them")
    contest.add_argument("folder", type=Path, nargs="?", help="of the run; default: the shipped")
    contest.add_argument("-o", "--output", type=Path, help="stem of the files to write")
    add_config(contest)
    contest.set_defaults(run=_rivals_report)
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


def _plan(arguments: argparse.Namespace) -> int:
    from shutil import copytree
    from tempfile import TemporaryDirectory

    from bprr.testbed.planned import run_planned
    from bprr.testbed.planned_records import write_planned
    from bprr.testbed.planned_settings import load_planned

    settings = load_planned(arguments.settings)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        run = _run_here(
            lambda: run_planned(
                settings, folder, arguments.logs, lambda line: print(line, flush=True)
            )
        )
        if run is None:
            return SKIPPED
        write_planned(run, folder)
        copytree(folder, arguments.output, dirs_exist_ok=True)
    return 0


def _frames(arguments: argparse.Namespace) -> int:
    from bprr.testbed.frames import load_frames, run_frames, write_frames

    settings = load_frames(arguments.settings)
    run = _run_here(
        lambda: run_frames(settings, arguments.logs, lambda line: print(line, flush=True))
    )
    if run is None:
        return SKIPPED
    write_frames(run, arguments.output)
    return 0


def _rivals(arguments: argparse.Namespace) -> int:
    from bprr.testbed.rivals import run_rivals
    from bprr.testbed.rivals_records import write_rivals
    from bprr.testbed.rivals_settings import load_rivals

    run = _measured(run_rivals, load_rivals(arguments.settings), arguments)
    if run is None:
        return SKIPPED
    write_rivals(run, arguments.output)
    return 0


def _measured(
    measure: Callable[..., R], settings: object, arguments: argparse.Namespace
) -> R | None:
    """What a run with the devices and models of a configuration measures."""
    from bprr.settings.configuration import load_settings
    from bprr.study.points import catalogue

    known = catalogue(load_settings(arguments.config))
    return _run_here(
        lambda: measure(settings, known, arguments.logs, lambda line: print(line, flush=True))
    )


def _run_here(measure: Callable[[], R]) -> R | None:
    """What a run measures; None where this machine cannot run it, which is said."""
    import signal
    import sys

    from bprr.testbed.experiment import CannotRun

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leave the swarm in order
    try:
        return measure()
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


def _plan_report(arguments: argparse.Namespace) -> int:
    from bprr.settings.configuration import load_settings
    from bprr.settings.shipped import SHIPPED
    from bprr.testbed.planned_records import read_planned
    from bprr.testbed.planned_report import compared, planned_table, summary_of_plans

    folder = arguments.folder or SHIPPED / "data/traces/testbed_planned"
    run = read_planned(folder)
    comparison = compared(run, folder, load_settings(arguments.config))
    table = planned_table(run, comparison, folder)
    print(table.markdown())
    print(summary_of_plans(run, comparison, folder))
    if arguments.output:
        for path in table.save(comparison, arguments.output):
            print(path)
    return 0


def _frames_report(arguments: argparse.Namespace) -> int:
    from bprr.settings.shipped import SHIPPED
    from bprr.testbed.frames import read_frames
    from bprr.testbed.frames_report import (
        render_windows,
        round_trips,
        summary_of_windows,
        windows_table,
    )

    run = read_frames(arguments.folder or SHIPPED / "data/traces/testbed_frames")
    table = round_trips(run)
    for rtt_ms in run.manifest.settings.rtt_ms:
        print(f"Round trips there and back, {rtt_ms:g} ms away\n")
        print(windows_table(table, rtt_ms) + "\n")
    print(summary_of_windows(run, table))
    if arguments.output:
        for path in render_windows(run, table, arguments.output):
            print(path)
    return 0


def _rivals_report(arguments: argparse.Namespace) -> int:
    from bprr.settings.configuration import load_settings
    from bprr.settings.shipped import SHIPPED
    from bprr.study.points import catalogue
    from bprr.testbed.rivals_records import read_rivals
    from bprr.testbed.rivals_report import rivals_compared, rivals_table, summary_of_rivals

    run = read_rivals(arguments.folder or SHIPPED / "data/traces/testbed_rivals")
    compared = rivals_compared(run, catalogue(load_settings(arguments.config)))
    table = rivals_table(run, compared)
    print(table.markdown())
    print(summary_of_rivals(run, compared))
    if arguments.output:
        for path in table.save(compared, arguments.output):
            print(path)
    return 0
