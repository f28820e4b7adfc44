"""Where a trace comes from: device, versions, settings, code revision, drift (no torch needed)."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from bprr.ground.storage import package_versions, source_hash
from bprr.measure.plan import REFERENCE

__all__ = ["code_revision", "drift", "origin"]


def code_revision() -> str | None:
    """Git revision of this code, ``+changes`` if edited since; None outside a repository."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=20
        )
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no", "."],
            capture_output=True, text=True, check=True, timeout=20,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+changes" if changed.stdout.strip() else "")


def origin(libraries: Sequence[str]) -> dict[str, object]:
    """Date, code and library versions of a run that starts now."""
    return {
        "measured_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "code_revision": code_revision(),
        "source_hash": source_hash("measure"),
        "libraries": {"python": platform.python_version(), **package_versions(libraries)},
    }


def drift(rows: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """How far the reference observation wandered during the run.

    Parameters
    ----------
    rows : list of mapping
        Observations of the run.

    Returns
    -------
    dict
        Median of the reference per round (ms); relative to the overall median, the spread between
        rounds and the change from the first to the last third of them.
    """
    frame = pd.DataFrame(rows)
    reference = frame[frame["experiment"] == REFERENCE]
    medians = reference.groupby("round")["value"].median().to_numpy(dtype=float)
    overall = float(np.median(medians))
    third = max(1, len(medians) // 3)
    change = float(np.median(medians[-third:]) - np.median(medians[:third]))
    return {
        "reference_ms_by_round": [round(float(value), 4) for value in medians],
        "relative_spread_between_rounds": round(float(medians.std() / overall), 4),
        "relative_change_first_to_last_third": round(change / overall, 4),
    }
