"""Machines of a report of PETALS' health monitor (``GET /api/v1/state``).

The report has no GPU, no memory and no place; it has pings between servers (in seconds), what they
have measured of themselves, and which blocks they host. Addresses, peer ids and public names stay
in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bprr.ground.errors import InputError
from bprr.ground.files import read_json
from bprr.plan.machines import Inventory, Machine, once

__all__ = ["read_health_monitor"]

MOST_SPAN = 10_000
USABLE = "online"


def read_health_monitor(path: Path, served: str | None, keep_names: bool = False) -> Inventory:
    """Servers that are online and serve one model of the report.

    Raises
    ------
    InputError
        If it is no such report, or of several models and nobody says which.
    """
    content = read_json(path, "report of a health monitor")
    reports = content.get("model_reports") if isinstance(content, dict) else None
    if not isinstance(reports, list) or not reports:
        allowed = "a list of one report per model, as PETALS' health monitor has it"
        raise InputError(path, "model_reports", type(reports).__name__, allowed)
    report = _chosen(reports, served, path)
    rows = report.get("server_rows")
    if not isinstance(rows, list):
        raise InputError(path, "server_rows", type(rows).__name__, "a list of servers")
    seen = [_row(row, f"{path}: server_rows[{place}]") for place, row in enumerate(rows)]
    online = [row for row in seen if row["state"] == USABLE]
    names = {
        row["peer"]: row["public"] if keep_names and row["public"] else f"server-{place:02d}"
        for place, row in enumerate(online, start=1)
    }
    machines = [_machine(row, names) for row in online]
    remarks = [
        f"{path}: no GPU, memory or place in it: memory is what a server's blocks and its free"
        " cache take, at the least"
    ]
    if left_out := len(seen) - len(online):
        remarks.append(f"{path}: {left_out} of {len(seen)} servers are not online, and left out")
    return Inventory(path, once(machines, path), tuple(remarks))


def _chosen(reports: list[Any], served: str | None, path: Path) -> dict[str, Any]:
    named: dict[str, dict[str, Any]] = {}
    for report in reports:
        if isinstance(report, dict):
            names = (report.get("short_name"), report.get("name"), report.get("dht_prefix"))
            named[str(next(filter(None, names), f"model {len(named) + 1}"))] = report
    if served is None and len(named) == 1:
        return next(iter(named.values()))
    wanted = (served or "").lower()
    fits = [name for name in named if wanted and wanted in name.lower()]
    if len(fits) != 1:
        allowed = f"one of the models of the report: {', '.join(named)}"
        raise InputError(path, "--served", served, allowed)
    return named[fits[0]]


def _row(row: Any, where: str) -> dict[str, Any]:
    """What is used of a server's row, each value checked."""
    span = row.get("span") if isinstance(row, dict) else None
    info = span.get("server_info") if isinstance(span, dict) else None
    if not isinstance(row, dict) or not isinstance(span, dict) or not isinstance(info, dict):
        raise InputError(where, "span.server_info", type(info).__name__, "a mapping")
    start, end = span.get("start"), span.get("end")
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= MOST_SPAN:
        raise InputError(where, "span", f"{start}:{end}", "whole numbers start < end")
    pings = info.get("next_pings")
    return {
        "peer": str(row.get("peer_id") or span.get("peer_id") or where),
        "public": info.get("public_name") if isinstance(info.get("public_name"), str) else None,
        "state": str(row.get("state") or info.get("state") or USABLE).lower(),
        "start": start,
        "end": end,
        "relay": bool(info.get("using_relay")),
        "cache_tokens": _number(info, "cache_tokens_left", where),
        "pings": pings if isinstance(pings, Mapping) else {},
        **{key: _number(info, key, where) for key in ("inference_rps", "forward_rps",
                                                      "network_rps")},
    }  # fmt: skip


def _number(info: Mapping[str, Any], key: str, where: str) -> float | None:
    value = info.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(where, key, value, "a number, or null")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if key == "cache_tokens_left":
        return number if 0 <= number < 1e15 else None
    return number if 0 < number < 1e9 else None  # inf and 0 are what a failed measurement leaves


def _machine(row: Mapping[str, Any], names: Mapping[str, str]) -> Machine:
    length = row["end"] - row["start"]
    free = row["cache_tokens"]
    pings_ms = {
        names[peer]: 1000.0 * seconds
        for peer, seconds in row["pings"].items()
        if peer in names
        and isinstance(seconds, int | float)
        and not isinstance(seconds, bool)
        and 0 <= seconds < 100
    }
    return Machine(
        name=names[row["peer"]],
        inference_rps=row["inference_rps"],
        forward_rps=row["forward_rps"],
        network_rps=row["network_rps"],
        relay=row["relay"],
        span=(row["start"], length),
        # Announced over keys and values of all blocks of the span.
        cache_tokens=None if free is None else int(free / 2),
        pings_ms=pings_ms,
    )
