"""The rate at a service-level objective: the highest simulated load that still meets a limit."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd

from bprr.figures.caption import StudyCaption
from bprr.figures.text_table import TextTable

__all__ = ["LIMITS", "Limit", "beyond_slo", "slo_table"]


class Limit(NamedTuple):
    """A column of `bprr.figures.beyond.beyond_rows` and the most that it may be."""

    column: str
    label: str
    most_ms: float


LIMITS = (Limit("per_token_ms", "mean", 1000.0), Limit("p99_ms", "p99", 2000.0))


def beyond_slo(table: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Highest rate at which a method is stable and within each limit, of those simulated.

    Parameters
    ----------
    table : DataFrame
        Rows of `bprr.figures.beyond.beyond_rows`.
    baseline : str
        Method to which rates are compared.

    Returns
    -------
    DataFrame
        ``topology``, ``service``, ``method``, ``limit``, ``most_ms``, ``rate_per_s`` and ``load``
        (missing where no load meets it), ``highest`` (whether no higher load was simulated, so that
        more may be borne) and ``ratio_to_petals`` (missing where both rates are the highest).
    """
    rows = []
    for (service, topology), place in table.groupby(["service", "topology"], sort=False):
        for limit in LIMITS:
            met = place[(place["regime"] == "stable") & (place[limit.column] <= limit.most_ms)]
            rates = met.groupby("method")["rate_per_s"].max()
            loads = met.groupby("method")["load"].max()
            highest = place["rate_per_s"].max()
            base = rates.get(baseline, math.nan)
            for method in place["method"].unique():
                rate_per_s = rates.get(method, math.nan)
                unknown = rate_per_s == base == highest
                rows.append(
                    {
                        "topology": topology,
                        "service": service,
                        "method": method,
                        "limit": limit.label,
                        "most_ms": limit.most_ms,
                        "rate_per_s": rate_per_s,
                        "load": loads.get(method, math.nan),
                        "highest": rate_per_s == highest,
                        "ratio_to_petals": math.nan if unknown else rate_per_s / base,
                    }
                )
    return pd.DataFrame(rows)


def slo_table(found: pd.DataFrame, caption: StudyCaption) -> TextTable:
    """A row per service and method, a column per network and limit."""
    baseline = caption.compared.baseline
    places = list(dict.fromkeys(found["topology"]))
    keys = ["service", "method", "topology", "limit"]
    cells = {key: _cell(own.iloc[0], baseline) for key, own in found.groupby(keys)}
    rows = [
        [
            str(service).capitalize(),
            caption.methods.get(method, method),
            *(
                cells.get((service, method, place, limit.label), "–")
                for place in places
                for limit in LIMITS
            ),
        ]
        for service, method in found[keys[:2]].drop_duplicates().itertuples(index=False)
    ]
    limits = [f"{limit.label} ≤ {limit.most_ms / 1000:g} s" for limit in LIMITS]
    label = caption.methods.get(baseline, baseline)
    return TextTable(
        title=f"Sessions per second within a limit (over those of {label})",
        header=[
            "Servers",
            "Method",
            *(f"{caption.topology(place)}\n{text}" for place in places for text in limits),
        ],
        rows=rows,
        leading=2,
        widths=[1.0, 2.0, *[1.1] * (len(places) * len(LIMITS))],
        note=f"The highest rate of those simulated that is stable with a time per token of "
        f"{' or '.join(limits)} (mean over draws);\nwhat a method bears lies between it and the "
        f"next one simulated. ≥: none higher was simulated. A ratio is left out\nwhere {label} "
        "meets the limit at no rate, or both methods do at the highest.",
    )


def _cell(row: pd.Series, baseline: str) -> str:
    if math.isnan(row["rate_per_s"]):
        return "none"
    rate = f"{'≥ ' if row['highest'] else ''}{row['rate_per_s']:.3g}"
    ratio = row["ratio_to_petals"]
    return rate if math.isnan(ratio) or row["method"] == baseline else f"{rate} ({ratio:.2g}×)"
