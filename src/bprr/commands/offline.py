"""``bprr solve SCENARIO`` and ``bprr offline EXPERIMENT``: the optimum, and what it answers."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bprr.offline.backends import SolverSettings
    from bprr.offline.instance import OfflineInstance
    from bprr.offline.plan import OfflineResult
    from bprr.scenario.draw import Catalogue
    from bprr.settings.configuration import Scenario, Settings

__all__ = [
    "add_command",
    "add_offline_command",
    "add_solve_command",
    "result_record",
    "run_offline",
    "run_solve",
]

SOLVERS = ("highs", "cbc", "gurobi", "scip")
THEOREM_2 = "theorem_2"


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommands of the offline optimum."""
    add_solve_command(subparsers)
    add_offline_command(subparsers)


def add_solver_arguments(command: argparse.ArgumentParser) -> None:
    """Options that choose and limit the solver."""
    command.add_argument("--solver", help=f"{', '.join(SOLVERS)}; default: the configuration's")
    command.add_argument("--time-limit", type=float, default=60.0, metavar="S", help="seconds")
    command.add_argument("--threads", type=int, default=2, help="threads of the solver (default 2)")
    command.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="of the solver itself"
    )
    command.add_argument("--log-dir", type=Path, help="where the solver's logs are left")
    command.add_argument("--config", type=Path, default=Path("config/default.yaml"))


def add_solve_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``bprr solve``."""
    command = subparsers.add_parser("solve", help="optimal placement and routes of a scenario")
    command.add_argument("scenario", type=Path, help="e.g. config/scenarios/scattered.yaml")
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. fleet.servers=9"
    )
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
    add_solver_arguments(command)
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.set_defaults(run=run_solve)


def add_offline_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``bprr offline``."""
    command = subparsers.add_parser("offline", help="run one experiment on the offline optimum")
    command.add_argument(
        "experiment",
        choices=("optimality", THEOREM_2, "solver_race", "relaxed_stopping", "equal_blocks"),
    )
    command.add_argument("--scale", choices=("smoke", "main", "study"), default="main")
    command.add_argument("--network", default="bellcanada", help="where the scattered swarms are")
    command.add_argument("--optimality", type=Path, help="result that theorem_2 is computed from")
    add_solver_arguments(command)
    command.add_argument("-o", "--output", type=Path, required=True, help="Parquet file")
    command.set_defaults(run=run_offline)


def solver_settings(arguments: argparse.Namespace, settings: Settings) -> SolverSettings:
    """Settings of the solver, checked before any work is done."""
    from bprr.ground.errors import InputError
    from bprr.offline.backends import SolverSettings, require_solver
    from bprr.settings.configuration import parse_override

    for name, value in (("--time-limit", arguments.time_limit), ("--threads", arguments.threads)):
        if not value > 0:
            raise InputError("command line", name, value, "a number above 0")
    solver = arguments.solver or settings.solver
    require_solver(solver)
    return SolverSettings(
        solver,
        time_limit_s=arguments.time_limit,
        threads=arguments.threads,
        options=dict(parse_override(text) for text in arguments.option),
        log_dir=arguments.log_dir,
    )


def read_requests(text: str, clients: int) -> tuple[int, ...]:
    """Requests per client of ``--requests``; one number is dealt evenly.

    Raises
    ------
    InputError
        If they are not whole numbers, or neither one nor one per client.
    """
    from bprr.ground.errors import InputError
    from bprr.offline.experiments import shared_out

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


def scenario_instance(
    scenario: Scenario, catalogue: Catalogue, seed: int, number: int, requests: str | None
) -> OfflineInstance:
    """Offline instance of one draw of a scenario; R is its design load unless given."""
    from bprr.offline.experiments import shared_out
    from bprr.offline.instance import OfflineInstance
    from bprr.scenario.draw import draw
    from bprr.study.design_load import choose_design_load

    drawn = draw(scenario, catalogue, seed, number)
    request = drawn.design_request
    if requests is not None:
        counts = read_requests(requests, drawn.swarm.clients)
    else:
        load = scenario.design_load.load or choose_design_load(
            drawn.swarm, request, drawn.rate_per_s, scenario.overheads.initial_ms
        )
        counts = shared_out(load, drawn.swarm.clients)
    return OfflineInstance(drawn.swarm, counts, request.cache_tokens)


