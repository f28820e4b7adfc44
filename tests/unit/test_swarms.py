"""Models, devices, swarms and legs: every column by hand, every part of them, every refusal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from bprr.ground.errors import InputError
from bprr.ground.legs import Leg, Mbit, Neighbours
from bprr.ground.performance import (
    amortised_time_ms,
    chain_times_ms,
    completion_bound,
    decode_ms_per_token,
    free_cache_tokens,
    hosts_of_blocks,
    least_session_terms_ms,
    session_capacity,
    session_terms_ms,
)
from bprr.ground.swarm import Device, LanguageModel, Overheads, Swarm, floor_ratio

NAN = float("nan")
MODEL = LanguageModel(name="m", blocks=4, d_model=500, block_gb=1.0, cache_bytes_per_value=1e6)
OVERHEADS = Overheads(
    token_ms=1.0, prompt_ms=3.0, prompt_ms_per_token=0.5, initial_ms=9.0, prompt_round_trips=2.0
)
PROFILE: dict[str, Any] = {"tau_ms": 4.0, "prefill_ms": 8.0, "memory_gb": 6.0}


def refused(of: Any, **content: Any) -> tuple[str, object, str]:
    with pytest.raises(ValidationError) as caught:
        of(**content)
    error = caught.value.errors()[0]["ctx"]["error"]
    return error.key, error.value, error.allowed


def test_memory_of_a_block() -> None:
    sizes: dict[str, Any] = {"blocks": 1, "d_model": 64}
    found = LanguageModel(**sizes, parameters_per_block=3_000_000_000, bits_per_parameter=4.0)
    assert found.block_gb == 1.5
    stored = LanguageModel(
        **sizes, parameters_per_block=3_000_000_000, bits_per_parameter=4.0, storage_overhead=1.5
    )
    assert stored.block_gb == 2.25
    given = LanguageModel(
        **sizes, parameters_per_block=3_000_000_000, bits_per_parameter=4.0, block_gb=7.0
    )
    assert given.block_gb == 7
    allowed = "block_gb, or parameters_per_block with bits_per_parameter"
    for keys in ({}, {"parameters_per_block": 5}, {"bits_per_parameter": 4.0}):
        assert refused(LanguageModel, **sizes, **keys) == ("block_gb", "nothing", allowed)
    allowed = "nothing, where cache_bytes_per_token_per_block says it all"
    keys = {"block_gb": 1.0, "cache_bytes_per_token_per_block": 9.0, "key_value_width": 3}
    assert refused(LanguageModel, **sizes, **keys) == ("key_value_width", 3, allowed)


@pytest.mark.parametrize(
    ("keys", "bytes_per_token"),
    [
        ({}, 256), ({"cache_bytes_per_value": 1.0}, 128), ({"key_value_groups": 8}, 32),
        ({"key_value_width": 24}, 96), ({"key_value_width": 24, "key_value_groups": 8}, 96),
        ({"cache_bytes_per_token_per_block": 70.0}, 70),
    ],
)  # fmt: skip
def test_cache_of_a_token(keys: dict[str, Any], bytes_per_token: float) -> None:
    model = LanguageModel(blocks=1, d_model=64, block_gb=1.0, **keys)
    assert model.cache_gb_per_token == pytest.approx(bytes_per_token / 1e9)
    assert model.session_cache_gb(30) == pytest.approx(30 * bytes_per_token / 1e9)


def test_a_device_for_another_model() -> None:
    device = Device(
        **PROFILE, name="d", prefill_ms_per_token=0.5, model="old", inference_rps=90.0,
        forward_rps=60.0, network_rps=30.0,
    )  # fmt: skip
    sizes: dict[str, Any] = {"name": "old", "blocks": 2, "d_model": 100, "block_gb": 2.0}
    old = LanguageModel(**sizes, parameters_per_block=1000)
    new = LanguageModel(name="new", blocks=3, d_model=300, block_gb=5.0, parameters_per_block=2000)
    # Bytes of a block 2.5 times, its parameters twice, the width three times.
    found = device.scaled(old, new)
    assert (found.name, found.model, found.memory_gb) == ("d", "new", 6)
    assert (found.tau_ms, found.prefill_ms, found.prefill_ms_per_token) == (10, 16, 1)
    assert (found.inference_rps, found.forward_rps, found.network_rps) == (36, 30, 10)
    for unsaid in (LanguageModel(**sizes), new):
        other = new.model_copy(update={"parameters_per_block": None}) if unsaid is new else new
        found = device.scaled(old if unsaid is new else unsaid, other)
        assert (found.tau_ms, found.prefill_ms, found.prefill_ms_per_token) == (10, 20, 1.25)
        assert (found.inference_rps, found.forward_rps, found.network_rps) == (36, 24, 10)
    bare = Device(**PROFILE, model="old").scaled(old, new)
    assert (bare.inference_rps, bare.forward_rps, bare.network_rps) == (None, None, None)
    assert [device.of_model(model) for model in (old, new)] == [True, False]
    assert Device(**PROFILE).of_model(new)


def test_a_swarm_of_devices() -> None:
    devices = [
        Device(**PROFILE, name="a", tokens_per_s=[9.0, 8.0, 7.0, 6.0, 5.0], inference_rps=300.0,
               forward_rps=1.0, network_rps=2.0),
        Device(**{**PROFILE, "tau_ms": 5.0}, name="b", tokens_per_s=[3.0], forward_rps=4.0),
    ]  # fmt: skip
    raw = np.array([[10.0, 20.0]])
    speed = np.array([[8.0, NAN]]), np.array([[2.0, 4.0]])
    swarm = Swarm.of(MODEL, devices, raw, OVERHEADS, speed, block_cap=[2, 3])
    assert (swarm.servers, swarm.clients, swarm.device) == (2, 1, ("a", "b"))
    assert swarm.tau_ms.tolist() == [4, 5]
    assert swarm.inference_rps.tolist() == [300, 200]
    assert swarm.forward_rps is not None
    assert swarm.forward_rps.tolist() == [1, 4]
    assert swarm.network_rps is None
    assert swarm.tokens_per_s is not None
    assert swarm.tokens_per_s.tolist() == [[9, 8, 7, 6], [3, 0, 0, 0]]
    assert swarm.raw_rtt_ms.tolist() == [[10, 20]]
    assert swarm.token_rtt_ms.tolist() == [[11, 21]]
    assert swarm.prompt_rtt_ms.tolist() == [[23, 43]]
    # 500 values of two bytes: 8,000 bits, at 8 Mbit/s there and at 2 back.
    np.testing.assert_allclose(swarm.prompt_rtt_ms_per_token, [[1 + 4, 0.5]])
    assert swarm.block_cap is not None
    assert swarm.block_cap.dtype == np.int64
    assert swarm.capped(np.array([9, 2])).tolist() == [2, 2]
    assert swarm.without_block_cap().capped(np.array([9, 2])).tolist() == [4, 2]
    plain = Swarm.of(MODEL, [devices[0], Device(**PROFILE)], raw, OVERHEADS)
    assert plain.tokens_per_s is None
    assert plain.forward_rps is None
    assert plain.prompt_rtt_ms_per_token.tolist() == [[0.5, 0.5]]
    assert plain.device == ("a", "")


def bare(servers: int = 2, **more: Any) -> Swarm:
    names = ("memory_gb", "prefill_ms", "prefill_ms_per_token")
    columns = {name: np.ones(servers) for name in names}
    rtt = np.arange(1.0, servers + 1)[None]
    given = {
        **columns, "tau_ms": np.full(servers, 4.0), "token_rtt_ms": rtt, "prompt_rtt_ms": rtt + 1,
        **more,
    }  # fmt: skip
    return Swarm(MODEL, **given)


def test_what_a_bare_swarm_is_taken_for() -> None:
    swarm = bare()
    assert swarm.raw_rtt_ms.tolist() == [[1, 2]]
    assert swarm.prompt_rtt_ms_per_token.tolist() == [[0, 0]]
    assert swarm.inference_rps.tolist() == [250, 250]
    assert swarm.device == ("server", "server")
    for nothing in ("server_rtt_ms", "forward_rps", "network_rps", "block_cap", "tokens_per_s",
                    "neighbours"):  # fmt: skip
        assert getattr(swarm, nothing) is None
    assert np.isinf(bare(tau_ms=np.zeros(2)).inference_rps).all()
    # A row alone is one client's.
    row = bare(token_rtt_ms=[1, 2], prompt_rtt_ms=np.array([[3, 4]]), raw_rtt_ms=[5, 6])
    assert (row.token_rtt_ms.tolist(), row.raw_rtt_ms.tolist()) == ([[1, 2]], [[5, 6]])
    for name in ("memory_gb", "tau_ms", "token_rtt_ms", "prompt_rtt_ms", "raw_rtt_ms"):
        column = getattr(row, name)
        assert column.dtype == np.float64
        assert column.flags.c_contiguous
        assert not column.flags.writeable


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [(name, (3,), (2,)) for name in ("tau_ms", "prefill_ms", "prefill_ms_per_token",
                                     "forward_rps", "network_rps", "inference_rps")]
    + [(name, (2, 2), (1, 2)) for name in ("prompt_rtt_ms", "raw_rtt_ms",
                                           "prompt_rtt_ms_per_token")]
    + [("server_rtt_ms", (2, 3), (2, 2)), ("token_rtt_ms", (1, 3), (1, 2))],
)  # fmt: skip
def test_shapes(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Swarm") as caught:
        bare(**{name: np.ones(shape)})
    assert str(caught.value) == f"Swarm.{name} has shape {shape}, expected {expected}"


def test_a_name_for_every_server() -> None:
    with pytest.raises(ValueError, match=r"^Swarm.device has 3 entries, expected 2$"):
        bare(device=("a", "b", "c"))


def legs_of(crossings: int = 1) -> Neighbours:
    to = np.array([[10.0, 20.0, 30.0], [40.0, 50.0, 60.0]])
    between = np.array([[0.0, 2.0, 4.0], [6.0, 0.0, 8.0], [12.0, 16.0, 0.0]])
    return Neighbours.of(to, between, OVERHEADS, MODEL, crossings)


def test_part_of_a_swarm() -> None:
    names = ("memory_gb", "tau_ms", "prefill_ms", "prefill_ms_per_token", "forward_rps",
             "network_rps", "inference_rps", "block_cap")  # fmt: skip
    columns: dict[str, Any] = {
        name: np.arange(1, 4) + 10 * place for place, name in enumerate(names)
    }
    pairs = ("token_rtt_ms", "prompt_rtt_ms", "prompt_rtt_ms_per_token", "raw_rtt_ms")
    columns |= {name: np.arange(6).reshape(2, 3) + 100 * place for place, name in enumerate(pairs)}
    swarm = Swarm(
        MODEL, **columns, server_rtt_ms=np.arange(9).reshape(3, 3), device=("a", "b", "c"),
        tokens_per_s=np.arange(12).reshape(3, 4), neighbours=legs_of(),
    )  # fmt: skip
    part = swarm.part(np.array([2, 0]))
    for place, name in enumerate(names):
        assert getattr(part, name).tolist() == [3 + 10 * place, 1 + 10 * place]
    for place, name in enumerate(pairs):
        first, last = 100 * place, 100 * place + 2
        assert getattr(part, name).tolist() == [[last, first], [last + 3, first + 3]]
    assert part.server_rtt_ms is not None
    assert part.server_rtt_ms.tolist() == [[8, 6], [2, 0]]
    assert part.device == ("c", "a")
    assert part.tokens_per_s is not None
    assert part.tokens_per_s.tolist() == [[8, 9, 10, 11], [0, 1, 2, 3]]
    assert part.neighbours is not None
    assert part.neighbours.enter.token_ms.tolist() == [[15.5, 5.5], [30.5, 20.5]]
    assert part.neighbours.leave.prompt_ms.tolist() == [[31.5, 11.5], [61.5, 41.5]]
    assert part.neighbours.between.token_ms.tolist() == [[0.5, 6.5], [2.5, 0.5]]
    assert part.neighbours.crossings == 1
    assert part.model is MODEL
    small = bare().part(np.array([1]))
    assert small.token_rtt_ms.tolist() == [[2]]
    for nothing in ("server_rtt_ms", "forward_rps", "block_cap", "tokens_per_s", "neighbours"):
        assert getattr(small, nothing) is None


def test_decoding_only() -> None:
    swarm = replace(bare(3), token_rtt_ms=np.ones((2, 3)), prompt_rtt_ms=np.ones((2, 3)),
                    prompt_rtt_ms_per_token=np.ones((2, 3)), raw_rtt_ms=np.ones((2, 3)),
                    neighbours=legs_of(2))  # fmt: skip
    found = swarm.decode_only()
    for name in ("prefill_ms", "prefill_ms_per_token"):
        assert getattr(found, name).tolist() == [0, 0, 0]
    for name in ("prompt_rtt_ms", "prompt_rtt_ms_per_token"):
        assert getattr(found, name).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert found.neighbours is not None
    assert found.neighbours.crossings == 2
    for name in ("enter", "between", "leave"):
        before, after = getattr(legs_of(2), name), getattr(found.neighbours, name)
        assert after.token_ms.tolist() == before.token_ms.tolist()
        zeros = np.zeros(before.token_ms.shape).tolist()
        assert after.prompt_ms.tolist() == after.prompt_ms_per_token.tolist() == zeros
    assert bare().decode_only().neighbours is None


def test_legs() -> None:
    leg = Leg.of(np.array([[10.0, 20.0]]), OVERHEADS, MODEL, None)
    assert leg.token_ms.tolist() == [[5.5, 10.5]]
    assert leg.prompt_ms.tolist() == [[11.5, 21.5]]
    assert leg.prompt_ms_per_token.tolist() == [[0.25, 0.25]]
    leg = Leg.of(np.array([[10.0, 20.0]]), OVERHEADS, MODEL, np.array([[16.0, NAN]]))
    assert leg.prompt_ms_per_token.tolist() == [[0.5, 0.25]]
    to, between = np.full((1, 2), 10.0), np.array([[0.0, 4.0], [6.0, 0.0]])
    mbit = Mbit(np.full((1, 2), 8.0), np.array([[NAN, 4.0], [2.0, NAN]]), np.full((1, 2), 1.0))
    for crossings, token_ms, per_token in (
        (1, [[0.5, 2.5], [3.5, 0.5]], [[0.25, 2], [4, 0.25]]),
        (2, [[1, 6], [6, 1]], [[0.5, 6], [6, 0.5]]),
    ):
        found = Neighbours.of(to, between, OVERHEADS, MODEL, crossings, mbit)
        assert found.enter.prompt_ms_per_token.tolist() == [[1, 1]]
        assert found.leave.prompt_ms_per_token.tolist() == [[8, 8]]
        assert found.between.token_ms.tolist() == token_ms
        assert found.between.prompt_ms_per_token.tolist() == per_token
        assert found.crossings == crossings


def test_the_longest_leg_into_a_server() -> None:
    legs = legs_of()
    # From clients at most 20.5, 25.5, 30.5; from server 2 6.5 and 8.5.
    assert legs.worst_ms(np.array([True, True, True])).tolist() == [20.5, 25.5, 30.5]
    near = legs._replace(enter=Leg(*(each * 0 + 0.25 for each in legs.enter)))
    assert near.worst_ms(np.array([True, True, True])).tolist() == [6.5, 8.5, 4.5]
    assert near.worst_ms(np.array([True, False, False])).tolist() == [0.25, 1.5, 2.5]
    assert near.worst_ms(np.array([False, True, False])).tolist() == [3.5, 0.25, 4.5]
    assert near.worst_ms(np.zeros(3, dtype=bool)).tolist() == [0.25, 0.25, 0.25]


@pytest.fixture
def ring() -> Swarm:
    columns: dict[str, Any] = {
        "memory_gb": np.array([6.0, 5.0, 2.0]), "tau_ms": np.array([1.0, 5.0, 2.0]),
        "prefill_ms": np.array([10.0, 20.0, 30.0]),
        "prefill_ms_per_token": np.array([0.5, 1.0, 2.0]),
        "token_rtt_ms": np.full((2, 3), 40.0), "prompt_rtt_ms": np.full((2, 3), 50.0),
    }  # fmt: skip
    return Swarm(MODEL, **columns, prompt_rtt_ms_per_token=0.25, neighbours=legs_of())


def test_times_of_a_ring(ring: Swarm) -> None:
    chain, processed = np.array([2, 0]), np.array([1, 3])
    first_ms, remaining_ms = chain_times_ms(ring, 1, chain, processed, 8, 11)
    # Prompts: legs of 61.5 in, 13.5 across, 41.5 out, each 0.25 a token; then the blocks.
    assert first_ms == 61.5 + 13.5 + 41.5 + 3 * 8 * 0.25 + (30 + 16) + 3 * (10 + 4)
    per_token = 30.5 + 6.5 + 20.5 + 1 * 2 + 3 * 1
    assert remaining_ms == 10 * per_token
    assert decode_ms_per_token(ring, 1, chain, processed) == per_token
    alone = decode_ms_per_token(ring, 0, [1], [4])
    assert alone == 10.5 + 10.5 + 4 * 5
    blocks = np.array([3, 2, 0])
    # The longest leg into a server that hosts blocks over their number.
    assert amortised_time_ms(ring, blocks).tolist() == [1 + 20.5 / 3, 5 + 25.5 / 2, np.inf]
    near = replace(ring, neighbours=legs_of()._replace(enter=Leg(*np.full((3, 2, 3), 0.25))))
    assert amortised_time_ms(near, blocks).tolist() == [1 + 3.5 / 3, 5 + 1.5 / 2, np.inf]
    bound = (1 + 20.5 / 3) * 3 + (5 + 25.5 / 2) * 2 - 5 * 1 + 25.5
    assert completion_bound(ring, blocks, [0, 1, 2], 2) == pytest.approx(bound)


def test_terms_of_a_session(ring: Swarm, small_swarm: Swarm) -> None:
    with pytest.raises(InputError) as caught:
        session_terms_ms(ring, 8, 11)
    assert str(caught.value) == (
        "scenario: forwarding: got 'from server to server'; allowed: hub, where a server takes as"
        " long whatever came before it on the chain"
    )
    hop_ms, block_ms = session_terms_ms(small_swarm, 8, 11)
    assert hop_ms.tolist() == [[52 + 400, 22 + 100, 32 + 200], [72 + 600, 42 + 300, 32 + 200]]
    assert block_ms.tolist() == [14 + 10, 28 + 50, 46 + 20]
    hop_ms, block_ms = session_terms_ms(small_swarm, 8, 11, by_token=True)
    assert hop_ms.tolist() == (18 * small_swarm.token_rtt_ms).tolist()
    assert block_ms.tolist() == [18, 90, 36]
    least_ms, block_ms = least_session_terms_ms(small_swarm, 8, 11)
    assert least_ms.tolist() == [452, 122, 232]
    assert block_ms.tolist() == [24, 78, 66]
    least_ms, block_ms = least_session_terms_ms(ring, 8, 11)
    # Across: (2·rtt + 3) / 2 + 2 + 10 · (rtt + 1) / 2 from the nearest other server.
    assert least_ms.tolist() == [7.5 + 2 + 35, 3.5 + 2 + 15, 5.5 + 2 + 25]
    assert block_ms.tolist() == [24, 78, 66]
    near = replace(ring, neighbours=legs_of()._replace(enter=Leg(*np.full((3, 2, 3), 1.0))))
    assert least_session_terms_ms(near, 8, 3)[0].tolist() == [11, 3.5 + 2 + 3, 11]


def test_what_is_hosted_and_what_is_free(small_swarm: Swarm) -> None:
    first, blocks = np.array([1, 0, 2, 4, 3]), np.array([2, 0, 3, 1, 1])
    assert hosts_of_blocks(first, blocks, 5).tolist() == [1, 2, 2, 2, 0]
    assert free_cache_tokens(small_swarm, np.array([6, 1, 0])).tolist() == [0, 400, 0]
    assert free_cache_tokens(small_swarm, np.array([7, 4, 2])).tolist() == [0, 100, 0]
    assert session_capacity(small_swarm, np.array([1, 4, 0]), 30).tolist() == [16, 0, 0]
    assert session_capacity(small_swarm, np.array([1, 2, 1]), 30).tolist() == [16, 5, 3]


@pytest.mark.parametrize(
    ("amount", "unit", "whole"),
    [
        (3.0, 1.0, 3), (3 - 1e-10, 1.0, 3), (3 - 4e-9, 1.0, 2), (1 - 5e-10, 1.0, 1),
        (1 - 2e-9, 1.0, 0), (1e6 - 5e-4, 1.0, 1_000_000), (1e6 - 2e-3, 1.0, 999_999),
        (0.5 - 1e-10, 0.5, 1), (-0.5, 1.0, 0), (-1e-12, 1.0, 0),
    ],
)  # fmt: skip
def test_whole_units(amount: float, unit: float, whole: int) -> None:
    assert floor_ratio(amount, unit).tolist() == whole
    assert floor_ratio(np.array([amount]), unit).dtype == np.int64
