"""Lower bounds on the mean time of a session over all placements and routings (docs/method.md).

Servers compute for so much of the time at most, and a session takes the time of its chain at least.
A price u_j on a millisecond of a server's computing turns that into a bound: each session pays at
least the cheapest chain's time and prices, and all of them together no more than the servers' time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bprr.ground.chains import best_chain_ms
from bprr.ground.performance import conservative_blocks, free_cache_tokens
from bprr.ground.request import Request
from bprr.ground.swarm import FloatArray, IntArray, Swarm
from bprr.service.base import ServicePolicy

__all__ = ["Bound", "fluid_bound", "least_time_ms"]

CONVERGED = 1e-4  # relative, between the bound and what chains attain
MOST_STEPS = 500


class Bound(NamedTuple):
    """A lower bound on the mean time of sessions (ms), proven by its prices."""

    mean_ms: float
    prices: FloatArray  # (S,) u_j


class _Chains(NamedTuple):
    """What all chains of all placements are made of."""

    most: IntArray  # (S,) blocks that a server can hold beside a session
    hop_ms: FloatArray  # (S,) from the nearest client
    block_ms: FloatArray
    work_ms: FloatArray  # of the server's time that a block takes at least
    blocks: int

    @classmethod
    def of(cls, swarm: Swarm, request: Request, service: ServicePolicy) -> _Chains:
        hop_ms, block_ms = service.session_terms_ms(request)
        servers, one = np.arange(swarm.servers), np.ones(swarm.servers, dtype=np.int64)
        most = conservative_blocks(swarm, 1, request.cache_tokens)
        slots = free_cache_tokens(swarm, np.minimum(most, 1)) // request.cache_tokens
        work_ms = service.least_work_ms(request, servers, one, np.maximum(slots, 1))
        return cls(most, hop_ms.min(axis=0), block_ms, work_ms, swarm.model.blocks)

    def cheapest(self, prices: FloatArray) -> tuple[IntArray, float]:
        """Blocks at every server of the chain of least time and prices, and their sum."""
        priced_ms = self.block_ms + prices * self.work_ms
        return best_chain_ms(self.most, self.hop_ms, priced_ms, self.blocks)

    def time_ms(self, held: IntArray) -> float:
        """Time of a chain."""
        return float(self.hop_ms[held > 0].sum() + (held * self.block_ms).sum())


def least_time_ms(swarm: Swarm, request: Request, service: ServicePolicy) -> float:
    """T_min: the fastest chain of an empty swarm over all placements, delays included; exact."""
    _, time_ms = _Chains.of(swarm, request, service).cheapest(np.zeros(swarm.servers))
    return service.delay_ms + time_ms


def fluid_bound(swarm: Swarm, request: Request, service: ServicePolicy, rate_per_s: float) -> Bound:
    """L1: mean time of sessions at a rate, if nobody ever waited.

    The linear programme over all chains of all placements by columns: a chain is found by an exact
    dynamic programme, so every step proves a bound, min over chains of T_p + Σ u_j w_jp − Σ u_j/λ.

    Returns
    -------
    Bound
        Infinite if no placement carries the rate.
    """
    from scipy.optimize import linprog

    chains = _Chains.of(swarm, request, service)
    first, least_ms = chains.cheapest(np.zeros(swarm.servers))
    best = Bound(service.delay_ms + least_ms, np.zeros(swarm.servers))
    if not chains.work_ms.any() or rate_per_s <= 0 or np.isinf(least_ms):
        return best
    each_ms = 1000.0 / rate_per_s  # of a server's time, per session
    columns, penalty_ms = [first], 1e3 * least_ms
    for _ in range(MOST_STEPS):
        work = np.array([held * chains.work_ms for held in columns]).T / each_ms
        # The last column is no chain: sessions that are not served, at a price.
        costs = np.append([chains.time_ms(held) for held in columns], penalty_ms)
        solved = linprog(
            costs,
            A_ub=np.column_stack([work, np.zeros(swarm.servers)]),
            b_ub=np.ones(swarm.servers),
            A_eq=np.ones((1, costs.size)),
            b_eq=[1.0],
            method="highs",
        )
        prices = np.maximum(-solved.ineqlin.marginals / each_ms, 0.0)
        held, cost_ms = chains.cheapest(prices)
        proven_ms = service.delay_ms + cost_ms - each_ms * float(prices.sum())
        if proven_ms > best.mean_ms:
            best = Bound(proven_ms, prices)
        if service.delay_ms + solved.fun - best.mean_ms <= CONVERGED * best.mean_ms:
            break
        columns.append(held)
    if solved.x[-1] > 1e-9:
        return Bound(np.inf, best.prices)
    return best
