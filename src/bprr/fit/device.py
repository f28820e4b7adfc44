"""Device profiles from raw traces: the performance models of the paper's section 2 (no torch).

- decoding: time of a step over k blocks = hop + τ·k
- prefilling: time over k blocks = hop + k·(p₀ + p₁·l_in), so τ^I(l_in) = p₀ + p₁·l_in
- memory: bytes of m blocks = base + s_m·m; of a cache = base + bytes per block and token · tokens

Each model is fitted robustly, tested on settings it has not seen, and judged in plain words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from bprr.fit.regression import CONFIDENCE, Estimate, RobustFit, medians_by_round, robust_fit
from bprr.ground.errors import InputError
from bprr.ground.swarm import BYTES_PER_GB, Device, FloatArray, IntArray
from bprr.measure.trace import Trace

__all__ = ["DeviceFit", "LinearModel", "Verdict", "fit_device"]

R2_REQUIRED = 0.99
HELD_OUT_ERROR_ALLOWED = 0.05
INFLUENCE_ALLOWED = 0.10
DRIFT_ALLOWED = 0.05
PETALS_FORWARD_TOKENS = 1024  # PETALS announces the throughput of one forward pass of this length
_BITS_PER_BYTE = 8
_DRAWS = 1000
_BANDWIDTH = ("network_upload", "network_download")

# Experiment -> (column that it varies, what the paper says of it).
_INFLUENCES = {
    "decode_context": ("context_tokens", "τ does not depend on the tokens so far"),
    "decode_sessions": ("sessions", "τ hardly depends on how many sessions are open"),
    "decode_batch": ("batch", "a step hardly takes longer for several sessions at once"),
}


@dataclass(frozen=True)
class Verdict:
    """Whether a statement of the performance model holds on this device.

    Parameters
    ----------
    statement : str
        What the paper's model says.
    holds : bool or None
        None where the trace cannot tell.
    evidence : str
        Numbers it rests on.
    """

    statement: str
    holds: bool | None
    evidence: str


@dataclass(frozen=True)
class LinearModel:
    """A fitted time model and how well it describes what was observed.

    Parameters
    ----------
    fit : RobustFit
        Coefficients (ms) in the order of ``columns``.
    columns : tuple of str
        ``1``, ``k``, ``k·l_in``: regressors.
    r2_settings, r2_observations : float
        R² over the medians of the settings, and over every single observation.
    held_out_error : float or None
        Median relative error over the observations of settings that were left out of the fit in
        turn, the outermost excepted; None with fewer than three settings.
    worst_setting_error : float
        Largest relative error of the median of a setting.
    """

    fit: RobustFit
    columns: tuple[str, ...]
    r2_settings: float
    r2_observations: float
    held_out_error: float | None
    worst_setting_error: float

    def at(self, blocks: float, input_tokens: float) -> Estimate:
        """Predicted time (ms) of a step over so many blocks."""
        return self.fit.estimate(self._row(blocks, input_tokens))

    def coefficient(self, column: str) -> Estimate:
        """One coefficient; zero where the trace did not vary what it needs."""
        return self.fit.estimate(np.array([name == column for name in self.columns], dtype=float))

    def per_block(self, input_tokens: float) -> Estimate:
        """Predicted time (ms) that one more block adds: τ, or τ^I(l_in)."""
        row = self._row(1.0, input_tokens)
        row[[name == "1" for name in self.columns]] = 0.0
        return self.fit.estimate(row)

    def _row(self, blocks: float, input_tokens: float) -> FloatArray:
        return _design(np.array([blocks]), np.array([input_tokens]), self.columns)[0]


@dataclass(frozen=True)
class DeviceFit:
    """Everything a fit finds out about a device.

    Parameters
    ----------
    device : Device
        Profile for a scenario.
    decode, prefill : LinearModel
        Time models.
    hop_overhead_ms : Estimate or None
        Per token and hop, whatever the blocks: preparing a step, serialising the activation twice,
        and a round trip over zero distance; None unless all three were observed.
    block_gb, cache_gb_per_token : Estimate or None
        s_m, and s_c per token, as the device accounts for them; None where nobody accounted.
    round_trip_ms : Estimate or None
        Of the smallest message over the link that was observed.
    bandwidth_mbit_per_s : Estimate
        Of that link, in its slower direction.
    drift : Estimate or None
        Relative spread of the reference observation between rounds (value), and its range.
    verdicts : tuple of Verdict
        Statement by statement.
    points : DataFrame
        Every timed observation with what the model says of it.
    """

    device: Device
    decode: LinearModel
    prefill: LinearModel
    hop_overhead_ms: Estimate | None
    block_gb: Estimate | None
    cache_gb_per_token: Estimate | None
    round_trip_ms: Estimate | None
    bandwidth_mbit_per_s: Estimate
    drift: Estimate | None
    verdicts: tuple[Verdict, ...]
    points: pd.DataFrame


def _design(blocks: FloatArray, input_tokens: FloatArray, columns: Sequence[str]) -> FloatArray:
    regressors = {"1": np.ones_like(blocks), "k": blocks, "k·l_in": blocks * input_tokens}
    return np.column_stack([regressors[name] for name in columns]).astype(float)


def _r_squared(values: FloatArray, predicted: FloatArray) -> float:
    total = float(((values - values.mean()) ** 2).sum())
    return 1.0 - float(((values - predicted) ** 2).sum()) / total if total > 0 else float("nan")


def _levels(rows: pd.DataFrame, keys: list[str]) -> tuple[pd.DataFrame, IntArray]:
    """Distinct settings, and the setting of each row."""
    grouped = rows.groupby(keys, sort=True)
    settings = rows[keys].drop_duplicates().sort_values(keys, ignore_index=True).astype(float)
    return settings, np.asarray(grouped.ngroup(), dtype=np.int64)


def _fit_times(
    trace: Trace,
    experiment: str,
    varied: str,
    columns: Sequence[str],
    drift: Estimate | None,
    rng: np.random.Generator,
) -> LinearModel:
    """Fit the times of an experiment that varies ``varied``; refuse it where that is constant."""
    rows = trace.of(experiment)
    if rows[varied].nunique() < 2:
        found = rows[varied].unique().tolist()
        key = f"{experiment}: {varied}"
        raise InputError(trace.path, key, found, "at least 2 different values")
    settings, level = _levels(rows, ["blocks", "input_tokens"])
    if settings["blocks"].nunique() < 2:
        columns = [name for name in columns if name != "1"]  # hop and block cannot be told apart
    design = _design(settings["blocks"].to_numpy(), settings["input_tokens"].to_numpy(), columns)
    values, turn = rows["value"].to_numpy(dtype=float), rows["round"].to_numpy(dtype=np.int64)
    table = medians_by_round(level, turn, values)
    fit = robust_fit(design, table, rng, _DRAWS, drift.value if drift else 0.0)

    key_of_level = settings[varied].to_numpy()
    errors = []
    for left_out in np.unique(key_of_level)[1:-1]:
        kept = key_of_level != left_out
        partial = robust_fit(design[kept], table[kept], rng, draws=2)
        of_left_out = ~kept[level]
        predicted = design[level[of_left_out]] @ partial.coefficients
        errors.append(np.abs(predicted / values[of_left_out] - 1.0))
    medians = np.nanmedian(table, axis=1)
    predicted = design @ fit.coefficients
    return LinearModel(
        fit=fit,
        columns=tuple(columns),
        r2_settings=_r_squared(medians, predicted),
        r2_observations=_r_squared(values, predicted[level]),
        held_out_error=float(np.median(np.concatenate(errors))) if errors else None,
        worst_setting_error=float(np.abs(predicted / medians - 1.0).max()),
    )


def _slope(rows: pd.DataFrame, amount: pd.Series) -> Estimate | None:
    """Theil–Sen slope of the value against an amount, per unit of it."""
    if amount.nunique() < 2:
        return None
    found = stats.theilslopes(rows["value"].to_numpy(), amount.to_numpy(), alpha=CONFIDENCE)
    return Estimate(float(found.slope), float(found.low_slope), float(found.high_slope))


def _median(values: pd.Series, rng: np.random.Generator) -> Estimate | None:
    """Median with a bootstrap interval; None without observations."""
    if values.empty:
        return None
    sample = values.to_numpy(dtype=float)
    drawn = np.median(rng.choice(sample, size=(_DRAWS, len(sample))), axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Estimate(float(np.median(sample)), float(low), float(high))


def _in_gb(found: Estimate | None) -> Estimate | None:
    if found is None:
        return None
    ends = (found.value, found.low, found.high)
    return Estimate(*(end / BYTES_PER_GB for end in ends))


def _drift(trace: Trace) -> Estimate | None:
    medians = trace.of("reference").groupby("round")["value"].median()
    if len(medians) < 3:  # two rounds may agree by chance
        return None
    relative = medians / medians.median() - 1.0
    return Estimate(float(relative.std()), float(relative.min()), float(relative.max()))


def _judge_drift(drift: Estimate | None) -> Verdict:
    statement = "the device was steady while it was measured"
    if drift is None:
        return Verdict(statement, None, "the reference was observed in fewer than three rounds")
    evidence = (
        f"between rounds the reference had a standard deviation of {drift.value:.1%} "
        f"[{drift.low:+.1%}, {drift.high:+.1%}]"
    )
    return Verdict(statement, bool(drift.value <= DRIFT_ALLOWED), evidence)


def _judge_line(name: str, model: LinearModel) -> Verdict:
    statement = f"{name} is linear"
    parts = [f"R² {model.r2_settings:.4f}", f"worst setting off by {model.worst_setting_error:.1%}"]
    if model.held_out_error is None:
        return Verdict(statement, None, ", ".join([*parts, "too few settings to leave any out"]))
    parts.append(f"median error on held-out settings {model.held_out_error:.1%}")
    holds = model.r2_settings >= R2_REQUIRED and model.held_out_error <= HELD_OUT_ERROR_ALLOWED
    return Verdict(statement, bool(holds), ", ".join(parts))


def _judge_influence(trace: Trace, experiment: str, rng: np.random.Generator) -> Verdict:
    varied, statement = _INFLUENCES[experiment]
    rows = trace.of(experiment)
    name = varied.removesuffix("_tokens")
    if rows[varied].nunique() < 2:
        return Verdict(statement, None, f"the trace does not vary {name}")
    settings, level = _levels(rows, [varied])
    values, turn = rows["value"].to_numpy(dtype=float), rows["round"].to_numpy(dtype=np.int64)
    table = medians_by_round(level, turn, values)
    medians = np.nanmedian(table, axis=1)
    worst = int(np.argmax(np.abs(medians / medians[0] - 1.0)))
    # The ratio within a round is free of the drift between rounds.
    change = _median(pd.Series(table[worst] / table[0] - 1.0).dropna(), rng)
    assert change is not None
    first, last = int(settings[varied].iloc[0]), int(settings[varied].iloc[worst])
    evidence = (
        f"{change.value:+.1%} [{change.low:+.1%}, {change.high:+.1%}] at {name} {last} "
        f"against {first}, the largest change up to {int(settings[varied].iloc[-1])}"
    )
    return Verdict(statement, bool(abs(change.value) <= INFLUENCE_ALLOWED), evidence)


def _points(trace: Trace, decode: LinearModel, prefill: LinearModel) -> pd.DataFrame:
    """Timed observations beside the prediction of the model that the paper applies to them."""
    judged = ["decode_blocks", "prefill_input", *_INFLUENCES]
    timed = trace.rows[trace.rows["experiment"].isin(judged)]
    settings = ["experiment", "blocks", "input_tokens"]
    predicted = []
    for experiment, blocks, tokens in timed[settings].drop_duplicates().itertuples(index=False):
        model = prefill if experiment == "prefill_input" else decode
        found = model.at(blocks, tokens)
        predicted.append((experiment, blocks, tokens, found.value, found.low, found.high))
    names = [*settings, "predicted_ms", "predicted_low_ms", "predicted_high_ms"]
    kept = [*settings, "context_tokens", "batch", "sessions", "round", "repeat", "value"]
    points = timed[kept].rename(columns={"value": "observed_ms"})
    points = points.merge(pd.DataFrame(predicted, columns=names), on=settings, how="left")
    points["relative_residual"] = points["observed_ms"] / points["predicted_ms"] - 1.0
    return points


def _hop_overhead(trace: Trace, rng: np.random.Generator) -> Estimate | None:
    """Sum of what a token costs at a hop besides blocks and distance (ms)."""
    serialised, trips = trace.of("serialisation"), trace.of("network_round_trip")
    once = _median(serialised[serialised["input_tokens"] == 1]["value"], rng)
    step = _median(trace.of("decode_empty")["value"], rng)
    trip = _median(trips[trips["payload_bytes"] > 1]["value"], rng)
    if once is None or step is None or trip is None:
        return None
    parts = (step, once, once, trip)  # serialised towards the server and back
    value = sum(part.value for part in parts)
    half = float(np.hypot.reduce([(part.high - part.low) / 2 for part in parts]))
    return Estimate(value, value - half, value + half)


def fit_device(
    trace: Trace,
    name: str,
    rng: np.random.Generator,
    link: Trace | None = None,
    memory_gb: float | None = None,
) -> DeviceFit:
    """Fit the performance models of section 2 to a trace.

    Parameters
    ----------
    trace : Trace
        Of a device.
    name : str
        Name of the profile.
    rng : numpy.random.Generator
        Of the bootstrap.
    link : Trace, optional
        Of the device's network; by default the loopback that the device trace observed.
    memory_gb : float, optional
        Usable memory M (GB); by default what was free when the trace was measured.

    Raises
    ------
    InputError
        If the trace lacks an experiment that the profile needs, or varies nothing in it.
    """
    for needed in ("decode_blocks", "prefill_input"):
        if trace.of(needed).empty:
            raise InputError(trace.path, "experiment", "none", f"rows of {needed}")
    link = trace if link is None else link
    drift, hop_and_block = _drift(trace), ("1", "k")
    decode = _fit_times(trace, "decode_blocks", "blocks", hop_and_block, drift, rng)
    prefill = _fit_times(
        trace, "prefill_input", "input_tokens", (*hop_and_block, "k·l_in"), drift, rng
    )

    round_trips = link.of("network_round_trip")
    round_trip = _median(round_trips[round_trips["payload_bytes"] == 1]["value"], rng)
    up, down = (_median(link.of(experiment)["value"], rng) for experiment in _BANDWIDTH)
    if up is None or down is None:
        raise InputError(link.path, "experiment", "none", f"rows of {' and '.join(_BANDWIDTH)}")
    bandwidth = min(up, down, key=lambda found: found.value)

    blocks_held, cached = trace.of("block_memory"), trace.of("cache_memory")
    tau, prefill_slope = decode.per_block(1), prefill.coefficient("k·l_in")
    forward_ms = prefill.per_block(PETALS_FORWARD_TOKENS).value
    activation_bits = (
        trace.manifest["model"]["d_model"] * trace.manifest["bytes_per_value"] * _BITS_PER_BYTE
    )
    device = Device(
        name=name,
        tau_ms=tau.value,
        # A fixed cost that noise puts below zero is none; the estimate itself is kept beside it.
        prefill_ms=max(0.0, prefill.coefficient("k").value),
        prefill_ms_per_token=prefill_slope.value,
        memory_gb=trace.manifest["device"]["free_gb"] if memory_gb is None else memory_gb,
        forward_rps=PETALS_FORWARD_TOKENS * 1e3 / forward_ms,
        network_rps=bandwidth.value * 1e6 / activation_bits,
        source=f"fitted to {trace.path.name}, sha256 {trace.sha256}",
    )
    return DeviceFit(
        device=device,
        decode=decode,
        prefill=prefill,
        hop_overhead_ms=_hop_overhead(trace, rng),
        block_gb=_in_gb(_slope(blocks_held, blocks_held["blocks"])),
        cache_gb_per_token=_in_gb(_slope(cached, cached["blocks"] * cached["context_tokens"])),
        round_trip_ms=round_trip,
        bandwidth_mbit_per_s=bandwidth,
        drift=drift,
        verdicts=(
            _judge_drift(drift),
            _judge_line("decoding time against blocks", decode),
            _judge_line("prefill time against input length", prefill),
            *(_judge_influence(trace, experiment, rng) for experiment in _INFLUENCES),
        ),
        points=_points(trace, decode, prefill),
    )
