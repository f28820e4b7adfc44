"""How far from optimal the heuristics are (experiment a), and Theorem 2 (experiment b)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from bprr.figures import style

__all__ = ["draw_bound", "draw_optimality", "optimality_table"]

METHODS = {"cg_bprr": "CG-BPRR", "petals": "PETALS' placement", "gsa": "GSA's placement"}
LOOKS = {
    "cg_bprr": style.MethodStyle("#0072B2", "v"),
    "petals": style.MethodStyle("#D55E00", "o"),
    "gsa": style.MethodStyle("#882255", "P", (0, (4.0, 1.6))),
}
CASE = ["family", "servers", "clients", "load", "draw"]


def optimality_table(optimality: pd.DataFrame) -> pd.DataFrame:
    """Excess over the optimum per family, number of servers, load and method.

    Parameters
    ----------
    optimality : DataFrame
        Result of `bprr.offline.experiments.optimality`.

    Returns
    -------
    DataFrame
        Over clients, draws and joining orders: ``mean``, ``least`` and ``most`` excess (per cent),
        ``plans`` and ``infeasible`` counts, and of the ``optima`` compared with how many are
        ``proven``.
    """
    optimum = optimality[optimality["method"] == "optimum"].set_index(CASE)["status"]
    shown = optimality[optimality["method"].isin(list(METHODS))].copy()
    keys = pd.MultiIndex.from_frame(shown[CASE])
    shown["proven"] = (optimum.reindex(keys) == "optimal").to_numpy()
    shown["infeasible"] = shown["status"].str.startswith("infeasible")
    grouped = shown.groupby(["family", "servers", "method", "load"], sort=True)
    excess = grouped["above_optimum_percent"]
    return pd.DataFrame(
        {
            "mean": excess.mean(),
            "least": excess.min(),
            "most": excess.max(),
            "plans": excess.count(),
            "infeasible": grouped["infeasible"].sum(),
            "optima": grouped["proven"].size(),
            "proven": grouped["proven"].sum(),
        }
    ).reset_index()


def draw_optimality(table: pd.DataFrame, network: str = "") -> Figure:
    """One panel per family and number of servers of an `optimality_table`: excess against R.

    ``network`` is where the scattered swarms are.
    """
    panels = list(table.groupby(["family", "servers"]))
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 3.2)
        axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
        for panel, ((family, servers), rows) in zip(axes, panels, strict=True):
            draw_excess(panel, rows)
            panel.set_title(f"{family}\n{servers} servers", loc="left")
            panel.set_xlabel("Requests R")
        axes[0].set_ylabel("Above the optimum (%),\nlinear to 1 %, then log scale")
        handles = [
            Line2D([], [], label=label, **LOOKS[name].line()) for name, label in METHODS.items()
        ]
        style.heading(figure, "How far from optimal are the placements?", handles)
        proven = table["proven"].sum() / table["optima"].sum()
        words = "every optimum proven" if proven == 1 else f"{proven:.1%} of the optima proven"
        style.note(
            figure,
            "BLOOM-176B, 1–3 clients; mean and range over clients, draws and joining orders; "
            f"requests routed exactly; {words}.\n× some or all plans infeasible. "
            f"{network and f'scattered: {network}. '}"
            "uniform: U(25, 30) ms to MIG slices, U(125, 225) ms to A100s.",
        )
    return figure


def draw_excess(panel: Axes, rows: pd.DataFrame) -> None:
    """Mean and range of every method on one panel."""
    panel.set_yscale("symlog", linthresh=1.0, linscale=0.6)
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.set_ylim(-0.15, 700)
    for name, found in rows.groupby("method"):
        look = LOOKS[str(name)]
        served = found[found["plans"] > 0]
        panel.plot(served["load"], served["mean"], **{**look.line(), "markersize": 3})
        panel.vlines(
            served["load"], served["least"], served["most"], color=look.color, linewidth=0.9
        )
        failed = found.loc[found["infeasible"] > 0, "load"]
        foot = panel.get_xaxis_transform()
        panel.plot(
            failed, [0.97] * len(failed), "x", color=look.color, transform=foot, markersize=3
        )


def draw_bound(bounds: pd.DataFrame) -> Figure:
    """Theorem 2's bound over the optimum and over what it bounds, against R.

    Parameters
    ----------
    bounds : DataFrame
        Result of `bprr.offline.experiments.theorem_2`.
    """
    looks = {
        "bound_over_cg_bprr": ("bound / CG-BPRR", style.MethodStyle("#0072B2", "v")),
        "bound_over_optimum": ("bound / optimum", style.MethodStyle("#000000", "s", filled=False)),
    }
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 2.6)
        groups = list(bounds.groupby("clients"))
        axes = np.atleast_1d(figure.subplots(1, len(groups), sharey=True))
        for panel, (clients, rows) in zip(axes, groups, strict=True):
            many = "1 client" if clients == 1 else f"{clients} clients"
            beside = style.dodged(panel.transData, panel, list(looks))
            for column, (_, look) in looks.items():
                marks = {"linestyle": "", "markersize": 3, "transform": beside[column]}
                panel.plot(rows["load"], rows[column], **{**look.line(), **marks})
                style.include(panel, rows["load"], rows[column])
            panel.axhline(1.0, color=style.REFERENCE_COLOR, linewidth=0.8)
            panel.set_title(many, loc="left")
            panel.set_xlabel("Concurrent requests R")
        axes[0].set_ylabel("Ratio of per-token times")
        handles = [
            Line2D([], [], label=label, **{**look.line(), "linestyle": ""})
            for label, look in looks.values()
        ]
        style.heading(figure, "How tight is the bound of Theorem 2?", handles)
        style.note(
            figure,
            "One mark per instance, clustered and scattered, 9 and 26 servers. The bound counts "
            "every client as the farthest one.",
        )
    return figure
