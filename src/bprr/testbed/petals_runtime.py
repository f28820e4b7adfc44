"""What a server's only runtime is made to do: take a device's time, serve in an order, keep a log.

Lines of the log: ``S handle rank`` for every block when a session is opened; ``T handle prefix
tokens blocks submitted taken started ended`` (monotonic seconds) when a task ends. A server's ranks
and handles tell which task belongs to which session.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import petals.server.handler as petals_handler
import torch
from hivemind.moe.server.runtime import Runtime
from petals.server import block_functions
from petals.server.backend import TransformerBackend
from petals.server.task_pool import PrioritizedTaskPool
from petals.server.task_prioritizer import TaskPrioritizerBase

__all__ = ["accept_wide", "emulate_device", "log_sessions", "serve_in_order"]


def emulate_device(device: Mapping[str, float], log: int) -> None:
    """Let every task take as long as on a device: real computing is topped up by a sleep.

    The sleep is in the runtime, where PETALS runs one task after another; so sessions queue for an
    emulated device as they do for a real one.

    Parameters
    ----------
    device : mapping
        ``tau_ms``, ``prefill_ms`` and ``prefill_ms_per_token``, per block.
    log : int
        File descriptor to append to.
    """
    load, process = PrioritizedTaskPool.load_batch_to_runtime, Runtime.process_batch
    taken: dict[int, tuple[float, float]] = {}

    def loaded(pool, *arguments):  # type: ignore[no-untyped-def]
        number, batch = load(pool, *arguments)
        taken[number] = (pool._dispatched_tasks[number].time_submitted, time.monotonic())
        return number, batch

    def timed(runtime, pool, number, hidden, hypothesis, infos, *rest):  # type: ignore[no-untyped-def]
        started_s = time.monotonic()
        outputs = process(runtime, pool, number, hidden, hypothesis, infos, *rest)
        tokens = hidden.shape[1]
        prefill_ms = device["prefill_ms"] + device["prefill_ms_per_token"] * tokens
        task_s = len(infos) * (device["tau_ms"] if tokens == 1 else prefill_ms) / 1000.0
        time.sleep(max(started_s + task_s - time.monotonic(), 0.0))
        ended_s = time.monotonic()
        times = " ".join(f"{t:.6f}" for t in (*taken.pop(number), started_s, ended_s))
        handle, prefix = infos[0].cache_handles[0], infos[0].prefix_length
        os.write(log, f"T {handle} {prefix} {tokens} {len(infos)} {times}\n".encode())
        return outputs

    PrioritizedTaskPool.load_batch_to_runtime = loaded
    Runtime.process_batch = timed


def log_sessions(log: int) -> None:
    """Note which cache belongs to the session of which rank, as its client declared it."""
    iterate = petals_handler.iterate_rpc_inference

    def noted(*, cache_handles: Any, max_length: int, points: float, **rest: Any) -> Any:
        rank = round(points / max_length)
        os.write(log, "".join(f"S {of[0]} {rank}\n" for of in cache_handles).encode())
        return iterate(cache_handles=cache_handles, max_length=max_length, points=points, **rest)

    petals_handler.iterate_rpc_inference = noted


def accept_wide() -> None:
    """Compute on the part of an activation that the stand-in knows; the rest comes back as it is.

    So activations have the width of a large model on the wire, and of a small one in the block.
    """
    genuine = TransformerBackend.inference_step

    def narrowed(backend: Any, hidden: torch.Tensor, hypo_ids: Any, info: Any) -> Any:
        width = backend.config.hidden_size
        if hidden.shape[-1] == width:
            return genuine(backend, hidden, hypo_ids, info)
        (inner,) = genuine(backend, hidden[..., :width].contiguous(), hypo_ids, info)
        return (torch.cat([inner, hidden[..., width:]], dim=-1),)

    TransformerBackend.inference_step = narrowed


class _ByRank(TaskPrioritizerBase):
    """The task of the session of the lowest rank first."""

    def prioritize(self, *_: Any, points: float = 0.0, **__: Any) -> float:
        return 1.0 + points  # of all points those of one token, which is what clients declare


def serve_in_order(order: str, prompt: str) -> None:
    """Serve ``oldest`` sessions first, or as shipped (``fifo``); prompts ``block`` by block."""
    if order == "oldest":
        defaults = petals_handler.TransformerConnectionHandler.__init__.__kwdefaults__
        defaults["task_prioritizer"] = _ByRank()
    if prompt == "block":
        block_functions.MAX_SHORT_INFERENCE_TOKENS = 1
