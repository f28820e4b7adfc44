"""Chains: the shortest, the best of all placements, composed ones, and what is proven."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarms import swarms

from bprr.ground.caches import Caches
from bprr.ground.chains import ChainSearch, best_chain_ms
from bprr.ground.errors import InfeasibleError
from bprr.ground.performance import conservative_blocks, free_cache_tokens, session_terms_ms
from bprr.ground.registry import ROUTING, SERVICE, ChoiceOf
from bprr.ground.request import Request, Route
from bprr.ground.swarm import LanguageModel, Swarm
from bprr.placement.base import Placement
from bprr.placement.gbp_cr import least_response_ms
from bprr.placement.gca import greedy_chains
from bprr.placement.pipe import MET, Composition, Terms, compose, simulated_ms
from bprr.routing.base import RoutingContext
from bprr.service.token_loop import Discipline, TokenLoop

REQUEST = Request(0, 4, 6, 10)


def terms_of(swarm):
    hop_ms, block_ms = session_terms_ms(swarm, REQUEST.input_tokens, REQUEST.output_tokens)
    return Terms(swarm, REQUEST.cache_tokens, hop_ms.mean(axis=0), block_ms, block_ms)


def chains_by_hand(first, blocks, most, model_blocks):
    """Every chain of a placement as (servers, blocks)."""

    def beyond(done):
        if done == model_blocks:
            yield []
            return
        for j in np.flatnonzero(blocks > 0).tolist():
            end = int(first[j] + blocks[j] - 1)
            if first[j] - 1 <= done < end and end - done <= most[j]:
                for rest in beyond(end):
                    yield [(j, end - done), *rest]

    return list(beyond(0))


@given(swarm=swarms(max_blocks=6, max_servers=5), data=st.data())
def test_shortest_chain_is_the_best_of_all(swarm, data):
    count, blocks = swarm.servers, swarm.model.blocks
    held = np.array(data.draw(st.lists(st.integers(0, blocks), min_size=count, max_size=count)))
    first = np.array([data.draw(st.integers(1, blocks - int(m) + 1)) if m else 0 for m in held])
    most = np.array(data.draw(st.lists(st.integers(0, blocks), min_size=count, max_size=count)))
    terms = terms_of(swarm)

    def time_ms(chain):
        return sum(terms.hop_ms[j] + k * terms.block_ms[j] for j, k in chain)

    search = ChainSearch.of(first, held, blocks)
    servers, processed, found_ms = search.shortest(most, terms.hop_ms, terms.block_ms)
    times = [time_ms(chain) for chain in chains_by_hand(first, held, most, blocks)]
    assert found_ms == pytest.approx(min(times, default=math.inf))
    if times:
        assert time_ms(zip(servers.tolist(), processed.tolist(), strict=True)) == pytest.approx(
            found_ms
        )


@given(swarm=swarms(max_blocks=6, max_servers=4), data=st.data())
def test_best_chain_over_all_placements(swarm, data):
    count, blocks = swarm.servers, swarm.model.blocks
    most = np.array(data.draw(st.lists(st.integers(0, blocks), min_size=count, max_size=count)))
    terms = terms_of(swarm)

    def time_ms(held):
        return sum(terms.hop_ms[j] + k * terms.block_ms[j] for j, k in enumerate(held) if k)

    ways = itertools.product(*(range(int(m) + 1) for m in most))
    times = [time_ms(held) for held in ways if sum(held) == blocks]
    held, found_ms = best_chain_ms(most, terms.hop_ms, terms.block_ms, blocks)
    assert found_ms == pytest.approx(min(times, default=math.inf))
    if times:
        assert held.sum() == blocks and (held <= most).all()
        assert time_ms(held.tolist()) == pytest.approx(found_ms)


@given(swarm=swarms(), chains=st.integers(1, 4), widest=st.integers(1, 12))
def test_composed_chains_hold_the_model_once_each(swarm, chains, widest):
    terms = terms_of(swarm)
    width = np.minimum(conservative_blocks(swarm, 1, REQUEST.cache_tokens), widest)
    found = compose(terms, chains, width)
    if found is None:
        # The least filled gets the next one: a chain is at most one server fuller than needed.
        largest = int(width.max(initial=0))
        assert width.sum() < chains * (swarm.model.blocks + max(largest - 1, 0))
        return
    assert (found.blocks <= width).all() and ((found.blocks > 0) == (found.chain >= 0)).all()
    slots = free_cache_tokens(swarm, found.blocks) // REQUEST.cache_tokens
    for p in range(chains):
        mine = np.flatnonzero(found.chain == p)
        k = found.blocks[mine]
        assert k.sum() == swarm.model.blocks
        time_ms = (terms.hop_ms[mine] + k * terms.block_ms[mine]).sum()
        pace_ms = (k * terms.work_ms[mine]).max()
        assert found.time_ms[p] == pytest.approx(time_ms)
        assert found.pace_ms[p] == pytest.approx(pace_ms)
        room = (slots[mine] // k).min()
        assert found.places[p] == pytest.approx(min(room, time_ms / pace_ms))


@given(
    times=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    places=st.lists(st.floats(1, 4.9), min_size=4, max_size=4),
    gaps=st.lists(st.integers(0, 9), min_size=10, max_size=60),
)
def test_sessions_take_the_fastest_free_place(times, places, gaps):
    time_ms, count = np.array(times, dtype=float), np.array(places[: len(times)], dtype=float)
    none = np.zeros(0, dtype=np.int64)
    found = Composition(none, none, time_ms, time_ms, count)
    free_at = sorted(
        ((t, t * int(c) / (c * MET), [0.0] * int(c)) for t, c in zip(times, count, strict=True)),
        key=lambda each: each[0],
    )
    now, total, arrivals = 0.0, 0.0, np.cumsum(gaps)
    for number, arrival in enumerate(arrivals):
        now = max(now, float(arrival))
        now = max(now, min(min(ends) for _, _, ends in free_at))
        time, taken, ends = next(each for each in free_at if min(each[2]) <= now)
        ends[ends.index(min(ends))] = now + taken
        if number >= int(0.2 * len(gaps)):
            total += now + time - arrival
    mean = total / (len(gaps) - int(0.2 * len(gaps)))
    assert simulated_ms(found, np.array(gaps, dtype=float), 1000.0) == pytest.approx(mean)


@given(swarm=swarms(max_servers=6), data=st.data())
def test_gca_shares_the_cache_out(swarm, data):
    blocks = conservative_blocks(swarm, 1, REQUEST.cache_tokens)
    last = swarm.model.blocks - blocks + 1
    first = np.array([data.draw(st.integers(1, int(b))) if b else 0 for b in last])
    placement = Placement(swarm, np.where(blocks > 0, first, 0), blocks)
    independent = SERVICE.build("independent", swarm, 0.0)
    chains = greedy_chains(placement, REQUEST, independent)
    used = np.zeros(swarm.servers, dtype=np.int64)
    for p, count in enumerate(chains.places.tolist()):
        entries = slice(chains.first[p], chains.first[p + 1])
        assert chains.blocks[entries].sum() == swarm.model.blocks
        np.add.at(used, chains.server[entries], int(count) * chains.blocks[entries])
    left = placement.cache_tokens // REQUEST.cache_tokens - used
    assert (left >= 0).all()
    assert not chains_by_hand(placement.first_block, blocks, left, swarm.model.blocks)
    times = chains.time_ms.mean(axis=0)
    assert (np.diff(times) >= -1e-9 * times[1:]).all()  # the fastest first


@pytest.mark.parametrize(("places", "load"), [(1, 0.5), (3, 0.7), (8, 0.9)])
def test_jobs_on_equal_places_are_an_m_m_c_queue(places, load):
    """Erlang's C: the bound is exact where all places are as fast."""
    from bprr.placement.composed import ChainTable

    time_ms, rate = 2000.0, load * places / 2.0
    one = np.array([0])
    table = ChainTable(np.array([0, 1]), one, one, np.array([float(places)]), np.array([[time_ms]]))
    offered = load * places
    full = offered**places / math.factorial(places) / (1 - load)
    wait = full / (sum(offered**n / math.factorial(n) for n in range(places)) + full)
    response = time_ms + 1000 * wait / (places / 2.0 - rate)
    assert least_response_ms(table, rate) == pytest.approx(response)
    assert least_response_ms(table, places / 2.0) == math.inf


