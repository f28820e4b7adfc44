"""Routing policies on small swarms: every route, cost and message by hand or by plain loops."""

import math
from dataclasses import replace

import numpy as np
import pytest

from bprr.ground.caches import Caches
from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.legs import Neighbours
from bprr.ground.registry import ROUTING, SERVICE, Choice, ChoiceOf
from bprr.ground.request import Request, Route
from bprr.ground.swarm import LanguageModel, Overheads, Swarm
from bprr.placement.base import Flows, Placement
from bprr.placement.composed import ChainTable
from bprr.routing.base import RouterAround, RoutingContext, RoutingPolicy, no_chain
from bprr.routing.best import BestRouting
from bprr.routing.chains import ChainGraph, Search
from bprr.routing.exact import ExactRouting
from bprr.routing.flow_weighted import FlowWeighted
from bprr.routing.jffc import Jffc
from bprr.routing.neighbours import NeighbourSearch
from bprr.routing.petals import PetalsRouting
from bprr.routing.petals_oversubscription import PetalsOversubscriptionRouting
from bprr.routing.petals_shipped import PetalsShipped
from bprr.routing.pipe import PipeRouting
from bprr.routing.shortest_path import ShortestPath
from bprr.routing.two_resource import TwoResourceRouting
from bprr.routing.ws_rr import WsRr
from bprr.scenario.workload import Workload
from bprr.simulation import simulate


def placed(first, blocks, cache=None, total=None, clients=1, details=None, **more):
    """Servers on a model of one GB a block; times of 10 ms unless said."""
    first, blocks = np.array(first), np.array(blocks)
    count = first.size
    total = total or int((first + blocks - 1).max())
    model = LanguageModel(
        name="x", blocks=total, d_model=1, block_gb=1.0, cache_bytes_per_value=1.0
    )
    each, rtt = np.ones(count), np.full((clients, count), 10.0)
    swarm = Swarm(
        model,
        **{
            "memory_gb": 100 * each,
            "tau_ms": 10 * each,
            "prefill_ms": 0 * each,
            "prefill_ms_per_token": 0 * each,
            "token_rtt_ms": rtt,
            "prompt_rtt_ms": rtt,
            "raw_rtt_ms": rtt,
            "server_rtt_ms": np.zeros((count, count)),
            **{name: np.array(value, dtype=float) for name, value in more.items()},
        },
    )
    cache = blocks * 1000 if cache is None else np.array(cache)
    return Placement(swarm, first, blocks, cache, details=details or {})


def routed(name, where, options=None, computing=None):
    """A policy, and the caches it looks at."""
    caches = Caches(where.cache_tokens)
    choice = ChoiceOf(ROUTING).read({name: options or {}})
    return ROUTING.build(choice, RoutingContext(where, caches, computing)), caches


def told(route):
    return route.servers.tolist(), route.processed.tolist(), route.cost_ms


# Bases.


GPU = "infeasible: not enough GPU memory: {} blocks hosted nowhere missing (blocks {})"
CACHE = "infeasible: not enough attention cache: room for 7 tokens in every block of a chain missing (the largest cache holds 2000 tokens of one block)"  # fmt: skip  # noqa: E501


@pytest.mark.parametrize(
    "first, blocks, total, says",
    [
        ([1, 4], [2, 0], 3, GPU.format("1 of 3", "3")),
        ([3, 9], [2, 2], 12, GPU.format("8 of 12", "1, 2, 5, 6, 7, 8, 11, 12")),
        ([2, 9], [2, 2], 13, GPU.format("9 of 13", "1, 4, 5, 6, 7, 8, 11, 12, …")),
        ([1, 2], [2, 2], 3, CACHE),
        ([1, 3], [2, 1], 3, CACHE),
    ],
)
def test_a_request_without_a_chain_is_told_why(first, blocks, total, says):
    assert str(no_chain(placed(first, blocks, total=total), Request(0, 1, 1, 7))) == says


def test_policies_say_what_they_are():
    """Who goes by servers alone, and who may hold requests back."""
    told = {
        policy.name: (policy.hub_only, policy.holds_back)
        for policy in (
            BestRouting, ExactRouting, FlowWeighted, Jffc, PetalsRouting, PetalsShipped,
            PetalsOversubscriptionRouting, PipeRouting, ShortestPath, TwoResourceRouting, WsRr,
        )
    }  # fmt: skip
    assert told == {
        "best": (True, False),
        "exact": (False, False),
        "flow_weighted": (False, False),
        "jffc": (True, True),
        "petals": (False, False),
        "petals_shipped": (False, False),
        "petals_oversubscription": (False, False),
        "pipe": (True, False),
        "shortest_path": (False, False),
        "two_resource": (True, True),
        "ws_rr": (False, False),
    }


class Noting(RoutingPolicy):
    """Says what it was told."""

    def __init__(self, context):
        super().__init__(context)
        self.heard = []

    def route(self, request, now_ms):
        self.heard.append(("route", request, now_ms))
        return "route"

    def admitted(self, request, route):
        self.heard.append(("admitted", request, route))

    def ended(self, request, route):
        self.heard.append(("ended", request, route))


def test_a_router_around_another_one_hands_everything_on():
    where = placed([1], [2])
    inner = Noting(RoutingContext(where, Caches(where.cache_tokens)))
    inner.holds_back = True
    outer = RouterAround(inner)
    assert outer.holds_back is True
    assert outer.context is inner.context and outer.options is inner.options
    assert outer.route("request", 3.0) == "route"
    outer.admitted("request", "a")
    outer.ended("request", "b")
    assert inner.heard == [
        ("route", "request", 3.0), ("admitted", "request", "a"), ("ended", "request", "b"),
    ]  # fmt: skip


