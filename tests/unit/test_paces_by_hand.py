"""Pages and their pacing by plain loops: who is expected to hold how much until when."""

import math

import numpy as np
import pytest
from simpy import Environment

from bprr.ground.caches import Caches
from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.registry import ADMISSION, CHARGING, ROUTING, SERVICE, Choice
from bprr.ground.request import Request, Route
from bprr.ground.swarm import LanguageModel, Swarm
from bprr.living.churn.base import Change
from bprr.living.replacement.never import Never
from bprr.living.run import Life, simulate_living
from bprr.placement.base import Placement
from bprr.routing.base import RoutingContext
from bprr.scenario.workload import Workload
from bprr.simulation import simulate
from bprr.simulation.admission.back_off import BackOff
from bprr.simulation.charging.paced import BINS, Paced, _bin
from bprr.simulation.charging.pages import Pages

ASKED = Request(0, 4, 30, 8)


def swarm_of(tau_ms=(5.0, 10.0), blocks=4):
    count = len(tau_ms)
    model = LanguageModel(
        name="m", blocks=blocks, d_model=1, block_gb=1.0, cache_bytes_per_value=1.0
    )
    each, rtt = np.ones(count), np.zeros((1, count))
    return Swarm(model, 99 * each, np.array(tau_ms), 0 * each, 0 * each, rtt, rtt)


def placed(first=(1, 3), blocks=(2, 2), cache=(400, 400), **more):
    return Placement(swarm_of(**more), np.array(first), np.array(blocks), np.array(cache))


def paced(**options):
    return Paced(Environment(), Paced.Options(**options))


def test_shipped_options():
    assert Pages.Options().model_dump() == {"tokens": 16}
    assert Paced.Options().model_dump() == {
        "tokens": 16, "deviations": 2.0, "slack": 0.1, "memory": 0.95,
    }  # fmt: skip
    assert BackOff().model_dump() == {"first_ms": 1000.0, "longest_ms": 60_000.0}
    assert BackOff(first_ms=5.0, longest_ms=5.0).first_ms == 5
    with pytest.raises(ValueError, match="at most longest_ms, which is 4"):
        BackOff(first_ms=5.0, longest_ms=4.0)
    kinds = {name: (each.grows, getattr(each, "paces", False)) for name, each in CHARGING.items()}
    assert kinds == {"pages": (True, False), "paced": (True, True), "whole": (False, False)}


@pytest.mark.parametrize(
    "tokens, most, covered",
    [(1, 99, 5), (5, 99, 5), (6, 99, 10), (10, 99, 10), (11, 12, 12), (96, 99, 99), (95, 95, 95)],
)
def test_pages_cover_tokens(tokens, most, covered):
    assert Pages(Environment(), Pages.Options(tokens=5)).covering(tokens, most) == covered


@pytest.mark.parametrize(
    "share, bin_", [(0, 0), (0.999 / 64, 0), (1 / 64, 1), (0.5, 32), (1, 64), (7, 64)]
)
def test_bins_of_a_share(share, bin_):
    assert BINS == 64
    assert _bin(np.array(share)) == bin_


def test_how_far_sessions_go_by_kaplan_and_meier():
    """Of sessions that ended, and that still run: the estimate by plain loops."""
    policy = paced()
    ended, running = (
        [(10, 40), (10, 40), (40, 40), (25, 100), (1, 64)],
        [(0, 30), (20, 40), (39, 40)],
    )
    for made, announced in ended:
        request = Request(0, 4, announced, 8)
        policy.asks(request, 4 + announced, 0)
        policy.ended(request, made, False)
    keep = []
    for made, announced in running:
        request = Request(0, 4 + made, announced - made, 8)
        keep.append(request)
        policy.asks(request, 4 + announced, made)
    cut = Request(0, 4, 40, 8)
    policy.asks(cut, 44, 0)
    policy.ended(cut, 7, True)  # begins again: nothing is learned
    assert len(policy._sessions) == 3
    bins = [min(math.ceil(made / announced * 64), 64) - 1 for made, announced in ended]
    passed = [int(min(made / announced, 1) * 64) for made, announced in running]
    survival = [1.0]
    for b in range(64):
        at_risk = sum(other >= b for other in bins) + sum(other > b for other in passed)
        hazard = 1.0 if b == 63 else bins.count(b) / max(at_risk, 1)
        survival.append(survival[-1] * (1 - hazard))
    assert policy._survival().tolist() == pytest.approx(survival)
    assert 0 < survival[40] < survival[10] < 1


