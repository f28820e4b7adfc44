"""Results as the scorecard reads them: run means of sweeps, and other tables, each read once."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bprr.ground.storage import read_table
from bprr.study.summary import run_means

__all__ = ["Results"]


class Results:
    """Files below the results folder.

    Parameters
    ----------
    folder : Path
        The results folder.
    confidence : float
        Level of all intervals.
    published : Path
        Numbers printed in the paper (``data/published/results.csv``).
    """

    def __init__(self, folder: Path, confidence: float, published: Path) -> None:
        self.folder, self.confidence, self.published = folder, confidence, published
        self._means: dict[str, pd.DataFrame] = {}

    def path(self, name: str) -> Path:
        """Path of a result."""
        return self.folder / name

    def table(self, name: str) -> pd.DataFrame:
        """Table of a Parquet file."""
        return read_table(self.path(name))

    def means(self, *names: str) -> pd.DataFrame:
        """Run means of one or several sweeps (`bprr.study.summary.run_means`)."""
        for name in names:
            if name not in self._means:
                self._means[name] = run_means(self.table(name))
        return pd.concat([self._means[name] for name in names], ignore_index=True)

    def sweep(self, figure: str, topology: str) -> pd.DataFrame:
        """Run means of a sweep on one topology."""
        return self.means(f"sweeps/{figure}_{topology}.parquet")
