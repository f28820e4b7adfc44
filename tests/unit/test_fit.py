"""Fits: known parameters are recovered, failures of the model are said, bad traces refused."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bprr.fit.device import DeviceFit, fit_device
from bprr.fit.regression import RobustFit, huber_relative, robust_fit
from bprr.ground.errors import InputError
from bprr.ground.intervals import Interval
from bprr.ground.storage import file_hash
from bprr.measure.trace import COLUMNS, MANIFEST_NAME, Trace, read_trace

from .synthetic_trace import Truth, write

# Each example overwrites the trace of the one before.
SHARED_FOLDER = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SHIPPED = Path(__file__).parents[2] / "data" / "traces"


def fitted(trace: Trace, seed: int = 0) -> DeviceFit:
    return fit_device(trace, "invented", np.random.default_rng(seed))


def holds(fit: DeviceFit, word: str) -> bool | None:
    return next(found.holds for found in fit.findings if word in found.statement)


def half_width(found: Interval) -> float:
    return (found.high - found.low) / 2


# --- recovery -----------------------------------------------------------------------------------


@settings(SHARED_FOLDER, max_examples=8)
@given(
    tau=st.floats(0.05, 50),
    prefill=st.floats(1, 300),
    per_token=st.floats(0.01, 2),
    seed=st.integers(0, 1000),
)
def test_recovers_known_parameters(tmp_path, tau, prefill, per_token, seed):
    truth = Truth(tau=tau, hop=0.1 * tau, prefill=prefill, prefill_per_token=per_token)
    fit = fitted(read_trace(write(tmp_path, truth, seed)))
    # The invented noise only ever delays, by |normal| · noise: its median is the factor below.
    late = 1.0 + 0.6745 * truth.noise
    pairs = [
        (fit.decode.per_block(1), tau * late),
        (fit.prefill.per_block(128), (prefill + 128 * per_token) * late),
    ]
    for found, true in pairs:
        # Twice the 95 % half width: one miss in ten thousand, not one in twenty.
        assert abs(found.value - true) <= 2 * half_width(found)
        assert half_width(found) < 0.1 * true


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(5)
    blocks = np.arange(1.0, 7.0)
    design = np.column_stack([np.ones(6), blocks])
    hits, trials = 0, 120
    for _ in range(trials):
        table = (1.0 + 3.0 * blocks)[:, None] * (1 + 0.03 * rng.standard_normal((6, 10)))
        found = robust_fit(design, table, rng, draws=150).estimate(np.array([0.0, 1.0]))
        hits += found.low <= 3.0 <= found.high
    assert 0.88 <= hits / trials <= 1.0


def test_slow_repeats_do_not_move_the_fit(tmp_path):
    clean = fitted(read_trace(write(tmp_path / "clean", Truth(), 1)))
    dirty = fitted(read_trace(write(tmp_path / "dirty", Truth(outliers=0.1), 1)))
    moved = abs(dirty.device.tau_ms / clean.device.tau_ms - 1)
    assert moved < 0.02
    rows = read_trace(tmp_path / "dirty").of("decode_blocks")
    least_squares = np.polyfit(rows["blocks"], rows["value"], 1)[0]
    assert abs(least_squares / clean.device.tau_ms - 1) > 0.05  # which outliers do move


def test_huber_passes_through_exact_points():
    design = np.column_stack([np.ones(5), np.arange(5.0)])
    assert huber_relative(design, 2.0 + 0.5 * np.arange(5.0)) == pytest.approx([2.0, 0.5])


def test_huber_counts_an_outlier_for_as_much_as_the_bound():
    """Where the loss is least its slope is 0: each error counts, those beyond the bound for it."""
    rng = np.random.default_rng(7)
    design = np.column_stack([np.ones(24), np.arange(24.0)])
    values = design @ np.array([5.0, 2.0]) * (1 + 0.02 * rng.standard_normal(24))
    values[[3, 17]] *= 3
    values[9] = np.nan
    found = huber_relative(design, values)
    errors, slopes = 1 - design @ found / values, design / values[:, None]
    bound = 1.345 * np.nanmedian(np.abs(errors)) / 0.6744897501960817
    assert (np.abs(errors) > bound).sum() >= 2
    assert np.abs(np.nansum(np.clip(errors, -bound, bound)[:, None] * slopes, axis=0)).max() < 1e-6
    assert found == pytest.approx([5.0, 2.0], rel=0.05)


def test_memory_link_and_overhead(tmp_path):
    fit = fitted(read_trace(write(tmp_path, Truth(), 0)))
    assert fit.block_gb is not None and fit.cache_gb_per_token is not None
    assert fit.block_gb.value == pytest.approx(0.04)
    assert fit.cache_gb_per_token.value == pytest.approx(2e-6)
    assert fit.bandwidth_mbit_per_s.value == pytest.approx(100, rel=0.02)  # the slower direction
    assert fit.device.network_rps == pytest.approx(100e6 / (1000 * 4 * 8), rel=0.02)
    assert fit.hop_overhead_ms is not None
    assert fit.hop_overhead_ms.value == pytest.approx(0.5 + 2 * 0.1 + 0.3, rel=0.05)
    assert fit.device.memory_gb == 8.0
    assert fit.device.forward_rps == pytest.approx(1024e3 / (20 + 0.4 * 1024), rel=0.05)


def test_same_seed_same_fit(tmp_path):
    trace = read_trace(write(tmp_path, Truth(), 0))
    first, again = fitted(trace, 3), fitted(trace, 3)
    assert first.device == again.device
    assert first.findings == again.findings
    pd.testing.assert_frame_equal(first.points, again.points)


# --- verdicts -----------------------------------------------------------------------------------


def test_a_linear_device_passes(tmp_path):
    fit = fitted(read_trace(write(tmp_path, Truth(), 0)))
    assert [found.holds for found in fit.findings] == [True] * 6
    assert fit.decode.held_out_median_error is not None and fit.decode.held_out_median_error < 0.05


@pytest.mark.parametrize(
    ("truth", "word"),
    [
        (Truth(per_context_token=0.01), "tokens so far"),
        (Truth(per_batch=1.0), "several sessions"),
        (Truth(prefill_per_token=0.0, prefill_per_token_squared=0.02), "prefill time"),
    ],
)
def test_a_failing_statement_is_said(tmp_path, truth, word):
    fit = fitted(read_trace(write(tmp_path, truth, 0)))
    assert holds(fit, word) is False
    assert sum(found.holds is False for found in fit.findings) == 1


def test_drift_is_said_and_widens_the_intervals(tmp_path):
    steady = fitted(read_trace(write(tmp_path / "steady", Truth(), 0)))
    drifting = fitted(read_trace(write(tmp_path / "drifting", Truth(drift=0.05), 0)))
    assert holds(steady, "steady") is True
    assert holds(drifting, "steady") is False
    # The device slowed from 1 to 1.35 of its time: no single instant may fall outside.
    tau = drifting.decode.per_block(1)
    assert tau.low < Truth().tau < 1.35 * Truth().tau < tau.high
    assert half_width(tau) > 5 * half_width(steady.decode.per_block(1))


def test_the_range_of_the_drift_lies_around_its_median(tmp_path):
    found = fitted(read_trace(write(tmp_path, Truth(drift=0.05), 0))).drift_between_rounds
    # From 1 to 1.35 of the time in equal steps.
    assert found.low == pytest.approx(1 / 1.175 - 1, abs=0.02)
    assert found.high == pytest.approx(1.35 / 1.175 - 1, abs=0.02)
    assert found.value == pytest.approx(np.std(np.arange(8), ddof=1) * 0.05 / 1.175, rel=0.1)


def test_an_estimate_by_hand():
    draws = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])  # standard deviation 1
    fit = RobustFit(np.array([4.0, 7.0]), draws, half_width_factor=2.0)
    assert fit.estimate(np.array([1.0, 0.0])) == (4.0, 2.0, 6.0)
    drifting = replace(fit, drift=0.25)  # of 4: as much again
    half = 2 * 2**0.5
    assert drifting.estimate(np.array([1.0, 0.0])) == pytest.approx((4.0, 4 - half, 4 + half))


# --- refusals -----------------------------------------------------------------------------------


def corrupt(directory: Path, change) -> Path:
    """Trace with a change to its text columns, its manifest naming the new hash."""
    path = write(directory, Truth(), 0)
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    change(frame).to_csv(path, index=False, lineterminator="\n")
    manifest = path.with_name(MANIFEST_NAME)
    about = json.loads(manifest.read_text(encoding="utf-8"))
    about["trace"]["sha256"] = file_hash(path)
    manifest.write_text(json.dumps(about), encoding="utf-8")
    return path


def setting(row: int, column: str, value: str):
    def change(frame):
        frame.loc[row, column] = value
        return frame

    return change


def only_first_memory_row(frame):
    others = frame["experiment"] != "block_memory"
    others[frame.index[~others][0]] = True
    return frame[others]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda frame: frame.drop(columns=["round", "unit"]), "round, unit"),
        (setting(4, "value", "nan"), "value (line 6)"),
        (setting(5, "value", ""), "value (line 7)"),
        (setting(6, "value", "fast"), "value (line 8)"),
        (setting(7, "value", "-1"), "value (line 9)"),
        (setting(7, "value", "0"), "value (line 9)"),
        (setting(7, "value", "inf"), "value (line 9)"),
        (setting(8, "blocks", "1.5"), "blocks (line 10)"),
        (setting(9, "elapsed_s", "-3"), "elapsed_s (line 11)"),
        (setting(10, "unit", "s"), "unit (line 12)"),
        (setting(11, "experiment", "guess"), "experiment (line 13)"),
        (only_first_memory_row, "got 'block_memory'; allowed: at least 2 observations"),
        (lambda frame: frame.head(0), "at least one row"),
    ],
)
def test_bad_rows_are_named(tmp_path, change, named):
    path = corrupt(tmp_path, change)
    with pytest.raises(InputError) as refusal:
        read_trace(path)
    assert named in str(refusal.value)
    assert str(path) in str(refusal.value)


@settings(SHARED_FOLDER, max_examples=15)
@given(
    row=st.integers(0, 200),
    column=st.sampled_from([name for name in COLUMNS if name not in ("experiment", "unit")]),
    value=st.sampled_from(["", "nan", "NaN", "x", "-1", "inf", "1e400"]),
)
def test_any_bad_cell_is_named(tmp_path, row, column, value):
    path = corrupt(tmp_path, setting(row, column, value))
    with pytest.raises(InputError) as refusal:
        read_trace(path)
    assert f"{column} (line {row + 2})" in str(refusal.value)


def test_manifest_must_belong_to_the_trace(tmp_path):
    path = write(tmp_path, Truth(), 0)
    path.write_text(
        path.read_text(encoding="utf-8") + path.read_text(encoding="utf-8").splitlines()[-1] + "\n",
        encoding="utf-8",
    )
    with pytest.raises(InputError, match=r"trace\.sha256"):
        read_trace(path)
    path.with_name(MANIFEST_NAME).unlink()
    with pytest.raises(InputError, match=MANIFEST_NAME):
        read_trace(path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda frame: frame[frame["experiment"] != "decode_blocks"], "decode_blocks"),
        (lambda frame: frame[frame["experiment"] != "prefill_input"], "prefill_input"),
        (lambda frame: frame[frame["experiment"] != "network_upload"], "network_upload"),
        (
            lambda frame: frame.query("experiment != 'decode_blocks' or blocks == '2'"),
            "decode_blocks: blocks",
        ),
    ],
)
def test_a_trace_that_cannot_be_fitted_is_refused(tmp_path, change, named):
    with pytest.raises(InputError, match=named):
        fitted(read_trace(corrupt(tmp_path, change)))


def test_fitting_does_not_import_torch():
    code = (
        "import sys, bprr.commands.fit, bprr.fit.device, bprr.fit.profile;"
        " sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- the shipped traces -------------------------------------------------------------------------


def shipped(name: str) -> Trace:
    return read_trace(SHIPPED / name)


def test_shipped_trace_meets_the_requirements():
    fit = fitted(shipped("cpu-amd-epyc"))
    assert fit.decode.r2_settings >= 0.99
    assert fit.decode.held_out_median_error is not None and fit.decode.held_out_median_error <= 0.05
    assert (
        fit.prefill.held_out_median_error is not None and fit.prefill.held_out_median_error <= 0.05
    )


def test_shipped_memory_is_what_the_shape_implies():
    trace = shipped("cpu-amd-epyc")
    fit, computed = fitted(trace), trace.manifest.computed
    assert fit.block_gb is not None and fit.cache_gb_per_token is not None
    assert fit.block_gb.value == pytest.approx(computed.block_gb, rel=0.01)
    assert fit.cache_gb_per_token.value == pytest.approx(computed.cache_gb_per_token, rel=0.01)


def test_two_measurements_of_one_machine_agree():
    first, second = (fitted(shipped(name)) for name in ("cpu-amd-epyc", "cpu-amd-epyc-again"))
    pairs = [
        (first.decode.per_block(1), second.decode.per_block(1)),
        (first.prefill.per_block(20), second.prefill.per_block(20)),
        (first.prefill.coefficient("k·l_in"), second.prefill.coefficient("k·l_in")),
    ]
    for one, other in pairs:
        assert one.low <= other.high and other.low <= one.high
        assert half_width(one) < 0.15 * one.value  # intervals that say something


@pytest.mark.parametrize("name", ["cpu-amd-epyc", "cpu-amd-epyc-again"])
def test_shipped_traces_are_small_and_name_no_machine(name):
    files = list((SHIPPED / name).iterdir())
    assert sum(file.stat().st_size for file in files) < 1_000_000
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    for private in ("/home", "/work", "/root", "/tmp", "hostname", "@"):
        assert private not in text
