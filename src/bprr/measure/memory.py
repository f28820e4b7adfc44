"""Memory of blocks and of cached tokens, as the device accounts for it (docs/model.md#memory)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from bprr.ground.errors import InfeasibleError
from bprr.ground.swarm import BYTES_PER_GB
from bprr.measure.blocks import DecoderBlocks, SessionCache, decoder_block
from bprr.measure.hardware import Hardware
from bprr.measure.plan import Plan, Visit
from bprr.measure.quantise import WeightFormat
from bprr.measure.shapes import ModelShape
from bprr.measure.trace import Recorder

__all__ = ["observe_cache_memory", "observe_growing_blocks", "require_memory"]

CACHE_LEVELS = 8
TOKENS_PER_LEVEL = 256
# Scratch space of a step and of the libraries, kept free beside blocks and caches.
RESERVE_BYTES = 256 * 1024**2

Made = TypeVar("Made")


def require_memory(hardware: Hardware, shape: ModelShape, chosen: WeightFormat, plan: Plan) -> None:
    """Refuse a plan whose blocks and caches do not fit, before anything is allocated.

    Raises
    ------
    InfeasibleError
        Naming the missing bytes.
    """
    model = shape.language_model(chosen.bytes_per_parameter, chosen.activations.itemsize)
    cached = max(plan.most_cached_tokens, plan.most_blocks * CACHE_LEVELS * TOKENS_PER_LEVEL)
    needed_gb = plan.most_blocks * model.block_gb + cached * model.cache_gb_per_token
    if chosen.quantised:  # after it was built, so the last block exists twice for a moment
        needed_gb += shape.block_parameters * chosen.activations.itemsize / BYTES_PER_GB
    missing = int(needed_gb * BYTES_PER_GB) + RESERVE_BYTES - hardware.free_bytes()
    if missing > 0:
        what = f"{plan.most_blocks} blocks of {shape.name} ({chosen.name}) and their caches"
        size = f"{what} take {needed_gb:.3f} GB"
        raise InfeasibleError(f"memory on {hardware.kind}", f"{missing} bytes", size)


def observe_growing_blocks(
    shape: ModelShape, count: int, chosen: WeightFormat, hardware: Hardware, recorder: Recorder
) -> DecoderBlocks:
    """Build blocks with random weights one by one, and record the memory in use after each."""
    device = hardware.torch_device
    made, grown = _grown(
        (decoder_block(shape, index, chosen, device) for index in range(count)), hardware
    )
    for blocks, value in grown:
        recorder.add(Visit("block_memory", blocks, 0, 0), value)
    return DecoderBlocks(shape, made, chosen.activations)


def observe_cache_memory(blocks: DecoderBlocks, hardware: Hardware, recorder: Recorder) -> None:
    """Open sessions one by one, and record the memory in use after each.

    All of them stay open, so that no freed memory is handed out again.
    """
    shape, count = blocks.shape, len(blocks.blocks)
    room = (shape, count, 1, TOKENS_PER_LEVEL, blocks.dtype, hardware.torch_device)
    _, grown = _grown((SessionCache(*room) for _ in range(CACHE_LEVELS)), hardware)
    for sessions, value in grown:
        recorder.add(Visit("cache_memory", count, sessions * TOKENS_PER_LEVEL, 0), value)


def _grown(things: Iterable[Made], hardware: Hardware) -> tuple[list[Made], list[tuple[int, int]]]:
    """Things made one after another, and (how many, bytes more in use than before the first).

    What fills memory that was freed before shows no growth and is left out; a single observation
    of growth is no slope, so then there is none.
    """
    start = hardware.allocated_bytes()
    made, grown = [], []
    for thing in things:
        made.append(thing)
        more = hardware.allocated_bytes() - start
        if more > 0:
            grown.append((len(made), more))
    return made, grown if len(grown) > 1 else []
