"""Servers that send on to each other: times by hand, and every decision against all chains."""

import math
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
from brute_force import brute_force
from hypothesis import event, given, settings
from hypothesis import strategies as st
from naive import ChainCost, chains, free_from
from small_instances import random_instance
from swarms import placements, requests, states, workloads

from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.legs import Mbit, Neighbours
from bprr.ground.performance import (
    chain_times_ms,
    conservative_blocks,
    decode_ms_per_token,
    least_session_terms_ms,
    session_terms_ms,
)
from bprr.ground.registry import ROUTING, SERVICE, Choice
from bprr.ground.request import Request, Route
from bprr.ground.swarm import LanguageModel, Overheads, Swarm
from bprr.offline.backends.base import SolverSettings
from bprr.offline.instance import OfflineInstance
from bprr.offline.solve import solve_offline
from bprr.placement.base import Placement
from bprr.placement.cg_bp import cg_bp
from bprr.routing.base import RoutingContext
from bprr.scenario.workload import Workload
from bprr.simulation import Delays, simulate

RING, RELAY = 1, 2
OVERHEADS = Overheads(
    token_ms=6, prompt_ms=4, prompt_ms_per_token=0.5, initial_ms=0, prompt_round_trips=2
)


def forwarded(swarm, crossings, overheads=OVERHEADS):
    """The same servers, sending on to each other; as a hub they pay the same overheads."""
    raw = swarm.raw_rtt_ms
    shape = np.ones_like(raw)
    return replace(
        swarm,
        token_rtt_ms=raw + overheads.token_ms,
        prompt_rtt_ms=raw * overheads.prompt_round_trips + overheads.prompt_ms,
        prompt_rtt_ms_per_token=shape * overheads.prompt_ms_per_token,
        neighbours=(
            Neighbours.of(raw, swarm.server_rtt_ms, overheads, swarm.model, crossings)
            if crossings
            else None
        ),
    )


def sent_on(placement, crossings, overheads=OVERHEADS):
    """The same placement on such servers."""
    swarm = forwarded(placement.swarm, crossings, overheads)
    return Placement(swarm, placement.first_block, placement.blocks, placement.cache_tokens)


def network_ms(swarm, client, servers, overhead_ms, trips=1.0):
    """Half of every round trip on the way, and of the overheads; twice between servers if so."""
    there, legs = swarm.neighbours.crossings, []
    legs.append((swarm.raw_rtt_ms[client, servers[0]] * trips + overhead_ms) / 2)
    for before, after in pairwise(servers):
        legs.append((swarm.server_rtt_ms[before, after] * trips + overhead_ms) / 2 * there)
    legs.append((swarm.raw_rtt_ms[client, servers[-1]] * trips + overhead_ms) / 2)
    return float(sum(legs))


def plain_cost(placement, holds, chain, request, now_ms):
    swarm, client = placement.swarm, request.client
    servers = [server for server, _ in chain]
    per_token = OVERHEADS.prompt_ms_per_token * request.input_tokens
    time_ms = network_ms(swarm, client, servers, OVERHEADS.prompt_ms + per_token, 2.0)
    time_ms += (request.output_tokens - 1) * network_ms(swarm, client, servers, 6)
    waits = []
    for j, count in chain:
        block = swarm.prefill_ms[j] + swarm.prefill_ms_per_token[j] * request.input_tokens
        time_ms += count * (block + (request.output_tokens - 1) * swarm.tau_ms[j])
        units, room = count * request.cache_tokens, int(placement.cache_tokens[j])
        waits.append(free_from(holds, room, j, units, now_ms) - now_ms)
    return ChainCost(float(time_ms), tuple(waits))


def as_chain(route):
    return tuple(zip(route.servers.tolist(), route.processed.tolist(), strict=True))


