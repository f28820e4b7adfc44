"""PETALS as shipped: stale news, partial allocation, back-off, deadlock."""

import numpy as np
import pytest
from simpy import Environment

from bprr.ground.caches import Caches
from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.registry import CHARGING, PLACEMENT, SERVICE, Choice
from bprr.ground.request import Request, Route
from bprr.ground.swarm import LanguageModel, Swarm
from bprr.placement.base import Placement
from bprr.placement.petals import block_gain
from bprr.routing.base import RouterAround, RoutingContext
from bprr.routing.petals_shipped import PetalsShipped
from bprr.scenario.draw import draw
from bprr.scenario.scenario import load_scenario
from bprr.scenario.workload import Workload
from bprr.simulation import simulate
from bprr.simulation.admission.base import AdmissionContext
from bprr.simulation.admission.shipped import Shipped
from bprr.study.method import MethodRunner
from bprr.study.points import catalogue

TOKENS = 10  # of cache for every session


def placement(first, blocks, sessions=1, cache_tokens=None, **more):
    """Servers that hold so many sessions, if each of them uses the whole range."""
    first, blocks = np.array(first), np.array(blocks)
    count, total = first.size, int((first + blocks - 1).max())
    model = LanguageModel(
        name="x", blocks=total, d_model=1, block_gb=1.0, cache_bytes_per_value=1.0
    )
    each = np.ones(count)
    swarm = Swarm(
        model,
        **{
            "memory_gb": 100 * each,
            "tau_ms": 10 * each,
            "prefill_ms": 0 * each,
            "prefill_ms_per_token": 0 * each,
            "token_rtt_ms": 10 * each,
            "prompt_rtt_ms": 10 * each,
            "raw_rtt_ms": 10 * each,
            "server_rtt_ms": np.zeros((count, count)),
            **more,
        },
    )
    return Placement(swarm, first, blocks, cache_tokens or blocks * TOKENS * sessions)


def run(where, arrivals, tokens, routing="petals_shipped", **more):
    workload = Workload(np.array(arrivals, dtype=float), 0, 1, tokens, TOKENS)
    return simulate(where, workload, routing, admission="shipped", **more)


@pytest.fixture
def router():
    """Builds a router, and the caches it looks at."""

    def build(where, **options):
        caches = Caches(where.cache_tokens)
        context = RoutingContext(where, caches)
        return PetalsShipped(context, PetalsShipped.Options(**options)), caches

    return build


def servers(router, now_ms, start=0, goal=None):
    total = router.context.placement.swarm.model.blocks
    return router.part(Request(0, 1, 1, TOKENS), start, goal or total, now_ms).servers.tolist()


@pytest.mark.parametrize("service", ["independent", "serial", "batched"])
def test_without_contention_a_session_takes_its_chain_s_time(service):
    records = run(placement([1, 3], [2, 2]), [0.0, 5_000.0], 11, service=service)
    assert records.wait_ms.tolist() == [0, 0]
    assert records.attempts.tolist() == [1, 1]
    assert records.completion_ms == pytest.approx([20 + 10 * (20 + 40)] * 2)


@pytest.mark.parametrize("service", ["independent", "serial"])
def test_a_refused_session_tries_again_at_once_and_then_after_the_back_off(service):
    """The first session ends after 100 s; the instants are 0, 0, 1, 3, 7, 15, 31, 63, 123 s."""
    records = run(placement([1], [2]), [0.0, 1.0], 3331, service=service)
    assert records.completion_ms[0] == pytest.approx(10 + 3330 * 30)
    assert records.wait_ms.tolist() == [0, 123_000]
    assert records.attempts.tolist() == [1, 9]


def test_servers_before_the_one_that_refuses_keep_what_they_have_allocated():
    """The first server has room for two sessions, the second for one."""
    where = placement([1, 3], [2, 2], cache_tokens=[40, 20])
    env, caches = Environment(), Caches(where.cache_tokens)
    context = AdmissionContext(
        env,
        where,
        PetalsShipped(RoutingContext(where, caches)),
        caches,
        CHARGING.build("whole", env),
        SERVICE.build("independent", where.swarm, 0.0),
    )
    policy = Shipped(context)
    for _ in range(2):
        env.process(policy.admit(Request(0, 1, 1, TOKENS)))
    env.run(until=500.0)
    assert caches.held_now(500.0).tolist() == [40, 20]


