"""2R against all chains while sessions come and go, and its placement against the rule."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from naive import chain_cost, chains
from swarms import placements, requests, swarms

from bprr.ground.caches import Caches
from bprr.ground.errors import InfeasibleError
from bprr.ground.registry import PLACEMENT, ROUTING, ChoiceOf
from bprr.placement.base import Flows, Placement, PlacementProblem
from bprr.routing.base import RoutingContext


class Naive:
    """Who is where, by the page on the method, with a list of sessions."""

    def __init__(self, placement, share, most_load):
        self.placement, self.share, self.most_load = placement, share, most_load
        self.sessions = {}  # by number: [(server, load, wait in ms)]

    def sums(self, server):
        mine = [(load, wait) for links in self.sessions.values() for at, load, wait in links
                if at == server]  # fmt: skip
        return len(mine), sum(load for load, _ in mine), sum(wait for _, wait in mine)

    def costs(self, request):
        """Times of all chains in an idle swarm, and now; inf where a server does not bear it."""
        swarm = self.placement.swarm
        alone, now = {}, {}
        for chain in chains(self.placement):
            room = (int(self.placement.cache_tokens[j]) // request.cache_tokens for j, _ in chain)
            if all(count <= most for (_, count), most in zip(chain, room, strict=True)):
                alone[chain] = chain_cost(self.placement, [], chain, request, 0.0).time_ms
        if not alone:
            return alone, now
        fastest = min(alone, key=alone.__getitem__)
        token_ms = sum(swarm.token_rtt_ms[request.client, j] + k * swarm.tau_ms[j]
                       for j, k in fastest)  # fmt: skip
        for chain, time_ms in alone.items():
            bears = True
            for server, count in chain:
                sessions, load, wait_ms = self.sums(server)
                time_ms += (request.output_tokens - 1) * self.share * wait_ms
                if self.share > 0 and sessions:
                    left = self.most_load / self.share - load
                    bears = bears and count * swarm.tau_ms[server] / token_ms <= left + 1e-9
            now[chain] = time_ms if bears else math.inf
        return alone, now

    def admit(self, number, request, chain):
        swarm = self.placement.swarm
        alone_ms = {j: swarm.token_rtt_ms[request.client, j] + k * swarm.tau_ms[j]
                    for j, k in chain}  # fmt: skip
        token_ms = sum(alone_ms[j] + self.share * self.sums(j)[2] for j, _ in chain)
        loads = [(j, k * swarm.tau_ms[j] / token_ms, k * swarm.tau_ms[j]) for j, k in chain]
        self.sessions[number] = [(j, load, load * work_ms) for j, load, work_ms in loads]


@pytest.mark.parametrize("most_load", [None, 0.4, 1.3])
@given(data=st.data())
def test_a_session_takes_the_best_chain_that_bears_it(most_load, data):
    placement = data.draw(placements(covering=True))
    share = data.draw(st.sampled_from([0.0, 0.25, 1.0]))
    given_as = {"two_resource": {"share": share, "most_load": most_load}}
    context = RoutingContext(placement, Caches(placement.cache_tokens))
    router = ROUTING.build(ChoiceOf(ROUTING).read(given_as), context)
    naive, held = Naive(placement, share, most_load or 0.85 + 0.45 * share), {}
    request = data.draw(requests(placement.swarm.clients))
    for number in range(8):
        request = request._replace(client=data.draw(st.integers(0, placement.swarm.clients - 1)))
        alone, now = naive.costs(request)
        if not alone:
            with pytest.raises(InfeasibleError):
                router.route(request, 0.0)
            return
        route = router.route(request, 0.0)
        assert route.cost_ms == pytest.approx(min(now.values()), rel=1e-9)
        chain = tuple(zip(route.servers.tolist(), route.processed.tolist(), strict=True))
        event(f"waits: {math.isinf(route.cost_ms)}")
        if math.isinf(route.cost_ms):  # the chain that it would take in an idle swarm
            assert alone[chain] == pytest.approx(min(alone.values()), rel=1e-9)
        else:
            assert now[chain] == pytest.approx(route.cost_ms, rel=1e-9)
            router.admitted(request, route)
            naive.admit(number, request, chain)
            held[number] = request, route
        if held and data.draw(st.booleans()):
            left = data.draw(st.sampled_from(sorted(held)))
            router.ended(*held.pop(left))
            del naive.sessions[left]
    servers = range(placement.swarm.servers)
    sums = np.array([naive.sums(server) for server in servers])
    assert np.allclose(np.array([router._sessions, router._load, router._wait_ms]).T, sums)


class AsWritten:
    """Terms of a session's time whose prompt goes round whole, from the page on the model."""

    def __init__(self, swarm):
        self.swarm = swarm

    def session_terms_ms(self, request):
        swarm, later = self.swarm, request.output_tokens - 1
        hop_ms = swarm.prompt_rtt_ms + request.input_tokens * swarm.prompt_rtt_ms_per_token
        block_ms = swarm.prefill_ms + request.input_tokens * swarm.prefill_ms_per_token
        return hop_ms + later * swarm.token_rtt_ms, block_ms + later * swarm.tau_ms


