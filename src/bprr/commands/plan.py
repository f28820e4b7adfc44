"""``bprr plan SWARM``: from the machines one has to a swarm that runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bprr.commands.plan_arguments import add_arguments, asked, model_of, settings_of, wish_of
from bprr.commands.suggesting import set_dashed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bprr.plan.make import Made
    from bprr.plan.record import PlanRecord

__all__ = ["add_command", "planned", "written"]

STORED = {"4": "nf4", "8": "int8", "16": "none"}  # PETALS' words, by bits per parameter


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "plan", help="from the machines one has to a swarm that runs",
        example="plan examples/four-cities/servers.csv --model meta-llama/Llama-3.1-70B"
        " --quant nf4 -o plan",
        description="SWARM: servers.csv, the JSON of a PETALS health monitor, or a folder of "
        "nvidia-smi outputs. `bprr plan explain SWARM` shows the route that PETALS takes there.",
    )  # fmt: skip
    command.add_argument("swarm", nargs="*", metavar="[explain] SWARM")
    add_arguments(command)
    add = command.add_argument
    add("--schema", action="store_true", help="print the JSON schema of plan.json")
    set_dashed(command, "--what-if")
    add("--what-if", action="append", default=[], metavar="CHANGE", help="+GPU@PLACE or -NAME")
    add("--n-1", action="store_true", help="lose each server in turn (always up to 60 servers)")
    add("--until-slo", action="store_true", help="largest rate that meets --slo, simulated")
    add("--keep-names", action="store_true", help="public names of a health monitor's report")
    add("--client", metavar="PLACE", help="of explain: whose route")
    add("-o", dest="folder", type=Path, metavar="DIR", help="folder for plan.html and all else")
    add("--json", action="store_true", help="print plan.json")
    command.set_defaults(run=_plan)


def _plan(arguments: argparse.Namespace) -> int:
    from bprr.ground.errors import InputError

    words = arguments.swarm
    if arguments.schema:
        return _schema()
    if words[:1] == ["explain"] and len(words) == 2:
        return _explain(arguments, Path(words[1]))
    if len(words) != 1:
        raise InputError("command line", "SWARM", " ".join(words), "one description of machines")
    if arguments.until_slo and not arguments.slo:
        raise InputError("command line", "--until-slo", "without goals", "--slo with it")
    path = Path(words[0])
    made, plan = planned(arguments, path, arguments.what_if)
    return written(arguments, made, plan)


def _schema() -> int:
    import json

    from bprr.plan.record import PlanRecord

    print(json.dumps(PlanRecord.model_json_schema(), indent=2, ensure_ascii=False))
    return 0


def written(arguments: argparse.Namespace, made: Made, plan: PlanRecord) -> int:
    """Print a plan, and write its folder if there is to be one."""
    from bprr.plan.folder import files_of, write_folder
    from bprr.plan.text import briefly

    if arguments.folder is not None:
        taken = set(settings_of(arguments).all_models)
        write_folder(arguments.folder, files_of(made, plan, arguments.model, taken))
    if arguments.json:
        print(plan.model_dump_json())
        return 0
    print("\n".join(briefly(plan)))
    for remark in plan.remarks:
        print(f"note: {remark}", file=sys.stderr)
    if arguments.folder is not None:
        print(f"{arguments.folder / 'plan.html'}, and all that PETALS needs beside it")
    return 0


def planned(
    arguments: argparse.Namespace, path: Path, what_ifs: Sequence[str] = (), given: Any = None
) -> tuple[Made, PlanRecord]:
    """Plan and its record; ``given`` makes a placement of a problem that is then only judged."""
    from bprr.plan.arms import LARGE
    from bprr.plan.devices import bits_of
    from bprr.plan.make import plan_of, standard_changes
    from bprr.plan.readers import read_inventory
    from bprr.plan.summary import summary_of

    settings = settings_of(arguments)
    inventory = read_inventory(path, arguments.served, getattr(arguments, "keep_names", False))
    if len(inventory.machines) > LARGE and sys.stderr.isatty():
        print(f"{len(inventory.machines):,} servers: about half a minute", file=sys.stderr)
    served, wish = model_of(arguments, settings), wish_of(arguments)
    made = plan_of(inventory, wish, served, settings, arguments.rtt, arguments.method, given)
    changes = standard_changes(made, served, settings, what_ifs, arguments.rtt)
    servers = len(inventory.machines)
    plan = summary_of(
        made,
        changes,
        quantisation=arguments.quant or STORED[bits_of(served.model)],
        asked=asked(arguments, path),
        until_slo=getattr(arguments, "until_slo", False),
        with_losses=servers <= 60 or getattr(arguments, "n_1", False),
        with_curve=True,
    )
    return made, plan


def _explain(arguments: argparse.Namespace, path: Path) -> int:
    import json
    from dataclasses import replace

    from bprr.plan.explain import explained, hops, hosted
    from bprr.plan.problem import problem_of
    from bprr.plan.readers import read_inventory

    settings = settings_of(arguments)
    inventory = read_inventory(path, arguments.served, arguments.keep_names)
    wish = wish_of(arguments)
    if arguments.client:
        wish = replace(wish, clients=(arguments.client,))
    problem = problem_of(inventory, wish, model_of(arguments, settings), settings, arguments.rtt)
    placement = hosted(problem)
    names = problem.distances.network.node_names
    told = []
    for client, node in enumerate(problem.distances.client_node.tolist()):
        found = explained(problem, placement, client)
        told.append(
            {
                "client": names[node],
                "petals_ms": found.petals_ms,
                "petals": hops(problem, client, found.petals),
                "better_ms": found.better_ms,
                "better": hops(problem, client, found.better),
            }
        )
    if arguments.json:
        print(json.dumps(told))
        return 0
    for each in told:
        for title, key in (("PETALS' route", "petals"), ("the fastest alone", "better")):
            print(f"{each['client']}: {title}: {each[f'{key}_ms']:.0f} ms a token")
            for hop in each[key]:
                print(
                    f"  {hop['name']:<24.24} {hop['blocks']:>4} blocks {hop['network_ms']:>8.1f} ms"
                    f" network {hop['computing_ms']:>8.1f} ms computing"
                )
    return 0
