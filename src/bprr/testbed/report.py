"""Measured beside predicted: the table in the layout of Table III, a scatter plot, and CDFs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from bprr.figures import style
from bprr.figures.text_table import TextTable
from bprr.ground.errors import InputError
from bprr.ground.storage import replacing
from bprr.testbed.experiment import Run
from bprr.testbed.records import COLUMNS

__all__ = ["case_means", "layout", "read_run", "render", "summary_text", "write_run"]

REQUESTS, MANIFEST = "requests.csv", "manifest.json"
CASE = ["group", "client", "rate_per_s", "output_tokens", "method"]
MEASURED = ("per_token_ms", "ttft_ms", "remaining_per_token_ms", "wait_ms")
TABLE_GROUP, CONTENTION_GROUP = "table", "contention"
QUANTITIES = {"measured_s": "measured", "predicted_s": "predicted", "error_percent": "error"}


def write_run(run: Run, folder: Path) -> None:
    """Write the table of requests and the manifest of a run."""
    with replacing(folder / REQUESTS) as unfinished:
        run.requests.to_csv(unfinished, index=False, float_format="%.6g", lineterminator="\n")
    with replacing(folder / MANIFEST) as unfinished:
        unfinished.write_text(json.dumps(run.manifest, indent=1, ensure_ascii=False) + "\n")


def read_run(folder: Path) -> Run:
    """Read a run.

    Raises
    ------
    InputError
        If a file cannot be read or lacks a column.
    """
    try:
        requests = pd.read_csv(folder / REQUESTS, keep_default_na=True)
        manifest = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        allowed = f"a folder with {REQUESTS} and {MANIFEST}, as `bprr testbed run` writes it"
        raise InputError(folder, "testbed run", str(error), allowed) from None
    absent = [name for name in COLUMNS if name not in requests]
    if absent:
        raise InputError(folder / REQUESTS, "columns", ", ".join(absent), ", ".join(COLUMNS))
    return Run(requests, manifest)


def case_means(requests: pd.DataFrame) -> pd.DataFrame:
    """Mean of every case, measured and predicted, over the requests that were served.

    Returns
    -------
    DataFrame
        One row per case: its key, ``served``, ``requests``, ``retries``, ``predicted_retries``,
        and per quantity of section 8 ``<name>``, ``predicted_<name>`` (ms), ``<name>_error``
        (relative; positive where the prediction is too high).
    """
    done = requests[requests["status"] == "ok"]
    columns = [*MEASURED, *(f"predicted_{name}" for name in MEASURED)]
    columns += ["retries", "predicted_retries"]
    means = done.groupby(CASE, sort=False)[columns].mean()
    grouped = requests.groupby(CASE, sort=False)
    means = means.reindex(grouped.size().index)
    means.insert(0, "requests", grouped.size())
    means.insert(1, "served", done.groupby(CASE, sort=False).size())
    for name in MEASURED[:3]:
        means[f"{name}_error"] = means[f"predicted_{name}"] / means[name] - 1
    return means.reset_index()


def _scored(means: pd.DataFrame) -> pd.DataFrame:
    return means[means["group"] == TABLE_GROUP]


def orders_agree(means: pd.DataFrame, tie: float = 0.05) -> tuple[int, int]:
    """In how many pairs of methods the prediction names the faster one as measured.

    Pairs that the prediction calls equal within ``tie`` agree if the measurements are as close.

    Returns
    -------
    agreeing, pairs : int
    """
    agreeing = pairs = 0
    for _, cell in means.groupby(["group", "client", "rate_per_s", "output_tokens"], sort=False):
        times = cell[["per_token_ms", "predicted_per_token_ms"]].to_numpy()
        for one in range(len(times)):
            for other in range(one):
                measured, predicted = times[one] / times[other] - 1
                equal = abs(predicted) <= tie
                pairs += 1
                agreeing += abs(measured) <= 2 * tie if equal else measured * predicted > 0
    return agreeing, pairs


def summary_text(run: Run) -> str:
    """What was seen, in sentences with numbers."""
    means = case_means(run.requests)
    scored, requests = _scored(means), run.requests
    table = requests[requests["group"] == TABLE_GROUP]
    agreeing, pairs = orders_agree(scored)
    lines = [
        f"{len(table)} sessions in {len(scored)} uncontended cases; "
        f"{int((table['status'] == 'ok').sum())} served, "
        f"{int(table['tokens_equal'].sum())} with the tokens of local transformers.",
        "Median absolute error of the prediction over these cases: time per token "
        f"{100 * scored['per_token_ms_error'].abs().median():.1f} % (largest "
        f"{100 * scored['per_token_ms_error'].abs().max():.1f} %), TTFT "
        f"{100 * scored['ttft_ms_error'].abs().median():.1f} % (largest "
        f"{100 * scored['ttft_ms_error'].abs().max():.1f} %).",
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
        lines.append(
            f"{row['group']}, {row['method']}, request {row['request']}: not served{tried}: "
            f"{textwrap.shorten(str(row['status']), 90, placeholder=' …')}"
        )
    return "\n".join(lines)


def _longest_sequence(run: Run) -> int:
    """Most consecutive sessions of one client process in the table of which none hung.

    Methods with the same placement share a swarm there, and so its clients.
    """
    methods = run.manifest["settings"]["methods"]
    table = run.requests[run.requests["group"] == TABLE_GROUP]
    placement = table["method"].map({name: entry["placement"] for name, entry in methods.items()})
    longest = 0
    for _, rows in table.groupby([table["client"], placement], sort=False):
        sequence = 0
        for status in rows["status"]:
            hung = status == "timeout" or status.startswith("no answer")
            sequence = 0 if hung else sequence + 1
            longest = max(longest, sequence)
    return longest


def layout(run: Run) -> TextTable:
    """Table III's layout: rows client × method, columns (λ, l)."""
    settings = run.manifest["settings"]
    labels = {name: method["label"] for name, method in settings["methods"].items()}
    means = _scored(case_means(run.requests))
    points = means[["rate_per_s", "output_tokens"]].drop_duplicates()
    points = points.sort_values(["rate_per_s", "output_tokens"])
    columns = list(points.itertuples(index=False, name=None))
    rows: list[list[str]] = []
    shaded: list[int] = []
    for client in dict.fromkeys(means["client"]):
        for method in labels:
            cell = means[(means["client"] == client) & (means["method"] == method)]
            if cell.empty:
                continue
            at = cell.set_index(["rate_per_s", "output_tokens"]).to_dict("index")
            for quantity in QUANTITIES:
                if quantity == "error_percent":
                    shaded.append(len(rows))
                cells = [_cell(at.get(point), quantity) for point in columns]
                rows.append([client, labels[method], QUANTITIES[quantity], *cells])
    note = (
        f"l: output tokens, {settings['scenario']['workload']['input_tokens']} input tokens, "
        f"{settings['cases'][TABLE_GROUP]['requests']} requests per case; all methods meet the "
        "same arrivals.\nGenuine PETALS 2.2.0 on CPUs: real blocks, DHT and sockets; distances and "
        "device times are emulated. Predicted from a profile\nfitted to other sessions on the "
        "same machine. Error: of the prediction, against the measurement."
    )
    return TextTable(
        title=settings["title"],
        header=[
            "Client in",
            "Method",
            "Quantity",
            *(f"λ = {r:g}/s\nl = {n:g}" for r, n in columns),
        ],
        rows=rows,
        leading=3,
        widths=[1.1, 2.3, 1.2, *[1.1] * len(columns)],
        emphasized=shaded,
        note=note,
    )


