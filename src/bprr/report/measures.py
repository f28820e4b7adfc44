"""What is read off the results for a claim: an estimate with the allocation delays and one without.

A measure is a function of the results, the files of its claim and the claim's arguments. Where
delays play no part its one estimate has another name. Gains and ratios are of the compared method
over the compared baseline if a claim names no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps

import numpy as np
import pandas as pd

from bprr.figures.cells import CELL
from bprr.figures.published import published_results
from bprr.fit.profile import read_fit
from bprr.fit.regression import median_interval
from bprr.ground.intervals import Interval
from bprr.ground.results import (
    EQUAL_BLOCKS,
    GROWTH,
    LOADED,
    RUNNING_TIMES,
    SOLVER_RACE,
    THEOREM_2,
    THEORY,
    WAN_SWARMS,
)
from bprr.ground.tables import read_csv
from bprr.report.results import Results
from bprr.study.summary import mean_interval, paired_ratio
from bprr.testbed.records import read_run

__all__ = ["MEASURES", "Measure"]

Measure = Callable[..., dict[str, Interval]]
MEASURES: dict[str, Measure] = {}

METRIC = "per_token_ms"
PLACE = ["figure", "topology", "x"]


def measure(function: Measure) -> Measure:
    """Register a measure under its name."""
    MEASURES[function.__name__] = function
    return function


def per_variant(function: Callable[..., Interval]) -> Callable[..., Interval]:
    """Register a measure of run means, taken with the delays and without."""

    @wraps(function)
    def of_claim(
        results: Results, files: Sequence[str], **arguments: object
    ) -> dict[str, Interval]:
        return {
            variant: function(results, means, **arguments)
            for variant, means in results.by_variant(results.means(*files))
        }

    MEASURES[function.__name__] = of_claim
    return function


def wide(means: pd.DataFrame, methods: Sequence[str], metric: str = METRIC) -> pd.DataFrame:
    """Runs × methods, over the runs feasible for all of them."""
    table = means[means["method"].isin(methods)].pivot(
        index=[*PLACE, "run"], columns="method", values=metric
    )
    return table.reindex(columns=list(methods)).dropna()


def mean_of(estimates: Sequence[Interval]) -> Interval:
    """Mean of estimates; the half-width is the mean one, an upper bound however they correlate."""
    known = np.array([one for one in estimates if not np.isnan(one.value)])
    if known.size == 0:
        return Interval(np.nan, np.nan, np.nan)
    return Interval(*known.mean(axis=0).tolist())


def point_ratios(
    results: Results,
    means: pd.DataFrame,
    method: str | None = None,
    baseline: str | None = None,
    metric: str = METRIC,
) -> list[Interval]:
    """Ratio of two methods at every point, run paired with run."""
    compared = results.caption.compared
    method, baseline = method or compared.method, baseline or compared.baseline
    return [
        paired_ratio(rows[method], rows[baseline], results.confidence)
        for _, rows in wide(means, [method, baseline], metric).groupby(level=PLACE)
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


def picked(means: pd.DataFrame, where: Mapping[str, object]) -> pd.DataFrame:
    """Rows at some points; the first or last point of every sweep on every network by name."""
    if where.get("x") not in ("first", "last"):
        return at(means, where)
    rows = at(means, {key: value for key, value in where.items() if key != "x"})
    points = rows.groupby(["figure", "topology"])["x"]
    edge = points.transform("min") if where["x"] == "first" else points.transform("max")
    return rows[rows["x"] == edge]


def complement(estimate: Interval) -> Interval:
    """One minus an estimate."""
    return Interval(1 - estimate.value, 1 - estimate.high, 1 - estimate.low)


@per_variant
def cell(
    results: Results, means: pd.DataFrame, method: str, rate_per_s: float, output_tokens: float
) -> Interval:
    """Mean time per token of one cell of Table III or VI (s)."""
    where = {"method": method, "rate_per_s": rate_per_s, "output_tokens": output_tokens}
    return mean_interval(at(means, where)[METRIC].dropna() / 1000, results.confidence)


@measure
def running_time(
    results: Results, files: Sequence[str], setting: str, method: str
) -> dict[str, Interval]:
    """Running time of the algorithms (s): median over repeats, quartiles as its interval."""
    (name,) = files
    times = at(results.table(name, RUNNING_TIMES), {"setting": setting, "method": method})[
        "total_s"
    ]
    low, middle, high = times.quantile([0.25, 0.5, 0.75])
    return {"time": Interval(float(middle), float(low), float(high))}


@per_variant
def gain(results: Results, means: pd.DataFrame, method: str | None = None) -> Interval:
    """Share of the baseline's time per token that a method saves, mean over all points."""
    return complement(mean_of(point_ratios(results, means, method)))


@measure
def ratio_at(results: Results, files: Sequence[str], x: float, variant: str) -> dict[str, Interval]:
    """Ratio of the times per token at one point and under one variant of the delays."""
    rows = at(results.means(*files), {"x": x, "allocation_delays": variant})
    return {"point": mean_of(point_ratios(results, rows))}


