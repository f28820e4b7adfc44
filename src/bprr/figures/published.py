"""Numbers of others that figures and tables show beside ours; never mixed with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bprr.ground.errors import InputError
from bprr.study.summary import POINT

__all__ = ["artefact_means", "published_results", "read_csv"]

PRINTED = (
    "table",
    "setting",
    "method",
    "rate_per_s",
    "output_tokens",
    "quantity",
    "value_s",
    "sd_s",
)
ARTEFACT_METRICS = ("per_token_ms_mean", "per_token_ms_se", "ttft_ms_mean", "wait_ms_mean")
ARTEFACT = (*POINT, "output_tokens", "runs", *ARTEFACT_METRICS)


def published_results(path: Path) -> pd.DataFrame:
    """Numbers printed in the paper's tables (``data/published/results.csv``).

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    return read_csv(path, PRINTED)


def artefact_means(artefact_csv: Path) -> pd.DataFrame:
    """Means of the published artefact, one row per point, method and metric.

    The time per remaining token follows from the other two, since all requests of a point have
    equal lengths. Only the time per token comes with a standard error.

    Returns
    -------
    DataFrame
        Place of the point, ``metric``, ``artefact_mean``, ``artefact_se``, ``artefact_runs``.
    """
    table = read_csv(artefact_csv, ARTEFACT)
    tokens = table["output_tokens"]
    total_ms = table["per_token_ms_mean"] * tokens
    means = {
        "per_token_ms": table["per_token_ms_mean"],
        "ttft_ms": table["ttft_ms_mean"],
        "remaining_per_token_ms": (total_ms - table["ttft_ms_mean"]) / (tokens - 1),
        "wait_ms": table["wait_ms_mean"],
    }
    errors = {"per_token_ms": table["per_token_ms_se"]}
    return pd.concat(
        [
            table[list(POINT)].assign(
                metric=metric,
                artefact_mean=mean,
                artefact_se=errors.get(metric, np.nan),
                artefact_runs=table["runs"],
            )
            for metric, mean in means.items()
        ],
        ignore_index=True,
    )


def read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Table of a CSV file; only an empty cell is a missing value.

    Raises
    ------
    InputError
        If the file cannot be read, is empty or lacks a column.
    """
    try:
        table: pd.DataFrame = pd.read_csv(path, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise InputError(path, "file", str(error), "a readable CSV file") from None
    if table.empty or not set(columns) <= set(table):
        value = "no rows" if table.empty else ", ".join(map(str, table.columns))
        raise InputError(path, "columns", value, ", ".join(columns))
    return table
