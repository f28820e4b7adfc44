"""``bprr provenance FILE``: where a result comes from."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "provenance",
        help="print where a result comes from",
        example="provenance results/sweeps/fig7_abovenet.parquet",
    )
    command.add_argument("file", type=Path, help="a Parquet file under results/")
    command.set_defaults(run=_provenance)


def _provenance(arguments: argparse.Namespace) -> int:
    from bprr.ground.storage import read_provenance

    print(json.dumps(read_provenance(arguments.file), indent=2, sort_keys=True))
    return 0
