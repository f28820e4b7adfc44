"""L1 and L2 by hand: chains, prices, and what a session costs at least under prices."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from bprr.ground.registry import SERVICE, ChoiceOf
from bprr.ground.request import Request
from bprr.ground.swarm import LanguageModel, Swarm
from bprr.scenario.draw import draw
from bprr.scenario.scenario import load_scenario
from bprr.study import waiting_bound as module
from bprr.study.bounds import _Chains, fluid_bound, least_time_ms
from bprr.study.waiting_bound import _Hull, waiting_bound_ms

KEPT_MS = [57684.75490794533, 95202.69253042463, 173880.979568008]
KEPT_HULL = [11, 5754.158895304688, 4806.218391720353]
KEPT_PRICES = [0.09751500920546546, 46.366140820436314, 49.311573051149324]


def served(swarm, choice="serial", delay_ms=7.0):
    return SERVICE.build(ChoiceOf(SERVICE).read(choice), swarm, delay_ms)


def one_block(tau_ms, rtt_ms, memory_gb=None, cache_bytes=0.5):
    """Servers for a model of one block of 1 GB."""
    count = len(tau_ms)
    model = LanguageModel(name="x", blocks=1, d_model=1, block_gb=1.0,
                          cache_bytes_per_value=cache_bytes)  # fmt: skip
    none = np.zeros(count)
    rtt_ms, tau_ms = np.array(rtt_ms, dtype=float), np.array(tau_ms, dtype=float)
    memory_gb = none + 9 if memory_gb is None else memory_gb
    return Swarm(model, memory_gb, tau_ms, none, none, rtt_ms, rtt_ms)


def test_what_chains_are_made_of(small_swarm):
    """Blocks beside a session of 30 tokens (.3 GB each); the nearer of two clients counts."""
    request = Request(0, 8, 21, 30)
    curve = {"batched": {"curve": [(1, 1), (16, 4), (17, 40)]}}
    chains = _Chains.of(small_swarm, request, served(small_swarm, curve))
    assert chains.most.tolist() == [4, 3, 1] and chains.blocks == 4
    hop_ms = [50 + 0.25 * 8 + 20 * 40, 20 + 0.25 * 8 + 20 * 10, 30 + 0.25 * 8 + 20 * 20]
    assert chains.hop_ms == pytest.approx(hop_ms)
    prompt_ms = np.array([10 + 0.5 * 8, 20 + 8, 30 + 2.0 * 8])
    token_ms = 20 * small_swarm.tau_ms
    assert chains.block_ms == pytest.approx(prompt_ms + token_ms)
    # Beside one block 500, 400 and 100 tokens fit: 16, 13 and 3 sessions, and each more than the
    # first one makes a step longer by a fifth.
    share = [4 / 16, 3.4 / 13, 1.4 / 3]
    assert chains.work_ms == pytest.approx(prompt_ms + token_ms * share)
    held = np.array([3, 0, 1])
    expected = hop_ms[0] + hop_ms[2] + 3 * chains.block_ms[0] + chains.block_ms[2]
    assert chains.time_ms(held) == pytest.approx(expected)
    found, cost_ms = chains.cheapest(np.array([0.0, 2.0, 0.0]))
    costs = {}
    for each in itertools.product(range(5), range(4), range(2)):
        if sum(each) == 4:
            priced = each[1] * 2 * chains.work_ms[1]
            costs[each] = chains.time_ms(np.array(each)) + priced
    assert cost_ms == pytest.approx(min(costs.values()))
    assert costs[tuple(found.tolist())] == pytest.approx(cost_ms)


def test_a_server_without_room_for_a_session_has_one_slot_all_the_same(small_swarm):
    request = Request(0, 8, 21, 500)
    chains = _Chains.of(small_swarm, request, served(small_swarm, "batched"))
    assert chains.most.tolist() == [1, 0, 0]
    prompt_ms = np.array([10 + 0.5 * 8, 20 + 8, 30 + 2.0 * 8])
    assert chains.work_ms == pytest.approx(prompt_ms + 20 * small_swarm.tau_ms)


@pytest.mark.parametrize("rate_per_s", [0.5, 4.0, 5.0, 6.0, 9.5])
def test_a_fast_server_and_a_slow_one_share_the_rate_by_hand(rate_per_s):
    """Ten tokens of 20 ms here and of 20 at 100 ms there: 5 sessions a second each, at the most."""
    swarm = one_block([20.0, 20.0], [[0.0, 80.0]])
    bound = fluid_bound(swarm, Request(0, 0, 11, 1), served(swarm), rate_per_s)
    fast_ms, slow_ms = 200.0, 200.0 + 11 * 80
    share = min(5 / rate_per_s, 1.0)
    assert bound.mean_ms == pytest.approx(7 + share * fast_ms + (1 - share) * slow_ms, rel=2e-4)
    price = (slow_ms - fast_ms) / 200 if rate_per_s > 5 else 0.0
    if rate_per_s != 5:
        assert bound.prices == pytest.approx([price, 0.0])


def test_more_than_all_servers_carry_is_infinite():
    swarm = one_block([20.0, 20.0], [[0.0, 80.0]])
    request = Request(0, 0, 11, 1)
    assert np.isfinite(fluid_bound(swarm, request, served(swarm), 10.0).mean_ms)
    assert np.isinf(fluid_bound(swarm, request, served(swarm), 10.001).mean_ms)
    # Without queues there is nothing to share, and nobody carries nothing.
    for service, rate_per_s in (("independent", 99.0), ("serial", 0.0), ("serial", -1.0)):
        bound = fluid_bound(swarm, request, served(swarm, service), rate_per_s)
        assert (bound.mean_ms, bound.prices.tolist()) == (207.0, [0.0, 0.0])
        assert least_time_ms(swarm, request, served(swarm, service)) == 207.0


def test_a_model_that_fits_nowhere_takes_forever():
    swarm, request = one_block([20.0], [[0.0]], memory_gb=np.array([0.9])), Request(0, 0, 11, 1)
    for service in ("serial", "independent"):
        bound = fluid_bound(swarm, request, served(swarm, service), 1.0)
        assert (bound.mean_ms, bound.prices.tolist()) == (np.inf, [0.0])
        assert least_time_ms(swarm, request, served(swarm, service)) == np.inf


def test_bounds_of_a_drawn_swarm_are_kept(published):
    """What this code found: the search ends within 1e-4, and where it ends is told."""
    overrides = {"network.name": "bellcanada", "workload.rate_per_s": 0.1}
    drawn = draw(load_scenario("scattered", overrides), published, 2025, 0)
    serial = served(drawn.swarm, "serial", 70.0)
    found = [fluid_bound(drawn.swarm, drawn.design_request, serial, r) for r in (0.1, 0.15, 0.2)]
    assert [bound.mean_ms for bound in found] == pytest.approx(KEPT_MS, rel=1e-9)
    assert [bound.prices.sum() for bound in found] == pytest.approx(KEPT_PRICES, rel=1e-6)


# --- L2 -------------------------------------------------------------------------------------------


def all_chains(most, blocks):
    ranges = (range(min(each, blocks) + 1) for each in most)
    return [np.array(each) for each in itertools.product(*ranges) if sum(each) == blocks]


def test_a_hull_lies_just_below_all_chains():
    """Whatever the weights of time and price, by all chains of small swarms."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        servers, blocks = int(rng.integers(2, 5)), int(rng.integers(2, 6))
        hop_ms, block_ms = rng.integers(0, 50, servers) * 1.0, rng.integers(1, 30, servers) * 1.0
        priced_ms = rng.integers(0, 30, servers) * 1.0 * rng.choice([0.01, 1, 100])
        most = rng.integers(2, blocks + 1, servers)
        chains = all_chains(most, blocks)
        if not chains:
            continue
        times = np.array([hop_ms[k > 0].sum() + (k * block_ms).sum() for k in chains])
        prices = np.array([(k * priced_ms).sum() for k in chains])
        hull = _Hull.of(hop_ms, block_ms, priced_ms, most, blocks)
        assert (np.diff(hull.time_ms) > -1e-6).all()
        for ratio in (0.0, *np.geomspace(1e-5, 1e5, 41)):
            least = (times + ratio * prices).min()
            found = (hull.time_ms + ratio * hull.price_ms).min()
            assert found <= least
            assert found >= least * (1 - 1.1e-3) or ratio > 1e3 or ratio < 1e-3
        assert hull.price_ms[-1] == pytest.approx((1 - 1e-6) * prices.min())
        assert hull.time_ms[0] == pytest.approx((1 - 1e-6) * times.min(), rel=2e-3)


