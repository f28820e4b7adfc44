"""``bprr simulate SCENARIO``: one scenario, several methods, a summary on the screen."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser("simulate", help="simulate one scenario")
    command.add_argument("scenario", type=Path, help="e.g. config/scenarios/scattered.yaml")
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. fleet.servers=12"
    )
    command.add_argument(
        "--method", action="append", metavar="NAME", help="repeatable; default: petals, proposed"
    )
    command.add_argument("--runs", type=int, default=10, help="Monte-Carlo runs (default 10)")
    command.add_argument(
        "--delays", choices=("published", "none"), default="none", help="allocation delays"
    )
    command.add_argument("--config", type=Path, default=Path("config/default.yaml"))
    command.add_argument("-o", "--output", type=Path, help="Parquet file of the request records")
    command.set_defaults(run=_simulate)


def _simulate(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from bprr.ground.errors import InputError
    from bprr.ground.storage import write_table
    from bprr.settings.configuration import load_scenario, load_settings, parse_override
    from bprr.study.sweep import (
        SweepPoint,
        catalogue,
        check_policies,
        scenario_provenance,
        simulate_point,
    )

    if arguments.runs < 1:
        raise InputError("command line", "--runs", arguments.runs, "at least 1")
    settings = load_settings(arguments.config)
    overrides = dict(parse_override(text) for text in arguments.set)
    scenario = load_scenario(arguments.scenario, overrides)
    check_policies(settings, [scenario])
    names = arguments.method or ["petals", "proposed"]
    for name in names:
        if name not in settings.methods:
            raise InputError(arguments.config, "methods", name, ", ".join(settings.methods))
    methods = {name: settings.methods[name] for name in names}
    profiles = catalogue(settings)
    with tqdm(total=arguments.runs, unit="run", disable=arguments.runs < 2) as bar:
        table = simulate_point(
            SweepPoint(0.0, scenario),
            profiles,
            methods,
            [arguments.delays],
            settings.seed,
            arguments.runs,
            bar.update,
        )
    print(f"{'method':<28} {'runs':>4} {'s per token':>12} {'TTFT (s)':>9} {'wait (s)':>9}")
    for name, method in methods.items():
        rows = table[table["method"] == name]
        served = rows[rows["status"] == "ok"]
        for status in sorted(set(rows["status"]) - {"ok"}):
            print(f"{method.label:<28} {status}")
        if len(served):
            means = served[["per_token_ms", "ttft_ms", "wait_ms"]].mean() / 1000.0
            runs = served["run"].nunique()
            print(
                f"{method.label:<28} {runs:>4} {means['per_token_ms']:>12.3f} "
                f"{means['ttft_ms']:>9.2f} {means['wait_ms']:>9.2f}"
            )
    if arguments.output:
        record = scenario_provenance(scenario, profiles)
        write_table(table, arguments.output, {**record, "seed": settings.seed})
        print(f"{len(table):,} requests in {arguments.output}")
    return 0
