"""Means of the time per token whose runs fall into two groups, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bprr.figures.caption import StudyCaption
from bprr.figures.means import asked_means
from bprr.figures.text_table import TextTable
from bprr.study.modes import LEAST_FACTOR, modes_of_points

__all__ = ["render_two_modes", "two_modes_layout"]

SHOWN = ("mean", "low", "high")  # of the groups; ms to s


def two_modes_layout(table: pd.DataFrame, study: StudyCaption) -> TextTable:
    """Lay the points of `bprr.study.modes.modes_of_points` out, those of the compared methods."""
    rows = []
    pair = [study.compared.method, study.compared.baseline]
    for row in table[table["method"].isin(pair)].to_dict("records"):
        sweep = study.sweeps[row["figure"]]
        rows.append(
            [
                sweep.paper or sweep.title,
                study.topology(row["topology"]),
                study.variants[row["allocation_delays"]].label,
                study.methods[row["method"]],
                f"{row['x']:g}",
                *(f"{row[name] / 1000:.2f}" for name in SHOWN),
                f"{100 * row['low_share']:.0f} % of {row['runs']}",
            ]
        )
    return TextTable(
        title="Means of the time per token that are of neither group of their runs",
        header=["Sweep", "Network", "Delays", "Method", "at", "mean (s)", "mean of the\nfaster (s)",
                "of the\nslower (s)", "runs that\nare faster"],
        rows=rows,
        leading=4,
        widths=[1, 1, 1.6, 1.4, 0.6, 0.9, 1.1, 1.0, 1.0],
        note=(
            f"Two groups: means a factor of {LEAST_FACTOR:g} apart, and logarithms farther apart "
            "than they vary within (the rule: bprr.study.modes).\nRuns differ by their draw of "
            "nodes, client, order of joining and arrivals; all points meet the same draws.\n"
            "Other methods: in the CSV."
        ),
    )  # fmt: skip


def render_two_modes(sweep_parquets: Sequence[Path], study: StudyCaption, stem: Path) -> list[Path]:
    """Make the table of some sweeps from their requests: CSV, PDF, PNG and Markdown."""
    means = [asked_means(path, study) for path in sweep_parquets]
    for path, rows in zip(sweep_parquets, means, strict=True):
        study.sweep_of(rows, path)  # refuses another study's
    table = modes_of_points(pd.concat(means, ignore_index=True), "per_token_ms")
    return two_modes_layout(table, study).save(table, stem)
