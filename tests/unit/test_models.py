"""Models of others: blocks counted from configurations, caches as they are, profiles of others."""

import copy
import json

import pytest

from bprr.commands.main import main
from bprr.ground.errors import InfeasibleError, InputError, InputErrors
from bprr.ground.swarm import Device, LanguageModel
from bprr.scenario.draw import Catalogue, draw
from bprr.scenario.scenario import load_scenario
from bprr.settings.configuration import named_in_files
from bprr.settings.hugging_face import architecture_of, read_architecture
from bprr.settings.model_file import model_entry
from bprr.settings.quantisation import stored_bits
from bprr.study.method import MethodRunner


@pytest.fixture(scope="module")
def architectures(root):
    path = root / "tests/cases/models/architectures.json"
    return json.loads(path.read_text(encoding="utf-8"))


def refusal(call):
    with pytest.raises((InputError, InputErrors)) as refused:
        call()
    return refused.value


def runs(blocks):
    """Equal neighbours counted, as the file has them."""
    found = []
    for block in blocks:
        if found and found[-1][0] == block.parameters:
            found[-1][1] += 1
        else:
            found.append([block.parameters, 1])
    return found


def test_parameters_of_blocks_are_exact(architectures):
    assert len(architectures) >= 15
    for name, known in architectures.items():
        blocks = architecture_of(known["config"], name).blocks
        assert runs(blocks) == known["parameters"], name


def test_parameters_are_those_of_transformers(architectures):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    for name, known in architectures.items():
        content = {key: value for key, value in known["config"].items() if "quant" not in key}
        config = transformers.AutoConfig.for_model(content.pop("model_type"), **content)
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(config.get_text_config())
        layers = getattr(model.base_model, "layers", None) or model.base_model.h
        counts = [sum(each.numel() for each in layer.parameters()) for layer in layers]
        assert counts == [b.parameters for b in architecture_of(known["config"], name).blocks], name


# Bytes of cache per token and block at 2 bytes a value: 2 × key-value heads × head size, or the
# latent (DeepSeek: 512 + 64 values).
CACHES = {
    "qwen3-32b": 4096,
    "gemma-7b": 16384,
    "mistral-nemo-12b": 4096,
    "deepseek-v3": 1152,
    "gpt-oss-20b": 2048,
    "falcon-7b": 256,
    "bloom-176b": 57344,
}


def test_caches_are_of_key_value_heads(architectures):
    for name, wanted in CACHES.items():
        entry = model_entry(architecture_of(architectures[name]["config"], name), name, True)
        assert LanguageModel(**entry).cache_gb_per_token * 1e9 == pytest.approx(wanted), name


def test_windows_cap_the_cache(architectures):
    windows = {
        name: {block.window_tokens for block in architecture_of(known["config"], name).blocks}
        for name, known in architectures.items()
    }
    assert windows["mistral-7b-v0.1"] == {4096}
    assert windows["phi-3-mini-4k"] == {2047}
    assert windows["gpt-oss-20b"] == {128, None}
    assert windows["qwen2.5-7b"] == {None}
    gemma = architecture_of(architectures["gemma-3-4b"]["config"], "x").blocks
    assert [index for index, block in enumerate(gemma) if block.window_tokens is None] == [
        5, 11, 17, 23, 29,
    ]  # fmt: skip


def test_blocks_that_differ_are_refused_or_bounded(architectures):
    found = architecture_of(architectures["deepseek-v3"]["config"], "here")
    error = refusal(lambda: model_entry(found, "here", False))
    assert "3 blocks of 583,483,392 parameters" in error.value
    assert "58 blocks of 11,507,286,016 parameters" in error.value
    assert "--upper-bound" in error.allowed
    entry = model_entry(found, "here", True)
    assert entry["parameters_per_block"] == 11507286016
    assert "upper bound" in entry["source"]
    oss = architecture_of(architectures["gpt-oss-20b"]["config"], "here")
    refusal(lambda: model_entry(oss, "here", False))
    assert "window_tokens" not in model_entry(oss, "here", True)


def test_bits_of_a_block_are_rounded(architectures, monkeypatch):
    """Six places: a model file keeps no more of what a quantisation says."""
    found = architecture_of(architectures["qwen2.5-7b"]["config"], "here")
    stored = lambda _, block: block.parameters * 2 / 3 / 1e9  # noqa: E731
    monkeypatch.setattr(type(found), "block_gigabytes", stored)
    assert model_entry(found, "here", False)["bits_per_parameter"] == 5.333333


