"""Tables are shown only if they were made from what is asked for."""

from __future__ import annotations

from pathlib import Path

from bprr.ground.errors import InputError
from bprr.ground.schema import Strict
from bprr.ground.storage import read_provenance

__all__ = ["Made", "check_made"]


class Made(Strict):
    """What a table is made from, as its provenance says it."""

    settings_hash: str
    data: str
    source: str


def check_made(path: Path, *asked: Made) -> None:
    """Refuse a table that is made from something else than one of what is asked for.

    Raises
    ------
    InputError
        Naming what differs from the nearest. A table that says nothing is somebody's own, of whom
        nothing is asked.
    """
    try:
        made = read_provenance(path)
    except InputError:
        return
    if "settings_hash" not in made:
        return
    differing = [
        {key: value for key, value in one.model_dump().items() if made.get(key) != value}
        for one in asked
    ]
    if differing and all(differing):
        key, value = next(iter(min(differing, key=len).items()))
        advice = f"{value}, which is asked for: run it again (bprr status says why)"
        raise InputError(path, key, made.get(key), advice)
