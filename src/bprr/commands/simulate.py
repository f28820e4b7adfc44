"""``bprr simulate SCENARIO``: one scenario, several methods, a summary on the screen."""

from __future__ import annotations

import argparse
from pathlib import Path

from bprr.commands.arguments import add_config, add_overrides, whole_number

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser("simulate", help="simulate one scenario")
    command.add_argument("scenario", help="file, or name of one of the configuration")
    add_overrides(command)
    command.add_argument(
        "--method", action="append", metavar="NAME", help="repeatable; default: the compared pair"
    )
    command.add_argument(
        "--runs", type=whole_number, default=10, help="Monte-Carlo runs (default 10)"
    )
    command.add_argument("--delays", metavar="VARIANT", help="delay variant; default: no delays")
    add_config(command)
    command.add_argument("-o", "--output", type=Path, help="Parquet file of the request records")
    command.set_defaults(run=_simulate)


def _simulate(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from bprr.ground.source import source_hash
    from bprr.ground.storage import write_table
    from bprr.settings.overrides import parse_override
    from bprr.study.points import catalogue
    from bprr.study.single import scenario_provenance, single_point
    from bprr.study.slices import policy_modules, settings_at
    from bprr.study.sweep import simulate_point

    settings = settings_at(arguments.config)
    overrides = dict(parse_override(text) for text in arguments.set)
    point = single_point(
        settings, arguments.scenario, overrides, arguments.method, arguments.delays
    )
    with tqdm(total=arguments.runs, unit="run", disable=arguments.runs < 2) as bar:
        table = simulate_point(
            point, catalogue(settings), settings.seed, arguments.runs, bar.update
        )
    print(f"{'method':<28} {'runs':>4} {'s per token':>12} {'TTFT (s)':>9} {'wait (s)':>9}")
    for name, method in point.methods.items():
        rows = table[table["method"] == name]
        served = rows[rows["status"] == "ok"]
        label = method.label or name
        for status in sorted(set(rows["status"]) - {"ok"}):
            print(f"{label:<28} {status}")
        if len(served):
            tokens = served["output_tokens"]
            per_token_ms = (served["per_token_ms"] * tokens).sum() / tokens.sum()
            print(
                f"{label:<28} {served['run'].nunique():>4} {per_token_ms / 1000:>12.3f} "
                f"{served['ttft_ms'].mean() / 1000:>9.2f} {served['wait_ms'].mean() / 1000:>9.2f}"
            )
    if arguments.output:
        record = {**scenario_provenance(point, catalogue(settings)), "seed": settings.seed}
        modules = sorted(policy_modules([point]), key=str)
        source = source_hash("bprr.study.sweep", *modules)
        write_table(table, arguments.output, record, source)
        print(f"{len(table):,} requests in {arguments.output}")
    return 0