@pytest.mark.parametrize("service", ["independent", "serial"])
def test_a_refused_session_asks_the_same_server_until_its_client_refreshes(service):
    """Attempts at 1, 1, 2, 4, 8, 16, 32 and 64 s: the client has read at 60 s that 0 is full."""
    where = placement([1, 1], [2, 2], tau_ms=np.array([10.0, 20.0]))
    records = run(where, [0.0, 1000.0], 3331, service=service)
    assert [records.chain(i)[0].tolist() for i in range(2)] == [[0], [1]]
    assert records.attempts.tolist() == [1, 8]
    assert records.wait_ms.tolist() == [0, 63_000]


def test_only_the_part_that_was_refused_is_routed_anew():
    """The last server refuses; the one that takes its place hosts more than the part.

    Attempts after 0, 0 and 1 s, the last one when that server's being full has been read.
    """
    tau_ms = np.array([10.0, 10.0, 30.0])
    where = placement([1, 3, 2], [2, 2, 3], cache_tokens=[40, 20, 30], tau_ms=tau_ms)
    options = PetalsShipped.Options(announce_ms=400.0, refresh_ms=400.0)
    records = run(where, [0.0, 1.0], 50, Choice("petals_shipped", options))
    assert records.attempts.tolist() == [1, 3]
    assert [part.tolist() for part in records.chain(1)] == [[0, 2], [2, 2]]
    assert records.wait_ms.tolist() == [0, 1000]


def test_sessions_can_wait_for_each_other_for_ever():
    """Two hold what the other one needs next, since a part may end before a server's range."""
    tau_ms = np.array([29.0, 12.0, 37.0])
    choice = Choice("petals_shipped", PetalsShipped.Options(announce_ms=1e4, refresh_ms=1e4))

    def served(sessions):
        where = placement([2, 1, 1], [4, 3, 1], sessions, tau_ms=tau_ms)
        return run(where, [1560, 4329, 4850, 7638, 43449, 45872, 51499], 388, choice)

    with pytest.raises(InfeasibleError, match="3 sessions wait for each other's caches"):
        served(1)
    assert served(7).wait_ms.tolist() == [0] * 7


def test_a_client_believes_what_servers_announced_before_its_last_refresh(router):
    """A server that has become full is found out later, and one that is free again too."""
    fast, slow = 0, 1
    where = placement([1, 1], [4, 4], sessions=2, tau_ms=np.array([10.0, 20.0]))
    route, caches = router(where)
    units = np.array([2 * 4 * TOKENS])
    assert servers(route, 0.0) == [fast]
    route.look(1.0)
    caches.hold(np.array([fast]), units, np.inf, 1.0)
    assert servers(route, 2.0) == [fast]  # nothing announced
    assert servers(route, 59_999.0) == [fast]  # announced, but not fetched
    assert servers(route, 60_000.0) == [slow]
    route.look(61_000.0)
    caches.release(np.array([fast]), units, np.inf, 61_000.0)
    assert servers(route, 119_999.0) == [slow]
    assert servers(route, 180_000.0) == [fast]


@pytest.mark.parametrize("held, seen", [(4 * TOKENS, 0), (4 * TOKENS + 1, 1)])
def test_a_server_looks_full_once_a_session_over_its_whole_range_does_not_fit(router, held, seen):
    """PETALS announces keys and values as a token each, and asks for two of a session's tokens."""
    where = placement([1, 1], [4, 4], sessions=2, tau_ms=np.array([10.0, 20.0]))
    route, caches = router(where)
    caches.hold(np.array([0]), np.array([held]), np.inf, 0.0)
    assert servers(route, 30.0) == [0]
    assert servers(route, 120_000.0) == [seen]
    assert servers(route, 120_000.0, 3) == [seen]  # a part counts as the whole range


