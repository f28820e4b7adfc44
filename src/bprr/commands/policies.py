"""``bprr policies``: every policy that can be named, and its options (docs/policies.md)."""

from __future__ import annotations

import argparse

from bprr.commands.arguments import add_json, print_json

__all__ = ["add_command"]


def add_command(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    command = subparsers.add_parser(
        "policies",
        help="policies of every kind, with their options",
        example="policies",
    )
    add_json(command)
    command.set_defaults(run=_policies)


def _policies(arguments: argparse.Namespace) -> int:
    from bprr.ground.registry import REGISTRIES

    if arguments.json:
        told = {
            kind: {
                name: {
                    "about": _about(registry[name]),
                    "options": registry[name].Options.model_json_schema().get("properties", {}),
                }
                for name in registry
            }
            for kind, registry in REGISTRIES.items()
        }
        print_json(told)
        return 0
    print("# Policies\n")
    print("Written by `bprr policies`, which lists policies of your own as well. A policy is named")
    print("alone, or with options: `placement: {offloading: {bandwidth_gb_per_s: 8}}`.")
    for kind, registry in REGISTRIES.items():
        print(f"\n## {kind.capitalize()}\n\n| policy | what it does | options (default) |")
        print("| --- | --- | --- |")
        for name in registry:
            policy = registry[name]
            options = "; ".join(
                f"`{option}` ({'required' if field.is_required() else repr(field.default)})"
                + (f": {field.description}" if field.description else "")
                for option, field in policy.Options.model_fields.items()
            )
            print(f"| `{name}` | {_about(policy)} | {options or 'none'} |")
    return 0


def _about(policy: type) -> str:
    return (policy.__doc__ or "").split("\n\n")[0].replace("\n    ", " ").strip()
