"""Shapes of the models whose blocks can be measured; weights are random: no download needed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, model_validator

from bprr.ground.errors import InputError
from bprr.ground.schema import Count, Refused, Strict
from bprr.ground.swarm import LanguageModel
from bprr.settings.hugging_face import architecture_of, read_architecture
from bprr.settings.messages import validated

__all__ = ["SHAPES", "ModelShape", "load_shape", "shape_from_config"]

Family = Literal["bloom", "llama", "qwen2"]


class ModelShape(Strict):
    """What determines the size of a decoder block."""

    name: str
    family: Family
    blocks: Count = Field(description="of the whole model, L")
    d_model: Count = Field(description="width of the hidden state")
    d_feedforward: Count = Field(description="width of the feed-forward layer")
    heads: Count = Field(description="query heads")
    key_value_heads: Count = Field(description="as many as heads without grouped queries")
    max_sequence_tokens: Count = 2048

    @model_validator(mode="after")
    def _can_exist(self) -> ModelShape:
        if self.d_model % self.heads:
            raise Refused("heads", self.heads, f"a divisor of d_model {self.d_model}")
        if self.heads % self.key_value_heads:
            allowed = f"a divisor of the {self.heads} query heads"
            raise Refused("key_value_heads", self.key_value_heads, allowed)
        if self.family == "bloom" and self.d_feedforward != 4 * self.d_model:
            allowed = f"4·d_model = {4 * self.d_model} (BLOOM)"
            raise Refused("d_feedforward", self.d_feedforward, allowed)
        return self

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.heads

    @property
    def block_parameters(self) -> int:
        """Parameters of one block: projections, feed-forward, biases and norms."""
        content = {
            "model_type": self.family,
            "num_hidden_layers": 1,
            "hidden_size": self.d_model,
            "intermediate_size": self.d_feedforward,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_value_heads,
            "max_position_embeddings": self.max_sequence_tokens,
        }
        return architecture_of(content, self.name).blocks[0].parameters

    def language_model(self, bytes_per_parameter: float, bytes_per_value: float) -> LanguageModel:
        """Model as the planner sees it, with the memory that shape and storage imply."""
        return LanguageModel(
            name=self.name,
            blocks=self.blocks,
            d_model=self.d_model,
            max_sequence_tokens=self.max_sequence_tokens,
            parameters_per_block=self.block_parameters,
            bits_per_parameter=8 * bytes_per_parameter,
            cache_bytes_per_value=bytes_per_value,
            key_value_groups=self.heads // self.key_value_heads,
        )


# Published hyper-parameters of the models' own configuration files: blocks, widths of the hidden
# state and of the feed-forward layer, query and key-value heads, longest sequence.
_SIZES: dict[str, tuple[Family, int, int, int, int, int, int]] = {
    "bloom-tiny": ("bloom", 4, 64, 256, 4, 4, 2048),
    "bloom-560m": ("bloom", 24, 1024, 4096, 16, 16, 2048),
    "bloom-1b7": ("bloom", 24, 2048, 8192, 16, 16, 2048),
    "bloom-7b1": ("bloom", 30, 4096, 16384, 32, 32, 2048),
    "bloom-176b": ("bloom", 70, 14336, 57344, 112, 112, 2048),
    "llama-tiny": ("llama", 4, 64, 192, 4, 2, 2048),
    "llama-2-7b": ("llama", 32, 4096, 11008, 32, 32, 4096),
    "llama-2-70b": ("llama", 80, 8192, 28672, 64, 8, 4096),
    "llama-3-8b": ("llama", 32, 4096, 14336, 32, 8, 8192),
    "qwen2-tiny": ("qwen2", 4, 64, 192, 4, 2, 2048),
    "qwen2-1.5b": ("qwen2", 28, 1536, 8960, 12, 2, 32768),
    "qwen2-7b": ("qwen2", 28, 3584, 18944, 28, 4, 32768),
}
_FIELDS = tuple(ModelShape.model_fields)
SHAPES = {
    name: ModelShape.model_validate(dict(zip(_FIELDS, (name, *sizes), strict=True)))
    for name, sizes in _SIZES.items()
}


def shape_from_config(path: Path) -> ModelShape:
    """Shape of a local ``config.json``, with the sizes as BLOOM, LLaMA or Qwen2 name them.

    Raises
    ------
    InputError, InputErrors
        If the file is no such configuration, naming the key.
    """
    found = read_architecture(path)
    if found.family not in get_args(Family):
        raise InputError(path, "model_type", found.family, ", ".join(get_args(Family)))
    if found.head_size * found.heads != found.d_model:
        allowed = f"hidden_size / heads = {found.d_model // found.heads}"
        raise InputError(path, "head_dim", found.head_size, allowed)
    shape = {
        "name": path.stem if path.stem != "config" else path.resolve().parent.name,
        "family": found.family,
        "blocks": len(found.blocks),
        "d_model": found.d_model,
        "d_feedforward": found.d_feedforward,
        "heads": found.heads,
        "key_value_heads": found.key_value_heads,
        "max_sequence_tokens": found.max_sequence_tokens,
    }
    return validated(ModelShape, shape, path)


def load_shape(name: str) -> ModelShape:
    """Shape by name, or from the path of a local configuration file."""
    if name in SHAPES:
        return SHAPES[name]
    path = Path(name)
    if path.suffix == ".json":
        return shape_from_config(path)
    raise InputError("--model", "name", name, ", ".join(SHAPES) + ", or a path to a config.json")
