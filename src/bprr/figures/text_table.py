"""A table of texts, as Markdown and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bprr.figures import style
from bprr.ground.storage import replacing

__all__ = ["TextTable"]

LINE_IN = 0.165  # height of a line of the picture (inches)
SHADE = "#EEF3F8"


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are texts.

    The first ``leading`` columns name a row and are left-aligned; the picture leaves them empty
    where they are as above. Widths of columns are relative; ``emphasized`` rows are shaded.
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

    def draw(self, width_in: float = style.TEXT_IN) -> Figure:
        """The table as a picture."""
        head_lines = max(text.count("\n") + 1 for text in self.header)
        note_lines = self.note.count("\n") + 1 if self.note else 0
        lines = 2.2 + head_lines + len(self.rows) + 1.0 + 0.85 * note_lines
        with style.applied():
            figure = Figure(figsize=(width_in, lines * LINE_IN))
            axes = figure.add_axes((0.015, 0, 0.97, 1))
            axes.set(xlim=(0, sum(self.widths)), ylim=(lines, 0))
            axes.set_axis_off()
            axes.text(0, 0.9, self.title, fontsize=10, fontweight="bold", va="center")
            top = 1.9
            first = top + head_lines + 0.2
            for column, text in enumerate(self.header):
                self._cell(axes, column, first - 0.2 - head_lines / 2, text, fontweight="bold")
            for index, row in enumerate(self.rows):
                y = first + index + 0.5
                if index in self.emphasized:
                    start = sum(self.widths[: self.leading - 1])
                    axes.axhspan(
                        y - 0.5, y + 0.5, start / sum(self.widths), 1, color=SHADE, linewidth=0
                    )
                for column, text in enumerate(row):
                    repeated = column < self.leading - 1 and self._as_above(index, column)
                    if not repeated:
                        weight = "bold" if column == 0 else "normal"
                        self._cell(axes, column, y, text, fontweight=weight)
            self._rules(axes, top, first)
            axes.text(
                0, first + len(self.rows) + 0.6, self.note, fontsize=6.8, va="top",
                color=style.REFERENCE_COLOR, linespacing=1.35,
            )  # fmt: skip
        return figure

    def _as_above(self, index: int, column: int) -> bool:
        same = slice(column + 1)
        return index > 0 and list(self.rows[index][same]) == list(self.rows[index - 1][same])

    def _cell(self, axes: Axes, column: int, y: float, text: str, **font: Any) -> None:
        left = column < self.leading
        x = sum(self.widths[:column]) if left else sum(self.widths[: column + 1])
        axes.text(x, y, text, fontsize=7.5, va="center", ha="left" if left else "right", **font)

    def _rules(self, axes: Axes, top: float, first: float) -> None:
        """Rules around the header and the table, finer ones where a leading cell changes."""
        width = sum(self.widths)
        for y in (top, first, first + len(self.rows)):
            axes.plot((0, width), (y, y), color="black", linewidth=0.8)
        for index in range(1, len(self.rows)):
            changed = [c for c in range(self.leading - 1) if not self._as_above(index, c)]
            if changed:
                start = sum(self.widths[: changed[0]])
                finer = 0.35 if changed[0] else 0.7
                y = first + index
                axes.plot((start, width), (y, y), color="#999999", linewidth=finer)

    def save(self, numbers: pd.DataFrame, stem: Path) -> list[Path]:
        """Write PDF, PNG, Markdown, and the numbers behind the texts as CSV."""
        paths = style.save(self.draw(), numbers, stem)
        markdown = stem.with_name(f"{stem.name}.md")
        with replacing(markdown) as unfinished:
            unfinished.write_text(self.markdown(), encoding="utf-8")
        return [*paths, markdown]
