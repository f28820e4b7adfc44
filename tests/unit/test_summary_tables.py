"""Whole tables of run means and of their summaries, every number found by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from bprr.ground.errors import InputError
from bprr.study.summary import METRICS, POINT, run_means, summarize

NAN = np.nan
PLACE = {"figure": "fig7", "topology": "abovenet", "x": 1.0, "allocation_delays": "none"}
DRAWN = {"servers": 10, "eta": 0.2, "rate_per_s": 0.5, "requests": 4}


def request(method, run, status="ok", tokens=10, inputs=20, **metrics):
    row = {**PLACE, **DRAWN, "method": method, "run": run, "status": status}
    return {**row, "output_tokens": tokens, "input_tokens": inputs, **metrics}


def metrics(*values):
    return dict(zip(METRICS, values, strict=True))


def test_means_of_a_run_by_hand():
    """Requests of 10 and 30 tokens, one that was rejected, and a run that is infeasible."""
    rows = [
        request("b", 1, "infeasible: x"),
        request("a", 0, tokens=10, inputs=8, **metrics(100.0, 10.0, 50.0, 1.0, 3)),
        request("a", 0, tokens=30, inputs=9, **metrics(200.0, 30.0, 100.0, 5.0, 3)),
        request("a", 0, "rejected", tokens=999, inputs=999),
        request("a", 0, "rejected: no room", tokens=999, inputs=999),
    ]
    means = run_means(pd.DataFrame(rows))
    columns = [*POINT, "run", *METRICS, "servers", "eta", "rate_per_s", "output_tokens",
               "requests", "input_tokens", "feasible"]  # fmt: skip
    assert means.columns.tolist() == columns
    shared = {**PLACE, **DRAWN}
    per_token, remaining = (1000 + 6000) / 40, (9 * 50 + 29 * 100) / 38
    first = {**shared, "method": "a", "run": 0, **metrics(per_token, 20.0, remaining, 3.0, 3.0)}
    first |= {"output_tokens": 20, "input_tokens": 8, "feasible": True}
    second = {**shared, "method": "b", "run": 1, **dict.fromkeys(METRICS, NAN)}
    second |= {"output_tokens": 10, "input_tokens": 20, "feasible": False}
    asked = pd.DataFrame([first, second])[columns]
    pd.testing.assert_frame_equal(means, asked, check_dtype=False)


def test_requests_of_one_token_have_no_remaining_ones():
    rows = [request("a", 0, tokens=1, **metrics(100.0, 100.0, NAN, 0.0, 1))] * 2
    mean = run_means(pd.DataFrame(rows)).iloc[0]
    assert mean["per_token_ms"] == 100.0 and np.isnan(mean["remaining_per_token_ms"])
    rows.append(request("a", 0, tokens=4, **metrics(50.0, 20.0, 60.0, 0.0, 1)))
    mean = run_means(pd.DataFrame(rows)).iloc[0]
    assert mean["per_token_ms"] == pytest.approx((100 + 100 + 200) / 6)
    assert mean["remaining_per_token_ms"] == pytest.approx(60.0)


def test_requests_of_one_length_are_not_rounded():
    """Their mean is that of numbers as they are."""
    values = [0.1, 0.7, 0.3]
    rows = [request("a", 0, tokens=7, **metrics(v, v, v, v, 1)) for v in values]
    mean = run_means(pd.DataFrame(rows)).iloc[0]
    assert mean["per_token_ms"] == mean["ttft_ms"] == mean["remaining_per_token_ms"]


def test_a_table_of_infeasible_runs_alone_has_no_metrics():
    rows = [request("a", run, "infeasible") for run in (0, 1)]
    means = run_means(pd.DataFrame(rows).drop(columns="input_tokens"))
    assert means[list(METRICS)].isna().all(axis=None) and not means["feasible"].any()


def test_columns_that_lack_are_named():
    table = pd.DataFrame([request("a", 0)]).drop(columns=["method", "eta"])
    with pytest.raises(InputError) as refused:
        run_means(table)
    required = ", ".join([*POINT, "run", "status", "servers", "eta", "rate_per_s",
                          "output_tokens", "requests"])  # fmt: skip
    said = f"requests: columns: got 'no method, eta'; allowed: {required}"
    assert str(refused.value) == said


def test_a_summary_by_hand():
    """The baseline in runs 0, 1, 2 and another method in 1, 2, 3: two pairs."""
    values = {("base", 0): 10.0, ("base", 1): 20.0, ("base", 2): 30.0, ("base", 3): NAN,
              ("own", 1): 5.0, ("own", 2): 15.0, ("own", 3): 40.0, ("own", 0): NAN}  # fmt: skip
    means = pd.DataFrame(
        {**PLACE, "method": method, "run": run, "ttft_ms": value, "feasible": not np.isnan(value)}
        for (method, run), value in values.items()
    )
    table = summarize(means, 0.95, "base", ["ttft_ms"])
    t_1, t_2 = 12.706204736, 4.302652730
    shared = {**PLACE, "metric": "ttft_ms", "runs": 3, "infeasible_runs": 1}
    none = dict.fromkeys(
        ["difference_to_base", "difference_ci_low", "difference_ci_high", "ratio_to_base",
         "ratio_ci_low", "ratio_ci_high"], NAN,
    )  # fmt: skip
    deviation = math.sqrt((15**2 + 5**2 + 20**2) / 2)  # of 5, 15, 40 about 20
    halves = [t_2 * each / math.sqrt(3) for each in (10.0, deviation)]
    base = {**shared, "method": "base", "mean": 20.0, "ci_low": 20 - halves[0],
            "ci_high": 20 + halves[0], "standard_deviation": 10.0, **none,
            "paired_runs": 0}  # fmt: skip
    # 5 and 15 beside 20 and 30: 15 less in both; .4 times as much, residuals −3 and 3.
    half = t_1 * 3 * math.sqrt(2) / math.sqrt(2) / 25
    own = {**shared, "method": "own", "mean": 20.0, "ci_low": 20 - halves[1],
           "ci_high": 20 + halves[1], "standard_deviation": deviation,
           "difference_to_base": -15.0, "difference_ci_low": -15.0, "difference_ci_high": -15.0,
           "ratio_to_base": 0.4, "ratio_ci_low": 0.4 - half, "ratio_ci_high": 0.4 + half,
           "paired_runs": 2}  # fmt: skip
    asked = pd.DataFrame([base, own])
    pd.testing.assert_frame_equal(table, asked[table.columns], check_exact=False, rtol=1e-8)
    assert set(table.columns) == set(asked.columns)
    alone = summarize(means, 0.95, "absent", ["ttft_ms"])
    assert alone["paired_runs"].tolist() == [0, 0] and alone["ratio_to_absent"].isna().all()
    single = summarize(means[means["run"] == 1], 0.95, "base", ["ttft_ms"])
    assert single["standard_deviation"].isna().all() and single["mean"].tolist() == [20.0, 5.0]
    assert single["ratio_to_base"].tolist()[1] == 0.25 and np.isnan(single["ratio_ci_low"].iloc[1])


def test_points_come_in_order_and_metrics_within_methods():
    rows = [
        {**PLACE, "x": x, "method": method, "run": 0, "feasible": True, **metrics(1, 2, 3, 4, 5)}
        for x in (2.0, 1.0) for method in ("petals", "best")
    ]  # fmt: skip
    table = summarize(pd.DataFrame(rows), 0.95)
    assert table["x"].tolist() == [1.0] * 10 + [2.0] * 10
    assert table["method"].tolist() == (["best"] * 5 + ["petals"] * 5) * 2
    assert table["metric"].tolist() == list(METRICS) * 4
    assert table["mean"].tolist() == [1, 2, 3, 4, 5] * 4
    assert "ratio_to_petals" in table