def by_hand(crossings):
    """A client, and two servers that host three blocks each of four, 30 ms from each other."""
    model = LanguageModel(
        name="x", blocks=4, d_model=1000, block_gb=1.0, cache_bytes_per_value=1e-9
    )
    raw, between = np.array([[10.0, 20.0]]), np.array([[0.0, 30.0], [30.0, 0.0]])
    overheads = Overheads(token_ms=8, prompt_ms=4, prompt_ms_per_token=0.5, initial_ms=0)
    neighbours = Neighbours.of(raw, between, overheads, model, crossings) if crossings else None
    swarm = Swarm(
        model,
        memory_gb=np.array([3.5, 3.5]),
        tau_ms=np.array([2.0, 3.0]),
        prefill_ms=np.array([5.0, 6.0]),
        prefill_ms_per_token=np.array([0.0, 0.1]),
        token_rtt_ms=raw + 8,
        prompt_rtt_ms=raw + 4,
        prompt_rtt_ms_per_token=0.5,
        raw_rtt_ms=raw,
        server_rtt_ms=between,
        neighbours=neighbours,
    )
    return Placement(swarm, np.array([1, 2]), np.array([3, 3]), np.array([10**6, 10**6]))


# Ring: (10 + 8)/2 to the first, (30 + 8)/2 on, (20 + 8)/2 back; hub: 18 + 28.
@pytest.mark.parametrize(
    "crossings, token_ms, prompt_ms",
    [
        (0, 18 + 28 + 3 * 2 + 3, (14 + 24 + 2 * 5) + 3 * 5 + 6 + 1),
        (RING, 9 + 19 + 14 + 3 * 2 + 3, (7 + 17 + 12 + 3 * 2.5) + 3 * 5 + 6 + 1),
        (RELAY, 9 + 38 + 14 + 3 * 2 + 3, (7 + 34 + 12 + 4 * 2.5) + 3 * 5 + 6 + 1),
    ],
)
def test_two_servers_by_hand(crossings, token_ms, prompt_ms):
    placement, request = by_hand(crossings), Request(0, 10, 11, 21)
    first, later = chain_times_ms(placement.swarm, 0, np.array([0, 1]), np.array([3, 1]), 10, 11)
    assert (first, later) == (prompt_ms, 10 * token_ms)
    assert decode_ms_per_token(placement.swarm, 0, [0, 1], [3, 1]) == token_ms
    records = {
        engine: simulate(placement, Workload(np.zeros(1), 0, 10, 11), "exact", engine=engine)
        for engine in ("simpy", "compiled")
    }
    for record in records.values():
        assert record.ttft_ms.tolist() == [prompt_ms]
        assert record.completion_ms.tolist() == [prompt_ms + 10 * token_ms]
    for name in ("serial", "batched"):
        alone = simulate(
            placement, Workload(np.zeros(1), 0, 10, 11), "exact", admission="retry", service=name
        )
        assert alone.completion_ms.tolist() == [prompt_ms + 10 * token_ms]
    assert SERVICE.build("serial", placement.swarm, 0.0).times(
        request, Route(np.array([0, 1]), np.array([3, 1]), 0.0)
    ) == (prompt_ms, prompt_ms + 10 * token_ms)


def test_a_prompts_bytes_cross_each_way_at_its_own_bandwidth():
    placement = by_hand(0)
    raw, between = placement.swarm.raw_rtt_ms, placement.swarm.server_rtt_ms
    overheads = Overheads(token_ms=8, prompt_ms=4, prompt_ms_per_token=0.5, initial_ms=0)
    # A token's activation has 16 kbit: 16 ms at 1 Mbit/s; 0.25 ms, half the overhead, if unknown.
    mbit = Mbit(np.array([[1.0, 2.0]]), np.array([[1, 4.0], [8.0, 1]]), np.array([[np.nan, 16.0]]))
    ring, relay = (
        Neighbours.of(raw, between, overheads, placement.swarm.model, crossings, mbit)
        for crossings in (RING, RELAY)
    )
    assert ring.enter.prompt_ms_per_token.tolist() == [[16.0, 8.0]]
    assert ring.leave.prompt_ms_per_token.tolist() == [[0.25, 1.0]]
    assert ring.between.prompt_ms_per_token[0, 1] == 4.0
    assert relay.between.prompt_ms_per_token[0, 1] == 4.0 + 2.0
    assert not any(leg.prompt_ms.any() for leg in ring.decode_only()[:3])
    assert ring.decode_only().between.token_ms is ring.between.token_ms


