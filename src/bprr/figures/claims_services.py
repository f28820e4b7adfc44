"""Claims of the paper by how servers compute: which hold under which model, and with what value."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bprr.figures.caption import StudyCaption
from bprr.figures.served import family
from bprr.figures.text_table import TextTable
from bprr.ground.results import BY_SERVICE
from bprr.ground.tables import read_csv

__all__ = ["claims_services", "plot_claims_services"]

NOT_RUN = "not run"
FAMILIES = {
    "independent": "independent",
    "serial, fifo": "serial,\nfirst in, first out",
    "serial, oldest": "serial,\noldest first",
    "batched": "batched",
}
SCALES = {"share": (100.0, " %"), "points": (1.0, ""), "": (1.0, "")}


def claims_services(table: pd.DataFrame, study: StudyCaption) -> TextTable:
    """A row per claim and variant of the delays, a column per family of models.

    ``table`` is that of `bprr.report.by_service.claims_by_service`.
    """
    of = [family(*each) for each in zip(table["service"], table["order"], strict=True)]
    kinds = table.assign(family=of)
    names = [name for name in FAMILIES if name in set(kinds["family"])] or list(FAMILIES)
    rows = []
    for _, claim in kinds.groupby("id", sort=False):
        statement, unit = claim[["statement", "unit"]].iloc[0]
        if (claim["holds"] == NOT_RUN).all():
            rows.append([statement, "", *[NOT_RUN] * len(names)])
            continue
        for variant, own in claim.groupby("delays", sort=False):
            label = study.variants[str(variant)].label if variant in study.variants else variant
            cells = (
                _cell(own[own["family"] == name], SCALES.get(unit, (1.0, ""))) for name in names
            )
            rows.append([statement, label, *cells])
    return TextTable(
        title="Claims of the paper by how servers compute",
        header=["Claim", "Delays", *(FAMILIES[name] for name in names)],
        rows=rows,
        leading=2,
        widths=[4.2, 1.7, *[1.5] * len(names)],
        note="Under how many models a claim holds, and its lowest and highest value. Models of a "
        "family differ in what routing\nbelieves of an overdue session and, if batched, in how a "
        "step grows. The same queue for all. Bursts as short as\nthe paper’s: they overload "
        "servers with queues at most points.",
    )


def _cell(own: pd.DataFrame, scale: tuple[float, str]) -> str:
    if own.empty:
        return "–"
    factor, unit = scale
    held = f"{(own['holds'] == 'yes').sum()} of {len(own)}"
    low, high = (f"{factor * value:.3g}" for value in (own["ours"].min(), own["ours"].max()))
    return f"{held}: {low}{unit}" if low == high else f"{held}: {low} to {high}{unit}"


def plot_claims_services(claims_csv: Path, study: StudyCaption, stem: Path) -> list[Path]:
    """Make the table: CSV, PDF, PNG and Markdown."""
    table = read_csv(claims_csv, BY_SERVICE).fillna({"service": "", "order": "", "unit": ""})
    return claims_services(table, study).save(table, stem)