def test_the_routing_of_the_best_placement_is_the_one_that_it_chose():
    choice = Choice("shortest_path", ROUTING["shortest_path"].Options())
    where = placed([1, 1], [2, 2], tau_ms=[10.0, 4.0], details={"routing": choice})
    router, caches = routed("best", where)
    caches.hold(np.array([1]), np.array([2000]), 1e6, 0.0)
    assert told(router.route(Request(0, 1, 3, 10), 0.0)) == ([1], [2], 10 + 2 * (10 + 8))
    with pytest.raises(InputError) as error:
        routed("best", placed([1], [2], details={"routing": "ws_rr"}))
    assert str(error.value) == (
        "routing: best: got 'another placement'; allowed: placement best with it"
    )


# Searches over positions.

# Ends 2 (servers 5, 1), 4 (servers 0, 2, 3, 4, 7); server 6 hosts nothing.
FIRST = [1, 1, 3, 3, 2, 1, 0, 3]
BLOCKS = [4, 2, 2, 2, 3, 2, 0, 2]
TAU_MS = [5.0, 2.0, 5.0, 5.0, 5.0, 2.0, 1.0, 5.0]
PREFILL_MS = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0]
PER_TOKEN_MS = [0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.5, 0.5]
RTT_MS = [
    [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0],
    [1.0, 1.0, 9.0, 9.0, 2.0, 1.0, 2.0, 4.0],
]
PROMPT_RTT_MS = [
    [8.0, 7.0, 6.0, 15.0, 4.0, 3.0, 2.0, 1.0],
    [1.0, 1.0, 9.0, 7.0, 2.0, 1.0, 2.0, 4.0],
]
SLOPES = np.arange(16.0).reshape(2, 8) + 3


def eight():
    return placed(
        FIRST, BLOCKS, tau_ms=TAU_MS, prefill_ms=PREFILL_MS, prefill_ms_per_token=PER_TOKEN_MS,
        token_rtt_ms=RTT_MS, prompt_rtt_ms=PROMPT_RTT_MS, prompt_rtt_ms_per_token=SLOPES, clients=2,
    )  # fmt: skip


def test_links_of_a_placement_by_end_family_and_group():
    graph = ChainGraph.of(eight())
    assert graph.blocks == 4
    assert graph.server.tolist() == [5, 1, 0, 4, 2, 3, 7]
    assert graph.group_first.tolist() == [0, 1, 2, 3, 4, 6, 7]
    assert graph.group_low.tolist() == [0, 0, 0, 1, 2, 2]
    assert graph.family_first.tolist() == [0, 1, 2, 5, 6]
    assert graph.family_tau_ms.tolist() == [2, 2, 5, 5]
    assert graph.family_prefill_ms.tolist() == [1, 1, 1, 3]
    assert graph.family_prefill_ms_per_token.tolist() == [0.25, 0.5, 0.5, 0.5]
    assert graph.end_first.tolist() == [0, 2, 4]
    assert graph.end_block.tolist() == [2, 4]
    assert graph.end_low.tolist() == [0, 0]
    raised = ChainGraph.of(placed([2, 3], [1, 2], total=4))
    assert raised.end_low.tolist() == [1, 2]
    nothing = ChainGraph.of(placed([0, 0], [0, 0], total=4))
    assert [column.tolist() for column in nothing[1:]] == [
        [], [0], [], [0], [], [], [], [0], [], [],
    ]  # fmt: skip


def test_servers_of_a_group_stand_in_order_of_distance():
    """First by the round trip of a token, then of a prompt, then by their number."""
    where = eight()
    search = Search.of(where)
    assert search.least_prompt_rtt_ms_per_token == 3.0
    assert [column.shape for column in search[3:9]] == [(5,)] * 6
    assert (search.moved.shape, search.chain.shape, search.processed.shape) == ((5,), (4,), (4,))
    order = {0: [5, 1, 0, 4, 3, 2, 7], 1: [5, 1, 0, 4, 3, 2, 7]}
    for client, servers in order.items():
        search.meet(client, where.swarm)
        view = [column[client].tolist() for column in search.views]
        assert view[0] == servers
        assert view[1] == [RTT_MS[client][j] for j in servers]
        assert view[2] == [PROMPT_RTT_MS[client][j] for j in servers]
        assert view[3] == [SLOPES[client, j] for j in servers]
        least = view[2].copy()
        least[4] = min(view[2][4], view[2][5])
        assert view[4] == least
    # Equal on all counts: by number.
    same = placed([1, 1, 1], [2, 2, 2], token_rtt_ms=[[4, 3, 3]], prompt_rtt_ms=[[1, 2, 2]])
    search = Search.of(same)
    search.meet(0, same.swarm)
    assert search.views.server.tolist() == [[1, 2, 0]]
    assert search.views.least_prompt_rtt_ms.tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("client", [0, 1])
@pytest.mark.parametrize("name", ["exact", "ws_rr", "shortest_path"])
def test_a_client_is_met_once_and_routed_by_its_own_distances(name, client):
    where = eight()
    router, caches = routed(name, where)
    request = Request(client, 4, 3, 10)

    def cost_ms(chain):
        return sum(
            PROMPT_RTT_MS[client][j] + 4 * SLOPES[client, j]
            + k * (PREFILL_MS[j] + 4 * PER_TOKEN_MS[j]) + 2 * (RTT_MS[client][j] + k * TAU_MS[j])
            for j, k in chain
        )  # fmt: skip

    firsts, lasts = [(1, 2), (5, 2)], [(2, 2), (3, 2), (4, 2), (0, 2), (7, 2)]
    ways = [[a, b] for a in firsts for b in lasts] + [[(0, 4)]]
    best = min(ways, key=cost_ms)
    for _ in range(2):
        servers, processed, found_ms = told(router.route(request, 0.0))
        assert found_ms == pytest.approx(cost_ms(best), rel=1e-12)
        assert cost_ms(list(zip(servers, processed, strict=True))) == pytest.approx(found_ms)
    full = best[0][0]
    caches.hold(np.array([full]), caches.state.capacity[[full]], 1e9, 0.0)
    again = router.route(request, 0.0)
    if name == "shortest_path":
        assert again.servers.tolist() == servers
    else:
        rest = [way for way in ways if full not in dict(way)]
        assert again.cost_ms == pytest.approx(min(map(cost_ms, rest)), rel=1e-12)


