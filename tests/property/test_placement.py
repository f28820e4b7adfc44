"""Placements against slow second implementations, and what the theorems promise of them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st
from naive import algorithm_1, chains, petals_windows
from swarms import swarms

from bprr.ground.errors import InfeasibleError
from bprr.ground.performance import (
    conservative_blocks,
    conservative_blocks_suffice,
    decode_ms_per_token,
    free_cache_tokens,
    max_design_load,
    session_capacity,
)
from bprr.ground.registry import PLACEMENT
from bprr.placement.base import PlacementProblem
from bprr.placement.cg_bp import cg_bp
from bprr.placement.petals import block_gain, petals_blocks, pool_cache_tokens
from bprr.placement.windows import greedy_windows
from bprr.scenario.workload import Workload
from bprr.simulation import simulate

LOADS = st.integers(1, 12)
TOKENS = st.integers(100, 4000)


@st.composite
def block_caps(draw, swarm):
    if draw(st.booleans()):
        return None
    caps = st.lists(st.integers(1, 6), min_size=swarm.servers, max_size=swarm.servers)
    return np.array(draw(caps), dtype=np.int64)


@st.composite
def problems(draw):
    swarm = draw(swarms())
    swarm = replace(swarm, block_cap=draw(block_caps(swarm)))
    order = draw(st.permutations(range(swarm.servers)))
    load = draw(LOADS)
    return PlacementProblem(swarm, lambda: load, draw(TOKENS), np.array(order))


def placed(name, problem):
    return PLACEMENT.build(name).place(problem)


def cg_bp_or_none(swarm, load, tokens):
    try:
        return cg_bp(swarm, load, tokens)
    except InfeasibleError as error:
        assert error.missing
        return None


@given(problem=problems())
def test_cg_bp_is_algorithm_1(problem):
    swarm, load, tokens = problem.swarm, problem.load, problem.session_tokens
    blocks = conservative_blocks(swarm, load, tokens)
    expected = algorithm_1(
        blocks.tolist(),
        session_capacity(swarm, blocks, tokens).tolist(),
        swarm.tau_ms.astype(int).tolist(),
        swarm.token_rtt_ms.max(axis=0).astype(int).tolist(),
        swarm.model.blocks,
        load,
    )
    placement = cg_bp_or_none(swarm, load, tokens)
    event(f"feasible: {placement is not None}")
    if expected.needed is None:
        assert placement is None
        return
    assert placement is not None
    assert placement.blocks.tolist() == blocks.tolist()
    assert placement.details["order"].tolist() == expected.order
    hosted = {j: int(placement.first_block[j]) for j in expected.order}
    assert hosted == expected.first_block
    assert placement.details["bound_ms"] == pytest.approx(float(expected.bound_ms), rel=1e-12)


@st.composite
def window_problems(draw):
    """m_j and f_j at will, also such as no memory would give: sessions below the load, ties."""
    total, servers = draw(st.integers(1, 12)), draw(st.integers(1, 10))

    def column(low, high):
        return draw(st.lists(st.integers(low, high), min_size=servers, max_size=servers))

    return column(0, total), column(0, 9), column(1, 6), column(0, 30), total, draw(LOADS)


@given(problem=window_problems())
def test_greedy_windows_are_those_of_algorithm_1(problem):
    blocks, sessions, tau_ms, rtt_ms, total, load = problem
    expected = algorithm_1(*problem)
    with np.errstate(divide="ignore", invalid="ignore"):
        amortised = np.array(tau_ms) + np.array(rtt_ms) / np.array(blocks)
    start, capacity, needed = greedy_windows(
        np.array(expected.order, dtype=np.int64),
        np.array(blocks, dtype=np.int64),
        np.array(sessions, dtype=np.int64),
        amortised,
        total,
        load,
    )
    assert {j: int(start[j]) + 1 for j in expected.order} == expected.first_block
    assert capacity.tolist() == expected.capacity
    if expected.needed is not None:
        assert needed == expected.needed


@given(problem=problems())
def test_corollary_1_decides_feasibility(problem):
    arguments = (problem.swarm, problem.load, problem.session_tokens)
    assert conservative_blocks_suffice(*arguments) == (cg_bp_or_none(*arguments) is not None)


@given(swarm=swarms(), tokens=TOKENS)
def test_every_load_up_to_r_max_is_feasible(swarm, tokens):
    largest = max_design_load(swarm, tokens)
    assume(largest >= 1)
    for load in {1, max(largest // 2, 1), largest}:
        cg_bp(swarm, load, tokens)


@given(problem=problems())
def test_cg_bp_leaves_cache_for_the_design_load_everywhere(problem):
    swarm, load, tokens = problem.swarm, problem.load, problem.session_tokens
    placement = cg_bp_or_none(swarm, load, tokens)
    assume(placement is not None)
    used = placement.blocks > 0
    assert (placement.cache_tokens >= load * tokens * placement.blocks)[used].all()
    model = swarm.model
    held_gb = model.block_gb * placement.blocks + model.cache_gb_per_token * placement.cache_tokens
    assert (held_gb <= swarm.memory_gb * (1 + 1e-9))[used].all()


@given(problem=problems(), data=st.data())
def test_theorem_2(problem, data):
    """At most R requests at once: nobody waits, and the mean per-token time keeps the bound."""
    swarm, load, tokens = problem.swarm, problem.load, problem.session_tokens
    placement = cg_bp_or_none(swarm, load, tokens)
    assume(placement is not None)
    bound_ms = placement.details["bound_ms"]
    count = data.draw(st.integers(1, 2 * load))
    clients = data.draw(st.lists(st.integers(0, swarm.clients - 1), min_size=count, max_size=count))
    # R at a time: a batch arrives when the bound says that the one before is complete.
    output = 11
    batch_ms = bound_ms * output + 1.0
    decode_only = swarm.decode_only()  # 10 tokens of objective (13a), and nothing else
    workload = Workload(
        batch_ms * (np.arange(count) // load), np.array(clients), 1, output, np.array(tokens)
    )
    for routing in ("shortest_path", "ws_rr", "exact"):
        records = simulate(
            type(placement)(decode_only, placement.first_block, placement.blocks),
            workload,
            routing,
            admission="at_release",
        )
        per_token_ms = records.completion_ms / (output - 1)
        assert (records.wait_ms == 0).all()
        assert per_token_ms.mean() <= bound_ms * (1 + 1e-9)
        # Lemma 3: each takes its client's shortest path.
        for index in range(count):
            best = min(
                decode_ms_per_token(swarm, clients[index], *zip(*chain, strict=True))
                for chain in chains(placement)
            )
            assert per_token_ms[index] == pytest.approx(best, rel=1e-9)


@given(problem=problems())
def test_petals_windows_are_the_least_served(problem):
    swarm = problem.swarm
    blocks = petals_blocks(swarm)
    gain = block_gain(swarm, blocks)
    placement = placed("petals", problem)
    first_block, throughput = petals_windows(
        blocks.tolist(), gain.tolist(), problem.join_order.tolist(), swarm.model.blocks
    )
    assert {j: int(placement.first_block[j]) for j in first_block} == first_block
    assert placement.details["block_throughput"].tolist() == throughput


def changed(problem, placement, other):
    """Names of what differs between PETALS' placement and an ablation's."""
    found = set()
    if placement.blocks.tolist() != other.blocks.tolist():
        found.add("number")
    pool = pool_cache_tokens(problem.swarm.model, other.blocks)
    if other.cache_tokens.tolist() != pool.tolist():
        found.add("cache")
    return found


@given(problem=problems())
def test_ablations_change_what_their_names_say(problem):
    swarm = problem.swarm
    petals = placed("petals", problem)
    number_of_cg_bp = conservative_blocks(swarm, problem.load, problem.session_tokens)

    order = placed("petals_cg_bp_order", problem)
    assert changed(problem, petals, order) == set()

    number = placed("petals_cg_bp_number", problem)
    assert number.blocks.tolist() == number_of_cg_bp.tolist()
    assert number.cache_tokens.tolist() == free_cache_tokens(swarm, number.blocks).tolist()

    cache = placed("petals_leftover_cache", problem)
    assert "number" not in changed(problem, petals, cache)
    assert cache.first_block.tolist() == petals.first_block.tolist()
    assert (cache.cache_tokens >= petals.cache_tokens).all()
    assert cache.cache_tokens.tolist() == free_cache_tokens(swarm, cache.blocks).tolist()


@given(problem=problems())
def test_optimized_order_joins_by_amortised_time(problem):
    swarm = problem.swarm
    number = conservative_blocks(swarm, problem.load, problem.session_tokens)
    worst_rtt = swarm.token_rtt_ms.max(axis=0)
    by_time = sorted(
        (j for j in range(swarm.servers) if number[j]),
        key=lambda j: (swarm.tau_ms[j] + worst_rtt[j] / number[j], j),
    )
    blocks = petals_blocks(swarm)
    first_block, _ = petals_windows(
        blocks.tolist(), block_gain(swarm, blocks).tolist(), by_time, swarm.model.blocks
    )
    placement = placed("petals_cg_bp_order", problem)
    assert {j: int(placement.first_block[j]) for j in first_block} == first_block
