"""A placement from a file: our own plans, PETALS' block indices, or a solution of Helix."""

from __future__ import annotations

import json
import re
from configparser import ConfigParser
from configparser import Error as ConfigError
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import Field

from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.files import read_text
from bprr.ground.performance import free_cache_tokens, hosts_of_blocks
from bprr.ground.schema import Strict
from bprr.placement.base import Placement, PlacementPolicy, PlacementProblem

__all__ = ["Given", "Span", "read_spans"]

BLOCK_INDICES = re.compile(r"(?<![\w.])(\d{1,9}):(\d{1,9})(?![\w.])")
MEMORY_TOLERANCE = 1e-9  # relative, as in `bprr.ground.swarm.floor_ratio`


class Span(NamedTuple):
    """Blocks of one server."""

    server: int
    first_block: int  # from 1
    blocks: int
    device: str | None = None
    cache_tokens: int | None = None  # of one block; all leftover memory if not given


def read_spans(path: Path) -> list[Span]:
    """Blocks of servers in a file, its kind known by its content.

    Our own ``bprr solve --json`` counts blocks from 1. PETALS' ``--block_indices a:b`` begin at 0
    and leave out b; a line per server. Helix lists the layers of ``compute_node_n`` from 0.

    Raises
    ------
    InputError
        If it is none of these, or names a server twice.
    """
    text = read_text(path, "placement")
    if text.lstrip().startswith("{"):
        spans = _plan(path, text)
    elif re.search(r"^\s*\[Solution\]", text, re.MULTILINE):
        spans = _helix(path, text)
    else:
        found = BLOCK_INDICES.findall(re.sub(r"#.*", "", text))
        spans = [
            Span(server, int(first) + 1, int(end) - int(first))
            for server, (first, end) in enumerate(found)
        ]
    if not spans:
        allowed = "bprr solve --json, lines of --block_indices a:b, or a [Solution] of Helix"
        raise InputError(path, "file", text[:60], allowed)
    servers = [span.server for span in spans]
    if len(set(servers)) != len(servers) or min(servers) < 0:
        raise InputError(path, "servers", servers[:50], "each server once, counted from 0")
    return spans


def _plan(path: Path, text: str) -> list[Span]:
    allowed = "a list `placement` of server, first_block, blocks, as bprr solve --json prints it"
    try:
        rows = json.loads(text)["placement"]
        spans = [
            Span(
                row["server"], row["first_block"], row["blocks"], row.get("device"),
                row.get("cache_tokens"),
            )
            for row in rows
        ]  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(path, "placement", repr(error), allowed) from None
    for span in spans:
        cache = span.cache_tokens
        if any(type(number) is not int for number in span[:3]) or not (
            cache is None or (type(cache) is int and cache >= 0)
        ):
            raise InputError(path, "placement", span, allowed)
    return spans


def _helix(path: Path, text: str) -> list[Span]:
    parser = ConfigParser()
    try:
        parser.read_string(text)
        offset = parser.getint("Settings", "offset", fallback=0)
        entries = list(parser["Solution"].items())
    except (ConfigError, ValueError) as error:
        raise InputError(path, "file", str(error), "a solution file of Helix") from None
    spans = []
    for key, value in entries:
        name = re.fullmatch(r"compute_node_(\d{1,9})", key)
        layers = [int(number) for number in re.findall(r"\d{1,9}", value)]
        first = layers[0] if layers else 0
        if name is None or layers != list(range(first, first + len(layers))):
            allowed = "compute_node_n = [consecutive layers]"
            raise InputError(path, "Solution", f"{key} = {value}", allowed)
        spans.append(Span(int(name[1]) - offset, first + 1, len(layers)))
    return spans


class Given(PlacementPolicy, name="given"):
    """The placement of a file, verified; servers that it leaves out host nothing."""

    class Options(Strict):
        """Where it is."""

        file: Path = Field(description="who hosts what (docs/bring-your-own.md)")

    def place(self, problem: PlacementProblem) -> Placement:
        """Blocks and cache of every server."""
        swarm, path = problem.swarm, self.options.file
        first_block, blocks = np.zeros((2, swarm.servers), dtype=np.int64)
        limit = np.full(swarm.servers, np.iinfo(np.int64).max)
        for server, first, count, device, cache in read_spans(path):
            key = f"server {server}"
            if server >= swarm.servers:
                raise InputError(path, key, "hosts blocks", f"one of {swarm.servers} servers")
            if device not in (None, swarm.device[server]):
                allowed = f"{swarm.device[server]}, as the scenario draws it"
                raise InputError(path, key, device, allowed)
            last, cap = first + count - 1, swarm.model.blocks
            if count < 0 or (count and not 1 <= first <= last <= cap):
                raise InputError(path, key, f"blocks {first} to {last}", f"blocks 1 to {cap}")
            if swarm.block_cap is not None and count > swarm.block_cap[server]:
                allowed = f"at most {swarm.block_cap[server]}, its block_cap"
                raise InputError(path, key, f"{count} blocks", allowed)
            needed_gb, has_gb = count * swarm.model.block_gb, float(swarm.memory_gb[server])
            if needed_gb > has_gb * (1 + MEMORY_TOLERANCE):
                missing = f"{needed_gb - has_gb:.2f} GB"
                raise InfeasibleError("GPU memory", missing, f"{key} of {path}: {count} blocks")
            if count:
                first_block[server], blocks[server] = first, count
            if cache is not None:
                limit[server] = min(cache, limit[server])
        hosts = hosts_of_blocks(first_block, blocks, swarm.model.blocks)
        nowhere = np.flatnonzero(hosts == 0) + 1
        if nowhere.size:
            listed = ", ".join(map(str, nowhere[:8]))
            missing = f"{nowhere.size} of {swarm.model.blocks} blocks"
            raise InfeasibleError("blocks", missing, f"{path} hosts nowhere {listed}")
        room = free_cache_tokens(swarm, blocks)
        return Placement(swarm, first_block, blocks, np.minimum(room, limit))
