"""Distribution of the time per token over orders in which servers join one and the same swarm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from bprr.figures import style
from bprr.figures.caption import StudyCaption, SweepCaption
from bprr.figures.means import asked_means

__all__ = ["draw_orders", "orders_table", "plot_orders"]

PLACE = ["topology", "allocation_delays", "method"]


def orders_table(means: pd.DataFrame, caption: SweepCaption) -> pd.DataFrame:
    """Steps of the distributions: `PLACE`, ``per_token_s`` and ``share`` of orders up to it."""
    rows = means.dropna(subset="per_token_ms").sort_values([*PLACE, "per_token_ms"])
    grouped = rows.groupby(PLACE)["per_token_ms"]
    table = rows[PLACE].assign(
        per_token_s=rows["per_token_ms"] / 1000,
        share=(grouped.cumcount() + 1) / grouped.transform("size"),
    )
    names = [[*caption.topologies], [*caption.variants], [*caption.methods]]
    ranks = pd.DataFrame(
        {key: table[key].map(known.index) for key, known in zip(PLACE, names, strict=True)}
    )
    return table.loc[ranks.sort_values(PLACE, kind="stable").index].reset_index(drop=True)


def draw_orders(table: pd.DataFrame, caption: SweepCaption, orders: int) -> Figure:
    """Draw an `orders_table`: a row per variant of the delays, a column per network."""
    networks, variants, methods = (list(dict.fromkeys(table[key])) for key in PLACE)
    looks = {
        name: look.line() | {"marker": ""}
        for name, look in style.method_styles(caption.methods).items()
    }
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 1.3 + 1.9 * len(variants))
        grid = figure.subplots(
            len(variants), len(networks), sharex="row", sharey=True, squeeze=False
        )
        for line, variant in zip(grid, variants, strict=True):
            for axes, network in zip(line, networks, strict=True):
                own = table[table["topology"].eq(network) & table["allocation_delays"].eq(variant)]
                for method, steps in own.groupby("method", sort=False):
                    times = steps["per_token_s"]
                    places, shares = np.r_[times.iloc[0], times], np.r_[0, steps["share"]]
                    axes.step(places, shares, where="post", **looks[str(method)])
                axes.set_title(caption.topology(network), loc="left", fontweight="bold")
            line[0].set_ylabel(f"{caption.variants[variant].label}\norders up to it")
            line[0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            style.log_axis(line[0], which="x")
        for axes in grid[-1]:
            axes.set_xlabel("Time per token (s), log scale")
        handles = [
            Line2D([], [], label=label, **looks[name])
            for name, label in caption.methods.items()
            if name in methods
        ]
        style.heading(figure, f"{caption.title}: time per token", handles)
        style.note(
            figure,
            f"One draw of nodes, client and arrivals on each network; servers join in {orders} "
            "random orders.\nA vertical line does not depend on the order.",
        )
    return figure


def plot_orders(sweep_parquets: Sequence[Path], study: StudyCaption, stem: Path) -> list[Path]:
    """Make the figure from the requests of the sweep, a file per network: CSV, PDF and PNG."""
    means = pd.concat([asked_means(path, study) for path in sweep_parquets], ignore_index=True)
    caption = study.sweep_of(means, sweep_parquets[0])
    table = orders_table(means, caption)
    return style.save(draw_orders(table, caption, means["run"].nunique()), table, stem)
