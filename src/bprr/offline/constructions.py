"""Instances that the paper's proofs are about: Partition as a placement, and CG-BPRR at its worst.

Neither proves anything here; solved, they show that the constructions do what the proofs say.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bprr.ground.swarm import BYTES_PER_GB, FloatArray, LanguageModel, Swarm
from bprr.offline.instance import OfflineInstance
from bprr.offline.plan import Plan, Route
from bprr.placement.base import Placement

__all__ = ["can_be_halved", "partition_instance", "whole_model_plan", "worst_instance"]

SMALL_GB = 1e-3  # cache of a session in a block where it must not count: less than any block
NEARLY_NOTHING_MS = 1e-4  # τ where only round trips count


def _instance(
    blocks: int,
    cache_gb: float,
    memory_gb: FloatArray,
    tau_ms: float,
    rtt_ms: FloatArray,
    load: int,
) -> OfflineInstance:
    """One client, blocks of 1 GB, sessions of one token."""
    nothing = np.zeros(memory_gb.size)
    swarm = Swarm(
        model=LanguageModel(
            blocks=blocks,
            d_model=1,
            block_gb=1.0,
            cache_bytes_per_token_per_block=cache_gb * BYTES_PER_GB,
        ),
        memory_gb=memory_gb,
        tau_ms=np.full(memory_gb.size, tau_ms),
        prefill_ms=nothing,
        prefill_ms_per_token=nothing,
        token_rtt_ms=rtt_ms[None, :],
        prompt_rtt_ms=nothing[None, :],
    )
    return OfflineInstance(swarm, (load,), 1)


def partition_instance(sizes: Sequence[int]) -> OfflineInstance:
    """Partition as block placement (Theorem 1): one client, one request, a server per number.

    Half the sum are blocks; a server has room for as many as its number, and is as many ms away.
    A request that visits numbers of sum S ≥ L takes S, apart from computing: the optimum is
    ``L (1 + τ)`` if some of the numbers make half the sum, and more if none do.
    """
    blocks, rest = divmod(sum(sizes), 2)
    if rest:
        raise ValueError(f"numbers of an odd sum cannot be halved: {sum(sizes)}")
    numbers = np.array(sizes, dtype=float)
    return _instance(blocks, SMALL_GB, numbers * (1 + SMALL_GB), 1.0, numbers, 1)


def can_be_halved(sizes: Sequence[int]) -> bool:
    """Whether some of the numbers make half of their sum."""
    sums = {0}
    for size in sizes:
        sums |= {reached + size for reached in sums}
    return sum(sizes) / 2 in sums


def worst_instance(blocks: int, rtt_ms: float = 1.0) -> OfflineInstance:
    """Where CG-BPRR takes L times the optimum (section 4): L² servers, each of L + 1 blocks' room.

    A session's caches in all L blocks are as large as one block, and L² requests come at once. Any
    server could host the model for one of them; room for all of them leaves one block.
    """
    servers = blocks**2
    memory_gb, rtt = np.full(servers, blocks + 1.0), np.full(servers, rtt_ms)
    return _instance(blocks, 1.0 / blocks, memory_gb, NEARLY_NOTHING_MS * rtt_ms, rtt, servers)


def whole_model_plan(instance: OfflineInstance) -> Plan:
    """Every server hosts the whole model, for one request each; none can be faster than that."""
    swarm = instance.swarm
    count = swarm.model.blocks
    placement = Placement(
        swarm, np.ones(swarm.servers, dtype=np.int64), np.full(swarm.servers, count)
    )
    routes = (Route(0, (server,), (count,)) for server in range(instance.load))
    return Plan(placement, tuple(routes))
