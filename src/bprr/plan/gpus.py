"""Which GPU a name means, and what its data sheet promises."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from bprr.ground.tables import NUMBER, TEXT, Schema, read_csv

__all__ = ["Gpu", "gpu_named", "known_gpus"]

TABLE = Path(__file__).with_name("gpus.csv")
GPUS = Schema(
    "GPUs",
    {
        "pattern": TEXT,
        "name": TEXT,
        "memory_gb": NUMBER,
        "bandwidth_gb_per_s": NUMBER,
        "tflops": NUMBER,
        "source": TEXT,
    },
)


class Gpu(NamedTuple):
    """What a data sheet says: usable memory as printed, bandwidth, dense FP16 (FP32 sums)."""

    pattern: str
    name: str
    memory_gb: float
    bandwidth_gb_per_s: float
    tflops: float
    source: str


@cache
def known_gpus() -> tuple[Gpu, ...]:
    """All of the table, of several that fit a name the first one counts."""
    rows = read_csv(TABLE, GPUS)[list(Gpu._fields)].itertuples(index=False)
    return tuple(Gpu(*row) for row in rows)


@cache
def gpu_named(name: str) -> Gpu | None:
    """GPU that a name means, as ``nvidia-smi`` or a person writes it; none if nobody knows."""
    plain = re.sub(r"[\s_-]+", " ", name).strip()
    spellings = {name, plain, re.sub(r"(?<=[A-Za-z])(?=\d{4})", " ", plain)}
    for gpu in known_gpus():
        if any(re.search(gpu.pattern, each, re.IGNORECASE) for each in spellings):
            return gpu
    return None
