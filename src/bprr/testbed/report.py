"""Measured beside predicted: the table in the layout of Table III, a scatter plot, and CDFs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from bprr.figures import style
from bprr.figures.text_table import TextTable
from bprr.ground.storage import replacing
from bprr.testbed.records import Run

__all__ = ["case_means", "equal_axes", "layout", "render", "summary_text"]

CELL = ["group", "client", "rate_per_s", "output_tokens"]
COMPARED = ("per_token_ms", "ttft_ms", "remaining_per_token_ms")
TABLE_GROUP, CONTENTION_GROUP = "table", "contention"
QUANTITIES = ("measured", "predicted", "error")


def case_means(requests: pd.DataFrame) -> pd.DataFrame:
    """Mean of every case, measured and predicted, over the requests that were served.

    Returns
    -------
    DataFrame
        One row per case: its key, ``served``, ``requests``, ``retries``, ``predicted_retries``,
        and per metric ``<name>``, ``predicted_<name>`` (ms), ``<name>_error``
        (relative; positive where the prediction is too high).
    """
    timed = [*COMPARED, "wait_ms"]
    columns = [*timed, *(f"predicted_{name}" for name in timed), "retries", "predicted_retries"]
    done = requests[requests["status"] == "ok"].groupby([*CELL, "method"], sort=False)
    asked = requests.groupby([*CELL, "method"], sort=False).size()
    means = done[columns].mean().reindex(asked.index)
    means.insert(0, "requests", asked)
    means.insert(1, "served", done.size())
    for name in COMPARED:
        means[f"{name}_error"] = means[f"predicted_{name}"] / means[name] - 1
    return means.reset_index()


def _of(group: str, rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["group"] == group]


def orders_agree(means: pd.DataFrame, tie: float = 0.05) -> tuple[int, int]:
    """In how many pairs of methods the prediction names the faster one as measured.

    Pairs that the prediction calls equal within ``tie`` agree if the measurements are as close.

    Returns
    -------
    agreeing, pairs : int
    """
    agreeing = pairs = 0
    for _, cell in means.groupby(CELL, sort=False):
        times = cell[["per_token_ms", "predicted_per_token_ms"]].to_numpy()
        for other, one in combinations(times, 2):
            measured, predicted = one / other - 1
            equal = abs(predicted) <= tie
            pairs += 1
            agreeing += abs(measured) <= 2 * tie if equal else measured * predicted > 0
    return agreeing, pairs


def summary_text(run: Run) -> str:
    """What was seen, in sentences with numbers."""
    requests, means = run.requests, case_means(run.requests)
    table, scored = _of(TABLE_GROUP, requests), _of(TABLE_GROUP, means)
    agreeing, pairs = orders_agree(scored)
    errors = {
        name: f"{100 * sizes.median():.1f} % (largest {100 * sizes.max():.1f} %)"
        for name in COMPARED
        for sizes in [scored[f"{name}_error"].abs()]
    }
    lines = [
        f"{len(table)} sessions in {len(scored)} uncontended cases; "
        f"{int((table['status'] == 'ok').sum())} served, "
        f"{int(table['tokens_equal'].sum())} with the tokens of local transformers.",
        "Median absolute error of the prediction over these cases: time per token "
        f"{errors['per_token_ms']}, TTFT {errors['ttft_ms']}.",
        f"Faster of two methods (or a tie) as predicted in {agreeing} of {pairs} pairs.",
        f"Longest sequence of sessions of one client process, all ended: {_longest_sequence(run)}.",
        f"Chains as predicted: {int((table['chain'] == table['predicted_chain']).sum())} of "
        f"{len(table)}.",
    ]
    for _, row in means[(means["group"] != TABLE_GROUP) & means["served"].gt(0)].iterrows():
        lines.append(
            f"{row['group']}, {row['method']} (client in {row['client']}): "
            f"{row['served']:.0f} of {row['requests']} served; per token "
            f"{row['per_token_ms'] / 1000:.3f} s, predicted "
            f"{row['predicted_per_token_ms'] / 1000:.3f} s; retries per request "
            f"{row['retries']:.2f}, predicted {row['predicted_retries']:.2f}; wait "
            f"{row['wait_ms'] / 1000:.2f} s, predicted {row['predicted_wait_ms'] / 1000:.2f} s."
        )
    for _, row in requests[requests["status"] != "ok"].iterrows():
        tried = f" after {row['retries']} retries" if row["retries"] >= 0 else ""
        status = textwrap.shorten(str(row["status"]), 90, placeholder=" …")
        who = f"{row['group']}, {row['method']}, request {row['request']}"
        lines.append(f"{who}: not served{tried}: {status}")
    return "\n".join(lines)


def _longest_sequence(run: Run) -> int:
    """Most consecutive sessions of one client process in the table of which none hung.

    Methods with the same placement share a swarm there, and so its clients.
    """
    table = _of(TABLE_GROUP, run.requests)
    methods = run.manifest.settings.methods
    placement = table["method"].map({name: str(methods[name].placement) for name in methods})
    longest = 0
    for _, rows in table.groupby([table["client"], placement], sort=False):
        hung = rows["status"].eq("timeout") | rows["status"].str.startswith("no answer")
        longest = max(longest, int((~hung).groupby(hung.cumsum()).sum().max()))
    return longest


def layout(run: Run) -> TextTable:
    """Table III's layout: rows client × method, columns (λ, l)."""
    settings, packages = run.manifest.settings, run.manifest.machine.packages
    means = _of(TABLE_GROUP, case_means(run.requests))
    points = means[["rate_per_s", "output_tokens"]].drop_duplicates()
    points = points.sort_values(["rate_per_s", "output_tokens"])
    columns = list(points.itertuples(index=False, name=None))
    rows: list[list[str]] = []
    for client in dict.fromkeys(means["client"]):
        for method, entry in settings.methods.items():
            case = means[(means["client"] == client) & (means["method"] == method)]
            at = case.set_index(["rate_per_s", "output_tokens"]).to_dict("index")
            for quantity in QUANTITIES if at else ():
                texts = [_text(at.get(point), quantity) for point in columns]
                rows.append([client, entry.label, quantity, *texts])
    requests = settings.cases[TABLE_GROUP].requests if TABLE_GROUP in settings.cases else 0
    note = (
        f"l: output tokens, {settings.scenario.workload.input_tokens} input tokens, "
        f"{requests} requests per case; all methods meet the "
        f"same arrivals.\nGenuine PETALS {packages.get('petals', '')} on CPUs: real blocks, DHT "
        "and sockets; distances and device times are emulated. Predicted from a profile\nfitted to "
        "other sessions on the same machine. Error: of the prediction, against the measurement."
    )
    return TextTable(
        title=settings.title,
        header=[
            "Client in",
            "Method",
            "Quantity",
            *(f"λ = {r:g}/s\nl = {n:g}" for r, n in columns),
        ],
        rows=rows,
        leading=3,
        widths=[1.1, 2.3, 1.2, *[1.1] * len(columns)],
        emphasized=[number for number, row in enumerate(rows) if row[2] == "error"],
        note=note,
    )