def test_who_can_come_before_whom_where_servers_send_on():
    """By their ends: from the first server that ends where one may be entered, 1 at the least."""
    where = placed([1, 1, 2, 3, 4, 0, 1], [1, 2, 2, 2, 1, 0, 4])
    swarm = where.swarm
    overheads = Overheads(token_ms=1, prompt_ms=1, initial_ms=0)
    legs = Neighbours.of(swarm.raw_rtt_ms, swarm.server_rtt_ms, overheads, swarm.model, 1)
    search = NeighbourSearch.of(replace(where, swarm=replace(swarm, neighbours=legs)))
    assert search.order.tolist() == [0, 1, 2, 3, 4, 6]  # ends 1, 2, 3, 4, 4, 4
    assert search.reach_first.tolist() == [0, 0, 0, 1, 2, 0]
    assert search.reach_last.tolist() == [0, 1, 2, 3, 3, 3]
    assert search.low.tolist() == [0, 0, 1, 2, 3, -1, 0]
    assert search.end.tolist() == [1, 2, 3, 4, 4, -1, 4]
    assert search.blocks == 4
    # The plain petals' links are the same, but that nothing ends at 0.
    hops = routed("petals", where)[0].state
    assert hops.order.tolist() == [0, 1, 2, 3, 4, 6]
    assert hops.reach_first.tolist() == [0, 0, 0, 1, 2, 0]
    assert hops.reach_last.tolist() == [0, 1, 2, 3, 3, 3]


# Flows.


def flows(*links):
    """Links as (server, start, end, per_s)."""
    server, start, end, per_s = zip(*links, strict=True)
    return Flows(*map(np.array, (server, start, end)), np.array(per_s, dtype=float))


def test_dead_ends_of_flows_are_left_out_while_they_lead_nowhere():
    """Blocks 1, 2 and 3; server 0 does the first one, 1 the first two, 2 the second, 3 the last."""
    given = flows((0, 0, 1, 3.0), (1, 0, 2, 1.0), (2, 1, 2, 3.0), (3, 2, 3, 4.0))
    where = placed([1, 1, 2, 3], [1, 2, 1, 1], cache=[40, 40, 10, 40], details={"flows": given})
    router, caches = routed("flow_weighted", where)
    request = Request(0, 1, 1, 10)
    assert told(router.route(request, 0.0)) == ([0, 2, 3], [1, 1, 1], 0.0)
    caches.hold(np.array([2]), np.array([1]), 50.0, 0.0)
    assert told(router.route(request, 49.0)) == ([1, 3], [2, 1], 0.0)
    assert told(router.route(request, 50.0)) == ([0, 2, 3], [1, 1, 1], 0.0)
    # Room is counted in blocks of such a session: 40 units are one block of 40, not two.
    assert told(router.route(request._replace(cache_tokens=11), 60.0)) == ([1, 3], [2, 1], 0.0)
    assert told(router.route(request._replace(cache_tokens=20), 60.0)) == ([1, 3], [2, 1], 0.0)
    with pytest.raises(InfeasibleError, match="attention cache"):
        router.route(request._replace(cache_tokens=21), 60.0)


def test_links_that_hardly_flow_are_none():
    total = 4.0
    for per_s, used in ((1.1e-9 * total, True), (0.9e-9 * total, False)):
        given = flows((0, 0, 2, total - per_s), (1, 0, 2, per_s))
        where = placed([1, 1], [2, 2], details={"flows": given})
        router, caches = routed("flow_weighted", where)
        caches.hold(np.array([0]), np.array([2000]), 1e9, 0.0)
        assert router.route(Request(0, 1, 1, 10), 0.0).servers.tolist() == [1 if used else 0]


def test_credit_is_what_flowed_elsewhere():
    given = flows((0, 0, 2, 5.0), (1, 0, 2, 2.0), (2, 0, 2, 1.0))
    where = placed([1, 1, 1], [2, 2, 2], details={"flows": given})
    router, _ = routed("flow_weighted", where)
    request, taken = Request(0, 1, 1, 10), []
    credit, weight = [0.0] * 3, [5.0, 2.0, 1.0]
    for _ in range(16):
        route = router.route(request, 0.0)
        expected = max(range(3), key=lambda j: credit[j] + weight[j])
        assert route.servers.tolist() == [expected]
        router.admitted(request, route)
        credit = [c + w for c, w in zip(credit, weight, strict=True)]
        credit[expected] -= 8.0
        taken.append(expected)
    assert [taken.count(j) for j in range(3)] == [10, 4, 2]
    with pytest.raises(InputError) as error:
        routed("flow_weighted", placed([1], [2]))
    assert str(error.value) == (
        "routing: flow_weighted: got 'another placement'; allowed: a placement with flows: max_flow"
    )


# Chains with places.


