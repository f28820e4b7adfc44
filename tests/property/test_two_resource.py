"""2R's routing against all chains, while sessions come and go."""

import math

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from naive import chain_cost, chains
from swarms import placements, requests

from bprr.ground.caches import Caches
from bprr.ground.errors import InfeasibleError
from bprr.ground.registry import ROUTING, ChoiceOf
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


@pytest.mark.parametrize("most_load", [0.4, 1.3])
@given(data=st.data())
def test_a_session_takes_the_best_chain_that_bears_it(most_load, data):
    placement = data.draw(placements(covering=True))
    share = data.draw(st.sampled_from([0.0, 0.25, 1.0]))
    given_as = {"two_resource": {"share": share, "most_load": most_load}}
    context = RoutingContext(placement, Caches(placement.cache_tokens))
    router = ROUTING.build(ChoiceOf(ROUTING).read(given_as), context)
    naive, held = Naive(placement, share, most_load), {}
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
