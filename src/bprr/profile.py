"""A device profile as a file: the numbers a scenario reads, and where they come from."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from bprr.fit import DeviceFit, LinearModel
from bprr.measure.trace import Trace
from bprr.regression import CONFIDENCE, Estimate

__all__ = ["profile", "write_profile"]

_DIGITS = 6


def _rounded(value: float) -> float:
    """Six significant digits: more than any timing has."""
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else value


def _estimate(found: Estimate | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"value": _rounded(found.value), "interval": [_rounded(end) for end in found.as_list()]}


def _line(model: LinearModel) -> dict[str, Any]:
    held_out = model.held_out_error
    return {
        "coefficients_ms": {name: _estimate(model.coefficient(name)) for name in model.columns},
        "r2_settings": _rounded(model.r2_settings),
        "r2_observations": _rounded(model.r2_observations),
        "held_out_median_error": None if held_out is None else _rounded(held_out),
        "worst_setting_error": _rounded(model.worst_setting_error),
    }


def profile(fit: DeviceFit, trace: Trace) -> dict[str, Any]:
    """Plain values of a fit, for a file.

    Parameters
    ----------
    fit : DeviceFit
        What was fitted.
    trace : Trace
        What it was fitted to.

    Returns
    -------
    dict
        ``device``: the fields of `bprr.swarm.Device`, as a published device has them; ``fit``:
        estimates with intervals and quality; ``verdicts``; ``provenance``.
    """
    device = {
        key: _rounded(value) if isinstance(value, float) else value
        for key, value in asdict(fit.device).items()
    }
    about = trace.manifest
    kept = ("measured_utc", "code_revision", "device", "model", "weights", "libraries", "network")
    return {
        "device": device,
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
        "provenance": {
            "trace_sha256": trace.sha256,
            "observations": len(trace.rows),
            **{key: about[key] for key in kept if key in about},
        },
    }


def write_profile(path: Path, fit: DeviceFit, trace: Trace) -> None:
    """Write the profile as YAML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(profile(fit, trace), sort_keys=False, allow_unicode=True, width=100)
    path.write_text(text, encoding="utf-8")
