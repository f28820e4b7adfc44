"""GBP-CR(c): chains end to end until they carry the rate (docs/baselines.md#successor)."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from bprr.ground.errors import InfeasibleError
from bprr.ground.performance import conservative_blocks
from bprr.ground.schema import Count, Positive, Strict
from bprr.ground.swarm import FloatArray, IntArray
from bprr.placement.base import Placement, PlacementPolicy, PlacementProblem
from bprr.placement.composed import ChainTable
from bprr.placement.gca import greedy_chains
from bprr.placement.two_resource import laid_end_to_end

__all__ = ["GbpCr", "least_response_ms"]

GROWTH = 1.15  # of the numbers of sessions that are tried, once they are large


class GbpCr(PlacementPolicy, name="gbp_cr"):
    """GBP-CR of the successor, composed into chains by GCA."""

    hub_only = True

    class Options(Strict):
        """Sessions per chain, c; of the least lower bound on the response time if not given."""

        sessions: Count | None = Field(
            None, description="c, per chain; of the least bound on the response time if not given"
        )
        most_load: Positive = Field(0.7, description="share of the capacity that the rate may take")

    def place(self, problem: PlacementProblem) -> Placement:
        """Blocks and cache of every server, with the details ``chains`` and ``response_ms``.

        Raises
        ------
        InfeasibleError
            If no chain fits with so many sessions.
        """
        best = None
        for sessions in [self.options.sessions] if self.options.sessions else _numbers():
            placement = self._placed(problem, sessions)
            if placement is None:
                break
            response_ms = float(str(placement.details["response_ms"]))
            if best is None or response_ms < float(str(best.details["response_ms"])):
                best = placement
        if best is None:
            count = self.options.sessions or 1
            detail = f"GBP-CR with cache for {count} sessions"
            raise InfeasibleError("GPU memory", "blocks of a whole model", detail)
        return best

    def _placed(self, problem: PlacementProblem, sessions: int) -> Placement | None:
        swarm, request, computing = problem.swarm, problem.request, problem.computing
        assert request is not None and computing is not None
        held = conservative_blocks(swarm, sessions, problem.session_tokens)
        if held.sum() < swarm.model.blocks:
            return None
        hop_ms, block_ms = computing.session_terms_ms(request)
        time_ms = hop_ms.mean(axis=0) + held * block_ms
        rank = np.divide(time_ms, held, out=np.full(held.size, np.inf), where=held > 0)
        order = np.argsort(rank, kind="stable")
        enough = problem.rate_per_s / 1000.0 / (self.options.most_load * sessions)
        held = _until_enough(order, held, time_ms, swarm.model.blocks, enough)
        first = laid_end_to_end(order, held, swarm.model.blocks)
        placement = Placement(swarm, first, held)
        chains = greedy_chains(placement, request, computing)
        response_ms = least_response_ms(chains, problem.rate_per_s)
        details = {"chains": chains, "sessions": sessions, "response_ms": response_ms}
        return Placement(swarm, first, held, details=details)


def _numbers() -> list[int]:
    numbers = [1]
    while numbers[-1] < 10_000:
        numbers.append(max(numbers[-1] + 1, int(numbers[-1] * GROWTH)))
    return numbers


def _until_enough(
    order: IntArray, held: IntArray, time_ms: FloatArray, blocks: int, enough: float
) -> IntArray:
    """Blocks of the servers up to the chain with which the chains' rates suffice (per ms)."""
    used, at, rate, chain_ms = np.zeros_like(held), 1, 0.0, 0.0
    for j in order[held[order] > 0].tolist():
        used[j] = held[j]
        chain_ms += float(time_ms[j])
        at = min(at, blocks - int(held[j]) + 1) + int(held[j])
        if at > blocks:
            at, rate, chain_ms = 1, rate + 1.0 / chain_ms, 0.0
            if rate >= enough:
                break
    return used


def least_response_ms(chains: ChainTable, rate_per_s: float) -> float:
    """Lower bound on the mean response time, with jobs always on the fastest places.

    A birth-death process whose n jobs leave as fast as any n places let them; inf if they cannot
    keep up.
    """
    time_ms = chains.time_ms.mean(axis=0)
    order = np.argsort(time_ms, kind="stable")
    places = chains.places[order].astype(np.int64)
    leaving = np.cumsum(np.repeat(1000.0 / time_ms[order], places))  # per s, with n = 1, 2, …
    if not leaving.size or rate_per_s >= leaving[-1]:
        return np.inf
    rate_per_s = max(rate_per_s, 1e-9)
    logs = np.concatenate([[0.0], np.cumsum(np.log(rate_per_s / leaving))])
    weight = np.exp(logs - logs.max())
    full, last = rate_per_s / leaving[-1], leaving.size
    # Beyond the last place the weights are a geometric series.
    beyond = weight[-1] * full / (1 - full)
    jobs = (weight * np.arange(last + 1)).sum() + beyond * (last + 1 / (1 - full))
    return float(1000.0 * jobs / (weight.sum() + beyond) / rate_per_s)
