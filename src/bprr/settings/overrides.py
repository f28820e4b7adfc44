"""Settings laid over others: single keys, whole files, and where their paths begin."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bprr.ground.errors import InputError
from bprr.ground.registry import REGISTRIES
from bprr.settings.yaml_file import parse_yaml

__all__ = ["located", "overlaid", "parse_override", "seen_from_here", "with_overrides"]

RIVAL_KEYS = {
    "servers": ("servers_per_node",),
    "servers_per_node": ("servers",),
    "requests": ("duration_s",),
    "duration_s": ("requests",),
}
PATH_KEYS = {
    "file",
    "device_files",
    "model_files",
    "policy_files",
    "topology_dir",
    "scenario_dir",
}


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Mapping with another one laid over it: mappings merge, anything else is replaced.

    The choice of a policy is replaced whole, options and all.
    """
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        both = isinstance(under, Mapping) and isinstance(value, Mapping)
        if both and key not in REGISTRIES:
            result[key] = overlaid(under, value)  # type: ignore[arg-type]
        else:
            result[key] = value
    return result


def located(content: Any, folder: Path, key: str = "") -> Any:
    """Content in which every path that is relative begins at a folder."""
    is_path = key.rpartition(".")[2] in PATH_KEYS
    if isinstance(content, Mapping):  # below a path's key: values of an axis by topology
        return {
            name: located(value, folder, key if is_path else str(name))
            for name, value in content.items()
        }
    if isinstance(content, list):
        return [located(value, folder, key) for value in content]
    named = is_path and isinstance(content, str)
    return seen_from_here(folder / content) if named else content


def seen_from_here(path: Path) -> str:
    """Path seen from the working folder, if it lies in there."""
    whole = os.path.normpath(Path.cwd() / path)
    here = str(Path.cwd())
    return os.path.relpath(whole, here) if whole.startswith(here + os.sep) else whole


def with_overrides(
    content: Mapping[str, Any], overrides: Mapping[str, Any], where: object = "overrides"
) -> dict[str, Any]:
    """Copy of a nested mapping with dotted keys set, e.g. ``{"fleet.servers": 10}``.

    Setting ``fleet.servers`` or ``fleet.servers_per_node`` takes the other's place. Below the
    choice of a policy a key means an option: ``methods.mine.placement.c``.

    Raises
    ------
    InputError
        If a key leads through a value that is no mapping.
    """
    result: dict[str, Any] = {key: _copied(value) for key, value in content.items()}
    for dotted, value in overrides.items():
        *parents, last = dotted.split(".")
        node = result
        for depth, parent in enumerate(parents, start=1):
            node = _entered(node, parent)
            if not isinstance(node, dict):
                allowed = f"a key that exists; {'.'.join(parents[:depth])} is {node!r}"
                raise InputError(where, dotted, value, allowed)
        for rival in RIVAL_KEYS.get(last, ()):
            node.pop(rival, None)
        node[last] = _copied(value)
    return result


def _copied(value: Any) -> Any:
    """A value whose mappings can be changed without changing what it was taken from."""
    if isinstance(value, Mapping):
        return {key: _copied(below) for key, below in value.items()}
    return value


def _entered(node: dict[str, Any], key: str) -> Any:
    """What is below a key; below the choice of a policy, its options."""
    below = node.setdefault(key, {})
    if key not in REGISTRIES:
        return below
    if isinstance(below, str):
        below = node[key] = {below: {}}
    if not isinstance(below, dict) or len(below) != 1:
        return below
    (name,) = below
    below[name] = dict(below[name] or {})
    return below[name]


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
        return key, located(parse_yaml(value, "command line"), Path(), key)
    except InputError as error:
        allowed = f"KEY=VALUE, the value in YAML: {error.allowed}"
        raise InputError("command line", "--set", text, allowed) from None
