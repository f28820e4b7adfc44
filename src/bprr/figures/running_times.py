"""Table VIII: running time of the algorithms, published beside ours."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bprr.figures.caption import Caption, StudyCaption
from bprr.figures.made import check_made
from bprr.figures.published import published_results
from bprr.figures.text_table import TextTable
from bprr.ground.results import RUNNING_TIMES
from bprr.ground.tables import read_table

__all__ = ["render_running_times", "running_times_layout", "running_times_table"]

PATH = "timing/table8.parquet"  # below the results folder
TIMES = ("placement_s", "routing_s_per_request", "total_s")
SHOWN = {"total_s": 1e3, "placement_s": 1e3, "routing_s_per_request": 1e6}  # to ms, ms, µs
OURS = ("ours, in all\n(ms)", "placement alone\n(ms)", "one routing decision\n(µs)")


def running_times_table(times: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Median and quartiles over repeats, beside the published running times.

    Medians, since whatever else the machine does lengthens single repeats.

    Parameters
    ----------
    times : DataFrame
        From `bprr.study.timing.running_times`.
    published : DataFrame
        From `bprr.figures.published.published_results`.

    Returns
    -------
    DataFrame
        One row per setting and method: ``servers``, ``requests``, ``repeats``,
        ``published_s``, ``published_sd_s``, and for ``placement_s``, ``routing_s_per_request`` and
        ``total_s`` the median and, suffixed ``_q25`` and ``_q75``, the quartiles.
    """
    grouped = times.groupby(["setting", "method"], sort=False)
    table = grouped.agg(
        servers=("servers", "first"), requests=("requests", "first"), repeats=("repeat", "nunique")
    )
    for column in TIMES:
        table[column] = grouped[column].median()
        table[f"{column}_q25"] = grouped[column].quantile(0.25)
        table[f"{column}_q75"] = grouped[column].quantile(0.75)
    printed = published[published["table"] == "table8"].set_index(["setting", "method"])
    table = table.join(printed["value_s"].rename("published_s"))
    return table.join(printed["sd_s"].rename("published_sd_s")).reset_index()


def running_times_layout(table: pd.DataFrame, caption: Caption) -> TextTable:
    """Lay a `running_times_table` out: rows setting × method."""
    rows = []
    for row in table.to_dict("records"):
        printed_ms = f"{row['published_s'] * 1e3:.1f}"
        if not pd.isna(row["published_sd_s"]):
            printed_ms += f" ± {row['published_sd_s'] * 1e3:.1f}"
        ours = [
            f"{row[key] * scale:.2f} ({row[f'{key}_q25'] * scale:.2f} – "
            f"{row[f'{key}_q75'] * scale:.2f})"
            for key, scale in SHOWN.items()
        ]
        names = [caption.topology(row["setting"]), caption.methods[row["method"]]]
        rows.append([*names, printed_ms, *ours])
    first = table.iloc[0]
    return TextTable(
        title="Table VIII · Running time of the algorithms",
        header=["Servers", "Method", "published\n(ms)", *OURS],
        rows=rows,
        leading=2,
        widths=[1.2, 1.1, 1.7, 1.7, 1.9, 1.9],
        note=(
            f"Ours: median (quartiles) of {first['repeats']} draws of {first['servers']} servers "
            f"and {first['requests']} requests. In all: one placement, with the choice of the\n"
            "design load where the method has one, and one routing decision per request, each "
            "counted as the median of its draw. Compiled kernels\nare warm. What the published "
            "numbers cover, and on which machine, is not known: compare methods, not columns."
        ),
    )


def render_running_times(
    timing_parquet: Path, study: StudyCaption, published_csv: Path, stem: Path
) -> list[Path]:
    """Make Table VIII from ``results/timing/table8.parquet``: CSV, PDF, PNG and Markdown.

    Raises
    ------
    InputError
        If the times say that they were taken from something else than the study asks for.
    """
    check_made(timing_parquet, *filter(None, [study.made.get(PATH)]))
    table = running_times_table(
        read_table(timing_parquet, RUNNING_TIMES), published_results(published_csv)
    )
    return running_times_layout(table, study).save(table, stem)
