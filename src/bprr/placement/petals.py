"""PETALS' placement, as the paper models it (docs/baselines.md#petals-as-modelled)."""

from __future__ import annotations

import numpy as np

from bprr.ground.errors import InputError
from bprr.ground.swarm import BYTES_PER_GB, FloatArray, IntArray, LanguageModel, Swarm, floor_ratio
from bprr.placement.base import Placement, PlacementPolicy, PlacementProblem
from bprr.placement.windows import petals_windows

__all__ = [
    "Petals",
    "block_gain",
    "petals_blocks",
    "petals_placement",
    "pool_cache_tokens",
    "pool_tokens_per_block",
]

AUTOGRAD_RESERVE_GB = 2 * 2**30 / BYTES_PER_GB  # set aside by a server, for d_model = 14336
RESERVE_D_MODEL = 14336


def pool_tokens_per_block(model: LanguageModel) -> int:
    """Cache pool of a PETALS server in tokens per block: 4096, or 16384 with grouped queries."""
    return 4096 if model.key_value_groups == 1 else 16384


def petals_blocks(swarm: Swarm) -> IntArray:
    """Blocks a PETALS server hosts: memory less a reserve, over parameters plus cache pool."""
    model = swarm.model
    reserve_gb = AUTOGRAD_RESERVE_GB * model.d_model / RESERVE_D_MODEL
    unit_gb = model.block_gb + model.session_cache_gb(pool_tokens_per_block(model))
    return swarm.capped(floor_ratio(swarm.memory_gb - reserve_gb, unit_gb))


def pool_cache_tokens(model: LanguageModel, blocks: IntArray) -> IntArray:
    """Cache of a PETALS server: its fixed pool, whatever memory is left over."""
    return blocks * pool_tokens_per_block(model)


def block_gain(swarm: Swarm, blocks: IntArray) -> FloatArray:
    """Throughput that a server adds to each of its blocks: min(forward/((1+m)/2), network)."""
    if swarm.forward_rps is None or swarm.network_rps is None:
        allowed = "forward_rps and network_rps of every device: PETALS' placement needs them"
        raise InputError("devices", "forward_rps", "nothing", allowed)
    return np.minimum(swarm.forward_rps / ((1 + blocks) / 2), swarm.network_rps)


def petals_placement(
    swarm: Swarm,
    blocks: IntArray,
    gain: FloatArray,
    join_order: IntArray,
    cache_tokens: IntArray | None = None,
) -> Placement:
    """Let servers join one after another, each taking the window that is served least.

    Parameters
    ----------
    blocks : ndarray of int64, shape (S,)
        m_j.
    gain : ndarray, shape (S,)
        Throughput that each block of a server's window gains.
    join_order : ndarray of int64
        Servers in order of joining.
    cache_tokens : ndarray of int64, shape (S,), optional
        Cache of each server; all leftover memory if not given.

    Returns
    -------
    Placement
        With detail ``block_throughput``. Blocks that no server hosts are left to routing, which
        then finds no chain, as in PETALS.
    """
    order = np.asarray(join_order, dtype=np.int64)
    order = order[blocks[order] > 0]
    start, throughput = petals_windows(order, blocks, np.asarray(gain, float), swarm.model.blocks)
    return Placement(
        swarm,
        np.where(blocks > 0, start + 1, 0),
        blocks,
        cache_tokens,  # type: ignore[arg-type]
        details={"block_throughput": throughput},
    )


class Petals(PlacementPolicy, name="petals"):
    """PETALS as modelled: its own number of blocks, random joining order, fixed cache pool."""

    def place(self, problem: PlacementProblem) -> Placement:
        """Blocks and cache of every server."""
        swarm = problem.swarm
        blocks = petals_blocks(swarm)
        pool = pool_cache_tokens(swarm.model, blocks)
        return petals_placement(swarm, blocks, block_gain(swarm, blocks), problem.join_order, pool)