def test_first_hops_keep_an_unknown_round_trip_under_the_defect(router):
    """Server 0 is nearest, but unknown it seems as far as the others; only server 2 is a last."""
    first, blocks = [1, 1, 3], [2, 2, 2]
    raw = np.array([2.0, 40.0, 2.0])
    where = placement(first, blocks, sessions=4, raw_rtt_ms=raw)
    right, _ = router(where, first_pings_are_lost=False)
    right.look(0.0)
    assert right._is_pinged[0].tolist() == [True, True, True]
    only_last = placement([1, 1, 2], [1, 1, 1], sessions=4, raw_rtt_ms=raw)
    wrong, _ = router(only_last)
    wrong.look(0.0)
    assert wrong._is_pinged[0].tolist() == [False, False, True]
    right, _ = router(only_last, first_pings_are_lost=False)
    assert servers(right, 0.0) == [0, 2]


def test_ways_are_half_round_trips_but_for_those_that_are_unknown_or_long(router):
    """Two servers of a block each, 10 ms a block and 18 a hop; the first one is not pinged."""
    raw = np.array([2.0, 40.0])
    between = np.array([[0.0, 60.0], [60.0, 0.0]])
    where = placement([1, 2], [1, 1], raw_rtt_ms=raw, server_rtt_ms=between)
    request = Request(0, 1, 1, TOKENS)

    def cost_ms(**options):
        return router(where, **options)[0].route(request, 0.0).cost_ms - 2 * (18 + 10)

    assert cost_ms() == pytest.approx(150 + 30 + 20)
    assert cost_ms(first_pings_are_lost=False) == pytest.approx(1 + 30 + 20)
    assert cost_ms(longest_way_ms=25.0) == pytest.approx(150 + 25 + 20)


def test_a_client_leaves_out_from_its_next_refresh_on_who_has_refused_it(router):
    """Refreshes every 10 s; bans of 15 s, then of 30."""
    where = placement([1, 1], [4, 4], sessions=9, tau_ms=np.array([10.0, 20.0]))
    route, _ = router(where, refresh_ms=10_000.0)
    route.failed(0, 0, 100.0)
    route.failed(0, 0, 200.0)  # counts once while it lasts
    found = [servers(route, now) for now in (9_999.0, 10_000.0, 19_999.0, 20_000.0)]
    assert found == [[0], [1], [1], [0]]
    route.failed(0, 0, 20_100.0)
    found = [servers(route, now) for now in (29_999.0, 30_000.0, 59_999.0, 60_000.0)]
    assert found == [[0], [1], [1], [0]]
    route.succeeded(0, 0)
    route.failed(0, 0, 60_100.0)
    assert [servers(route, now) for now in (70_000.0, 80_000.0)] == [[1], [0]]
    route.failed(0, 0, 80_100.0)
    route.succeeded(0, 0)
    assert servers(route, 90_000.0) == [0]


def test_a_client_refreshes_at_once_where_a_block_has_nobody_else(router):
    """Servers 0 and 1 host the first blocks, only server 2 the last ones."""
    where = placement([1, 1, 3], [2, 2, 2], sessions=9, tau_ms=np.array([10.0, 20.0, 10.0]))
    route, _ = router(where)
    route.failed(0, 0, 100.0)
    assert servers(route, 100.0) == [0, 2]
    route.failed(0, 2, 200.0)
    assert servers(route, 200.0) == [1, 2]  # a refresh: 0 is banned, and 2 kept all the same
    assert servers(route, 60_199.0) == [1, 2]  # the next one is a minute after that
    assert servers(route, 60_200.0) == [0, 2]
    route.failed(0, 0, 70_000.0)
    route.failed(0, 1, 70_000.0)
    assert servers(route, 70_000.0) == [0, 2]  # nobody else is left


def test_sessions_that_run_at_a_server_lift_its_ban(router):
    """By their next token; so it is the last one's end that makes a refusal count."""
    where = placement([1, 1], [4, 4], sessions=9, tau_ms=np.array([10.0, 20.0]))
    route, _ = router(where)
    request, there = Request(0, 1, 1, TOKENS), Route(np.array([0]), np.array([4]), 0.0)
    route.failed(0, 0, 59_000.0)
    route.admitted(request, there)
    assert servers(route, 60_000.0) == [0]
    route.failed(0, 0, 119_000.0)
    assert servers(route, 120_000.0) == [0]
    route.ended(request, there)
    route.failed(0, 0, 179_000.0)
    assert servers(route, 180_000.0) == [1]