def result_record(instance: OfflineInstance, result: OfflineResult) -> dict[str, Any]:
    """JSON object of a result; numbers that do not exist are null."""
    plan = result.plan

    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    placement = (
        []
        if plan is None
        else zip(
            instance.swarm.device,
            plan.placement.first_block.tolist(),
            plan.placement.blocks.tolist(),
            strict=True,
        )
    )
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
        "verified": result.verified,
        "placement": [
            {"server": server, "device": device, "first_block": first, "blocks": blocks}
            for server, (device, first, blocks) in enumerate(placement)
        ],
        "chains": [
            {
                "client": route.client,
                "servers": list(route.servers),
                "blocks_processed": list(route.processed),
            }
            for route in routes
        ],
    }


def run_solve(arguments: argparse.Namespace) -> int:
    """Solve one scenario and print the result."""
    from bprr.ground.errors import InfeasibleError
    from bprr.offline.solve import solve_offline
    from bprr.settings.configuration import load_scenario, load_settings, parse_override
    from bprr.study.sweep import catalogue

    settings = load_settings(arguments.config)
    solver = solver_settings(arguments, settings)
    scenario = load_scenario(
        arguments.scenario, dict(parse_override(text) for text in arguments.set)
    )
    instance = scenario_instance(
        scenario, catalogue(settings), settings.seed, arguments.draw, arguments.requests
    )
    result = solve_offline(instance, arguments.formulation, solver)
    record = result_record(instance, result)
    if arguments.json:
        print(json.dumps(record))
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
    print(f"{record['status']} in {record['seconds']:.2f} s by {record['solver_used']}")
    if objective is None:
        print(f"no plan found; no plan is below {record['bound']:.2f} ms per token in all")
        return
    print(
        f"{objective / load:.2f} ms per token, mean of {load} requests "
        f"(gap {record['gap']:.2%}, verified: {record['verified']})"
    )
    print(f"{'server':>6} {'device':<16} blocks")
    for row in record["placement"]:
        last = row["first_block"] + row["blocks"] - 1
        held = f"{row['first_block']}–{last}" if row["blocks"] else "none"
        print(f"{row['server']:>6} {row['device']:<16} {held}")
    seen: dict[tuple[int, tuple[int, ...]], int] = {}
    for chain in record["chains"]:
        key = (chain["client"], tuple(chain["servers"]))
        seen[key] = seen.get(key, 0) + 1
    for (client, servers), count in seen.items():
        print(f"client {client}: {count} × servers {' → '.join(map(str, servers))}")


def run_offline(arguments: argparse.Namespace) -> int:
    """Run one experiment and write its table."""
    from bprr.ground.errors import InputError
    from bprr.ground.storage import read_table, write_table
    from bprr.offline.experiments import EXPERIMENTS, SCALES, Study, theorem_2
    from bprr.settings.configuration import load_scenario, load_settings
    from bprr.study.sweep import catalogue

    if arguments.experiment == THEOREM_2:
        if arguments.optimality is None:
            raise InputError("command line", "--optimality", None, "the table of `optimality`")
        table, provenance = theorem_2(read_table(arguments.optimality)), {}
    else:
        settings = load_settings(arguments.config)
        solver = solver_settings(arguments, settings)
        scattered = load_scenario(
            settings.scenario_dir / "scattered.yaml", {"network.name": arguments.network}
        )
        study = Study(
            catalogue(settings), scattered, solver, SCALES[arguments.scale], settings.seed
        )
        table = EXPERIMENTS[arguments.experiment](study)
        provenance = {
            "seed": settings.seed,
            "scale": arguments.scale,
            "solver": solver.solver,
            "time_limit_s": solver.time_limit_s,
            "threads": solver.threads,
            "options": dict(solver.options),
        }
    write_table(table, arguments.output, {"experiment": arguments.experiment, **provenance})
    print(f"{len(table):,} rows in {arguments.output}")
    return 0
