"""Every routing decision against all chains, enumerated."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from naive import chain_cost, chains, least_costs, petals_cost
from swarms import State, crowded_placements, placements, requests, states

from bprr.ground.caches import Caches
from bprr.ground.errors import InfeasibleError
from bprr.ground.performance import blocks_processed, chain_times_ms
from bprr.ground.registry import ROUTING
from bprr.ground.request import Request
from bprr.ground.swarm import LanguageModel, Swarm
from bprr.placement.base import Placement
from bprr.routing.base import RoutingContext


def as_chain(route):
    return tuple(zip(route.servers.tolist(), route.processed.tolist(), strict=True))


def assert_is_a_chain(placement, route):
    """Blocks 1..L once each, in order, every server to the end of its range (suffix rule)."""
    done = 0
    for server, count in as_chain(route):
        first, last = int(placement.first_block[server]), int(placement.last_block[server])
        assert placement.blocks[server] > 0
        assert first <= done + 1 <= last
        assert done + count == last
        done = last
    assert done == placement.swarm.model.blocks
    again = blocks_processed(placement.first_block, placement.blocks, route.servers)
    assert again.tolist() == route.processed.tolist()


@st.composite
def decisions(draw, covering=None):
    placement = draw(placements(draw(st.booleans()) if covering is None else covering))
    state = draw(states(placement))
    return placement, state, draw(requests(placement.swarm.clients))


def route_or_none(name, placement, state, request):
    router = ROUTING.build(name, RoutingContext(placement, state.caches))
    try:
        return router.route(request, state.now_ms)
    except InfeasibleError as error:
        assert error.missing
        return None


@pytest.mark.parametrize(
    "name, criterion",
    [("exact", "with_longest_wait"), ("ws_rr", "with_summed_waits"), ("shortest_path", "time_ms")],
)
@settings(max_examples=2 * settings.default.max_examples)
@given(data=st.data())
def test_routing_is_the_best_of_all_chains(name, criterion, data):
    placement, state, request = data.draw(decisions())
    costs = {
        chain: chain_cost(placement, state.holds, chain, request, state.now_ms)
        for chain in chains(placement)
    }
    possible = {chain: cost for chain, cost in costs.items() if max(cost.waits_ms) < math.inf}
    route = route_or_none(name, placement, state, request)
    event(f"chains: {min(len(possible), 3)}, waiting: {any(map(has_wait, possible.values()))}")
    if not possible:
        assert route is None
        return
    assert route is not None
    assert_is_a_chain(placement, route)
    best = min(getattr(cost, criterion) for cost in possible.values())
    assert getattr(costs[as_chain(route)], criterion) == pytest.approx(best, rel=1e-9)
    assert route.cost_ms == pytest.approx(best, rel=1e-9)


@settings(max_examples=5 * settings.default.max_examples)
@given(data=st.data())
def test_routing_among_many_servers_with_crowded_ends(data):
    placement = data.draw(crowded_placements())
    state = data.draw(states(placement))
    request = data.draw(requests(placement.swarm.clients))
    summed, longest = least_costs(placement, state.holds, request, state.now_ms)
    for name, best in (("ws_rr", summed), ("exact", longest)):
        route = route_or_none(name, placement, state, request)
        if best == math.inf:
            assert route is None
            continue
        assert_is_a_chain(placement, route)
        assert route.cost_ms == pytest.approx(best, rel=1e-9)
        cost = chain_cost(placement, state.holds, as_chain(route), request, state.now_ms)
        met = cost.with_summed_waits if name == "ws_rr" else cost.with_longest_wait
        assert met == pytest.approx(best, rel=1e-9)


def has_wait(cost):
    return max(cost.waits_ms) > 0


@given(decision=decisions(covering=True))
def test_exact_never_loses_to_ws_rr_in_true_cost(decision):
    placement, state, request = decision
    exact = route_or_none("exact", placement, state, request)
    ws_rr = route_or_none("ws_rr", placement, state, request)
    true_cost = {
        name: chain_cost(placement, state.holds, as_chain(route), request, state.now_ms)
        for name, route in (("exact", exact), ("ws_rr", ws_rr))
    }
    limit = true_cost["ws_rr"].with_longest_wait
    assert true_cost["exact"].with_longest_wait <= limit * (1 + 1e-9)
    # Corollary 2: the summed waits that WS-RR minimises bound the true time.
    assert limit <= ws_rr.cost_ms * (1 + 1e-9)


@given(decision=decisions())
def test_petals_routing_is_the_best_of_all_chains(decision):
    placement, state, request = decision
    alive = [server for server, _, end in state.holds if end > state.now_ms]
    sessions = [alive.count(server) for server in range(placement.swarm.servers)]
    costs = {
        chain: petals_cost(placement, sessions, chain, request, 18.0, 10_000.0)
        for chain in chains(placement)
    }
    route = route_or_none("petals", placement, state, request)
    if not costs:
        assert route is None
        return
    assert_is_a_chain(placement, route)
    best = min(costs.values())
    assert costs[as_chain(route)] == pytest.approx(best, rel=1e-12)
    assert route.cost_ms == pytest.approx(best, rel=1e-12)


@given(decision=decisions(covering=True))
def test_time_of_a_chain_is_the_sum_of_its_links(decision):
    placement, state, request = decision
    route = route_or_none("shortest_path", placement, state, request)
    first_ms, remaining_ms = chain_times_ms(
        placement.swarm,
        request.client,
        route.servers,
        route.processed,
        request.input_tokens,
        request.output_tokens,
    )
    cost = chain_cost(placement, [], as_chain(route), request, 0.0)
    assert first_ms + remaining_ms == pytest.approx(cost.time_ms, rel=1e-12)
    assert np.isclose(route.cost_ms, cost.time_ms, rtol=1e-12)


@given(decision=decisions(covering=True))
def test_shortest_path_does_not_see_the_load(decision):
    placement, state, request = decision
    busy = route_or_none("shortest_path", placement, state, request)
    idle = route_or_none("shortest_path", placement, state._replace(now_ms=1e12), request)
    assert as_chain(busy) == as_chain(idle)


@st.composite
def tight_decisions(draw):
    """Servers with room for just so many blocks, some of them held: what fits fits exactly."""
    placement = draw(crowded_placements() if draw(st.booleans()) else placements())
    tokens, count = 1000, placement.swarm.servers
    rooms = draw(st.lists(st.integers(0, 6), min_size=count, max_size=count))
    placement = replace(placement, cache_tokens=tokens * np.array(rooms))
    caches, holds = Caches(placement.cache_tokens), []
    for server, room in enumerate(rooms):
        for _ in range(draw(st.integers(0, 2)) if room else 0):
            units, end = tokens * draw(st.integers(1, room)), draw(st.integers(1, 9)) * 20.0
            caches.hold(np.array([server]), [units], end, 0.0)
            holds.append((server, units, end))
    request = draw(requests(placement.swarm.clients))._replace(cache_tokens=tokens)
    return placement, State(caches, holds, draw(st.sampled_from([0.0, 20.0, 60.0]))), request


@given(decision=tight_decisions())
def test_routing_where_what_fits_fits_exactly(decision):
    placement, state, request = decision
    summed, longest = least_costs(placement, state.holds, request, state.now_ms)
    for name, best in (("ws_rr", summed), ("exact", longest)):
        route = route_or_none(name, placement, state, request)
        assert (route is None) == (best == math.inf)
        if route is not None:
            assert_is_a_chain(placement, route)
            assert route.cost_ms == pytest.approx(best, rel=1e-9)


def test_a_server_with_room_for_just_one_block_is_taken_for_it():
    """Two of three blocks elsewhere and the last one here, at once; a third one does all slowly."""
    for slow, tau_ms in ((80.0, 1.0), (40.0, 9.0)):  # tried before the others, and after
        raw = np.array([[5.0, 5.0, slow]])
        model = LanguageModel(name="x", blocks=3, d_model=1, block_gb=1.0)
        swarm = Swarm(
            model, memory_gb=np.full(3, 40.0), tau_ms=np.array([2.0, 2.0, tau_ms]),
            prefill_ms=np.zeros(3), prefill_ms_per_token=np.zeros(3), token_rtt_ms=raw,
            prompt_rtt_ms=raw, prompt_rtt_ms_per_token=np.zeros(()), raw_rtt_ms=raw,
            server_rtt_ms=np.zeros((3, 3)),
        )  # fmt: skip
        first, blocks = np.array([1, 1, 1]), np.array([2, 3, 3])
        placement = Placement(swarm, first, blocks, np.array([99, 30, 99]))
        caches = Caches(placement.cache_tokens)
        caches.hold(np.array([1]), [20], 1e5, 0.0)
        router = ROUTING.build("ws_rr", RoutingContext(placement, caches))
        assert as_chain(router.route(Request(0, 1, 11, 10), 0.0)) == ((0, 2), (1, 1))
