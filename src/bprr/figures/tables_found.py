"""Tables III and VI twice: in the setting that the paper states, and in the one that was found.

Three exhibits: every printed simulator cell beside both of ours; every cell measured on GPUs
beside all that is simulated for it; and the gain by network, taken apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator, PercentFormatter

from bprr.figures import style
from bprr.figures.caption import Caption, StudyCaption
from bprr.figures.cells import CELL, as_printed, own_cells, printed_cells
from bprr.figures.means import asked_means
from bprr.figures.published import published_results
from bprr.study.summary import paired_ratio

__all__ = [
    "FOUND",
    "against_gpus",
    "draw_against_gpus",
    "draw_found",
    "draw_trend",
    "found_table",
    "gains_by_network",
    "plot_tables_found",
]

FOUND = "tables_found"  # the sweep whose setting was found; any other is the stated one
LOOKS: dict[str, dict[str, Any]] = {
    "published": {"marker": "o", "color": "black", "markerfacecolor": "white", "markersize": 6},
    "found": {"marker": "v", "color": "#0072B2", "markersize": 4},
    "stated": {"marker": "x", "color": "#D55E00", "markersize": 4.5},
    "measured": {"marker": "_", "color": "#009E73", "markersize": 9, "markeredgewidth": 2},
}
RATIOS = (0.1, 0.2, 0.5, 1, 2, 4)  # ticks
TEXTS = {
    "published": "printed, simulator",
    "found": "ours, setting found",
    "stated": "ours, setting stated",
    "measured": "printed, measured on GPUs",
}


def found_table(
    found: pd.DataFrame, stated: pd.DataFrame, published: pd.DataFrame, caption: Caption
) -> pd.DataFrame:
    """Every printed cell beside ours, with the delays: `CELL` and five values (s).

    Parameters
    ----------
    found, stated : DataFrame
        Run means in either setting (`bprr.study.summary.run_means`).
    published : DataFrame
        From `bprr.figures.published.published_results`.
    """
    ours = own_cells(found, published, caption.delayed, caption.confidence)
    beside = own_cells(stated, published, caption.delayed, caption.confidence)["value"]
    table = printed_cells(published).join(ours, on=CELL)
    table = table.join(beside.rename("stated_s"), on=CELL)
    names = {"simulator": "published_s", "value": "found_s", "experiment": "measured_gpu_s"}
    columns = [*CELL, "published_s", "found_s", "low", "high", "stated_s", "measured_gpu_s"]
    return table.dropna(subset="value").rename(columns=names)[columns].reset_index(drop=True)


def against_gpus(
    found: pd.DataFrame,
    stated: pd.DataFrame,
    published: pd.DataFrame,
    caption: Caption,
) -> pd.DataFrame:
    """Deviation of everything simulated from what was measured on GPUs, a row per cell and source.

    Returns
    -------
    DataFrame
        ``source``, `CELL`, ``simulated_s``, ``measured_gpu_s``, ``deviation`` (a share).
    """
    printed = printed_cells(published).set_index(CELL)

    def ours(means: pd.DataFrame, variant: str | None) -> pd.Series:
        return own_cells(means, published, variant, caption.confidence)["value"]

    sources = {
        "the authors' simulator": printed["simulator"],
        "ours, setting found": ours(found, caption.delayed),
        "ours, setting stated": ours(stated, caption.delayed),
        "ours, setting found, without delays": ours(found, caption.undelayed),
        "ours, setting stated, without delays": ours(stated, caption.undelayed),
    }
    parts = [
        values.rename("simulated_s").to_frame().assign(source=source)
        for source, values in sources.items()
    ]
    table = pd.concat(parts).join(printed["experiment"].rename("measured_gpu_s")).reset_index()
    table["deviation"] = table["simulated_s"] / table["measured_gpu_s"] - 1
    columns = ["source", *CELL, "simulated_s", "measured_gpu_s", "deviation"]
    return table.dropna(subset="deviation")[columns].reset_index(drop=True)


def gains_by_network(
    found: pd.DataFrame, published: pd.DataFrame, caption: Caption
) -> pd.DataFrame:
    """Gain per network of Table VI, mean over its cells, as printed and by variant of the delays.

    Returns
    -------
    DataFrame
        ``source``, ``setting``, ``gain`` (a share) with ``low`` and ``high``, missing where only a
        mean is printed.
    """
    method, baseline = caption.compared.method, caption.compared.baseline
    printed = printed_cells(published).query("table == 'table6'")
    rows: list[dict[str, Any]] = []
    for quantity, source in (("experiment", TEXTS["measured"]), ("simulator", TEXTS["published"])):
        place = ["setting", "rate_per_s", "output_tokens"]
        wide = printed.pivot(index=place, columns="method", values=quantity)
        gains = (1 - wide[method] / wide[baseline]).groupby(level="setting").mean()
        rows += [
            {"source": source, "setting": name, "gain": gain, "low": np.nan, "high": np.nan}
            for name, gain in gains.items()
        ]
    cells = as_printed(found, published).query("figure == 'table6'")
    for variant, label in caption.variants.items():
        own = cells[cells["allocation_delays"] == variant]
        for setting, means in own.groupby("topology"):
            wide = means.pivot(index=["x", "run"], columns="method", values="per_token_ms")
            ratios = np.array(
                [
                    paired_ratio(runs[method], runs[baseline], caption.confidence)
                    for _, runs in wide.dropna().groupby(level="x")
                ]
            )
            ratio, low, high = ratios.mean(axis=0)
            source = f"{TEXTS['found']}: {label.label[:1].lower()}{label.label[1:]}"
            gain = {"gain": 1 - ratio, "low": 1 - high, "high": 1 - low}
            rows.append({"source": source, "setting": setting, **gain})
    return pd.DataFrame(rows)


def draw_found(table: pd.DataFrame, caption: Caption) -> Figure:
    """Draw a `found_table`: a panel per setting, a place per cell."""
    settings = list(dict.fromkeys(table["setting"]))
    columns = min(3, len(settings))
    shown = {
        "published": "published_s",
        "found": "found_s",
        "stated": "stated_s",
        "measured": "measured_gpu_s",
    }
    error = (table["found_s"] / table["published_s"] - 1).abs()
    with style.applied():
        rows = -(-len(settings) // columns)
        figure = style.new_figure(style.TEXT_IN, 1.2 + 2.0 * rows)
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for axes in grid.flat[len(settings) :]:
            axes.set_axis_off()
        for axes, setting in zip(grid.flat, settings, strict=False):
            cells = table[table["setting"] == setting].reset_index(drop=True)
            ends = cells[["low", "high"]]
            axes.vlines(cells.index, ends["low"], ends["high"], color=LOOKS["found"]["color"])
            for name in ("measured", "published", "stated", "found"):
                axes.plot(cells.index, cells[shown[name]], linestyle="", **LOOKS[name])
            axes.set_title(caption.topology(setting), loc="left", fontweight="bold")
            names = [f"{row.rate_per_s:g}\n{row.output_tokens:g}" for row in cells.itertuples()]
            axes.set_xticks(cells.index, names, fontsize=6.5)
            axes.set_xlim(-0.7, len(cells) - 0.3)
            axes.grid(axis="x", visible=False)
            _separate(axes, cells["method"], caption)
        axes.set_ylim(0, 1.12 * float(np.nanmax(table[list(shown.values())])))  # of all panels
        for axes in grid[-1]:
            axes.set_xlabel("λ (requests/s)\noutput tokens")
        for axes in grid[:, 0]:
            axes.set_ylabel("Time per token (s)")
        handles = [Line2D([], [], linestyle="", label=TEXTS[name], **LOOKS[name]) for name in LOOKS]
        style.heading(figure, "Tables III and VI in both settings", handles)
        style.note(
            figure,
            f"With the allocation delays. In the settings found the {len(table)} printed simulator "
            f"cells are {100 * error.mean():.1f} % off in the mean,\n{100 * error.median():.1f} % "
            f"in the median and {100 * error.max():.0f} % at most. Bars: {caption.level} "
            "confidence intervals.",
        )
    return figure


def _separate(axes: Axes, methods: pd.Series, caption: Caption) -> None:
    """Name the methods above their cells, with a line between them."""
    for name in dict.fromkeys(methods):
        own = methods.index[methods == name]
        middle, top = (own[0] + own[-1]) / 2, axes.get_xaxis_transform()
        axes.text(middle, 0.99, caption.methods[name], transform=top, ha="center", va="top")
        if own[0] > 0:
            axes.axvline(own[0] - 0.5, color=style.REFERENCE_COLOR, linewidth=0.7, linestyle=":")


def draw_against_gpus(table: pd.DataFrame, caption: Caption) -> Figure:
    """Draw deviations from the GPUs: a row per source, a mark per cell."""
    sources = list(dict.fromkeys(table["source"]))
    looks = style.method_styles(dict.fromkeys(table["method"]))
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 1.2 + 0.42 * len(sources))
        axes: Axes = figure.subplots()
        labels = []
        for place, source in enumerate(sources):
            own = table[table["source"] == source]
            size = own["deviation"].abs()
            for shift, (method, look) in zip((-0.16, 0.16), looks.items(), strict=False):
                ratios = 1 + own.loc[own["method"] == method, "deviation"]
                hollow = {"linestyle": "", "markerfacecolor": "none"}
                axes.plot(ratios, [place + shift] * len(ratios), **look.line() | hollow)
            labels.append(f"{source}\nmedian {size.median():.0%}, largest {size.max():.0%}")
        axes.axvline(1, color="black", linewidth=0.9)
        axes.set_yticks(range(len(sources)), [text.replace("%", " %") for text in labels])
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xticks(RATIOS, [f"{ratio:g}" for ratio in RATIOS])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("Time per token, simulated over measured, log scale")
        handles = [
            Line2D([], [], label=caption.methods[name], **look.line() | hollow)
            for name, look in looks.items()
        ]
        style.heading(figure, "Every simulation of Tables III and VI against the GPUs", handles)
    return figure


def draw_trend(table: pd.DataFrame, caption: Caption) -> Figure:
    """Draw gains by network: a line per source."""
    sources = list(dict.fromkeys(table["source"]))
    settings = [name for name in caption.topologies if name in set(table["setting"])]
    colors = ("#009E73", "black", "#0072B2", "#D55E00", "#CC79A7", "#8C8C8C")
    with style.applied():
        figure = style.new_figure(style.TEXT_IN, 3.4)
        axes: Axes = figure.subplots()
        for rank, source in enumerate(sources):
            own = table[table["source"] == source].set_index("setting").reindex(settings)
            reach = [own["gain"] - own["low"], own["high"] - own["gain"]]
            axes.errorbar(
                np.arange(len(settings)) + 0.02 * rank, own["gain"], yerr=reach, capsize=2,
                marker="osvD^P"[rank % 6], color=colors[rank % 6], label=source,
            )  # fmt: skip
        axes.set_xticks(range(len(settings)), [caption.topology(name) for name in settings])
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_ylabel(f"Time per token saved\nagainst {caption.pair[1]}")
        handles = axes.get_legend_handles_labels()[0]
        style.heading(figure, "Table VI: does the gain grow with the network?", handles, columns=2)
    return figure


def plot_tables_found(
    sweep_parquets: Sequence[Path], study: StudyCaption, published_csv: Path, stem: Path
) -> list[Path]:
    """Make the three exhibits: ``<stem>``, ``<stem>_gpus`` and ``<stem>_trend``."""
    means = pd.concat([asked_means(path, study) for path in sweep_parquets], ignore_index=True)
    found, stated = means[means["figure"] == FOUND], means[means["figure"] != FOUND]
    published = published_results(published_csv)
    caption = study.sweeps[FOUND]
    table = found_table(found, stated, published, caption)
    deviations = against_gpus(found, stated, published, caption)
    gains = gains_by_network(found, published, caption)
    gpus, trend = (stem.with_name(f"{stem.name}_{part}") for part in ("gpus", "trend"))
    return [
        *style.save(draw_found(table, caption), table, stem),
        *style.save(draw_against_gpus(deviations, caption), deviations, gpus),
        *style.save(draw_trend(gains, caption), gains, trend),
    ]
