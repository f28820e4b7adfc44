"""A figure in words: all that it shows and where, so that a change of it can be read.

Positions of panels are left to the layout, whose texts are as wide as a version of Matplotlib makes
them; within its panel everything has its place, colour and size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import Collection, LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Annotation, Text

__all__ = ["told"]


def told(figure: Figure) -> Iterator[str]:
    """Lines of text."""
    width, height = figure.get_size_inches()
    yield f"{width:.4g} × {height:.4g} inches"
    for legend in figure.legends:
        yield from _legend(legend)
    if figure.get_supxlabel():
        yield from _words("note", figure._supxlabel)
    for number, axes in enumerate(figure.axes):
        yield f"panel {number}"
        yield from (f"  {line}" for line in _panel(axes))


def _legend(legend: Legend) -> Iterator[str]:
    yield f"legend in {legend._ncols} columns, spaced {_numbers([legend.columnspacing])}"
    yield from _words("  title", legend.get_title())
    for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
        yield f"  {_look(handle)}: {text.get_text()!r}"


def _panel(axes: Axes) -> Iterator[str]:
    if not axes.axison:
        yield "without axes"
    for place in ("left", "center", "right"):
        if axes.get_title(loc=place):
            title = {"left": axes._left_title, "center": axes.title, "right": axes._right_title}
            yield from _words(f"title {place}", title[place])
    for name, axis, limits in (
        ("x", axes.xaxis, axes.get_xlim()),
        ("y", axes.yaxis, axes.get_ylim()),
    ):
        yield f"{name} {axis.get_scale()} from {_numbers(limits)}: {axis.get_label_text()!r}"
        if axes.axison:
            yield from _ticks(axis)
    order = [*axes.lines, *axes.patches, *axes.collections, *axes.texts]
    for artist in order:
        if isinstance(artist, Text):
            yield from _words("text", artist)
        else:
            yield f"{_look(artist)} at {_place(artist, axes)}"
    if axes.get_legend():
        yield from _legend(axes.get_legend())


def _ticks(axis: Axis) -> Iterator[str]:
    texts = [text.get_text() for text in axis.get_ticklabels()]
    places = axis.get_majorticklocs()
    grid = "" if axis._major_tick_kw.get("gridOn", True) else ", no grid"
    first = axis.get_ticklabels()[0] if texts else Text()
    turned = f" turned {first.get_rotation():g}" if first.get_rotation() else ""
    length = axis._major_tick_kw.get("size")
    yield (
        f"  ticks {_numbers(places)} {texts} of {first.get_fontsize():g} pt{turned}"
        f"{grid}{'' if length is None else f', {length:g} pt long'},"
        f" {len(axis.get_minorticklocs())} smaller"
    )


def _words(kind: str, text: Text) -> Iterator[str]:
    about = [
        f"{text.get_fontsize():g} pt", str(text.get_fontweight()), to_hex(text.get_color()),
        text.get_ha(), text.get_va(), f"at {_numbers(getattr(text, 'xy', text.get_position()))}",
    ]  # fmt: skip
    about += [f"moved {_numbers(text.xyann)}"] if isinstance(text, Annotation) else []
    about += [f"turned {text.get_rotation():g}"] if text.get_rotation() else []
    about += [f"leading {text._linespacing}"] if text._linespacing != Text()._linespacing else []
    yield f"{kind} {', '.join(about)}"
    yield from (f"  | {line}" for line in text.get_text().split("\n"))


def _look(artist: Artist) -> str:
    match artist:
        case Line2D():
            face = _colour(artist.get_markerfacecolor())
            edge = _colour(artist.get_markeredgecolor())
            mark = (
                f"{artist.get_marker()} of {artist.get_markersize():g} pt, {face} in {edge},"
                f" {artist.get_markeredgewidth():g} pt"
            )
            unmarked = artist.get_marker() in ("", "None", None)
            line = (
                f"{artist.get_linewidth():g} pt {_dashes(artist)} {artist.get_drawstyle()}"
                if artist.get_linestyle() not in ("", "None")
                else "no line"
            )
            kind = f"line {_colour(artist.get_color())}, {line}, {'no marks' if unmarked else mark}"
        case Patch():
            kind = (
                f"patch {_colour(artist.get_facecolor())} in {_colour(artist.get_edgecolor())},"
                f" {artist.get_linewidth():g} pt, hatch {artist.get_hatch()!r}"
            )
        case Collection():
            colours = [*artist.get_edgecolor(), *artist.get_facecolor()]
            kind = f"{type(artist).__name__} {[*dict.fromkeys(map(_colour, colours))]}"
            kind += f", {_numbers(artist.get_linewidth())} pt"
        case _:
            kind = type(artist).__name__
    more = [f"alpha {artist.get_alpha():g}"] if artist.get_alpha() is not None else []
    more += [] if artist.get_clip_on() else ["over the edge"]
    return ", ".join([kind, *more, f"order {artist.get_zorder():g}"])


def _place(artist: Artist, axes: Axes) -> str:
    match artist:
        case Line2D():
            points = np.column_stack(artist.get_data(orig=False)).astype(float)
            text = _points(points)
            if len(points) and artist.get_transform() != axes.transData:
                # On the page, where not in data: beside its place, or at the foot of the panel.
                shown = artist.get_transform().transform(points) - axes.transAxes.transform((0, 0))
                text += f", on the page at {_points(shown * 72 / axes.figure.dpi)}"
            return text
        case LineCollection():
            return " and ".join(_points(segment) for segment in artist.get_segments())
        case Patch():
            bounds = artist.get_path().transformed(artist.get_patch_transform()).get_extents()
            return _points(bounds.get_points())
        case Collection():
            sizes = artist.get_sizes() if hasattr(artist, "get_sizes") else []
            outline = [_points(path.vertices) for path in artist.get_paths()]
            return f"{_points(artist.get_offsets())} of {_numbers(sizes)}, {outline}"
    return ""


def _dashes(line: Line2D) -> str:
    offset, dashes = line._unscaled_dash_pattern
    return "solid" if dashes is None else f"dashed {_numbers([offset, *dashes])}"


def _colour(colour: Any) -> str:
    return "none" if isinstance(colour, str) and colour == "none" else to_hex(colour, True)


def _points(points: Any) -> str:
    return " ".join(f"({_numbers(point)})" for point in np.asarray(points, dtype=float))


def _numbers(values: Iterable[float]) -> str:
    # Nothing is read off a figure more exactly, and sums may round differently elsewhere.
    return ", ".join(f"{float(value) + 0.0:.4g}" for value in np.ravel(list(values)))
