"""Placements worked out by hand: GSA, offloading, CG-BP; and how policies are found."""

from dataclasses import replace

import numpy as np
import pytest

from bprr.ground.errors import BprrError, InfeasibleError, InputError
from bprr.ground.performance import chain_times_ms
from bprr.ground.registry import (
    ADMISSION,
    CHARGING,
    PLACEMENT,
    REGISTRIES,
    ROUTING,
    SERVICE,
    Registry,
)
from bprr.ground.swarm import Device, LanguageModel, Swarm
from bprr.placement.base import Placement, PlacementProblem
from bprr.placement.cg_bp import CgBp, cg_bp
from bprr.placement.gsa import Gsa, gsa
from bprr.placement.offloading import Offloading
from bprr.placement.petals import Petals
from bprr.placement.petals_leftover_cache import PetalsLeftoverCache
from bprr.scenario.workload import Workload
from bprr.simulation import simulate


def equal_servers(blocks, *tau_ms):
    """Servers with room for two blocks and caches of two sessions of 50 tokens in each."""
    count = len(tau_ms)
    model = LanguageModel(blocks=blocks, d_model=1, block_gb=1.0, cache_bytes_per_value=5e6)
    return Swarm(
        model,
        memory_gb=np.full(count, 4.0),
        tau_ms=np.array(tau_ms, dtype=float),
        prefill_ms=np.zeros(count),
        prefill_ms_per_token=np.zeros(count),
        token_rtt_ms=np.zeros((1, count)),
        prompt_rtt_ms=np.zeros((1, count)),
    )


def test_gsa_by_hand():
    """R = 2, m = 2: two stages, each served by one server; the rest go where capacity is least.

    By time: server 2 (1 ms), 0 (2 ms), 3 (3 ms), 1 (4 ms). Server 2 takes stage 1 (tie: first),
    0 stage 2, and both are served; then 3 stage 1 (tie: first) and 1 stage 2.
    """
    placement = gsa(equal_servers(4, 2, 4, 1, 3), 2, 50)
    assert placement.details["stages"] == 2
    assert placement.details["order"].tolist() == [2, 0, 3, 1]
    assert placement.first_block.tolist() == [3, 3, 1, 1]
    assert placement.blocks.tolist() == [2, 2, 2, 2]


def test_gsa_serves_every_stage_once_or_says_which_is_short():
    swarm = replace(equal_servers(4, 1, 2, 3, 4), memory_gb=np.full(4, 5.0))
    # m = ⌊5 / (1 + 4 · 0.5)⌋ = 1: four stages, each server f = ⌊400 / 50⌋ = 8 sessions.
    placement = gsa(swarm, 4, 50)
    assert placement.first_block.tolist() == [1, 2, 3, 4]
    with pytest.raises(InfeasibleError, match="4 of 4 sessions in stage 5 of 5"):
        gsa(replace(swarm, model=swarm.model.model_copy(update={"blocks": 5})), 4, 50)


def test_gsa_last_stage_may_be_shorter():
    placement = gsa(equal_servers(3, 1, 2), 2, 50)
    assert placement.first_block.tolist() == [1, 3]
    assert placement.blocks.tolist() == [2, 1]


def test_gsa_without_room_for_a_block():
    with pytest.raises(InfeasibleError, match="room for one block missing"):
        gsa(equal_servers(3, 1, 2), 7, 50)


def test_cg_bp_by_hand(small_swarm):
    """R = 5 of 20 tokens: m = 3, 2, 1; t̃ = 1 + 60/3, 5 + 30/2, 2 + 20/1 = 21, 20, 22; f = 5, 7, 5.

    Server 1 first, at 1–2. Server 0 takes 2–4: T of block 2 is served, but 3 and 4 are not.
    All are served R-fold after two; server 2 goes to the least capacity (7, 12, 5, 5): block 3.
    """
    placement = cg_bp(small_swarm, 5, 20)
    assert placement.details["order"].tolist() == [1, 0, 2]
    assert placement.first_block.tolist() == [2, 1, 3]
    assert placement.blocks.tolist() == [3, 2, 1]
    assert placement.details["bound_ms"] == 20 * 2 + 21 * 3 - 1 * 1


def test_cg_bp_without_a_load_is_infeasible(small_swarm):
    with pytest.raises(InfeasibleError, match="R = 0"):
        cg_bp(small_swarm, 0, 20)


@pytest.mark.parametrize(
    "first, blocks", [([0, 1, 1], [1, 1, 1]), ([4, 1, 1], [2, 1, 1]), ([1, 1], [1, 1])]
)
def test_a_placement_outside_the_model_is_refused(small_swarm, first, blocks):
    with pytest.raises(ValueError, match=r"outside the model|shape"):
        Placement(small_swarm, np.array(first), np.array(blocks))


DEVICE = Device(
    name="gpu",
    tau_ms=3.0,
    prefill_ms=33.0,
    prefill_ms_per_token=0.5,
    memory_gb=10.0,
    forward_rps=1.0,
    network_rps=1.0,
)


def no_load():
    raise AssertionError("asked")


def problem_of(swarm, load=no_load, **devices):
    return PlacementProblem(swarm, load, 20, np.arange(swarm.servers), devices)


