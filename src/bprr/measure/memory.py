"""Memory of blocks and of cached tokens, as the device accounts for it (paper, section 2)."""

from __future__ import annotations

from collections.abc import Callable

from bprr.measure.blocks import DecoderBlocks, SessionCache, build_blocks
from bprr.measure.hardware import Hardware
from bprr.measure.quantise import WeightFormat
from bprr.measure.shapes import ModelShape

__all__ = ["CACHE_LEVELS", "TOKENS_PER_LEVEL", "observe_cache_memory", "observe_growing_blocks"]

# Called with (experiment, blocks, cached tokens, bytes).
Record = Callable[[str, int, int, int], None]

CACHE_LEVELS = 8
TOKENS_PER_LEVEL = 256


def observe_growing_blocks(
    shape: ModelShape, count: int, chosen: WeightFormat, hardware: Hardware, record: Record
) -> DecoderBlocks:
    """Build blocks one by one and record the memory in use after each.

    Parameters
    ----------
    shape : ModelShape
        Of each block.
    count : int
        Blocks to build.
    chosen : WeightFormat
        Storage of the weights.
    hardware : Hardware
        Where they live.
    record : callable
        Receives the growth since before the first block; not called where nobody accounts.

    Returns
    -------
    DecoderBlocks
        The blocks that were built.
    """
    start = hardware.allocated_bytes()

    def built(blocks: int) -> None:
        now = hardware.allocated_bytes()
        if start is not None and now is not None and now > start:
            grown.append((blocks, now - start))

    grown: list[tuple[int, int]] = []
    blocks = build_blocks(shape, count, chosen, hardware, built)
    # Blocks that fill memory freed before show no growth; what one of them shows is no slope.
    if len(grown) > 1:
        for number, value in grown:
            record("block_memory", number, 0, value)
    return blocks


def observe_cache_memory(blocks: DecoderBlocks, hardware: Hardware, record: Record) -> None:
    """Open sessions one by one and record the memory in use after each.

    All of them stay open, so that no freed memory is handed out again.
    """
    start = hardware.allocated_bytes()
    count = len(blocks.blocks)
    caches, grown = [], []
    for level in range(1, CACHE_LEVELS + 1):
        caches.append(
            SessionCache(
                blocks.shape, count, 1, TOKENS_PER_LEVEL, blocks.dtype, hardware.torch_device
            )
        )
        now = hardware.allocated_bytes()
        if start is not None and now is not None and now > start:
            grown.append((level * TOKENS_PER_LEVEL, now - start))
    if len(grown) > 1:
        for tokens, value in grown:
            record("cache_memory", count, tokens, value)