def table(chains, places, time_ms):
    first = np.cumsum([0, *(len(chain) for chain in chains)])
    server, blocks = (np.array([link[i] for chain in chains for link in chain]) for i in (0, 1))
    return ChainTable(first, server, blocks, np.array(places, float), np.array(time_ms, float))


def independent(where):
    return SERVICE.build("independent", where.swarm, 0.0)


def test_jffc_by_hand():
    """Three chains: server 0; 1 and 2; 3. The second client is nearest to the last one."""
    chains = table([[(0, 3)], [(1, 1), (2, 2)], [(3, 3)]], [1, 2, 1], [[9, 7, 8], [5, 4, 3]])
    where = placed(
        [1, 1, 2, 1], [3, 1, 2, 3], cache=[30, 30, 40, 30], clients=2, details={"chains": chains}
    )
    router, caches = routed("jffc", where, computing=independent(where))
    request = Request(0, 1, 1, 10)
    there = {"first": ([0], [3], 9.0), "second": ([1, 2], [1, 2], 7.0), "third": ([3], [3], 8.0)}

    def asks(client=0, now_ms=0.0):
        return router.route(request._replace(client=client), now_ms)

    taken = []
    for name in ("second", "second", "third", "first"):
        route = asks()
        assert told(route) == there[name]
        router.admitted(request, route)
        taken.append(route)
    assert asks().cost_ms == math.inf  # no place is free, though caches are
    router.ended(request, taken[0])
    assert told(asks()) == there["second"]
    router.admitted(request, taken[0])
    assert asks().cost_ms == math.inf
    router.ended(request, taken[3])
    assert told(asks()) == there["first"]
    router.ended(request, taken[2])
    assert told(asks(client=1)) == ([3], [3], 3.0)
    assert told(asks()) == there["third"]
    # A free place whose cache is held by others is none, until they end.
    caches.hold(np.array([3]), np.array([1]), 20.0, 0.0)
    assert told(asks()) == there["first"]
    assert told(asks(now_ms=19.0)) == there["first"]
    assert told(asks(now_ms=20.0)) == there["third"]
    caches.hold(np.array([0, 3]), np.array([30, 30]), 90.0, 20.0)
    assert asks(now_ms=30.0).cost_ms == math.inf


def test_jffc_asks_for_room_on_one_whole_chain_and_for_a_service():
    chains = table([[(0, 3)], [(1, 1), (2, 2)]], [1, 1], [[9, 7]])
    where = placed([1, 1, 2], [3, 1, 2], cache=[30, 10, 20], details={"chains": chains})
    router, _ = routed("jffc", where, computing=independent(where))
    with pytest.raises(InfeasibleError, match="attention cache"):
        router.route(Request(0, 1, 1, 11), 0.0)
    assert told(router.route(Request(0, 1, 1, 10), 0.0)) == ([1, 2], [1, 2], 7.0)
    half = replace(where, cache_tokens=np.array([29, 10, 19]))  # a part of each has room
    router, _ = routed("jffc", half, computing=independent(where))
    with pytest.raises(InfeasibleError, match="attention cache"):
        router.route(Request(0, 1, 1, 10), 0.0)
    nothing = replace(where, details={"chains": ChainTable(
        np.zeros(1, int), np.zeros(0, int), np.zeros(0, int), np.zeros(0), np.zeros((1, 0))
    )})  # fmt: skip
    router, _ = routed("jffc", nothing, computing=independent(where))
    with pytest.raises(InfeasibleError, match="attention cache"):
        router.route(Request(0, 1, 1, 10), 0.0)
    with pytest.raises(InputError) as error:
        routed("jffc", where)
    assert str(error.value) == ("routing: jffc: got 'no service'; allowed: what servers compute by")


def test_jffc_counts_sessions_that_it_hears_of_first_and_none_on_other_chains():
    """As where servers come or go: sessions that run are told before anybody asks."""
    where = placed([1, 1, 3], [4, 2, 2], cache=[40, 20, 20], tau_ms=[9, 5, 5], total=4)
    router, _ = routed("jffc", where, computing=independent(where))
    request, there = Request(0, 1, 3, 10), Route(np.array([1, 2]), np.array([2, 2]), 0.0)
    elsewhere = Route(np.array([1, 0]), np.array([2, 2]), 0.0)
    router.admitted(request, there)
    router.admitted(request, elsewhere)
    assert router.route(request, 0.0).servers.tolist() == [0]
    router.ended(request, elsewhere)
    assert router.route(request, 0.0).servers.tolist() == [0]
    router.ended(request, there)
    assert router.route(request, 0.0).servers.tolist() == [1, 2]


def test_a_place_of_jffc_is_free_again_once_a_session_has_ended():
    """Two places; the third session starts when the first one ends, and so on."""
    chains = table([[(0, 2)]], [2], [[70]])
    where = placed([1], [2], cache=[200], details={"chains": chains})
    workload = Workload(np.array([0.0, 10.0, 20.0, 30.0, 40.0]), 0, 1, 3, 10)
    records = simulate(where, workload, "jffc", admission="central_queue")
    each_ms = 10 + 2 * (10 + 20)
    assert records.completion_ms.tolist() == [each_ms, each_ms, 120, 120, 170]
    assert records.wait_ms.tolist() == [0, 0, 50, 50, 100]


# Sessions that take turns in servers.


def plainly_joined(chains, most_full, weight, holds_back, free, sessions, request):
    """The page on the method: of the chains with room that are not full the fastest."""
    within, beyond = [], []
    for p in range(chains.places.size):
        entries = range(chains.first[p], chains.first[p + 1])
        head = sessions[chains.server[chains.first[p]]]
        if any(free[chains.server[i]] < chains.blocks[i] * request.cache_tokens for i in entries):
            continue
        full = (head + 1) / chains.places[p]
        if full <= most_full or (holds_back and head == 0):
            within.append((chains.time_ms[request.client, p] * (1 + weight * full**2), p))
        else:
            beyond.append((full, p))
    if within:
        return min(within)
    if beyond:
        full, p = min(beyond)
        return (math.inf if holds_back else full), p
    present = [sessions[j] for j in chains.server[chains.first[:-1]]]
    return math.inf, min((count / chains.places[p], p) for p, count in enumerate(present))[1]


