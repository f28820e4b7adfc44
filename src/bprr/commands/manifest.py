"""``bprr manifest``: hashes of outputs, and what two runs do not agree on."""

from __future__ import annotations

import argparse
from pathlib import Path

from bprr.commands.arguments import add_json, print_json

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "manifest",
        help="hash outputs, or compare two manifests",
        example="manifest --compare results/manifest.json other/manifest.json",
    )
    command.add_argument("files", type=Path, nargs="+", help="outputs, or with --compare manifests")
    command.add_argument("-o", "--output", type=Path, default=Path("results/manifest.json"))
    command.add_argument("--compare", action="store_true", help="name what two manifests differ in")
    add_json(command)
    command.set_defaults(run=_manifest)


def _manifest(arguments: argparse.Namespace) -> int:
    from bprr.ground.errors import InputError
    from bprr.report.manifest import differences, write_manifest

    if missing := [path for path in arguments.files if not path.is_file()]:
        raise InputError("command line", "FILES", str(missing[0]), "files that exist")
    if not arguments.compare:
        write_manifest(arguments.files, arguments.output)
        print(f"{arguments.output}: {len(arguments.files)} outputs")
        return 0
    if len(arguments.files) != 2:
        raise InputError("command line", "--compare", len(arguments.files), "two manifests")
    found = differences(*arguments.files)
    if arguments.json:
        print_json(found)
        return 1 if found else 0
    for name in found:
        print(name)
    print(f"{len(found)} outputs differ")
    return 1 if found else 0
