"""Tables III and VI: mean time per token, published beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bprr.figures.labels import topology_label
from bprr.figures.published import published_results
from bprr.figures.text_table import TextTable
from bprr.ground.storage import read_table
from bprr.settings.configuration import Settings
from bprr.study.summary import run_means, summarize

__all__ = ["comparison", "comparison_layout", "render_table"]

TITLES = {
    "table3": "Table III · Clustered servers: mean time per token (s)",
    "table6": "Table VI · Scattered servers: mean time per token (s)",
}
QUANTITIES = {
    "experiment": "published, on GPUs",
    "simulator": "published, simulator",
    "published": "ours, published delays",
    "difference": "    against published simulator",
    "none": "ours, without delays",
}
RANGE = "    lowest – highest run"
RATIO = "proposed_to_petals"
COUNTS = ["runs", "infeasible_runs", "lowest_run", "highest_run"]
CELL = ["setting", "method", "rate_per_s", "output_tokens"]


def comparison(means: pd.DataFrame, published: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Published and own values of one table, one row per cell and quantity.

    Parameters
    ----------
    means : DataFrame
        Run means of the table's sweeps, on all its settings (`bprr.study.summary.run_means`).
    published : DataFrame
        From `bprr.figures.published.published_results`.
    confidence : float
        Level of the intervals.

    Returns
    -------
    DataFrame
        Columns ``table``, ``setting``, ``method``, ``rate_per_s``, ``output_tokens``,
        ``quantity``, ``unit`` (s, %, or 1 for a ratio), ``value``, ``ci_low``, ``ci_high``,
        ``runs``, ``infeasible_runs``, ``lowest_run``, ``highest_run``. Quantities:
        ``experiment`` and ``simulator`` are printed in the paper, ``published`` and ``none``
        are ours with and without the allocation delays, ``difference`` is that of ours with
        the delays to the published simulator. The method ``proposed_to_petals`` is the ratio
        of the two methods.
    """
    table_name = str(means["figure"].iloc[0])
    printed = published[published["table"] == table_name]
    ours = _ours(means, confidence)
    # Methods that the paper does not print are there for reference: without delays is enough.
    ours = ours[ours["method"].isin([*printed["method"], RATIO]) | (ours["quantity"] == "none")]
    theirs = printed[[*CELL, "quantity"]].assign(value=printed["value_s"], unit="s")
    theirs = pd.concat([theirs, _published_ratios(theirs)])
    simulator = theirs[theirs["quantity"] == "simulator"].set_index(CELL)["value"]
    with_delays = ours[ours["quantity"] == "published"].set_index(CELL)["value"]
    percent = 100 * (with_delays / simulator - 1).rename("value")
    difference = percent.dropna().reset_index().assign(quantity="difference", unit="%")
    difference = difference[difference["method"] != RATIO]
    table = pd.concat([theirs, ours, difference], ignore_index=True)
    table = table[table["setting"].isin(means["topology"])]
    methods = list(dict.fromkeys(["petals", "proposed", RATIO, *table["method"]]))
    ranks = table[CELL].assign(
        quantity=table["quantity"].map(list(QUANTITIES).index),
        method=table["method"].map(methods.index),
    )
    table.insert(0, "table", table_name)
    columns = ["table", *CELL, "quantity", "unit", "value", "ci_low", "ci_high"]
    return table.loc[ranks.sort_values([*CELL, "quantity"]).index, [*columns, *COUNTS]].reset_index(
        drop=True
    )


