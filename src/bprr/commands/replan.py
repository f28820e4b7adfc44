"""``bprr replan DIR --swarm NEW``: what to do now that the swarm has changed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    from bprr.commands.arguments import positive_number

    command = subparsers.add_parser(
        "replan",
        help="a plan for a swarm that has changed",
        example="replan plan --swarm servers-now.csv -o plan-now",
    )
    add = command.add_argument
    add("plan", type=Path, help="folder of bprr plan")
    add("--swarm", type=Path, required=True, metavar="NEW", help="machines as they are now")
    add("--rtt", type=Path, metavar="FILE", help="round trips as they are now")
    add("--seconds-per-gb", type=positive_number, default=8.0, metavar="S", help="to load blocks")
    add("--horizon", type=positive_number, default=24.0, metavar="H", help="hours it should pay in")
    add("--hysteresis", type=positive_number, default=0.1, help="gain that a move must exceed")
    add("-o", dest="folder", type=Path, metavar="DIR", help="folder for the new plan")
    add("--json", action="store_true", help="print the advice and plan.json")
    command.set_defaults(run=_replan)


def _replan(arguments: argparse.Namespace) -> int:
    import json

    from bprr.commands.plan import planned, written
    from bprr.commands.plan_arguments import settings_of
    from bprr.plan.arms import at_level
    from bprr.plan.calibrate import read_plan
    from bprr.plan.replan import Moving, advice

    old = read_plan(arguments.plan)
    again = _asked_again(old.asked, arguments)
    made, plan = planned(again, arguments.swarm)
    moving = Moving(arguments.seconds_per_gb, arguments.horizon, arguments.hysteresis)
    told = advice(made, old, moving, settings_of(again))
    if not told.moves and told.stay is not None:
        stay = told.stay.placement
        made, plan = planned(again, arguments.swarm, given=lambda swarm: at_level(stay, swarm))
    short = {
        "advice": "move" if told.moves else "stay",
        "because": told.because,
        "stay_ms": told.stay_ms, "best_ms": told.best_ms,
        "stay_gb": told.stay_gb, "best_gb": told.best_gb,
    }  # fmt: skip
    if arguments.json:
        numbers = {key: None if value != value else value for key, value in short.items()}
        print(json.dumps({**numbers, "plan": json.loads(plan.model_dump_json())}))
        return 0
    print(f"{short['advice']}: {told.because}")
    print(f"  to stay   {_said(told.stay_ms, told.stay_gb)}")
    print(f"  to move   {_said(told.best_ms, told.best_gb)}")
    if arguments.folder is None:
        print("note: -o DIR writes the plan", file=sys.stderr)
    again.folder, again.json = arguments.folder, False
    return written(again, made, plan)


def _said(time_ms: float, gb: float) -> str:
    if time_ms != time_ms:
        return "impossible: blocks without a host"
    return f"{time_ms:.1f} ms per token, {gb:.1f} GB to load"


def _asked_again(asked: dict[str, Any], arguments: argparse.Namespace) -> argparse.Namespace:
    """Arguments of the old plan, as ``bprr plan`` parses them."""
    from bprr.commands.plan_arguments import add_arguments
    from bprr.commands.suggesting import SuggestingParser

    parser = SuggestingParser(prog=f"bprr plan, as {arguments.plan} was asked for")
    add_arguments(parser)
    words = []
    for name, value in asked.items():
        flag = f"--{name.replace('_', '-')}"
        if name == "swarm" or (name == "rtt" and arguments.rtt is not None):
            continue
        for each in value if isinstance(value, list) else [value]:
            words += [flag] if each is True else [flag, str(each)]
    if arguments.rtt is not None:
        words += ["--rtt", str(arguments.rtt)]
    return parser.parse_args(words)
