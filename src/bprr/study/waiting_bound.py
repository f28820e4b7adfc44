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

WINDOW_MS = 10_000.0
STEPS, FIRST_STEP, SLOWING = 150, 0.5, 15.0  # of the subgradients
HALVINGS, FINE = 14, 1e-3  # of what a pass is worth
WIDTHS = (1, 8, 32)  # windows over which a step is smoothed: prices follow bursts and busy hours
LONGEST_MS = 3_600_000.0  # that a session alone may take
DECIMALS = 9  # of prices
LIGHT = 4  # power of the load in the first prices
ALIKE = 1e-6  # passes closer than this are one
PRICED_AT = 0.95  # of the rate that no placement exceeds, where computing surely has a price
RATIOS = np.geomspace(1e-3, 1e3, 13)  # of prices, between which chains are found
NEAR = 1e-3  # of a chain's cost, to which they are found


class _Hull(NamedTuple):
    """Cheapest passes: none takes less than min over i of μ·time + θ·price, for any μ and θ."""

    time_ms: FloatArray
    price_ms: FloatArray

    @classmethod
    def of(cls, hop_ms, block_ms, priced_ms, most, blocks) -> _Hull:  # type: ignore[no-untyped-def]
        """Chords of the least μ·time + θ·price over all chains, which is concave in θ/μ."""

        def cost(ratio: float) -> float:
            return best_chain_ms(most, hop_ms, block_ms + ratio * priced_ms, blocks)[1]

        ratios, costs = [0.0], [cost(0.0)]
        for upper in RATIOS:  # chords as long as they are near the curve
            ends = [(upper, cost(upper))]
            while ends:
                (high, above), (low, below) = ends[-1], (ratios[-1], costs[-1])
                middle = (low + high) / 2
                at_middle = cost(middle)
                if at_middle - (below + above) / 2 > NEAR * at_middle and len(ends) < HALVINGS:
                    ends.append((middle, at_middle))
                else:
                    ratios.append(high)
                    costs.append(above)
                    ends.pop()
        _, least_ms = best_chain_ms(most, 0 * hop_ms, priced_ms, blocks)
        price_ms = np.append(np.diff(costs) / np.diff(ratios), least_ms)
        time_ms = np.subtract(costs, price_ms * ratios)
        # Neighbours that are alike count once.
        alike = np.isclose(np.diff(time_ms), 0.0, atol=ALIKE * costs[0])
        alike &= np.isclose(np.diff(price_ms), 0.0, atol=ALIKE * price_ms[0])
        kept = np.append(~alike, True)
        return cls(
            np.maximum((1 - ALIKE) * time_ms[kept], 1e-9),
            np.maximum((1 - ALIKE) * price_ms[kept], 0.0),
        )


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
def _worth(tokens, prompt, passes, beta, arrival_ms, first, end, theta, window_ms):  # type: ignore[no-untyped-def]
    """What ending in a window costs at least, if a pass is worth beta; passes beyond those needed.

    A window's time costs nothing but in the last one, where it costs as much as it lasts.
    """
    value, alpha, held = beta * passes + max(end * window_ms - arrival_ms, 0.0), np.inf, -passes
    for w in range(first, end + 1):
        own = 1.0 if w == end else 0.0
        length = _length(w, arrival_ms, window_ms)
        mu, at = _filled(tokens, beta, theta[w], own)
        if at >= 0:
            held += length / tokens.time_ms[at]
            value -= mu * length
        alpha = min(alpha, _cost(prompt, mu + own, theta[w]))
    return value + alpha, held


@compiled
def _cheapest(tokens, prompt, passes, arrival_ms, theta, window_ms, used):  # type: ignore[no-untyped-def]
    """Least time and price of a session alone; adds the priced work of such a schedule to used.

    Whatever a pass is worth, that proves a bound for an end: the worth that was best for the end
    before shows of most ends that they are no better.
    """
    first = int(arrival_ms // window_ms)
    fastest_ms = tokens.time_ms[0]
    best, last, chosen, beta = np.inf, first, 0.0, fastest_ms
    for end in range(first, theta.shape[0]):
        if max(end * window_ms - arrival_ms, 0.0) >= best:
            break
        if ((end + 1) * window_ms - arrival_ms) / fastest_ms < passes:
            continue
        value, held = _worth(tokens, prompt, passes, beta, arrival_ms, first, end, theta, window_ms)
        if value >= best:
            continue
        low, high = (beta, 2 * beta) if held < 0 else (0.0, beta)
        while held < 0 and high < 1e7:
            other, held = _worth(
                tokens, prompt, passes, high, arrival_ms, first, end, theta, window_ms
            )
            value = max(value, other)
            if held < 0:
                low, high = high, 2 * high
        for _ in range(HALVINGS):
            if value >= best or high - low < FINE * high:
                break
            beta = (low + high) / 2
            other, held = _worth(
                tokens, prompt, passes, beta, arrival_ms, first, end, theta, window_ms
            )
            value = max(value, other)
            low, high = (beta, high) if held < 0 else (low, beta)
        beta = high
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


def _smoothed(values: FloatArray, windows: int) -> FloatArray:
    """Means over neighbours, by weights that fall on both sides within so many windows."""
    weights = np.convolve(np.ones(windows), np.ones(windows))
    return np.convolve(values, weights / weights.sum(), mode="same")


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
    # Schedules that cost the same are many: the last bit of a price would choose among them, and
    # with it the way of the search, whose every step proves a bound.
    prices = np.round(fluid_bound(swarm, request, service, rate_per_s).prices, DECIMALS)
    if not prices.any():  # of servers that are all as good: one price for all
        prices = np.ones(swarm.servers)
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
        excess = used / worth - 1.0
        direction = np.mean([_smoothed(excess, windows) for windows in WIDTHS], axis=0)
        taken = FIRST_STEP / (1 + step / SLOWING)
        theta = np.round(np.maximum(theta + taken * direction, 0.0), DECIMALS)
    return service.delay_ms + best
