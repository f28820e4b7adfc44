"""Run means of tables of requests that are what an exhibit asks for."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bprr.figures.caption import StudyCaption
from bprr.figures.made import check_made
from bprr.ground.results import REQUESTS
from bprr.ground.tables import read_table
from bprr.study.summary import run_means

__all__ = ["asked_means", "asked_requests"]


def asked_requests(path: Path, study: StudyCaption) -> pd.DataFrame:
    """Requests of a sweep on one network.

    Raises
    ------
    InputError
        If the table says that it was made from something else than the study asks for.
    """
    requests = read_table(path, REQUESTS)
    sweep = study.sweeps.get(requests["figure"].iloc[0])
    asked = sweep.made.get(requests["topology"].iloc[0]) if sweep else None
    check_made(path, *filter(None, [asked]))
    return requests


def asked_means(path: Path, study: StudyCaption) -> pd.DataFrame:
    """Run means of `asked_requests`."""
    return run_means(asked_requests(path, study))
