"""What an order of service costs: time per token, its tail and the time to the first token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bprr.figures import style
from bprr.figures.beyond import MS_PER_S
from bprr.figures.caption import StudyCaption, SweepCaption
from bprr.ground.results import REQUESTS
from bprr.ground.tables import read_table
from bprr.study.regime import WARM_UP

__all__ = ["DEFAULT", "draw_frontier", "frontier_rows", "plot_frontier"]

COLORS = ("#000000", "#D55E00", "#E69F00", "#009E73", "#56B4E9", "#0072B2", "#CC79A7", "#888888")
DEFAULT = "default: oldest, sooner where idle"


def frontier_rows(requests: pd.DataFrame, caption: SweepCaption) -> pd.DataFrame:
    """Rows of a sweep on one topology; the first fifth of every run is left out.

    Returns
    -------
    DataFrame
        ``topology``, ``rate_per_s``, ``order``, ``per_token_ms``, ``p99_ms``, ``ttft_ms`` and
        ``sessions`` (of a run), means over runs.
    """
    topology = str(requests["topology"].iloc[0])
    served = requests[requests["status"] == "ok"]
    late = served[served["request"] >= WARM_UP * served["requests"]]
    runs = late.groupby(["x", "run"], observed=True).agg(
        per_token_ms=("per_token_ms", "mean"),
        p99_ms=("per_token_ms", lambda values: values.quantile(0.99)),
        ttft_ms=("ttft_ms", "mean"),
    )
    changes = caption.changes[topology]
    table = runs.groupby("x").mean().reset_index()
    rates = requests.groupby("x", observed=True)["rate_per_s"].first()
    table["rate_per_s"] = table["x"].map(rates)
    table.insert(0, "order", [_order(changes[int(x)]) for x in table["x"]])
    table.insert(0, "topology", topology)
    return table.drop(columns="x").assign(sessions=int(requests["requests"].max()))


def _order(change: tuple[str, Any]) -> str:
    key, value = change
    if not key:
        return DEFAULT
    options: Mapping[str, Any] = value["serial"]
    if options["order"] == "fifo":
        return "FIFO, blocks" if options.get("prompt") == "block" else "FIFO, whole prompts"
    within_ms = options.get("prompt_within_ms")
    deadline = "no deadline" if within_ms is None else f"within {within_ms / 1000:g} s"
    return f"{options['order']}, {deadline}"


def draw_frontier(table: pd.DataFrame, caption: SweepCaption) -> Figure:
    """Draw `frontier_rows`: a column per rate; tail and mean over the time to the first token."""
    orders = list(dict.fromkeys(table["order"]))
    colors = dict(zip(orders, COLORS, strict=False))
    rates = sorted(table["rate_per_s"].unique())
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 4.4)
        panels = figure.subplots(2, len(rates), squeeze=False, sharex="col")
        for rate, column in zip(rates, panels.T, strict=True):
            own = table[table["rate_per_s"] == rate].set_index("order")
            for axes, name in zip(column, ("per_token_ms", "p99_ms"), strict=True):
                for order, row in own.iterrows():
                    axes.plot(
                        row["ttft_ms"] / MS_PER_S,
                        row[name] / MS_PER_S,
                        marker="*" if order == DEFAULT else "o",
                        markersize=9 if order == DEFAULT else 5,
                        color=colors[str(order)],
                    )
            column[0].set_title(f"λ = {rate:g}/s", loc="left")
            column[1].set_xlabel("Time to the first token (s)")
        panels[0][0].set_ylabel("Time per token (s)")
        panels[1][0].set_ylabel("99th percentile (s)")
        handles = [
            Line2D(
                [], [], linestyle="", color=colors[order], label=order,
                marker="*" if order == DEFAULT else "o",
            )
            for order in orders
        ]  # fmt: skip
        style.heading(figure, "What the order of service costs", handles)
        style.note(
            figure,
            f"Chains of PIPE on {caption.topology(table['topology'].iloc[0])}, rates at loads of "
            f".3, .6 and .9; {int(table['sessions'].max()):,} sessions, the first fifth left out.",
        )
    return figure


def plot_frontier(sweep_parquets: Sequence[Path], study: StudyCaption, stem: Path) -> list[Path]:
    """Table and figure of the sweep, a file of requests per network."""
    tables = []
    for path in sweep_parquets:
        requests = read_table(path, REQUESTS)
        caption = study.sweep_of(requests, path)
        tables.append(frontier_rows(requests, caption))
    table = pd.concat(tables, ignore_index=True)
    return style.save(draw_frontier(table, caption), table, stem)
