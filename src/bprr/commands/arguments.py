"""Arguments that several subcommands share."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bprr.settings.configuration import Settings

__all__ = [
    "add_config",
    "add_json",
    "add_overrides",
    "add_own_files",
    "natural_number",
    "positive_number",
    "print_json",
    "whole_number",
    "with_own_files",
]


def add_config(command: argparse.ArgumentParser) -> None:
    """Add ``--config``."""
    from bprr.settings.shipped import DEFAULT

    command.add_argument(
        "--config",
        type=Path,
        default=DEFAULT,
        help="laid over the shipped configuration; or a slice of one (.json), complete in itself",
    )


def add_own_files(command: argparse.ArgumentParser) -> None:
    """Add ``--models`` and ``--devices``."""
    for kind in ("models", "devices"):
        command.add_argument(
            f"--{kind}",
            type=Path,
            action="append",
            default=[],
            metavar="FILE",
            help=f"{kind} of your own beside those of the configuration; repeatable",
        )


def with_own_files(settings: Settings, arguments: argparse.Namespace) -> Settings:
    """Settings with the files of `add_own_files`."""
    files = {
        "model_files": [*settings.model_files, *arguments.models],
        "device_files": [*settings.device_files, *arguments.devices],
    }
    return settings.model_copy(update=files)


def add_json(command: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    command.add_argument("--json", action="store_true", help="print one JSON object")


def print_json(told: object) -> None:
    """Print an object on one line, with null for what is no number."""
    import json

    print(json.dumps(_finite(told), ensure_ascii=False))


def _finite(told: object) -> object:
    if isinstance(told, dict):
        return {key: _finite(value) for key, value in told.items()}
    if isinstance(told, list):
        return [_finite(value) for value in told]
    return None if isinstance(told, float) and not math.isfinite(told) else told


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


def positive_number(text: str) -> float:
    """Finite number above 0, as an argument's type."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text!r}: a number above 0")
    return number


def natural_number(text: str) -> int:
    """Whole number of at least 0, as an argument's type."""
    if not text.isdecimal() or len(text) > 20:
        raise argparse.ArgumentTypeError(f"{text[:20]!r}: a whole number of at least 0")
    return int(text)