def _text(means: Mapping[str, Any] | None, quantity: str) -> str:
    if means is None or np.isnan(means["per_token_ms"]):
        return "–"
    if quantity == "error":
        return f"{100 * means['per_token_ms_error']:+.1f} %".replace("-", "−")
    name = "per_token_ms" if quantity == "measured" else "predicted_per_token_ms"
    return f"{means[name] / 1000:.3f}"


def draw_scatter(run: Run) -> Figure:
    """Measured against predicted: time per token and TTFT of every case, log scale."""
    means, methods = case_means(run.requests), run.manifest.settings.methods
    means = means[means["group"].isin([TABLE_GROUP, CONTENTION_GROUP]) & means["served"].gt(0)]
    looks = style.method_styles(methods)
    drawn = [name for name in methods if name in set(means["method"])]
    marks = {name: {**looks[name].line(), "linestyle": ""} for name in drawn}
    contended = {"markeredgecolor": "black", "markersize": 7}
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 3.9)
        panels = figure.subplots(1, 2)
        titles = {"per_token_ms": "Time per token (s)", "ttft_ms": "TTFT (s)"}
        for axes, (name, title) in zip(panels, titles.items(), strict=True):
            beside = style.dodged(axes.transData, axes, drawn, 4.0, slope=1.0)
            for (method, group), rows in means.groupby(["method", "group"], sort=False):
                mark = marks[str(method)] | (
                    {"markersize": 4} if group == TABLE_GROUP else contended
                )
                mark["transform"] = beside[str(method)]
                axes.plot(rows[f"predicted_{name}"] / 1000, rows[name] / 1000, **mark)
            both = means[[name, f"predicted_{name}"]] / 1000
            equal_axes(axes, np.array([both.min().min() * 0.85, both.max().max() * 1.15]))
            axes.set(xlabel="predicted", ylabel="measured", title=title, aspect="equal")
        handles = [Line2D([], [], label=methods[name].label, **marks[name]) for name in marks]
        style.heading(figure, "Genuine PETALS against the simulator, a mark per case", handles, 2)
        style.note(
            figure,
            "Large with a black edge: caches run out, sessions are refused and retry. The others "
            "are uncontended. Dotted: ±10 % of the prediction.\nMethods are moved apart along the "
            "diagonal, which keeps how far from it they are.",
        )
    return figure


