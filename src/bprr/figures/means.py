"""Run means of tables of requests that are what an exhibit asks for."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bprr.figures.caption import StudyCaption
from bprr.ground.errors import InputError
from bprr.ground.results import REQUESTS
from bprr.ground.storage import read_provenance
from bprr.ground.tables import read_table
from bprr.study.summary import run_means

__all__ = ["asked_means"]


def asked_means(path: Path, study: StudyCaption) -> pd.DataFrame:
    """Run means of the requests of a sweep on one network.

    Raises
    ------
    InputError
        If the table says that it was made from something else than the study asks for. One that
        says nothing is somebody's own, of whom nothing is asked.
    """
    means = run_means(read_table(path, REQUESTS))
    sweep = study.sweeps.get(means["figure"].iloc[0])
    asked = sweep.made.get(means["topology"].iloc[0]) if sweep else None
    try:
        made = read_provenance(path)
    except InputError:
        return means
    if asked and "settings_hash" in made:
        for key, value in asked.model_dump().items():
            if made.get(key) != value:
                advice = f"{value}, which is asked for: run it again (bprr status says why)"
                raise InputError(path, key, made.get(key), advice)
    return means