@st.composite
def rings(draw):
    """A chain whose every pass is the same, and instants at which sessions want to begin."""
    hops = draw(st.integers(1, 5))
    each = st.integers(1, 9)
    tau = np.array([draw(each) for _ in range(hops)], dtype=float)
    rtt = np.array([[2.0 * draw(st.integers(0, 12)) for _ in range(hops)]])
    model = LanguageModel(name="x", blocks=30, d_model=1, block_gb=1.0, cache_bytes_per_value=1.0)
    none = np.zeros(hops)
    swarm = Swarm(model, np.ones(hops), tau, none, none, rtt, rtt)
    blocks = np.array([draw(st.integers(1, 3)) for _ in range(hops)])
    gaps = draw(st.lists(st.sampled_from([0, 0, 1, 3, 7, 20, 60]), min_size=4, max_size=30))
    return swarm, blocks, np.cumsum(gaps).tolist(), draw(st.integers(1, 3)), draw(st.integers(1, 6))


@given(ring=rings())
def test_no_session_of_pipe_f_takes_longer_than_one_turn_more(ring):
    """docs/method.md: with c·b ≤ D at once, all of one length, it waits for D at most in all."""
    swarm, blocks, arrivals, inputs, outputs = ring
    work_ms = blocks * swarm.tau_ms
    turn_ms, busiest_ms = float(swarm.token_rtt_ms.sum() + work_ms.sum()), float(work_ms.max())
    places = int(turn_ms // busiest_ms)
    request = Request(0, inputs, outputs, 1)
    route = Route(np.arange(blocks.size), blocks, 0.0)
    loop = TokenLoop(swarm, Discipline.serial("fifo", "token", 0, 0.0))
    begun, waiting = {}, list(arrivals)
    while waiting or begun:
        until = waiting[0] if waiting and len(begun) < places else math.inf
        for row in loop.advance(max(until, loop.now_ms)):
            took_ms = loop.now_ms - begun.pop(row)
            assert took_ms <= (inputs + outputs) * turn_ms + 1e-9
            loop.leave(row)
        while waiting and len(begun) < places and waiting[0] <= loop.now_ms:
            waiting.pop(0)
            row = loop.enter(request, route)
            begun[row] = loop.now_ms
            loop.start(row, loop.now_ms)


def test_more_places_than_that_and_sessions_take_longer():
    """The bound says something: with twice as many at once it does not hold."""
    work = np.array([10.0])
    model = LanguageModel(name="x", blocks=1, d_model=1, block_gb=1.0, cache_bytes_per_value=1.0)
    swarm = Swarm(model, np.ones(1), work, 0 * work, 0 * work, [[10.0]], [[10.0]])
    request, route = Request(0, 1, 10, 1), Route(np.array([0]), np.array([1]), 0.0)
    loop = TokenLoop(swarm, Discipline.serial("fifo", "token", 0, 0.0))
    for _ in range(4):
        loop.start(loop.enter(request, route), 0.0)
    ends = []
    while len(ends) < 4:
        ends += [loop.now_ms for _ in loop.advance(math.inf)]
    assert max(ends) > 11 * 20.0


SERVICES = ["independent", {"serial": {"order": "oldest"}}, {"batched": {}}]


@pytest.mark.parametrize("choice", SERVICES)
def test_services_say_what_a_block_takes(choice, small_swarm):
    service = SERVICE.build(ChoiceOf(SERVICE).read(choice), small_swarm, 5.0)
    hop_ms, block_ms = service.session_terms_ms(REQUEST._replace(client=1))
    route = Route(np.array([0, 1]), np.array([3, 1]), 0.0)
    alone = hop_ms[1, [0, 1]].sum() + 3 * block_ms[0] + block_ms[1]
    times = service.times(REQUEST._replace(client=1), route)
    assert times.total_ms == pytest.approx(5.0 + alone)


@given(swarm=swarms(max_servers=6), data=st.data())
def test_jffc_joins_the_fastest_chain_with_a_free_place(swarm, data):
    blocks = conservative_blocks(swarm, 1, REQUEST.cache_tokens)
    last = swarm.model.blocks - blocks + 1
    first = np.array([data.draw(st.integers(1, int(b))) if b else 0 for b in last])
    placement = Placement(swarm, np.where(blocks > 0, first, 0), blocks)
    independent = SERVICE.build("independent", swarm, 0.0)
    caches = Caches(placement.cache_tokens)
    router = ROUTING.build("jffc", RoutingContext(placement, caches, independent))
    table = greedy_chains(placement, REQUEST, independent)
    if not table.places.size:
        with pytest.raises(InfeasibleError):
            router.route(REQUEST, 0.0)
        return
    entries = [slice(*ends) for ends in itertools.pairwise(table.first.tolist())]
    taken = caches.state.capacity - data.draw(st.integers(0, 40)) * REQUEST.cache_tokens
    full = data.draw(st.integers(0, swarm.servers - 1))  # of others, until 50 ms
    if taken[full] > 0:
        caches.hold(np.array([full]), np.array([taken[full]]), 50.0, 0.0)
    present, routes = [0] * len(entries), []
    for number in range(12):
        now_ms = 10.0 * number
        free = caches.state.capacity.copy()
        free[full] -= max(taken[full], 0) if now_ms < 50.0 else 0
        client = data.draw(st.integers(0, swarm.clients - 1))
        times = {
            p: table.time_ms[client, p]
            for p, mine in enumerate(entries)
            if present[p] < table.places[p]
            and (free[table.server[mine]] >= table.blocks[mine] * REQUEST.cache_tokens).all()
        }
        request = REQUEST._replace(client=client)
        route = router.route(request, now_ms)
        assert route.cost_ms == min(times.values(), default=math.inf)
        if times:
            chosen = min(times, key=times.__getitem__)
            assert route.servers.tolist() == table.server[entries[chosen]].tolist()
            assert route.processed.tolist() == table.blocks[entries[chosen]].tolist()
            router.admitted(request, route)
            present[chosen] += 1
            routes.append((chosen, route))
        if routes and data.draw(st.booleans()):
            chosen, route = routes.pop(0)
            router.ended(request, route)
            present[chosen] -= 1
