"""The one reader of YAML: files that users write, with limits on what they may grow to.

Plain words mean what YAML 1.2's core schema says: ``1e5`` is a number; ``yes``, ``off``, ``1:30``
and ``2024-01-31`` are texts, and a key is always the text that stands there. Tags are refused.
PyYAML takes the text apart, but the values are made here, from its events: that is where it would
read YAML 1.1, run out of stack, or unfold a kilobyte of aliases into gigabytes. (ruamel.yaml reads
1.2, 20 times slower, and leaves these limits to its callers as well.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from bprr.ground.errors import InputError
from bprr.ground.files import read_text

__all__ = ["parse_yaml", "read_yaml"]

LARGEST_FILE = 2_000_000  # bytes
MOST_VALUES = 100_000  # aliases count as what they stand for
DEEPEST = 50
LONGEST_NUMBER = 100  # characters

_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **{
        sign + word: float(sign + "inf")
        for sign in ("", "+", "-")
        for word in (".inf", ".Inf", ".INF")
    },
}
_WHOLE = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_REAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

# The parser in C where PyYAML was built with it.
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path) -> dict[str, Any]:
    """Mapping in a YAML file.

    Raises
    ------
    InputError
        If the file cannot be read, is no YAML, is beyond the limits, or is no mapping.
    """
    content = parse_yaml(read_text(path, "YAML file", LARGEST_FILE), path)
    if not isinstance(content, dict):
        found = "nothing" if content is None else type(content).__name__
        raise InputError(path, "file", found, "a mapping of keys to values")
    return content


def parse_yaml(text: str, where: object) -> Any:
    """Value of a YAML text.

    Parameters
    ----------
    text : str
        One document.
    where : object
        Where it is from, for messages.

    Raises
    ------
    InputError
        If it is no YAML, or beyond the limits.
    """
    try:
        return _Document(where, yaml.parse(text, Loader=_PARSER)).content()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}" if mark else "file"
        raise InputError(where, line, error.problem or "no YAML", "valid YAML") from None
    except yaml.YAMLError as error:
        raise InputError(where, "file", " ".join(str(error).split()), "valid YAML") from None


class _Document:
    """Values of one document, made as its events come in."""

    def __init__(self, where: object, events: Iterator[yaml.Event]) -> None:
        self._where, self._events = where, events
        self._values = 0
        self._anchors: dict[str, tuple[Any, int]] = {}

    def content(self) -> Any:
        next(self._events)  # start of the stream
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        content = self._value(next(self._events), DEEPEST)
        next(self._events)  # end of the document
        if not isinstance(event := next(self._events), yaml.StreamEndEvent):
            raise self._refused(event, "a second document", "one document per file")
        return content

    def _value(self, event: yaml.Event, depth: int) -> Any:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                allowed = "an anchor that is written, and ends, before it"
                raise self._refused(event, f"*{event.anchor}", allowed)
            value, size = self._anchors[event.anchor]
            self._count(event, size)
            return value
        assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent)
        if event.tag is not None:
            raise self._refused(event, event.tag, "no tags")
        if not depth:
            raise self._refused(event, "more", f"at most {DEEPEST} levels")
        before = self._values
        self._count(event, 1)
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event) if event.implicit[0] else event.value
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._list(depth - 1)
        else:
            value = self._mapping(depth - 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = value, self._values - before
        return value

    def _list(self, depth: int) -> list[Any]:
        found = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            found.append(self._value(event, depth))
        return found

    def _mapping(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
                raise self._refused(event, "another kind of key", "a text as key")
            self._count(event, 1)
            key = event.value
            if key == "<<" and event.implicit[0]:
                allowed = "the entries themselves; YAML 1.2 has no merge key"
                raise self._refused(event, key, allowed)
            if key in found:
                raise self._refused(event, f"key {key!r} a second time", "each key once")
            found[key] = self._value(next(self._events), depth)
        return found

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        text = event.value
        if text in _WORDS:
            return _WORDS[text]
        whole = _WHOLE.fullmatch(text)
        if not whole and not _REAL.fullmatch(text):
            return text
        if len(text) > LONGEST_NUMBER:
            allowed = f"a number of at most {LONGEST_NUMBER} characters"
            raise self._refused(event, f"{len(text):,} characters", allowed)
        if not whole:
            return float(text)
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))

    def _count(self, event: yaml.Event, values: int) -> None:
        self._values += values
        if self._values > MOST_VALUES:
            allowed = f"at most {MOST_VALUES:,} values, aliases unfolded"
            raise self._refused(event, "more", allowed)

    def _refused(self, event: yaml.Event, found: object, allowed: str) -> InputError:
        assert event.start_mark is not None
        return InputError(self._where, f"line {event.start_mark.line + 1}", found, allowed)
