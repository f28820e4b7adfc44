"""What a part reports: one row per figure, with its spread and its target."""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Row", "call_in_fresh_process", "peak_rss_gb", "row"]


@dataclass(frozen=True)
class Row:
    """One figure, the only form in which a part reports; a target is the most it may be."""

    name: str
    value: float
    low: float
    high: float
    samples: int
    unit: str
    target: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high or not math.isfinite(self.value):
            raise ValueError(f"{self.name}: {self.value} is not a figure between its percentiles")

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.value <= self.target


def row(
    name: str,
    samples: ArrayLike,
    unit: str,
    target: float | None = None,
    note: str = "",
) -> Row:
    """Median of the samples, between their 10th and 90th percentiles."""
    values = np.atleast_1d(np.asarray(samples, dtype=float))
    low, median, high = map(float, np.percentile(values, [10, 50, 90]))
    return Row(name, median, low, high, int(values.size), unit, target, note)


def peak_rss_gb() -> float:
    """Largest memory that this process has had (GB)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bytes_per_unit = 1 if sys.platform == "darwin" else 1024
    return peak * bytes_per_unit / 1e9


def call_in_fresh_process(module: str, *arguments: str, env: dict[str, str] | None = None) -> Any:
    """What ``python -m module arguments`` prints as JSON on its last line."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, env=env)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])
