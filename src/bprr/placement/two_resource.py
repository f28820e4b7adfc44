"""2R: blocks laid end to end, as memory and computing allow (docs/method.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from pydantic import Field

from bprr.ground.chains import ChainSearch, best_chain_ms
from bprr.ground.errors import InfeasibleError
from bprr.ground.performance import conservative_blocks
from bprr.ground.schema import Positive, Strict
from bprr.ground.swarm import FloatArray, IntArray, floor_ratio
from bprr.placement.base import Placement, PlacementPolicy, PlacementProblem

__all__ = ["TwoResource", "laid_end_to_end"]

USED = 0.75  # share of a placement's capacity that may be asked for
ALIKE = 1.03  # times and capacities closer than this are equal


def laid_end_to_end(order: IntArray, blocks: IntArray, model_blocks: int) -> IntArray:
    """First block of every server, laid one after another as GBP-CR does; 0 where none is held."""
    first, at = np.zeros(blocks.size, dtype=np.int64), 1
    for j in order.tolist():
        if blocks[j] > 0:
            first[j] = min(at, model_blocks - int(blocks[j]) + 1)
            at = int(first[j] + blocks[j])
            at = 1 if at > model_blocks else at
    return first


class _Candidate(NamedTuple):
    pace_ms: float  # θ
    alone_ms: float  # time of the fastest chain
    placement: Placement


class TwoResource(PlacementPolicy, name="two_resource"):
    """2R: servers hold what computes in a common time, laid end to end; that time is derived."""

    hub_only = True

    class Options(Strict):
        """The time θ of a token at a server, if it is not to be derived."""

        pace_ms: Positive | None = Field(
            None, description="θ, time of a token at a server; derived if not given"
        )

    def place(self, problem: PlacementProblem) -> Placement:
        """Blocks and cache of every server.

        Raises
        ------
        InfeasibleError
            If the blocks do not fit with the cache of one session.
        """
        given = self.options.pace_ms
        found = sorted(candidates(problem, given), key=lambda each: each.alone_ms)
        if not found:
            blocks = int(conservative_blocks(problem.swarm, 1, problem.session_tokens).sum())
            lacking = f"{max(problem.swarm.model.blocks - blocks, 1)} blocks"
            raise InfeasibleError("GPU memory", lacking, "2R, with cache for one session")
        return (_chosen(found, problem) if given is None else found[0]).placement


def _chosen(found: list[_Candidate], problem: PlacementProblem) -> _Candidate:
    """Of those by increasing time that carry the rate, the least θ among the fastest."""
    capacities: dict[float, float] = {}

    def capacity(each: _Candidate) -> float:
        if each.pace_ms not in capacities:
            capacities[each.pace_ms] = problem.capacity_per_s(each.placement)
        return capacities[each.pace_ms]

    def carries(each: _Candidate) -> bool:
        return USED * capacity(each) >= problem.rate_per_s

    fast = next((each for each in found if carries(each)), None)
    if fast is not None:
        alike = [each for each in found if each.alone_ms <= ALIKE * fast.alone_ms]
        return next(each for each in sorted(alike) if carries(each))
    most = max(capacity(each) for each in found)
    wide = [each for each in found if capacity(each) * ALIKE >= most]
    return min(each for each in wide if each.alone_ms <= ALIKE * wide[0].alone_ms)


def candidates(problem: PlacementProblem, pace_ms: float | None = None) -> Iterator[_Candidate]:
    """Placements for every θ that may matter, or for one, each once."""
    swarm, request, computing = problem.swarm, problem.request, problem.computing
    assert request is not None and computing is not None
    blocks, tau_ms = swarm.model.blocks, swarm.tau_ms
    hop_ms, block_ms = computing.session_terms_ms(request)
    hop_ms = hop_ms.mean(axis=0)
    most = conservative_blocks(swarm, 1, problem.session_tokens)
    _, alone_ms = best_chain_ms(most, hop_ms, block_ms, blocks)
    if not np.isfinite(alone_ms):
        return
    # Cache for the sessions that saturate a server, where there is room for it.
    sessions = np.ceil(alone_ms / request.output_tokens / tau_ms)
    cache_gb = swarm.model.session_cache_gb(problem.session_tokens)
    saturated = floor_ratio(swarm.memory_gb - cache_gb * sessions, swarm.model.block_gb)
    most = np.where(saturated >= 1, np.minimum(most, saturated), most)
    seen = set()
    for theta in [pace_ms] if pace_ms else _paces_ms(most, tau_ms, blocks):
        held = np.minimum(most, np.maximum(floor_ratio(theta / tau_ms, 1.0), 1))
        if held.sum() < blocks or held.tobytes() in seen:
            continue
        seen.add(held.tobytes())
        rank = np.full(held.size, np.inf)
        used = held > 0
        rank[used] = hop_ms[used] / held[used] + block_ms[used]
        first = laid_end_to_end(np.argsort(rank, kind="stable"), held, blocks)
        search = ChainSearch.of(first, held, blocks)
        _, _, time_ms = search.shortest(held, hop_ms, block_ms)
        if np.isfinite(time_ms):
            details = {"pace_ms": theta}
            yield _Candidate(theta, time_ms, Placement(swarm, first, held, details=details))


def _paces_ms(most: IntArray, tau_ms: FloatArray, blocks: int) -> list[float]:
    """Times of a token at which a server's share, or the number of whole models, changes."""
    shares = -(-blocks // np.arange(1, blocks + 1))
    paces = set(np.outer(np.unique(tau_ms), np.unique(shares)).ravel().tolist())
    steps = np.unique(np.outer(np.unique(tau_ms), np.arange(1, int(most.max()) + 1)))
    held = [
        int(np.minimum(most, np.maximum(floor_ratio(step / tau_ms, 1.0), 1)).sum())
        for step in steps.tolist()
    ]
    models = np.arange(1, held[-1] // blocks + 1)
    paces.update(steps[np.searchsorted(held, models * blocks)].tolist())
    return sorted(paces)
