"""The scorecard: every claim beside our number, with a verdict and one sentence of cause."""

from __future__ import annotations

import inspect
import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bprr.figures.labels import topology_label
from bprr.ground.errors import InputError
from bprr.ground.storage import replacing
from bprr.report.claims import Claim, Comparison
from bprr.report.discrepancies import Register, decomposition, effects
from bprr.report.measures import MEASURES
from bprr.report.results import Results
from bprr.report.verdicts import Verdict, judge
from bprr.settings.configuration import Settings
from bprr.study.summary import Estimate

__all__ = [
    "Scorecard",
    "causes",
    "check_claims",
    "make_scorecard",
    "planned_files",
    "summary",
    "write_scorecard",
]

MISSING = Estimate(float("nan"), float("nan"), float("nan"))
WITHOUT = "none"


@dataclass(frozen=True)
class Scorecard:
    """What the report shows.

    Parameters
    ----------
    claims : DataFrame
        One row per claim, from `make_scorecard`.
    effects, decomposition : DataFrame
        From `bprr.report.discrepancies`.
    causes : dict
        One sentence per entry of the register, with its measured numbers.
    headline_x : float
        Point of the decomposition that the summary shows.
    """

    claims: pd.DataFrame
    effects: pd.DataFrame
    decomposition: pd.DataFrame
    causes: dict[str, str]
    headline_x: float

    @property
    def counts(self) -> dict[str, int]:
        """Number of claims per verdict, in the order of `Verdict`."""
        found = Counter(self.claims["verdict"])
        return {str(verdict): found[str(verdict)] for verdict in Verdict}


def planned_files(settings: Settings) -> set[str]:
    """Files below the results folder that a configuration's sweeps produce."""
    return {
        f"sweeps/{name}_{topology}.parquet"
        for name, sweep in settings.sweeps.items()
        for topology in sweep.topologies
    }


def check_claims(
    claims: Sequence[Claim], register: Register, rules: Collection[str], files: Collection[str]
) -> None:
    """Refuse claims that nothing produces, measures that do not exist, and unknown causes.

    Parameters
    ----------
    rules, files : collection of str
        Rules of the workflow, and the files below the results folder that it produces.

    Raises
    ------
    InputError
        At the first claim that cannot be judged.
    """
    known = {entry.id for entry in register.discrepancies}
    for claim in claims:
        key = f"claims.{claim.id}"
        if claim.rule not in rules:
            raise InputError("claims", f"{key}.rule", claim.rule, "a rule of the workflow")
        for name in claim.files:
            if name not in files:
                allowed = "a file that the workflow produces"
                raise InputError("claims", f"{key}.files", name, allowed)
        for name in claim.causes.values():
            if name not in known:
                raise InputError("claims", f"{key}.causes", name, ", ".join(sorted(known)))
        if claim.measure is None:
            continue
        if claim.measure not in MEASURES:
            raise InputError("claims", f"{key}.measure", claim.measure, ", ".join(MEASURES))
        try:
            inspect.signature(MEASURES[claim.measure]).bind(None, [], **claim.arguments)
        except TypeError as error:
            raise InputError("claims", f"{key}.arguments", str(error), "its parameters") from None


def causes(register: Register, measured: pd.DataFrame) -> dict[str, str]:
    """One sentence per entry, its numbers filled in: means over networks with the delays."""
    sentences = {}
    for entry in register.discrepancies:
        numbers = {"before": np.nan, "after": np.nan, "effect": np.nan}
        if len(measured):
            own = measured[measured["discrepancy"] == entry.id]
            with_delays = own[own["allocation_delays"] != WITHOUT]
            own = with_delays if len(with_delays) else own
            numbers = {name: float(own[name].mean()) for name in numbers}
        sentences[entry.id] = entry.cause.format(**numbers)
    return sentences


def make_scorecard(claims: Sequence[Claim], register: Register, results: Results) -> Scorecard:
    """Judge every claim.

    Parameters
    ----------
    claims : sequence of Claim
        From `bprr.report.claims.each_claim`.
    register : Register
        Discrepancies.
    results : Results
        What there is; a claim whose file is missing is not testable here.
    """
    measured = effects(register, results)
    sentences = causes(register, measured)
    rows = [_row(claim, results, sentences) for claim in claims]
    parts = decomposition(register, results)
    return Scorecard(pd.DataFrame(rows), measured, parts, sentences, register.decomposition.x)