def _ours(means: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Means and ratios of the simulated methods, in seconds and with the cell they belong to."""
    cells = means.groupby(["topology", "x"])[["rate_per_s", "output_tokens"]].first()
    place = ["topology", "x", "allocation_delays", "method"]
    extremes = means.groupby(place)["per_token_ms"].agg(lowest_run="min", highest_run="max")
    summary = summarize(means, confidence, metrics=["per_token_ms"])
    summary = summary.join(cells, on=["topology", "x"]).join(extremes, on=place)
    common = {"topology": "setting", "allocation_delays": "quantity"}
    kept = ["setting", "method", "rate_per_s", "output_tokens", "quantity"]
    values = summary.rename(columns={**common, "mean": "value"})
    limits = ["value", "ci_low", "ci_high"]
    times = values[[*kept, *limits, *COUNTS]].assign(unit="s")
    times[[*limits, "lowest_run", "highest_run"]] /= 1000
    names = {"ratio_to_petals": "value", "ratio_ci_low": "ci_low", "ratio_ci_high": "ci_high"}
    paired = summary[summary["method"] == "proposed"].drop(columns=["ci_low", "ci_high"])
    paired = paired.assign(lowest_run=np.nan, highest_run=np.nan)
    ratios = paired.rename(columns={**common, **names}).assign(method=RATIO, unit="1")
    return pd.concat([times, ratios[[*kept, *limits, *COUNTS, "unit"]]], ignore_index=True)


def _published_ratios(theirs: pd.DataFrame) -> pd.DataFrame:
    wide = theirs.pivot(
        index=["setting", "rate_per_s", "output_tokens", "quantity"],
        columns="method",
        values="value",
    )
    ratio = (wide["proposed"] / wide["petals"]).rename("value")
    return ratio.reset_index().assign(method=RATIO, unit="1")


def comparison_layout(table: pd.DataFrame, settings: Settings) -> TextTable:
    """Lay a comparison out as in the paper: rows client × method, columns (λ, l).

    Parameters
    ----------
    table : DataFrame
        From `comparison`.
    settings : Settings
        Names of methods, level of confidence, allocation delays.
    """
    name = str(table["table"].iloc[0])
    points = table[["rate_per_s", "output_tokens"]].drop_duplicates().sort_values(
        ["rate_per_s", "output_tokens"]
    )  # fmt: skip
    columns = list(points.itertuples(index=False, name=None))
    labels = {key: method.label for key, method in settings.methods.items()}
    labels[RATIO] = f"{labels['proposed']} / {labels['petals']}"
    rows: list[list[str]] = []
    ours: list[int] = []
    lines = ["setting", "method", "quantity"]
    for (setting, method, quantity), line in table.groupby(lines, sort=False):
        if quantity in ("published", "none"):
            ours.append(len(rows))
        at = {(row.rate_per_s, row.output_tokens): _text(row) for row in line.itertuples()}
        heading = topology_label(str(setting)).removeprefix("client in ")
        cells = [at.get(column, "–") for column in columns]
        names = [heading, labels[str(method)]]
        rows.append([*names, QUANTITIES[str(quantity)], *cells])
        if quantity == "published" and method != RATIO:
            spread = {(row.rate_per_s, row.output_tokens): _range(row) for row in line.itertuples()}
            rows.append([*names, RANGE, *(spread.get(column, "–") for column in columns)])
    first = "Client in" if name == "table3" else "Network"
    return TextTable(
        title=TITLES.get(name, settings.sweeps[name].title),
        header=[first, "Method", "Quantity", *(f"λ = {r:g}/s\nl = {n:g}" for r, n in columns)],
        rows=rows,
        leading=3,
        widths=[1.15, 1.75, 2.3, *[1.45] * len(columns)],
        emphasized=ours,
        note=_note(table, settings),
    )


def _text(row: Any) -> str:
    if row.infeasible_runs > 0 and row.runs == 0:
        return "infeasible"
    if row.unit == "%":
        return f"{row.value:+.0f} %".replace("-", "−")
    digits = 3 if row.unit == "1" else 2
    text = f"{row.value:.{digits}f}"
    if not np.isnan(row.ci_low):
        text += f" ± {(row.ci_high - row.ci_low) / 2:.{digits}f}"
    return f"{text} ({row.infeasible_runs:g} inf.)" if row.infeasible_runs > 0 else text


def _range(row: Any) -> str:
    return "–" if np.isnan(row.lowest_run) else f"{row.lowest_run:.2f} – {row.highest_run:.2f}"


def _note(table: pd.DataFrame, settings: Settings) -> str:
    delays_s = {
        name: settings.methods[name].allocation_delay_ms / 1000 for name in ("petals", "proposed")
    }
    interval = f"± {settings.confidence * 100:g} % confidence interval"
    text = (
        f"l: output tokens. Ours: mean of {table['runs'].max():g} runs {interval}; every run draws "
        "its own arrivals and "
        "joining order\nof the servers. Ratios compare the methods run by run. Published delays: "
        f"what the artefact adds to every request, {delays_s['petals']:g} s under\nPETALS and "
        f"{delays_s['proposed']:g} s under the proposed method. The paper does not say how many "
        "runs a simulator value stands for."
    )
    if (table["infeasible_runs"] > 0).any():
        text += "\n(n inf.): so many runs are infeasible and left out of the mean."
    return text


def render_table(
    sweep_parquets: Sequence[Path], settings: Settings, published_csv: Path, stem: Path
) -> list[Path]:
    """Make Table III or VI.

    Parameters
    ----------
    sweep_parquets : sequence of Path
        Requests of the table's sweep, a file per client or network.
    settings : Settings
        Whole configuration.
    published_csv : Path
        ``data/published/results.csv``.
    stem : Path
        Path of the files without suffix.

    Returns
    -------
    list of Path
        CSV, PDF, PNG and Markdown.
    """
    means = pd.concat([run_means(read_table(path)) for path in sweep_parquets], ignore_index=True)
    table = comparison(means, published_results(published_csv), settings.confidence)
    return comparison_layout(table, settings).save(table, stem)
