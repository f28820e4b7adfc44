"""Real decoder blocks with random weights, and the attention caches of their sessions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from transformers import BloomConfig, LlamaConfig, PreTrainedConfig, Qwen2Config
from transformers.models.bloom.modeling_bloom import BloomBlock, build_alibi_tensor
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRotaryEmbedding
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2RotaryEmbedding

from bprr.measure.quantise import WeightFormat, quantise_linear_layers
from bprr.measure.shapes import ModelShape

__all__ = ["DecoderBlocks", "SessionCache", "attention_config", "decoder_block"]

_LAYERS: dict[str, Callable[..., nn.Module]] = {
    "bloom": BloomBlock,
    "llama": LlamaDecoderLayer,
    "qwen2": Qwen2DecoderLayer,
}
_ROTARY: dict[str, Callable[..., nn.Module]] = {
    "llama": LlamaRotaryEmbedding,
    "qwen2": Qwen2RotaryEmbedding,
}


def attention_config(shape: ModelShape) -> PreTrainedConfig:
    """Configuration of the shape in the terms of its own family."""
    if shape.family == "bloom":
        return BloomConfig(
            hidden_size=shape.d_model,
            n_head=shape.heads,
            n_layer=shape.blocks,
            hidden_dropout=0.0,
            attention_dropout=0.0,
        )
    family = LlamaConfig if shape.family == "llama" else Qwen2Config
    config = family(
        hidden_size=shape.d_model,
        intermediate_size=shape.d_feedforward,
        num_hidden_layers=shape.blocks,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        max_position_embeddings=shape.max_sequence_tokens,
    )
    config._attn_implementation = "sdpa"
    return config


class SessionCache:
    """Attention cache of one session, allocated for its full length at once (as PETALS does).

    Parameters
    ----------
    shape : ModelShape
        Gives the key-value heads and their width.
    blocks, batch, most_tokens : int
        Blocks that keep a cache, sequences of the session, tokens that there is room for.
    dtype, device
        Type and place of the cached values.
    """

    def __init__(
        self,
        shape: ModelShape,
        blocks: int,
        batch: int,
        most_tokens: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        size = (2, batch, shape.key_value_heads, most_tokens, shape.head_width)
        self._values = [torch.empty(size, dtype=dtype, device=device) for _ in range(blocks)]
        for values in self._values:  # also makes the system hand out the memory now
            values.normal_()
        self.tokens = 0

    @property
    def nbytes(self) -> int:
        """Memory of the cache (bytes)."""
        return sum(values.nbytes for values in self._values)

    def update(
        self, key: torch.Tensor, value: torch.Tensor, block: int, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append keys and values of a block's new tokens; return all it holds now.

        The attention layers of transformers call this (the interface of its caches), some with
        more arguments than count here.

        Parameters
        ----------
        key, value : Tensor, shape (batch, key-value heads, new tokens, head width)
        block : int
            Position of the block, from 0.
        """
        end = self.tokens + key.shape[2]
        keys, values = self._values[block]
        keys[:, :, self.tokens : end] = key
        values[:, :, self.tokens : end] = value
        return keys[:, :, :end], values[:, :, :end]


def _causal_mask(new: int, total: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Additive mask: each of the last ``new`` of ``total`` tokens sees itself and earlier ones."""
    positions = torch.arange(total, device=device)
    hidden = positions[None, :] > positions[total - new :, None]
    zeros = torch.zeros((1, 1, new, total), dtype=dtype, device=device)
    return zeros.masked_fill(hidden, torch.finfo(dtype).min)


class DecoderBlocks(nn.Module):
    """Consecutive blocks as a server hosts them: activations in, activations out.

    Parameters
    ----------
    shape : ModelShape
        Of each block.
    blocks : sequence of Module
        Decoder layers of transformers, numbered from 0.
    dtype : torch.dtype
        Type of activations and caches.
    """

    def __init__(self, shape: ModelShape, blocks: list[nn.Module], dtype: torch.dtype) -> None:
        super().__init__()
        self.shape, self.dtype = shape, dtype
        self.blocks = nn.ModuleList(blocks)
        self.eval()
        self._rotary: nn.Module | None = None
        if shape.family in _ROTARY:
            device = next(self.parameters()).device
            self._rotary = _ROTARY[shape.family](attention_config(shape)).to(device)

    @torch.inference_mode()
    def forward(self, hidden: torch.Tensor, cache: SessionCache, blocks: int) -> torch.Tensor:
        """Process new tokens of a session and extend its cache.

        Parameters
        ----------
        hidden : Tensor, shape (batch, new tokens, d_model)
            Activations of the new tokens.
        cache : SessionCache
            Of this session; must have room for the new tokens.
        blocks : int
            Blocks to pass through, from the first.

        Returns
        -------
        Tensor, shape (batch, new tokens, d_model)
        """
        batch, new, _ = hidden.shape
        total = cache.tokens + new
        mask = _causal_mask(new, total, self.dtype, hidden.device) if new > 1 else None
        if self._rotary is None:
            seen = torch.ones((batch, total), device=hidden.device)
            alibi = build_alibi_tensor(seen, self.shape.heads, self.dtype)
            for block in self.blocks[:blocks]:
                hidden = block(
                    hidden, alibi=alibi, attention_mask=mask, layer_past=cache, use_cache=True
                )[0]
        else:
            positions = torch.arange(cache.tokens, total, device=hidden.device)[None, :]
            rotation = self._rotary(hidden, positions)
            for block in self.blocks[:blocks]:
                hidden = block(
                    hidden,
                    attention_mask=mask,
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                    position_embeddings=rotation,
                )
        cache.tokens = total
        return hidden


def decoder_block(
    shape: ModelShape, index: int, chosen: WeightFormat, device: torch.device
) -> nn.Module:
    """One block with random weights, allocated once in its final type.

    Its ``index``, from 0, is where it finds its values in a cache.
    """
    with torch.device("meta"):
        block = _LAYERS[shape.family](attention_config(shape), index)
    block = block.to(chosen.activations).to_empty(device=device)
    with torch.no_grad():
        for name, parameter in block.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.02)
            else:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    block.requires_grad_(False)
    if chosen.quantised:
        quantise_linear_layers(block, chosen)
    return block
