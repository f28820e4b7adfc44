"""A fit as files that scenarios refer to by name: a device profile and the model it was timed on.

The files have the form of ``data/published/devices.yaml`` and ``models.yaml`` that
scenarios read.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from bprr.fit.device import DeviceFit, LinearModel
from bprr.fit.regression import CONFIDENCE, Estimate
from bprr.ground.storage import replacing
from bprr.measure.trace import Trace

__all__ = [
    "DEVICE_FILE",
    "MODEL_FILE",
    "POINTS_FILE",
    "device_profile",
    "measured_model",
    "write_fit",
]

DEVICE_FILE, MODEL_FILE, POINTS_FILE = "device.yaml", "model.yaml", "points.csv"

_DIGITS = 6
_BITS_PER_BYTE = 8
_NUMBERS = (
    "tau_ms",
    "prefill_ms",
    "prefill_ms_per_token",
    "memory_gb",
    "forward_rps",
    "network_rps",
)


def _rounded(value: float) -> float | None:
    """Six significant digits, more than any timing has; None where there is no number."""
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None


def _estimate(found: Estimate | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"value": _rounded(found.value), "interval": [_rounded(found.low), _rounded(found.high)]}


def _line(model: LinearModel) -> dict[str, Any]:
    held_out = model.held_out_error
    return {
        "coefficients_ms": {name: _estimate(model.coefficient(name)) for name in model.columns},
        "r2_settings": _rounded(model.r2_settings),
        "r2_observations": _rounded(model.r2_observations),
        "held_out_median_error": None if held_out is None else _rounded(held_out),
        "worst_setting_error": _rounded(model.worst_setting_error),
    }


def device_profile(fit: DeviceFit, trace: Trace) -> dict[str, Any]:
    """Plain values of a fitted device, as a scenario reads them.

    Parameters
    ----------
    fit : DeviceFit
        What was fitted.
    trace : Trace
        What it was fitted to.

    Returns
    -------
    dict
        The keys of a published device, and ``provenance``: trace and manifest, estimates with
        intervals and quality, verdicts.
    """
    about, device = trace.manifest, fit.device
    kept = (
        "measured_utc",
        "code_revision",
        "source_hash",
        "device",
        "model",
        "weights",
        "libraries",
        "network",
    )
    return {
        "title": f"{about['device']['name']}, {about['model']['name']} in {about['weights']}",
        **{key: _rounded(getattr(device, key)) for key in _NUMBERS},
        "source": device.source,
        "provenance": {
            "trace_sha256": trace.sha256,
            "observations": len(trace.rows),
            **{key: about[key] for key in kept if key in about},
            "fit": {
                "confidence": CONFIDENCE,
                "tau_ms": _estimate(fit.decode.per_block(1)),
                "decode": _line(fit.decode),
                "prefill": _line(fit.prefill),
                "hop_overhead_ms": _estimate(fit.hop_overhead_ms),
                "block_gb": _estimate(fit.block_gb),
                "cache_gb_per_token": _estimate(fit.cache_gb_per_token),
                "computed": about.get("computed"),
                "round_trip_ms": _estimate(fit.round_trip_ms),
                "bandwidth_mbit_per_s": _estimate(fit.bandwidth_mbit_per_s),
                "drift_between_rounds": _estimate(fit.drift),
            },
            "verdicts": [asdict(verdict) for verdict in fit.verdicts],
        },
    }


def measured_model(trace: Trace) -> dict[str, Any]:
    """The model whose blocks were timed, as a scenario reads it.

    Returns
    -------
    dict
        The keys of a published model; memory as the shape and the storage of its weights imply.
    """
    about = trace.manifest
    model, computed = about["model"], about["computed"]
    return {
        "blocks": model["blocks"],
        "d_model": model["d_model"],
        "max_sequence_tokens": model["max_sequence_tokens"],
        "parameters_per_block": computed["parameters_per_block"],
        "bits_per_parameter": computed["bytes_per_parameter"] * _BITS_PER_BYTE,
        "cache_bytes_per_value": about["bytes_per_value"],
        "key_value_groups": model["heads"] // model["key_value_heads"],
        "source": f"published architecture of {model['name']}, weights in {about['weights']}",
    }


def write_fit(folder: Path, fit: DeviceFit, trace: Trace) -> None:
    """Write the device, the model that was timed, and the points that the fit rests on.

    The device has the fit's name; the model has it with ``_model`` behind.
    """
    name = fit.device.name
    entries = {
        DEVICE_FILE: {name: device_profile(fit, trace)},
        MODEL_FILE: {f"{name}_model": measured_model(trace)},
    }
    for file, content in entries.items():
        with replacing(folder / file) as unfinished:
            text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
            unfinished.write_text(text, encoding="utf-8")
    with replacing(folder / POINTS_FILE) as unfinished:
        fit.points.to_csv(unfinished, index=False, float_format="%.6g", lineterminator="\n")