@pytest.mark.parametrize(
    "name, criterion",
    [("exact", "with_longest_wait"), ("ws_rr", "with_summed_waits"), ("shortest_path", "time_ms")],
)
@settings(max_examples=2 * settings.default.max_examples)
@given(data=st.data())
def test_routing_is_the_best_of_all_chains(name, criterion, data):
    crossings = data.draw(st.sampled_from((RING, RELAY)))
    placement = sent_on(data.draw(placements(data.draw(st.booleans()))), crossings)
    state, request = (
        data.draw(states(placement)),
        data.draw(requests(placement.swarm.clients)),
    )
    costs = {
        chain: plain_cost(placement, state.holds, chain, request, state.now_ms)
        for chain in chains(placement)
    }
    possible = {chain: cost for chain, cost in costs.items() if max(cost.waits_ms) < math.inf}
    router = ROUTING.build(name, RoutingContext(placement, state.caches))
    event(f"{min(len(possible), 3)}, waits: {any(max(c.waits_ms) > 0 for c in possible.values())}")
    if not possible:
        with pytest.raises(InfeasibleError):
            router.route(request, state.now_ms)
        return
    route = router.route(request, state.now_ms)
    best = min(getattr(cost, criterion) for cost in possible.values())
    assert getattr(costs[as_chain(route)], criterion) == pytest.approx(best, rel=1e-9)
    assert route.cost_ms == pytest.approx(best, rel=1e-9)


