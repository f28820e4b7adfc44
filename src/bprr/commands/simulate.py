"""``bprr simulate SCENARIO``: one scenario, several methods, a summary on the screen."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bprr.commands.arguments import (
    add_config,
    add_json,
    add_overrides,
    add_own_files,
    positive_number,
    print_json,
    whole_number,
    with_own_files,
)

__all__ = ["add_command"]

MOST_SERVERS = 30  # that are printed one by one


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "simulate",
        help="simulate one scenario",
        example="simulate config/scenarios/scattered.yaml --runs 2 --set fleet.servers=12",
    )
    command.add_argument("scenario", help="file, or name of one of the configuration")
    add_overrides(command)
    add_own_files(command)
    command.add_argument(
        "--method", action="append", metavar="NAME", help="repeatable; default: the compared pair"
    )
    command.add_argument(
        "--runs", type=whole_number, default=10, help="Monte-Carlo runs (default 10)"
    )
    command.add_argument("--delays", metavar="VARIANT", help="delay variant; default: no delays")
    command.add_argument(
        "--placement",
        type=Path,
        metavar="FILE",
        help="take this placement: bprr solve --json, lines of PETALS' --block_indices a:b in the "
        "order of servers, or a solution file of Helix",
    )
    command.add_argument(
        "--slo-per-token", type=positive_number, metavar="S", help="share of requests within it"
    )
    command.add_argument("--slo-ttft", type=positive_number, metavar="S", help="the same")
    add_json(command)
    add_config(command)
    command.add_argument("-o", "--output", type=Path, help="Parquet file of the request records")
    command.set_defaults(run=_simulate)


def _simulate(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from bprr.ground.source import source_hash
    from bprr.ground.storage import write_table
    from bprr.settings.overrides import parse_override
    from bprr.study.account import Account, Objective
    from bprr.study.cost import length_of
    from bprr.study.points import catalogue
    from bprr.study.single import scenario_provenance, single_point
    from bprr.study.slices import policy_modules, settings_at
    from bprr.study.sweep import simulate_point

    settings = with_own_files(settings_at(arguments.config), arguments)
    overrides = dict(parse_override(text) for text in arguments.set)
    point = single_point(
        settings,
        arguments.scenario,
        overrides,
        arguments.method,
        arguments.delays,
        arguments.placement,
    )
    account = Account(
        {name: each.service or point.scenario.service for name, each in point.methods.items()}
    )
    requests = length_of(point.scenario.workload)
    total = requests and requests * arguments.runs * len(point.methods)
    with tqdm(total=total, unit=" requests", unit_scale=True, delay=1.0) as bar:
        table = simulate_point(
            point,
            catalogue(settings),
            settings.seed,
            arguments.runs,
            bar.update,
            account.observe,
        )
    objective = Objective(arguments.slo_per_token or math.inf, arguments.slo_ttft or math.inf)
    labels = {name: method.label or name for name, method in point.methods.items()}
    told = account.summary(table, labels, objective)
    told["delays_ms"] = {name: dict(delays) for name, delays in point.delays.items()}
    if arguments.json:
        print_json(told)
    else:
        _print(told)
    if arguments.output:
        record = {**scenario_provenance(point, catalogue(settings)), "seed": settings.seed}
        modules = sorted(policy_modules([point]), key=str)
        source = source_hash("bprr.study.sweep", *modules)
        write_table(table, arguments.output, record, source)
        if not arguments.json:
            print(f"{len(table):,} requests in {arguments.output}")
    return 0


def _print(told: Mapping[str, Any]) -> None:
    """Print what a simulation tells, for people; doubts go to standard error."""
    for remark in told["remarks"]:
        print(f"note: {remark}", file=sys.stderr)
    print(
        f"{'method':<28} {'runs':>4} {'s per token':>12} {'TTFT (s)':>9} {'wait (s)':>9}"
        f" {'tokens/s':>9} {'computing':>9} {'cache':>6}"
    )
    for method in told["methods"].values():
        label = method["label"]
        for status, count in method["not_served"].items():
            times = f" ({count:,} requests)" if status.startswith("rejected") else ""
            print(f"{label:<28} {status}{times}")
        if method["requests"]:
            print(
                f"{label:<28} {method['runs']:>4} {method['per_token_s']['mean']:>12.3f}"
                f" {method['ttft_s']['mean']:>9.2f} {method['wait_s']['mean']:>9.2f}"
                f" {method['tokens_per_s']:>9.2f} {method['computing_busiest']:>9.2f}"
                f" {method['cache_fullest']:>6.0%}"
            )
    for variant, delays in told["delays_ms"].items():
        paid = ", ".join(
            f"{told['methods'][name]['label']} {delay_ms / 1000:g} s"
            for name, delay_ms in delays.items()
        )
        print(f"allocation delays ({variant}): {paid}")
    for method in told["methods"].values():
        if method["requests"]:
            _print_method(method)


def _print_method(method: Mapping[str, Any]) -> None:
    print(f"\n{method['label']}: {method['requests']:,} requests in {method['runs']} runs", end="")
    print("" if method["design_load"] is None else f", R = {method['design_load']}", end="")
    print(f", {method['hops']:.1f} servers on a chain")
    for warning in method["warnings"]:
        print(f"  warning: {warning}")
    print(f"  {'seconds':<12} {'mean':>9} {'± 95 %':>9} {'p50':>9} {'p95':>9} {'p99':>9}")
    for name, key in (("per token", "per_token_s"), ("first token", "ttft_s"), ("wait", "wait_s")):
        numbers = method[key].values()
        cells = ("" if value is None else f"{value:.3f}" for value in numbers)
        print(f"  {name:<12} {' '.join(f'{cell:>9}' for cell in cells)}")
    if "living" in method:
        living = method["living"]
        print(
            f"  a living swarm ({living['engine']}):"
            f" {living['cuts_per_request']:.2f} cuts a request,"
            f" {living['tokens_prefilled_again']:.1f} tokens prefilled again,"
            f" blocks placed anew {living['replacements']:.1f} times a run"
        )
    if "within_objective" in method:
        print(f"  within the objective: {method['within_objective']:.1%} of the requests")
    servers = method["servers"]
    if len(servers) > MOST_SERVERS:
        print(f"  first run: {len(servers)} servers, listed by --json")
        return
    print(
        f"  first run: {'server':<24} {'blocks':>9} {'weights':>8} {'cache':>7} {'free GB':>8}"
        f" {'computing':>9} {'held':>5}"
    )
    for each in servers:
        last = each["first_block"] + each["blocks"] - 1
        blocks = f"{each['first_block']}-{last}" if each["blocks"] else "none"
        at = "" if each["at"] in (None, "") else f" at {each['at']}"
        name = f"{each['server']} {each['device']}{at}"
        print(
            f"             {name:<24.24} {blocks:>9} {each['weights_gb']:>8.2f}"
            f" {each['cache_gb']:>7.2f} {each['free_gb']:>8.2f}"
            f" {each['decode'] + each['prefill']:>9.2f} {each['cache_used']:>5.0%}"
        )
    for chain in method["chains"]:
        way = " → ".join(
            f"{server} ({count})"
            for server, count in zip(chain["servers"], chain["blocks"], strict=True)
        )
        print(f"  {chain['requests']:>6,} × client {chain['client']}: servers (blocks) {way}")
