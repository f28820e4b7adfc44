"""L2: a lower bound on the mean time of given arrivals that sees waiting (docs/method.md#bounds).

Time is cut into windows, and computing has a price in each of them. A session alone then pays, in
time and prices, what its cheapest schedule costs: a linear programme over windows, bounded below by
its dual. All sessions together pay no more than the servers' time in each window is worth.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bprr.ground.chains import best_chain_ms
from bprr.ground.compiled import compiled
from bprr.ground.performance import conservative_blocks
from bprr.ground.request import Request
from bprr.ground.swarm import FloatArray, Swarm
from bprr.service.base import ServicePolicy
from bprr.study.bounds import fluid_bound
from bprr.study.capacity import capacity_of_any_placement

__all__ = ["waiting_bound_ms"]

WINDOW_MS = 5_000.0
STEPS, FIRST_STEP, SLOWING = 150, 0.5, 15.0  # of the subgradients
HALVINGS = 14
LONGEST_MS = 3_600_000.0  # that a session alone may take
LIGHT = 4  # power of the load in the first prices
PRICED_AT = 0.95  # of the rate that no placement exceeds, where computing surely has a price
RATIOS = np.concatenate(
    [[0.0], np.geomspace(1e-3, 1e3, 49)]
)  # of prices, at which chains are found


class _Hull(NamedTuple):
    """Cheapest passes: none takes less than min over i of μ·time + θ·price, for any μ and θ."""

    time_ms: FloatArray
    price_ms: FloatArray

    @classmethod
    def of(cls, hop_ms, block_ms, priced_ms, most, blocks) -> _Hull:  # type: ignore[no-untyped-def]
        """Chords of the least μ·time + θ·price over all chains, which is concave in θ/μ."""
        costs = np.array(
            [best_chain_ms(most, hop_ms, block_ms + r * priced_ms, blocks)[1] for r in RATIOS]
        )
        _, least_ms = best_chain_ms(most, 0 * hop_ms, priced_ms, blocks)
        price_ms = np.append(np.diff(costs) / np.diff(RATIOS), least_ms)
        time_ms = costs - price_ms * RATIOS
        return cls(np.maximum(time_ms, 1e-9), np.maximum(price_ms, 0.0))


@compiled(inline="always")
def _cost(hull, mu, theta):  # type: ignore[no-untyped-def]
    least = np.inf
    for i in range(hull.time_ms.shape[0]):
        least = min(least, mu * hull.time_ms[i] + theta * hull.price_ms[i])
    return least


@compiled
def _filled(hull, beta, theta, own):  # type: ignore[no-untyped-def]
    """What a window's time is worth, beyond its own price, where a pass is worth beta; and how."""
    mu, at = own, -1
    for i in range(hull.time_ms.shape[0]):
        worth = (beta - theta * hull.price_ms[i]) / hull.time_ms[i]
        if worth > mu:
            mu, at = worth, i
    return mu - own, at


@compiled(inline="always")
def _length(w, arrival_ms, window_ms):  # type: ignore[no-untyped-def]
    return min((w + 1) * window_ms - arrival_ms, window_ms)


@compiled
def _passes(tokens, beta, arrival_ms, first, end, theta, window_ms):  # type: ignore[no-untyped-def]
    """Passes until the end of a window, whose time costs as much as it lasts, worth beta each."""
    held = 0.0
    for w in range(first, end + 1):
        _, at = _filled(tokens, beta, theta[w], 1.0 if w == end else 0.0)
        if at >= 0:
            held += _length(w, arrival_ms, window_ms) / tokens.time_ms[at]
    return held