def fastest_ms(most, hop_ms, block_ms, blocks):
    """Over all placements: servers in any order, each once."""
    least = {0: 0.0}
    for j in range(len(most)):
        after = dict(least)
        for done, spent in least.items():
            for count in range(1, min(int(most[j]), blocks - done) + 1):
                time_ms = spent + hop_ms[j] + count * block_ms[j]
                after[done + count] = min(time_ms, after.get(done + count, math.inf))
        least = after
    return least.get(blocks, math.inf)


def laid(order, held, blocks):
    first, at = [0] * len(held), 1
    for j in order:
        if held[j]:
            first[j] = min(at, blocks - held[j] + 1)
            at = first[j] + held[j] if first[j] + held[j] <= blocks else 1
    return first


def placements_by_pace(swarm, request, tokens, given=None):
    """Every θ that may matter, with its placement and the time of the fastest chain on it."""
    blocks, tau_ms, servers = swarm.model.blocks, swarm.tau_ms, range(swarm.servers)
    hop_ms, block_ms = AsWritten(swarm).session_terms_ms(request)
    hop_ms = hop_ms.mean(axis=0)
    memory, unit = [Fraction(m) for m in swarm.memory_gb.tolist()], Fraction(tokens, 10_000)
    most = [min(int(m / (1 + unit)), blocks) for m in memory]
    alone_ms = fastest_ms(most, hop_ms, block_ms, blocks)
    sessions = np.ceil(alone_ms / request.output_tokens / tau_ms)
    if math.isinf(alone_ms):
        return
    saturated = [
        math.floor(m - unit * int(count)) for m, count in zip(memory, sessions, strict=True)
    ]
    most = [min(m, s) if s >= 1 else m for m, s in zip(most, saturated, strict=True)]

    def held_at(pace_ms):
        return [min(m, max(int(pace_ms // t), 1)) for m, t in zip(most, tau_ms, strict=True)]

    paces = {float(t) * -(-blocks // n) for t in tau_ms for n in range(1, blocks + 1)}
    steps = sorted({float(t) * n for t in tau_ms for n in range(1, max(most) + 1)})
    for models in range(1, sum(held_at(steps[-1])) // blocks + 1):
        paces.add(next(step for step in steps if sum(held_at(step)) >= models * blocks))
    seen = []
    for pace_ms in [given] if given else sorted(paces):
        held = held_at(pace_ms)
        if sum(held) < blocks or held in seen:
            continue
        seen.append(held)
        used = [j for j in servers if held[j]]
        order = sorted(used, key=lambda j: hop_ms[j] / held[j] + block_ms[j])
        placement = Placement(swarm, np.array(laid(order, held, blocks)), np.array(held))
        times = [sum(hop_ms[j] + k * block_ms[j] for j, k in chain) for chain in chains(placement)]
        if times:
            yield pace_ms, min(times), placement


@given(data=st.data())
def test_2r_places_what_the_page_says(data):
    swarm = data.draw(swarms(max_clients=2))
    request = data.draw(requests(swarm.clients))
    tokens = request.cache_tokens
    weights = np.array([data.draw(st.integers(1, 20)) for _ in range(swarm.servers)])

    def capacity_of(placement):
        return float((placement.blocks * weights).sum())

    def flows_of(placement):
        ends = np.arange(2)
        return Flows(ends, ends, ends + 1, np.array([capacity_of(placement), 1e12]))

    rate = data.draw(st.sampled_from([0.1, 20.0, 60.0, 1e9]))
    pace_ms = data.draw(st.sampled_from([None, None, 2.0, 7.5]))
    problem = PlacementProblem(
        swarm, lambda: 1, tokens, np.arange(swarm.servers), request=request,
        choose_rate=lambda: rate, computing=AsWritten(swarm), flows_of=flows_of,
    )  # fmt: skip
    policy = PLACEMENT.build(ChoiceOf(PLACEMENT).read({"two_resource": {"pace_ms": pace_ms}}))
    found = list(placements_by_pace(swarm, request, tokens, pace_ms))
    event(f"placements: {min(len(found), 4)}, rate {rate}")
    if not found:
        with pytest.raises(InfeasibleError):
            policy.place(problem)
        return
    placed = policy.place(problem)
    carry = [each for each in found if 0.75 * capacity_of(each[2]) >= rate]
    if not carry:
        most = max(capacity_of(each[2]) for each in found)
        carry = [each for each in found if 1.03 * capacity_of(each[2]) >= most]
    least_ms = min(each[1] for each in carry)
    pace_ms, _, placement = min(each for each in carry if each[1] <= 1.03 * least_ms)
    assert placed.details["pace_ms"] == pace_ms
    assert placed.blocks.tolist() == placement.blocks.tolist()
    assert placed.first_block.tolist() == placement.first_block.tolist()
