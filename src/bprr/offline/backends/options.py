"""Options of the solvers, checked before a solver runs with them."""

from __future__ import annotations

from collections.abc import Hashable
from fnmatch import fnmatchcase
from functools import cache
from typing import cast

from bprr.ground.errors import InputError
from bprr.offline.backends.base import Backend
from bprr.settings.offline import Option

__all__ = ["GAP", "LOG", "THREADS", "TIME", "UNPROVEN", "OptionError", "accepted", "of_type"]

# Why an option is reserved.
GAP = "offline.relative_gap says it for every solver"
TIME = "offline.time_limit_s says it for every solver"
THREADS = "offline.threads says it for every solver"
LOG = "what the solver writes is read from where it is put now"
UNPROVEN = "with it the solver may solve another problem, and call that proven"

WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}


class OptionError(ValueError):
    """An option that a solver does not take; says what it takes."""


def of_type(value: Option, kind: type) -> Option:
    """The value, if it is of the type that the solver expects.

    Raises
    ------
    OptionError
        If not: a solver may ignore or round what it cannot use.
    """
    if kind is str and isinstance(value, bool):
        return "on" if value else "off"
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise OptionError(WORDS[kind])
    return value


def accepted(backend: Backend, name: str, value: Option) -> tuple[str, Option]:
    """Full name and value of an option, as the solver takes them.

    Raises
    ------
    InputError
        If there is no such option, its value is of the wrong type, or it is reserved.
    """
    # 1, 1.0 and True are equal, and must not share what is remembered.
    taken, allowed = _accepted(backend, name, value, cast(Hashable, type(value)))
    if taken is None:
        where = f"offline.options.{backend.name}"
        raise InputError("solver settings", f"{where}.{name}", value, allowed)
    return taken


@cache
def _accepted(
    backend: Backend, name: str, value: Option, _: Hashable
) -> tuple[tuple[str, Option] | None, str]:
    """The option, or None and what is allowed; asking some solvers starts a process."""
    try:
        full, taken = backend.accept(name, value)
    except OptionError as error:
        return None, str(error)
    for why, patterns in backend.reserved.items():
        if any(fnmatchcase(full.lower(), pattern) for pattern in patterns):
            return None, f"no value: {why}"
    return (full, taken), ""
