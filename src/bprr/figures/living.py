"""Swarms whose servers fail and join: blocks placed once, and anew from time to time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bprr.figures import style
from bprr.figures.caption import StudyCaption
from bprr.figures.means import asked_requests
from bprr.study.summary import mean_interval, paired_ratio

__all__ = ["draw_living", "living_rows", "plot_living"]

# Rows of the figure: what they show, and over how many of the unit of the table one of theirs is.
MEASURES = {
    "per_token_ms": ("Time per token (s)", 1000.0),
    "cuts": ("Cuts per request", 1.0),
}
# Method, and what it is held against: the same whose blocks stay.
STAYS = {
    "petals_replaced": "petals",
    "proposed_replaced": "proposed",
    "proposed_moved": "proposed",
}
STYLES = {
    "petals": style.MethodStyle("#D55E00", "o"),
    "petals_replaced": style.MethodStyle("#D55E00", "s", style.DASHED),
    "proposed": style.MethodStyle("#0072B2", "v"),
    "proposed_replaced": style.MethodStyle("#0072B2", "D", style.DASHED),
    "proposed_moved": style.MethodStyle("#009E73", "^", style.DOTTED),
}
S_PER_H = 3600.0


def living_rows(requests: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Rows of one sweep on one topology.

    Returns
    -------
    DataFrame
        ``figure``, ``topology``, ``servers``, ``rate_per_s``, ``x`` (mean time for which a server
        is up, s), ``method``, ``measure`` (``per_token_ms``; ``cuts`` and ``prefilled_again``, per
        request; ``replacements``, per run), ``mean``, ``low``, ``high``, ``runs``, and of the time
        per token ``ratio_to_staying``: over that of the same method whose blocks stay, paired by
        run.
    """
    served = requests[requests["status"] == "ok"]
    measures = [*MEASURES, "prefilled_again", "replacements"]
    runs = served.groupby(["x", "method", "run"], observed=True)[measures].mean()
    found = {
        key: own.droplevel([0, 1]) for key, own in runs.groupby(["x", "method"], observed=True)
    }
    rows = []
    for (x, method), own in found.items():
        stays = found.get((x, STAYS.get(str(method))))
        for measure in measures:
            interval = mean_interval(own[measure], confidence)
            row = {"x": x, "method": method, "measure": measure, "mean": interval.value,
                   "low": interval.low, "high": interval.high, "runs": len(own)}  # fmt: skip
            if measure == "per_token_ms" and stays is not None:
                both = own.index.intersection(stays.index)
                times, others = (each.loc[both, measure] for each in (own, stays))
                row["ratio_to_staying"] = paired_ratio(times, others, confidence).value
            rows.append(row)
    table = pd.DataFrame(rows)
    for name in ("rate_per_s", "servers", "topology", "figure"):
        table.insert(0, name, requests[name].iloc[0])
    return table


def draw_living(table: pd.DataFrame, caption: StudyCaption) -> Figure:
    """Time per token, and cuts, against how long servers stay: a column per sweep."""
    sweeps = list(dict.fromkeys(table["figure"]))
    methods = [name for name in STYLES if name in set(table["method"])]
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 4.9)
        panels = figure.subplots(
            len(MEASURES), len(sweeps), squeeze=False, sharex=True, sharey="row"
        )
        for (measure, (label, unit)), row in zip(MEASURES.items(), panels, strict=True):
            for name, axes in zip(sweeps, row, strict=True):
                shown = table[(table["measure"] == measure) & (table["figure"] == name)]
                _panel(axes, shown, methods, unit)
            if measure == "per_token_ms":
                style.log_axis(row[0])
            row[0].set_ylabel(label)
        for name, axes in zip(sweeps, panels[0], strict=True):
            axes.set_title(caption.sweeps[name].title, loc="left", fontweight="bold")
        for axes in panels[-1]:
            style.number_axis(axes, table["x"] / S_PER_H, "Mean time that a server is up (h)", 3.2)
        handles = [
            Line2D([], [], label=caption.methods[name], **STYLES[name].line()) for name in methods
        ]
        style.heading(figure, "Servers that fail and join", handles)
        style.note(figure, _conditions(table, caption))
    return figure


def _conditions(table: pd.DataFrame, caption: StudyCaption) -> str:
    first = table.iloc[0]
    return (
        f"{caption.topology(first['topology'])}, C = {first['servers']} servers, λ ="
        f" {first['rate_per_s']:g}/s on average. Means over"
        f" {caption.intervals(int(table['runs'].max()))};\nall methods meet the same failures. A"
        " session that is cut prefills its prompt and its tokens so far again, on another\nchain;"
        " servers that join or are given other blocks load them first. While too few are up for a"
        " whole chain,\nrequests wait. Bars that leave the panel have no end on its axis."
    )


def _panel(axes: Axes, shown: pd.DataFrame, methods: Sequence[str], unit: float) -> None:
    beside = style.dodged(axes.transData, axes, methods)
    for name in methods:
        own = shown[shown["method"] == name].sort_values("x")
        at, mean = own["x"] / S_PER_H, own["mean"] / unit
        around = [(own["mean"] - own["low"]) / unit, (own["high"] - own["mean"]) / unit]
        axes.errorbar(
            at, mean, yerr=around, **STYLES[name].line(), elinewidth=0.9, capsize=1.8,
            transform=beside[name],
        )  # fmt: skip
        style.include(axes, at, mean, own["high"] / unit)


def plot_living(sweep_parquets: Sequence[Path], caption: StudyCaption, stem: Path) -> list[Path]:
    """Table and figure of some sweeps over how long servers stay: CSV, PDF, PNG."""
    tables = []
    for path in sweep_parquets:
        requests = asked_requests(path, caption)
        caption.sweep_of(requests, path)
        tables.append(living_rows(requests, caption.confidence))
    table = pd.concat(tables, ignore_index=True)
    return style.save(draw_living(table, caption), table, stem)
