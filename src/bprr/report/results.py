"""Results as the scorecard reads them: run means of sweeps, and other tables, each read once."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Self

import pandas as pd

from bprr.figures.caption import StudyCaption
from bprr.figures.cells import TABLE_SWEEPS, as_printed
from bprr.figures.made import check_made
from bprr.figures.means import asked_means
from bprr.figures.published import published_results
from bprr.ground.results import REQUESTS
from bprr.ground.tables import Schema, read_table

__all__ = ["Results"]

# Fitted devices are one and the same for every run, so that scenarios can name them: the workflow
# keeps them here whatever folder the other results are in (workflow/rules/fit.smk).
FITS = Path("results/fit")
# Genuine PETALS as the project measured it, for those who do not measure it themselves.
TESTBED = Path("data/traces/testbed")


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
        """Path of a result; of a fit or the testbed, here or else where all runs share it."""
        path = self.folder / name
        top, _, rest = name.partition("/")
        if path.exists() or top not in ("fit", "testbed"):
            return path
        return FITS / rest if top == "fit" else TESTBED / path.name

    def table(self, name: str, schema: Schema = REQUESTS) -> pd.DataFrame:
        """Table of a Parquet file.

        Raises
        ------
        InputError
            If it says that it was made from something else than the study asks for.
        """
        check_made(self.path(name), *filter(None, [self.caption.made.get(name)]))
        return read_table(self.path(name), schema)

    def means(self, *names: str) -> pd.DataFrame:
        """Run means of one or several sweeps (`bprr.study.summary.run_means`).

        Those of Tables III and VI come as the cells that are printed.
        """
        for name in names:
            if name not in self._means:
                means = asked_means(self.path(name), self.caption)
                if set(means["figure"]) & TABLE_SWEEPS:
                    means = as_printed(means, published_results(self.published))
                self._means[name] = means
        return pd.concat([self._means[name] for name in names], ignore_index=True)

    def files_of(self, sweep: str) -> list[str]:
        """Files of a sweep that exist, relative to the results folder."""
        places = sorted(self.caption.topologies)
        names = (f"sweeps/{sweep}_{topology}.parquet" for topology in places)
        return [name for name in names if self.path(name).exists()]

    def under(self, variant: str | None) -> Self:
        """The same, with one variant of the delays only."""
        names = {} if variant is None else {variant: self.caption.variants[variant]}
        view = copy(self)
        view.caption = self.caption.model_copy(update={"variants": names})
        return view

    def printed(self, quantity: str) -> Results:
        """Printed cells in the place of every sweep, as one run with the delays."""
        printed = published_results(self.published)
        rows = printed[printed["quantity"] == quantity].reset_index(drop=True)
        place = ["table", "setting", "rate_per_s", "output_tokens"]
        cells = rows.rename(columns={"table": "figure", "setting": "topology"}).assign(
            x=rows.groupby(place).ngroup(),
            run=0,
            allocation_delays=self.caption.delayed,
            per_token_ms=rows["value_s"] * 1000,
        )
        return _Printed(self, cells)

    def by_variant(self, means: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
        """Run means with the delays and without, as far as there are any, in this order."""
        for variant in (self.caption.delayed, self.caption.undelayed):
            rows = means[means["allocation_delays"] == variant]
            if variant is not None and len(rows):
                yield variant, rows


class _Printed(Results):
    """Every sweep is the same table."""

    def __init__(self, ours: Results, cells: pd.DataFrame) -> None:
        super().__init__(ours.folder, ours.caption, ours.published)
        self._cells = cells

    def means(self, *names: str) -> pd.DataFrame:
        """The printed cells."""
        return self._cells
