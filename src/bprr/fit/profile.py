"""A fit as files that scenarios refer to by name: a device profile and the model it was timed on.

The files have the form of ``data/published/devices.yaml`` and ``models.yaml`` that
scenarios read; what the numbers rest on stands beside them under ``provenance``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import yaml
from pydantic import BeforeValidator

from bprr.fit.device import DeviceFit
from bprr.fit.findings import Finding
from bprr.fit.regression import CONFIDENCE
from bprr.ground.errors import InputError
from bprr.ground.intervals import Interval
from bprr.ground.schema import Count, Share, Strict
from bprr.ground.storage import replacing
from bprr.ground.swarm import Device
from bprr.ground.tables import NUMBER, TEXT, WHOLE, Schema, read_csv
from bprr.measure.manifest import Computed, DeviceManifest, MeasuredDevice
from bprr.measure.shapes import ModelShape
from bprr.measure.trace import Trace
from bprr.settings.messages import validated
from bprr.settings.yaml_file import read_yaml

__all__ = ["Provenance", "read_fit", "write_fit"]

DEVICE_FILE, MODEL_FILE, POINTS_FILE = "device.yaml", "model.yaml", "points.csv"
POINTS = Schema(
    "points of a fit (bprr fit)",
    {
        "experiment": TEXT,
        **dict.fromkeys(("blocks", "input_tokens", "context_tokens", "batch", "sessions"), WHOLE),
        **dict.fromkeys(("observed_ms", "predicted_ms", "relative_residual"), NUMBER),
        **dict.fromkeys(("predicted_low_ms", "predicted_high_ms"), NUMBER.with_gaps),
    },
)
_DIGITS = 6


def _rounded(value: Any) -> Any:
    """Six significant digits, more than any timing has; None where there is no number."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None


def _as_written(found: Any) -> Any:
    if not isinstance(found, Interval):
        return found
    return {"value": found.value, "interval": (found.low, found.high)}


Number = Annotated[float | None, BeforeValidator(_rounded)]


class WrittenInterval(Strict):
    """An `Interval` as it stands in a file."""

    value: Number
    interval: tuple[Number, Number]


Written = Annotated[WrittenInterval, BeforeValidator(_as_written)]


class Line(Strict):
    """Coefficients and quality of a `bprr.fit.line.LinearModel`."""

    coefficients_ms: dict[str, Written]
    r2_settings: Number
    r2_observations: Number
    held_out_median_error: Number
    worst_setting_error: Number


class Numbers(Strict):
    """What was fitted, in the units of the names, and what the shape of the blocks implies."""

    confidence: Share = CONFIDENCE
    tau_ms: Written
    decode: Line
    prefill: Line
    hop_overhead_ms: Written | None
    block_gb: Written | None
    cache_gb_per_token: Written | None
    computed: Computed
    round_trip_ms: Written | None
    bandwidth_mbit_per_s: Written
    drift_between_rounds: Written | None


class Provenance(Strict):
    """What a fitted profile rests on: trace, device, model, numbers with intervals, findings."""

    trace_sha256: str
    observations: Count
    measured_utc: str
    code_revision: str | None
    source_hash: str
    device: MeasuredDevice
    model: ModelShape
    weights: str
    libraries: dict[str, str]
    network: str
    fit: Numbers
    verdicts: list[Finding]


def _provenance(fit: DeviceFit, trace: Trace) -> Provenance:
    kept = Provenance.model_fields.keys() & DeviceManifest.model_fields.keys()
    return Provenance(
        trace_sha256=trace.sha256,
        observations=len(trace.rows),
        fit=Numbers.model_validate(fit, from_attributes=True),
        verdicts=list(fit.findings),
        **fit.about.model_dump(include=kept),
    )


def _profile(fit: DeviceFit, trace: Trace) -> dict[str, Any]:
    """A device as a scenario reads it."""
    known = fit.device.model_dump(exclude={"name", "provenance"}, exclude_none=True)
    provenance = _provenance(fit, trace).model_dump(mode="json")
    return {
        **{key: _rounded(value) for key, value in known.items()},
        "model": f"{fit.device.name}_model",
        "provenance": provenance,
    }


def _model(about: DeviceManifest) -> dict[str, Any]:
    """The model whose blocks were timed; memory as its shape and the storage of weights imply."""
    model = about.model.language_model(about.computed.bytes_per_parameter, about.bytes_per_value)
    return {
        **model.model_dump(exclude={"name", "storage_overhead", "block_gb"}, exclude_none=True),
        "cache_bytes_per_value": about.bytes_per_value,
        "source": f"published architecture of {model.name}, weights in {about.weights}",
    }


def write_fit(folder: Path, fit: DeviceFit, trace: Trace) -> None:
    """Write the device, the model that was timed, and the points that the fit rests on.

    The device has the fit's name; the model has it with ``_model`` behind.
    """
    name = fit.device.name
    entries = {
        DEVICE_FILE: {name: _profile(fit, trace)},
        MODEL_FILE: {f"{name}_model": _model(fit.about)},
    }
    for file, content in entries.items():
        with replacing(folder / file) as unfinished:
            text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
            unfinished.write_text(text, encoding="utf-8")
    with replacing(folder / POINTS_FILE) as unfinished:
        fit.points.to_csv(unfinished, index=False, float_format="%.6g", lineterminator="\n")


def read_fit(folder: Path) -> tuple[str, Provenance, pd.DataFrame]:
    """Title, provenance and points of what `write_fit` wrote.

    Raises
    ------
    InputError, InputErrors
        If a file cannot be read or holds something else.
    """
    path = folder / DEVICE_FILE
    devices = read_yaml(path)
    if len(devices) != 1:
        raise InputError(path, "file", f"{len(devices)} devices", "the one that was fitted")
    (content,) = devices.values()
    device = validated(Device, content, path)
    provenance = validated(Provenance, device.provenance, f"{path}: provenance")
    return device.title, provenance, read_csv(folder / POINTS_FILE, POINTS)
