"""The one style of every figure, and the one way to write it to disk.

A figure is drawn within `applied` and written by `save`, together with the numbers it shows.
Figures are made without pyplot, so nothing has to be closed and no display is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from bprr.ground.storage import replacing

__all__ = [
    "COLUMN_IN",
    "REFERENCE_COLOR",
    "TEXT_IN",
    "MethodStyle",
    "applied",
    "category_axis",
    "heading",
    "log_axis",
    "method_styles",
    "new_figure",
    "note",
    "save",
]

COLUMN_IN = 3.5  # width of one column of a two-column page (inches)
TEXT_IN = 7.2  # width of the page's text
PNG_DPI = 200
REFERENCE_COLOR = "#5A5A5A"  # reference lines and secondary text

RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "figure.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "figure.dpi": 100,
    "savefig.dpi": PNG_DPI,
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,  # embedded TrueType: searchable text, accepted by publishers
    "svg.hashsalt": "bprr",
}


@dataclass(frozen=True)
class MethodStyle:
    """How one method looks in every figure: never told by colour alone; no marker: a reference."""

    color: str
    marker: str
    linestyle: str | tuple[int, tuple[float, ...]] = "-"
    filled: bool = True

    def line(self) -> dict[str, Any]:
        """Keyword arguments of ``Axes.plot`` and ``Axes.errorbar``."""
        face = self.color if self.filled else "white"
        return {
            "color": self.color,
            "marker": self.marker,
            "linestyle": self.linestyle,
            "markerfacecolor": face,
            "markeredgecolor": self.color,
        }


DOTTED = (0, (1.2, 1.2))
DASHED = (0, (4.0, 1.6))
DASH_DOTTED = (0, (4.0, 1.4, 1.0, 1.4))

# Colours of Okabe and Ito (2008), chosen by them to stay apart under colour vision deficiencies.
FIXED = {
    "petals": MethodStyle("#D55E00", "o"),
    "optimized_order": MethodStyle("#E69F00", "^", DASHED),
    "optimized_number": MethodStyle("#009E73", "s", DASH_DOTTED),
    "optimized_number_corrected": MethodStyle("#009E73", "s", DOTTED, filled=False),
    "optimized_rr": MethodStyle("#CC79A7", "D", DASHED),
    "proposed": MethodStyle("#0072B2", "v"),
    "proposed_exact": MethodStyle("#56B4E9", "v", DOTTED, filled=False),
    # Without a marker: references without distribution, which no point of a sweep changes much.
    "offloading": MethodStyle("#000000", "", DASHED),
    "offloading_ssd": MethodStyle("#7F7F7F", "", DOTTED),
}

# For methods that somebody adds, in the order in which a figure names them.
SPARE = (
    MethodStyle("#882255", "P"),
    MethodStyle("#332288", "X", DASHED),
    MethodStyle("#999933", "<", DASH_DOTTED),
    MethodStyle("#44AA99", ">", DOTTED),
    MethodStyle("#661100", "p"),
    MethodStyle("#6699CC", "h", DASHED),
)


def method_styles(methods: Iterable[str]) -> dict[str, MethodStyle]:
    """Style of each method: of the paper's the same in every figure, of others a spare in turn."""
    styles: dict[str, MethodStyle] = {}
    spares = 0
    for name in methods:
        if name in FIXED:
            styles[name] = FIXED[name]
        elif name not in styles:
            styles[name] = SPARE[spares % len(SPARE)]
            spares += 1
    return styles


@contextmanager
def applied() -> Iterator[None]:
    """Context within which figures are drawn in the style, whatever a user's matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)  # type: ignore[arg-type]  # a type of 300 literal keys
        yield


def new_figure(width_in: float, height_in: float) -> Figure:
    """Empty figure (inches) whose parts make room for each other."""
    return Figure(figsize=(width_in, height_in), layout="constrained")


def category_axis(axes: Axes, values: Iterable[float]) -> dict[float, int]:
    """Place values at equal distances along the x axis; position of each.

    Sweeps whose values span decades, or lie close together, are legible only so; the ticks say
    the values, and the axis is never to be read as linear.
    """
    position = {value: index for index, value in enumerate(sorted(set(values)))}
    axes.set_xticks(list(position.values()), [f"{value:g}" for value in position])
    axes.set_xlim(-0.5, len(position) - 0.5)
    axes.grid(axis="x", visible=False)
    return position


def log_axis(axes: Axes, room_below: float = 0.0) -> None:
    """Make the y axis logarithmic, with as many ticks in plain numbers as its span needs.

    Everything is on the axes already; ``room_below`` is the share of the height to leave empty
    below, for marks at the foot.
    """
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    low *= (low / high) ** (room_below / (1 - room_below))
    axes.set_ylim(low, high)
    decades = np.log10(high / low)
    steps = (1, 2, 5) if decades < 2 else (1, 3) if decades < 4 else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=steps))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def heading(figure: Figure, title: str, handles: Sequence[Artist] = (), columns: int = 4) -> None:
    """Title above everything, with the legend of all panels below it."""
    figure.legend(
        handles=handles,
        title=title,
        loc="outside upper left",
        alignment="left",
        ncols=columns,
        columnspacing=1.2,
        title_fontproperties={"weight": "bold", "size": 10},
    )


def note(figure: Figure, text: str) -> None:
    """Write what the figure shows, and under which conditions, at its foot."""
    figure.supxlabel(
        text, fontsize=6.8, color=REFERENCE_COLOR, x=0.01, ha="left", multialignment="left"
    )


def save(figure: Figure, table: pd.DataFrame, stem: Path) -> list[Path]:
    """Write the plotted numbers as CSV, the figure as PDF and PNG, at a path without suffix.

    The same figure gives the same bytes: no dates, no versions.
    """
    undated = {"CreationDate": None, "Creator": None, "Producer": None}
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("csv", "pdf", "png")]
    csv, pdf, png = paths
    with replacing(csv) as unfinished:
        table.to_csv(unfinished, index=False, float_format="%.9g", lineterminator="\n")
    with applied(), replacing(pdf) as unfinished:
        figure.savefig(unfinished, format="pdf", backend="pdf", metadata=undated)
    figure.set_layout_engine("none")  # laid out: both pictures look the same
    with applied(), replacing(png) as unfinished:
        undated = {"Software": None}
        figure.savefig(unfinished, format="png", backend="agg", dpi=PNG_DPI, metadata=undated)
    return paths
