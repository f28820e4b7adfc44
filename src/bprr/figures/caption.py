"""What exhibits say of a study: names, titles, delays and confidence, not how anything is run.

Figures, tables and the scorecard are drawn from tables of results and a caption, so that they
change with what they say and with nothing else of the configuration: what an exhibit does not show
may be left out of its caption. Names stand in the order in which they are shown.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from bprr.figures.made import Made
from bprr.ground.errors import InputError
from bprr.ground.files import read_json
from bprr.ground.schema import Strict
from bprr.settings.messages import validated

__all__ = [
    "METRIC_LABELS",
    "Caption",
    "Compared",
    "StudyCaption",
    "SweepCaption",
    "Variant",
    "read_caption",
]

# Metric: what its axis says, and what a value in ms is divided by for it.
METRIC_LABELS: dict[str, tuple[str, float]] = {
    "per_token_ms": ("Time per token (s)", 1000.0),
    "ttft_ms": ("Time to first token (s)", 1000.0),
    "remaining_per_token_ms": ("Time per remaining token (s)", 1000.0),
}


class Variant(Strict):
    """A variant of the allocation delays."""

    label: str
    delays_s: dict[str, tuple[float, float]] = Field(
        {}, description="of the compared methods: lowest and highest over the points"
    )


class Compared(Strict):
    """The pair that headline, tables and scorecard are about."""

    method: str
    baseline: str


class Caption(Strict):
    """What all exhibits share: names and how they are written."""

    confidence: float = math.nan
    compared: Compared
    methods: dict[str, str]
    topologies: dict[str, str]
    variants: dict[str, Variant] = {}

    @property
    def delayed(self) -> str | None:
        """First variant under which one of the compared methods pays a delay."""
        return next((name for name in self.variants if self._paid(name)), None)

    @property
    def undelayed(self) -> str | None:
        """First variant under which neither of them does."""
        return next((name for name in self.variants if not self._paid(name)), None)

    def _paid(self, variant: str) -> bool:
        return any(high for _, high in self.variants[variant].delays_s.values())

    @property
    def pair(self) -> tuple[str, str]:
        """Labels of the compared methods, the baseline last."""
        method, baseline = self.compared.method, self.compared.baseline
        return self.methods.get(method, method), self.methods.get(baseline, baseline)

    @property
    def level(self) -> str:
        """Level of the intervals, e.g. ``95 %``."""
        return f"{100 * self.confidence:g} %"

    def topology(self, name: object) -> str:
        """Label of a network or place; a name that nobody labelled stands for itself."""
        return self.topologies.get(str(name), str(name))

    def delays(self, variant: str) -> str:
        """A variant with the delays that the compared methods pay under it, where they do."""
        entry = self.variants[variant]
        parts = [
            f"{self.methods.get(name, name)} {low:g}{f'–{high:g}' if high > low else ''} s"
            for name, (low, high) in entry.delays_s.items()
        ]
        return f"{entry.label} ({', '.join(parts)})" if self._paid(variant) else entry.label

    def intervals(self, runs: float) -> str:
        """How many runs there are, and which intervals they allow: none at all if it is one."""
        if runs < 2:
            return "one run, without a confidence interval"
        return f"{runs:g} runs with {self.level} confidence intervals"


class SweepCaption(Caption):
    """What the exhibits of one sweep say."""

    name: str
    title: str = ""
    x_label: str = ""
    paper: str = Field("", description="what it is in the paper, e.g. Figure 7, if anything")
    details: str = Field("", description="what it runs on, for the report")
    changes: dict[str, list[tuple[str, Any]]] = Field(
        {}, description="by topology: what is changed at each point, x numbering them, and to what"
    )
    made: dict[str, Made] = Field({}, description="what the table of each network is made from")

    @property
    def heading(self) -> str:
        """Title, led by the paper's number where it has one."""
        return f"{self.paper} · {self.title}" if self.paper else self.title


class StudyCaption(Caption):
    """What the exhibits of several sweeps say."""

    seed: int = 0
    runs: int = 0
    sweeps: dict[str, SweepCaption]
    made: dict[str, Made] = Field(
        {}, description="what other tables are made from, by their path below the results folder"
    )

    @property
    def labels(self) -> dict[str, str]:
        """How every name is written: methods, networks, variants, and sweeps of the paper."""
        variants = {name: entry.label for name, entry in self.variants.items()}
        papers = {name: sweep.paper for name, sweep in self.sweeps.items() if sweep.paper}
        return self.methods | self.topologies | variants | papers

    def sweep_of(self, table: pd.DataFrame, where: object) -> SweepCaption:
        """Caption of the sweep that a table is of.

        Raises
        ------
        InputError
            If the table has a sweep, method or variant that this study has not, or several
            sweeps; ``where`` is the file it is from.
        """
        names = table["figure"].unique().tolist()
        if len(names) != 1 or names[0] not in self.sweeps:
            known = ", ".join(self.sweeps)
            raise InputError(where, "figure", ", ".join(names), f"one of the sweeps {known}")
        caption = self.sweeps[names[0]]
        for key, allowed in (("method", caption.methods), ("allocation_delays", caption.variants)):
            for name in table[key].unique():
                if name not in allowed:
                    raise InputError(where, key, name, ", ".join(allowed))
        return caption


def read_caption(path: Path) -> StudyCaption:
    """Caption of a study from JSON (`bprr.figures.from_settings.caption_slice` makes it).

    Raises
    ------
    InputError, InputErrors
        If the file cannot be read or is no caption.
    """
    content = read_json(path, "caption")
    if not isinstance(content, dict):
        raise InputError(path, "file", type(content).__name__, "the caption of a study")
    return validated(StudyCaption, content, path)
