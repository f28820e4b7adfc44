"""Faster than PETALS? The answer for each model of a server's computing, in one picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from bprr.figures import style
from bprr.figures.caption import StudyCaption
from bprr.figures.regimes import REGIMES, counts_of_regimes
from bprr.figures.served import INDEPENDENT
from bprr.figures.text_table import TextTable

__all__ = ["answer_table", "draw_service_answer", "model_label"]

MODEL = ["service", "order", "belief", "delays"]
OTHER_BASELINE = "petals_shipped"  # has a panel beside the compared method's
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # of networks
SHAPES = {"memory": "o", "computing": "s"}  # by what is scarcer
OVERLOADED = "x"
ORDERS = {"fifo": "first in, first out", "oldest": "oldest first"}
PROMPTS = {"block": "in pieces", "token": "token by token"}
BELIEFS = {"ends_now": "ends now", "re_estimated": "re-estimated", "where_room": "where room"}


def draw_service_answer(table: pd.DataFrame, study: StudyCaption) -> Figure:
    """Draw a table of `service_models`: a row per model, a panel per method, a mark per point.

    Methods are shown relative to the baseline of the compared pair, under the same service; servers
    with queues without the delays set by hand. A point that stands twice is the one that comes
    first.
    """
    queues = table["service"] != INDEPENDENT
    table = table[~queues | (table["delays"] == study.undelayed)]
    queued = set(table.loc[queues, "method"])
    methods = [name for name in (study.compared.method, OTHER_BASELINE) if name in queued]
    compared = table[table["method"].isin(methods) & table["ratio_to_petals"].notna()]
    compared = compared.drop_duplicates(["figure", "topology", "x", *MODEL, "method"])
    models = list(table[MODEL].drop_duplicates().itertuples(index=False, name=None))
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 1.8 + 0.3 * len(models))
        panels = figure.subplots(1, len(methods), sharey=True, squeeze=False)[0]
        for axes, method in zip(panels, methods, strict=True):
            own = compared[compared["method"] == method]
            _panel(axes, own, models, study)
            axes.set_title(study.methods.get(method, method), loc="left", fontweight="bold")
            axes.set_xlabel(f"time per token over that of {study.pair[1]}, log scale")
        rows = [model_label(model, study) for model in models]
        panels[0].set_yticks(range(len(models)), rows)
        panels[0].set_ylim(len(models) - 0.5, -0.5)
        title = f"Faster than {study.pair[1]}? By how servers compute"
        style.heading(figure, title, _handles(table, study), columns=3)
        style.note(
            figure,
            "A mark per point of Figures 7 to 10 and network, left of the black line where the "
            "method is faster; at the right, how many are. Shapes\nsay what is scarcer for the "
            "method, by a bound on any routing. Hollow: the time per token grows over the run, "
            "which is as short as\nthe paper’s. An overdue session: what routing believes of one "
            "that outlives its estimate (docs/service.md).",
        )
    return figure


def _panel(axes: Axes, own: pd.DataFrame, models: list[Any], study: StudyCaption) -> None:
    networks = [name for name in study.topologies if name in set(own["topology"])]
    axes.axvline(1.0, color="black", linewidth=0.9, zorder=1)
    axes.set_xscale("log")
    for place, model in enumerate(models):
        rows = own[(own[MODEL] == list(model)).all(axis=1)]
        for rank, network in enumerate(networks):
            shift = 0.24 * (rank - (len(networks) - 1) / 2)
            here = rows[rows["topology"] == network]
            for (regime, bound), some in here.groupby(["regime", "bound"], dropna=False):
                look = _look(str(regime), str(bound), COLORS[rank % len(COLORS)])
                ratio = some["ratio_to_petals"]
                axes.plot(ratio, np.full(len(some), place + shift), linestyle="", **look)
        faster = f"{int((rows['ratio_to_petals'] < 1).sum())}/{len(rows)}" if len(rows) else "–"
        axes.text(
            1.0, place, f" {faster}", va="center", fontsize=7, transform=axes.get_yaxis_transform()
        )
    for place in range(1, len(models)):
        axes.axhline(place - 0.5, color="#EEEEEE", linewidth=0.8, zorder=0)
    wide = own["ratio_to_petals"].max() > 4 * own["ratio_to_petals"].min()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)) if wide else MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)


def _look(regime: str, bound: str, color: str) -> dict[str, Any]:
    if regime == "overloaded":
        return {"marker": OVERLOADED, "color": color, "markersize": 4, "alpha": 0.8}
    face = "white" if regime == "backlogged" else color
    shape = SHAPES.get(bound, SHAPES["memory"])  # independent servers are never short of computing
    return {"marker": shape, "color": color, "markerfacecolor": face, "markersize": 4, "alpha": 0.8}


def model_label(model: tuple[Any, ...], study: StudyCaption) -> str:
    """How servers compute, and on a second line what else is assumed.

    ``model`` is service, order, belief and variant of the delays.
    """
    service, order, belief, delays = ("" if part != part else str(part) for part in model)
    order, _, prompt = order.partition(" ")
    if not service.startswith("serial"):
        order, prompt = "", order
    if service == INDEPENDENT:
        label = study.variants[delays].label if delays in study.variants else delays
        return f"{service} (the paper’s)\n{label[:1].lower()}{label[1:]}"
    parts = [service.replace("batched ", "batched, b = "), ORDERS.get(order, order)]
    named = ", ".join(part for part in (*parts, PROMPTS.get(prompt, prompt)) if part)
    return f"{named}\nan overdue session: {BELIEFS.get(belief, belief)}"


def _handles(table: pd.DataFrame, study: StudyCaption) -> list[Line2D]:
    networks = [name for name in study.topologies if name in set(table["topology"])]
    dot: dict[str, Any] = {"linestyle": "", "markersize": 5}
    gray = style.REFERENCE_COLOR
    handles = [
        Line2D([], [], marker="o", color=COLORS[rank % len(COLORS)], label=study.topology(n), **dot)
        for rank, n in enumerate(networks)
    ]
    handles += [
        Line2D([], [], marker=shape, color=gray, label=f"{scarce} is scarcer", **dot)
        for scarce, shape in SHAPES.items()
    ]
    return [*handles, Line2D([], [], marker=OVERLOADED, color=gray, label="overloaded", **dot)]


def answer_table(table: pd.DataFrame, study: StudyCaption) -> TextTable:
    """The same in numbers: a row per model and variant of the delays, for the compared method."""
    method, baseline = study.pair
    own = table[(table["method"] == study.compared.method) & table["ratio_to_petals"].notna()]
    own = own.drop_duplicates(["figure", "topology", "x", *MODEL])
    variants = list(study.variants)
    own = own.assign(
        model=own.groupby(MODEL[:3], sort=False, dropna=False).ngroup(),
        variant=[variants.index(name) if name in variants else -1 for name in own["delays"]],
    ).sort_values(["model", "variant"], kind="stable")
    rows = []
    for model, points in own.groupby(MODEL, sort=False, dropna=False):
        ratio = points["ratio_to_petals"]
        servers, _, belief = model_label((*model[:3], ""), study).partition("\n")
        scarce = "–" if model[0] == INDEPENDENT else f"{(points['bound'] == 'computing').sum()}"
        rows.append(
            [
                servers,
                belief.removeprefix("an overdue session: "),
                study.variants[str(model[3])].label
                if model[3] in study.variants
                else str(model[3]),
                f"{(ratio < 1).sum()} of {len(points)}",
                f"{ratio.min():.2f} – {ratio.max():.2f} ({ratio.median():.2f})",
                counts_of_regimes(points),
                scarce,
            ]
        )
    return TextTable(
        title=f"Figures 7 to 10 by how servers compute: {method} / {baseline}, time per token",
        header=[
            "Servers", "An overdue session", "Delays", "faster", "lowest – highest (median)",
            "\n".join(REGIMES), "computing\nis scarcer",
        ],
        rows=rows,
        leading=3,
        widths=[2.6, 1.2, 1.8, 0.8, 1.8, 1.1, 0.8],
        note="Points of all figures and networks. Stable: the mean belongs to the load. Backlogged:"
        " it grows over the run, as short as the\npaper’s. Overloaded: more sessions come "
        "than any routing could carry. All of the first method. Independent servers: no bound.",
    )  # fmt: skip
