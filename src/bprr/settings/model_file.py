"""An entry of a model file, from an architecture."""

from __future__ import annotations

from collections import Counter
from typing import Any

from bprr.ground.errors import InputError
from bprr.settings.hugging_face import Architecture, Block

__all__ = ["model_entry"]

BYTES_PER_VALUE = 2.0  # of caches, as engines keep them


def model_entry(architecture: Architecture, where: object, upper_bound: bool) -> dict[str, Any]:
    """Keys of a language model.

    Parameters
    ----------
    where : object
        What the architecture is from.
    upper_bound : bool
        Take the largest block and the largest cache for all, where blocks differ.

    Raises
    ------
    InputError
        If blocks differ and no bound is asked for: a model has equal blocks here.
    """
    kinds = Counter(architecture.blocks)
    source = f"{where}: {architecture.family}"
    if len(kinds) > 1:
        listed = "; ".join(f"{count} blocks of {_said(block)}" for block, count in kinds.items())
        if not upper_bound:
            allowed = "equal blocks, or --upper-bound: the largest block and cache for all of them"
            raise InputError(where, "blocks", listed, allowed)
        source += f", an upper bound: in truth {listed}"
    largest = max(kinds, key=architecture.block_gigabytes)
    values = max(block.cache_values for block in kinds)
    windows = [block.window_tokens for block in kinds]
    bits = architecture.block_gigabytes(largest) * 8e9 / largest.parameters
    width = architecture.key_value_heads * architecture.head_size
    entry: dict[str, Any] = {
        "blocks": len(architecture.blocks),
        "d_model": architecture.d_model,
        "max_sequence_tokens": architecture.max_sequence_tokens,
        "parameters_per_block": largest.parameters,
        "bits_per_parameter": round(bits, 6),
        "key_value_groups": architecture.heads // architecture.key_value_heads,
    }
    if values == 2 * width:
        entry["key_value_width"] = width
    else:
        entry["cache_bytes_per_token_per_block"] = values * BYTES_PER_VALUE
    if None not in windows:
        entry["window_tokens"] = max(window for window in windows if window is not None)
    return {**entry, "source": source}


def _said(block: Block) -> str:
    window = "" if block.window_tokens is None else f" within {block.window_tokens:,} tokens"
    return f"{block.parameters:,} parameters, {block.cache_values:,} cached values a token{window}"
