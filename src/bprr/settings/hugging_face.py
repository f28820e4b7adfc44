"""Models as Hugging Face configurations describe them: memory and cache of every block.

Counted from the configuration alone, so nothing is downloaded and transformers is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bprr.ground.errors import InputError
from bprr.ground.files import read_json
from bprr.settings.quantisation import stored_bits

__all__ = ["FAMILIES", "Architecture", "Block", "architecture_of", "read_architecture"]


@dataclass(frozen=True)
class Family:
    """What the configurations of a family leave unsaid.

    Parameters
    ----------
    attention_bias, feedforward_bias : bool or str
        Whether these projections have biases, or the key that says so.
    output_bias : bool
        The attention's output has a bias where queries, keys and values have one.
    gated : bool
        Three feed-forward matrices instead of two.
    norms : int
        Norms as wide as the hidden state.
    norm_bias : bool
        Norms have a bias beside their weight.
    query_key_norm : str
        Norms of queries and keys: over each ``head``, over their whole ``width``, or none.
    sinks : bool
        A learned attention sink per head.
    expert_bias : bool
        Experts and their router have biases.
    sliding : str
        Which blocks attend to a window where ``layer_types`` does not say it: ``all``, ``even``,
        ``but_sixth``, or ``switch`` (``use_sliding_window``).
    defaults : mapping
        Values of keys that configurations leave out.
    """

    attention_bias: bool | str = "attention_bias"
    output_bias: bool = True
    feedforward_bias: bool | str = False
    gated: bool = True
    norms: int = 2
    norm_bias: bool = False
    query_key_norm: str = ""
    sinks: bool = False
    expert_bias: bool = False
    sliding: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)


FAMILIES: Mapping[str, Family] = {
    "bloom": Family(True, True, True, gated=False, norm_bias=True, defaults={"seq_length": 2048}),
    "deepseek_v3": Family(),
    "falcon": Family("bias", True, "bias", gated=False, norm_bias=True,
                     defaults={"max_position_embeddings": 2048}),
    "gemma": Family(defaults={"head_dim": 256}),
    "gemma2": Family(norms=4, sliding="even", defaults={"head_dim": 256}),
    "gemma3_text": Family(
        norms=4, query_key_norm="head", sliding="but_sixth",
        defaults={"head_dim": 256, "num_attention_heads": 8, "num_key_value_heads": 4,
                  "max_position_embeddings": 131072, "sliding_window": 4096}),
    "gpt_oss": Family(sinks=True, expert_bias=True, sliding="even",
                      defaults={"head_dim": 64, "attention_bias": True}),
    "granite": Family(feedforward_bias="mlp_bias"),
    "llama": Family(feedforward_bias="mlp_bias"),
    "mistral": Family(sliding="all"),
    "mixtral": Family(sliding="all"),
    "olmo": Family(norms=0),
    "olmo2": Family(query_key_norm="width"),
    "olmoe": Family(query_key_norm="width"),
    "phi": Family(True, True, True, gated=False, norms=1, norm_bias=True),
    "phi3": Family(sliding="all"),
    "qwen2": Family(True, False, sliding="switch"),
    "qwen2_moe": Family(True, False, sliding="switch"),
    "qwen3": Family(query_key_norm="head", sliding="switch", defaults={"head_dim": 128}),
    "qwen3_moe": Family(query_key_norm="head", sliding="switch"),
}  # fmt: skip

BLOCKS, WIDTH, HEADS = ("num_hidden_layers", "n_layer"), ("hidden_size", "n_embed"), (
    "num_attention_heads", "n_head",
)  # fmt: skip
KEY_VALUE_HEADS = ("num_key_value_heads", *HEADS)
LONGEST = ("max_position_embeddings", "seq_length")
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")


@dataclass(frozen=True)
class Block:
    """One decoder block.

    Parameters
    ----------
    parameters, expert_parameters : int
        All, and those of routed experts among them.
    cache_values : int
        Values in the cache of one token.
    window_tokens : int, optional
        Tokens that its attention reaches back, where that is less than the longest sequence.
    """

    parameters: int
    expert_parameters: int
    cache_values: int
    window_tokens: int | None


@dataclass(frozen=True)
class Architecture:
    """A model of decoder blocks.

    Parameters
    ----------
    family : str
        Hugging Face's ``model_type``.
    d_model, d_feedforward, heads, key_value_heads, head_size, max_sequence_tokens : int
        Sizes; of a latent attention the keys and values as they are unfolded.
    blocks : tuple of Block
        All of them.
    bits, expert_bits : float
        Stored bits per parameter, and per parameter of an expert.
    experts_used : float
        Share of the routed experts that a token goes through; all where nobody says.
    """

    family: str
    d_model: int
    d_feedforward: int
    heads: int
    key_value_heads: int
    head_size: int
    max_sequence_tokens: int
    blocks: tuple[Block, ...]
    bits: float
    expert_bits: float
    experts_used: float = 1.0

    @property
    def read_share(self) -> float:
        """Share of the parameters of the largest block that a token reads."""
        block = max(self.blocks, key=self.block_gigabytes)
        return 1 - block.expert_parameters * (1 - self.experts_used) / block.parameters

    def block_gigabytes(self, block: Block) -> float:
        """Memory of a block as it is stored (GB)."""
        others = block.parameters - block.expert_parameters
        return (others * self.bits + block.expert_parameters * self.expert_bits) / 8e9


class _Values:
    """A configuration with its family's defaults; `InputError` for what cannot be used."""

    def __init__(self, content: Mapping[str, Any], family: Family, where: object) -> None:
        self._content = {**family.defaults, **{k: v for k, v in content.items() if v is not None}}
        self._where = where

    def get(self, key: str, default: Any = None) -> Any:
        return self._content.get(key, default)

    def size(self, *keys: str, default: int | None = None, least: int = 1) -> int:
        value = next((self._content[key] for key in keys if key in self._content), default)
        if type(value) is not int or value < least:
            allowed = f"a whole number of at least {least}"
            raise InputError(self._where, " or ".join(keys), value, allowed)
        return value

    def holds(self, said: bool | str) -> bool:
        return bool(self.get(said, False)) if isinstance(said, str) else said


