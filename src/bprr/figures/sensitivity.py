"""How sharply the printed cells of Tables III and VI determine each setting that was found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from bprr.figures import style
from bprr.figures.caption import StudyCaption, SweepCaption
from bprr.figures.cells import CELL, own_cells, printed_cells
from bprr.figures.means import asked_means
from bprr.figures.published import published_results

__all__ = ["TITLES", "draw_sensitivity", "plot_sensitivity", "sensitivity_table"]

# What a key is called; a key that somebody adds stands for itself.
TITLES = {
    "workload.requests": "requests",
    "workload.rate_per_s": "λ (requests/s)",
    "design_load.load": "design load R",
    "fleet.memory_gb": "memory of fast / slow servers (GB)",
    "join_order": "order of joining in Table III",
    "network.delay_factor": "round trips, times what is printed",
    "delays.published.per_method_ms.petals": "delay under PETALS (s)",
    "delays.published.per_method_ms.proposed": "delay under the proposed method (s)",
}


def sensitivity_table(
    means: pd.DataFrame, published: pd.DataFrame, caption: SweepCaption
) -> pd.DataFrame:
    """Error of the printed cells with one setting changed, a row per value.

    Cells whose setting has no such value, or does not know the key, count as found.

    Returns
    -------
    DataFrame
        ``key`` (empty: as found), ``value``, ``mean_error``, ``median_error``,
        ``largest_error`` (shares of the printed value), ``cells``.
    """
    parts: dict[tuple[str, str], list[pd.DataFrame]] = {("", ""): []}
    for topology, changes in caption.changes.items():
        for number, (key, value) in enumerate(changes):
            rows = means[(means["topology"] == topology) & (means["x"] == number)]
            parts.setdefault((key, json.dumps(value) if key else ""), []).append(rows)
    printed = printed_cells(published).set_index(CELL)["simulator"]

    def errors(changed: list[pd.DataFrame]) -> pd.Series:
        ours = own_cells(pd.concat(changed), published, caption.delayed, caption.confidence)
        return (ours["value"] / printed - 1).abs().dropna()

    as_found = errors(parts[("", "")])
    lines = []
    for (key, value), changed in parts.items():
        cells = errors(changed).combine_first(as_found)
        sizes = {"mean_error": cells.mean(), "median_error": cells.median()}
        sizes |= {"largest_error": cells.max(), "cells": len(cells)}
        lines.append({"key": key, "value": value, **sizes})
    return pd.DataFrame(lines)


def draw_sensitivity(table: pd.DataFrame, caption: SweepCaption) -> Figure:
    """Draw a `sensitivity_table`: a panel per setting."""
    as_found = float(table.loc[table["key"] == "", "mean_error"].iloc[0])
    keys = [key for key in dict.fromkeys(table["key"]) if key]
    columns = min(2, len(keys))
    with style.applied():
        values = table[table["key"] != ""].groupby("key").size()
        pairs = [keys[first : first + columns] for first in range(0, len(keys), columns)]
        heights = [1.2 + max(values[key] for key in pair) for pair in pairs]
        figure = style.new_figure(style.TEXT_IN, 0.9 + 0.45 * len(pairs) + 0.16 * sum(heights))
        grid = figure.subplots(
            len(pairs), columns, sharex=True, squeeze=False, height_ratios=heights
        )
        for axes in grid.flat[len(keys) :]:
            axes.set_axis_off()
        for axes, key in zip(grid.flat, keys, strict=False):
            rows = table[table["key"] == key].reset_index(drop=True)
            axes.plot(100 * rows["mean_error"], rows.index, "o", color="#0072B2")
            axes.axvline(100 * as_found, color="black", linewidth=0.9)
            axes.set_yticks(rows.index, [_text(key, value) for value in rows["value"]])
            axes.set_ylim(len(rows) - 0.3, -0.7)
            axes.set_xscale("log")
            axes.set_title(TITLES.get(key, key), loc="left", fontweight="bold")
        for axes in grid[-1]:
            axes.set_xlabel("Mean error of the printed cells (%, log)")
            axes.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
            axes.minorticks_off()
        style.heading(figure, "How sharply the printed cells determine each setting")
        style.note(
            figure,
            "One setting changed, in all cells that have it; the others as found. Line: all as "
            f"found ({100 * as_found:.1f} %).\nPanels with points far from the line are settings "
            f"that the {int(table['cells'].max())} printed cells determine.",
        )
    return figure


def _text(key: str, written: str) -> str:
    value: Any = json.loads(written)
    if key.endswith("_ms") or "_ms." in key:
        return f"{value / 1000:g}"
    if isinstance(value, dict):
        return " / ".join(f"{number:g}" for number in dict.fromkeys(value.values()))
    return "random" if value is None else f"{value:g}"


def plot_sensitivity(
    sweep_parquets: Sequence[Path], study: StudyCaption, published_csv: Path, stem: Path
) -> list[Path]:
    """Make the figure from the requests of the sweep, a file per setting: CSV, PDF and PNG."""
    means = pd.concat([asked_means(path, study) for path in sweep_parquets], ignore_index=True)
    caption = study.sweep_of(means, sweep_parquets[0])
    table = sensitivity_table(means, published_results(published_csv), caption)
    return style.save(draw_sensitivity(table, caption), table, stem)
