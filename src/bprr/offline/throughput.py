"""The placement of the largest sustained rate, beside a bound that no placement exceeds."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import numpy as np

from bprr.ground.errors import InfeasibleError
from bprr.ground.performance import conservative_blocks, free_cache_tokens, session_terms_ms
from bprr.ground.request import Request
from bprr.ground.swarm import FloatArray, IntArray, Swarm
from bprr.offline.backends.base import OPTIMAL_GAP
from bprr.placement.base import Placement
from bprr.placement.pipe import Terms, compose

__all__ = ["RatePlan", "most_flow", "passing_rates", "rate_bound", "solve_throughput"]

ENOUGH_HALVINGS = 60
FLOW_UNITS, LARGEST_FLOW = 1000.0, 2.0**30  # of a flow in whole numbers, per unit of a rate


@dataclass(frozen=True)
class RatePlan:
    """A placement of disjoint chains, and what passes over them."""

    placement: Placement
    chains: tuple[tuple[IntArray, IntArray], ...]  # servers in order, blocks of each
    rates_per_s: FloatArray  # of each chain: its slowest server's
    bound_per_s: float  # on the rate of any placement
    unit: str  # of the rates: tokens or sessions
    seconds: float

    @property
    def rate_per_s(self) -> float:
        """Rate of all chains."""
        return float(self.rates_per_s.sum())

    @property
    def gap(self) -> float:
        """Relative gap (bound − rate) / rate."""
        return max(self.bound_per_s / self.rate_per_s - 1.0, 0.0)

    @property
    def status(self) -> str:
        """``optimal`` up to rounding, else ``best_found``."""
        return "optimal" if self.gap <= OPTIMAL_GAP else "best_found"


def passing_rates(swarm: Swarm, request: Request) -> tuple[FloatArray, str]:
    """Rate that passes each server if it hosts 1, 2, … blocks, shape (S, L), and its unit.

    As measured (`Swarm.tokens_per_s`); of servers that were not, what serial computing allows.
    """
    blocks = swarm.model.blocks
    if swarm.tokens_per_s is not None:
        rates, unit = swarm.tokens_per_s, "tokens"
        most = swarm.capped(np.full(swarm.servers, blocks))
    else:
        _, block_ms = session_terms_ms(swarm, request.input_tokens, request.output_tokens)
        rates, unit = 1000.0 / np.outer(block_ms, np.arange(1, blocks + 1)), "sessions"
        most = conservative_blocks(swarm, 1, request.cache_tokens)
    return np.where(np.arange(1, blocks + 1) <= most[:, None], rates, 0.0), unit


def rate_bound(rates: FloatArray) -> float:
    """Rate that no placement exceeds.

    At a rate R the servers of every block pass R; a server passes min(rate(m), R) at each of its m
    blocks at most, and so Σ_j max_m m·min(rate_j(m), R) ≥ L·R. The left side over R only falls.

    Parameters
    ----------
    rates : ndarray, shape (S, L)
        Of each server with 1, 2, … blocks.
    """
    counts = np.arange(1, rates.shape[1] + 1)
    low, high = 0.0, float(rates.max()) * rates.shape[0]

    def blocks_at(rate: float) -> float:
        return float((counts * np.minimum(rates / rate, 1.0)).max(axis=1).sum())

    for _ in range(ENOUGH_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if blocks_at(middle) >= counts.size else (low, middle)
    return high


def most_flow(placement: Placement, rates: FloatArray) -> float:
    """Largest flow over all chains of a placement (per second, to a thousandth).

    A server passes what it passes with all blocks that it hosts, however many of them a token uses.

    Parameters
    ----------
    rates : ndarray, shape (S, L)
        Of each server with 1, 2, … blocks.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import maximum_flow

    blocks = placement.swarm.model.blocks
    used = np.flatnonzero(placement.blocks > 0)
    hosted_rates = rates[used, placement.blocks[used] - 1]
    units = min(FLOW_UNITS, LARGEST_FLOW / max(float(hosted_rates.sum()), 1.0))
    passes = np.floor(units * hosted_rates).astype(np.int32)
    # Nodes: positions, then the entries of servers, then their exits.
    enter, leave = blocks + 1 + np.arange(used.size), blocks + 1 + used.size + np.arange(used.size)
    hosted = placement.blocks[used]
    own = np.repeat(np.arange(used.size), hosted)
    position = np.arange(own.size) - np.repeat(np.cumsum(hosted) - hosted, hosted)
    position += placement.first_block[used][own] - 1
    links = np.concatenate(
        [
            [position, enter[own], passes[own]],
            [enter, leave, passes],
            [leave, placement.last_block[used], passes],
        ],
        axis=1,
    )
    nodes = blocks + 1 + 2 * used.size
    graph = coo_array((links[2].astype(np.int32), (links[0], links[1])), shape=(nodes, nodes))
    return float(maximum_flow(graph.tocsr(), 0, blocks).flow_value) / units


