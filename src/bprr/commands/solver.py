"""Flags that choose and limit the solver, each instead of what the configuration says."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bprr.commands.arguments import add_config

if TYPE_CHECKING:
    from bprr.settings.configuration import Settings

__all__ = ["add_solver_arguments", "chosen"]

# Flags that stand for settings of the same name.
LIMITS = {
    "time_limit_s": ("--time-limit", float, "S", "seconds for one instance"),
    "threads": ("--threads", int, "N", "threads of the solver"),
    "relative_gap": ("--gap", float, "G", "relative gap at which to stop, e.g. 0.01"),
}


def add_solver_arguments(command: argparse.ArgumentParser) -> None:
    """Flags that choose and limit the solver, each instead of what the configuration says."""
    command.add_argument("--solver", help="highs, cbc, gurobi or scip")
    for name, (flag, kind, letter, words) in LIMITS.items():
        command.add_argument(flag, dest=name, type=kind, metavar=letter, help=words)
    command.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="of the solver itself"
    )
    command.add_argument("--log-dir", type=Path, help="where the solver's logs are left")
    add_config(command)


def chosen(arguments: argparse.Namespace, settings: Settings) -> Settings:
    """Settings with what flags say instead, as far as they say anything.

    Raises
    ------
    InputErrors
        If a flag has a value that its setting may not have.
    """
    from bprr.settings.messages import validated
    from bprr.settings.offline import OfflineSettings
    from bprr.settings.overrides import parse_override

    solver = arguments.solver or settings.solver
    content = settings.offline.model_dump()
    for name in (*LIMITS, "scale", "network"):
        if getattr(arguments, name, None) is not None:
            content[name] = getattr(arguments, name)
    own = dict(parse_override(text) for text in arguments.option)
    if own:
        content["options"].setdefault(solver, {}).update(own)
    offline = validated(OfflineSettings, content, "command line")
    return settings.model_copy(update={"solver": solver, "offline": offline})