def equal_axes(axes: Axes, ends: np.ndarray) -> None:
    """Equal log axes between two ends, with the line of agreement and ±10 % around it."""
    for factor, line in ((1, "-"), (1.1, ":"), (1 / 1.1, ":")):
        axes.plot(ends, ends * factor, line, color=style.REFERENCE_COLOR, linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())


def draw_cdfs(run: Run) -> Figure:
    """Distribution of time per token over the requests of the table, measured and predicted."""
    table = _of(TABLE_GROUP, run.requests)
    table, methods = table[table["status"] == "ok"], run.manifest.settings.methods
    clients = list(dict.fromkeys(table["client"]))
    shown = [name for name in methods if name in set(table["method"])]
    looks = style.method_styles(shown)
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 2.9)
        panels = figure.subplots(1, max(len(clients), 1), sharey=True, squeeze=False)[0]
        for axes, client in zip(panels, clients, strict=False):
            for method in shown:
                rows = table[(table["client"] == client) & (table["method"] == method)]
                for name, line in (("per_token_ms", "-"), ("predicted_per_token_ms", ":")):
                    values = np.sort(rows[name].to_numpy()) / 1000
                    values = np.r_[values[:1], values]  # no step where there are none
                    share = np.linspace(0, 1, len(values))
                    axes.step(values, share, line, where="post", color=looks[method].color)
            axes.set(xlabel="time per token (s)", title=f"client in {client}")
        panels[0].set_ylabel("share of requests")
        handles = [
            Line2D([], [], color=looks[name].color, label=methods[name].label) for name in shown
        ]
        style.heading(figure, "Time per token of single requests", handles, 3)
        style.note(figure, "Solid: measured on genuine PETALS. Dotted: predicted.")
    return figure


def render(run: Run, stem: Path) -> list[Path]:
    """Write table, scatter plot and CDFs, and the summary.

    Parameters
    ----------
    stem : Path
        E.g. ``figures/testbed``; the files are ``<stem>_table``, ``<stem>_scatter``,
        ``<stem>_cdf`` and ``<stem>_summary.txt``.
    """
    means = case_means(run.requests)
    paths = layout(run).save(means, stem.with_name(f"{stem.name}_table"))
    paths += style.save(draw_scatter(run), means, stem.with_name(f"{stem.name}_scatter"))
    points = run.requests[
        ["client", "method", "status", "group", "per_token_ms", "predicted_per_token_ms"]
    ]
    paths += style.save(draw_cdfs(run), points, stem.with_name(f"{stem.name}_cdf"))
    summary = stem.with_name(f"{stem.name}_summary.txt")
    with replacing(summary) as unfinished:
        unfinished.write_text(summary_text(run) + "\n", encoding="utf-8")
    return [*paths, summary]
