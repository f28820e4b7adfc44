"""Invariants of a swarm whose servers fail, join and are given other blocks."""

from dataclasses import fields, replace

import numpy as np
from hypothesis import event, given
from hypothesis import strategies as st
from swarms import placements, workloads

from bprr.ground.errors import InfeasibleError
from bprr.ground.registry import Choice
from bprr.ground.swarm import IntArray
from bprr.living.churn.base import Change
from bprr.living.churn.exponential import Exponential
from bprr.living.replacement.never import Never
from bprr.living.replacement.periodic import Periodic
from bprr.living.run import Life, simulate_living
from bprr.placement.base import Placement
from bprr.routing.base import RouterAround
from bprr.simulation import Records, simulate
from bprr.simulation.admission.central_queue import CentralQueue
from bprr.simulation.admission.retry import Retry

CLOCK_MS = 1e-5  # instants of the clock closer than this are the same
ROUTINGS = ("ws_rr", "petals", "exact", "two_resource")
RETRY = Choice("retry", Retry.Options(first_ms=100.0, longest_ms=800.0))
QUEUE = Choice("central_queue", CentralQueue.Options())


class Turn:
    """Planner that passes every server's blocks on to the next one that is up, some times."""

    def __init__(self):
        self.left = 4

    def place(self, placement: Placement, servers: IntArray, rate_per_s: float) -> Placement:
        self.left -= 1
        if self.left < 0:
            return placement
        columns = {}
        for name in ("first_block", "blocks", "cache_tokens"):
            columns[name] = getattr(placement, name).copy()
            columns[name][servers] = np.roll(columns[name][servers], 1)
        return replace(placement, **columns)

    def per_token_ms(self, placement, servers, rate_per_s):
        return 1.0


@st.composite
def runs(draw):
    placement = draw(placements(covering=True))
    workload = draw(workloads(placement.swarm.clients))
    routing = draw(st.sampled_from(ROUTINGS))
    queues = [RETRY, QUEUE] if routing == "two_resource" else [RETRY, QUEUE, "reserve"]
    return placement, workload, routing, draw(st.sampled_from(queues))


def lives():
    """Mean times, seed, period, and what it takes to load."""
    means = st.sampled_from([0.5, 2.0, 10.0])
    periods = st.sampled_from([None, None, 1.0, 3.0])
    return st.tuples(means, means, st.integers(0, 999), periods, st.sampled_from([0.0, 0.02, 0.3]))


def life_of(placement, drawn, last_s=10.0):
    """Servers come and go for a while, and all of them come back."""
    up_s, down_s, seed, every_s, seconds_per_gb = drawn
    servers, churn = (
        placement.swarm.servers,
        Exponential.Options(mean_up_s=up_s, mean_down_s=down_s),
    )
    changes, away = [], set()
    for change in Exponential(churn).changes(servers, np.random.default_rng(seed)):
        if change.time_ms > 1000 * last_s:
            break
        (away.discard if change.joins else away.add)(change.server)
        changes.append(change)
    changes += [Change(1000 * last_s, server, True) for server in sorted(away)]
    every = Never()
    if every_s is not None:
        every = Periodic(Periodic.Options(every_s=every_s, hysteresis=None))
    return Life(iter(changes), every, seconds_per_gb, Turn())


class Looks(RouterAround):
    """Asserts that servers which serve nobody hold nothing, whenever a request asks."""

    def route(self, request, now_ms):
        away = ~self._router._swarm.serving
        caches = self._router._router.context.caches
        assert (caches.held_now(now_ms)[away] == 0).all()
        return self._router.route(request, now_ms)


def served(run, life, **more):
    placement, workload, routing, admission = run
    try:
        return simulate_living(placement, workload, routing, life, admission=admission, **more)
    except InfeasibleError:
        return None  # PETALS may lead to a server too small for a long request


def content(records):
    """All that the records of a plain simulation hold."""
    names = [each.name for each in fields(Records) if each.name != "workload"]
    return {name: np.asarray(getattr(records, name)).tolist() for name in names}


@given(run=runs(), beyond=st.booleans())
def test_a_swarm_that_never_changes_is_the_plain_simulation(run, beyond):
    placement, workload, routing, admission = run
    replacement = Periodic(Periodic.Options(every_s=1e9, hysteresis=None)) if beyond else Never()
    living = served(run, Life(iter(()), replacement, 1.0, Turn()))
    try:
        plain = simulate(placement, workload, routing, admission=admission, engine="simpy")
    except InfeasibleError:
        assert living is None
        return
    assert content(living) == content(plain)
    assert content(living.served)["chain_server"] and not living.cuts.any()
    assert not living.replacements and not living.prefilled_again.any()


@given(run=runs(), drawn=lives())
def test_every_token_is_made_once_on_a_whole_chain(run, drawn):
    records = served(run, life_of(run[0], drawn), watch=Looks)
    if records is None:
        return
    blocks, workload = run[0].swarm.model.blocks, run[1]
    event(f"cut: {bool(records.cuts.any())}, moved: {bool(records.replacements)}, {run[2]}")
    made, cuts = np.zeros((2, len(workload)), dtype=np.int64)
    last = np.zeros(len(workload))
    for part in sorted(records.parts, key=lambda part: part.start_ms):
        assert part.input_tokens == workload.input_tokens[part.request] + made[part.request]
        assert part.start_ms >= max(last[part.request], workload.arrival_ms[part.request])
        assert part.processed.sum() == blocks
        assert part.output_tokens >= 0 and part.end_ms >= part.start_ms
        made[part.request] += part.output_tokens
        cuts[part.request] += part.cut
        assert part.cut == (made[part.request] < workload.output_tokens[part.request])
        last[part.request] = part.end_ms
    assert made.tolist() == workload.output_tokens.tolist()
    assert cuts.tolist() == records.cuts.tolist()
    np.testing.assert_allclose(records.end_ms, last, rtol=0, atol=CLOCK_MS)
    assert (records.ttft_ms <= records.completion_ms + CLOCK_MS).all()
    assert (records.ttft_ms >= records.wait_ms).all()


@given(run=runs(), drawn=lives())
def test_nobody_is_served_by_a_server_that_is_away_or_loads(run, drawn):
    records = served(run, life_of(run[0], drawn))
    if records is None:
        return
    event(f"outages while sessions run: {len(records.outages) > 0}")
    for outage in records.outages:
        for part in records.parts:
            if outage.server in part.servers:
                apart = part.end_ms <= outage.from_ms + CLOCK_MS
                assert apart or part.start_ms >= outage.to_ms - CLOCK_MS


@given(run=runs(), drawn=lives())
def test_sessions_fit_at_every_instant(run, drawn):
    placement, workload, routing, _ = run
    drawn = (*drawn[:3], None, drawn[4])  # blocks stay, and so do the sizes of caches
    records = served((placement, workload, routing, RETRY), life_of(placement, drawn))
    if records is None:
        return
    changes = {}
    for part in records.parts:
        units = part.processed * workload.cache_tokens[part.request]
        for server, held in zip(part.servers.tolist(), units.tolist(), strict=True):
            changes.setdefault(server, []).append((part.start_ms + CLOCK_MS, held))
            changes[server].append((part.end_ms, -held))
    for server, own in changes.items():
        assert np.cumsum([held for _, held in sorted(own)]).max() <= placement.cache_tokens[server]


@given(run=runs(), drawn=lives())
def test_the_same_changes_give_the_same_records(run, drawn):
    first, second = (served(run, life_of(run[0], drawn)) for _ in range(2))
    if first is not None:
        assert content(first) == content(second)
        assert first.outages == second.outages
