"""Placements worked out by hand: GSA, offloading, CG-BP; and how policies are found."""

from dataclasses import replace

import numpy as np
import pytest

from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.performance import chain_times_ms
from bprr.ground.registry import Registry
from bprr.ground.swarm import Device, LanguageModel, Swarm
from bprr.placement.base import (
    OffloadingHost,
    Placement,
    PlacementProblem,
    place,
    placement_policies,
)
from bprr.placement.cg_bp import cg_bp
from bprr.placement.gsa import gsa
from bprr.routing.base import routing_policies
from bprr.scenario.workload import Workload
from bprr.simulation import simulate
from bprr.simulation.admission import admission_policies


def equal_servers(blocks, *tau_ms):
    """Servers with room for two blocks and caches of two sessions of 50 tokens in each."""
    count = len(tau_ms)
    model = LanguageModel("m", blocks, d_model=1, block_gb=1.0, cache_bytes_per_value=5e6)
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
        gsa(replace(swarm, model=replace(swarm.model, blocks=5)), 4, 50)


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


DEVICE = Device("gpu", 3.0, 33.0, 0.5, 10.0, 1.0, 1.0)


def offloading_problem(swarm, host):
    return PlacementProblem(swarm, lambda: 1, 20, np.arange(3), None, host)


def test_offloading_by_hand(small_swarm):
    host = OffloadingHost(DEVICE, pcie_gb_per_s=32.0, ssd_gb_per_s=4.0, buffered_blocks=2)
    problem = offloading_problem(small_swarm, host)
    for name, block_ms in (("offloading_pcie", 31.25), ("offloading_ssd", 250.0)):
        placement = place(name, problem)
        # 10 GB less two blocks of 1 GB, in tokens of 0.01 GB.
        assert placement.cache_tokens.tolist() == [800]
        assert (placement.first_block.tolist(), placement.blocks.tolist()) == ([1], [4])
        first, rest = chain_times_ms(placement.swarm, 0, np.array([0]), np.array([4]), 8, 11)
        # Four blocks per token; in the prompt the slower of 33 ms and the transfer, and 8 · 0.5.
        assert rest == pytest.approx(10 * 4 * block_ms)
        assert first == pytest.approx(4 * (max(33.0, block_ms) + 4.0))
        records = simulate(placement, Workload(np.zeros(1), 0, 8, 11), "shortest_path")
        assert records.completion_ms[0] == pytest.approx(first + rest)


def test_offloading_bloom_takes_seconds_per_token(configuration, published):
    """1.3234 GB · 70 over 32 GB/s is 2.895 s for every token."""
    bloom = published.models["bloom_176b"].language_model("b")
    assert bloom.block_gb * bloom.blocks / 32 == pytest.approx(2.895, abs=1e-3)


def test_offloading_needs_a_device_with_room(small_swarm):
    with pytest.raises(InputError, match=r"offloading\.device"):
        place("offloading_pcie", offloading_problem(small_swarm, None))
    tiny = OffloadingHost(replace(DEVICE, memory_gb=1.5), 32.0, 4.0)
    with pytest.raises(InfeasibleError, match=r"0\.50 GB missing"):
        place("offloading_pcie", offloading_problem(small_swarm, tiny))


def test_policies_that_need_no_load_do_not_ask_for_one(small_swarm):
    def no_load():
        raise AssertionError("asked")

    problem = PlacementProblem(small_swarm, no_load, 20, np.arange(3))
    for name in ("petals", "petals_leftover_cache"):
        place(name, problem)
    with pytest.raises(AssertionError, match="asked"):
        place("cg_bp", problem)


def test_registries_know_the_paper():
    assert {"cg_bp", "petals", "gsa", "petals_cg_bp_number"} <= set(placement_policies)
    assert {"ws_rr", "exact", "petals", "shortest_path"} <= set(routing_policies)
    assert {"reserve", "retry"} <= set(admission_policies)
    assert list(placement_policies) == sorted(placement_policies)
    assert len(routing_policies) == len(list(routing_policies))


@pytest.mark.parametrize("registry", [placement_policies, routing_policies, admission_policies])
def test_an_unknown_policy_lists_the_known(registry):
    with pytest.raises(KeyError, match=f"{registry.kind} 'nonesuch' is unknown; known: .*"):
        registry["nonesuch"]


def test_a_new_file_is_found_and_a_name_taken_once(tmp_path, monkeypatch):
    package = tmp_path / "found_policies"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "base.py").write_text(
        "from bprr.ground.registry import Registry\n"
        "policies = Registry('policy', 'found_policies')\n"
    )
    (package / "mine.py").write_text(
        "from found_policies.base import policies\n"
        "@policies.register('mine')\ndef mine():\n    return 42\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    from found_policies.base import policies

    assert list(policies) == ["mine"]
    assert policies["mine"]() == 42
    with pytest.raises(ValueError, match="'mine' is registered twice"):
        policies.register("mine")(None)
    assert "yours" not in policies


def test_an_empty_registry_still_answers():
    registry = Registry("thing", "bprr.figures")
    with pytest.raises(KeyError, match="thing 'x' is unknown"):
        registry["x"]
