"""Machines of a table: ``name,gpu,memory_gb,place`` and what else is known of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bprr.ground.errors import InputError
from bprr.ground.tables import NUMBER, TEXT, Schema, read_csv
from bprr.plan.machines import Inventory, Machine, once, span_of

__all__ = ["COLUMNS", "read_servers"]

SERVERS = Schema(
    "servers",
    {
        "name": TEXT,
        "gpu": TEXT.optional,
        "memory_gb": NUMBER.optional,
        "place": TEXT.optional,
        "inference_rps": NUMBER.optional,
        "forward_rps": NUMBER.optional,
        "network_rps": NUMBER.optional,
        "relay": TEXT.optional,
        "blocks": TEXT.optional,
    },
)
COLUMNS = tuple(SERVERS.columns)
TRUTHS = {"": False, "no": False, "false": False, "0": False, "yes": True, "true": True, "1": True}
LARGEST_GB = 5_000.0


def read_servers(path: Path) -> Inventory:
    """Machines of a CSV file; cells that are empty are not known.

    Raises
    ------
    InputError
        If it cannot be used: a column that nobody knows, a number out of range.
    """
    table = read_csv(path, SERVERS)
    if unknown := [str(name) for name in table.columns if name not in SERVERS.columns]:
        raise InputError(path, "columns", ", ".join(unknown[:10]), ", ".join(COLUMNS))
    rows = (
        {str(key): value for key, value in row.items() if value == value and value is not None}
        for row in table.to_dict("records")
    )
    machines = [_machine(row, f"{path} (line {line})") for line, row in enumerate(rows, start=2)]
    return Inventory(path, once(machines, path))


def _machine(row: dict[str, Any], where: str) -> Machine:
    for key in ("memory_gb", "inference_rps", "forward_rps", "network_rps"):
        most = LARGEST_GB if key == "memory_gb" else 1e9
        if key in row and not 0 < row[key] <= most:
            raise InputError(where, key, row[key], f"a number above 0, at most {most:g}")
        if key in row:
            row[key] = float(row[key])
    name = row["name"].strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise InputError(where, "name", name, "a printable name of at most 100 letters")
    said = str(row.pop("relay", "")).strip().lower()
    if said not in TRUTHS:
        raise InputError(where, "relay", said, "yes or no")
    span = row.pop("blocks", None)
    texts: dict[str, str] = {key: row[key].strip() for key in ("gpu", "place") if key in row}
    known: dict[str, Any] = {**row, **texts, "name": name}
    return Machine(
        **known,
        relay=TRUTHS[said],
        span=None if span is None else span_of(span, where, "blocks"),
    )