def test_announced_throughputs_are_what_it_counts_with(router):
    """1/τ where nobody has measured them."""
    raw = placement([1, 1], [4, 4], sessions=9, tau_ms=np.array([10.0, 20.0]))
    assert raw.swarm.inference_rps.tolist() == [100, 50]
    route, _ = router(placement([1, 1], [4, 4], sessions=9, inference_rps=np.array([50.0, 300.0])))
    assert servers(route, 0.0) == [1]


def test_it_comes_with_its_own_routing(small_swarm):
    where = Placement(small_swarm, np.array([1, 0, 0]), np.array([4, 0, 0]))
    workload = Workload(np.zeros(1), 0, 1, 2)
    with pytest.raises(InputError, match="routing petals_shipped"):
        simulate(where, workload, "ws_rr", admission="shipped")


def test_a_request_that_no_pool_holds_is_refused():
    where = placement([1], [2])
    workload = Workload(np.zeros(1), 0, 1, 2, TOKENS + 1)
    with pytest.raises(InfeasibleError, match="attention cache"):
        simulate(where, workload, "petals_shipped", admission="shipped")


def test_memory_is_never_oversubscribed_by_sessions_of_queued_servers():
    """Each holds its caches until it has really ended, however long it was expected to take."""
    where = placement([1, 1, 3], [2, 4, 2], sessions=2)
    choice = Choice("serial", SERVICE["serial"].Options())
    records = run(where, np.arange(12) * 100.0, 60, service=choice)
    for server in range(3):
        held = []
        for i in range(12):
            chain, blocks = records.chain(i)
            units = int(blocks[chain == server].sum()) * TOKENS
            held += [(records.start_ms[i] + 1e-6, units), (records.end_ms[i], -units)]
        assert np.cumsum([units for _, units in sorted(held)]).max() <= where.cache_tokens[server]


@pytest.mark.parametrize("topology, run, least", [("abovenet", 7, 771.5), ("bellcanada", 4, 2646)])
def test_servers_move_if_the_block_that_is_served_least_gains_enough(
    configuration, topology, run, least
):
    """In the first of these draws three servers move, in the second nobody does."""
    scenario = load_scenario("scattered", {"network.name": topology})
    instance = draw(scenario, catalogue(configuration), configuration.seed, run)
    runner = MethodRunner(instance)

    def placed(name, **options):
        policy = PLACEMENT[name]
        return runner.placement(Choice(name, policy.Options(**options)), 0.0)

    joined, moved = placed("petals"), placed("petals_rebalanced")
    assert joined.details["block_throughput"].min() == pytest.approx(least, abs=1)
    stays = topology == "bellcanada"
    assert moved.details["moves"] == (0 if stays else 3)
    assert (moved.first_block.tolist() == joined.first_block.tolist()) == stays
    # What blocks are said to gain is what the servers that host them bring.
    gain, blocks = block_gain(instance.swarm, moved.blocks), np.zeros(70)
    for server, (first, count) in enumerate(zip(moved.first_block, moved.blocks, strict=True)):
        blocks[first - 1 : first - 1 + count] += gain[server]
    assert moved.details["block_throughput"] == pytest.approx(blocks)
    assert blocks.min() >= least - 1
    never = placed("petals_rebalanced", balance_quality=0.0)
    assert never.first_block.tolist() == joined.first_block.tolist()


def test_a_router_around_another_one_shows_its_context_and_options(router):
    """Whoever looks at caches or options of what routes need not know what is around it."""
    inner, caches = router(placement([1, 3], [2, 2]), ban_ms=7.0)
    outer = RouterAround(inner)
    assert outer.options.ban_ms == 7 and outer.context.caches is caches
    request = Request(0, 1, 1, TOKENS)
    assert outer.route(request, 0.0).servers.tolist() == [0, 1]
