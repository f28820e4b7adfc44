"""Tables III and VI: mean time per token, published beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bprr.figures.caption import Caption, StudyCaption, SweepCaption
from bprr.figures.means import asked_means
from bprr.figures.published import published_results
from bprr.figures.text_table import TextTable
from bprr.study.summary import summarize

__all__ = ["comparison", "comparison_layout", "render_table"]

EXPERIMENT, SIMULATOR, DIFFERENCE = "experiment", "simulator", "difference"
RANGE = "    lowest – highest run"
COUNTS = ["runs", "infeasible_runs", "lowest_run", "highest_run"]
CELL = ["setting", "method", "rate_per_s", "output_tokens"]


def comparison(means: pd.DataFrame, published: pd.DataFrame, caption: SweepCaption) -> pd.DataFrame:
    """Published and own values of one table, one row per cell and quantity.

    Parameters
    ----------
    means : DataFrame
        Run means of the table's sweep, on all its settings (`bprr.study.summary.run_means`).
    published : DataFrame
        From `bprr.figures.published.published_results`.
    caption : SweepCaption
        The compared methods, the variants of the delays, and the level of the intervals.

    Returns
    -------
    DataFrame
        Columns ``table``, ``setting``, ``method``, ``rate_per_s``, ``output_tokens``,
        ``quantity``, ``unit`` (s, %, or 1 for a ratio), ``value``, ``ci_low``, ``ci_high``,
        ``runs``, ``infeasible_runs``, ``lowest_run``, ``highest_run``. Quantities:
        ``experiment`` and ``simulator`` are printed in the paper, the variants of the delays are
        ours, ``difference`` is that of ours with the delays to the published simulator. The
        method ``<method>_to_<baseline>`` is the ratio of the compared methods.
    """
    ratio = _ratio_name(caption)
    printed = published[published["table"] == caption.name]
    ours = _ours(means, caption)
    # Methods that the paper does not print are there for reference: without delays is enough.
    kept = ours["method"].isin([*printed["method"], ratio])
    ours = ours[kept | (ours["quantity"] == caption.undelayed)]
    theirs = printed[[*CELL, "quantity"]].assign(value=printed["value_s"], unit="s")
    theirs = pd.concat([theirs, _published_ratios(theirs, caption)])
    simulator = theirs[theirs["quantity"] == SIMULATOR].set_index(CELL)["value"]
    with_delays = ours[ours["quantity"] == caption.delayed].set_index(CELL)["value"]
    percent = 100 * (with_delays / simulator - 1).rename("value")
    difference = percent.dropna().reset_index().assign(quantity=DIFFERENCE, unit="%")
    difference = difference[difference["method"] != ratio]
    table = pd.concat([theirs, ours, difference], ignore_index=True)
    table = table[table["setting"].isin(means["topology"])]
    pair = [caption.compared.baseline, caption.compared.method, ratio]
    methods = list(dict.fromkeys([*pair, *table["method"]]))
    ranks = table[CELL].assign(
        quantity=table["quantity"].map(list(_quantities(caption)).index),
        method=table["method"].map(methods.index),
    )
    table.insert(0, "table", caption.name)
    columns = ["table", *CELL, "quantity", "unit", "value", "ci_low", "ci_high"]
    return table.loc[ranks.sort_values([*CELL, "quantity"]).index, [*columns, *COUNTS]].reset_index(
        drop=True
    )


def _ratio_name(caption: Caption) -> str:
    return f"{caption.compared.method}_to_{caption.compared.baseline}"


def _quantities(caption: Caption) -> dict[str, str]:
    """What the layout says of every quantity, in the order of its rows."""
    ours = {name: f"ours, {_small(entry.label)}" for name, entry in caption.variants.items()}
    texts = {EXPERIMENT: "published, on GPUs", SIMULATOR: "published, simulator"}
    for name, text in ours.items():
        texts[name] = text
        if name == caption.delayed:
            texts[DIFFERENCE] = "    against published simulator"
    return texts


def _small(text: str) -> str:
    return text[:1].lower() + text[1:]


def _ours(means: pd.DataFrame, caption: Caption) -> pd.DataFrame:
    """Means and ratios of the simulated methods, in seconds and with the cell they belong to."""
    baseline = caption.compared.baseline
    cells = means.groupby(["topology", "x"])[["rate_per_s", "output_tokens"]].first()
    place = ["topology", "x", "allocation_delays", "method"]
    extremes = means.groupby(place)["per_token_ms"].agg(lowest_run="min", highest_run="max")
    summary = summarize(means, caption.confidence, baseline, metrics=["per_token_ms"])
    summary = summary.join(cells, on=["topology", "x"]).join(extremes, on=place)
    common = {"topology": "setting", "allocation_delays": "quantity"}
    kept = ["setting", "method", "rate_per_s", "output_tokens", "quantity"]
    values = summary.rename(columns={**common, "mean": "value"})
    limits = ["value", "ci_low", "ci_high"]
    times = values[[*kept, *limits, *COUNTS]].assign(unit="s")
    times[[*limits, "lowest_run", "highest_run"]] /= 1000
    names = {f"ratio_to_{baseline}": "value", "ratio_ci_low": "ci_low", "ratio_ci_high": "ci_high"}
    paired = summary[summary["method"] == caption.compared.method]
    paired = paired.drop(columns=["ci_low", "ci_high"]).assign(
        lowest_run=np.nan, highest_run=np.nan
    )
    ratios = paired.rename(columns={**common, **names})
    ratios = ratios.assign(method=_ratio_name(caption), unit="1")
    return pd.concat([times, ratios[[*kept, *limits, *COUNTS, "unit"]]], ignore_index=True)


def _published_ratios(theirs: pd.DataFrame, caption: Caption) -> pd.DataFrame:
    place = ["setting", "rate_per_s", "output_tokens", "quantity"]
    wide = theirs.pivot(index=place, columns="method", values="value")
    ratio = (wide[caption.compared.method] / wide[caption.compared.baseline]).rename("value")
    return ratio.reset_index().assign(method=_ratio_name(caption), unit="1")


def comparison_layout(table: pd.DataFrame, caption: SweepCaption) -> TextTable:
    """Lay a `comparison` out as in the paper: rows client × method, columns (λ, l)."""
    by = ["rate_per_s", "output_tokens"]
    points = table[by].drop_duplicates().sort_values(by)
    columns = list(points.itertuples(index=False, name=None))
    ratio, quantities = _ratio_name(caption), _quantities(caption)
    labels = caption.methods | {ratio: " / ".join(caption.pair)}
    rows: list[list[str]] = []
    ours: list[int] = []
    for (setting, method, quantity), line in table.groupby(
        ["setting", "method", "quantity"], sort=False
    ):
        if quantity in caption.variants:
            ours.append(len(rows))
        values = {(row.rate_per_s, row.output_tokens): row for row in line.itertuples()}
        names = [caption.topology(setting).removeprefix(CLIENT), labels[str(method)]]
        cells = [_text(values[column]) if column in values else "–" for column in columns]
        rows.append([*names, quantities[str(quantity)], *cells])
        if quantity == caption.delayed and method != ratio:
            cells = [_range(values[column]) if column in values else "–" for column in columns]
            rows.append([*names, RANGE, *cells])
    clients = all(caption.topology(name).startswith(CLIENT) for name in table["setting"])
    head = ["Client in" if clients else "Network", "Method", "Quantity"]
    return TextTable(
        title=f"{caption.heading}: mean time per token (s)",
        header=[*head, *(f"λ = {r:g}/s\nl = {n:g}" for r, n in columns)],
        rows=rows,
        leading=3,
        widths=[1.3, 1.85, 2.6, *[1.45] * len(columns)],
        emphasized=ours,
        note=_note(table, caption),
    )


CLIENT = "client in "  # how settings are labelled that differ by the client's place


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


def _note(table: pd.DataFrame, caption: Caption) -> str:
    delays = [caption.delays(name) for name in caption.variants if name != caption.undelayed]
    text = (
        f"l: output tokens. Ours: mean over {caption.intervals(table['runs'].max())} (±); every "
        "run draws its own arrivals and\njoining order of the servers. Ratios compare the methods "
        f"run by run. {'; '.join(delays)}: added to\nevery request. The paper does not say how "
        "many runs a simulator value stands for."
    )
    if (table["infeasible_runs"] > 0).any():
        text += "\n(n inf.): so many runs are infeasible and left out of the mean."
    return text


def render_table(
    sweep_parquets: Sequence[Path], study: StudyCaption, published_csv: Path, stem: Path
) -> list[Path]:
    """Make Table III or VI from requests, a file per client or network: CSV, PDF, PNG, Markdown."""
    means = pd.concat([asked_means(path, study) for path in sweep_parquets], ignore_index=True)
    caption = study.sweep_of(means, sweep_parquets[0])
    table = comparison(means, published_results(published_csv), caption)
    return comparison_layout(table, caption).save(table, stem)
