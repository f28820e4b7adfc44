"""How fast a machine is: as fitted, as PETALS measured itself, or as its data sheet lets hope."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from bprr.ground.errors import InputError
from bprr.ground.swarm import Device, LanguageModel
from bprr.plan.gpus import Gpu, gpu_named, known_gpus
from bprr.plan.known import Grade
from bprr.plan.machines import Machine
from bprr.scenario.topologies import did_you_mean
from bprr.settings.messages import validated

__all__ = ["Engine", "Paced", "bits_of", "paced"]

Engine = Literal["eager", "fused"]


class Factors(NamedTuple):
    """Ends of an interval, as shares of the value."""

    low: float
    high: float


class Paced(NamedTuple):
    """A machine's device for a model, and how well its times are known.

    Parameters
    ----------
    device : Device
        With all of the GPU's memory that may be used.
    decode, prefill : Factors
        Interval of τ and of the prefill's times, as shares of them.
    grade : Grade
        Where the times are from.
    because : str
        The same in words.
    """

    device: Device
    decode: Factors
    prefill: Factors
    grade: Grade
    because: str


# Share of the bandwidth's roofline that decoding reaches: low, value, high. Eager kernels: the
# published A100 with NF4 reaches 20 %, its MIG slice 32 % (docs/plan.md#devices); of int8 and 16
# bits nobody has published a fit, so their intervals are wider. Engines with fused kernels: 60 to
# 84 %.
EFFICIENCY: Mapping[tuple[Engine, str], tuple[float, float, float]] = {
    ("eager", "4"): (0.15, 0.25, 0.45),
    ("eager", "8"): (0.10, 0.25, 0.60),
    ("eager", "16"): (0.20, 0.45, 0.85),
    ("fused", "4"): (0.45, 0.70, 0.84),
    ("fused", "8"): (0.50, 0.70, 0.84),
    ("fused", "16"): (0.60, 0.72, 0.84),
}
# A block's kernels have to be launched: 0.87 to 4 ms on one and the same card, 0.2 with graphs.
LAUNCH_MS: Mapping[Engine, tuple[float, float, float]] = {
    "eager": (0.2, 0.87, 4.0),
    "fused": (0.05, 0.2, 0.5),
}
# A prompt: a constant of so many τ (published NF4 fits: 10.2 on the A100, 12.7 on its slice; it
# unpacks the block), and FLOPs at this share of the data sheet (21 % on the A100).
PROMPT_TAUS: Mapping[str, float] = {"4": 10.0, "8": 3.0, "16": 1.0}
COMPUTE_SHARE = 0.21
PREFILL_FACTORS = Factors(0.4, 2.0)
# 1000/inference_rps is 0.84 of the fitted τ on the A100, and 1.00 on its slice.
ANNOUNCED_TO_FITTED = 1.09
ANNOUNCED_FACTORS = Factors(0.91, 1.10)
# Of a fitted profile: the testbed's largest error of a time per token is 12.6 %.
FITTED_FACTORS = Factors(0.88, 1.13)
DEFAULT_MBIT_PER_S = 100.0  # what PETALS assumes where its speed test fails
RELAY_SHARE = 0.2  # of network_rps, as PETALS counts a server behind a relay


def bits_of(model: LanguageModel) -> str:
    """Nearest of 4, 8 and 16 bits per parameter that a model is stored in."""
    bits = model.bits_per_parameter
    if bits is None and model.parameters_per_block:
        bits = model.block_gb * 8e9 / model.parameters_per_block
    return "16" if bits is None or bits > 10 else "8" if bits > 6 else "4"


def paced(
    machine: Machine,
    model: LanguageModel,
    profiles: Mapping[str, Device],
    models: Mapping[str, LanguageModel],
    engine: Engine,
    read_share: float,
    where: object,
) -> Paced:
    """Device of a machine, by the best that is known of it.

    Parameters
    ----------
    profiles : mapping
        Fitted devices by name; one is taken where a machine's ``gpu`` bears its name.
    models : mapping
        Models that they were measured with, among others.
    engine : str
        ``eager``, as PETALS runs, or ``fused`` kernels.
    read_share : float
        Share of a block's parameters that a token reads: less than 1 with experts.
    where : object
        The description of the machines, for messages.

    Raises
    ------
    InputError
        If nothing is known of its speed or memory.
    """
    gpu = gpu_named(machine.gpu) if machine.gpu else None
    memory_gb = machine.memory_gb or (gpu.memory_gb if gpu else None)
    profile = profiles.get(machine.gpu) or profiles.get(_slug(machine.gpu))
    if profile is not None:
        found = _fitted(machine, profile, model, models, where)
    elif machine.inference_rps is not None:
        found = _announced(machine, model, f"{where}: speed of {machine.name}")
    elif gpu is not None:
        found = _roofline(gpu, model, engine, read_share, f"{where}: speed of {machine.name}")
    else:
        known = [*profiles, *(each.name for each in known_gpus())]
        allowed = (
            f"{did_you_mean(machine.gpu, known)}a GPU that is known (docs/plan.md#devices), a"
            " profile of --devices by its name, or a column inference_rps"
        )
        raise InputError(where, f"gpu of {machine.name}", machine.gpu or "nothing", allowed)
    if memory_gb is None:
        memory_gb = found.device.memory_gb if profile is not None else _hosted_gb(machine, model)
    if memory_gb is None:
        raise InputError(where, f"memory_gb of {machine.name}", "nothing", "GB of its GPU")
    network_rps = machine.network_rps or found.device.network_rps or (
        DEFAULT_MBIT_PER_S * 1e6 / (16 * model.d_model)
    )  # fmt: skip
    if machine.relay and machine.network_rps is None:
        network_rps *= RELAY_SHARE
    prompt_ms = found.device.prefill_ms + 1024 * found.device.prefill_ms_per_token
    changed = {
        "memory_gb": memory_gb,
        "network_rps": network_rps,
        "forward_rps": machine.forward_rps or found.device.forward_rps or 1024e3 / prompt_ms,
        "model": model.name,
    }
    return found._replace(device=found.device.model_copy(update=changed))


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _hosted_gb(machine: Machine, model: LanguageModel) -> float | None:
    """Memory that what a server hosts and announces takes, at the least."""
    if machine.span is None:
        return None
    cache_gb = (machine.cache_tokens or 0) * model.cache_gb_per_token
    return machine.span[1] * model.block_gb + cache_gb


def _fitted(
    machine: Machine,
    profile: Device,
    model: LanguageModel,
    models: Mapping[str, LanguageModel],
    where: object,
) -> Paced:
    because = f"profile {profile.name}"
    if profile.of_model(model):
        grade = Grade.CALIBRATED if profile.provenance.get("calibrated") else Grade.MEASURED
        return Paced(profile, FITTED_FACTORS, FITTED_FACTORS, grade, because)
    measured = models.get(str(profile.model))
    if measured is None:
        allowed = f"a profile of {model.name}, or {profile.model} among the models"
        raise InputError(where, f"gpu of {machine.name}", profile.name, allowed)
    if bits_of(measured) != bits_of(model):
        because += f", of {bits_of(measured)} bits, used for {bits_of(model)}"
    # Scaled by the bytes of a block: as uncertain as a share of the roofline is between models.
    because += f", scaled from {measured.name} by the bytes of a block"
    scaled = profile.scaled(measured, model)
    return Paced(scaled, Factors(0.6, 1.6), Factors(0.4, 2.0), Grade.ESTIMATED, because)


def _announced(machine: Machine, model: LanguageModel, where: str) -> Paced:
    assert machine.inference_rps is not None
    tau_ms = 1000.0 / machine.inference_rps * ANNOUNCED_TO_FITTED
    forward_rps = machine.forward_rps
    per_token = tau_ms / 40 if forward_rps is None else 1000.0 / forward_rps
    times = {
        "name": _slug(machine.gpu) or "server",
        "tau_ms": tau_ms,
        "prefill_ms": PROMPT_TAUS[bits_of(model)] * tau_ms,
        "prefill_ms_per_token": per_token,
        "memory_gb": 1.0,
        "inference_rps": machine.inference_rps,
        "forward_rps": forward_rps,
    }
    device = validated(Device, times, where)
    because = "1/inference_rps, as PETALS measured itself"
    return Paced(device, ANNOUNCED_FACTORS, PREFILL_FACTORS, Grade.MEASURED, because)


def _roofline(
    gpu: Gpu, model: LanguageModel, engine: Engine, read_share: float, where: str
) -> Paced:
    """Bytes of a block over bandwidth, FLOPs of a prompt over those of the data sheet."""
    bits = bits_of(model)
    roof_ms = model.block_gb * read_share / gpu.bandwidth_gb_per_s * 1000.0
    low, share, high = EFFICIENCY[engine, bits]
    least, launch, most = LAUNCH_MS[engine]
    tau_ms = max(roof_ms / share, launch)
    ends = max(roof_ms / high, least), max(roof_ms / low, min(most, 4 * tau_ms))
    parameters = model.parameters_per_block or model.block_gb * 8e9 / 16
    per_token = 2 * parameters * read_share / (gpu.tflops * 1e12 * COMPUTE_SHARE) * 1000.0
    prefill_ms = PROMPT_TAUS[bits] * tau_ms if engine == "eager" else tau_ms
    times = {
        "name": _slug(gpu.name),
        "title": gpu.name,
        "tau_ms": tau_ms,
        "prefill_ms": prefill_ms,
        "prefill_ms_per_token": per_token,
        "memory_gb": gpu.memory_gb,
    }
    device = validated(Device, times, where)
    because = (
        f"{gpu.source}: {gpu.bandwidth_gb_per_s:g} GB/s, {gpu.tflops:g} TFLOP/s;"
        f" {roof_ms / tau_ms:.0%} of the bandwidth's roofline"
    )
    return Paced(
        device, Factors(ends[0] / tau_ms, ends[1] / tau_ms), PREFILL_FACTORS,
        Grade.ESTIMATED, because,
    )  # fmt: skip
