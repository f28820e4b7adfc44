"""``bprr status``: which results are current, stale, foreign or missing; nothing is run."""

from __future__ import annotations

import argparse

from bprr.commands.arguments import add_config, print_json

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "status",
        help="which results are current, and why not",
        example="status",
    )
    add_config(command)
    command.add_argument("--json", action="store_true", help="print one JSON object per result")
    command.set_defaults(run=_status)


def _status(arguments: argparse.Namespace) -> int:
    from collections import Counter

    from bprr.study.slices import settings_at
    from bprr.study.status import planned_tables, state_of

    counts: Counter[str] = Counter()
    for planned in planned_tables(settings_at(arguments.config)):
        state = state_of(planned)
        counts[state.word] += 1
        if arguments.json:
            print_json({"path": str(planned.path), "state": state.word, "why": state.why})
        else:
            print(f"{state.word:<8} {planned.path}" + (f"  ({state.why})" if state.why else ""))
    if not arguments.json:
        print(", ".join(f"{count} {word}" for word, count in counts.items()))
    return 0 if set(counts) <= {"current"} else 1
