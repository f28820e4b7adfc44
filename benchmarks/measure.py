"""What a part reports: one row per figure, with its spread and its target."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["call_in_fresh_process", "peak_rss_gb", "row"]

Row = dict[str, Any]


def row(
    name: str, samples: Sequence[float] | float, unit: str, target: float | None = None, note=""
) -> Row:
    """One figure: the median of its samples, their 10th and 90th percentiles, and its target.

    A target is the most the median may be.
    """
    values = np.atleast_1d(np.asarray(samples, dtype=float))
    low, median, high = np.percentile(values, [10, 50, 90])
    return {
        "name": name,
        "median": float(median),
        "low": float(low),
        "high": float(high),
        "samples": int(values.size),
        "unit": unit,
        "target": target,
        "met": None if target is None else bool(median <= target),
        "note": note,
    }


def peak_rss_gb() -> float:
    """Largest memory that this process has had (GB)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bytes_per_unit = 1 if sys.platform == "darwin" else 1024
    return peak * bytes_per_unit / 1e9


def call_in_fresh_process(module: str, *arguments: str, env: dict[str, str] | None = None) -> Any:
    """What ``python -m module arguments`` prints as JSON on its last line."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])