@pytest.mark.parametrize(
    "about, separate, bits",
    [
        (None, None, 16),
        ({"quant_method": "fp8"}, None, 8),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, None, 4.25),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, None, 4.15625),
        ({"quant_method": "awq", "bits": 8, "group_size": -1}, None, 8),
        ({"quant_method": "compressed-tensors",
          "config_groups": {"group_0": {"weights": {"num_bits": 8}}}}, None, 8),
        (None, {"quantization": {"quant_algo": "NVFP4"}}, 4.5),
        (None, {"quantization": {"quant_algo": "FP8"}}, 8),
    ],
)  # fmt: skip
def test_quantised_parameters(architectures, tmp_path, about, separate, bits):
    content = copy.deepcopy(architectures["qwen3-32b"]["config"])
    if about:
        content["quantization_config"] = about
    (tmp_path / "config.json").write_text(json.dumps(content))
    if separate:
        (tmp_path / "hf_quant_config.json").write_text(json.dumps(separate))
    assert read_architecture(tmp_path / "config.json").bits == bits


@pytest.mark.parametrize(
    "change, key",
    [
        ({"model_type": "mamba"}, "model_type"),
        ({"num_attention_heads": 0}, "num_attention_heads or n_head"),
        ({"num_key_value_heads": 7}, "num_key_value_heads"),
        ({"hidden_size": None}, "hidden_size or n_embed"),
        ({"layer_types": ["linear_attention"] * 64}, "layer_types"),
        ({"layer_types": ["full_attention"]}, "layer_types"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers or n_layer"),
        ({"quantization_config": {"quant_method": "aqlm"}}, "quantization_config"),
        ({"torch_dtype": "int3"}, "dtype"),
    ],
)
def test_a_strange_configuration_is_refused(architectures, change, key):
    content = {**architectures["qwen3-32b"]["config"], **change}
    assert refusal(lambda: architecture_of(content, "here")).key == key


def test_a_list_is_no_configuration(root, capsys):
    assert main(["model", str(root / "tests/cases/swarms/list.json")]) == 2
    assert "list.json: file: got 'list'" in capsys.readouterr().err


@pytest.fixture
def qwen3(architectures, tmp_path, published):
    """What the field brings: a configuration, made a model file, used by a scenario."""
    (tmp_path / "Qwen3-32B").mkdir()
    config = tmp_path / "Qwen3-32B/config.json"
    config.write_text(json.dumps(architectures["qwen3-32b"]["config"]))
    assert main(["model", str(config), "-o", str(tmp_path / "models.yaml")]) == 0
    models = named_in_files([tmp_path / "models.yaml"], LanguageModel, {})
    return Catalogue({**published.models, **models}, published.devices, published.topology_dir)


def test_a_configuration_becomes_a_model(qwen3):
    model = qwen3.models["qwen3_32b"]
    assert (model.blocks, model.d_model, model.key_value_groups) == (64, 5120, 8)
    assert model.block_gb == pytest.approx(0.975196672)
    assert model.cache_gb_per_token == pytest.approx(4096e-9)


def test_qwen3_takes_its_whole_cache(qwen3, root):
    path = root / "tests/cases/swarms/qwen.yaml"
    scale = {"model": "qwen3_32b", "fleet.scale_profiles": True}
    runner = MethodRunner(draw(load_scenario(path, scale), qwen3, 1, 0))
    # 62 of 64 blocks of .9752 GB with 40,960 tokens of 4,096 bytes fit 72 GB: 2.29 GB are missing.
    with pytest.raises(InfeasibleError, match=r"2 of 64 blocks, 2\.29 GB missing"):
        runner.placement(load_method("cg_bp"), 0.0)


def load_method(name):
    from bprr.ground.registry import PLACEMENT, Choice

    return Choice(name, PLACEMENT[name].Options())


def test_a_profile_of_another_model_is_refused_or_scaled(published):
    overrides = {"model": "llama_2_7b", "fleet.servers": 3}
    error = refusal(lambda: draw(load_scenario("scattered", overrides), published, 1, 0))
    assert (error.key, error.value) == ("fleet.share", "a100, measured with bloom_176b")
    overrides["fleet.scale_profiles"] = True
    instance = draw(load_scenario("scattered", overrides), published, 1, 0)
    llama, bloom = published.models["llama_2_7b"], published.models["bloom_176b"]
    scaled = 3.2197 * llama.block_gb / bloom.block_gb
    assert instance.devices["a100"].tau_ms == pytest.approx(scaled)
    assert instance.devices["a100"].prefill_ms == pytest.approx(32.99 * 202383360 / 2466437120)
    assert "a100: measured with bloom_176b, scaled to llama_2_7b" in instance.remarks[0]


def test_a_window_caps_what_a_session_holds(published):
    models = {
        name: model.model_copy(update={"window_tokens": 100})
        for name, model in published.models.items()
    }
    drawn = draw(
        load_scenario("scattered"), Catalogue(models, published.devices, published.topology_dir),
        1, 0,
    )  # fmt: skip
    assert set(drawn.workload.cache_tokens.tolist()) == {100}
    assert drawn.design_request.cache_tokens == 100


def test_a_cache_is_said_once():
    keys = {"blocks": 2, "d_model": 8, "block_gb": 1.0, "cache_bytes_per_token_per_block": 5.0}
    assert LanguageModel(**keys).cache_gb_per_token == 5e-9
    with pytest.raises(ValueError, match="says it all"):
        LanguageModel(**keys, key_value_width=4)
    keys.pop("cache_bytes_per_token_per_block")
    assert LanguageModel(**keys, key_value_width=4).cache_gb_per_token == 16e-9


def test_only_petals_needs_throughputs(root, published):
    path = root / "tests/cases/swarms/dev_min.yaml"
    devices = {**published.devices, **named_in_files([path], Device, {})}
    catalogue = Catalogue(published.models, devices, published.topology_dir)
    fleet = {"fleet": {"servers": 20, "rest": "mydev"}}
    runner = MethodRunner(draw(load_scenario("scattered", fleet), catalogue, 1, 0))
    assert runner.placement(load_method("cg_bp"), 0.0).blocks.sum() >= 70
    error = refusal(lambda: runner.placement(load_method("petals"), 0.0))
    assert error.key == "forward_rps"


def test_a_device_may_be_called_4090(root):
    path = root / "tests/cases/swarms/dev_4090.yaml"
    (device,) = named_in_files([path], Device, {}).values()
    assert device.name == "4090"


@pytest.mark.parametrize(
    ("content", "separate", "bits"),
    [
        ({}, None, (16, 16)),
        ({"dtype": "float32"}, None, (32, 32)),
        ({"torch_dtype": "float16", "text_config": {"dtype": "float32"}}, None, (32, 32)),
        ({"text_config": {"torch_dtype": "float32"}}, None, (32, 32)),
        *(({"quantization_config": {"quant_method": method}}, None, (bits, bits))
          for method, bits in [("fp8", 8), ("fbgemm_fp8", 8), ("nvfp4", 4.5), ("int8", 8)]),
        ({"quantization_config": {"quant_method": "mxfp4"}}, None, (16, 4.25)),
        ({"quantization_config": {"load_in_8bit": True}}, None, (8, 8)),
        ({"quantization_config": {"_load_in_4bit": True}}, None, (4.25, 4.25)),
        *(({}, {"quantization": {"quant_algo": name}}, (bits, bits))
          for name, bits in [("FP8", 8), ("NVFP4", 4.5), ("W8A8_SQ", 8), ("W4A16", 4.25),
                             ("W4A16_AWQ", 4.25), ("W4A8_AWQ", 4.25)]),
        # A scale and a zero of every 128 values, unless the file says otherwise.
        ({"quantization_config": {"bits": 3}}, None, (3 + 19 / 128,) * 2),
        ({"quantization_config": {"bits": 8}}, None, (8, 8)),
        ({"quantization_config": {"bits": 8, "group_size": 64}}, None, (8 + 24 / 64,) * 2),
        ({"quantization_config": {"bits": 4, "group_size": -1}}, None, (4, 4)),
        ({"quantization_config": {"bits": 1, "group_size": 1}}, None, (18, 18)),
        ({"quantization_config": {"bits": 32}}, None, (32, 32)),
    ],
)  # fmt: skip
def test_bits_of_every_format(content, separate, bits):
    assert stored_bits(content, separate, "here") == pytest.approx(bits)


@pytest.mark.parametrize(
    ("about", "key"),
    [
        ({"quantization_config": {"quant_method": "guessed"}}, "quantization_config"),
        ({"quantization_config": {"bits": 33}}, "quantization_config"),
        ({"quantization_config": {"bits": 0}}, "quantization_config"),
        ({"quantization_config": "fp8"}, "quantization_config"),
        ({"dtype": "float128"}, "dtype"),
    ],
)
def test_bits_that_are_not_known_are_refused(about, key):
    with pytest.raises(InputError, match=f"here: {key}: got"):
        stored_bits(about, None, "here")
