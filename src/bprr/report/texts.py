"""The scorecard as people read it: on the terminal, in Markdown, and in the cells of tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bprr.ground.errors import InputError
from bprr.ground.files import read_json
from bprr.ground.storage import replacing
from bprr.report.claims import Kind
from bprr.report.discrepancies import Register
from bprr.report.results import Results
from bprr.report.scorecard import Scorecard

__all__ = [
    "claims_text",
    "decomposition_text",
    "effects_text",
    "markdown",
    "read_scorecard",
    "summary",
    "with_interval",
    "write_scorecard",
]

BEYOND = 8  # percent: printed numbers that are reproduced, and yet listed
DECIMALS = 15  # of numbers in the JSON, the most that pandas writes


def summary(card: Scorecard) -> str:
    """What the terminal shows: the verdicts, and where the gain comes from."""
    lines = [f"{len(card.claims)} numbers and claims:"]
    for kind, row in card.by_kind.iterrows():
        counts = ", ".join(f"{count} {verdict}" for verdict, count in row.items() if count)
        lines.append(f"  {kind}: {counts}")
    lines += [f"  beyond {BEYOND:g} %: {text}" for text in beyond(card)]
    baseline = card.results.caption.pair[1]
    lines.append(f"Time per token against {baseline}' at λ = {card.headline_x:g}/s, step by step:")
    for (topology, x, which), steps in _decompositions(card):
        if x == card.headline_x:
            rows = steps.to_dict("records")
            parts = ", ".join(f"{row['step']} {percent(row['share'])} %" for row in rows)
            total = percent(steps["ratio"].iloc[-1] - 1)
            lines.append(f"  {topology}, {which}: {parts}; in all {total} %")
    return "\n".join(lines if len(card.decomposition) else lines[:-1])


def beyond(card: Scorecard) -> list[str]:
    """Printed numbers that ours are farther from than `BEYOND` percent."""
    printed = card.claims[card.claims["kind"] == str(Kind.PRINTED)]
    far = printed[printed["difference_percent"].abs() > BEYOND]
    return [
        f"{row['statement']} ({row['difference_percent']:+.0f} %)" for row in far.to_dict("records")
    ]


def markdown(card: Scorecard) -> str:
    """Counts, decomposition, and a table of all claims."""
    method, baseline = card.results.caption.pair
    counts = card.by_kind.reset_index()
    parts = {
        "# Scorecard": _table(counts),
        "## Where the gain comes from": [
            f"Change of the time per token by each step from {baseline} to {method}, in percent of"
            f" {baseline}; negative is faster.",
            "",
            *_table(decomposition_text(card)),
        ],
        "## Claims": _table(claims_text(card)),
        "## Discrepancies": _table(effects_text(card)),
    }
    return "\n".join("\n".join([title, "", *lines, ""]) for title, lines in parts.items())


def claims_text(card: Scorecard) -> pd.DataFrame:
    """Claims as texts: published, ours ± half the interval, difference, verdict, cause, command."""
    rows = []
    for row in card.claims.to_dict("records"):
        scale, unit = {"share": (100, "%"), "ratio": (1, "")}.get(row["unit"], (1, row["unit"]))
        ours, without = (
            with_interval(*(scale * row[f"{name}{end}"] for end in ("", "_low", "_high")))
            for name in ("ours", "ours_without_delays")
        )
        value = number(scale * row["published"])
        printed = row["published_text"] or (f"{value} {unit}".strip() if value else "")
        rows.append(
            {
                "claim": row["statement"],
                "kind": row["kind"],
                "place": row["place"],
                "published": printed,
                "ours": f"{ours} {unit}".strip() if ours else "",
                "without delays": f"{without} {unit}".strip() if without else "",
                "difference": _difference(row),
                "verdict": row["verdict"],
                "holds without delays": {True: "yes", False: "no"}.get(
                    row["holds_without_delays"], ""
                ),
                "cause": row["cause"],
                "command": f"snakemake --cores all {_targets(card.results, row['files'].split())}",
                "minutes": f"{row['minutes']:g}",
            }
        )
    return pd.DataFrame(rows)


def _difference(row: Mapping[Any, Any]) -> str:
    """Difference to what is published: in percent, in points of a share, as a ratio of times."""
    if np.isnan(row["difference"]):
        return ""
    if row["kind"] == str(Kind.RUNNING_TIME):
        return f"{row['ours'] / row['published']:.2g} times as long"
    if row["unit"] == "share":
        return f"{100 * row['difference']:+.1f} points"
    return f"{row['difference_percent']:+.0f} %"


def _targets(results: Results, files: Sequence[str]) -> str:
    """Files as targets of the workflow; several ones of a folder in the shell's braces."""
    paths = [results.path(name) for name in files]
    if len(paths) == 1:
        return paths[0].as_posix()
    stems = ",".join(path.stem for path in paths)
    return f"{paths[0].parent.as_posix()}/{{{stems}}}{paths[0].suffix}"