def _row(claim: Claim, results: Results, sentences: dict[str, str]) -> dict[str, object]:
    absent = [name for name in claim.files if not results.path(name).exists()]
    ours: dict[str, Estimate] = {}
    if claim.measure is not None and not absent:
        ours = MEASURES[claim.measure](results, claim.files, **claim.arguments)
        ours = {name: one for name, one in ours.items() if not np.isnan(one.value)}
    compare = claim.compare
    if compare is not None and claim.value is not None:
        compare = compare.around(claim.value)
    if claim.not_testable or compare is None or not ours:
        verdict = Verdict.NOT_TESTABLE
    else:
        verdict = judge(ours, compare)
    shown = [name for name in ours if not name.startswith(WITHOUT)] or list(ours)
    main = ours[shown[0]] if shown else MISSING
    without = ours.get(WITHOUT, MISSING)
    value = float("nan") if claim.value is None else claim.value
    return {
        "id": claim.id,
        "place": claim.place,
        "statement": claim.statement,
        "unit": claim.unit,
        "published": value,
        "published_text": claim.value_text,
        "agrees_within": "" if compare is None else _limits(compare),
        "ours": main.value,
        "ours_low": main.low,
        "ours_high": main.high,
        "ours_without_delays": without.value,
        "ours_without_delays_low": without.low,
        "ours_without_delays_high": without.high,
        "difference": main.value - value,
        "difference_percent": 100 * (main.value / value - 1) if value else float("nan"),
        "verdict": str(verdict),
        "cause": _cause(claim, verdict, sentences, absent),
        "rule": claim.rule,
        "files": " ".join(claim.files),
        "minutes": claim.minutes,
    }


def _cause(claim: Claim, verdict: Verdict, sentences: dict[str, str], absent: Sequence[str]) -> str:
    if claim.not_testable:
        return claim.not_testable
    match verdict:
        case Verdict.REPRODUCED:
            return ""
        case Verdict.ONLY_WITH_DELAYS:
            return sentences["allocation_delays"]
        case Verdict.NOT_TESTABLE:
            return f"this run has no {', '.join(absent)}" if absent else "no feasible run"
    named = claim.causes.get("default")
    return sentences[named] if named else "unexplained"


def _limits(compare: Comparison) -> str:
    low = "" if compare.low is None else f"{compare.low:.4g}"
    high = "" if compare.high is None else f"{compare.high:.4g}"
    if low and high:
        return f"{low} to {high}"
    return f"at least {low}" if low else f"at most {high}"


def summary(card: Scorecard) -> str:
    """What the terminal shows: the verdicts, and where the gain comes from."""
    lines = [f"{len(card.claims)} published numbers and claims:"]
    lines += [f"  {count:>4}  {verdict}" for verdict, count in card.counts.items()]
    if card.decomposition.empty:
        return "\n".join(lines)
    lines.append(f"Time per token against PETALS' at λ = {card.headline_x:g}/s, step by step:")
    shown = _distinct_orders(card.decomposition)
    shown = shown[shown["x"] == card.headline_x]
    for (topology, variant, order), steps in shown.groupby(
        ["topology", "allocation_delays", "order"], sort=False
    ):
        parts = ", ".join(
            f"{row['step']} {percent(row['share'])} %" for row in steps.to_dict("records")
        )
        total = percent(steps["ratio"].iloc[-1] - 1)
        which = "without delays" if variant == WITHOUT else f"with delays, {order}"
        lines.append(f"  {topology_label(str(topology))} {which}: {parts}; in all {total} %")
    return "\n".join(lines)


def markdown(card: Scorecard) -> str:
    """Counts, decomposition, and a table of all claims."""
    lines = ["# Scorecard", "", "| verdict | claims |", "| --- | ---: |"]
    lines += [f"| {verdict} | {count} |" for verdict, count in card.counts.items()]
    lines += [
        "",
        "## Where the gain comes from",
        "",
        "Change of the time per token by each step from PETALS to the proposed method, in percent"
        " of PETALS'; negative is faster.",
        "",
    ]
    lines += _table(decomposition_text(card.decomposition))
    lines += ["", "## Claims", ""]
    lines += _table(claims_text(card.claims))
    lines += ["", "## Discrepancies", ""]
    lines += _table(effects_text(card.effects))
    return "\n".join(lines) + "\n"


def claims_text(claims: pd.DataFrame) -> pd.DataFrame:
    """Claims as texts: published, ours ± half the interval, difference, verdict, cause, command."""
    rows = []
    for row in claims.to_dict("records"):
        scale, unit = {"share": (100, "%"), "ratio": (1, "")}.get(row["unit"], (1, row["unit"]))
        ours, without = (
            with_interval(*(scale * row[f"{name}{end}"] for end in ("", "_low", "_high")))
            for name in ("ours", "ours_without_delays")
        )
        difference = row["difference_percent"]
        printed = row["published_text"] or f"{number(scale * row['published'])} {unit}".strip()
        rows.append(
            {
                "claim": row["statement"],
                "place": row["place"],
                "published": printed,
                "ours": f"{ours} {unit}".strip() if ours else "",
                "without delays": f"{without} {unit}".strip() if without else "",
                "difference": "" if np.isnan(difference) else f"{difference:+.0f} %",
                "verdict": row["verdict"],
                "cause": row["cause"],
                "command": f"snakemake --cores all {_targets(row['files'].split())}",
                "minutes": f"{row['minutes']:g}",
            }
        )
    return pd.DataFrame(rows)


