"""Run means of tables of requests that are what an exhibit asks for."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bprr.figures.caption import StudyCaption
from bprr.figures.made import check_made
from bprr.figures.regimes import with_regimes
from bprr.ground.results import REQUESTS
from bprr.ground.tables import read_table
from bprr.study.kept_means import kept_means
from bprr.study.summary import run_means

__all__ = ["asked_means", "asked_points", "asked_requests"]


def asked_requests(path: Path, study: StudyCaption) -> pd.DataFrame:
    """Requests of a sweep on one network.

    Raises
    ------
    InputError
        If the table says that it was made from something else than the study asks for.
    """
    return _asked(path, read_table(path, REQUESTS), study)


def asked_means(path: Path, study: StudyCaption) -> pd.DataFrame:
    """Run means of `asked_requests`, as they were kept if they were."""
    kept = kept_means(path)
    return run_means(asked_requests(path, study)) if kept is None else _asked(path, kept, study)


def asked_points(path: Path, study: StudyCaption) -> pd.DataFrame:
    """Run means of `asked_requests`, with the regimes of their points (`with_regimes`)."""
    requests = asked_requests(path, study)
    return with_regimes(run_means(requests), requests)


def _asked(path: Path, table: pd.DataFrame, study: StudyCaption) -> pd.DataFrame:
    """The table, if its file was made from what the study asks for."""
    sweep = study.sweeps.get(table["figure"].iloc[0])
    asked = sweep.made.get(table["topology"].iloc[0]) if sweep else None
    check_made(path, *filter(None, [asked]))
    return table