@given(placement=placements(covering=True), tokens=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_ring_relay_and_hub_side_by_side(placement, tokens):
    hub, ring, relay = (sent_on(placement, crossings).swarm for crossings in (0, RING, RELAY))
    least_ms, block_ms = least_session_terms_ms(ring, *tokens)
    assert (least_session_terms_ms(hub, *tokens)[1] == block_ms).all()
    with pytest.raises(InputError, match="forwarding"):
        session_terms_ms(ring, *tokens)
    for chain in chains(placement):
        servers, processed = np.array(chain, dtype=np.int64).T.copy()
        times = [
            sum(chain_times_ms(swarm, 0, servers, processed, *tokens))
            for swarm in (hub, ring, relay)
        ]
        event(f"servers: {min(servers.size, 3)}")
        if servers.size == 1:
            assert times == pytest.approx([times[0]] * 3, rel=1e-12)
        # Nobody is farther from another than by way of the client: places on a grid.
        assert times[1] <= times[0] * (1 + 1e-12)
        assert times[1] <= times[2] * (1 + 1e-12)
        least = float(least_ms[servers].sum() + (processed * block_ms[servers]).sum())
        assert least <= times[1] * (1 + 1e-12)


@pytest.mark.parametrize("rtt_ms, slower", [(37.5, False), (38.0, False), (38.5, True)])
def test_a_ring_is_slower_where_the_way_between_neighbours_exceeds_that_by_the_client(
    rtt_ms, slower
):
    # By way of the client: 10 ms and 20 ms, and one more overhead, 8 ms.
    hub, overheads = by_hand(0).swarm, Overheads(token_ms=8, prompt_ms=4, initial_ms=0)
    apart = np.array([[0.0, rtt_ms], [rtt_ms, 0.0]])
    ring = replace(hub, neighbours=Neighbours.of(hub.raw_rtt_ms, apart, overheads, hub.model, RING))
    chain = np.array([0, 1]), np.array([3, 1])
    assert (decode_ms_per_token(ring, 0, *chain) > decode_ms_per_token(hub, 0, *chain)) is slower


@given(data=st.data())
def test_theorem_2_holds_for_legs(data):
    placement = data.draw(placements())
    swarm = forwarded(placement.swarm, data.draw(st.sampled_from((RING, RELAY)))).decode_only()
    load = data.draw(st.integers(1, 3))
    try:
        placed = cg_bp(swarm, load, 1000)
    except InfeasibleError:
        assert (conservative_blocks(swarm, load, 1000).sum() < swarm.model.blocks) or load > 1
        return
    for client in range(swarm.clients):
        alone = min(
            decode_ms_per_token(swarm, client, *np.array(chain).T) for chain in chains(placed)
        )
        assert alone <= placed.details["bound_ms"] * (1 + 1e-9)


@given(data=st.data())
def test_both_engines_say_the_same_to_the_bit(data):
    placement = sent_on(
        data.draw(placements(covering=True)), data.draw(st.sampled_from((RING, RELAY)))
    )
    workload = data.draw(workloads(placement.swarm.clients))
    routing, admission = data.draw(
        st.sampled_from((("ws_rr", "reserve"), ("exact", "central_queue")))
    )
    delays = Delays(data.draw(st.integers(0, 90)), data.draw(st.integers(0, 900)))
    simpy, loop = (
        simulate(placement, workload, routing, admission=admission, delays=delays, engine=engine)
        for engine in ("simpy", "compiled")
    )
    for each in fields(simpy):
        if each.name not in ("workload", "engine"):
            assert getattr(simpy, each.name).tolist() == getattr(loop, each.name).tolist()


@pytest.mark.parametrize("prompt", ["whole", "block", "token"])
@given(data=st.data())
def test_a_session_alone_in_queued_servers_takes_its_chains_time(prompt, data):
    placement = sent_on(
        data.draw(placements(covering=True)), data.draw(st.sampled_from((RING, RELAY)))
    )
    workload = Workload(np.zeros(1), 0, data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9)))
    service = Choice("serial", SERVICE["serial"].Options(prompt=prompt))
    alone = simulate(placement, workload, "exact", admission="retry", service=service)
    chain = alone.chain_server.astype(np.int64), alone.chain_processed.astype(np.int64)
    tokens = int(workload.input_tokens[0]), int(workload.output_tokens[0])
    first_ms, later_ms = chain_times_ms(placement.swarm, 0, *chain, *tokens)
    if prompt == "token":
        first_ms = tokens[0] * decode_ms_per_token(placement.swarm, 0, *chain)
    assert alone.ttft_ms[0] == pytest.approx(first_ms, rel=1e-9)
    assert alone.completion_ms[0] == pytest.approx(first_ms + later_ms, rel=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_the_papers_milp_is_the_best_of_all_plans(seed):
    rng = np.random.default_rng([5, seed])
    instance = random_instance(rng, most_blocks=5, most_servers=3, most_requests=2)
    swarm = instance.swarm
    raw, between = swarm.token_rtt_ms, rng.uniform(0, 9, (swarm.servers, swarm.servers))
    overheads = Overheads(token_ms=1, prompt_ms=0, initial_ms=0)
    legs = Neighbours.of(raw, between, overheads, swarm.model, RING + seed % 2)
    swarm = replace(swarm, raw_rtt_ms=raw, server_rtt_ms=between, neighbours=legs)
    ring = OfflineInstance(swarm, instance.requests, instance.session_tokens)

    def chain_ms(client, servers):
        if seed % 2:  # the way back has distances of its own here
            both = (between + between.T) / 2
            swarm_back = replace(swarm, server_rtt_ms=both)
            return network_ms(swarm_back, client, servers, 1)
        return network_ms(swarm, client, servers, 1)

    expected = brute_force(
        swarm.memory_gb.tolist(),
        swarm.tau_ms.tolist(),
        chain_ms,
        list(ring.requests),
        swarm.model.blocks,
        swarm.model.block_gb,
        swarm.model.session_cache_gb(1),
    )
    found = solve_offline(ring, "paper", SolverSettings("highs", time_limit_s=60, threads=1))
    if math.isinf(expected):
        assert found.status == "infeasible"
        return
    assert found.status == "optimal"
    assert found.verified
    assert found.objective_ms == pytest.approx(expected, rel=1e-6)
    with pytest.raises(InputError, match="paper: the others flow over positions"):
        solve_offline(ring, "strong", SolverSettings("highs"))
