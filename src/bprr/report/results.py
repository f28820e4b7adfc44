"""Results as the scorecard reads them: run means of sweeps, and other tables, each read once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from bprr.figures.caption import StudyCaption
from bprr.figures.means import asked_means
from bprr.ground.results import REQUESTS
from bprr.ground.tables import Schema, read_table

__all__ = ["Results"]

# Fitted devices are one and the same for every run, so that scenarios can name them: the workflow
# keeps them here whatever folder the other results are in (workflow/rules/fit.smk).
FITS = Path("results/fit")


class Results:
    """Files below the results folder, their caption, and the numbers printed in the paper."""

    def __init__(self, folder: Path, caption: StudyCaption, published: Path) -> None:
        self.folder, self.caption, self.published = folder, caption, published
        self._means: dict[str, pd.DataFrame] = {}

    @property
    def confidence(self) -> float:
        """Level of all intervals."""
        return self.caption.confidence

    def path(self, name: str) -> Path:
        """Path of a result; of a fit, in this folder or else where all runs share it."""
        path = self.folder / name
        top, _, rest = name.partition("/")
        return FITS / rest if top == "fit" and not path.exists() else path

    def table(self, name: str, schema: Schema = REQUESTS) -> pd.DataFrame:
        """Table of a Parquet file."""
        return read_table(self.path(name), schema)

    def means(self, *names: str) -> pd.DataFrame:
        """Run means of one or several sweeps (`bprr.study.summary.run_means`)."""
        for name in names:
            if name not in self._means:
                self._means[name] = asked_means(self.path(name), self.caption)
        return pd.concat([self._means[name] for name in names], ignore_index=True)

    def by_variant(self, means: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
        """Run means with the delays and without, as far as there are any, in this order."""
        for variant in (self.caption.delayed, self.caption.undelayed):
            rows = means[means["allocation_delays"] == variant]
            if variant is not None and len(rows):
                yield variant, rows
