"""Better methods with one thing changed: where which of them loses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bprr.figures import style
from bprr.figures.beyond import LONGEST_S, MS_PER_S, STYLES
from bprr.figures.caption import StudyCaption, SweepCaption
from bprr.figures.regimes import regime_of_run
from bprr.ground.results import REQUESTS
from bprr.ground.tables import read_table
from bprr.study.regime import WARM_UP, joint_regime
from bprr.study.summary import mean_interval, paired_ratio

__all__ = ["draw_robust", "plot_robust", "robust_rows"]

TITLES = {
    "": "as in the sweeps of loads",
    "workload.rate_per_s": "rate",
    "clients": "clients",
    "network.delay_factor": "round trips ×",
    "design_load.rate_per_s": "planned for a rate of",
    "fleet.share.a100": "share of fast servers",
    "fleet": "servers:",
    "workload": "requests of",
    "believed": "τ believed ×",
    "lost": "server lost:",
}


def robust_rows(requests: pd.DataFrame, caption: SweepCaption) -> pd.DataFrame:
    """Rows of the sweep on one topology; the first fifth of every run is left out.

    Returns
    -------
    DataFrame
        ``topology``, ``x``, ``key`` and ``value`` (what is changed), ``method``, ``per_token_ms``
        (over all tokens), ``low``, ``high``, ``p99_ms``, ``ttft_ms``, ``ratio_to_best_other`` with
        ``ratio_low`` and ``ratio_high`` (run by run; the other method is ``best_other``),
        ``sessions`` (of a run) and ``regime``.
    """
    topology = str(requests["topology"].iloc[0])
    served = requests[requests["status"] == "ok"]
    late = served[served["request"] >= WARM_UP * served["requests"]]
    late = late.assign(total_ms=late["per_token_ms"] * late["output_tokens"])
    runs = late.groupby(["x", "method", "run"], observed=True).agg(
        total_ms=("total_ms", "sum"),
        tokens=("output_tokens", "sum"),
        p99_ms=("per_token_ms", lambda values: values.quantile(0.99)),
        ttft_ms=("ttft_ms", "mean"),
    )
    runs["per_token_ms"] = runs["total_ms"] / runs["tokens"]
    regimes = {
        key: regime_of_run(run)
        for key, run in served.groupby(["x", "method", "run"], observed=True)
    }
    rows = []
    for x, (key, value) in enumerate(caption.changes[topology]):
        own: dict[str, pd.DataFrame] = {
            name: pd.DataFrame(runs.xs((x, name)))
            for name in caption.methods
            if (x, name) in runs.index
        }
        for name in caption.methods:
            row: dict[str, Any] = {
                "topology": topology,
                "x": x,
                "key": key,
                "value": json.dumps(value) if key else "",
                "method": name,
                "sessions": int(requests["requests"].max()),
                "regime": "infeasible",
            }
            if name in own:
                values = own[name]["per_token_ms"]
                interval = mean_interval(values, caption.confidence)
                found = [each for at, each in regimes.items() if at[:2] == (x, name)]
                row |= {
                    "per_token_ms": interval.value,
                    "low": interval.low,
                    "high": interval.high,
                    "p99_ms": own[name]["p99_ms"].mean(),
                    "ttft_ms": own[name]["ttft_ms"].mean(),
                    "regime": joint_regime(found).state,
                }
                others = [other for other in own if other != name]
                if others:
                    best = min(others, key=lambda other: own[other]["per_token_ms"].mean())
                    both = values.index.intersection(own[best].index)
                    ratio = paired_ratio(
                        values[both], own[best]["per_token_ms"][both], caption.confidence
                    )
                    row |= {"best_other": best, "ratio_to_best_other": ratio.value}
                    row |= {"ratio_low": ratio.low, "ratio_high": ratio.high}
            rows.append(row)
    return pd.DataFrame(rows)


def draw_robust(table: pd.DataFrame, caption: SweepCaption) -> Figure:
    """Draw `robust_rows` of all networks: a line per change, a mark per method."""
    places = list(dict.fromkeys(table["topology"]))
    lines = int(table.groupby("topology")["x"].nunique().max())
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 1.2 + 0.17 * lines)
        panels = figure.subplots(1, len(places), squeeze=False, sharey=True)[0]
        for place, axes in zip(places, panels, strict=True):
            own = table[table["topology"] == place]
            _panel(axes, own)
            axes.set_title(caption.topology(place), loc="left")
            axes.set_xlabel("Time per token (s)")
        first = table[table["topology"] == places[0]].drop_duplicates("x")
        panels[0].set_yticks(first["x"], [_text(*row) for row in _changes(first)])
        panels[0].set_ylim(lines - 0.4, -0.6)
        handles = [
            Line2D([], [], label=caption.methods[name], **{**STYLES[name].line(), "linestyle": ""})
            for name in caption.methods
            if name in STYLES
        ]
        style.heading(figure, "Better methods with one thing changed", handles)
        style.note(
            figure,
            f"Serial servers, load .6 unless said. Hollow: not steady, the mean says how long the "
            f"run was ({int(table['sessions'].max()):,} sessions,\nthe first fifth left out). "
            f"Rates and plans are said for {caption.topology(places[0])}.",
        )
    return figure


def _changes(first: pd.DataFrame) -> list[tuple[str, str]]:
    return list(first[["key", "value"]].itertuples(index=False, name=None))


def _text(key: str, written: str) -> str:
    title = TITLES.get(key, key)
    if not key:
        return title
    value: Any = json.loads(written)
    if not isinstance(value, dict):
        return f"{title} {value:g}"
    words = {"fleet": _fleet, "believed": _believed, "lost": _lost}.get(key, _requests)
    return f"{title} {words(value)}"


def _requests(value: dict[str, Any]) -> str:
    return Path(str(value.get("file", value))).stem.replace("_", " ")


def _fleet(value: dict[str, Any]) -> str:
    memory_gb = value.get("memory_gb", {})
    shares = [f"{share:g} {name}" for name, share in value.get("share", {}).items()]
    kinds = [*shares, str(value.get("rest", "")) + (" alone" if not shares else "")]
    return ", ".join(kinds) + "".join(f", {name} of {gb:g} GB" for name, gb in memory_gb.items())


def _believed(value: dict[str, Any]) -> str:
    least, most = value.get("tau_least", 1.0), value.get("tau_most", 1.0)
    text = f"{least:g}" if least == most else f"{least:g} to {most:g}, each its own"
    return f"{text}, learned by routing" if value.get("routing") == "learned" else text


def _lost(value: dict[str, Any]) -> str:
    which = str(value.get("server", "")).replace("_", " ")
    return f"{which}, placed anew" if value.get("placed_anew") else which


def _panel(axes: Axes, table: pd.DataFrame) -> None:
    axes.set_xscale("log")
    shown = table.dropna(subset=["per_token_ms"])
    for name, each in STYLES.items():
        own = shown[shown["method"] == name]
        seconds = own[["per_token_ms", "low", "high"]] / MS_PER_S
        axes.hlines(
            own["x"], seconds["low"].clip(lower=0.01), seconds["high"], colors=each.color,
            linewidth=0.8,
        )  # fmt: skip
        steady = (own["regime"] == "stable").to_numpy()
        for chosen, face in ((steady, each.color), (~steady, "white")):
            look = {**each.line(), "linestyle": "", "markerfacecolor": face}
            axes.plot(seconds["per_token_ms"][chosen], own["x"][chosen], **look)
    if not shown.empty:
        low, high = shown["per_token_ms"].min() / MS_PER_S, shown["per_token_ms"].max() / MS_PER_S
        axes.set_xlim(low / 1.3, min(high * 1.3, LONGEST_S))
    axes.xaxis.set_major_locator(FixedLocator([0.5, 1, 2, 5, 10, 20, 50, 100]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", linewidth=0.4)


def plot_robust(sweep_parquets: Sequence[Path], study: StudyCaption, stem: Path) -> list[Path]:
    """Table and figure of the sweep, a file of requests per network."""
    tables = []
    for path in sweep_parquets:
        requests = read_table(path, REQUESTS)
        caption = study.sweep_of(requests, path)
        tables.append(robust_rows(requests, caption))
    table = pd.concat(tables, ignore_index=True)
    return style.save(draw_robust(table, caption), table, stem)
