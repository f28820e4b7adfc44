"""Tables III and VI against the GPUs with servers that have queues, beside all else simulated.

What was measured is told by lines a + b·l, time per request against its output tokens. How many
requests there were nobody says; every simulation stands with the number that fits it best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bprr.figures import style
from bprr.figures.caption import StudyCaption
from bprr.figures.cells import CELL, as_cells, own_cells, printed_cells
from bprr.figures.means import asked_means, asked_requests
from bprr.figures.published import published_results
from bprr.figures.regimes import with_regimes
from bprr.figures.served import INDEPENDENT, ServiceModel, by_model
from bprr.figures.service_answer import model_label
from bprr.figures.tables_found import FOUND, against_gpus, draw_against_gpus
from bprr.figures.text_table import TextTable

__all__ = [
    "FOUND_REQUESTS",
    "SERVED",
    "best_counts",
    "lines_of_time",
    "lines_table",
    "plot_tables_queues",
    "served_against_gpus",
]

SERVED = "tables_queues"  # the sweep that changes how servers compute, and how many requests come
FOUND_REQUESTS = 50  # in the settings found (docs/discrepancies.md#d3)
MEASURED = "measured on GPUs"


def served_against_gpus(
    served: Mapping[ServiceModel, pd.DataFrame], published: pd.DataFrame, study: StudyCaption
) -> pd.DataFrame:
    """Every cell by model, variant of the delays and number of requests, as `against_gpus` has it.

    Beside its columns ``service``, ``order``, ``belief``, ``delays``, ``requests``, ``regime`` and
    ``bound`` (`with_regimes`).
    """
    measured = printed_cells(published).set_index(CELL)["experiment"].rename("measured_gpu_s")
    parts = []
    for model, means in served.items():
        for variant in dict.fromkeys(means["allocation_delays"]):
            for count, rows in means.groupby("requests"):
                ours = own_cells(rows, published, variant, study.confidence)["value"]
                cells = as_cells(rows, published, variant).groupby(CELL)
                servers, _, belief = model_label((*model, variant), study).partition("\n")
                if model.service != INDEPENDENT:
                    servers = f"{servers}, {belief.partition(': ')[2]}"
                regimes = cells[["regime", "bound"]].first()
                known = ours.rename("simulated_s").to_frame().join([measured, regimes])
                parts.append(
                    known.reset_index().assign(
                        source=f"{servers}; delays: {variant}; {count:g} requests",
                        **model._asdict(), delays=variant, requests=count,
                    )
                )  # fmt: skip
    table = pd.concat(parts, ignore_index=True)
    table["deviation"] = table["simulated_s"] / table["measured_gpu_s"] - 1
    return table.dropna(subset="deviation").reset_index(drop=True)


def best_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the number of requests with the least median deviation, by model and variant."""
    key = ["service", "order", "belief", "delays"]
    size = table.assign(size=table["deviation"].abs()).groupby([*key, "requests"])["size"].median()
    best = size.groupby(level=key).idxmin()
    return table[table.set_index([*key, "requests"]).index.isin(best)]


def lines_of_time(table: pd.DataFrame, column: str = "simulated_s") -> pd.DataFrame:
    """Lines a + b·l through the times per request of cells, by source, place and method.

    Table III is one place, every network of Table VI another.

    Returns
    -------
    DataFrame
        ``source``, ``place``, ``method``, ``start_s`` (a) and ``per_token_s`` (b).
    """
    rows = []
    place = table["setting"].where(table["table"] == "table6", "Table III")
    for (source, where, method), cells in table.groupby(["source", place, "method"], sort=False):
        tokens = cells["output_tokens"].to_numpy(dtype=float)
        slope, start = (
            np.polyfit(tokens, cells[column].to_numpy() * tokens, 1)
            if np.unique(tokens).size > 1
            else (np.nan, np.nan)
        )
        line = {"start_s": float(start), "per_token_s": float(slope)}
        rows.append({"source": source, "place": where, "method": method, **line})
    return pd.DataFrame(rows)


def lines_table(table: pd.DataFrame, study: StudyCaption) -> tuple[TextTable, pd.DataFrame]:
    """Lines of the GPUs and of every source, as texts and as numbers."""
    own = table.drop_duplicates(CELL).assign(source=MEASURED)
    lines = pd.concat([lines_of_time(own, "measured_gpu_s"), lines_of_time(table)])
    size = table["deviation"].abs().groupby(table["source"]).median()
    places = list(dict.fromkeys(lines["place"]))
    methods = [study.compared.baseline, study.compared.method]
    texts = {
        (row.source, row.place, row.method): f"{row.start_s:.0f} + {row.per_token_s:.2f} l"
        for row in lines.itertuples()
    }
    rows = [
        [
            source,
            *(texts.get((source, where, method), "–") for where in places for method in methods),
            f"{100 * size[source]:.0f} %" if source in size else "–",
        ]
        for source in dict.fromkeys(lines["source"])
    ]
    names = [
        f"{study.topology(where)}\n{study.methods.get(method, method)}"
        for where in places
        for method in methods
    ]
    text = TextTable(
        title="Time of a request with l output tokens, a + b·l (s)",
        header=["Source", *names, "median\ndeviation"],
        rows=rows,
        leading=1,
        widths=[4.0, *[1.2] * len(names), 0.9],
        emphasized=[0],
        note="Lines through the cells of Tables III and VI. How many requests came is not known: "
        "each simulation\nhas that of 20, 50 and 100 which comes nearest. A line that is near"
        " says that it may be so, not that it is.",
    )
    return text, lines.merge(size.rename("median_deviation"), on="source", how="left")


def plot_tables_queues(
    sweep_parquets: Sequence[Path], study: StudyCaption, published_csv: Path, stem: Path
) -> list[Path]:
    """Make the figure from the requests of all sweeps of the tables, and ``<stem>_lines``."""
    each = {path: asked_means(path, study) for path in sweep_parquets}
    means = pd.concat(each.values(), ignore_index=True)
    found, stated = means[means["figure"] == FOUND], means[~means["figure"].isin([FOUND, SERVED])]
    published, served = published_results(published_csv), dict[ServiceModel, list[pd.DataFrame]]()
    for path, rows in each.items():
        if rows["figure"].iloc[0] != SERVED:
            continue
        points = with_regimes(rows, asked_requests(path, study))
        for model, runs in by_model(points, study.sweeps[SERVED]).items():
            served.setdefault(model, []).append(runs)
    joined = {model: pd.concat(parts, ignore_index=True) for model, parts in served.items()}
    simulated = against_gpus(found, stated, published, study.sweeps[FOUND])
    all_counts = served_against_gpus(joined, published, study)
    table = pd.concat([simulated, all_counts], ignore_index=True)
    best = pd.concat([simulated, best_counts(all_counts)], ignore_index=True)
    shown = best[best["delays"].isna() | (best["delays"] == study.undelayed)]
    text, lines = lines_table(best, study)
    return [
        *style.save(draw_against_gpus(shown, study.sweeps[FOUND]), table, stem),
        *text.save(lines, stem.with_name(f"{stem.name}_lines")),
    ]