def _decompositions(card: Scorecard) -> Iterator[tuple[tuple[str, float, str], pd.DataFrame]]:
    """Steps per network, point and "which delays in which order".

    Without the delays it makes no difference when they are taken: the first order is enough.
    """
    table, caption = card.decomposition, card.results.caption
    if table.empty:
        return
    first = table["order"].iloc[0]
    place = ["topology", "x", "allocation_delays", "order"]
    for (topology, _, variant, order), steps in table.groupby(place, sort=False):
        label = caption.variants[str(variant)].label
        if variant != caption.undelayed:
            label = f"{label}, {order}"
        elif order != first:
            continue
        yield (caption.topology(topology), float(steps["x"].iloc[0]), label), steps


def decomposition_text(card: Scorecard) -> pd.DataFrame:
    """Decomposition as texts, a column per step."""
    rows = []
    for (topology, x, which), steps in _decompositions(card):
        row = {"network": topology, "λ (1/s)": f"{x:g}", "delays": which}
        for step in steps.to_dict("records"):
            half = 100 * (step["share_high"] - step["share_low"]) / 2
            interval = "" if np.isnan(half) else f" ± {half:.1f}"
            row[step["step"]] = f"{percent(step['share'])}{interval} %"
        row["in all"] = f"{percent(steps['ratio'].iloc[-1] - 1)} %"
        rows.append(row)
    return pd.DataFrame(rows)


def effects_text(card: Scorecard) -> pd.DataFrame:
    """Effects of the switches as texts."""
    caption = card.results.caption
    rows = [
        {
            "discrepancy": row["discrepancy"].replace("_", " "),
            "of": row["quantity"],
            "network": caption.topology(row["topology"]),
            "delays": caption.variants[row["allocation_delays"]].label,
            "before": with_interval(row["before"], row["before_low"], row["before_high"]),
            "after": with_interval(row["after"], row["after_low"], row["after_high"]),
            "effect": "" if np.isnan(row["effect"]) else f"{row['effect']:+.3f}",
        }
        for row in card.effects.to_dict("records")
    ]
    return pd.DataFrame(rows)


def number(value: float) -> str:
    """A number as tables show it; nothing where there is none."""
    return "" if np.isnan(value) else f"{value:.3g}"


def percent(share: float) -> str:
    """A change in percent with its sign; nothing is never negative."""
    return "–" if np.isnan(share) else f"{round(100 * share, 1) + 0.0:+.1f}"


def with_interval(value: float, low: float, high: float) -> str:
    """A number ± half its interval, to the digits that the interval warrants."""
    half = (high - low) / 2
    if np.isnan(value) or np.isnan(half) or half <= 1e-9 * abs(value):  # all but exact
        return number(value)
    digits = max(0, 2 - int(np.floor(np.log10(max(abs(value), abs(half), 1e-12)))))
    return f"{value:.{digits}f} ± {half:.{digits}f}"


def _table(texts: pd.DataFrame) -> list[str]:
    if texts.empty:
        return ["(none)"]
    rows = [texts.columns, ["---"] * len(texts.columns), *texts.to_numpy()]
    return [f"| {' | '.join(map(str, row))} |" for row in rows]


def write_scorecard(card: Scorecard, csv: Path) -> list[Path]:
    """Write the scorecard as CSV, JSON and Markdown, the decomposition and the effects as CSV."""
    tables = {"claims": card.claims, "decomposition": card.decomposition, "effects": card.effects}
    # Through pandas, which writes missing numbers as null.
    records = {
        name: json.loads(table.to_json(orient="records", double_precision=DECIMALS))
        for name, table in tables.items()
    }
    kinds = json.loads(card.by_kind.to_json(orient="index"))
    content = {"counts": card.counts, "kinds": kinds, **records, "causes": card.causes}
    claims, parts, switches = (
        table.to_csv(index=False, float_format="%.9g") for table in tables.values()
    )
    texts = {
        csv: claims,
        csv.with_suffix(".json"): json.dumps(content, indent=1, ensure_ascii=False) + "\n",
        csv.with_suffix(".md"): markdown(card),
        csv.with_suffix(".txt"): summary(card) + "\n",
        csv.with_name("decomposition.csv"): parts,
        csv.with_name("discrepancies.csv"): switches,
    }
    for path, text in texts.items():
        with replacing(path) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    return list(texts)


def read_scorecard(path: Path, register: Register, results: Results) -> Scorecard:
    """Scorecard that `write_scorecard` left as JSON, of the results that it was made from.

    Raises
    ------
    InputError
        If the file is no such scorecard.
    """
    what = "scorecard.json, as bprr scorecard writes it"
    content = read_json(path, "JSON file")
    try:
        claims, effects, decomposition = (
            pd.DataFrame([_known(row) for row in content[name]])
            for name in ("claims", "effects", "decomposition")
        )
        card = Scorecard(
            claims, effects, decomposition, content["causes"], register.decomposition.x, results
        )
        claims_text(card), effects_text(card), decomposition_text(card)
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise InputError(path, "file", repr(error), what) from None
    return card


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose missing numbers are no numbers."""
    return {name: float("nan") if value is None else value for name, value in row.items()}
