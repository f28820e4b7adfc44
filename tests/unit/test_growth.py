"""How times grow with the size: what is timed, and what counts of it."""

import itertools

import numpy as np
import pytest

from bprr.study import growth as module
from bprr.study.growth import growth


def test_the_fastest_of_the_tries_counts(monkeypatch):
    """By a clock of our own: the n-th try takes so long."""
    takes_s = itertools.cycle([5.0, 3.0, 2.5, 6.0, 4.0])
    instants = itertools.accumulate(s for takes in takes_s for s in (100.0, takes))
    monkeypatch.setattr(module, "perf_counter", lambda: next(instants))
    monkeypatch.setattr(module, "SERVERS", (30, 40))
    monkeypatch.setattr(module, "BLOCKS", (35,))
    table = growth(seed=1, repeats=2)
    sizes = [("servers", 30), ("servers", 40), ("blocks", 35)]
    asked = [(*size, step) for size in 2 * sizes for step in ("placement", "routing")]
    found = table[["varied", "size", "step"]].itertuples(index=False, name=None)
    assert list(found) == asked
    assert table["repeat"].tolist() == [0] * 6 + [1] * 6
    assert table["seconds"].tolist() == pytest.approx([2.5] * 12)


def test_swarms_of_a_model_of_twice_the_blocks_have_twice_the_memory():
    few, many = (module._swarm(np.random.default_rng(3), 50, blocks) for blocks in (70, 140))
    assert (few.servers, few.clients, few.model.blocks, many.model.blocks) == (50, 1, 70, 140)
    assert many.memory_gb == pytest.approx(2 * few.memory_gb)
    for values, low, high in (
        (few.memory_gb, 8.2, 79.13), (few.tau_ms, 3, 17), (few.token_rtt_ms, 50, 200),
    ):  # fmt: skip
        assert low <= values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() <= high
    assert (few.token_rtt_ms == few.prompt_rtt_ms).all()
    assert few.prefill_ms.tolist() == few.prefill_ms_per_token.tolist() == [0.0] * 50


def test_swarms_are_drawn_between_a_slice_and_an_a100():
    """In this order: round trips, memory, time of a block."""
    swarm, rng = module._swarm(np.random.default_rng(3), 50, 140), np.random.default_rng(3)
    assert swarm.token_rtt_ms.tolist() == rng.uniform(50, 200, (1, 50)).tolist()
    assert swarm.memory_gb == pytest.approx(2 * rng.uniform(8.2, 79.13, 50))
    assert swarm.tau_ms == pytest.approx(rng.uniform(3, 17, 50))
    assert (swarm.model.d_model, swarm.model.block_gb) == (14336, 1.3234)


def test_what_is_timed(monkeypatch):
    """Servers for the paper's model; or 200 of them for models of more blocks, at a load of 20."""
    asked = []

    def placed(swarm, load, tokens):
        asked.append((swarm.servers, swarm.model.blocks, load, tokens))
        raise StopIteration

    monkeypatch.setattr(module, "cg_bp", placed)
    for varied, size in (("servers", 30), ("blocks", 280)):
        with pytest.raises(RuntimeError):
            next(module._timed(1, 0, varied, size))
    assert asked == [(30, 70, 20, 148), (200, 280, 20, 148)]
    assert (module.SERVERS, module.BLOCKS) == ((100, 200, 400, 800, 1600), (70, 140, 280, 560))


def test_each_step_is_done_five_times_once_compiled(monkeypatch):
    placed, routed = [], []
    cg_bp, route = module.cg_bp, module.ShortestPath.route
    monkeypatch.setattr(module, "cg_bp", lambda *args: placed.append(args) or cg_bp(*args))
    monkeypatch.setattr(
        module.ShortestPath, "route", lambda *args: routed.append(args[1:]) or route(*args)
    )
    assert [step for step, _ in module._timed(1, 0, "servers", 100)] == ["placement", "routing"]
    assert len(placed) == len(routed) == 1 + 5
    assert set(routed) == {((0, 20, 128, 148), 0.0)}


def test_times_are_taken_of_five_draws(monkeypatch):
    asked = []

    def timed(*args):
        asked.append(args)
        return [("placement", 1.0)]

    monkeypatch.setattr(module, "_timed", timed)
    table = growth(7)
    sizes = [*(("servers", n) for n in module.SERVERS), *(("blocks", n) for n in module.BLOCKS)]
    assert asked == [(7, repeat, *size) for repeat in range(5) for size in sizes]
    assert table["repeat"].tolist() == [repeat for repeat in range(5) for _ in sizes]
