"""Figures of the experiments on the offline optimum, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from bprr.figures import offline_optimality, offline_race, offline_variants, style
from bprr.ground import results
from bprr.ground.storage import read_provenance
from bprr.ground.tables import Schema, read_table

__all__ = ["plot_offline"]

OPTIMALITY = "optimality"
DRAWN: dict[str, tuple[Schema, Callable[[pd.DataFrame], Figure]]] = {
    OPTIMALITY: (results.OPTIMALITY, offline_optimality.draw_optimality),
    "theorem_2": (results.THEOREM_2, offline_optimality.draw_bound),
    "solver_race": (results.SOLVER_RACE, offline_race.draw_race),
    "relaxed_stopping": (results.STOPPING, offline_variants.draw_stopping),
    "equal_blocks": (results.EQUAL_BLOCKS, offline_variants.draw_equal_blocks),
}


def plot_offline(name: str, parquet: Path, stem: Path) -> list[Path]:
    """Make the figure of one experiment from its table: CSV, PDF and PNG."""
    schema, draw = DRAWN[name]
    table = read_table(parquet, schema)
    if name == OPTIMALITY:
        table = offline_optimality.optimality_table(table)
        settings = read_provenance(parquet).get("settings", {})
        network = settings.get("offline", {}).get("network", "")
        figure = offline_optimality.draw_optimality(table, network)
    else:
        figure = draw(table)
    return style.save(figure, table, stem)