def _targets(files: Sequence[str]) -> str:
    """Files as targets of the workflow; several ones of a folder in the shell's braces."""
    if len(files) == 1:
        return f"results/{files[0]}"
    stems = ",".join(Path(name).stem for name in files)
    return f"results/sweeps/{{{stems}}}.parquet"


def _distinct_orders(table: pd.DataFrame) -> pd.DataFrame:
    """Without the delays it makes no difference when they are taken: the first order is enough."""
    first = table["order"].iloc[0]
    return table[(table["allocation_delays"] != WITHOUT) | (table["order"] == first)]


def decomposition_text(table: pd.DataFrame) -> pd.DataFrame:
    """Decomposition as texts, a column per step."""
    if table.empty:
        return table
    rows = []
    for (topology, x, variant, order), steps in _distinct_orders(table).groupby(
        ["topology", "x", "allocation_delays", "order"], sort=False
    ):
        row = {
            "network": topology_label(str(topology)),
            "λ (1/s)": f"{x:g}",
            "delays": "without" if variant == WITHOUT else f"with, {order}",
        }
        for step in steps.to_dict("records"):
            half = 100 * (step["share_high"] - step["share_low"]) / 2
            row[step["step"]] = f"{percent(step['share'])} ± {half:.1f} %"
        row["in all"] = f"{percent(steps['ratio'].iloc[-1] - 1)} %"
        rows.append(row)
    return pd.DataFrame(rows)


def effects_text(table: pd.DataFrame) -> pd.DataFrame:
    """Effects of the switches as texts."""
    if table.empty:
        return table
    rows = [
        {
            "discrepancy": row["discrepancy"].replace("_", " "),
            "network": topology_label(row["topology"]),
            "delays": "without" if row["allocation_delays"] == WITHOUT else "with",
            "ratio before": with_interval(row["before"], row["before_low"], row["before_high"]),
            "ratio after": with_interval(row["after"], row["after_low"], row["after_high"]),
            "effect": f"{row['effect']:+.3f}",
        }
        for row in table.to_dict("records")
    ]
    return pd.DataFrame(rows)


def number(value: float) -> str:
    """A number as tables show it; nothing where there is none."""
    return "" if np.isnan(value) else f"{value:.3g}"


def percent(share: float) -> str:
    """A change in percent with its sign; nothing is never negative."""
    return f"{round(100 * share, 1) + 0.0:+.1f}"


def with_interval(value: float, low: float, high: float) -> str:
    """A number ± half its interval, to the digits that the interval warrants."""
    if np.isnan(value):
        return ""
    half = (high - low) / 2
    if np.isnan(half):
        return number(value)
    digits = max(0, 2 - int(np.floor(np.log10(max(abs(value), abs(half), 1e-12)))))
    return f"{value:.{digits}f} ± {half:.{digits}f}"


def _table(texts: pd.DataFrame) -> list[str]:
    if texts.empty:
        return ["(none)"]
    header = "| " + " | ".join(texts.columns) + " |"
    ruler = "| " + " | ".join("---" for _ in texts.columns) + " |"
    return [header, ruler, *("| " + " | ".join(map(str, row)) + " |" for row in texts.to_numpy())]


def write_scorecard(card: Scorecard, stem: Path) -> list[Path]:
    """Write the scorecard as CSV, JSON and Markdown, the decomposition and the effects as CSV."""
    content = {
        "counts": card.counts,
        "claims": _records(card.claims),
        "decomposition": _records(card.decomposition),
        "effects": _records(card.effects),
        "causes": card.causes,
    }
    texts = {
        stem.with_suffix(".csv"): card.claims.to_csv(index=False, float_format="%.9g"),
        stem.with_suffix(".json"): json.dumps(content, indent=1, ensure_ascii=False) + "\n",
        stem.with_suffix(".md"): markdown(card),
        stem.with_suffix(".txt"): summary(card) + "\n",
        stem.with_name("decomposition.csv"): card.decomposition.to_csv(
            index=False, float_format="%.9g"
        ),
        stem.with_name("discrepancies.csv"): card.effects.to_csv(index=False, float_format="%.9g"),
    }
    for path, text in texts.items():
        with replacing(path) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    return list(texts)


def _records(table: pd.DataFrame) -> list[dict[str, object]]:
    """Rows for JSON, missing numbers as null."""
    records: list[dict[str, object]] = json.loads(table.to_json(orient="records"))
    return records
