"""Machines of a folder: one output of ``nvidia-smi`` per host, with PETALS' throughputs beside.

``nvidia-smi --query-gpu=name,memory.total --format=csv > HOST.csv`` on each host; a folder per host
works too, ``HOST/nvidia-smi.csv`` with PETALS' ``throughput_v5.json`` in it. ``places.csv``
(``host,place``) says where hosts are; a host without a line there is at the place of its name.
"""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path
from typing import Any

from bprr.ground.errors import InputError
from bprr.ground.files import read_json, read_text
from bprr.ground.swarm import BYTES_PER_GB
from bprr.ground.tables import TEXT, Schema, read_csv
from bprr.plan.machines import Inventory, Machine, once

__all__ = ["read_folder"]

PLACES = Schema("places of hosts", {"host": TEXT, "place": TEXT})
GB_PER_MIB = 2**20 / BYTES_PER_GB
THROUGHPUTS = ("throughput_v5.json", "throughput.json")
MOST_FILES = 4096


def read_folder(folder: Path) -> Inventory:
    """Machines, one per GPU, of all outputs in a folder.

    Raises
    ------
    InputError
        If there is no output, or one cannot be used.
    """
    files = sorted(
        path
        for pattern in ("*.csv", "*.txt", "*/*.csv", "*/*.txt")
        for path in folder.glob(pattern)
        if path.name != "places.csv"
    )
    if not files or len(files) > MOST_FILES:
        allowed = "a folder of outputs of nvidia-smi --query-gpu=name,memory.total --format=csv"
        raise InputError(folder, "files", len(files), allowed)
    places: dict[str, str] = {}
    if (table := folder / "places.csv").exists():
        places = dict(read_csv(table, PLACES)[["host", "place"]].itertuples(index=False))
    machines, remarks = [], []
    for path in files:
        host = path.stem if path.parent == folder else path.parent.name
        found, said = _gpus(path)
        beside = [path.with_name(f"{path.stem}.{name}") for name in THROUGHPUTS]
        if path.parent != folder:
            beside += [path.with_name(name) for name in THROUGHPUTS]
        announced = next((each for each in beside if each.exists()), None)
        rates: dict[str, Any] = {} if announced is None else _throughputs(announced)
        place = places.get(host, host)
        for number, (name, memory_gb) in enumerate(found):
            label = host if len(found) == 1 else f"{host}-{number}"
            machines.append(Machine(label, name, memory_gb, place, **rates))
        remarks += said
    return Inventory(folder, once(machines, folder), tuple(remarks))


def _gpus(path: Path) -> tuple[list[tuple[str, float]], list[str]]:
    """Name and memory (GB) of each GPU of an output, and what is to be said."""
    text = read_text(path, "output of nvidia-smi", 1_000_000)
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if row]
    header = [re.sub(r"\s*\[.*\]$", "", cell).lower() for cell in rows[0]] if rows else []
    if "name" not in header or "memory.total" not in header:
        allowed = "nvidia-smi --query-gpu=name,memory.total --format=csv, with its header"
        raise InputError(path, "line 1", rows[0] if rows else "nothing", allowed)
    unit = next(cell for cell in rows[0] if cell.lower().startswith("memory.total"))
    found, remarks = [], []
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise InputError(path, f"line {line}", row, f"{len(header)} values")
        cells = dict(zip(header, row, strict=True))
        total_gb = _gb(cells["memory.total"], unit, path, line)
        found.append((cells["name"], total_gb))
        free = cells.get("memory.free", "")
        if re.match(r"\d", free):
            free_gb = _gb(free, unit, path, line)
            if free_gb < 0.8 * total_gb:
                remarks.append(
                    f"{path}: {free_gb:.1f} of {total_gb:.1f} GB are free; planned with all of it"
                )
    if not found:
        raise InputError(path, "rows", 0, "at least one GPU")
    return found, remarks


def _gb(cell: str, header: str, path: Path, line: int) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(MiB|GiB|MB|GB)?", cell)
    unit = (match and match[2]) or next(
        (each for each in ("MiB", "GiB", "MB", "GB") if each in header), "MiB"
    )
    scale = {"MiB": GB_PER_MIB, "GiB": 1024 * GB_PER_MIB, "MB": 1e-3, "GB": 1.0}[unit]
    gb = float(match[1]) * scale if match else math.nan
    if not 0 < gb <= 5_000:
        raise InputError(path, f"memory.total (line {line})", cell, "memory such as 24576 MiB")
    return gb


def _throughputs(path: Path) -> dict[str, float]:
    """What PETALS has measured here; the last entry where there are several."""
    content = read_json(path, "throughput_v5.json of PETALS")
    entries = [each for each in content.values() if isinstance(each, dict)] if isinstance(
        content, dict) else []  # fmt: skip
    if not entries:
        raise InputError(path, "file", type(content).__name__, "a mapping of measured throughputs")
    rates = {key: _rate(entries[-1], key, path) for key in
             ("inference_rps", "forward_rps", "network_rps")}  # fmt: skip
    return {key: value for key, value in rates.items() if value is not None}


def _rate(entry: dict[str, Any], key: str, path: Path) -> float | None:
    value = entry.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise InputError(path, key, value, "a number above 0")
    return float(value)
