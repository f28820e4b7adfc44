"""``bprr capacity SCENARIO``: how many sessions per second a method carries for good."""

from __future__ import annotations

import argparse
import math
from typing import Any

from bprr.commands.arguments import (
    add_config,
    add_json,
    add_overrides,
    add_own_files,
    natural_number,
    positive_number,
    print_json,
    whole_number,
    with_own_files,
)

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "capacity",
        help="the load that a method carries for good",
        example="capacity config/scenarios/scattered.yaml --method proposed --set service=batched",
    )
    command.add_argument("scenario", help="file, or name of one of the configuration")
    add_overrides(command)
    add_own_files(command)
    command.add_argument(
        "--method", action="append", metavar="NAME", help="repeatable; default: the compared pair"
    )
    command.add_argument("--delays", metavar="VARIANT", help="delay variant; default: no delays")
    command.add_argument("--draw", type=natural_number, default=0, help="which draw (default 0)")
    command.add_argument(
        "--precision",
        type=positive_number,
        default=0.02,
        metavar="SHARE",
        help="half-width of the mean time per token that a run is long enough for (default 0.02)",
    )
    command.add_argument(
        "--within",
        type=positive_number,
        default=0.02,
        metavar="SHARE",
        help="distance between the highest rate that is stable and the lowest that is not",
    )
    command.add_argument(
        "--least-requests",
        type=whole_number,
        default=128_000,
        metavar="N",
        help="of a run that shows a steady state (default 128,000; near capacity a backlog may be"
        " thousands of requests in coming, so fewer prove less, and take less time)",
    )
    command.add_argument(
        "--most-requests",
        type=whole_number,
        default=1_000_000,
        metavar="N",
        help="of the longest run, which is undecided if it shows nothing (default a million)",
    )
    add_json(command)
    add_config(command)
    command.set_defaults(run=_capacity)


def _capacity(arguments: argparse.Namespace) -> int:
    import sys

    from bprr.ground.errors import InfeasibleError
    from bprr.scenario.draw import draw
    from bprr.settings.overrides import parse_override
    from bprr.study.points import catalogue
    from bprr.study.single import single_point
    from bprr.study.slices import settings_at
    from bprr.study.steady import Steady, SteadyStates, carried_per_s

    settings = with_own_files(settings_at(arguments.config), arguments)
    overrides = dict(parse_override(text) for text in arguments.set)
    point = single_point(
        settings, arguments.scenario, overrides, arguments.method, arguments.delays
    )
    profiles, stream = catalogue(settings), (settings.seed, arguments.draw)
    instance = draw(point.scenario, profiles, *stream)
    ((variant, allocation_ms),) = point.delays.items()
    told: dict[str, dict[str, Any]] = {}
    for name, method in point.variants[variant].items():
        label = method.label or name

        def tell(found: Steady, label: str = label) -> None:
            half = f"± {found.half_width:.1%}" if math.isfinite(found.half_width) else ""
            print(
                f"{label}: {found.rate_per_s:.4g} /s {found.state}, {found.per_token_s:.3g} s per"
                f" token {half} ({found.requests:,} requests)",
                file=sys.stderr,
            )

        try:
            states = SteadyStates(
                instance,
                profiles,
                *stream,
                method,
                allocation_ms[name],
                arguments.precision,
                arguments.least_requests,
                arguments.most_requests,
            )
        except InfeasibleError as error:
            told[name] = {"label": label, "status": str(error)}
            if not arguments.json:
                print(f"{label}: {error}")
            continue
        carried = carried_per_s(states, arguments.within, tell)
        told[name] = {
            "label": label,
            "status": "ok",
            **carried._asdict(),
            "tried": [each._asdict() for each in carried.tried],
        }
        if not arguments.json:
            best = next((each for each in reversed(carried.tried) if each.state == "stable"), None)
            time = f" ({best.per_token_s:.3g} s per token there)" if best else ""
            print(
                f"{label}: carries {carried.most_stable_per_s:.4g} requests/s{time}, not"
                f" {carried.least_unstable_per_s:.4g}; no routing carries more than"
                f" {carried.bound_per_s:.4g} on this placement"
            )
    if arguments.json:
        print_json(told)
    return 0