@pytest.mark.parametrize("holds_back", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_pipe_joins_what_a_plain_list_says(seed, holds_back):
    rng = np.random.default_rng([11, seed])
    chains = table(
        [[(0, 2), (1, 2)], [(2, 4)], [(3, 1), (4, 2), (5, 1)]],
        rng.choice([0.8, 1.0, 2.0, 3.5], 3),
        rng.integers(5, 12, (2, 3)),
    )
    where = placed(
        [1, 3, 1, 1, 2, 4], [2, 2, 4, 1, 2, 1], cache=[60, 60, 120, 30, 60, 30], clients=2,
        details={"chains": chains},
    )  # fmt: skip
    options = {"most_full": 1.0, "weight": 0.5, "hold_back": holds_back}
    router, caches = routed("pipe", where, options)
    assert router.holds_back is holds_back
    held, seen = [], set()
    for number in range(40):
        now_ms = float(number)
        held = [each for each in held if each[1] > now_ms]
        free, sessions = where.cache_tokens.copy(), [0] * 6
        for (servers, blocks), _ in held:
            free[servers] -= 10 * blocks
            for server in servers:
                sessions[server] += 1
        request = Request(int(rng.integers(2)), 1, 1, 10)
        route = router.route(request, now_ms)
        cost_ms, p = plainly_joined(chains, 1.0, 0.5, holds_back, free, sessions, request)
        entries = slice(chains.first[p], chains.first[p + 1])
        seen.add((math.isinf(cost_ms), p))
        assert route.servers.tolist() == chains.server[entries].tolist()
        assert route.processed.tolist() == chains.blocks[entries].tolist()
        if not math.isinf(cost_ms) or holds_back:  # or room is for nobody
            assert route.cost_ms == cost_ms
        units = 10 * route.processed
        if (free[route.servers] >= units).all():
            end_ms = now_ms + float(rng.integers(1, 14))
            caches.hold(route.servers, units, end_ms, now_ms)
            held.append(((route.servers, route.processed), end_ms))
    assert len(seen) > 2


def test_pipe_by_its_shipped_options():
    """Full beyond 1.15; a chain that is full to f costs a tenth of f² more."""
    chains = table([[(0, 2)], [(1, 2)]], [2.0, 20.0], [[10.0, 10.25]])
    where = placed([1, 1], [2, 2], cache=[400, 400], details={"chains": chains})
    router, caches = routed("pipe", where)
    request = Request(0, 1, 1, 10)
    assert told(router.route(request, 0.0)) == ([0], [2], pytest.approx(10 * 1.025))
    caches.hold(np.array([0]), np.array([20]), 9.0, 0.0)  # now it would be full: 11
    assert told(router.route(request, 0.0)) == ([1], [2], pytest.approx(10.25 * 1.00025))
    for places, joined in ((1.0, [0]), (0.8, [1])):  # full to 1 and to 1.25
        chains = table([[(0, 2)], [(1, 2)]], [places, 1.0], [[10.0, 90.0]])
        router, _ = routed("pipe", replace(where, details={"chains": chains}))
        assert router.route(request, 0.0).servers.tolist() == joined
    for details in ({}, {"chains": table([[(0, 2)], [(0, 1), (1, 1)]], [1, 1], [[1, 1]])}):
        with pytest.raises(InputError) as error:
            routed("pipe", replace(where, details=details))
        assert str(error.value) == (
            "routing: pipe: got 'another placement'; allowed: a placement of disjoint chains: pipe"
        )


# Two resources.


def test_two_resource_counts_room_in_whole_sessions_and_what_has_ended():
    """Server 0 alone is fastest; a session of three tokens takes 10 + 2·(10 + τ·2) there."""
    where = placed([1, 1], [2, 2], cache=[40, 40], tau_ms=[5.0, 20.0])
    router, caches = routed("two_resource", where, {"share": 0.0})
    request = Request(0, 1, 3, 10)
    assert told(router.route(request, 0.0)) == ([0], [2], 50.0)
    caches.hold(np.array([0]), np.array([21]), 30.0, 0.0)
    assert told(router.route(request, 29.0)) == ([1], [2], 110.0)
    assert told(router.route(request, 30.0)) == ([0], [2], 50.0)
    caches.hold(np.array([0, 1]), np.array([21, 60]), 90.0, 40.0)
    # Nobody has room: the chain of an idle swarm, by another size of cache too.
    assert told(router.route(request, 50.0)) == ([0], [2], math.inf)
    assert told(router.route(request._replace(cache_tokens=20), 50.0)) == ([0], [2], math.inf)
    assert told(router.route(request._replace(cache_tokens=20), 90.0)) == ([0], [2], 50.0)
    with pytest.raises(InfeasibleError, match="attention cache"):
        router.route(request._replace(cache_tokens=21), 90.0)


def test_the_fastest_chain_of_an_idle_swarm_is_each_client_s_own():
    where = placed([1, 1], [2, 2], clients=2, token_rtt_ms=[[10, 99], [99, 10]], tau_ms=[5, 5],
                   prompt_rtt_ms=[[10, 99], [99, 10]])  # fmt: skip
    router, caches = routed("two_resource", where, {"share": 0.0})
    caches.hold(np.array([0, 1]), np.array([2000, 2000]), 90.0, 0.0)
    for client in (0, 1, 0, 1):
        assert told(router.route(Request(client, 1, 3, 10), 0.0)) == ([client], [2], math.inf)


@pytest.mark.parametrize(
    "share, most_load, borne",
    [
        (None, None, 2),
        (1.0, None, 2),
        (0.5, None, 3),
        (0.0, None, 5),
        (1.0, 1.7, 3),
        (0.5, 0.4, 1),
        (1.0, 1.2, 2),
    ],
)
def test_servers_bear_so_much_load(share, most_load, borne):
    """A session spends 30 of its 50 ms a token at the one server: a load of 0.6, less each time.

    Serial servers bear 1.3, others that and 0.85 by turns: with a share of a half 1.075. They bear
    another one if its 0.6 fits beside: 1.3 − 0.6 does, and 1.3 − 0.6 − 30/(50 + 18) = 0.26 not.
    """
    where = placed([1], [3], cache=[150], token_rtt_ms=[[20.0]])
    options = {"share": share, "most_load": most_load}
    router, _ = routed("two_resource", where, {k: v for k, v in options.items() if v is not None})
    request, used = Request(0, 1, 2, 10), 1.0 if share is None else share
    load = wait_ms = 0.0
    for number in range(6):
        route = router.route(request, 0.0)
        bears = most_load or 0.85 + 0.45 * used
        fits = not number or not used or bears / used - load + 1e-9 >= 0.6
        assert route.cost_ms == (pytest.approx(10 + 50 + used * wait_ms) if fits else math.inf)
        if not fits:
            break
        router.admitted(request, route)
        added = 30 / (50 + used * wait_ms)
        load, wait_ms = load + added, wait_ms + 30 * added
        assert router._load.tolist() == pytest.approx([load])
        assert router._wait_ms.tolist() == pytest.approx([wait_ms])
    assert min(number, 5) == borne


@pytest.mark.parametrize(
    "service, share", [("serial", 1.0), ("independent", 0.0), ("batched", None)]
)
def test_the_share_that_a_token_takes_from_others_is_the_service_s(service, share):
    """Batched: (1 − b)/places + b of its time alone, b = 0.1; four and two sessions at once."""
    where = placed([1, 1, 1], [2, 2, 0], cache=[80, 59, 0], tau_ms=[5.0, 20.0, 1.0])
    computing = SERVICE.build(service, where.swarm, 0.0)
    router, _ = routed("two_resource", where, computing=computing)
    router.route(Request(0, 7, 3, 10), 0.0)
    if share is None:  # eight and five blocks of a session at once
        share = np.mean([0.9 / 8 + 0.1, 0.9 / 5 + 0.1])
    assert router._share == pytest.approx(share, rel=1e-3)
    one = placed([1, 2], [1, 1], cache=[40, 40], tau_ms=[5.0, 20.0])
    router, _ = routed("two_resource", one, computing=SERVICE.build(service, one.swarm, 0.0))
    router.route(Request(0, 7, 3, 10), 0.0)
    least = {"serial": 1.0, "independent": 0.0, "batched": 0.9 / 4 + 0.1}
    assert router._share == pytest.approx(least[service], rel=1e-3)
    # Servers without room for one session count as if there was room for it.
    small = placed([1, 1], [2, 2], cache=[80, 9], tau_ms=[5.0, 20.0])
    router, _ = routed("two_resource", small, computing=SERVICE.build(service, small.swarm, 0.0))
    router.route(Request(0, 7, 3, 10), 0.0)
    expected = {"serial": 1.0, "independent": 0.0, "batched": np.mean([0.9 / 8 + 0.1, 1.0])}
    assert router._share == pytest.approx(expected[service], rel=1e-3)


def test_requests_that_two_resource_holds_back_wait_in_the_queue():
    """One session at a time where nothing else is borne."""
    where = placed([1], [2], cache=[2000])
    workload = Workload(np.array([0.0, 1.0, 2.0]), 0, 1, 3, 10)
    choice = ChoiceOf(ROUTING).read({"two_resource": {"share": 1.0, "most_load": 0.1}})
    records = simulate(where, workload, choice, admission="central_queue")
    assert records.completion_ms.tolist() == [70, 139, 208]


# PETALS.


def plain_petals(where, sessions, request, hop_ms, penalty_ms, over_is_full):
    """The least cost of all chains, and the chains that have it."""
    swarm, found = where.swarm, []
    blocks = swarm.model.blocks
    ends = where.last_block.tolist()

    def grow(done, chain, cost_ms):
        if done == blocks:
            back_ms = swarm.raw_rtt_ms[request.client, chain[-1][0]] / 2
            found.append((cost_ms + back_ms, chain))
            return
        for j in range(swarm.servers):
            if where.blocks[j] and where.first_block[j] <= done + 1 <= ends[j]:
                rtt_ms = (swarm.server_rtt_ms[chain[-1][0], j] if chain
                          else swarm.raw_rtt_ms[request.client, j])  # fmt: skip
                slots = where.cache_tokens[j] // request.cache_tokens // where.blocks[j]
                free = slots - sessions[j]
                full = free <= 0 if over_is_full else free == 0
                own_ms = rtt_ms / 2 + hop_ms + swarm.tau_ms[j] * (ends[j] - done)
                own_ms += penalty_ms if full else 0.0
                grow(ends[j], [*chain, (j, ends[j] - done)], cost_ms + own_ms)

    grow(0, [], 0.0)
    least_ms = min((cost for cost, _ in found), default=math.inf)
    return least_ms, [chain for cost, chain in found if cost <= least_ms + 1e-9]


@pytest.mark.parametrize("name", ["petals", "petals_oversubscription"])
@pytest.mark.parametrize("seed", range(8))
def test_petals_as_modelled_takes_the_least_of_all_chains(name, seed):
    rng = np.random.default_rng([7, seed])
    count, total = 7, 6
    blocks = rng.integers(0, 5, count)
    first = np.array([rng.integers(1, total - b + 2) for b in blocks])
    first[0], blocks[0] = 1, total
    between = rng.integers(0, 30, (count, count)).astype(float)
    where = placed(
        first, blocks, cache=blocks * 10 * rng.integers(1, 3, count) + rng.integers(0, 10, count),
        total=total, clients=2, tau_ms=rng.integers(1, 9, count),
        raw_rtt_ms=rng.integers(1, 40, (2, count)), server_rtt_ms=between,
    )  # fmt: skip
    options = {"hop_overhead_ms": 5.0, "full_penalty_ms": 37.0} if seed % 2 else {}
    router, caches = routed(name, where, options)
    sessions = rng.integers(0, 4, count)
    for server in range(count):
        for _ in range(sessions[server]):
            caches.hold(np.array([server]), np.array([int(blocks[server]) * 10]), 50.0, 0.0)
    for now_ms, present in ((0.0, sessions), (50.0, np.zeros(count))):
        for client in (0, 1):
            request = Request(client, 5, 6, 10)
            route = router.route(request, now_ms)
            least_ms, best = plain_petals(
                where, present, request, options.get("hop_overhead_ms", 18.0),
                options.get("full_penalty_ms", 10_000.0), name == "petals_oversubscription",
            )  # fmt: skip
            assert route.cost_ms == pytest.approx(least_ms)
            assert list(zip(*map(np.ndarray.tolist, route[:2]), strict=True)) in best


@pytest.mark.parametrize("name", ["petals", "petals_shipped"])
def test_petals_needs_the_distances_between_servers(name):
    where = placed([1, 1], [2, 2])
    alone = replace(where, swarm=replace(where.swarm, server_rtt_ms=None))
    with pytest.raises(InputError) as error:
        routed(name, alone)
    assert str(error.value) == (
        f"routing: {name}: got '2 servers'; allowed: "
        "fewer servers: it needs the round trips between all pairs of them"
    )
    with pytest.raises(InfeasibleError, match="GPU memory"):
        routed(name, placed([1, 3], [1, 1]))[0].route(Request(0, 1, 1, 10), 0.0)


# PETALS as shipped.


def test_shipped_options_and_what_they_cost():
    options = PetalsShipped.Options()
    assert options.model_dump() == {
        "hop_overhead_ms": 18.0, "full_penalty_ms": 10_000.0, "unknown_way_ms": 150.0,
        "longest_way_ms": 5_000.0, "announce_ms": 60_000.0, "refresh_ms": 60_000.0, "pings": 3,
        "first_pings_are_lost": True, "ban_ms": 15_000.0, "seed": 0,
    }  # fmt: skip
    assert PetalsRouting.Options().model_dump() == {
        "hop_overhead_ms": 18.0, "full_penalty_ms": 10_000.0,
    }  # fmt: skip
    where = placed([1, 2], [1, 2], cache=[9, 20], tau_ms=[10, 20], raw_rtt_ms=[[8, 20_000]],
                   server_rtt_ms=[[0, 30_000], [30_000, 0]])  # fmt: skip
    router, _ = routed("petals_shipped", where)
    # 150 there, a penalty for a cache of 9 of which 10 are needed; long ways count as 5 s.
    cost_ms = (150 + 18 + 10_000 + 10) + (5_000 + 18 + 40) + 5_000
    assert told(router.route(Request(0, 1, 1, 10), 0.0)) == ([0, 1], [1, 2], cost_ms)


def plain_part(where, ways_ms, own_ms, request, start, goal):
    """Least cost of servers one after another from a position to another one."""
    swarm, ends, best = where.swarm, where.last_block, [math.inf]

    def grow(done, before, cost_ms):
        if done == goal:
            best[0] = min(best[0], cost_ms + ways_ms[before])
            return
        for j in range(swarm.servers):
            until = min(int(ends[j]), goal)
            if where.blocks[j] and where.first_block[j] - 1 <= done < until:
                way_ms = ways_ms[j] if before is None else swarm.server_rtt_ms[before, j] / 2
                work_ms = 1000 / swarm.inference_rps[j] * (until - done)
                grow(until, j, cost_ms + way_ms + own_ms[j] + work_ms)

    grow(start, None, 0.0)
    return best[0]


@pytest.mark.parametrize("seed", range(8))
def test_parts_of_chains_are_the_shortest_of_all(seed):
    rng = np.random.default_rng([13, seed])
    count, total = 7, 6
    blocks = rng.integers(1, 5, count)
    first = np.array([rng.integers(1, total - b + 2) for b in blocks])
    first[0], blocks[0] = 1, total
    where = placed(
        first, blocks, cache=blocks * rng.choice([9, 10, 30], count), total=total, clients=2,
        raw_rtt_ms=rng.integers(1, 60, (2, count)), inference_rps=rng.integers(40, 200, count),
        server_rtt_ms=rng.integers(0, 60, (count, count)),
    )  # fmt: skip
    router, _ = routed("petals_shipped", where, {"pings": 9, "first_pings_are_lost": False})
    for client in (0, 1):
        request = Request(client, 5, 6, 10)
        full_ms = np.where(10 * where.blocks > where.cache_tokens, 10_000.0, 0.0)
        ways_ms = where.swarm.raw_rtt_ms[client] / 2
        for start in range(total):
            for goal in range(start + 1, total + 1):
                route = router.part(request, start, goal, 0.0)
                assert route.processed.sum() == goal - start
                assert (route.processed > 0).all()
                pinged = np.where(router._is_pinged[client], ways_ms, 150.0)
                expected = plain_part(where, pinged, 18 + full_ms, request, start, goal)
                assert route.cost_ms == pytest.approx(expected)
    assert router._is_pinged.all()


def test_who_is_pinged_for_which_place():
    """First: from block 1. Last: to the last one. Middle: neither only the last, nor only block 1.

    Places of at most so many servers are pinged as a whole.
    """
    where = placed([1, 1, 2, 3, 4, 1, 0], [1, 2, 2, 2, 1, 4, 0], total=4)
    middle, last, first = {1, 2, 3, 5}, {3, 4, 5}, {0, 1, 5}
    for lost, places in ((True, (middle, last)), (False, (first, middle, last))):
        router, _ = routed("petals_shipped", where, {"pings": 4, "first_pings_are_lost": lost})
        router.look(0.0)
        assert set(np.flatnonzero(router._is_pinged[0]).tolist()) == set().union(*places)
    for pings in (1, 2):
        router, _ = routed("petals_shipped", where, {"pings": pings, "seed": 5})
        seen = np.zeros(7, dtype=bool)
        for number in range(40):
            router._is_pinged[:] = False
            router.look(60_000.0 * number)
            assert pings <= router._is_pinged.sum() <= 2 * pings
            seen |= router._is_pinged[0]
        assert set(np.flatnonzero(seen).tolist()) == middle | last


def test_servers_announce_each_in_its_own_phase():
    """By plain search for the last instant of every server's own clock."""
    where = placed([1, 1, 1], [2, 2, 2], clients=2)
    router, caches = routed("petals_shipped", where, {"announce_ms": 700.0, "refresh_ms": 500.0})
    phase_ms = router._phase_ms.tolist()
    assert all(0 <= phase < 700 for phase in phase_ms) and len(set(phase_ms)) == 3
    ends = [(0, 100, 910.0), (1, 300, 1500.0), (2, 500, 2600.0), (0, 50, 3100.0)]
    for server, units, end_ms in ends:
        caches.hold(np.array([server]), np.array([units]), end_ms, 0.0)
    for step in range(1, 60):
        now_ms = 70.0 * step
        router.look(now_ms)
        fetched_ms = 500.0 * math.floor(now_ms / 500)
        for at_ms, known in ((now_ms, router._announced), (fetched_ms, router._seen[0])):
            for server in range(3):
                told_ms = phase_ms[server] + 700 * math.floor((at_ms - phase_ms[server]) / 700)
                held = sum(u for j, u, end in ends if j == server and end > told_ms)
                assert known[server] == 2000 - (held if told_ms >= 0 else 0)
        assert router._seen[0].tolist() == router._seen[1].tolist()
        assert router._refreshes_ms.tolist() == [fetched_ms + 500] * 2


def test_a_refusal_by_the_only_host_of_a_block_is_looked_at_at_once():
    """Blocks 1 and 2, 3, 4: whoever hosts the neighbours hosts none of them."""
    for server, first, blocks in ((1, [1, 3, 4], [2, 1, 1]), (1, [2, 1, 3], [1, 1, 2])):
        router, _ = routed("petals_shipped", placed(first, blocks))
        router.look(0.0)
        router.failed(0, server, 100.0)
        assert router._refreshes_ms.tolist() == [60_100]
    router, _ = routed("petals_shipped", placed([1, 3, 3], [2, 1, 1]))
    router.look(0.0)
    router.failed(0, 1, 100.0)
    assert router._refreshes_ms.tolist() == [60_000]


def test_servers_announce_from_the_very_beginning_on():
    where = placed([1, 1], [2, 2])
    router, caches = routed("petals_shipped", where, {"announce_ms": 0.25})
    assert router._announced.tolist() == [2000, 2000]
    caches.hold(np.array([0]), np.array([300]), 1e6, 0.0)
    router.look(0.75)
    assert router._announced.tolist() == [1700, 2000]


def test_bans_double_and_end_and_are_each_client_s_own():
    where = placed([1, 1], [2, 2], clients=2, tau_ms=[10, 20])
    router, _ = routed("petals_shipped", where, {"ban_ms": 100.0, "refresh_ms": 10.0})
    for now_ms, until_ms, failures in (
        (5.0, 105, 1),
        (50.0, 105, 1),
        (105.0, 305, 2),
        (400, 800, 3),
    ):
        router.failed(0, 0, now_ms)
        assert router._banned_until_ms[0].tolist() == [until_ms, 0]
        assert router._failures[0].tolist() == [failures, 0]
    request = Request(0, 1, 1, 10)
    assert router.route(request, 799.0).servers.tolist() == [1]
    assert router.route(request._replace(client=1), 799.0).servers.tolist() == [0]
    assert router.route(request, 800.0).servers.tolist() == [0]
    router.admitted(request, Route(np.array([1, 1]), np.array([1, 1]), 0.0))
    assert router._running.tolist() == [[0, 2], [0, 0]]
    router.failed(0, 1, 850.0)  # runs sessions of the client: no ban
    assert router._banned_until_ms[0].tolist() == [800, 0]
    router.ended(request, Route(np.array([1, 1]), np.array([1, 1]), 0.0))
    assert router._running.tolist() == [[0, 0], [0, 0]]
    router.failed(0, 1, 850.0)
    assert router._banned_until_ms[0].tolist() == [800, 950]
    router.succeeded(0, 1)
    assert (router._failures[0].tolist(), router._banned_until_ms[0].tolist()) == ([3, 0], [800, 0])