def offloaded(swarm, bandwidth_gb_per_s, **devices):
    options = Offloading.Options(device="gpu", bandwidth_gb_per_s=bandwidth_gb_per_s)
    return Offloading(options).place(problem_of(swarm, **devices))


def test_offloading_by_hand(small_swarm):
    for bandwidth_gb_per_s, block_ms in ((32.0, 31.25), (4.0, 250.0)):
        placement = offloaded(small_swarm, bandwidth_gb_per_s, gpu=DEVICE)
        # 10 GB less two blocks of 1 GB, in tokens of 0.01 GB.
        assert placement.cache_tokens.tolist() == [800]
        assert (placement.first_block.tolist(), placement.blocks.tolist()) == ([1], [4])
        first, rest = chain_times_ms(placement.swarm, 0, np.array([0]), np.array([4]), 8, 11)
        # Four blocks per token; in the prompt the slower of 33 ms and the transfer, and 8 · 0.5.
        assert rest == pytest.approx(10 * 4 * block_ms)
        assert first == pytest.approx(4 * (max(33.0, block_ms) + 4.0))
        records = simulate(placement, Workload(np.zeros(1), 0, 8, 11), "shortest_path")
        assert records.completion_ms[0] == pytest.approx(first + rest)


def test_offloading_buffers_as_many_blocks_as_it_is_told(small_swarm):
    options = Offloading.Options(device="gpu", buffered_blocks=4)
    placement = Offloading(options).place(problem_of(small_swarm, gpu=DEVICE))
    assert placement.cache_tokens.tolist() == [600]


def test_offloading_bloom_takes_seconds_per_token(configuration, published):
    """1.3234 GB · 70 over 32 GB/s is 2.895 s for every token."""
    bloom = published.models["bloom_176b"]
    bandwidths = [
        configuration.methods[name].placement.options.bandwidth_gb_per_s
        for name in ("offloading", "offloading_ssd")
    ]
    assert bandwidths == [32, 8]
    assert bloom.block_gb * bloom.blocks / 32 == pytest.approx(2.895, abs=1e-3)


def test_offloading_needs_a_device_with_room(small_swarm):
    with pytest.raises(InputError, match="device: got 'gpu'; allowed: a known device: a100"):
        offloaded(small_swarm, 32.0, a100=DEVICE)
    tiny = DEVICE.model_copy(update={"memory_gb": 1.5})
    with pytest.raises(InfeasibleError, match=r"0\.50 GB missing"):
        offloaded(small_swarm, 32.0, gpu=tiny)


def test_policies_that_need_no_load_do_not_ask_for_one(small_swarm):
    for policy in (Petals, PetalsLeftoverCache):
        policy().place(problem_of(small_swarm))
    with pytest.raises(AssertionError, match="asked"):
        CgBp().place(problem_of(small_swarm))


@pytest.mark.parametrize("policy, function", [(CgBp, cg_bp), (Gsa, gsa)])
def test_a_policy_places_for_the_load_of_its_problem(policy, function):
    swarm = equal_servers(4, 2, 4, 1, 3)
    placement = policy().place(problem_of(swarm, lambda: 2))
    expected = function(swarm, 2, 20)
    assert placement.details["load"] == 2
    assert placement.first_block.tolist() == expected.first_block.tolist()
    assert placement.blocks.tolist() == expected.blocks.tolist()


def test_registries_know_the_paper():
    assert {"cg_bp", "petals", "gsa", "petals_cg_bp_number"} <= set(PLACEMENT)
    assert {"ws_rr", "exact", "petals", "shortest_path"} <= set(ROUTING)
    assert {"reserve", "retry"} <= set(ADMISSION)
    assert ("whole" in CHARGING, "independent" in SERVICE) == (True, True)
    for registry in REGISTRIES.values():
        assert list(registry) == sorted(registry)
        assert len(registry) == len(list(registry))


def test_bases_are_no_policies():
    for registry in REGISTRIES.values():
        assert "base" not in registry
        assert all(policy.name == name for name, policy in registry.items())


@pytest.mark.parametrize("registry", REGISTRIES.values(), ids=list(REGISTRIES))
def test_an_unknown_policy_lists_the_known(registry):
    with pytest.raises(KeyError, match=f"{registry.kind} 'nonesuch' is unknown; known: .*"):
        registry["nonesuch"]


def test_a_new_file_is_found_and_a_name_taken_once(tmp_path, monkeypatch):
    package = tmp_path / "found_policies"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "base.py").write_text(
        "from bprr.ground.registry import Policy, Registry\n"
        "class Base(Policy, registry=Registry('policy', 'found_policies')): pass\n"
    )
    (package / "mine.py").write_text(
        "from found_policies.base import Base\nclass Mine(Base, name='mine'):\n    answer = 42\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    from found_policies.base import Base

    assert list(Base.registry) == ["mine"]
    assert Base.registry["mine"].answer == 42
    with pytest.raises(
        BprrError, match=r"'mine' is registered twice: by found_policies\.mine and "
    ):
        type("Other", (Base,), {}, name="mine")
    assert "yours" not in Base.registry


def test_an_empty_registry_still_answers(tmp_path, monkeypatch):
    (tmp_path / "nothing_here").mkdir()
    (tmp_path / "nothing_here" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry("thing", "nothing_here")
    with pytest.raises(KeyError, match="thing 'x' is unknown; known: "):
        registry["x"]
    assert len(registry) == 0
