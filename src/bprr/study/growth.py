"""How the time of CG-BPRR's steps grows with servers and blocks, beside its bound (section 4)."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

import numpy as np
import pandas as pd

from bprr.ground.caches import Caches
from bprr.ground.request import Request
from bprr.ground.swarm import LanguageModel, Swarm
from bprr.placement.cg_bp import cg_bp
from bprr.routing.base import RoutingContext
from bprr.routing.shortest_path import ShortestPath

__all__ = ["growth"]

SERVERS = (100, 200, 400, 800, 1600)  # with as many blocks as the paper's model
BLOCKS = (70, 140, 280, 560)  # with the memory of servers in proportion
FIXED_SERVERS, FIXED_BLOCKS = 200, 70
LOAD, TOKENS = 20, 148  # R, and of a session
INNER = 5  # of which the fastest counts: whatever else the machine does only lengthens


def growth(seed: int, repeats: int = 5) -> pd.DataFrame:
    """Time CG-BP and the shortest path of a request on random swarms of growing size.

    Every repeat is a draw of its own; compiled kernels are warm.

    Returns
    -------
    DataFrame
        ``step`` (placement, routing), ``varied`` (servers, blocks), ``size`` (how many),
        ``repeat`` and ``seconds``.
    """
    rows = [
        {"step": step, "varied": varied, "size": size, "repeat": repeat, "seconds": seconds}
        for repeat in range(repeats)
        for varied, sizes in (("servers", SERVERS), ("blocks", BLOCKS))
        for size in sizes
        for step, seconds in _timed(seed, repeat, varied, size)
    ]
    return pd.DataFrame(rows)


def _timed(seed: int, repeat: int, varied: str, size: int) -> Iterator[tuple[str, float]]:
    servers, blocks = (size, FIXED_BLOCKS) if varied == "servers" else (FIXED_SERVERS, size)
    swarm = _swarm(np.random.default_rng([seed, repeat, size]), servers, blocks)
    placement = cg_bp(swarm, LOAD, TOKENS)
    router = ShortestPath(RoutingContext(placement, Caches(placement.cache_tokens)))
    request = Request(0, 20, 128, TOKENS)
    router.route(request, 0.0)  # compiles
    for step, work in (
        ("placement", lambda: cg_bp(swarm, LOAD, TOKENS)),
        ("routing", lambda: router.route(request, 0.0)),
    ):
        taken_s = []
        for _ in range(INNER):
            start = perf_counter()
            work()
            taken_s.append(perf_counter() - start)
        yield step, min(taken_s)


def _swarm(rng: np.random.Generator, servers: int, blocks: int) -> Swarm:
    """Servers that all differ, between a MIG slice and an A100, for a model of so many blocks."""
    scale = blocks / FIXED_BLOCKS
    rtt_ms = rng.uniform(50, 200, (1, servers))
    nothing = np.zeros(servers)
    return Swarm(
        model=LanguageModel(blocks=blocks, d_model=14336, block_gb=1.3234),
        memory_gb=rng.uniform(8.2, 79.13, servers) * scale,
        tau_ms=rng.uniform(3, 17, servers),
        prefill_ms=nothing,
        prefill_ms_per_token=nothing,
        token_rtt_ms=rtt_ms,
        prompt_rtt_ms=rtt_ms,
    )
