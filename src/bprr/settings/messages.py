"""Mappings to settings objects, and what a user reads where that fails."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bprr.ground.errors import InputError, InputErrors
from bprr.ground.registry import WrongOptions
from bprr.ground.schema import Refused, Strict

__all__ = ["Loaded", "known_keys", "validated"]

Loaded = TypeVar("Loaded", bound=Strict)
MOST_MESSAGES = 20


def validated(kind: type[Loaded], content: Mapping[str, Any], where: object) -> Loaded:
    """Settings object of a mapping.

    Raises
    ------
    InputErrors
        One line per key that is unknown or holds an unusable value.
    """
    try:
        settings = kind.model_validate(content)
    except ValidationError as error:
        hidden = max(error.error_count() - MOST_MESSAGES, 0)
        raise InputErrors(_all_readable(kind, where, error), hidden) from None
    settings._where = str(where)
    return settings


def _all_readable(
    kind: type[BaseModel], where: object, error: ValidationError, above: str = ""
) -> list[InputError]:
    """A line per mistake, of the first ones; those in a policy's options stand below its name."""
    lines: list[InputError] = []
    for detail in error.errors(include_url=False)[:MOST_MESSAGES]:
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, WrongOptions):
            key = ".".join([*_as_written(kind, detail["loc"]), cause.policy])
            lines += _all_readable(cause.kind, where, cause.error, f"{above}{key}.")
        else:
            line = _readable(kind, where, detail)
            key = (above + line.key).removesuffix(".") or "(whole file)"
            lines.append(InputError(where, key, line.value, line.allowed))
    return lines


def _readable(kind: type[BaseModel], where: object, detail: ErrorDetails) -> InputError:
    location, allowed, value = _as_written(kind, detail["loc"]), detail["msg"], detail["input"]
    context = detail.get("ctx", {})
    refused = context.get("error")
    known = known_keys(kind, [str(part) for part in detail["loc"]])
    match detail["type"]:
        case "extra_forbidden":
            known = known_keys(kind, [str(part) for part in detail["loc"][:-1]])
            close = difflib.get_close_matches(location[-1], known, n=1)
            allowed = f"one of the keys {', '.join(known)}" if known else "no such key"
            if close:
                allowed = f"did you mean {close[0]}? {allowed}"
        case "missing":
            value, allowed = "nothing", "this key is required"
        case "value_error" if isinstance(refused, Refused):
            location = [*location, refused.key] if refused.key else location
            value, allowed = refused.value, refused.allowed
        case "union_tag_invalid":
            location = [*location, "kind"]
            value, allowed = context["tag"], f"one of {context['expected_tags']}"
        case "union_tag_not_found":
            location, value = [*location, "kind"], "nothing"
            allowed = "this key is required: it says which of the kinds is meant"
        case "model_type" | "model_attributes_type" | "dict_type":
            allowed = f"a mapping with the keys {', '.join(known)}" if known else "a mapping"
        case "int_type" | "int_from_float":
            allowed = "a whole number, without quotes"
        case "float_type":
            allowed = "a number, without quotes or a unit (the key names the unit)"
        case "finite_number":
            allowed = "a finite number"
        case "greater_than":
            allowed = f"a number above {context['gt']:g}"
        case "greater_than_equal":
            allowed = f"a number of at least {context['ge']:g}"
        case "less_than":
            allowed = f"a number below {context['lt']:g}"
        case "less_than_equal":
            allowed = f"a number of at most {context['le']:g}"
            if "_gb" in ".".join(location):
                allowed += "; the unit is GB = 1e9 bytes"
        case "too_short":
            allowed = "at least one entry"
        case "literal_error":
            allowed = f"one of {context['expected']}"
        case "string_type":
            allowed = "a text"
        case "list_type":
            allowed = "a list"
        case "bool_type" | "bool_parsing":
            allowed = "true or false"
        case "path_type":
            allowed = "a path, as text"
    return InputError(where, ".".join(location), value, allowed)


def _as_written(kind: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Keys of a location as the user wrote them, without pydantic's names of union members."""
    schema = _schema(kind)
    written: list[str] = []
    for depth, part in enumerate(location):
        before = _nodes(schema, [str(earlier) for earlier in location[:depth]])
        tags = {_tag(option) for node in before for option in _options(schema, node)}
        if part not in tags and not str(part).endswith("]"):
            written.append(str(part))
    return written


def known_keys(kind: type[BaseModel], location: Sequence[str]) -> list[str]:
    """Fields of the settings class at a location, looking through dicts and unions."""
    schema = _schema(kind)
    options = [option for node in _nodes(schema, location) for option in _options(schema, node)]
    return sorted({key for option in options for key in option.get("properties", {})})


@functools.cache
def _schema(kind: type[BaseModel]) -> dict[str, Any]:
    return kind.model_json_schema()


def _nodes(schema: dict[str, Any], location: Sequence[str]) -> list[dict[str, Any]]:
    """Parts of a schema that a location can lead to."""
    nodes = [schema]
    for part in location:
        following: list[dict[str, Any]] = []
        for node in nodes:
            for option in _options(schema, node):
                if part in option.get("properties", {}):
                    following.append(option["properties"][part])
                elif isinstance(option.get("additionalProperties"), dict):
                    following.append(option["additionalProperties"])
                elif part == _tag(option):
                    following.append(option)  # pydantic names the chosen member of a union
                elif "items" in option:
                    following.append(option["items"])
        nodes = following
    return nodes


def _tag(option: Mapping[str, Any]) -> str | None:
    return option.get("properties", {}).get("kind", {}).get("const")


def _options(schema: Mapping[str, Any], node: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "$ref" in node:
        return _options(schema, schema["$defs"][node["$ref"].rsplit("/", 1)[-1]])
    members = [*node.get("oneOf", []), *node.get("anyOf", []), *node.get("allOf", [])]
    if members:
        return [option for member in members for option in _options(schema, member)]
    return [dict(node)]