def test_the_hull_of_a_single_chain_is_that_chain():
    one = np.array([3])
    hull = _Hull.of(np.array([5.0]), np.array([2.0]), np.array([0.5]), one, 3)
    assert hull.time_ms == pytest.approx([11.0 * (1 - 1e-6)], rel=1e-9)
    assert hull.price_ms == pytest.approx([1.5 * (1 - 1e-6)], rel=1e-9)
    free = _Hull.of(np.array([0.0]), np.array([0.0]), np.array([0.5]), one, 3)
    assert set(free.time_ms) == {1e-9}  # nothing is divided by zero
    idle = _Hull.of(np.array([5.0]), np.array([2.0]), np.array([0.0]), one, 3)
    assert idle.price_ms.tolist() == [0.0]


def test_neighbours_weigh_less_the_farther_they_are():
    values = np.zeros(9)
    values[4] = 9.0
    assert module._smoothed(values, 1).tolist() == values.tolist()
    assert module._smoothed(values, 3) == pytest.approx([0, 0, 1, 2, 3, 2, 1, 0, 0])


HULLS = [
    (np.array([4.0, 7.0]), np.array([3.0, 1.0])),
    (np.array([10.0]), np.array([2.0])),
]


def least_by_scan(tokens, prompt, passes, arrival_ms, theta, window_ms):
    """Least over ends of the best bound that any worth of a pass proves."""
    first, found = int(arrival_ms // window_ms), []
    for end in range(first, theta.size):
        spans = [min((w + 1) * window_ms - arrival_ms, window_ms) for w in range(first, end + 1)]
        if ((end + 1) * window_ms - arrival_ms) / tokens.time_ms[0] < passes:
            continue
        beta = np.linspace(0, 400, 8_001)[:, np.newaxis]
        value, alpha = beta[:, 0] * passes + max(end * window_ms - arrival_ms, 0.0), np.inf
        for w, span in zip(range(first, end + 1), spans, strict=True):
            own = float(w == end)
            worth = ((beta - theta[w] * tokens.price_ms) / tokens.time_ms).max(axis=1)
            worth = np.maximum(worth, own)
            value -= (worth - own) * span
            costs = worth[:, np.newaxis] * prompt.time_ms + theta[w] * prompt.price_ms
            alpha = np.minimum(alpha, costs.min(axis=1))
        found.append((value + alpha).max())
    return min(found)


# Passes, arrival and prices of windows; the least that this code found, and what is used there.
SCHEDULES = [
    (4.0, 0.0, [0.0] * 6, 25.99609375, [9.5, 4.5]),
    (4.0, 3.0, [2, 1, 0, 3, 0, 0], 33.00094795227051, [1, 24 / 7, 33 / 7]),
    (9.0, 25.0, [9, 0.5, 1, 4, 0.25, 0, 2, 0, 0, 1], 64.15978513445174,
     [19 / 7, 0, 7.5, 7.5, 10 / 7, 39 / 7]),
    (3.0, 20.0, [5.0] * 8, 55.992338997977114, [24 / 7, 10 / 7, 1 / 7]),
    (30.0, 11.0, [0, 3, 1, 2] * 9, 218.52716936383928,
     [9 / 7, 9.5, *[10 / 7, 7.5] * 6, 10 / 7, 51 / 14]),
]  # fmt: skip


@pytest.mark.parametrize(("passes", "arrival_ms", "theta", "kept_ms", "work_ms"), SCHEDULES)
def test_the_cheapest_schedule_of_a_session(passes, arrival_ms, theta, kept_ms, work_ms):
    """At most what the best worth of a pass proves, by a scan; and what this code found."""
    tokens, prompt = (_Hull(*hull) for hull in HULLS)
    theta, used = np.array(theta, dtype=float), np.zeros(len(theta))
    found = module._cheapest(tokens, prompt, passes, arrival_ms, theta, 10.0, used)
    expected = least_by_scan(tokens, prompt, passes, arrival_ms, theta, 10.0)
    assert 0.9 * expected <= found <= expected * (1 + 1e-3)
    assert found == pytest.approx(kept_ms, rel=1e-9)
    first = int(arrival_ms // 10)
    assert used[:first].tolist() == [0] * first
    assert np.trim_zeros(used) == pytest.approx(work_ms, abs=1e-9)


def test_sessions_add_up_from_nothing():
    tokens, prompt = (_Hull(*hull) for hull in HULLS)
    theta, used, both = np.array([2.0, 1.0, 0.0, 3.0, 0.0, 0.0]), np.zeros(6), np.full(6, 9.0)
    alone = [module._cheapest(tokens, prompt, 4.0, a, theta, 10.0, used) for a in (0.0, 3.0)]
    at = np.array([0.0, 3.0])
    total = module._all_cheapest(tokens, prompt, 4.0, at, theta, 10.0, both)
    assert total == pytest.approx(sum(alone))
    assert both == pytest.approx(used)


def test_a_session_alone_by_hand():
    """One block on a server 30 ms away, 20 ms a token: eleven tokens take 530 ms, and 7 before.

    Prompt and tokens may share a window: what is left of its time is the difference.
    """
    swarm = one_block([20.0], [[30.0]])
    request = Request(0, 0, 11, 1)
    alone_ms = least_time_ms(swarm, request, served(swarm))
    assert alone_ms == 7 + 10 * 50 + 30
    for arrivals in ([0.0], [123.0], [0.0, 1e5, 3e5]):
        bound = waiting_bound_ms(swarm, request, served(swarm), np.array(arrivals), 50.0, 0)
        assert bound == 7.0  # no step, no proof beyond the delay
        bound = waiting_bound_ms(swarm, request, served(swarm), np.array(arrivals), 1e4, 60)
        assert 0.9 * alone_ms < bound <= alone_ms


def test_sessions_that_come_at_once_wait_for_each_other():
    """Five of ten at the near server, done after 200 k ms; five share the far one, 1,080 ms each.

    Where the far server serves them by turns, the last of them is done 80 ms later.
    """
    swarm = one_block([20.0, 20.0], [[0.0, 80.0]])
    bound = waiting_bound_ms(swarm, Request(0, 0, 11, 1), served(swarm), np.zeros(10), 100.0, 60)
    near_ms, far_ms = [200 * k for k in range(1, 6)], [1080 + 20 * k for k in range(5)]
    assert 2.5 * 207 < bound <= 7 + np.mean(near_ms + far_ms)


def test_shares_of_prices_by_what_a_swarm_carries(monkeypatch, small_swarm):
    """Computing is priced as at .95 of the rate that no placement exceeds."""
    asked, own = [], module.fluid_bound

    def noted(swarm, request, service, rate_per_s):
        asked.append(rate_per_s)
        return own(swarm, request, service, rate_per_s)

    monkeypatch.setattr(module, "fluid_bound", noted)
    request = Request(0, 8, 21, 30)
    most = module.capacity_of_any_placement(small_swarm, request)
    waiting_bound_ms(small_swarm, request, served(small_swarm), np.zeros(2), 1000.0, 1)
    assert asked == pytest.approx([0.95 * most])


def test_prices_of_the_first_step(monkeypatch, small_swarm):
    """From the load of the arrivals, to its fourth power, in windows in which any come."""
    request = Request(0, 8, 21, 30)
    most = module.capacity_of_any_placement(small_swarm, request)
    seen = []

    def cheapest(tokens, prompt, passes, begin_ms, theta, window_ms, used):
        seen.append(SimpleNamespace(passes=passes, begin=begin_ms.copy(), theta=theta.copy()))
        used[:] = 0.0
        return 0.0

    monkeypatch.setattr(module, "_all_cheapest", cheapest)
    half = 0.5 * 0.95 * most  # three sessions over the span of two gaps
    arrivals = np.array([0.0, 500.0, 3000 / half])
    waiting_bound_ms(small_swarm, request, served(small_swarm), arrivals, 1000.0, 2)
    first, second = seen
    assert first.passes == 20.0 and first.begin.tolist() == (arrivals + 7).tolist()
    busy = int(first.begin[-1] // 1000) + 1
    assert first.theta.size == int((first.begin[-1] + 3_600_000) // 1000) + 2
    assert first.theta[:busy] == pytest.approx([0.5**4] * busy)
    assert not first.theta[busy:].any()
    # Nothing was used: prices fall by half a step, but not below zero.
    assert not second.theta.any()
    del seen[:]
    waiting_bound_ms(small_swarm, request, served(small_swarm), np.zeros(4), 1000.0, 1)
    assert seen[0].theta[:2].tolist() == [1.0, 0.0]
    del seen[:]
    waiting_bound_ms(small_swarm, request, served(small_swarm), np.zeros(4))
    assert len(seen) == 150 and seen[0].theta.size == 362  # windows of 10 s


def test_prices_step_by_step(monkeypatch, small_swarm):
    """All windows are used half, but one that is used twice over; steps are .5 / (1 + n / 15)."""
    request, seen = Request(0, 8, 21, 30), []
    most = module.capacity_of_any_placement(small_swarm, request)
    prices = module.fluid_bound(small_swarm, request, served(small_swarm), 0.95 * most).prices
    worth = 10_000.0 * prices.sum()
    assert worth > 0

    def cheapest(tokens, prompt, passes, begin_ms, theta, window_ms, used):
        seen.append(theta.copy())
        used[:] = 1.5 * worth
        used[100] = 3 * worth
        return 4 * (10.0 + worth * theta.sum()) * (len(seen) != 2)

    monkeypatch.setattr(module, "_all_cheapest", cheapest)
    bound = waiting_bound_ms(small_swarm, request, served(small_swarm), np.zeros(4), 10_000.0, 3)
    excess = np.full(seen[0].size, 0.5)
    excess[100] = 2.0
    direction = np.zeros(excess.size)
    for width in (1, 8, 32):
        weights = np.convolve(np.ones(width), np.ones(width))
        direction += np.convolve(excess, weights / weights.sum(), mode="same") / 3
    for step in (0, 1):
        expected = seen[step] + 0.5 / (1 + step / 15) * direction
        assert seen[step + 1] == pytest.approx(expected)
    # What all pay, less what the windows are worth, over four sessions: best in the last step.
    proven = [10 + worth * theta.sum() * (1 - 1 / 4) for theta in (seen[0], seen[2])]
    assert bound == pytest.approx(7 + max(proven))


def test_a_hull_of_many_chains_is_kept():
    """What this code found: any other chords are another search."""
    rng = np.random.default_rng(11)
    hop_ms, block_ms, priced_ms = rng.uniform(1, 50, (3, 9))
    hull = _Hull.of(hop_ms, block_ms, priced_ms, rng.integers(1, 9, 9), 20)
    found = [hull.time_ms.size, hull.time_ms.sum(), hull.price_ms.sum()]
    assert found == pytest.approx(KEPT_HULL, rel=1e-9)


def test_servers_that_differ_in_nothing_have_prices_all_the_same():
    """Where no server is better than another nobody pays for one; but sessions wait."""
    request = Request(0, 0, 11, 1)
    for count in (1, 2):
        swarm = one_block([20.0] * count, [[0.0] * count])
        alone_ms = 7 + 200
        for arrivals in ([0.0], [0.0, 1e5]):
            bound = waiting_bound_ms(swarm, request, served(swarm), np.array(arrivals), 50.0, 9)
            assert 0.9 * alone_ms < bound <= alone_ms
        # Of ten at once the k-th is done after 200 k ms, or each two of them.
        bound = waiting_bound_ms(swarm, request, served(swarm), np.zeros(10), 100.0, 100)
        mean_ms = 7 + np.mean([200 * (1 + k // count) for k in range(10)])
        assert 1.5 * alone_ms < bound <= mean_ms
