"""Real blocks on this machine's CPU; skipped where torch is not installed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="measuring needs torch: make measure-env")
transformers = pytest.importorskip("transformers", reason="measuring needs transformers")

from bprr.fit.device import fit_device  # noqa: E402
from bprr.ground.errors import InfeasibleError, InputError  # noqa: E402
from bprr.measure.blocks import (  # noqa: E402
    DecoderBlocks,
    SessionCache,
    attention_config,
    decoder_block,
)
from bprr.measure.hardware import Hardware, find_hardware, pin_threads  # noqa: E402
from bprr.measure.memory import observe_growing_blocks  # noqa: E402
from bprr.measure.plan import QUICK  # noqa: E402
from bprr.measure.quantise import WEIGHT_FORMATS, WeightFormat, weight_format  # noqa: E402
from bprr.measure.session import from_bytes, measure_device, to_bytes  # noqa: E402
from bprr.measure.shapes import SHAPES  # noqa: E402
from bprr.measure.trace import Recorder, read_trace, write_trace  # noqa: E402

TINY = ["bloom-tiny", "llama-tiny", "qwen2-tiny"]
FLOAT32 = WEIGHT_FORMATS["float32"]
CPU = Hardware("cpu")


def built(name: str, count: int, chosen: WeightFormat = FLOAT32) -> DecoderBlocks:
    return observe_growing_blocks(SHAPES[name], count, chosen, CPU, Recorder())


def lively(blocks: DecoderBlocks) -> DecoderBlocks:
    """Weights large enough for attention to matter to the output."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in blocks.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return blocks


def cache(name: str, blocks: int, batch: int = 1, tokens: int = 16) -> SessionCache:
    return SessionCache(SHAPES[name], blocks, batch, tokens, torch.float32, torch.device("cpu"))


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_computed_parameters_are_those_of_the_block(name):
    shape = SHAPES[name]
    block = decoder_block(shape, 0, FLOAT32, torch.device("meta"))
    assert sum(parameter.numel() for parameter in block.parameters()) == shape.block_parameters


@pytest.mark.parametrize("name", TINY)
def test_decoding_step_by_step_gives_what_prefilling_gives(name):
    blocks = lively(built(name, 3))
    hidden = torch.randn(2, 6, 64)
    whole = blocks(hidden, cache(name, 3, batch=2), 3)
    session = cache(name, 3, batch=2)
    steps = [blocks(hidden[:, at : at + 1], session, 3) for at in range(6)]
    assert session.tokens == 6
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, rtol=1e-3, atol=1e-3)
    # And the cache matters: another past gives another output.
    other = cache(name, 3, batch=2)
    blocks(torch.randn(2, 5, 64), other, 3)
    alone = blocks(hidden[:, 5:], other, 3)
    assert not torch.allclose(alone, whole[:, 5:], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("name", TINY)
def test_blocks_compute_what_the_whole_model_computes(name):
    shape = SHAPES[name]
    model = transformers.AutoModel.from_config(attention_config(shape)).eval()
    layers = list(model.h if shape.family == "bloom" else model.layers)
    seen = {}
    layers[0].register_forward_pre_hook(lambda _, args: seen.update(first=args[0]))

    def last(_module, _args, output):
        seen["last"] = output[0] if isinstance(output, tuple) else output

    layers[-1].register_forward_hook(last)
    with torch.no_grad():
        model(inputs_embeds=torch.randn(1, 7, 64))
    first, expected = seen["first"], seen["last"]  # running the blocks again calls the hooks too
    found = DecoderBlocks(shape, layers, torch.float32)(
        first, cache(name, shape.blocks), shape.blocks
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_sessions_of_a_batch_do_not_mix():
    blocks = lively(built("llama-tiny", 2))
    hidden = torch.randn(3, 4, 64)
    together = blocks(hidden, cache("llama-tiny", 2, batch=3), 2)
    alone = blocks(hidden[1:2], cache("llama-tiny", 2), 2)
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["bfloat16", "int8", "nf4"])
def test_weight_formats(name):
    if name in ("int8", "nf4"):
        pytest.importorskip("bitsandbytes", reason="8- and 4-bit weights need bitsandbytes")
    chosen = weight_format(name, CPU)
    shape = SHAPES["llama-tiny"]
    blocks = built("llama-tiny", 2, chosen)
    session = SessionCache(shape, 2, 1, 4, chosen.activations, torch.device("cpu"))
    out = blocks(torch.randn(1, 3, 64).to(chosen.activations), session, 2)
    assert out.shape == (1, 3, 64)
    assert torch.isfinite(out).all()
    stored = sum(parameter.nbytes for parameter in blocks.blocks[0].parameters())
    assert stored <= 1.1 * shape.block_parameters * chosen.bytes_per_parameter


def test_formats_and_devices_that_are_not_there_are_refused(monkeypatch):
    with pytest.raises(InputError, match="float32, bfloat16"):
        weight_format("nf4", Hardware("mps"))
    with pytest.raises(InputError, match="format"):
        weight_format("float3", CPU)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="bitsandbytes"):
        weight_format("int8", CPU)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="cpu on this machine"):
        find_hardware("cuda")
    assert find_hardware("cpu") == CPU
    with pytest.raises(InputError, match="cores available"):
        pin_threads(100_000)


