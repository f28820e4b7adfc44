"""Machines as somebody describes them, whatever the description looks like."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bprr.ground.errors import InputError

__all__ = ["BLOCK_INDICES", "Inventory", "Machine", "once", "span_of"]

BLOCK_INDICES = re.compile(r"(\d{1,6}):(\d{1,6})")
MOST_MACHINES = 4096  # round trips between all pairs of them are kept


@dataclass(frozen=True)
class Machine:
    """One server-to-be.

    Parameters
    ----------
    name : str
        Its name; each once.
    gpu : str
        As ``nvidia-smi`` prints it, or as a person writes it; empty if nobody said.
    memory_gb : float, optional
        Of the GPU, all of it.
    place : str
        Anything that `gazetteer.locate` knows, or a name of the file of round trips.
    inference_rps, forward_rps, network_rps : float, optional
        As PETALS measures and announces them.
    relay : bool
        Whether it is reached through a relay.
    span : (int, int), optional
        Blocks that it hosts now: first, counted from 0, and how many.
    cache_tokens : int, optional
        Cache that it announces as free, in tokens of one block.
    pings_ms : mapping
        Round trips to other machines that it has measured.
    """

    name: str
    gpu: str = ""
    memory_gb: float | None = None
    place: str = ""
    inference_rps: float | None = None
    forward_rps: float | None = None
    network_rps: float | None = None
    relay: bool = False
    span: tuple[int, int] | None = None
    cache_tokens: int | None = None
    pings_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Inventory:
    """All machines, and what a user should know about how they were read."""

    path: Path
    machines: tuple[Machine, ...]
    remarks: tuple[str, ...] = ()


def once(machines: list[Machine], path: Path) -> tuple[Machine, ...]:
    """The machines, if there are any, none of them twice.

    Raises
    ------
    InputError
        If not.
    """
    if not machines:
        raise InputError(path, "servers", 0, "at least one server")
    if len(machines) > MOST_MACHINES:
        raise InputError(path, "servers", len(machines), f"at most {MOST_MACHINES:,}")
    counted = Counter(machine.name for machine in machines)
    if twice := [name for name, count in counted.items() if count > 1]:
        raise InputError(path, "name", ", ".join(twice[:10]), "each name once")
    return tuple(machines)


def span_of(text: str, where: object, key: str) -> tuple[int, int]:
    """First block, from 0, and number of blocks of PETALS' half-open ``a:b``.

    Raises
    ------
    InputError
        If it is none.
    """
    match = BLOCK_INDICES.fullmatch(text.strip())
    if match is None or int(match[2]) <= int(match[1]):
        raise InputError(where, key, text, "blocks as PETALS has them: a:b, from 0, without b")
    return int(match[1]), int(match[2]) - int(match[1])