@per_variant
def first_token_share(results: Results, means: pd.DataFrame) -> Interval:
    """Share of the saved time that is saved before the first token."""
    method, baseline = results.caption.compared.method, results.caption.compared.baseline
    totals = means.assign(total_ms=means[METRIC] * means["output_tokens"])

    def saved(metric: str) -> pd.Series:
        both = wide(totals, [baseline, method], metric)
        return both[baseline] - both[method]

    runs = pd.concat({name: saved(name) for name in ("ttft_ms", "total_ms")}, axis=1)
    runs = runs.groupby(level="run").mean()
    return paired_ratio(runs["ttft_ms"], runs["total_ms"], results.confidence)


@per_variant
def gain_difference(
    results: Results,
    means: pd.DataFrame,
    more: Mapping[str, object],
    less: Mapping[str, object],
    method: str | None = None,
) -> Interval:
    """Share saved at some points minus that at others; ``x: first`` or ``last`` of each network."""
    one, other = (gain(results, picked(means, where), method) for where in (more, less))
    value = one.value - other.value
    half = float(np.hypot(one.high - one.value, other.high - other.value))
    return Interval(value, value - half, value + half)


@per_variant
def largest_gain_margin(
    results: Results, means: pd.DataFrame, method: str, others: Sequence[str]
) -> Interval:
    """How much more of the baseline's time a method saves than the best of some others.

    Over runs, in each of which the ratios to the baseline's mean are averaged over the points.
    """
    baseline = results.caption.compared.baseline
    table = wide(means, [baseline, method, *others])
    base = table[baseline].groupby(level=PLACE).transform("mean")
    runs = table[[method, *others]].div(base, axis=0).groupby(level="run").mean()
    best = runs[list(others)].mean().idxmin()
    return mean_interval(runs[best] - runs[method], results.confidence)


@per_variant
def share_of_points_faster(results: Results, means: pd.DataFrame, method: str) -> Interval:
    """Share of the points where a method's interval of the ratio to the baseline lies below 1."""
    ratios = point_ratios(results, means, method)
    return Interval(float(np.mean([ratio.high < 1 for ratio in ratios])), np.nan, np.nan)


@per_variant
def share_of_points_not_slower(results: Results, means: pd.DataFrame, method: str) -> Interval:
    """Share of the points where that interval does not lie above 1: faster, or a tie."""
    ratios = point_ratios(results, means, method)
    return Interval(float(np.mean([ratio.low <= 1 for ratio in ratios])), np.nan, np.nan)


@per_variant
def points_slower(
    results: Results, means: pd.DataFrame, method: str, metric: str, by: float
) -> Interval:
    """Number of points where a method is slower than the baseline by a share or more.

    Only those whose interval of the ratio lies above 1.
    """
    ratios = point_ratios(results, means, method, metric=metric)
    count = sum(ratio.value >= 1 + by and ratio.low > 1 for ratio in ratios)
    return Interval(float(count), np.nan, np.nan)


@measure
def exact_routing_gain(results: Results, files: Sequence[str], exact: str) -> dict[str, Interval]:
    """The method with exact routing over itself, in runs with at most R requests at once."""
    method = results.caption.compared.method
    requests = pd.concat([results.table(name) for name in files])
    fits = requests[(requests["method"] == method) & (requests["status"] == "ok")]
    key = [*PLACE, "allocation_delays", "run"]
    runs = fits.groupby(key, observed=True)[["max_concurrent", "design_load"]].first()
    light = runs.index[runs["max_concurrent"] <= runs["design_load"]]
    ratios = {}
    for variant, means in results.by_variant(results.means(*files)):
        both = wide(means, [method, exact])
        kept = both[[(*place, variant, run) in light for *place, run in both.index]]
        ratios[variant] = paired_ratio(kept[exact], kept[method], results.confidence)
    return ratios


@per_variant
def deviation(results: Results, means: pd.DataFrame, quantity: str) -> Interval:
    """Mean relative deviation of our cells of Tables III and VI from those that are printed.

    ``quantity`` is ``simulator``, or ``experiment`` for those measured on GPUs.
    """
    printed = published_results(results.published)
    measured = printed[printed["quantity"] == quantity].set_index(CELL)["value_s"]
    named = means.rename(columns={"figure": "table", "topology": "setting"})
    own = named.groupby(CELL)[METRIC].mean() / 1000
    return mean_interval((own / measured - 1).abs().dropna(), results.confidence)


@measure
def smallest(results: Results, files: Sequence[str], column: str) -> dict[str, Interval]:
    """Smallest value of a column."""
    values = pd.concat([results.table(name, THEOREM_2)[column] for name in files]).dropna()
    least = float(values.min())
    return {"all": Interval(least, least, least)}  # of all instances that there are: exact