@compiled
def _cheapest(tokens, prompt, passes, arrival_ms, theta, window_ms, used):  # type: ignore[no-untyped-def]
    """Least time and price of a session alone; adds the priced work of such a schedule to used."""
    first = int(arrival_ms // window_ms)
    best, last, chosen = np.inf, first, 0.0
    fastest_ms = tokens.time_ms[0]
    for end in range(first, theta.shape[0]):
        waited_ms = max(end * window_ms - arrival_ms, 0.0)
        if waited_ms >= best:
            break
        if ((end + 1) * window_ms - arrival_ms) / fastest_ms < passes:
            continue
        low, high = 0.0, 4.0 * fastest_ms
        while _passes(tokens, high, arrival_ms, first, end, theta, window_ms) < passes:
            low, high = high, 2.0 * high
            if high > 1e7:
                break
        for _ in range(HALVINGS):
            beta = (low + high) / 2
            if _passes(tokens, beta, arrival_ms, first, end, theta, window_ms) < passes:
                low = beta
            else:
                high = beta
        value, alpha = waited_ms + passes * low, np.inf
        for w in range(first, end + 1):
            own = 1.0 if w == end else 0.0
            mu, _ = _filled(tokens, low, theta[w], own)
            value -= mu * _length(w, arrival_ms, window_ms)
            alpha = min(alpha, _cost(prompt, mu + own, theta[w]))
        value += alpha
        if value < best:
            best, last, chosen = value, end, high
    left, at_prompt, least = passes, first, np.inf
    for w in range(first, last + 1):
        own = 1.0 if w == last else 0.0
        mu, at = _filled(tokens, chosen, theta[w], own)
        if at >= 0:
            count = min(_length(w, arrival_ms, window_ms) / tokens.time_ms[at], left)
            used[w] += count * tokens.price_ms[at]
            left -= count
        cost = _cost(prompt, mu + own, theta[w])
        if cost < least:
            least, at_prompt = cost, w
    used[at_prompt] += prompt.price_ms[prompt.price_ms.shape[0] - 1]
    return best


@compiled
def _all_cheapest(tokens, prompt, passes, arrival_ms, theta, window_ms, used):  # type: ignore[no-untyped-def]
    used[:] = 0.0
    total = 0.0
    for s in range(arrival_ms.shape[0]):
        total += _cheapest(tokens, prompt, passes, arrival_ms[s], theta, window_ms, used)
    return total


def waiting_bound_ms(
    swarm: Swarm,
    request: Request,
    service: ServicePolicy,
    arrival_ms: FloatArray,
    window_ms: float = WINDOW_MS,
    steps: int = STEPS,
) -> float:
    """Lower bound on the mean time of serial sessions that arrive at these instants (ms).

    From an empty swarm, over all placements and routings; later sessions can only add to it.

    Parameters
    ----------
    arrival_ms : ndarray, shape (N,)
        When each session arrives.
    window_ms : float
        For how long computing has one price.
    steps : int
        Of the search for prices; every step proves a bound.
    """
    blocks, most = swarm.model.blocks, conservative_blocks(swarm, 1, request.cache_tokens)
    rate_per_s = PRICED_AT * capacity_of_any_placement(swarm, request)
    prices = fluid_bound(swarm, request, service, rate_per_s).prices
    # A prompt is what a session of one token takes.
    prompt_hop_ms, prompt_ms = service.session_terms_ms(request._replace(output_tokens=1))
    token_hop_ms, tau_ms = swarm.token_rtt_ms.min(axis=0), swarm.tau_ms
    tokens = _Hull.of(token_hop_ms, tau_ms, prices * tau_ms, most, blocks)
    prompt = _Hull.of(prompt_hop_ms.min(axis=0), prompt_ms, prices * prompt_ms, most, blocks)
    begin_ms = np.asarray(arrival_ms, dtype=float) + service.delay_ms
    windows = int((begin_ms[-1] + LONGEST_MS) // window_ms) + 2
    theta, used, best = np.zeros(windows), np.zeros(windows), 0.0
    worth = window_ms * float(prices.sum())
    rate = 1000.0 * begin_ms.size / max(float(np.ptp(begin_ms)), 1.0)
    busy = int(begin_ms[-1] // window_ms) + 1
    theta[:busy] = min(rate / rate_per_s, 1.0) ** LIGHT
    for step in range(steps):
        total = _all_cheapest(
            tokens, prompt, float(request.output_tokens - 1), begin_ms, theta, window_ms, used
        )
        best = max(best, (total - worth * float(theta.sum())) / begin_ms.size)
        theta = np.maximum(theta + FIRST_STEP / (1 + step / SLOWING) * (used / worth - 1.0), 0.0)
    return service.delay_ms + best
