"""What is read off the results for a claim: an estimate per variant of the allocation delays.

A measure is a function of the results, the files of its claim and the claim's arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from bprr.figures.published import published_results
from bprr.report.results import Results
from bprr.settings.configuration import read_yaml
from bprr.study.summary import Estimate, mean_interval, paired_ratio

__all__ = ["MEASURES", "Measure"]

Measure = Callable[..., dict[str, Estimate]]
MEASURES: dict[str, Measure] = {}

METRIC = "per_token_ms"
PLACE = ["figure", "topology", "x"]


def measure(function: Measure) -> Measure:
    """Register a measure under its name."""
    MEASURES[function.__name__] = function
    return function


def by_variant(means: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    """Run means of each variant of the delays, those with the delays first."""
    for variant, rows in sorted(means.groupby("allocation_delays"), reverse=True):
        yield str(variant), rows


def wide(means: pd.DataFrame, methods: Sequence[str], metric: str = METRIC) -> pd.DataFrame:
    """Runs × methods, over the runs feasible for all of them."""
    table = means[means["method"].isin(methods)].pivot(
        index=[*PLACE, "run"], columns="method", values=metric
    )
    return table.reindex(columns=list(methods)).dropna()


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """Mean of estimates; the half-width is the mean one, an upper bound however they correlate."""
    known = np.array([one for one in estimates if not np.isnan(one.value)])
    if known.size == 0:
        return Estimate(np.nan, np.nan, np.nan)
    return Estimate(*known.mean(axis=0).tolist())


def point_ratios(
    means: pd.DataFrame, confidence: float, method: str, baseline: str, metric: str = METRIC
) -> list[Estimate]:
    """Ratio of two methods at every point, run paired with run."""
    both = wide(means, [method, baseline], metric)
    return [
        paired_ratio(rows[method], rows[baseline], confidence)
        for _, rows in both.groupby(level=PLACE)
    ]


def at(means: pd.DataFrame, where: Mapping[str, object]) -> pd.DataFrame:
    """Rows whose columns hold given values."""
    for column, value in where.items():
        close = (
            np.isclose(means[column], float(value))
            if isinstance(value, int | float)
            else means[column] == value
        )
        means = means[close]
    return means


def complement(estimate: Estimate) -> Estimate:
    """One minus an estimate."""
    return Estimate(1 - estimate.value, 1 - estimate.high, 1 - estimate.low)


@measure
def cell(
    results: Results, files: Sequence[str], method: str, rate_per_s: float, output_tokens: float
) -> dict[str, Estimate]:
    """Mean time per token of one cell of Table III or VI (s)."""
    where = {"method": method, "rate_per_s": rate_per_s, "output_tokens": output_tokens}
    rows = at(results.means(*files), where)
    return {
        variant: mean_interval(own[METRIC].dropna() / 1000, results.confidence)
        for variant, own in by_variant(rows)
    }


@measure
def running_time(
    results: Results, files: Sequence[str], setting: str, method: str
) -> dict[str, Estimate]:
    """Running time of the algorithms (s): median over repeats, quartiles as its interval."""
    (name,) = files
    times = at(results.table(name), {"setting": setting, "method": method})["total_s"]
    low, middle, high = times.quantile([0.25, 0.5, 0.75])
    return {"time": Estimate(float(middle), float(low), float(high))}


@measure
def gain(
    results: Results, files: Sequence[str], method: str = "proposed", baseline: str = "petals"
) -> dict[str, Estimate]:
    """Share of the baseline's time per token that a method saves, mean over all points."""
    return {
        variant: complement(mean_of(point_ratios(rows, results.confidence, method, baseline)))
        for variant, rows in by_variant(results.means(*files))
    }


@measure
def ratio_at(
    results: Results, files: Sequence[str], x: float, variant: str = "published"
) -> dict[str, Estimate]:
    """Time per token, proposed over PETALS, at one point and in one variant of the delays."""
    rows = at(results.means(*files), {"x": x, "allocation_delays": variant})
    ratios = point_ratios(rows, results.confidence, "proposed", "petals")
    return {f"{variant} only": mean_of(ratios)}


@measure
def first_token_share(results: Results, files: Sequence[str]) -> dict[str, Estimate]:
    """Share of the saved time that is saved before the first token."""
    found = {}
    for variant, rows in by_variant(results.means(*files)):
        tokens = rows.set_index([*PLACE, "run", "method"])["output_tokens"]
        first = wide(rows, ["petals", "proposed"], "ttft_ms")
        total = wide(rows.assign(total_ms=rows[METRIC] * tokens.to_numpy()),
                     ["petals", "proposed"], "total_ms")  # fmt: skip
        saved_first, saved = (
            first["petals"] - first["proposed"],
            total["petals"] - total["proposed"],
        )
        runs = pd.concat({"first": saved_first, "all": saved}, axis=1).groupby(level="run").mean()
        found[variant] = paired_ratio(runs["first"], runs["all"], results.confidence)
    return found


@measure
def gain_difference(
    results: Results,
    files: Sequence[str],
    more: Mapping[str, object],
    less: Mapping[str, object],
    method: str = "proposed",
) -> dict[str, Estimate]:
    """Share saved at some points minus that at others; ``x: first`` or ``last`` of each network."""
    found = {}
    for variant, rows in by_variant(results.means(*files)):
        two = [
            complement(
                mean_of(point_ratios(_picked(rows, where), results.confidence, method, "petals"))
            )
            for where in (more, less)
        ]
        half = float(np.hypot(two[0].high - two[0].value, two[1].high - two[1].value))
        value = two[0].value - two[1].value
        found[variant] = Estimate(value, value - half, value + half)
    return found


