"""Models of Hugging Face configurations, in sizes that can be counted by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bprr.ground.errors import InputError
from bprr.settings.hugging_face import Architecture, Block, architecture_of, read_architecture
from bprr.settings.model_file import model_entry
from bprr.settings.quantisation import stored_bits

# Queries, keys, values and output: 8·12 + 8·6 + 8·6 + 12·8. Feed-forward: 3·8·5. Two norms: 16.
SMALL: dict[str, Any] = {
    "hidden_size": 8, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 3,
    "intermediate_size": 5, "num_hidden_layers": 3, "max_position_embeddings": 100,
}  # fmt: skip
ATTENTION, GATED, NORM = 288, 120, 8
BIAS, OUTPUT_BIAS = 12 + 6 + 6, 8
PLAIN, PLAIN_BIAS = 2 * 8 * 5, 5 + 8
LATENT = {"kv_lora_rank": 5, "qk_rope_head_dim": 2, "qk_nope_head_dim": 3, "v_head_dim": 6}
# Queries 8·4·5; the latent 8·7 with its norm, unfolded 5·4·9; the output 4·6·8.
LATENT_ATTENTION = 160 + 56 + 5 + 180 + 192
EXPERTS = {"num_experts": 3, "moe_intermediate_size": 4}
ROUTED, ROUTER = 3 * 3 * 8 * 4, 3 * 8


def of(kind: str, **keys: Any) -> Architecture:
    return architecture_of({"model_type": kind, **SMALL, **keys}, "here")


def refused(call: Any, *arguments: Any, **keys: Any) -> tuple[str, object, str]:
    with pytest.raises(InputError) as caught:
        call(*arguments, **keys)
    assert caught.value.where == "here"
    return caught.value.key, caught.value.value, caught.value.allowed


@pytest.mark.parametrize(
    ("kind", "keys", "parameters"),
    [
        ("llama", {}, ATTENTION + GATED + 2 * NORM),
        ("llama", {"attention_bias": True}, ATTENTION + BIAS + OUTPUT_BIAS + GATED + 2 * NORM),
        ("llama", {"mlp_bias": True}, ATTENTION + GATED + 2 * 5 + 8 + 2 * NORM),
        ("granite", {"mlp_bias": True}, ATTENTION + GATED + 2 * 5 + 8 + 2 * NORM),
        ("mistral", {"attention_bias": False}, ATTENTION + GATED + 2 * NORM),
        ("phi3", {}, ATTENTION + GATED + 2 * NORM),
        ("mixtral", {}, ATTENTION + GATED + 2 * NORM),
        ("qwen2", {}, ATTENTION + BIAS + GATED + 2 * NORM),
        ("qwen3", {}, ATTENTION + 2 * 3 + GATED + 2 * NORM),
        ("olmo", {}, ATTENTION + GATED),
        ("olmo2", {}, ATTENTION + 12 + 6 + GATED + 2 * NORM),
        ("gemma", {}, ATTENTION + GATED + 2 * NORM),
        ("gemma2", {}, ATTENTION + GATED + 4 * NORM),
        ("gemma3_text", {}, ATTENTION + 2 * 3 + GATED + 4 * NORM),
        ("phi", {}, ATTENTION + BIAS + OUTPUT_BIAS + PLAIN + PLAIN_BIAS + 2 * NORM),
        ("gpt_oss", {}, ATTENTION + BIAS + OUTPUT_BIAS + 4 + GATED + 2 * NORM),
        ("deepseek_v3", {}, ATTENTION + GATED + 2 * NORM),
        ("deepseek_v3", LATENT, LATENT_ATTENTION + GATED + 2 * NORM),
        ("deepseek_v3", {**LATENT, "q_lora_rank": 7},
         LATENT_ATTENTION - 160 + 8 * 7 + 7 + 7 * 20 + GATED + 2 * NORM),
        ("deepseek_v3", {**LATENT, "attention_bias": True},
         LATENT_ATTENTION + 7 + 8 + GATED + 2 * NORM),
        ("deepseek_v3", {**LATENT, "q_lora_rank": 7, "attention_bias": True},
         LATENT_ATTENTION - 160 + 8 * 7 + 7 + 7 * 20 + 7 + 7 + 8 + GATED + 2 * NORM),
        ("bloom", {}, ATTENTION + BIAS + OUTPUT_BIAS + 2 * 8 * 32 + 32 + 8 + 4 * NORM),
        ("bloom", {"ffn_hidden_size": 5},
         ATTENTION + BIAS + OUTPUT_BIAS + PLAIN + PLAIN_BIAS + 4 * NORM),
    ],
)  # fmt: skip
def test_parameters_of_a_block(kind: str, keys: dict[str, Any], parameters: int) -> None:
    found = of(kind, **keys)
    cached = 7 if "kv_lora_rank" in keys else 12
    assert found.blocks == (Block(parameters, 0, cached, None),) * 3
    assert (found.family, found.d_model, found.heads) == (kind, 8, 4)
    assert (found.key_value_heads, found.head_size, found.max_sequence_tokens) == (2, 3, 100)
    assert found.d_feedforward == (keys.get("ffn_hidden_size", 32) if kind == "bloom" else 5)
    assert (found.bits, found.expert_bits, found.experts_used) == (16, 16, 1)
    assert of(kind, num_experts_per_tok=1, **keys).experts_used == 1
    assert found.read_share == 1


# Queries 8·8, output 8·8; keys and values 8·2 of each head.
@pytest.mark.parametrize(
    ("keys", "heads", "norms"),
    [
        ({}, 1, 1),
        ({"multi_query": True, "parallel_attn": True}, 1, 1),
        ({"multi_query": False, "parallel_attn": False}, 4, 2),
        ({"num_kv_heads": 2}, 1, 1),
        ({"new_decoder_architecture": True}, 4, 2),
        ({"new_decoder_architecture": True, "num_kv_heads": 2, "parallel_attn": False}, 2, 2),
        ({"new_decoder_architecture": True, "num_ln_in_parallel_attn": 1}, 4, 1),
    ],
)
@pytest.mark.parametrize("bias", [False, True])
def test_falcons(keys: dict[str, Any], heads: int, norms: int, bias: bool) -> None:
    config = {"model_type": "falcon", "hidden_size": 8, "num_attention_heads": 4, "bias": bias,
              "num_hidden_layers": 1, "ffn_hidden_size": 5, **keys}  # fmt: skip
    found = architecture_of(config, "here")
    count = 128 + 2 * 16 * heads + PLAIN + norms * 16
    count += bias * (8 + 4 * heads + 8 + PLAIN_BIAS)
    assert found.blocks == (Block(count, 0, 4 * heads, None),)
    assert (found.key_value_heads, found.head_size) == (heads, 2)
    assert found.max_sequence_tokens == 2048
    del config["ffn_hidden_size"]
    assert architecture_of(config, "here").d_feedforward == 32


@pytest.mark.parametrize(
    ("kind", "keys", "others", "routed"),
    [
        ("mixtral", {"num_local_experts": 3}, ATTENTION + 3 * 8, 3 * GATED),
        ("olmoe", {"num_experts": 3}, ATTENTION + 18 + 3 * 8, 3 * GATED),
        ("qwen3_moe", EXPERTS, ATTENTION + 6 + ROUTER, ROUTED),
        ("qwen2_moe", EXPERTS, ATTENTION + BIAS + ROUTER, ROUTED),
        ("qwen2_moe", {**EXPERTS, "shared_expert_intermediate_size": 6, "n_shared_experts": 9},
         ATTENTION + BIAS + ROUTER + 3 * 8 * 6 + 8, ROUTED),
        ("deepseek_v3", {**LATENT, "n_routed_experts": 3, "moe_intermediate_size": 4,
                         "n_shared_experts": 2},
         LATENT_ATTENTION + ROUTER + 3 * 8 * 8, ROUTED),
        ("gpt_oss", {"num_local_experts": 3},
         ATTENTION + BIAS + OUTPUT_BIAS + 4 + 3 * (8 + 1), 3 * (GATED + 2 * 5 + 8)),
    ],
)  # fmt: skip
def test_experts(kind: str, keys: dict[str, Any], others: int, routed: int) -> None:
    found = of(kind, num_experts_per_tok=2, **keys)
    cached = 7 if "kv_lora_rank" in keys else 12
    block = Block(others + 2 * NORM + routed, routed, cached, None)
    assert found.blocks == (block,) * 3
    assert found.experts_used == 2 / 3
    assert found.read_share == pytest.approx((others + 16 + routed * 2 / 3) / block.parameters)
    assert found.block_gigabytes(block) == block.parameters * 2 / 1e9
    assert of(kind, experts_per_token=1, **keys).experts_used == 1 / 3
    assert of(kind, num_experts_per_tok=5, **keys).experts_used == 1
    assert of(kind, **keys).experts_used == 1


def test_which_blocks_have_experts() -> None:
    def with_experts(**keys: Any) -> list[bool]:
        found = of("qwen3_moe", **{**EXPERTS, "num_hidden_layers": 6, **keys})
        assert {block.parameters for block in found.blocks} <= {
            ATTENTION + 6 + 16 + ROUTED + ROUTER, ATTENTION + 6 + 16 + GATED,
        }  # fmt: skip
        return [block.expert_parameters > 0 for block in found.blocks]

    assert with_experts() == [True] * 6
    assert with_experts(num_experts=None) == [False] * 6
    assert with_experts(num_experts=0, num_local_experts=0) == [False] * 6
    assert with_experts(first_k_dense_replace=2) == [False, False, True, True, True, True]
    assert with_experts(first_k_dense_replace=0) == [True] * 6
    assert with_experts(decoder_sparse_step=2) == [False, True] * 3
    assert with_experts(decoder_sparse_step=3) == [False, False, True] * 2
    assert with_experts(mlp_only_layers=[0, 4]) == [False, True, True, True, False, True]


def test_memory_and_reading_of_experts() -> None:
    dense, sparse = Block(100, 0, 8, None), Block(300, 200, 8, None)
    found = Architecture("x", 1, 1, 1, 1, 1, 1, (dense, sparse, dense), 16.0, 4.0, 0.25)
    assert found.block_gigabytes(dense) == pytest.approx(200e-9)
    assert found.block_gigabytes(sparse) == pytest.approx(300e-9)
    assert found.read_share == pytest.approx(0.5)
    many = Architecture("x", 1, 1, 1, 1, 1, 1, (Block(160, 0, 8, None), sparse), 16.0, 4.0, 0.25)
    assert many.read_share == 1  # the first takes more


@pytest.mark.parametrize(
    ("kind", "keys", "windows"),
    [
        ("llama", {"sliding_window": 40}, [None] * 7),
        ("mistral", {"sliding_window": 40}, [40] * 7),
        ("mistral", {"sliding_window": 99}, [99] * 7),
        ("mistral", {"sliding_window": 100}, [None] * 7),
        ("mistral", {}, [None] * 7),
        ("mistral", {"sliding_window": None}, [None] * 7),
        ("phi3", {"sliding_window": 40}, [40] * 7),
        ("mixtral", {"sliding_window": 40}, [40] * 7),
        ("gemma2", {"sliding_window": 40}, [40, None, 40, None, 40, None, 40]),
        ("gpt_oss", {"sliding_window": 40}, [40, None, 40, None, 40, None, 40]),
        ("gemma3_text", {"sliding_window": 40}, [40] * 5 + [None, 40]),
        ("gemma3_text", {"sliding_window": 40, "sliding_window_pattern": 3},
         [40, 40, None, 40, 40, None, 40]),
        ("gemma3_text", {"max_position_embeddings": 4097}, [4096] * 5 + [None, 4096]),
        ("qwen2", {"sliding_window": 40}, [None] * 7),
        ("qwen2", {"sliding_window": 40, "use_sliding_window": True}, [None] * 7),
        ("qwen2", {"sliding_window": 40, "max_window_layers": 0}, [None] * 7),
        ("qwen2", {"sliding_window": 40, "use_sliding_window": True, "max_window_layers": 0},
         [40] * 7),
        ("qwen2_moe", {"sliding_window": 40, "use_sliding_window": True, "max_window_layers": 5},
         [None] * 5 + [40, 40]),
        ("qwen3", {"sliding_window": 40, "use_sliding_window": False, "max_window_layers": 0},
         [None] * 7),
        ("llama", {"sliding_window": 40,
                   "layer_types": ["full_attention", "sliding_attention"] * 3 + ["full_attention"]},
         [None, 40] * 3 + [None]),
    ],
)  # fmt: skip
def test_windows(kind: str, keys: dict[str, Any], windows: list[int | None]) -> None:
    found = of(kind, num_hidden_layers=7, **keys)
    assert [block.window_tokens for block in found.blocks] == windows


def test_names_and_defaults() -> None:
    old = {"model_type": "bloom", "n_embed": 8, "n_head": 4, "n_layer": 2, "seq_length": 70}
    found = architecture_of(old, "here")
    assert (found.d_model, found.heads, found.key_value_heads, found.head_size) == (8, 4, 4, 2)
    assert (len(found.blocks), found.max_sequence_tokens) == (2, 70)
    del old["seq_length"]
    assert architecture_of(old, "here").max_sequence_tokens == 2048
    for kind, size in (("gemma", 256), ("gemma2", 256), ("gpt_oss", 64), ("qwen3", 128)):
        assert of(kind, head_dim=None).head_size == size
    assert of("llama", head_dim=None).head_size == 2
    inner = {"model_type": "gemma3_text", "hidden_size": 8, "intermediate_size": 5,
             "num_hidden_layers": 1}  # fmt: skip
    found = architecture_of({"model_type": "gemma3", "text_config": inner}, "here")
    assert (found.heads, found.key_value_heads, found.head_size) == (8, 4, 256)
    assert found.max_sequence_tokens == 131072
    assert found.blocks[0].window_tokens == 4096
    quantised = {**SMALL, "model_type": "llama", "quantization_config": {"quant_method": "mxfp4"}}
    assert architecture_of(quantised, "here").bits == 16
    assert architecture_of(quantised, "here").expert_bits == 4.25


def test_refused() -> None:
    assert refused(architecture_of, [1], "here") == (
        "file", "list", "a model's config.json, a mapping",
    )  # fmt: skip
    assert refused(of, "mamba")[:2] == ("model_type", "mamba")
    assert refused(of, "mamba")[2].startswith("bloom, deepseek_v3, falcon, gemma, gemma2, ")
    whole = "a whole number of at least 1"
    for key, names in (
        ("hidden_size", "hidden_size or n_embed"),
        ("num_attention_heads", "num_attention_heads or n_head"),
        ("num_key_value_heads", "num_key_value_heads or num_attention_heads or n_head"),
        ("intermediate_size", "intermediate_size"),
        ("max_position_embeddings", "max_position_embeddings or seq_length"),
        ("num_hidden_layers", "num_hidden_layers or n_layer"),
        ("head_dim", "head_dim"),
    ):
        for value in (0, -1, 2.0, "3", True):
            assert refused(of, "llama", **{key: value}) == (names, value, whole)
        if key not in ("num_key_value_heads", "head_dim"):
            assert refused(of, "llama", **{key: None}) == (names, None, whole)
    key = "first_k_dense_replace"
    said = (key, -1, "a whole number of at least 0")
    assert refused(of, "qwen3_moe", **EXPERTS, first_k_dense_replace=-1) == said
    assert refused(of, "llama", head_dim=None, hidden_size=9) == (
        "num_attention_heads", 4, "a divisor of 9",
    )  # fmt: skip
    assert of("llama", hidden_size=9).head_size == 3
    assert refused(of, "llama", num_key_value_heads=3) == (
        "num_key_value_heads", 3, "a divisor of the 4 query heads",
    )  # fmt: skip
    assert len(of("llama", num_hidden_layers=10_000).blocks) == 10_000
    assert refused(of, "llama", num_hidden_layers=10_001) == (
        "num_hidden_layers or n_layer", 10_001, "at most 10,000 blocks",
    )  # fmt: skip
    allowed = "full_attention or sliding_attention for each of 3 blocks"
    for kinds, value in (
        (["full_attention"] * 2, "2 entries"), (["full_attention"] * 4, "4 entries"),
        (["x", "full_attention", "a"], "a, x"), (["x"], "x"),
    ):  # fmt: skip
        assert refused(of, "llama", layer_types=kinds) == ("layer_types", value, allowed)


def test_a_file_and_the_one_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "olmo", ' + str(SMALL)[1:].replace("'", '"'))
    assert read_architecture(path).bits == 16
    (tmp_path / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "FP8"}}')
    assert read_architecture(path).bits == 8
    with pytest.raises(InputError, match=r"absent.json: file: .* a readable model's config.json"):
        read_architecture(tmp_path / "absent.json")
    (tmp_path / "hf_quant_config.json").write_text("{")
    with pytest.raises(InputError, match=r"allowed: a hf_quant_config.json, valid JSON"):
        read_architecture(path)


def test_entries_of_a_model_file() -> None:
    assert model_entry(of("llama"), "here", False) == {
        "blocks": 3, "d_model": 8, "max_sequence_tokens": 100, "parameters_per_block": 424,
        "bits_per_parameter": 16, "key_value_groups": 2, "key_value_width": 6,
        "source": "here: llama",
    }  # fmt: skip
    latent = model_entry(of("deepseek_v3", **LATENT), "here", False)
    assert latent["cache_bytes_per_token_per_block"] == 14
    assert "key_value_width" not in latent
    assert "window_tokens" not in latent
    assert model_entry(of("mistral", sliding_window=40), "here", False)["window_tokens"] == 40
    listed = "2 blocks of 440 parameters, 12 cached values a token within 40 tokens"
    listed += "; 1 blocks of 440 parameters, 12 cached values a token"
    mixed = of("gemma2", sliding_window=40)
    allowed = "equal blocks, or --upper-bound: the largest block and cache for all of them"
    assert refused(model_entry, mixed, "here", False) == ("blocks", listed, allowed)
    found = model_entry(mixed, "here", True)
    assert found["source"] == f"here: gemma2, an upper bound: in truth {listed}"
    assert "window_tokens" not in found
    # The largest block as it is stored, and the largest cache and window.
    blocks = (Block(160, 0, 9, 1000), Block(300, 200, 8, 50), Block(160, 0, 9, 1000))
    odd = Architecture("x", 16, 5, 4, 2, 2, 2000, blocks, 16.0, 4.0)
    assert model_entry(odd, "here", True) == {
        "blocks": 3, "d_model": 16, "max_sequence_tokens": 2000, "parameters_per_block": 160,
        "bits_per_parameter": 16, "key_value_groups": 2, "cache_bytes_per_token_per_block": 18,
        "window_tokens": 1000,
        "source": "here: x, an upper bound: in truth 2 blocks of 160 parameters, 9 cached values a"
        " token within 1,000 tokens; 1 blocks of 300 parameters, 8 cached values a token within"
        " 50 tokens",
    }  # fmt: skip
    thirds = Architecture("x", 16, 5, 4, 2, 2, 9, (Block(300, 200, 8, None),), 16.0, 5.0)
    assert model_entry(thirds, "here", False)["bits_per_parameter"] == 8.666667


def test_bits_refused() -> None:
    types = "float32, bfloat16, float16"
    assert refused(stored_bits, {"dtype": "int3"}, None, "here") == ("dtype", "int3", types)
    allowed = (
        "bits, a known method (fp8, fbgemm_fp8, mxfp4, nvfp4, int8, w8a8_sq, w4a16, w4a16_awq,"
        " w4a8_awq), or bits of the model file"
    )
    for about in ("fp8", {"bits": 0.5}, {"bits": 33}, {"quant_method": "x"}, {"bits": "4"}):
        said = refused(stored_bits, {"quantization_config": about}, None, "here")
        assert said == ("quantization_config", about, allowed)
    said = refused(stored_bits, {}, {}, "here")
    assert said == ("quantization_config", {"quant_method": None}, allowed)


@pytest.mark.parametrize(
    ("about", "bits"),
    [
        ({"bits": 4, "group_size": 32}, 4 + 20 / 32), ({"bits": 4}, 4 + 20 / 128),
        ({"bits": 7.5}, 7.5 + 23.5 / 128), ({"bits": 8, "group_size": 0}, 8),
        ({"bits": 8, "group_size": 1}, 32), ({"bits": 4, "group_size": "x"}, 4),
        ({"bits": 1}, 1 + 17 / 128), ({"bits": 32}, 32), ({"bits": 2, "load_in_8bit": True}, 8),
        ({"load_in_4bit": True, "load_in_8bit": True}, 4.25), ({"_load_in_8bit": True}, 8),
        ({"config_groups": {"a": {"weights": {"num_bits": 4}}}, "group_size": 64}, 4 + 20 / 64),
        ({"config_groups": {"a": {"weights": {"num_bits": 4}}}, "bits": 8}, 8),
        ({"config_groups": {}, "quant_method": "FP8"}, 8), ({"quant_method": "NVFP4"}, 4.5),
        ({"config_groups": {"a": {"weights": {}}}, "quant_method": "int8"}, 8),
    ],
)  # fmt: skip
def test_bits(about: dict[str, Any], bits: float) -> None:
    content = {"quantization_config": about}
    assert stored_bits(content, {"quantization": {"quant_algo": "FP8"}}, "here") == (bits, bits)
    assert stored_bits({"text_config": content}, None, "here") == (bits, bits)


def test_bits_of_types() -> None:
    assert stored_bits({"dtype": "float32"}, None, "here") == (32, 32)
    assert stored_bits({"torch_dtype": "float16"}, None, "here") == (16, 16)
    assert stored_bits({"quantization_config": {"quant_method": "mxfp4"}, "dtype": "float32"},
                       None, "here") == (32, 4.25)  # fmt: skip
