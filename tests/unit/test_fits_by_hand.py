"""Fits of a few numbers, worked out by hand, and what is said at the limits of a verdict."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bprr.fit.device import _bandwidth, _drift, _hop_overhead
from bprr.fit.findings import INFLUENCES, Finding, influence, linearity, steadiness
from bprr.fit.line import LinearModel, fit_line, medians_by_setting
from bprr.fit.regression import RobustFit, huber_relative, median_interval, robust_fit
from bprr.ground.errors import InputError
from bprr.ground.intervals import Interval

RNG = np.random.default_rng


def trace_of(rows: list[tuple[Any, ...]], *names: str) -> Any:
    table = pd.DataFrame(rows, columns=[*names, "round", "value"])
    return SimpleNamespace(path="trace.csv", of=lambda experiment: table)


def test_medians_of_settings() -> None:
    rows = pd.DataFrame({"k": [2, 2, 2, 1, 2], "round": [0, 0, 0, 1, 1],
                         "value": [5.0, 9.0, 6.0, 3.0, 8.0]})  # fmt: skip
    found = medians_by_setting(rows, ["k"])
    assert (found.index.tolist(), found.columns.tolist()) == ([1, 2], [0, 1])
    np.testing.assert_array_equal(found, [[np.nan, 3], [6, 8]])


def test_intervals_of_a_combination() -> None:
    draws = np.array([[1.0, 2.0], [3.0, 2.0], [5.0, 2.0]])
    fit = RobustFit(np.array([3.0, 4.0]), draws, 2.5, 0.1)
    assert fit.estimate(np.array([0.0, 1.0])) == pytest.approx((4, 4 - 1, 4 + 1))
    half = 2.5 * math.hypot(2, 0.3)  # the draws of the first deviate by 2
    assert fit.estimate(np.array([1.0, 0.0])) == pytest.approx((3, 3 - half, 3 + half))
    steady = RobustFit(np.array([3.0, 4.0]), draws, 2.5)
    assert steady.estimate(np.array([1.0, 1.0])) == pytest.approx((7, 2, 12))


def test_a_fit_of_rounds() -> None:
    design = np.array([[1.0], [2.0]])
    table = np.array([[2.0, 4.0, 3.0], [6.0, 5.0, 6.0]])
    found = robust_fit(design, table, RNG(3), draws=7, drift=0.25)
    assert found.coefficients == pytest.approx([3])
    assert (found.draws.shape, found.drift) == ((7, 1), 0.25)
    assert found.half_width_factor == pytest.approx(4.302653 * math.sqrt(3 / 2), rel=1e-6)
    chosen = RNG(3).integers(3, size=(7, 3))
    expected = huber_relative(design, np.nanmedian(table[:, chosen], axis=2).T)
    np.testing.assert_array_equal(found.draws, expected)
    assert robust_fit(design, table, RNG(3)).draws.shape == (1000, 1)
    assert math.isnan(robust_fit(design, table[:, :1], RNG(3)).half_width_factor)


def test_intervals_of_a_median() -> None:
    assert median_interval(pd.Series([], dtype=float), RNG(1)) is None
    assert median_interval(pd.Series([4.0]), RNG(1)) == (4, 4, 4)
    values = pd.Series([1.0, 2.0, 9.0, 4.0])
    drawn = np.median(RNG(1).choice(values.to_numpy(), size=(1000, 4)), axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert median_interval(values, RNG(1)) == pytest.approx((3, low, high))


def line_of(**keys: Any) -> LinearModel:
    fit = RobustFit(np.array([2.0, 3.0, 0.5]), np.zeros((2, 3)), 1.0)
    given = {
        "fit": fit, "columns": ("1", "k", "k·l_in"), "r2_settings": 0.99, "r2_observations": 0.5,
        "held_out_median_error": 0.05, "worst_setting_error": 0.125, **keys,
    }  # fmt: skip
    return LinearModel(**given)


def test_predictions_of_a_line() -> None:
    line = line_of()
    assert line.at(4, 10) == pytest.approx((2 + 4 * 3 + 4 * 10 * 0.5,) * 3)
    assert line.per_block(10) == pytest.approx((3 + 5,) * 3)
    assert line.coefficients_ms == {"1": (2, 2, 2), "k": (3, 3, 3), "k·l_in": (0.5, 0.5, 0.5)}
    assert line.coefficient("l_in") == (0, 0, 0)
    short = line_of(fit=RobustFit(np.array([3.0]), np.zeros((2, 1)), 1.0), columns=("k",))
    assert (short.at(4, 10).value, short.per_block(10).value) == (12, 3)


def test_verdicts_on_a_line() -> None:
    quality = "R² {:.4f}, worst setting off by 12.5%"
    for r2, error, holds in (
        (0.99, 0.05, True), (0.9899, 0.05, False), (0.99, 0.0501, False), (1.0, 0.0, True),
    ):  # fmt: skip
        found = linearity("time", line_of(r2_settings=r2, held_out_median_error=error))
        said = f"{quality.format(r2)}, median error on held-out settings {error:.1%}"
        assert found == Finding("time is linear", holds, said)
    found = linearity("time", line_of(held_out_median_error=None))
    said = f"{quality.format(0.99)}, too few settings to leave any out"
    assert found == Finding("time is linear", None, said)


def test_verdicts_on_drift() -> None:
    statement = "the device was steady while it was measured"
    for value, holds in ((0.05, True), (0.0501, False)):
        deviation = f"a standard deviation of {value:.1%} [-1.2%, +9.9%]"
        said = f"between rounds the reference had {deviation}"
        found = steadiness(Interval(value, -0.012, 0.099))
        assert found == Finding(statement, holds, said)
    said = "the reference was observed in fewer than three rounds"
    assert steadiness(None) == Finding(statement, None, said)


@pytest.mark.parametrize(
    ("experiment", "column", "name", "statement"),
    [
        ("decode_context", "context_tokens", "context",
         "τ does not depend on the tokens so far"),
        ("decode_sessions", "sessions", "sessions",
         "τ hardly depends on how many sessions are open"),
        ("decode_batch", "batch", "batch",
         "a step hardly takes longer for several sessions at once"),
    ],
)  # fmt: skip
def test_verdicts_on_an_influence(experiment: str, column: str, name: str, statement: str) -> None:
    def found(*rows: tuple[int, int, float]) -> Finding:
        return influence(trace_of(list(rows), column), experiment, RNG(1))

    rounds = [(1, 0, 4.0), (8, 0, 4.4), (16, 0, 3.9), (1, 1, 40.0), (8, 1, 43.6), (16, 1, 39.0)]
    said = f"+9.5% [+9.0%, +10.0%] at {name} 8 against 1, the largest change up to 16"
    assert found(*rounds) == Finding(statement, True, said, Interval(0.095, 0.09, 0.1))
    slower = found((2, 0, 1.0), (4, 0, 1.125))
    said = f"+12.5% [+12.5%, +12.5%] at {name} 4 against 2, the largest change up to 4"
    assert slower == Finding(statement, False, said, Interval(0.125, 0.125, 0.125))
    faster = found((2, 0, 1.0), (4, 0, 0.875), (5, 0, 1.0625))
    said = f"-12.5% [-12.5%, -12.5%] at {name} 4 against 2, the largest change up to 5"
    assert faster == Finding(statement, False, said, Interval(-0.125, -0.125, -0.125))
    apart = found((1, 0, 4.0), (8, 1, 5.0))
    assert apart == Finding(statement, None, f"no round visited both {name} 8 and less")
    assert found((1, 0, 4.0), (1, 1, 5.0)) == Finding(
        statement, None, f"the trace does not vary {name}"
    )
    assert INFLUENCES[experiment] == (column, statement)


def test_a_line_through_a_trace() -> None:
    names = ("blocks", "input_tokens")
    exact = [(k, 1, turn, 2.0 + 3.0 * k) for k in (1, 2, 4, 8) for turn in range(3)]
    line = fit_line(trace_of(exact, *names), "decode_blocks", "blocks", ("1", "k"), 0.01, RNG(1))
    assert line.fit.coefficients == pytest.approx([2, 3])
    assert (line.columns, line.fit.drift) == (("1", "k"), 0.01)
    assert line.r2_settings == line.r2_observations == pytest.approx(1)
    assert line.held_out_median_error == pytest.approx(0, abs=1e-9)
    assert line.worst_setting_error == pytest.approx(0, abs=1e-9)
    # A repeat that is far off moves no median: it counts among the observations alone.
    off = [*exact, (2, 1, 0, 80.0), (2, 1, 0, 8.0)]
    line = fit_line(trace_of(off, *names), "decode_blocks", "blocks", ("1", "k"), 0.0, RNG(1))
    values = np.array([row[-1] for row in off])
    wrong = (80 - 8) ** 2 / ((values - values.mean()) ** 2).sum()
    assert line.r2_observations == pytest.approx(1 - wrong)
    assert line.r2_settings == pytest.approx(1)
    # The settings between the outermost are left out in turn.
    bent = [(k, 1, turn, time) for k, time in ((1, 5.0), (2, 10.0), (3, 9.0)) for turn in (0, 1)]
    line = fit_line(trace_of(bent, *names), "decode_blocks", "blocks", ("1", "k"), 0.0, RNG(1))
    assert line.held_out_median_error == pytest.approx(0.3)  # 7 instead of 10
    predicted = line.fit.coefficients @ np.array([[1, 1, 1], [1, 2, 3]])
    errors = predicted / [5, 10, 9] - 1
    assert line.worst_setting_error == pytest.approx(np.abs(errors).max())
    assert line.r2_settings == pytest.approx(1 - ((predicted - [5, 10, 9]) ** 2).sum() / 14)
    two = fit_line(trace_of(exact[:6], *names), "x", "blocks", ("1", "k"), 0.0, RNG(1))
    assert two.held_out_median_error is None
    # With as many blocks throughout, a hop cannot be told from a block.
    prefill = [(2, tokens, 0, 2 * (4.0 + 0.5 * tokens)) for tokens in (1, 5, 9)]
    columns = ("1", "k", "k·l_in")
    line = fit_line(trace_of(prefill, *names), "x", "input_tokens", columns, 0.0, RNG(1))
    assert line.columns == ("k", "k·l_in")
    assert line.fit.coefficients == pytest.approx([4, 0.5])
    flat = [(k, 1, 0, 7.0) for k in (1, 2, 3)]
    line = fit_line(trace_of(flat, *names), "x", "blocks", ("1", "k"), 0.0, RNG(1))
    assert math.isnan(line.r2_settings)
    with pytest.raises(InputError) as caught:
        fit_line(trace_of(flat, *names), "decode", "input_tokens", ("1", "k"), 0.0, RNG(1))
    assert str(caught.value) == (
        "trace.csv: decode: input_tokens: got [1]; allowed: at least 2 different values"
    )


def parts_of(**tables: list[tuple[Any, ...]]) -> Any:
    names = ["value", "round", "input_tokens", "payload_bytes"]
    frames = {name: pd.DataFrame(rows, columns=names) for name, rows in tables.items()}
    empty = pd.DataFrame(columns=names)
    return SimpleNamespace(path="trace.csv", of=lambda name: frames.get(name, empty))


def test_drift_of_a_reference() -> None:
    rows = [(value, turn, 1, 1) for turn, value in enumerate((8.0, 10.0, 11.0)) for _ in "ab"]
    assert _drift(parts_of(reference=rows)) == pytest.approx((0.1527525, -0.2, 0.1))
    assert _drift(parts_of(reference=rows[:4])) is None


def test_what_a_hop_costs_and_carries() -> None:
    trace = parts_of(
        serialisation=[(2.0, 0, 1, 1), (9.0, 0, 2, 1)], decode_empty=[(5.0, 0, 1, 1)],
        network_round_trip=[(0.5, 0, 1, 2), (99.0, 0, 1, 1)],
    )  # fmt: skip
    assert _hop_overhead(trace, RNG(1)) == (9.5, 9.5, 9.5)
    one = {"serialisation": [(2.0, 0, 1, 1)], "decode_empty": [(5.0, 0, 1, 1)],
           "network_round_trip": [(0.5, 0, 1, 2)]}  # fmt: skip
    for missing in one:
        left = {name: rows for name, rows in one.items() if name != missing}
        assert _hop_overhead(parts_of(**left), RNG(1)) is None
    ways = {"network_upload": [(7.0, 0, 1, 1)], "network_download": [(6.0, 0, 1, 1)]}
    assert _bandwidth(parts_of(**ways), RNG(1)) == (6, 6, 6)
    with pytest.raises(InputError) as caught:
        _bandwidth(parts_of(network_upload=ways["network_upload"]), RNG(1))
    assert str(caught.value) == (
        "trace.csv: experiment: got 'none'; allowed: rows of network_upload and network_download"
    )