def solve_throughput(swarm: Swarm, request: Request) -> RatePlan:
    """Chains of servers that hold as many blocks as a common rate allows; the best number of them.

    Raises
    ------
    InfeasibleError
        If the servers hold less than the model.
    """
    started = perf_counter()
    rates, unit = passing_rates(swarm, request)
    blocks = swarm.model.blocks
    most = (rates > 0).sum(axis=1)
    if most.sum() < blocks:
        lacking = f"{blocks - int(most.sum())} of {blocks} blocks"
        raise InfeasibleError("GPU memory", lacking, "all servers together")
    bound_per_s, terms = rate_bound(rates), _terms(swarm, request, rates)
    best, best_rates = None, np.zeros(0)
    for chains in range(1, int(most.sum()) // blocks + 1):
        found = _fastest(terms, rates, chains)
        if found is None:
            continue
        chain, held = found
        used = np.flatnonzero(chain >= 0)
        own = np.full(chains, np.inf)
        np.minimum.at(own, chain[used], rates[used, held[used] - 1])
        if unit == "sessions":
            own = np.minimum(own, _memory_rates(swarm, request, chain, held, chains))
        if own.sum() > best_rates.sum() * (1 + OPTIMAL_GAP):
            best, best_rates = found, own
        if best_rates.sum() >= bound_per_s * (1 - OPTIMAL_GAP):
            break
    assert best is not None
    chain, held = best
    first, members = np.zeros_like(held), []
    for p in range(best_rates.size):
        servers = np.flatnonzero(chain == p)
        first[servers] = 1 + np.cumsum(held[servers]) - held[servers]
        members.append((servers, held[servers]))
    return RatePlan(
        Placement(swarm, first, held),
        tuple(members),
        best_rates,
        bound_per_s,
        unit,
        perf_counter() - started,
    )


def _memory_rates(
    swarm: Swarm, request: Request, chain: IntArray, held: IntArray, chains: int
) -> FloatArray:
    """Sessions per second for which chains have cache, each for as long as its time alone."""
    hop_ms, block_ms = session_terms_ms(swarm, request.input_tokens, request.output_tokens)
    used = np.flatnonzero(chain >= 0)
    own_ms = hop_ms.mean(axis=0)[used] + held[used] * block_ms[used]
    time_ms = np.bincount(chain[used], own_ms, chains)
    slots = free_cache_tokens(swarm, held)[used] // request.cache_tokens
    places = np.full(chains, np.inf)
    np.minimum.at(places, chain[used], slots // held[used])
    return 1000.0 * places / time_ms


def _terms(swarm: Swarm, request: Request, rates: FloatArray) -> Terms:
    """Largest servers first; of a chain with blocks to spare the slowest server gives them."""
    servers = swarm.servers
    slowness = 1.0 / rates[:, 0].clip(min=1e-300)
    return Terms(swarm, request.cache_tokens, np.ones(servers), np.zeros(servers), slowness)


def _fastest(terms: Terms, rates: FloatArray, chains: int) -> tuple[IntArray, IntArray] | None:
    """So many chains of the largest common rate that is found."""
    steps = np.unique(rates[rates > 0])
    low, high, best = 0, steps.size, None
    while low < high:
        middle = (low + high) // 2
        held_at = rates >= steps[middle]
        width = np.where(held_at.any(axis=1), rates.shape[1] - held_at[:, ::-1].argmax(axis=1), 0)
        found = compose(terms, chains, width)
        if found is None:
            high = middle
        else:
            low, best = middle + 1, (found.chain, found.blocks)
    return best
