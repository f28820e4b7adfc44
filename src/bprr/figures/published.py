"""Numbers of others that figures and tables show beside ours; never mixed with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from bprr.ground.results import ARTEFACT, PUBLISHED
from bprr.ground.tables import read_csv
from bprr.study.summary import POINT

__all__ = ["artefact_means", "published_results"]


def published_results(path: Path) -> pd.DataFrame:
    """Numbers printed in the paper's tables (``data/published/results.csv``)."""
    return read_csv(path, PUBLISHED)


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
