"""Rules of the offline procedure at their boundaries, on numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse

from bprr.ground.errors import InfeasibleError
from bprr.ground.request import Request
from bprr.ground.swarm import LanguageModel, Swarm
from bprr.offline.backends.base import SolverSettings
from bprr.offline.formulation_strong import window_sizes
from bprr.offline.instance import OfflineInstance, ServerClass, shared_out
from bprr.offline.milp import Milp, RowBuilder
from bprr.offline.packing import Arc, Window, pack_arcs, placement_from_windows, plan_from_arcs
from bprr.offline.procedure import Search, caps_for_target, limited, next_target
from bprr.offline.solve import STRONG, solve_offline
from bprr.offline.throughput import most_flow, passing_rates, rate_bound, solve_throughput
from bprr.offline.verify import (
    VerificationError,
    follow_to_each_stop,
    follow_to_the_end,
    hosted_blocks,
)
from bprr.placement.base import Placement

HIGHS = SolverSettings("highs", 60, 1)


def search_at(swarm: Swarm, objective: float, bound: float) -> Search:
    found = Search(OfflineInstance(swarm, (1, 0), 1), STRONG, HIGHS)
    found.objective, found.bound = objective, bound
    return found


# --- procedure ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "step", "target"),
    [
        (115.0, 0.1, 115.0),  # half as far again as the step, and no further
        (115.1, 0.1, 110.0),
        (300.0, 0.5, 150.0),
        (float("inf"), 0.25, 125.0),
    ],
)
def test_targets_rise_by_steps_of_the_bound(small_swarm, objective, step, target):
    assert next_target(search_at(small_swarm, objective, 100.0), step) == pytest.approx(target)


def test_columns_are_capped_by_what_they_cost():
    model = SimpleNamespace(milp=SimpleNamespace(upper=np.array([9.0, 9.0, 9.0, 2.0, 9.0])))
    caps = caps_for_target(model, 6.0, np.array([0.0, -1.0, 2.0, 1.0, 4.0]))
    assert caps.tolist() == [9.0, 9.0, 3.0, 2.0, 1.0]
    # Rounding does not take a unit away; what is more than rounding does.
    assert caps_for_target(model, 6.0 - 1e-6, np.array([2.0] * 5))[0] == 3.0
    assert caps_for_target(model, 6.0 - 1e-5, np.array([2.0] * 5))[0] == 2.0


def test_shares_of_the_time_that_is_left(small_swarm):
    search = search_at(small_swarm, 1.0, 0.0)
    half = limited(search, 0.5)
    assert half.time_limit_s == pytest.approx(30, abs=1)
    assert half.relative_gap == HIGHS.relative_gap / 10
    assert dict(half.options) == {"mip_allow_restart": False, "mip_detect_symmetry": False}
    search.settings = replace(HIGHS, time_limit_s=0.0, options={"mip_allow_restart": True})
    assert limited(search, 0.5).time_limit_s == 0.05
    assert limited(search, 0.5).options["mip_allow_restart"] is True
    alike = replace(
        small_swarm, memory_gb=np.full(3, 6.0), tau_ms=np.ones(3), token_rtt_ms=np.ones((2, 3))
    )
    assert dict(limited(search_at(alike, 1.0, 0.0), 0.5).options) == {}


def test_without_a_plan_only_an_infinite_bound_is_a_proof(small_swarm):
    search = search_at(small_swarm, float("inf"), 100.0)
    assert not search.proven
    search.raise_bound(50.0)
    assert search.bound == 100.0
    search.raise_bound(float("inf"))
    assert search.proven
    assert [entry[1:] for entry in search.trace] == [(float("inf"), 100.0), (float("inf"),) * 2]


def test_a_server_without_room_for_a_block_is_left_out(small_swarm):
    """Its class has no windows and no arcs."""
    with_it = replace(small_swarm, memory_gb=np.array([6.0, 5.0, 0.5]))
    instance = OfflineInstance(with_it, (1, 1), 10)
    for formulation in ("strong", "relaxed"):
        result = solve_offline(instance, formulation, HIGHS)
        assert (result.status, result.verified) == ("optimal", True)
        assert result.plan.placement.blocks[2] == 0
        # The farther server is the faster one; the nearer takes 10 or 30 and 5 a block.
        assert result.objective_ms == pytest.approx((10 + 4 * 5) + (30 + 4 * 5))


# --- programmes -----------------------------------------------------------------------------------


def test_rows_that_always_hold_are_dropped():
    upper = np.array([2.0, 3.0, 5.0])
    matrix = sparse.csr_matrix([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [-1.0, 0.0, 1.0], [1, -1, 0]])
    infinite = np.inf
    milp = Milp(
        np.arange(3.0), np.zeros(3), upper, np.ones(3, dtype=bool), matrix,
        np.array([-infinite, -infinite, -2.0, -3.1]), np.array([5.0, 4.9, infinite, 1.9]),
    )  # fmt: skip
    same, kept = milp.restricted(upper)
    assert kept.tolist() == [0, 1, 2]
    assert same.row_upper.tolist() == [4.9, 1.9]  # at most 5, at least −2, at least −3
    fewer, kept = milp.restricted(np.array([2.0, 0.0, 5.0]))
    assert kept.tolist() == [0, 2]
    assert (fewer.columns, fewer.rows, fewer.cost.tolist()) == (2, 1, [0.0, 2.0])
    fixed = replace(milp, lower=np.array([0.0, 3.0, 0.0]))
    assert fixed.restricted(np.array([2.0, 3.0, 0.0]))[1].tolist() == [0, 1]


def test_entries_of_one_place_add_up():
    rows = RowBuilder()
    assert rows.add(np.zeros(2), np.ones(2)).tolist() == [0, 1]
    (third,) = rows.add(np.array([-np.inf]), np.array([4.0]))
    rows.fill(np.array([0, third]), np.array([1, 1]), 2.0)
    rows.fill(np.array([0]), np.array([1]), -2.0)
    milp = rows.build(np.ones(2), np.zeros(2), np.ones(2), np.zeros(2, dtype=bool))
    assert milp.matrix.toarray().tolist() == [[0, 0], [0, 0], [0, 2]]
    assert milp.matrix.nnz == 1
    assert (milp.row_lower.tolist(), milp.row_upper.tolist()) == ([0, 0, -np.inf], [1, 1, 4])


def test_sizes_of_a_class_by_hand():
    servers = ServerClass((4, 7), 1.0, np.zeros(1), np.array([0, 9, 7, 3, 3, 0]))
    assert servers.count == 2
    assert [servers.conservative_size(load) for load in (1, 3, 4, 9, 10)] == [3, 2, 1, 1, 0]
    assert window_sizes(servers, 3, 5).tolist() == [2, 3]
    assert window_sizes(servers, 3, 1).tolist() == [1]
    assert window_sizes(servers, 10, 2).tolist() == [1, 2]
    assert shared_out(7, 3) == (3, 2, 2) and shared_out(6, 3) == (2, 2, 2)


# --- packing --------------------------------------------------------------------------------------


def test_windows_become_a_placement_and_arcs_routes(small_swarm):
    left, right = Window(2, 0, 1, 9), Window(0, 1, 4, 9)
    placed = placement_from_windows(small_swarm, [left, right])
    assert placed.first_block.tolist() == [2, 0, 1] and placed.blocks.tolist() == [3, 0, 1]
    packed = [(Arc(client, *ends), w) for client in (0, 1) for ends, w in (
        ((0, 1), left), ((1, 4), right))]  # fmt: skip
    plan = plan_from_arcs(OfflineInstance(small_swarm, (1, 1), 1), placed, packed)
    assert [(r.client, r.servers, r.processed) for r in plan.routes] == [
        (client, (2, 0), (1, 3)) for client in (0, 1)
    ]


def test_packing_gives_up_after_so_many_steps(monkeypatch):
    arcs, windows = [Arc(0, 0, 1)] * 3, [Window(0, 0, 1, 3)]
    for steps, found in ((3, True), (2, False)):
        monkeypatch.setattr("bprr.offline.packing.SEARCH_NODES", steps)
        assert (pack_arcs(arcs, windows) is not None) == found


# --- verification ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "count", "good"),
    [(1, 1, True), (4, 1, True), (1, 4, True), (9, 0, True), (0, 0, True),
     (0, 1, False), (5, 1, False), (2, 4, False), (1, -1, False)],
)  # fmt: skip
def test_hosted_blocks_stay_inside_the_model(small_swarm, first, count, good):
    if good:
        found = hosted_blocks(small_swarm, [first, 1, 4], [count, 0, 1])
        assert found == [range(first, first + count), range(1, 1), range(4, 5)]
    else:
        with pytest.raises(VerificationError, match=f"server 0 hosts {count} blocks from"):
            hosted_blocks(small_swarm, [first, 1, 4], [count, 0, 1])


@pytest.mark.parametrize(
    ("follow", "servers", "counts", "words"),
    [
        (follow_to_the_end, (0,), (2,), "no server of a chain hosts block 3"),
        (follow_to_the_end, (1, 0), (3, 1), "a chain turns back at block 2"),
        (follow_to_the_end, (0, 1, 0), (2, 2, 0), "a chain visits server 0 for no block"),
        (follow_to_the_end, (0, 1), (1, 3),
         r"servers \[0, 1\] process \[2, 2\] blocks, the plan says \[1, 3\]"),
        (follow_to_each_stop, (0, 0), (2, 0), "server 0 processes no block"),
        (follow_to_each_stop, (0,), (3,), "server 0 does not host block 3"),
        (follow_to_each_stop, (0, 1), (2, 1), "a chain ends before block 4"),
    ],
)  # fmt: skip
def test_chains_are_refused_with_their_client_and_block(follow, servers, counts, words):
    with pytest.raises(VerificationError, match=f"^client 5: {words}$"):
        follow([range(1, 3), range(2 if servers[0] else 3, 5)], 4, (5, servers, counts))


# --- throughput -----------------------------------------------------------------------------------


def rated(*rates, memory_gb=9.0):
    """Servers of 1 ms a block at no distance, with what each passes by its number of blocks."""
    count, blocks = len(rates), len(rates[0])
    none, pairs = np.zeros(count), np.zeros((1, count))
    model = LanguageModel(blocks=blocks, d_model=1, block_gb=1.0, cache_bytes_per_value=0.05e9)
    memory = np.full(count, memory_gb)
    return Swarm(
        model, memory, np.ones(count), none, none, pairs, pairs, tokens_per_s=np.array(rates)
    )


def test_bound_of_rates_by_hand():
    # Each passes 6 at one block or 2 at both: one server 2, two 6, three 3 · 6 / 2.
    for servers, bound in ((1, 2.0), (2, 6.0), (3, 9.0)):
        found = rate_bound(np.array([[6.0, 2.0]] * servers))
        assert found == pytest.approx(bound, rel=1e-12)


def test_flow_is_told_to_a_thousandth_and_passes_every_server_once():
    swarm = rated([0.0039, 0.0027], [0.0019, 0.0015], [5.0, 5.0])
    rates = swarm.tokens_per_s
    one = Placement(swarm, np.array([1, 1, 0]), np.array([2, 2, 0]))
    assert most_flow(one, rates) == pytest.approx(0.003)  # 2 and 1 thousandths
    row = Placement(swarm, np.array([1, 2, 0]), np.array([1, 1, 0]))
    assert most_flow(row, rates) == pytest.approx(0.001)
    # Server 0 enters server 2's range midway; what leaves is what 2 passes.
    mixed = Placement(swarm, np.array([1, 0, 1]), np.array([1, 0, 2]))
    assert most_flow(mixed, rates) == pytest.approx(5.0)
    huge = rated([3e9, 3e9], [1e9, 1e9])
    both = Placement(huge, np.array([1, 1]), np.array([2, 2]))
    assert most_flow(both, huge.tokens_per_s) == pytest.approx(4e9, rel=1e-8)


def test_serial_servers_pass_sessions_by_their_time_and_memory():
    swarm = replace(rated([1.0] * 3, memory_gb=2.5), tokens_per_s=None)
    # A block takes 1 ms for each of 9 later tokens, and 1.5 GB with a session of 5 tokens.
    rates, unit = passing_rates(swarm, Request(0, 5, 10, 5))
    assert unit == "sessions"
    assert rates.tolist() == [[1000 / 9, 0.0, 0.0]]
    rates, unit = passing_rates(rated([8.0, 5.0, 2.0]), Request(0, 5, 10, 5))
    assert (rates.tolist(), unit) == ([[8.0, 5.0, 2.0]], "tokens")


def test_servers_share_chains_of_the_largest_rate():
    request = Request(0, 5, 10, 5)
    found = solve_throughput(rated(*[[6.0, 2.0]] * 3), request)
    assert found.rates_per_s.sum() == found.rate_per_s == pytest.approx(6.0)
    assert found.bound_per_s == pytest.approx(9.0)
    assert found.gap == pytest.approx(0.5) and found.status == "best_found"
    two = solve_throughput(rated(*[[6.0, 6.0]] * 2), request)
    assert (two.rates_per_s.tolist(), two.status) == ([6.0, 6.0], "optimal")
    assert two.placement.first_block.tolist() == [1, 1]
    pair = solve_throughput(rated([6.0, 0.0], [5.0, 0.0]), request)
    assert pair.rates_per_s.tolist() == [5.0]
    assert sorted(pair.placement.first_block.tolist()) == [1, 2]
    with pytest.raises(InfeasibleError, match="2 of 3 blocks missing"):
        solve_throughput(rated([6.0, 0.0, 0.0]), request)


def test_memory_bounds_sessions_by_the_time_that_each_takes_alone():
    # 6 GB hold 3 GB of blocks and six slots of half a GB, two for each block.
    swarm = replace(rated([1.0] * 3, memory_gb=6.0), tokens_per_s=None)
    far = replace(swarm, token_rtt_ms=np.full((1, 1), 97.0), raw_rtt_ms=np.full((1, 1), 97.0))
    found = solve_throughput(far, Request(0, 5, 11, 5))
    # Two sessions at once, each of 10 · (97 + 3) ms; computing would pass 1000 / 30.
    assert found.rates_per_s.tolist() == pytest.approx([2.0])
    assert found.unit == "sessions"