def read_architecture(path: Path) -> Architecture:
    """Architecture of a local ``config.json``, with ``hf_quant_config.json`` beside it if any.

    Raises
    ------
    InputError
        If the file is no configuration of a known family, naming the key.
    """
    content = read_json(path, "model's config.json")
    beside = path.with_name("hf_quant_config.json")
    separate = read_json(beside, "hf_quant_config.json") if beside.exists() else None
    return architecture_of(content, path, separate)


def architecture_of(content: Any, where: object, quantisation: Any = None) -> Architecture:
    """Architecture of the content of a configuration.

    Raises
    ------
    InputError
        If it is none of a known family.
    """
    if not isinstance(content, dict):
        raise InputError(where, "file", type(content).__name__, "a model's config.json, a mapping")
    outer = content
    if isinstance(content.get("text_config"), dict):  # of a model that sees as well
        content = {**content, **content["text_config"]}
    kind = content.get("model_type")
    if kind not in FAMILIES:
        raise InputError(where, "model_type", kind, ", ".join(FAMILIES))
    family = FAMILIES[kind]
    values = _Values(content, family, where)
    d_model, heads = values.size(*WIDTH), values.size(*HEADS)
    if values.get("head_dim") is None and d_model % heads:
        raise InputError(where, "num_attention_heads", heads, f"a divisor of {d_model}")
    head_size = values.size("head_dim", default=d_model // heads)
    key_value_heads = _key_value_heads(values, kind, heads)
    if heads % key_value_heads:
        allowed = f"a divisor of the {heads} query heads"
        raise InputError(where, "num_key_value_heads", key_value_heads, allowed)
    wide = kind in ("bloom", "falcon")
    feedforward = (
        values.size("ffn_hidden_size", default=4 * d_model)
        if wide
        else values.size("intermediate_size")
    )
    longest = values.size(*LONGEST)
    count = values.size(*BLOCKS)
    if count > 10_000:
        raise InputError(where, " or ".join(BLOCKS), count, "at most 10,000 blocks")
    sizes = _Sizes(values, family, kind, d_model, feedforward, heads, key_value_heads, head_size)
    windows = _windows(values, family, count, longest, where)
    blocks = tuple(sizes.block(index, window) for index, window in enumerate(windows))
    bits, expert_bits = stored_bits(outer, quantisation, where)
    routed = next((values.size(key) for key in EXPERTS if values.get(key)), 1)
    used = values.size("num_experts_per_tok", "experts_per_token", default=routed)
    return Architecture(
        kind, d_model, feedforward, heads, key_value_heads, head_size, longest, blocks, bits,
        expert_bits, min(used / routed, 1.0),
    )  # fmt: skip


def _key_value_heads(values: _Values, kind: str, heads: int) -> int:
    if kind != "falcon":
        return values.size(*KEY_VALUE_HEADS)
    if values.get("new_decoder_architecture", False):
        return values.size("num_kv_heads", default=heads)
    return 1 if values.get("multi_query", True) else heads


def _windows(
    values: _Values, family: Family, count: int, longest: int, where: object
) -> list[int | None]:
    """Window of every block; none where it is no shorter than the longest sequence."""
    window = values.size("sliding_window", default=longest)
    kinds = values.get("layer_types")
    if kinds is not None:
        strange = set(kinds) - {"full_attention", "sliding_attention"}
        if strange or len(kinds) != count:
            allowed = f"full_attention or sliding_attention for each of {count} blocks"
            found = ", ".join(sorted(map(str, strange))) or f"{len(kinds)} entries"
            raise InputError(where, "layer_types", found, allowed)
        slides = [kind == "sliding_attention" for kind in kinds]
    elif family.sliding == "switch":
        on = values.get("use_sliding_window", False)
        full = values.size("max_window_layers", default=count, least=0)
        slides = [bool(on) and index >= full for index in range(count)]
    elif family.sliding == "but_sixth":
        period = values.size("sliding_window_pattern", default=6)
        slides = [(index + 1) % period > 0 for index in range(count)]
    else:
        slides = [
            family.sliding == "all" or (family.sliding == "even" and index % 2 == 0)
            for index in range(count)
        ]
    return [window if slide and window < longest else None for slide in slides]


@dataclass(frozen=True)
class _Sizes:
    """Counts the parameters of blocks."""

    values: _Values
    family: Family
    kind: str
    d_model: int
    feedforward: int
    heads: int
    key_value_heads: int
    head_size: int

    def block(self, index: int, window: int | None) -> Block:
        attention, cached = self._latent() if self._is_latent() else self._attention()
        norm_width = self.d_model * (2 if self.family.norm_bias else 1)
        rest = attention + self._norms() * norm_width
        if not self._has_experts(index):
            dense = self._matrices(self.feedforward, self.family.feedforward_bias)
            return Block(rest + dense, 0, cached, window)
        routed, shared = self._experts()
        return Block(rest + routed + shared, routed, cached, window)

    def _is_latent(self) -> bool:
        return self.values.get("kv_lora_rank") is not None

    def _attention(self) -> tuple[int, int]:
        """Parameters of grouped-query attention, and cached values per token."""
        queries, keys = self.heads * self.head_size, self.key_value_heads * self.head_size
        count = self.d_model * (2 * queries + 2 * keys)
        if self.values.holds(self.family.attention_bias):
            count += queries + 2 * keys + self.d_model * self.family.output_bias
        count += {"": 0, "head": 2 * self.head_size, "width": queries + keys}[
            self.family.query_key_norm
        ]
        return count + self.heads * self.family.sinks, 2 * keys

    def _latent(self) -> tuple[int, int]:
        """The same of multi-head latent attention: what is cached is the latent."""
        size, d = self.values.size, self.d_model
        rank, rope = size("kv_lora_rank"), size("qk_rope_head_dim")
        plain, value = size("qk_nope_head_dim"), size("v_head_dim")
        queries = self.heads * (plain + rope)
        bias = self.values.holds(self.family.attention_bias)
        if self.values.get("q_lora_rank") is None:
            count = d * queries
        else:
            query_rank = size("q_lora_rank")
            count = (d + 1 + queries) * query_rank + query_rank * bias
        count += (d + bias) * (rank + rope) + rank + rank * self.heads * (plain + value)
        return count + self.heads * value * d + d * bias, rank + rope

    def _norms(self) -> int:
        if self.kind != "falcon":
            return self.family.norms
        if self.values.get("new_decoder_architecture", False):
            return self.values.size("num_ln_in_parallel_attn", default=2)
        return 1 if self.values.get("parallel_attn", True) else 2

    def _matrices(self, width: int, bias: bool | str) -> int:
        """Parameters of one feed-forward network."""
        inward = 2 if self.family.gated else 1
        biases = (inward * width + self.d_model) * self.values.holds(bias)
        return (inward + 1) * self.d_model * width + biases

    def _has_experts(self, index: int) -> bool:
        if not any(self.values.get(key) for key in EXPERTS):
            return False
        dense = self.values.size("first_k_dense_replace", default=0, least=0)
        step = self.values.size("decoder_sparse_step", default=1)
        listed = self.values.get("mlp_only_layers", [])
        return index >= dense and index not in listed and (index + 1) % step == 0

    def _experts(self) -> tuple[int, int]:
        """Parameters of the routed experts; of the router and of what every token uses."""
        size, d = self.values.size, self.d_model
        count, bias = size(*EXPERTS), self.family.expert_bias
        width = size("moe_intermediate_size", default=self.feedforward)
        shared = size("shared_expert_intermediate_size", default=0, least=0)
        gate = d if shared else 0
        shared = shared or width * size("n_shared_experts", default=0, least=0)
        router = count * (d + bias)
        return count * self._matrices(width, bias), router + self._matrices(shared, False) + gate
