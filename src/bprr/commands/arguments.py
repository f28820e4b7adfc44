"""Arguments that several subcommands share."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_config", "add_overrides", "whole_number"]


def add_config(command: argparse.ArgumentParser) -> None:
    """Add ``--config``."""
    from bprr.settings.shipped import DEFAULT

    command.add_argument(
        "--config",
        type=Path,
        default=DEFAULT,
        help="laid over the shipped configuration; or a slice of one (.json), complete in itself",
    )


def add_overrides(command: argparse.ArgumentParser) -> None:
    """Add ``--set``."""
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="e.g. fleet.servers=12, or methods.petals.routing.hop_overhead_ms=0",
    )


def whole_number(text: str) -> int:
    """Whole number of at least 1, as an argument's type."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number of at least 1")
    return int(text)
