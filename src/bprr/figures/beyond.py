"""Better methods against load, beside a bound: networks by models of a server's computing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bprr.figures import style
from bprr.figures.beyond_slo import beyond_slo, slo_table
from bprr.figures.caption import StudyCaption
from bprr.figures.made import check_made
from bprr.figures.means import asked_requests
from bprr.figures.regimes import INFEASIBLE, regime_of_run
from bprr.ground.results import BOUNDS
from bprr.ground.tables import read_table
from bprr.study.regime import WARM_UP, joint_regime
from bprr.study.summary import mean_interval, paired_ratio

__all__ = [
    "LONGEST_S",
    "MS_PER_S",
    "STYLES",
    "beyond_rows",
    "draw_beyond",
    "plot_beyond",
]

SERVICES = {
    "serial": "Serial servers",
    "batched": "Batched servers",
    "independent": "Independent servers",
}
# Drawn of all that the table has, the last above the others.
STYLES = {
    "petals": style.MethodStyle("#D55E00", "o"),
    "proposed": style.MethodStyle("#0072B2", "v"),
    "successor": style.MethodStyle("#CC79A7", "D", style.DASHED),
    "max_flow": style.MethodStyle("#888888", "<", style.DASHED),
    "two_resource": style.MethodStyle("#E69F00", "^", style.DASHED),
    "pipe_f": style.MethodStyle("#56B4E9", "s", style.DOTTED),
    "pipe": style.MethodStyle("#009E73", "P"),
    "best": style.MethodStyle("#000000", "x", style.DASH_DOTTED),
}
BOUND_COLOR = "#E4E4E4"
LONGEST_S = 120.0  # on the axes
FINE = 8.0  # ratio of the ends of an axis below which it has more ticks
MS_PER_S = 1000.0


def beyond_rows(
    requests: pd.DataFrame, bounds: pd.DataFrame, baseline: str, confidence: float
) -> pd.DataFrame:
    """Rows of one sweep on one topology.

    The first fifth of every run is left out.

    Returns
    -------
    DataFrame
        ``topology``, ``service``, ``order``, ``charging``, ``load`` (rate over what no placement of
        serial servers exceeds), ``rate_per_s``, ``method``, ``per_token_ms``, ``low``, ``high``,
        ``p99_ms``, ``ttft_ms``, ``ratio_to_petals``, ``ratio_to_bound``, ``bound_kind``,
        ``sessions`` (of a run) and ``regime``.
    """
    served = requests[requests["status"] == "ok"]
    late = served[served["request"] >= WARM_UP * served["requests"]]
    keys = ["x", "method", "run"]
    runs = late.groupby(keys, observed=True).agg(
        per_token_ms=("per_token_ms", "mean"),
        p99_ms=("per_token_ms", lambda values: values.quantile(0.99)),
        ttft_ms=("ttft_ms", "mean"),
    )
    regimes = {key: regime_of_run(run) for key, run in served.groupby(keys, observed=True)}
    rows = []
    for x, method in bounds[["x", "method"]].drop_duplicates().itertuples(index=False):
        rate_per_s = float(requests.loc[requests["x"] == x, "rate_per_s"].iloc[0])
        about = bounds[(bounds["x"] == x) & (bounds["method"] == method)]
        first, bound = about.iloc[0], about.set_index("run")["bound_ms"]
        row = {
            "topology": first["topology"],
            "service": first["service"],
            "order": first["order"],
            "charging": first["charging"],
            "load": float((rate_per_s / about["any_placement_per_s"]).mean()),
            "rate_per_s": rate_per_s,
            "method": method,
        }
        if (x, method) in runs.index:
            own = runs.loc[x, method]
            values = own["per_token_ms"]
            interval = mean_interval(values, confidence)
            petals = runs["per_token_ms"].get((x, baseline))
            row |= {
                "per_token_ms": interval.value,
                "low": interval.low,
                "high": interval.high,
                "p99_ms": own["p99_ms"].mean(),
                "ttft_ms": own["ttft_ms"].mean(),
                "ratio_to_petals": _ratio(values, petals, confidence),
                "ratio_to_bound": _ratio(values, bound, confidence),
            }
        found = [regime for key, regime in regimes.items() if key[:2] == (x, method)]
        row |= {
            "bound_kind": first["bound_kind"],
            "bound_ms": float(bound.mean()),
            "sessions": int(requests["requests"].max()),
            "regime": joint_regime(found).state if found else INFEASIBLE,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _ratio(values: pd.Series, others: pd.Series | None, confidence: float) -> float:
    if others is None:
        return float("nan")
    both = values.index.intersection(others.index)
    return paired_ratio(values[both], others[both], confidence).value


def draw_beyond(table: pd.DataFrame, caption: StudyCaption) -> Figure:
    """Time per token against load: one panel per service and network."""
    services = [name for name in SERVICES if name in set(table["service"])]
    places = list(dict.fromkeys(table["topology"]))
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 1.1 + 1.75 * len(services))
        panels = figure.subplots(
            len(services), len(places), squeeze=False, sharex="col", sharey="row"
        )
        for service, row in zip(services, panels, strict=True):
            own = table[table["service"] == service]
            lowest = float(own["bound_ms"].min()) / MS_PER_S / 1.35
            highest = min(float(own["per_token_ms"].max()) / MS_PER_S * 1.3, LONGEST_S)
            for place, axes in zip(places, row, strict=True):
                _panel(axes, own[own["topology"] == place], lowest, highest)
                if service == services[0]:
                    axes.set_title(caption.topology(place), loc="left")
                if service == services[-1]:
                    axes.set_xlabel("Load")
            row[0].set_ylabel(f"{SERVICES[service]}\nTime per token (s)")
        handles: list[Line2D | Patch] = [
            Line2D([], [], label=caption.methods.get(name, name), **each.line())
            for name, each in STYLES.items()
            if name in set(table["method"])
        ]
        handles.append(Patch(color=BOUND_COLOR, label="no method can be here (L1)"))
        style.heading(figure, "Better methods against load, and a bound", handles)
        style.note(
            figure,
            "Load: arrival rate over what no placement of serial servers exceeds. Hollow: not "
            "steady, the mean says how long the run was\n"
            f"({int(table['sessions'].max()):,} sessions, the first fifth left out). Bars: "
            f"{caption.level} intervals over draws. L1: least mean time over all placements and\n"
            "routings if nobody waited. Serial: as shipped PETALS; batched: a token more adds a "
            "tenth; independent: as the paper has it.",
        )
    return figure


def _panel(axes: Axes, table: pd.DataFrame, lowest: float, highest: float) -> None:
    bound = table[table["bound_ms"] < np.inf].groupby("load")["bound_ms"].min() / MS_PER_S
    axes.set_yscale("log")
    axes.set_ylim(lowest, highest)
    axes.fill_between(bound.index, lowest, bound, color=BOUND_COLOR, linewidth=0)
    shown = table.dropna(subset=["per_token_ms"])
    for name, each in STYLES.items():
        own = shown[shown["method"] == name].sort_values("load")
        if own.empty:
            continue
        line = each.line()
        seconds = own[["per_token_ms", "low", "high"]] / MS_PER_S
        axes.plot(own["load"], seconds["per_token_ms"], **{**line, "marker": ""}, zorder=2)
        axes.vlines(
            own["load"], seconds["low"].clip(lower=lowest), seconds["high"], colors=each.color,
            linewidth=0.8,
        )  # fmt: skip
        steady = (own["regime"] == "stable").to_numpy()
        for chosen, face in ((steady, each.color), (~steady, "white")):
            axes.plot(
                own["load"][chosen],
                seconds["per_token_ms"][chosen],
                **{**line, "linestyle": "", "markerfacecolor": face},
                zorder=3,
            )
    finer = [0.4, 0.6, 0.8] if highest < FINE * lowest else [0.5]
    axes.yaxis.set_major_locator(FixedLocator([*finer, 1, 2, 5, 10, 20, 50, 100]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def plot_beyond(
    sweep_parquets: Sequence[Path],
    bound_parquets: Sequence[Path],
    caption: StudyCaption,
    stem: Path,
) -> list[Path]:
    """Table and figure of some sweeps, each with the bounds beside it; ``<stem>_slo``."""
    for path in bound_parquets:
        check_made(path, *filter(None, [caption.made.get(f"bounds/{path.name}")]))
    bounds = pd.concat([read_table(path, BOUNDS) for path in bound_parquets])
    tables = []
    for path in sweep_parquets:
        requests = asked_requests(path, caption)
        caption.sweep_of(requests, path)
        figure, topology = requests[["figure", "topology"]].iloc[0]
        own = bounds[(bounds["figure"] == figure) & (bounds["topology"] == topology)]
        tables.append(beyond_rows(requests, own, caption.compared.baseline, caption.confidence))
    table = pd.concat(tables, ignore_index=True)
    picture = style.save(draw_beyond(table, caption), table, stem)
    found = beyond_slo(table, caption.compared.baseline)
    return [*picture, *slo_table(found, caption).save(found, stem.with_name(f"{stem.name}_slo"))]
