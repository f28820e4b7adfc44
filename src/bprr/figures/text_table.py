"""A table of texts, as Markdown and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from bprr.figures import style
from bprr.ground.storage import replacing

__all__ = ["TextTable"]

LINE_IN = 0.165  # height of a line of the picture (inches)
GAP_IN = 0.08  # between a text and the next column
SIZE_PT = 7.5
SHARE = 0.97  # of the picture that is table
SHADE = "#EEF3F8"


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are texts.

    The first ``leading`` columns name a row and are left-aligned; the picture leaves them empty
    where they are as above. Widths of columns are relative, and a column is wider where its texts
    need it; ``emphasized`` rows are shaded.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    leading: int
    widths: Sequence[float]
    emphasized: Sequence[int] = ()
    note: str = ""

    def markdown(self) -> str:
        """The table as GitHub-flavoured Markdown, with its title and note."""
        ruler = ["---"] * self.leading + ["---:"] * (len(self.header) - self.leading)
        header = [text.replace("\n", " ") for text in self.header]
        lines = ["| " + " | ".join(cells) + " |" for cells in (header, ruler, *self.rows)]
        return f"**{self.title}**\n\n" + "\n".join(lines) + f"\n\n{self.note}\n"

    def draw(self) -> Figure:
        """The table as a picture."""
        head_lines = max(text.count("\n") + 1 for text in self.header)
        note_lines = self.note.count("\n") + 1 if self.note else 0
        lines = 2.2 + head_lines + len(self.rows) + 1.0 + 0.85 * note_lines
        with style.applied():
            ends = np.cumsum([0, *self._column_widths()])
            figure = Figure(figsize=(ends[-1] / SHARE, lines * LINE_IN))
            axes = figure.add_axes((0.015, 0, SHARE, 1))
            axes.set(xlim=(0, ends[-1]), ylim=(lines, 0))
            axes.set_axis_off()
            axes.text(0, 0.9, self.title, fontsize=10, fontweight="bold", va="center")
            top = 1.9
            first = top + head_lines + 0.2
            for column, text in enumerate(self.header):
                middle = first - 0.2 - head_lines / 2
                self._cell(axes, ends, column, middle, text, fontweight="bold")
            for index, row in enumerate(self.rows):
                y = first + index + 0.5
                if index in self.emphasized:
                    start = ends[self.leading - 1] / ends[-1]
                    axes.axhspan(y - 0.5, y + 0.5, start, 1, color=SHADE, linewidth=0)
                for column, text in enumerate(row):
                    repeated = column < self.leading - 1 and self._as_above(index, column)
                    if not repeated:
                        weight = "bold" if column == 0 else "normal"
                        self._cell(axes, ends, column, y, text, fontweight=weight)
            self._rules(axes, ends, top, first)
            axes.text(
                0, first + len(self.rows) + 0.6, self.note, fontsize=6.8, va="top",
                color=style.REFERENCE_COLOR, linespacing=1.35,
            )  # fmt: skip
        return figure

    def _as_above(self, index: int, column: int) -> bool:
        same = slice(column + 1)
        return index > 0 and list(self.rows[index][same]) == list(self.rows[index - 1][same])

    def _column_widths(self) -> list[float]:
        """Widths of the columns (inches)."""
        font = FontProperties(size=SIZE_PT, weight="bold")
        given = style.TEXT_IN * SHARE / sum(self.widths)
        return [
            max(
                width * given,
                *(
                    text_to_path.get_text_width_height_descent(line, font, False)[0] / 72 + GAP_IN
                    for cell in texts
                    for line in cell.split("\n")
                ),
            )
            for width, texts in zip(
                self.widths, zip(self.header, *self.rows, strict=True), strict=True
            )
        ]

    def _cell(
        self, axes: Axes, ends: np.ndarray, column: int, y: float, text: str, **font: Any
    ) -> None:
        left = column < self.leading
        x = ends[column] if left else ends[column + 1]
        axes.text(x, y, text, fontsize=SIZE_PT, va="center", ha="left" if left else "right", **font)

    def _rules(self, axes: Axes, ends: np.ndarray, top: float, first: float) -> None:
        """Rules around the header and the table, finer ones where a leading cell changes."""
        for y in (top, first, first + len(self.rows)):
            axes.plot((0, ends[-1]), (y, y), color="black", linewidth=0.8)
        for index in range(1, len(self.rows)):
            changed = [c for c in range(self.leading - 1) if not self._as_above(index, c)]
            if changed:
                finer = 0.35 if changed[0] else 0.7
                y = first + index
                axes.plot((ends[changed[0]], ends[-1]), (y, y), color="#999999", linewidth=finer)

    def save(self, numbers: pd.DataFrame, stem: Path) -> list[Path]:
        """Write PDF, PNG, Markdown, and the numbers behind the texts as CSV."""
        paths = style.save(self.draw(), numbers, stem)
        markdown = stem.with_name(f"{stem.name}.md")
        with replacing(markdown) as unfinished:
            unfinished.write_text(self.markdown(), encoding="utf-8")
        return [*paths, markdown]