@pytest.mark.parametrize("slack", [0.0, 0.2])
def test_what_sessions_are_expected_to_hold(slack):
    policy = paced(tokens=6, slack=slack)
    for made in (8, 16, 30):
        request = Request(0, 4, 32, 8)
        policy.asks(request, 36, 0)
        policy.ended(request, made, False)
    one, two = Request(0, 5, 30, 8), Request(0, 12, 20, 12)
    policy.asks(one, 35, 0)
    policy.asks(two, 32, 8)
    first, second = policy._sessions.values()
    assert (first.input_tokens, first.announced, first.made) == (5, 30, 0)
    assert (second.input_tokens, second.announced, second.made) == (4, 28, 8)
    first.blocks, first.since_ms, first.pace_ms = {0: 2, 1: 1}, 50.0, 4.0
    second.since_ms = 100.0
    policy._slower = {1: 2.0}
    at_ms = np.array([60.0, 100.0, 150.0, 200.0, 900.0])
    mean, variance = policy._use([first, second], at_ms, 10.0)
    survival = policy._survival()
    late = slack * survival[:-1].mean()
    for i, (each, token_ms) in enumerate(((first, 8.0), (second, 10.0))):
        for k, now_ms in enumerate(at_ms):
            tokens = each.made + max(now_ms - each.since_ms, 0) / token_ms
            now, then = each.made / each.announced, tokens / each.announced - late
            there = (
                survival[int(min(max(now, then), 1) * 64)] / survival[int(min(now, 63 / 64) * 64)]
            )
            held = -(-(each.input_tokens + min(tokens + 1, each.announced)) // 6) * 6
            held = min(held, each.input_tokens + each.announced)
            assert mean[i, k] == pytest.approx(held * there)
            assert variance[i, k] == pytest.approx(held**2 * there * (1 - there))
    assert (mean[:, 0] > 0).all() and mean[0, -1] == 0
    # No time for a token: all of them are there at once.
    first.pace_ms = 0.0
    mean, _ = policy._use([first], np.array([50.0]), 10.0)
    assert mean.tolist() == [[0]]


def test_how_much_slower_servers_are_than_alone():
    """A weight of 0.9 for what was known, for every token once."""
    policy = paced(memory=0.9)
    request = Request(0, 4, 30, 8)
    policy.asks(request, 34, 0)
    session = policy._sessions[id(request)]
    session.blocks, session.since_ms, session.pace_ms = {0: 2, 1: 2}, 100.0, 10.0
    policy.grew(request, 2, 160.0)  # 30 ms a token, three times as long
    expected = 0.81 + 0.19 * 3
    assert policy._slower == pytest.approx({0: expected, 1: expected})
    assert (session.made, session.since_ms) == (2, 160.0)
    assert policy._slowdown([5]) == 1 and policy._slowdown(np.array([5, 1])) == pytest.approx(
        expected
    )
    for made, now_ms in ((2, 200.0), (3, 200.0)):  # no token, or in no time: nothing is learned
        policy.grew(request, made, now_ms)
        assert policy._slower == pytest.approx({0: expected, 1: expected})
    session.pace_ms = 0.0
    policy.grew(request, 4, 230.0)
    assert policy._slower == pytest.approx({0: expected, 1: expected})
    session.pace_ms = 20.0
    policy.grew(request, 5, 240.0)  # twice as fast as alone
    assert policy._slower[0] == pytest.approx(0.9 * expected + 0.1 * 0.5)


def test_who_may_start_beside_others():
    """Alone always; beside somebody while both fit at every instant of the stay."""
    service = SERVICE.build("serial", swarm_of(), 0.0)
    route = Route(np.array([0, 1]), np.array([2, 2]), 0.0)

    def starts(capacity, deviations=0.0, there=True, other=0):
        policy, caches = (
            paced(tokens=1, deviations=deviations, slack=0.0),
            Caches(np.array(capacity)),
        )
        one, two = Request(0, 4, 30, 8), Request(0, 6, 10, 8)
        policy.asks(one, 34, 0)
        assert policy.starts(caches, one, route, service, 0.0)
        session = policy._sessions[id(one)]
        assert (session.since_ms, session.pace_ms) == (0, 30)  # 2 · 5 + 2 · 10 ms a token
        if there:
            session.blocks = {other: 2}
        policy.asks(two, 16, 0)
        return policy.starts(caches, two, route, service, 60.0)

    # It stays for ten tokens, 300 ms, in which it comes to 16 tokens, and the first one to 4 + 13.
    assert starts([66, 32])
    assert not starts([65, 32])
    assert not starts([66, 31])
    assert starts([32, 66], other=1)
    assert starts([66, 32], deviations=9.0)  # where nobody has ended early nothing deviates
    assert starts([1, 1], there=False)


def test_gaps_and_waits_of_shipped_admission():
    """One place, held for 2.5 s: attempts at 0, 0, 1 and 3 s; afterwards the gaps begin anew."""
    where = placed((1,), (4,), (40,), tau_ms=(25.0,))
    where = Placement(
        Swarm(*(getattr(where.swarm, name) for name in (
            "model", "memory_gb", "tau_ms", "prefill_ms", "prefill_ms_per_token", "token_rtt_ms",
            "prompt_rtt_ms")), raw_rtt_ms=np.zeros((1, 1)), server_rtt_ms=np.zeros((1, 1))),
        where.first_block, where.blocks, where.cache_tokens,
    )  # fmt: skip
    records = simulate(
        where, Workload(np.array([0.0, 0.0]), 0, 1, 26, 10), "petals_shipped", admission="shipped"
    )
    assert records.wait_ms.tolist() == [0, 3000]
    assert records.attempts.tolist() == [1, 4]
    assert records.raw_wait_ms.tolist() == [0, 0]
    with pytest.raises(InfeasibleError) as error:
        simulate(where, Workload(np.zeros(1), 0, 1, 2, 11), "petals_shipped", admission="shipped")
    assert str(error.value) == (
        "infeasible: not enough attention cache: 4 of 44 tokens of one block missing "
        "(server 0, where routing sends a request longer than its cache)"
    )
    with pytest.raises(InputError) as error:
        simulate(where, Workload(np.zeros(1), 0, 1, 2, 10), "exact", admission="shipped")
    assert str(error.value) == (
        "admission: shipped: got 'exact'; allowed: routing petals_shipped with it"
    )


def test_requests_that_wait_for_ever_are_counted():
    where, many = placed((1,), (4,), (40,), tau_ms=(25.0,)), Workload(np.zeros(3), 0, 1, 11, 10)
    life = Life(iter([Change(50.0, 0, False)]), Never(), 0.0)
    gaps = ADMISSION["retry"].Options(first_ms=10.0, longest_ms=10.0)
    with pytest.raises(InfeasibleError) as error:
        simulate_living(where, many, "ws_rr", life, admission=Choice("retry", gaps))
    assert str(error.value) == (
        "infeasible: not enough servers: a host of every block missing (the others do not join)"
    )
    back = [Change(50.0, 0, False), Change(150.0, 0, True)]
    told = []
    life = Life(iter(back), Never(), 0.01)
    records = simulate_living(
        where, many, "ws_rr", life, admission="central_queue", progress=told.append
    )
    # It is back from 150 + 40 ms on: one after the other, a token each 100 ms; the one that was cut
    # behind the others, with its first token.
    assert records.completion_ms.tolist() == [190 + 2000 + 900, 190 + 1000, 190 + 2000]
    assert told == [1, 1, 1]
    assert records.outages == [(0, 50.0, 190.0)]
    assert records.cuts.tolist() == [1, 0, 0]
    assert records.attempts.tolist()[0] == 3


def test_the_fastest_way_while_nothing_is_known_of_a_change():
    where = placed((1, 1), (4, 4), (40, 40), tau_ms=(25.0, 50.0))
    context = RoutingContext(where, Caches(where.cache_tokens))
    router = ROUTING.build("exact", context)
    assert router.route(ASKED, 0.0).servers.tolist() == [0]
    # Both for one session: the slow one at once, or the fast one when it is free.
    for end_ms, chosen in ((2_000.0, 0), (3_200.0, 1)):
        caches = Caches(where.cache_tokens)
        caches.hold(np.array([0]), np.array([40]), end_ms, 0.0)
        router = ROUTING.build("exact", RoutingContext(where, caches))
        route = router.route(ASKED, 0.0)
        assert route.servers.tolist() == [chosen]
        assert route.cost_ms == (end_ms + 2900 if chosen == 0 else 5800)