def _picked(means: pd.DataFrame, where: Mapping[str, object]) -> pd.DataFrame:
    """Rows at some points; the first or last point of every sweep on every network by name."""
    rest = {key: value for key, value in where.items() if key != "x"}
    rows = at(means, rest)
    if where.get("x") in ("first", "last"):
        group = rows.groupby(["figure", "topology"])["x"]
        edge = group.transform("min") if where["x"] == "first" else group.transform("max")
        return rows[rows["x"] == edge]
    return at(rows, {"x": where["x"]}) if "x" in where else rows


@measure
def largest_gain_margin(
    results: Results, files: Sequence[str], method: str, others: Sequence[str]
) -> dict[str, Estimate]:
    """How much more of PETALS' time a method saves than the best of some others."""
    found = {}
    for variant, rows in by_variant(results.means(*files)):
        runs = _run_ratios(rows, [method, *others])
        best = runs[list(others)].mean().idxmin()
        found[variant] = mean_interval(runs[best] - runs[method], results.confidence)
    return found


def _run_ratios(means: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Per run: mean over points of the time per token over PETALS' mean at that point."""
    table = wide(means, ["petals", *methods])
    base = table["petals"].groupby(level=PLACE).transform("mean")
    ratios: pd.DataFrame = table[list(methods)].div(base, axis=0).groupby(level="run").mean()
    return ratios


@measure
def share_of_points_faster(
    results: Results, files: Sequence[str], method: str
) -> dict[str, Estimate]:
    """Share of the points where a method's interval of the ratio to PETALS lies below 1."""
    found = {}
    for variant, rows in by_variant(results.means(*files)):
        ratios = point_ratios(rows, results.confidence, method, "petals")
        share = float(np.mean([ratio.high < 1 for ratio in ratios]))
        found[variant] = Estimate(share, np.nan, np.nan)
    return found


@measure
def ratio_to_petals(
    results: Results, files: Sequence[str], method: str, x: float | str | None = None
) -> dict[str, Estimate]:
    """Time per token of a method over PETALS', mean over points."""
    where: dict[str, object] = {} if x is None else {"x": x}
    return {
        variant: mean_of(point_ratios(_picked(rows, where), results.confidence, method, "petals"))
        for variant, rows in by_variant(results.means(*files))
    }


@measure
def exact_routing_gain(results: Results, files: Sequence[str]) -> dict[str, Estimate]:
    """CG-BP with exact routing over the proposed method, in runs with at most R at once."""
    means = results.means(*files)
    requests = pd.concat([results.table(name) for name in files])
    fits = requests[(requests["method"] == "proposed") & (requests["status"] == "ok")]
    runs = fits.groupby([*PLACE, "allocation_delays", "run"], observed=True)[
        ["max_concurrent", "design_load"]
    ].first()
    light = runs[runs["max_concurrent"] <= runs["design_load"]].index
    found = {}
    for variant, rows in by_variant(means):
        both = wide(rows, ["proposed", "proposed_exact"])
        kept = [(*key[:3], variant, key[3]) in light for key in both.index]
        found[variant] = paired_ratio(
            both.loc[kept, "proposed_exact"], both.loc[kept, "proposed"], results.confidence
        )
    return found


@measure
def deviation_from_gpus(results: Results, files: Sequence[str]) -> dict[str, Estimate]:
    """Mean relative deviation of our cells of Tables III and VI from those measured on GPUs."""
    printed = published_results(results.published)
    key = ["table", "setting", "method", "rate_per_s", "output_tokens"]
    measured = printed[printed["quantity"] == "experiment"].set_index(key)["value_s"]
    found = {}
    for variant, rows in by_variant(results.means(*files)):
        named = rows.rename(columns={"figure": "table", "topology": "setting"})
        own = named.groupby(key)[METRIC].mean() / 1000
        deviations = (own / measured - 1).abs().dropna()
        found[variant] = mean_interval(deviations, results.confidence)
    return found


@measure
def smallest(results: Results, files: Sequence[str], column: str) -> dict[str, Estimate]:
    """Smallest value of a column."""
    values = pd.concat([results.table(name)[column] for name in files]).dropna()
    return {"all": Estimate(float(values.min()), np.nan, np.nan)}


@measure
def final_gap(
    results: Results, files: Sequence[str], formulation: str, load: int, family: str
) -> dict[str, Estimate]:
    """Optimality gap at which the best solver stops on a formulation."""
    (name,) = files
    where = {"formulation": formulation, "load": load, "family": family, "clients": 1}
    table = at(results.table(name), where)
    done = table[~table["status"].isin(["running", "licence"])]
    return {"all": Estimate(float(done["gap"].min()), np.nan, np.nan)}


@measure
def statement_holds(results: Results, files: Sequence[str], statement: str) -> dict[str, Estimate]:
    """1 if a statement of the performance model holds on the fitted device, 0 if it fails."""
    (name,) = files
    (profile,) = read_yaml(results.path(name)).values()
    held = [
        verdict["holds"]
        for verdict in profile["provenance"]["verdicts"]
        if verdict["statement"] == statement
    ]
    return {} if held in ([], [None]) else {"all": Estimate(float(held[0]), np.nan, np.nan)}
