"""Summaries over runs, against examples computed by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from bprr.ground.errors import InputError
from bprr.study.summary import mean_interval, paired_difference, paired_ratio, run_means, summarize

# 0.975 quantile p of Student's t with 2 degrees of freedom, (2p − 1)/√(2p(1 − p)).
T_95_2 = 0.95 / math.sqrt(2 * 0.975 * 0.025)


def request_rows(method, run, per_token_ms, status="ok", delays="none"):
    """Rows of one run, as a sweep leaves them."""
    common = {
        "figure": "fig7",
        "topology": "abovenet",
        "x": 10.0,
        "servers": 10,
        "eta": 0.2,
        "rate_per_s": 0.5,
        "output_tokens": 128,
        "allocation_delays": delays,
        "method": method,
        "run": run,
        "requests": 2,
        "status": status,
    }
    if status != "ok":
        return [common]
    return [
        {
            **common,
            "request": request,
            "input_tokens": 20,
            "per_token_ms": value,
            "ttft_ms": 10 * value,
            "remaining_per_token_ms": value / 2,
            "wait_ms": 0.0,
            "max_concurrent": 2,
        }
        for request, value in enumerate(per_token_ms)
    ]


def example():
    """PETALS 10, 20, 30 and proposed 6, 9, 12 (means of two requests each) in three runs."""
    rows = []
    for run, (petals, proposed) in enumerate([(10, 6), (20, 9), (30, 12)]):
        rows += request_rows("petals", run, [petals - 1, petals + 1])
        rows += request_rows("proposed", run, [proposed - 2, proposed + 2])
    return pd.DataFrame(rows)


def row_of(summary, method, metric="per_token_ms"):
    return summary[(summary["method"] == method) & (summary["metric"] == metric)].iloc[0]


def test_mean_and_t_interval():
    mean, low, high = mean_interval([10.0, 20.0, 30.0], 0.95)
    half = T_95_2 * 10 / math.sqrt(3)
    assert mean == 20
    assert low == pytest.approx(20 - half, rel=1e-12)
    assert high == pytest.approx(20 + half, rel=1e-12)


def test_interval_widens_with_confidence_and_needs_two_runs():
    assert mean_interval([1.0, 2.0], 0.99).high > mean_interval([1.0, 2.0], 0.9).high
    assert mean_interval([3.0], 0.95)[0] == 3.0
    assert np.isnan(mean_interval([3.0], 0.95).low)
    assert np.isnan(mean_interval([], 0.95).value)


# Quantiles of Student's t from printed tables.
@pytest.mark.parametrize(
    "values, confidence, half",
    [
        ([1.0, 3.0], 0.95, 12.706205),  # s = √2, over √2: 1
        ([1.0, 3.0], 0.90, 6.313752),
        ([10.0, 20.0, 30.0], 0.95, 4.302653 * 10 / math.sqrt(3)),
        ([10.0, 20.0, 30.0], 0.99, 9.924843 * 10 / math.sqrt(3)),
        ([2.0, 4.0, 4.0, 4.0, 6.0], 0.95, 2.776445 * math.sqrt(2 / 5)),  # s² = 8/4
    ],
)
def test_half_widths_of_small_samples_by_hand(values, confidence, half):
    interval = mean_interval(values, confidence)
    assert interval.high - interval.value == pytest.approx(half, rel=1e-6)
    assert interval.value - interval.low == pytest.approx(half, rel=1e-6)
    # The same observations against a baseline of 1 in every run.
    ratio = paired_ratio(values, np.ones(len(values)), confidence)
    assert ratio.high - ratio.value == pytest.approx(half, rel=1e-6)


def test_half_width_of_a_ratio_of_two_runs_by_hand():
    # y = 1, 5 and x = 2, 4: r = 1; residuals −1 and 1, s = √2; over √2 · 3.
    ratio = paired_ratio([1.0, 5.0], [2.0, 4.0], 0.95)
    assert ratio.value == 1
    assert ratio.high - ratio.value == pytest.approx(12.706205 / 3, rel=1e-6)


def test_paired_difference_is_narrower_than_unpaired():
    low, high = np.array([1.0, 5.0, 9.0]), np.array([2.1, 5.9, 10.0])
    difference = paired_difference(low, high, 0.95)
    assert difference.value == pytest.approx(-1.0)
    # Differences -1.1, -0.9, -1.0: standard deviation 0.1.
    assert difference.high - difference.value == pytest.approx(T_95_2 * 0.1 / math.sqrt(3))


def test_ratio_of_means_by_delta_method():
    # y = 6, 9, 12 and x = 10, 20, 30: r = 9/20; residuals y − r·x = 1.5, 0, −1.5.
    ratio = paired_ratio([6.0, 9.0, 12.0], [10.0, 20.0, 30.0], 0.95)
    assert ratio.value == pytest.approx(0.45)
    assert ratio.high - ratio.value == pytest.approx(T_95_2 * 1.5 / math.sqrt(3) / 20)
    assert np.isnan(paired_ratio([1.0], [0.0], 0.95).value)


def test_one_observation_per_run_not_per_request():
    means = run_means(example())
    assert len(means) == 6
    petals = means[means["method"] == "petals"].sort_values("run")
    assert petals["per_token_ms"].tolist() == [10, 20, 30]
    summary = summarize(means, 0.95)
    row = row_of(summary, "petals")
    assert (row["mean"], row["runs"], row["standard_deviation"]) == (20, 3, 10)
    assert np.isnan(row["ratio_to_petals"])


def test_comparison_is_paired_with_petals():
    row = row_of(summarize(run_means(example()), 0.95), "proposed")
    assert row["difference_to_petals"] == pytest.approx(-11)
    assert row["ratio_to_petals"] == pytest.approx(0.45)
    assert row["paired_runs"] == 3
    shuffled = example().sample(frac=1, random_state=1)
    again = row_of(summarize(run_means(shuffled), 0.95), "proposed")
    assert again["ratio_ci_low"] == pytest.approx(row["ratio_ci_low"])


def test_another_metric():
    assert row_of(summarize(run_means(example()), 0.95), "proposed", "ttft_ms")["mean"] == 90


def test_infeasible_runs_are_counted_and_left_out():
    table = example()
    lost = (table["method"] == "petals") & (table["run"] == 1)
    table = pd.concat(
        [table[~lost], pd.DataFrame(request_rows("petals", 1, [], "infeasible: no chain"))]
    )
    summary = summarize(run_means(table), 0.95)
    petals, proposed = row_of(summary, "petals"), row_of(summary, "proposed")
    assert (petals["runs"], petals["infeasible_runs"], petals["mean"]) == (2, 1, 20)
    assert (proposed["runs"], proposed["paired_runs"]) == (3, 2)
    assert proposed["ratio_to_petals"] == pytest.approx(18 / 40)


def test_a_run_with_a_request_that_was_served_and_one_that_was_not_is_infeasible():
    rows = example()
    lost = request_rows("petals", 1, [], "infeasible: no chain")
    means = run_means(pd.concat([rows, pd.DataFrame(lost)]))
    mixed = means[(means["method"] == "petals") & (means["run"] == 1)].iloc[0]
    assert not mixed["feasible"]
    assert mixed[["per_token_ms", "ttft_ms", "remaining_per_token_ms", "wait_ms"]].isna().all()
    petals = row_of(summarize(means, 0.95), "petals")
    assert (petals["runs"], petals["infeasible_runs"], petals["mean"]) == (2, 1, 20)


def test_time_per_token_is_over_all_tokens():
    """Requests of 10, 100 and 1 tokens that take 200, 500 and 80 ms, the first token 20, 5, 80."""
    rows = request_rows("petals", 0, [20.0, 5.0, 80.0])
    later_ms = [(200 - 20) / 9, (500 - 5) / 99, np.nan]
    for row, tokens, rest, first in zip(rows, (10, 100, 1), later_ms, (20, 5, 80), strict=True):
        row.update(output_tokens=tokens, remaining_per_token_ms=rest, ttft_ms=first)
    means = run_means(pd.DataFrame(rows)).iloc[0]
    assert means["per_token_ms"] == pytest.approx((200 + 500 + 80) / 111)
    assert means["remaining_per_token_ms"] == pytest.approx((180 + 495) / (9 + 99))
    assert means["ttft_ms"] == pytest.approx((20 + 5 + 80) / 3)  # once per request
    assert means["output_tokens"] == 37


def test_a_method_that_is_never_feasible_keeps_its_row():
    rows = [row for run in range(3) for row in request_rows("petals", run, [], "infeasible: x")]
    row = row_of(summarize(run_means(pd.DataFrame(rows)), 0.95), "petals")
    assert (row["runs"], row["infeasible_runs"]) == (0, 3)
    assert np.isnan(row["mean"])


def test_another_table_is_refused():
    with pytest.raises(InputError, match="no method"):
        run_means(example().drop(columns="method"))
