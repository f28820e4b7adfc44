"""The one style of every figure, and the one way to write it to disk.

A figure is drawn within `applied` and written by `save`, together with the numbers it shows.
Figures are made without pyplot, so nothing has to be closed and no display is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation, Transform
from numpy.typing import ArrayLike

from bprr.ground.storage import replacing

__all__ = [
    "DASHED",
    "DASH_DOTTED",
    "DOTTED",
    "REFERENCE_COLOR",
    "TEXT_IN",
    "MethodStyle",
    "applied",
    "dodged",
    "heading",
    "include",
    "log_axis",
    "method_styles",
    "new_figure",
    "note",
    "number_axis",
    "save",
]

TEXT_IN = 7.2  # width of the page's text
PNG_DPI = 200
MOST_LINEAR = 8.5  # ratio of the ends of an x axis above which it is logarithmic
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


def dodged(
    base: Transform, axes: Axes, names: Sequence[str], step_pt: float = 3.4, slope: float = 0.0
) -> dict[str, Transform]:
    """Transform of each name that moves its marks by points of the page, sideways or on a slope.

    What belongs to the same place then stays apart, and near enough to it to be read off a numeric
    axis; ``base`` is where the marks would stand otherwise. Axes do not see moved marks: `include`
    makes room for them.
    """
    inches = (np.arange(len(names)) - (len(names) - 1) / 2) * step_pt / 72
    scale = axes.figure.dpi_scale_trans
    moved = [ScaledTranslation(inch, slope * inch, scale) for inch in inches]
    return {name: base + move for name, move in zip(names, moved, strict=True)}


def include(axes: Axes, x: ArrayLike, *values: ArrayLike) -> None:
    """Let axes reach some values at places."""
    for y in values:
        axes.update_datalim(np.column_stack([x, y]))
    axes.autoscale_view()


def number_axis(axes: Axes, values: Iterable[float], label: str, width_in: float) -> None:
    """Make the x axis numeric with ticks at the values; log, and said to be, where they span much.

    Labels that would touch the one before are left out; ``width_in`` is about the panel's width
    (inches).
    """
    shown = sorted(set(values))
    log = shown[0] > 0 and shown[-1] / shown[0] > MOST_LINEAR
    low, high = shown[0], shown[-1]
    if log:
        axes.set_xscale("log")
        places = np.log(shown)
        room = (high / low) ** 0.08
        axes.set_xlim(low / room, high * room)
    else:
        places = np.array(shown, dtype=float)
        room = 0.08 * (high - low) or 0.5
        axes.set_xlim(low - room, high + room)
    per_unit = 72 * width_in / 1.16 / (np.ptp(places) or 1.0)
    texts, free = [], -np.inf
    for place, value in zip(places * per_unit, shown, strict=True):
        half = 2.4 * len(f"{value:g}")  # points, of a text of this size
        texts.append(f"{value:g}" if place - half > free else "")
        free = place + half + 2 if texts[-1] else free
    axes.set_xticks(shown, texts)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(f"{label}, log scale" if log and label else label)


def log_axis(axes: Axes, room_below: float = 0.0, which: Literal["x", "y"] = "y") -> None:
    """Make an axis logarithmic, with as many ticks in plain numbers as its span needs.

    Everything is on the axes already; ``room_below`` is the share of the axis to leave empty
    below, for marks at the foot.
    """
    axis = axes.yaxis if which == "y" else axes.xaxis
    axes.set(**{f"{which}scale": "log"})
    low, high = axis.get_view_interval()
    low *= (low / high) ** (room_below / (1 - room_below))
    axes.set(**{f"{which}lim": (low, high)})
    decades = np.log10(high / low)
    steps = (1, 2, 5) if decades < 2 else (1, 3) if decades < 4 else (1,)
    ticks = np.asarray(LogLocator(subs=steps).tick_values(low, high))
    if np.count_nonzero((ticks >= low) & (ticks <= high)) < 3:  # a span of less than a decade
        ticks = np.asarray(MaxNLocator(5).tick_values(low, high))
    shown = ticks[(ticks >= low) & (ticks <= high)].tolist()
    axis.set_major_locator(FixedLocator(shown))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


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