def _cell(row: Mapping[str, Any] | None, quantity: str) -> str:
    if row is None or np.isnan(row["per_token_ms"]):
        return "–"
    if quantity == "error_percent":
        return f"{100 * row['per_token_ms_error']:+.1f} %".replace("-", "−")
    name = "per_token_ms" if quantity == "measured_s" else "predicted_per_token_ms"
    return f"{row[name] / 1000:.3f}"


def _labels(run: Run) -> dict[str, str]:
    methods = run.manifest["settings"]["methods"]
    return {name: method["label"] for name, method in methods.items()}


def draw_scatter(run: Run) -> Figure:
    """Measured against predicted: time per token and TTFT of every case, log scale."""
    means = case_means(run.requests)
    means = means[means["group"].isin([TABLE_GROUP, CONTENTION_GROUP]) & means["served"].gt(0)]
    looks, labels = style.method_styles(_labels(run)), _labels(run)
    used = [name for name in labels if name in set(means["method"])]
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 3.9)
        panels = figure.subplots(1, 2)
        for axes, (name, title) in zip(
            panels, (("per_token_ms", "Time per token (s)"), ("ttft_ms", "TTFT (s)")), strict=True
        ):
            for method in used:
                look = looks[method]
                for group, edge in ((TABLE_GROUP, look.color), (CONTENTION_GROUP, "black")):
                    rows = means[(means["method"] == method) & (means["group"] == group)]
                    face = look.color if look.filled else "white"
                    axes.plot(
                        rows[f"predicted_{name}"] / 1000, rows[name] / 1000, look.marker,
                        markerfacecolor=face, markeredgecolor=edge,
                        markersize=5 if group == TABLE_GROUP else 7,
                    )  # fmt: skip
            both = means[[name, f"predicted_{name}"]] / 1000
            ends = np.array([both.min().min() * 0.85, both.max().max() * 1.15])
            for factor, line in ((1, "-"), (1.1, ":"), (1 / 1.1, ":")):
                axes.plot(ends, ends * factor, line, color=style.REFERENCE_COLOR, linewidth=0.8)
            axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axis.set_minor_locator(NullLocator())
            axes.set(xlabel="predicted", ylabel="measured", title=title, aspect="equal")
        handles = [
            Line2D([], [], linestyle="", label=labels[m], marker=looks[m].marker,
                   markeredgecolor=looks[m].color,
                   markerfacecolor=looks[m].color if looks[m].filled else "white")
            for m in used
        ]  # fmt: skip
        style.heading(figure, "Genuine PETALS against the simulator, a mark per case", handles, 2)
        style.note(
            figure,
            "Large with a black edge: caches run out, sessions are refused and retry. The others "
            "are uncontended. Dotted: ±10 % of the prediction.",
        )
    return figure


def draw_cdfs(run: Run) -> Figure:
    """Distribution of time per token over the requests of the table, measured and predicted."""
    table = run.requests[(run.requests["group"] == TABLE_GROUP) & (run.requests["status"] == "ok")]
    labels = _labels(run)
    clients = list(dict.fromkeys(table["client"]))
    methods = [name for name in labels if name in set(table["method"])]
    looks = style.method_styles(methods)
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 2.9)
        panels = figure.subplots(1, len(clients), sharey=True, squeeze=False)[0]
        for axes, client in zip(panels, clients, strict=True):
            for method in methods:
                rows = table[(table["client"] == client) & (table["method"] == method)]
                for name, line in (("per_token_ms", "-"), ("predicted_per_token_ms", ":")):
                    values = np.sort(rows[name].to_numpy()) / 1000
                    values, share = np.r_[values[:1], values], np.linspace(0, 1, len(values) + 1)
                    axes.step(values, share, line, where="post", color=looks[method].color)
            axes.set(xlabel="time per token (s)", title=f"client in {client}")
        panels[0].set_ylabel("share of requests")
        handles = [Line2D([], [], color=looks[m].color, label=labels[m]) for m in methods]
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
