"""One run on one device: builds blocks, follows the plan, returns observations and manifest."""

from __future__ import annotations

import time
from dataclasses import asdict

import numpy as np
import torch
from tqdm import tqdm

from bprr.ground.swarm import BYTES_PER_GB
from bprr.measure import manifest
from bprr.measure.blocks import DecoderBlocks, SessionCache
from bprr.measure.hardware import Hardware
from bprr.measure.memory import observe_cache_memory, observe_growing_blocks, require_memory
from bprr.measure.network import Peer, observe_link, serving_in_background
from bprr.measure.plan import LEAST_ROUNDS, Plan, Visit, rounds
from bprr.measure.quantise import WeightFormat
from bprr.measure.shapes import ModelShape
from bprr.measure.trace import Recorder

__all__ = ["from_bytes", "measure_device", "to_bytes"]

LIBRARIES = ("torch", "transformers", "numpy", "bitsandbytes")
_SERIALISED_TOKENS = (1, 16, 64, 128)
_LOOPBACK_REPEATS = 100
_LOOPBACK_BULK_BYTES = 16 * 1024**2


def to_bytes(activation: torch.Tensor) -> bytes:
    """Values of an activation in row order; its shape and type travel separately."""
    values = activation.detach().to("cpu").contiguous()
    # NumPy has no bfloat16, so the bytes are taken as they are.
    return values.view(torch.uint8).numpy().tobytes()


def from_bytes(payload: bytes, like: torch.Tensor) -> torch.Tensor:
    """Activation whose values `to_bytes` gave; type, shape and place are those of another one."""
    values = torch.frombuffer(bytearray(payload), dtype=like.dtype)
    return values.reshape(like.shape).to(like.device)


def _time_visit(
    blocks: DecoderBlocks, hardware: Hardware, visit: Visit, steps: int, warm_up: int
) -> list[float]:
    """Time (ms) of each timed step of a visit, caches being open before the first."""
    device, room = hardware.torch_device, visit.context_tokens + visit.input_tokens
    caches = [
        SessionCache(blocks.shape, visit.blocks, visit.batch, room, blocks.dtype, device)
        for _ in range(visit.sessions)
    ]
    size = (visit.batch, visit.input_tokens, blocks.shape.d_model)
    hidden = torch.randn(size, device=device).to(blocks.dtype)
    times = []
    for step in range(-max(warm_up, visit.sessions), steps):  # every session warms up
        cache = caches[step % visit.sessions]
        cache.tokens = visit.context_tokens  # every step sees the same context
        hardware.synchronise()
        start = time.perf_counter()
        blocks(hidden, cache, visit.blocks)
        hardware.synchronise()
        if step >= 0:
            times.append((time.perf_counter() - start) * 1e3)
    return times


def _observe_serialisation(blocks: DecoderBlocks, device: torch.device, rec: Recorder) -> None:
    """Cost of turning activations into bytes and back."""
    for tokens in _SERIALISED_TOKENS:
        size = (1, tokens, blocks.shape.d_model)
        activation = torch.randn(size, device=device).to(blocks.dtype)
        for repeat in range(-3, 30):
            start = time.perf_counter()
            payload = to_bytes(activation)
            from_bytes(payload, activation)
            elapsed = (time.perf_counter() - start) * 1e3
            if repeat >= 0:
                rec.add(Visit("serialisation", 0, 0, tokens), elapsed, 0, repeat, len(payload))


def measure_device(
    shape: ModelShape,
    chosen: WeightFormat,
    hardware: Hardware,
    plan: Plan,
    threads: int,
    seed: int,
) -> tuple[list[dict[str, object]], dict[str, object]]:
    """Observe time and memory of blocks on a device.

    Parameters
    ----------
    shape, chosen
        Model whose blocks are built, and how their weights are stored.
    hardware, threads
        Device, and the compute threads in use.
    plan, seed
        Settings, rounds and repeats; seed of their order and of the weights.

    Returns
    -------
    rows : list of dict
        Observations, keys as in `bprr.measure.trace.COLUMNS`.
    manifest : dict
        As `bprr.measure.manifest.DeviceManifest`, but for the trace itself.

    Raises
    ------
    InfeasibleError
        If blocks or caches do not fit into the device's memory, naming the missing bytes.
    """
    torch.manual_seed(seed)
    rec, origin = Recorder(), manifest.origin(LIBRARIES)
    before, free_bytes = hardware.condition(), hardware.free_bytes()
    value_bytes = chosen.activations.itemsize
    require_memory(hardware, shape, chosen, plan)
    blocks = observe_growing_blocks(shape, plan.most_blocks, chosen, hardware, rec)
    observe_cache_memory(blocks, hardware, rec)
    _observe_serialisation(blocks, hardware.torch_device, rec)
    with serving_in_background() as address, Peer(*address) as peer:
        activation_bytes = shape.d_model * value_bytes
        observe_link(peer, rec, activation_bytes, _LOOPBACK_REPEATS, _LOOPBACK_BULK_BYTES)

    longest_s, ended_s = 0.0, rec.elapsed_s()
    planned = rounds(plan, np.random.default_rng(seed))
    for turn, order in enumerate(tqdm(planned, total=plan.rounds, unit="round", disable=None)):
        if turn >= LEAST_ROUNDS and ended_s + longest_s > plan.budget_s:
            break
        for visit in order:
            times = _time_visit(blocks, hardware, visit, plan.steps(visit), plan.warm_up)
            for repeat, elapsed in enumerate(times):
                rec.add(visit, elapsed, turn, repeat)
        longest_s = max(longest_s, rec.elapsed_s() - ended_s)
        ended_s = rec.elapsed_s()

    model = shape.language_model(chosen.bytes_per_parameter, value_bytes)
    return rec.rows, {
        "kind": "device",
        **origin,
        "device": {
            "kind": hardware.kind,
            "name": hardware.name(),
            "driver": hardware.driver(),
            "memory_gb": hardware.total_bytes() / BYTES_PER_GB,
            "free_gb": free_bytes / BYTES_PER_GB,
            "threads": threads,
        },
        "model": shape.model_dump(),
        "computed": {
            "parameters_per_block": shape.block_parameters,
            "bytes_per_parameter": chosen.bytes_per_parameter,
            "block_gb": model.block_gb,
            "cache_gb_per_token": model.cache_gb_per_token,
        },
        "weights": chosen.name,
        "bytes_per_value": value_bytes,
        "network": "loopback of the same machine",
        "settings": {**asdict(plan), "seed": seed},
        "condition": {"start": before, "end": hardware.condition()},
        "duration_s": round(rec.elapsed_s(), 1),
    }
