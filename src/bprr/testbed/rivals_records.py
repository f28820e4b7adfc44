"""What a rivals run leaves: sessions, their hops, and what every method's servers came to host."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import Field

from bprr.ground.schema import Strict
from bprr.testbed.loaded_prediction import LoadProfile
from bprr.testbed.loaded_records import HOPS, SESSIONS, Business
from bprr.testbed.records import (
    Machine,
    read_manifest,
    read_tables,
    write_manifest,
    write_tables,
)
from bprr.testbed.rivals_settings import RivalsSettings

__all__ = ["Placed", "RivalsManifest", "RivalsRun", "read_rivals", "write_rivals"]

FILES = {"sessions": SESSIONS, "hops": HOPS}


class Placed(Strict):
    """What the servers of a method came to host, and what was left held when all had ended."""

    first_block: list[int]  # from 1; 0 blocks: it serves nothing
    blocks: list[int]
    cache_tokens: list[int]
    longest_session_tokens: int
    held_at_end: int = Field(description="tokens of one block that servers still counted as held")
    chains: list[list[tuple[int, int]]] | None = Field(
        None, description="that its coordinator gave: each server, from 0, and its blocks"
    )
    places: list[float] | None = Field(None, description="sessions at once that each is meant for")


class RivalsManifest(Strict):
    """What the tables of a rivals run rest on."""

    settings: RivalsSettings
    profiles: dict[str, LoadProfile]  # by fleet
    placed: dict[str, Placed]  # by "case/arm"
    machine: Machine
    business: dict[str, Business]
    not_measured: dict[str, str] = {}


@dataclass(frozen=True)
class RivalsRun:
    """Tables of a rivals run and its manifest."""

    sessions: pd.DataFrame
    hops: pd.DataFrame
    manifest: RivalsManifest


def write_rivals(run: RivalsRun, folder: Path) -> None:
    """Write tables and manifest."""
    write_tables({name: getattr(run, name) for name in FILES}, folder)
    write_manifest(run.manifest, folder)


def read_rivals(folder: Path) -> RivalsRun:
    """Read a rivals run.

    Raises
    ------
    InputError, InputErrors
        If a file cannot be read, or is not what such a run writes.
    """
    manifest = read_manifest(RivalsManifest, folder, "a rivals run")
    kind = "of a rivals run (bprr testbed rivals)"
    tables = read_tables(FILES, folder, kind)
    return RivalsRun(tables["sessions"], tables["hops"], manifest)
