"""Dotted keys set from outside: by a sweep, or by ``--set KEY=VALUE``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bprr.ground.errors import InputError
from bprr.settings.yaml_file import parse_yaml

__all__ = ["parse_override", "with_overrides"]

# Setting one takes the place of the others.
RIVAL_KEYS = {
    "servers": ("servers_per_node",),
    "servers_per_node": ("servers",),
    "requests": ("duration_s",),
    "duration_s": ("requests",),
}


def with_overrides(content: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Copy of a nested mapping with dotted keys set, e.g. ``{"fleet.servers": 10}``.

    Setting ``fleet.servers`` or ``fleet.servers_per_node`` takes the other's place.

    Raises
    ------
    InputError
        If a key leads through a value that is no mapping.
    """
    result: dict[str, Any] = {
        key: with_overrides(value, {}) if isinstance(value, Mapping) else value
        for key, value in content.items()
    }
    for dotted, value in overrides.items():
        *parents, last = dotted.split(".")
        node = result
        for depth, parent in enumerate(parents, start=1):
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                allowed = f"a key of the scenario; {'.'.join(parents[:depth])} is {node!r}"
                raise InputError("overrides", dotted, value, allowed)
        for rival in RIVAL_KEYS.get(last, ()):
            node.pop(rival, None)
        node[last] = value
    return result


def parse_override(text: str) -> tuple[str, Any]:
    """Dotted key and value of ``KEY=VALUE``, the value read as YAML.

    Raises
    ------
    InputError
        If there is no ``=`` or the value is no YAML.
    """
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise InputError("command line", "--set", text, "KEY=VALUE, e.g. fleet.servers=12")
    try:
        return key, parse_yaml(value, "command line")
    except InputError as error:
        allowed = f"KEY=VALUE, the value in YAML: {error.allowed}"
        raise InputError("command line", "--set", text, allowed) from None
