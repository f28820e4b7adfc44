"""``bprr check``: refuse a bad configuration or scenario before anything runs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from bprr.commands.arguments import add_json, print_json

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "check",
        help="check a configuration or scenario",
        example="check config/default.yaml",
    )
    command.add_argument("file", type=Path, nargs="?", help="the shipped one if not given")
    command.add_argument("--schema", action="store_true", help="print the JSON schemas and stop")
    add_json(command)
    command.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> int:
    from bprr.scenario.draw import draw
    from bprr.scenario.scenario import load_scenario
    from bprr.settings.configuration import load_settings
    from bprr.settings.yaml_file import read_yaml
    from bprr.study.checks import check_settings, json_schema
    from bprr.study.points import catalogue

    path = arguments.file
    if arguments.schema:
        if path is not None:
            load_settings(path)  # whose policy files have options too
        print(json.dumps(json_schema(), indent=2, sort_keys=True))
        return 0
    if path is not None and "network" in read_yaml(path):
        settings = load_settings()
        drawn = draw(load_scenario(path), catalogue(settings), settings.seed, 0)
        drawn.check_lengths()
        for remark in drawn.remarks:
            print(f"note: {remark}", file=sys.stderr)
        servers, requests = drawn.swarm.servers, len(drawn.workload)
        if arguments.json:
            about = {"scenario": str(path), "servers": servers, "requests": requests}
            print_json({**about, "network": drawn.network.name, "remarks": drawn.remarks})
            return 0
        swarm = f"{servers} servers, {requests} requests"
        print(f"{path}: a sound scenario: {swarm} on {drawn.network.name}")
        return 0
    settings = load_settings(*([path] if path else []))
    points = check_settings(settings)
    if arguments.json:
        about = {"configuration": settings.where, "sweeps": len(settings.sweeps)}
        print_json({**about, "points": points})
        return 0
    print(f"{settings.where}: {len(settings.sweeps)} sweeps with {points} points are sound")
    return 0
