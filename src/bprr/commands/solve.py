"""``bprr solve SCENARIO``: the optimal placement and routes of a scenario."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bprr.commands.arguments import (
    add_json,
    add_overrides,
    add_own_files,
    print_json,
    with_own_files,
)
from bprr.commands.solver import add_solver_arguments, chosen

if TYPE_CHECKING:
    from bprr.offline.instance import OfflineInstance
    from bprr.offline.plan import OfflineResult
    from bprr.placement.base import Placement
    from bprr.scenario.draw import Instance

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "solve",
        help="optimal placement and routes of a scenario",
        example="solve config/scenarios/clustered.yaml --requests 5",
    )
    command.add_argument("scenario", type=Path, help="e.g. config/scenarios/scattered.yaml")
    add_overrides(command)
    add_own_files(command)
    command.add_argument(
        "--requests",
        help="concurrent requests: R, or one number per client (3,3,2); default: the design load",
    )
    command.add_argument("--draw", type=int, default=0, help="which random draw (default 0)")
    command.add_argument(
        "--formulation",
        choices=("strong", "paper", "relaxed"),
        default="strong",
        help="relaxed: servers may stop before the end of their range, not the paper's problem",
    )
    command.add_argument(
        "--objective",
        choices=("latency", "throughput"),
        default="latency",
        help="latency: the paper's; throughput: the largest sustained rate, with a bound on it",
    )
    add_solver_arguments(command)
    add_json(command)
    command.set_defaults(run=_solve)


def read_requests(text: str, clients: int) -> tuple[int, ...]:
    """Requests per client of ``--requests``; one number is dealt evenly.

    Raises
    ------
    InputError
        If they are not whole numbers, or neither one nor one per client.
    """
    from bprr.ground.errors import InputError
    from bprr.offline.instance import shared_out

    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        counts = ()
    if len(counts) == 1:
        return shared_out(counts[0], clients)
    if len(counts) != clients:
        allowed = f"one whole number, or {clients} separated by commas"
        raise InputError("command line", "--requests", text, allowed)
    return counts


def result_record(instance: OfflineInstance, result: OfflineResult) -> dict[str, Any]:
    """JSON object of a result; numbers that do not exist are null."""
    plan = result.plan

    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    routes = () if plan is None else plan.routes
    return {
        "formulation": result.formulation,
        "requests": list(instance.requests),
        "session_tokens": instance.session_tokens,
        "objective_per_token_ms_sum": number(result.objective_ms),
        "bound": number(result.bound_ms),
        "gap": number(result.gap),
        "status": result.status,
        "seconds": result.seconds,
        "nodes": result.nodes,
        "solver_requested": result.solver_requested,
        "solver_used": result.solver_used,
        "solver_ended": result.details.get("ended", ""),
        "verified": result.verified,
        "placement": [] if plan is None else placement_rows(plan.placement),
        "chains": [
            {
                "client": route.client,
                "servers": list(route.servers),
                "blocks_processed": list(route.processed),
            }
            for route in routes
        ],
    }


def placement_rows(placement: Placement) -> list[dict[str, Any]]:
    """Blocks of every server, as `bprr simulate --placement` reads them."""
    columns = (placement.swarm.device, placement.first_block.tolist(), placement.blocks.tolist())
    return [
        {"server": server, "device": device, "first_block": first, "blocks": blocks}
        for server, (device, first, blocks) in enumerate(zip(*columns, strict=True))
    ]


def _solve_throughput(drawn: Instance, as_json: bool) -> int:
    """Find the placement of the largest rate and print it."""
    from bprr.offline.throughput import solve_throughput

    plan = solve_throughput(drawn.swarm, drawn.design_request)
    rows = placement_rows(plan.placement)
    if as_json:
        record = {
            "objective": "throughput",
            "unit": f"{plan.unit}/s",
            "rate": plan.rate_per_s,
            "bound": plan.bound_per_s,
            "gap": plan.gap,
            "status": plan.status,
            "seconds": plan.seconds,
            "placement": rows,
            "chains": [
                {"servers": servers.tolist(), "blocks_processed": blocks.tolist(), "rate": rate}
                for (servers, blocks), rate in zip(
                    plan.chains, plan.rates_per_s.tolist(), strict=True
                )
            ],
        }
        print_json(record)
        return 0
    print(
        f"{plan.status} in {plan.seconds:.2f} s: {plan.rate_per_s:.6g} {plan.unit}/s over"
        f" {len(plan.chains)} chains; no placement passes {plan.bound_per_s:.6g}"
        f" (gap {plan.gap:.2%})"
    )
    print_placement(rows)
    for (servers, _), rate in zip(plan.chains, plan.rates_per_s.tolist(), strict=True):
        print(f"{rate:.6g} {plan.unit}/s: servers {' → '.join(map(str, servers.tolist()))}")
    return 0


def print_placement(rows: list[dict[str, Any]]) -> None:
    """Print the blocks of every server."""
    print(f"{'server':>6} {'device':<16} blocks")
    for row in rows:
        last = row["first_block"] + row["blocks"] - 1
        held = f"{row['first_block']}–{last}" if row["blocks"] else "none"
        print(f"{row['server']:>6} {row['device']:<16} {held}")


def _solve(arguments: argparse.Namespace) -> int:
    """Solve one scenario and print the result."""
    from bprr.ground.errors import InfeasibleError
    from bprr.offline.backends.base import SolverSettings
    from bprr.offline.backends.solve import check_solver
    from bprr.offline.solve import solve_offline
    from bprr.scenario.draw import draw
    from bprr.scenario.scenario import load_scenario
    from bprr.settings.overrides import parse_override
    from bprr.study.api import offline_instance
    from bprr.study.points import catalogue
    from bprr.study.slices import settings_at

    settings = with_own_files(chosen(arguments, settings_at(arguments.config)), arguments)
    solver = SolverSettings.of(settings.offline, settings.solver, arguments.log_dir)
    if arguments.objective == "latency":
        check_solver(solver)
    scenario = load_scenario(
        arguments.scenario, dict(parse_override(text) for text in arguments.set)
    )
    drawn = draw(scenario, catalogue(settings), settings.seed, arguments.draw)
    if arguments.objective == "throughput":
        return _solve_throughput(drawn, arguments.json)
    given = arguments.requests
    counts = None if given is None else read_requests(given, drawn.swarm.clients)
    instance = offline_instance(drawn, counts)
    blocks, allowed = instance.swarm.model.blocks, int(instance.most_blocks.sum())
    if allowed < blocks:
        missing = f"{blocks - allowed} of {blocks} blocks"
        raise InfeasibleError("blocks within block_cap", missing, f"{allowed} are allowed in all")
    result = solve_offline(instance, arguments.formulation, solver)
    record = result_record(instance, result)
    if arguments.json:
        print_json(record)
        return 0
    if result.status == "infeasible":
        raise InfeasibleError(
            "GPU memory",
            f"room for {instance.load} concurrent requests in every block",
            f"proven by {result.solver_used} in {result.seconds:.1f} s",
        )
    print_result(record)
    return 0


def print_result(record: dict[str, Any]) -> None:
    """Print a result for people."""
    objective, load = record["objective_per_token_ms_sum"], sum(record["requests"])
    status = record["status"]
    if status == "stopped":
        status += f" ({record['solver_ended']})"
    print(f"{status} in {record['seconds']:.2f} s by {record['solver_used']}")
    if objective is None:
        bound = "" if record["bound"] is None else f" {record['bound']:.2f}"
        print(f"no plan found; no plan is below{bound or ' 0'} ms per token in all")
        return
    print(
        f"{objective / load:.2f} ms per token, mean of {load} requests "
        f"(gap {record['gap']:.2%}, verified: {record['verified']})"
    )
    print_placement(record["placement"])
    seen: dict[tuple[int, tuple[int, ...]], int] = {}
    for chain in record["chains"]:
        key = (chain["client"], tuple(chain["servers"]))
        seen[key] = seen.get(key, 0) + 1
    for (client, servers), count in seen.items():
        print(f"client {client}: {count} × servers {' → '.join(map(str, servers))}")