@pytest.mark.parametrize(("weights", "twice_gb"), [("float32", 0.0), ("int8", 2 * 2.46643712)])
def test_what_does_not_fit_names_the_missing_bytes(monkeypatch, weights, twice_gb):
    shape, chosen = SHAPES["bloom-176b"], WEIGHT_FORMATS[weights]
    monkeypatch.setattr(Hardware, "free_bytes", lambda self: 10**9)
    plan = QUICK.limited_to(2, 2048)
    value_bytes = chosen.activations.itemsize
    # The most cached: two blocks, or four sessions of 129 tokens in each of two blocks.
    cached = 2 * max(8 * 256, 4 * 129) * 2 * shape.d_model * value_bytes
    needed = 2 * shape.block_parameters * chosen.bytes_per_parameter + cached + twice_gb * 1e9
    missing = int(needed) + 256 * 1024**2 - 10**9
    with pytest.raises(InfeasibleError, match="bytes missing") as refusal:
        measure_device(shape, chosen, CPU, plan, threads=1, seed=0)
    assert int(refusal.value.missing.split()[0]) == pytest.approx(missing, abs=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_activations_survive_the_journey(dtype):
    sent = torch.randn(2, 3, 8).to(dtype)
    payload = to_bytes(sent.transpose(0, 1))
    assert len(payload) == sent.nbytes
    arrived = from_bytes(payload, torch.empty((3, 2, 8), dtype=dtype))
    assert torch.equal(arrived, sent.transpose(0, 1))


PLAN = replace(
    QUICK.limited_to(4, 2048), rounds=5, contexts=(1, 32, 64), inputs=(8, 32, 128), sessions=(1, 2)
)


@pytest.fixture(scope="module")
def measured():
    return measure_device(SHAPES["bloom-tiny"], FLOAT32, CPU, PLAN, threads=1, seed=0)


def test_a_run_observes_every_setting_as_often_as_planned(measured):
    rows, _ = measured
    counts = Counter(
        (row["experiment"], row["blocks"], row["context_tokens"], row["input_tokens"],
         row["batch"], row["sessions"])
        for row in rows
    )  # fmt: skip
    for visit in PLAN.settings():
        key = (visit.experiment, visit.blocks, visit.context_tokens, visit.input_tokens)
        assert counts[(*key, visit.batch, visit.sessions)] == PLAN.rounds * PLAN.steps(visit)
    assert [row["order"] for row in rows] == list(range(len(rows)))


def test_a_run_out_of_time_ends_after_two_rounds():
    plan = replace(PLAN, budget_s=0.0)
    rows, _ = measure_device(SHAPES["bloom-tiny"], FLOAT32, CPU, plan, threads=1, seed=0)
    assert {row["round"] for row in rows} == {0, 1}


def test_a_measurement_can_be_fitted(measured, tmp_path):
    rows, about = measured
    write_trace(tmp_path, rows, about)
    fit = fit_device(read_trace(tmp_path), "here", np.random.default_rng(0))
    assert fit.device.tau_ms > 0
    assert fit.device.prefill_ms_per_token > 0
    assert len(fit.findings) == 6


def test_more_blocks_and_longer_inputs_take_longer(measured):
    rows, _ = measured

    def median_ms(experiment, key, level):
        chosen = [row for row in rows if row["experiment"] == experiment and row[key] == level]
        return float(np.median([row["value"] for row in chosen]))

    assert median_ms("decode_blocks", "blocks", 4) > 2 * median_ms("decode_blocks", "blocks", 1)
    long, short = (median_ms("prefill_input", "input_tokens", tokens) for tokens in (128, 8))
    assert long > short


def test_observed_memory_is_near_the_computed_one():
    before = CPU.allocated_bytes()
    # Big enough for the allocator to ask the system for every tensor.
    session = SessionCache(SHAPES["bloom-560m"], 2, 1, 4096, torch.float32, torch.device("cpu"))
    grown = CPU.allocated_bytes() - before
    computed = 2 * SHAPES["bloom-560m"].language_model(4, 4).cache_gb_per_token * 4096 * 1e9
    assert session.nbytes == pytest.approx(computed)
    assert grown == pytest.approx(session.nbytes, rel=0.1)
