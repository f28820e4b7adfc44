"""The cells of Tables III and VI: what is printed, and the runs that stand beside it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bprr.study.summary import mean_interval

__all__ = ["CELL", "TABLE_SWEEPS", "as_cells", "as_printed", "own_cells", "printed_cells"]

TABLE_SWEEPS = {"table3", "table6", "tables_found"}  # whose points are cells of the tables
CELL = ["table", "setting", "method", "rate_per_s", "output_tokens"]


def printed_cells(published: pd.DataFrame) -> pd.DataFrame:
    """Printed cells, one per row: `CELL`, ``simulator`` and ``experiment`` (on GPUs) (s)."""
    cells = published[published["quantity"].isin(["simulator", "experiment"])]
    wide = cells.pivot(index=CELL, columns="quantity", values="value_s")
    return wide.reset_index().rename_axis(columns=None)


def as_printed(means: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Run means of the printed cells: found by their setting, not by how the sweep numbers them.

    A sweep that was run at a rate which a table does not print (docs/discrepancies.md#d3) stands in
    all columns of that table.

    Returns
    -------
    DataFrame
        ``means`` with the table as ``figure``, the printed ``rate_per_s``, and ``x`` numbering the
        cells; without the runs of which no cell is printed.
    """
    parts = []
    columns = ["table", "setting", "rate_per_s", "output_tokens"]
    printed = printed_cells(published)[columns].drop_duplicates(ignore_index=True)
    for number, cell in printed.iterrows():
        rates = printed.loc[printed["setting"] == cell["setting"], "rate_per_s"]
        own = means["topology"] == cell["setting"]
        own &= means["output_tokens"] == cell["output_tokens"]
        exact = own & np.isclose(means["rate_per_s"], cell["rate_per_s"])
        rows = means[exact if exact.any() else own & ~means["rate_per_s"].isin(rates)]
        labels = {"figure": cell["table"], "x": number, "rate_per_s": cell["rate_per_s"]}
        parts.append(rows.assign(**labels))
    return pd.concat(parts, ignore_index=True)


def as_cells(means: pd.DataFrame, published: pd.DataFrame, variant: str | None) -> pd.DataFrame:
    """Run means of the printed cells under a variant, with the columns of `CELL`."""
    rows = as_printed(means[means["allocation_delays"] == variant], published)
    return rows.rename(columns={"figure": "table", "topology": "setting"})


def own_cells(
    means: pd.DataFrame, published: pd.DataFrame, variant: str | None, confidence: float
) -> pd.DataFrame:
    """Mean time per token of every printed cell under a variant, indexed by `CELL` (s).

    Columns ``value``, ``low``, ``high``; cells that were not run are left out.
    """
    named = as_cells(means, published, variant)
    cells = named.dropna(subset="per_token_ms").groupby(CELL)["per_token_ms"]
    intervals = {cell: mean_interval(values / 1000, confidence) for cell, values in cells}
    index = pd.MultiIndex.from_tuples(intervals, names=CELL)
    return pd.DataFrame([*intervals.values()], index=index, columns=["value", "low", "high"])