@measure
def checked(
    results: Results, files: Sequence[str], check: str, case: str | None = None, worst: str = "min"
) -> dict[str, Interval]:
    """Value of a check (`bprr.study.theory`), of one case or the smallest or largest of all."""
    (name,) = files
    rows = at(results.table(name, THEORY), {"check": check})
    rows = rows if case is None else at(rows, {"case": case})
    value = float(rows["value"].agg(worst))
    return {"all": Interval(value, value, value)}  # computed, and exact


@measure
def exponent(results: Results, files: Sequence[str], step: str, varied: str) -> dict[str, Interval]:
    """Exponent of a step's time in a size: slope of the logarithms, over draws."""
    (name,) = files
    times = at(results.table(name, GROWTH), {"step": step, "varied": varied})
    slopes = [
        float(np.polyfit(np.log(draw["size"]), np.log(draw["seconds"]), 1)[0])
        for _, draw in times.groupby("repeat")
    ]
    return {"time": mean_interval(slopes, results.confidence)}


@measure
def above_optimum(results: Results, files: Sequence[str], method: str) -> dict[str, Interval]:
    """Mean excess over the optimum (a share) on servers of equal memory, where a plan exists."""
    (name,) = files
    excess = at(results.table(name, EQUAL_BLOCKS), {"method": method})["above_optimum_percent"]
    known = excess[np.isfinite(excess)] / 100
    return {"all": mean_interval(known, results.confidence)}


@measure
def first_token_by_length(results: Results, files: Sequence[str]) -> dict[str, Interval]:
    """Change of genuine sessions' TTFT (a share) from the shortest to the longest output.

    Cases without contention, medians over their sessions; over clients and methods.
    """
    (name,) = files
    measured = read_run(results.path(name).parent).requests
    served = measured[measured["group"].eq("table") & measured["status"].eq("ok")]
    cases = served.groupby(["client", "method", "output_tokens"])["ttft_ms"].median().unstack()
    change = cases[cases.columns.max()] / cases[cases.columns.min()] - 1
    return {"measured": mean_interval(change.dropna(), results.confidence)}


@measure
def others_error(
    results: Results, files: Sequence[str], group: str, model: str
) -> dict[str, Interval]:
    """Median size of a model's errors (a share) on a group of others' measurements."""
    errors = at(_others(results, files), {"group": group, "model": model})["error"].abs().dropna()
    found = median_interval(errors, np.random.default_rng(0))
    return {} if found is None else {"all": found}


@measure
def right_directions(results: Results, files: Sequence[str]) -> dict[str, Interval]:
    """Share of measured changes of swarms, value by value, whose direction is predicted."""
    known = at(_others(results, files), {"model": "what-if"})[["measured", "predicted"]].dropna()
    signs = np.sign(np.round(known - 1, 6))
    right = float((signs["measured"] == signs["predicted"]).mean())
    return {"all": Interval(right, np.nan, np.nan)}


def _others(results: Results, files: Sequence[str]) -> pd.DataFrame:
    (name,) = files
    return read_csv(results.path(name), WAN_SWARMS)


@measure
def final_gap(
    results: Results, files: Sequence[str], formulation: str, load: int, family: str
) -> dict[str, Interval]:
    """Optimality gap at which the best solver stops on a formulation."""
    (name,) = files
    where = {"formulation": formulation, "load": load, "family": family, "clients": 1}
    table = at(results.table(name, SOLVER_RACE), where)
    done = table[~table["status"].isin(["running", "licence"])]
    return {"all": Interval(float(done["gap"].min()), np.nan, np.nan)}


@measure
def statement_holds(results: Results, files: Sequence[str], statement: str) -> dict[str, Interval]:
    """1 if a statement of the performance model holds on the fitted device, 0 if it fails."""
    (name,) = files
    _, about, _ = read_fit(results.path(name).parent)
    holds = {finding.statement: finding.holds for finding in about.verdicts}.get(statement)
    return {} if holds is None else {"all": Interval(float(holds), np.nan, np.nan)}


@measure
def influence(results: Results, files: Sequence[str], statement: str) -> dict[str, Interval]:
    """Largest change of a step's time (a share) in what a statement says it does not depend on."""
    (name,) = files
    _, about, _ = read_fit(results.path(name).parent)
    change = {finding.statement: finding.change for finding in about.verdicts}.get(statement)
    return {} if change is None else {"measured": change}


@measure
def slowed_by_others(
    results: Results, files: Sequence[str], case: str, arm: str
) -> dict[str, Interval]:
    """Time per token on genuine PETALS under load over that of the same sessions without others."""
    (name,) = files
    where = {"case": case, "arm": arm, "model": "independent"}
    (row,) = at(results.table(name, LOADED), where).to_dict("records")
    value = row["per_token_ms"] / row["predicted_per_token_ms"]
    return {"all": Interval(value, value, value)}  # of one run, whose spread nobody knows
