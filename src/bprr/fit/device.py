"""Device profiles from raw traces: the paper's performance models (no torch).

Times follow `bprr.fit.line`; memory of m blocks is base + s_m·m, that of a cache base + bytes per
block and token · tokens. Each model is fitted robustly and judged in plain words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bprr.fit.findings import INFLUENCES, Finding, influence, linearity, steadiness
from bprr.fit.line import LinearModel, fit_line
from bprr.fit.regression import CONFIDENCE, median_interval
from bprr.ground.errors import InputError
from bprr.ground.intervals import Interval
from bprr.ground.swarm import BYTES_PER_GB, Device
from bprr.measure.manifest import Computed, DeviceManifest
from bprr.measure.trace import Trace
from bprr.settings.messages import validated

__all__ = ["DeviceFit", "fit_device"]

PETALS_FORWARD_TOKENS = 1024  # PETALS announces the throughput of one forward pass of this length
_BITS_PER_BYTE = 8


@dataclass(frozen=True)
class DeviceFit:
    """Everything a fit finds out about a device; None where nobody observed it."""

    about: DeviceManifest
    device: Device  # profile for a scenario
    decode: LinearModel
    prefill: LinearModel
    # Per token and hop, whatever the blocks: preparing a step, serialising the activation twice,
    # and a round trip over zero distance.
    hop_overhead_ms: Interval | None
    block_gb: Interval | None  # s_m, as the device accounts for it
    cache_gb_per_token: Interval | None  # s_c per token, likewise
    round_trip_ms: Interval | None  # of the smallest message over the link
    bandwidth_mbit_per_s: Interval  # of the link, in its slower direction
    drift_between_rounds: Interval | None  # relative spread of the reference, and its range
    findings: tuple[Finding, ...]
    points: pd.DataFrame  # every timed observation with what the model says of it

    @property
    def computed(self) -> Computed:
        """Memory as the shape of the blocks and the storage of their weights imply."""
        return self.about.computed

    @property
    def tau_ms(self) -> Interval:
        """Time per block and token, τ."""
        return self.decode.per_block(1)


def _slope_gb(rows: pd.DataFrame, amount: pd.Series) -> Interval | None:
    """Theil–Sen slope of a memory (bytes) against an amount: GB per unit of it."""
    if amount.nunique() < 2:
        return None
    from scipy import stats  # takes a second to import: not for whoever only reads a fit

    found = stats.theilslopes(rows["value"].to_numpy(), amount.to_numpy(), alpha=CONFIDENCE)
    ends = (found.slope, found.low_slope, found.high_slope)
    return Interval(*(float(end) / BYTES_PER_GB for end in ends))


def _drift(trace: Trace) -> Interval | None:
    medians = trace.of("reference").groupby("round")["value"].median()
    if len(medians) < 3:  # two rounds may agree by chance
        return None
    relative = medians / medians.median() - 1.0
    return Interval(float(relative.std()), float(relative.min()), float(relative.max()))


def _bandwidth(link: Trace, rng: np.random.Generator) -> Interval:
    ways = ("network_upload", "network_download")
    found = [median_interval(link.of(way)["value"], rng) for way in ways]
    seen = [interval for interval in found if interval is not None]
    if len(seen) < len(ways):
        raise InputError(link.path, "experiment", "none", f"rows of {' and '.join(ways)}")
    return min(seen)


def _hop_overhead(trace: Trace, rng: np.random.Generator) -> Interval | None:
    """Sum of what a token costs at a hop besides blocks and distance (ms)."""
    serialised, trips = trace.of("serialisation"), trace.of("network_round_trip")
    once = median_interval(serialised[serialised["input_tokens"] == 1]["value"], rng)
    step = median_interval(trace.of("decode_empty")["value"], rng)
    trip = median_interval(trips[trips["payload_bytes"] > 1]["value"], rng)
    if once is None or step is None or trip is None:
        return None
    parts = (step, once, once, trip)  # serialised towards the server and back
    value = sum(part.value for part in parts)
    half = float(np.hypot.reduce([(part.high - part.low) / 2 for part in parts]))
    return Interval(value, value - half, value + half)


def _points(trace: Trace, decode: LinearModel, prefill: LinearModel) -> pd.DataFrame:
    """Timed observations beside the prediction of the model that the paper applies to them."""
    judged = ["decode_blocks", "prefill_input", *INFLUENCES]
    timed = trace.rows[trace.rows["experiment"].isin(judged)]
    settings = ["experiment", "blocks", "input_tokens"]
    predicted = []
    for experiment, blocks, tokens in timed[settings].drop_duplicates().itertuples(index=False):
        model = prefill if experiment == "prefill_input" else decode
        predicted.append((experiment, blocks, tokens, *model.at(blocks, tokens)))
    names = [*settings, "predicted_ms", "predicted_low_ms", "predicted_high_ms"]
    kept = [*settings, "context_tokens", "batch", "sessions", "round", "repeat", "value"]
    points = timed[kept].rename(columns={"value": "observed_ms"})
    points = points.merge(pd.DataFrame(predicted, columns=names), on=settings, how="left")
    points["relative_residual"] = points["observed_ms"] / points["predicted_ms"] - 1.0
    return points


def fit_device(
    trace: Trace,
    name: str,
    rng: np.random.Generator,
    link: Trace | None = None,
    memory_gb: float | None = None,
) -> DeviceFit:
    """Fit the performance models (docs/model.md#performance) to a trace.

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
    InputError, InputErrors
        If the trace is not a device's, lacks an experiment that the profile needs, varies nothing
        in it, or gives numbers that no device can have.
    """
    about = trace.manifest
    if not isinstance(about, DeviceManifest):
        raise InputError(trace.path, "kind", about.kind, "device: a trace of `bprr measure`")
    link = trace if link is None else link
    drift = _drift(trace)
    spread = drift.value if drift else 0.0
    decode = fit_line(trace, "decode_blocks", "blocks", ("1", "k"), spread, rng)
    prefill = fit_line(trace, "prefill_input", "input_tokens", ("1", "k", "k·l_in"), spread, rng)
    trips = link.of("network_round_trip")
    round_trip = median_interval(trips[trips["payload_bytes"] == 1]["value"], rng)
    bandwidth = _bandwidth(link, rng)
    blocks_held, cached = trace.of("block_memory"), trace.of("cache_memory")
    forward_ms = prefill.per_block(PETALS_FORWARD_TOKENS).value
    activation_bits = about.model.d_model * about.bytes_per_value * _BITS_PER_BYTE
    numbers = {
        "tau_ms": decode.per_block(1).value,
        # A fixed cost that noise puts below zero is none; the estimate itself is kept beside it.
        "prefill_ms": max(0.0, prefill.coefficient("k").value),
        "prefill_ms_per_token": prefill.coefficient("k·l_in").value,
        "memory_gb": about.device.free_gb if memory_gb is None else memory_gb,
        "forward_rps": PETALS_FORWARD_TOKENS * 1e3 / forward_ms if forward_ms else 0.0,
        "network_rps": bandwidth.value * 1e6 / activation_bits,
    }
    words = {
        "name": name,
        "title": f"{about.device.name}, {about.model.name} in {about.weights}",
        "source": f"fitted to {trace.path.name}, sha256 {trace.sha256}",
    }
    device = validated(Device, {**words, **numbers}, f"fit of {trace.path}")
    return DeviceFit(
        about=about,
        device=device,
        decode=decode,
        prefill=prefill,
        hop_overhead_ms=_hop_overhead(trace, rng),
        block_gb=_slope_gb(blocks_held, blocks_held["blocks"]),
        cache_gb_per_token=_slope_gb(cached, cached["blocks"] * cached["context_tokens"]),
        round_trip_ms=round_trip,
        bandwidth_mbit_per_s=bandwidth,
        drift_between_rounds=drift,
        findings=(
            steadiness(drift),
            linearity("decoding time against blocks", decode),
            linearity("prefill time against input length", prefill),
            *(influence(trace, experiment, rng) for experiment in INFLUENCES),
        ),
        points=_points(trace, decode, prefill),
    )
