"""Shortest chains over block positions: "p" means that blocks 1..p are done.

A server takes a session from a position in its range to the end of it, at a fixed time and a time
per block; how many blocks it may take is the caller's to say (docs/method.md).
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from bprr.ground.compiled import compiled
from bprr.ground.swarm import FloatArray, IntArray

__all__ = ["ChainSearch", "best_chain_ms"]


@compiled
def _shortest(order, low, end, most, hop_ms, block_ms, distance, by, source):  # type: ignore[no-untyped-def]
    distance[:] = np.inf
    distance[0] = 0.0
    for j in order:
        last = end[j]
        for p in range(max(low[j], last - most[j]), last):
            length = distance[p] + hop_ms[j] + (last - p) * block_ms[j]
            if length < distance[last]:
                distance[last], by[last], source[last] = length, j, p


class ChainSearch(NamedTuple):
    """Links of a placement, and space to search in."""

    order: IntArray  # servers that host blocks, by their last one
    low: IntArray  # (S,) first position that a server may be entered from
    end: IntArray  # (S,)
    distance: FloatArray  # (L + 1,) and the next two
    by: IntArray
    source: IntArray

    @classmethod
    def of(cls, first_block: NDArray[np.integer], blocks: IntArray, model_blocks: int) -> Self:
        """Search on a placement."""
        first = np.asarray(first_block, dtype=np.int64)
        end = first + blocks - 1
        used = np.flatnonzero(blocks > 0)
        order = used[np.argsort(end[used], kind="stable")]
        by, source = np.zeros((2, model_blocks + 1), dtype=np.int64)
        return cls(order, first - 1, end, np.empty(model_blocks + 1), by, source)

    def shortest(
        self, most: IntArray, hop_ms: FloatArray, block_ms: FloatArray
    ) -> tuple[IntArray, IntArray, float]:
        """Servers of the shortest chain, the blocks they process, and its time; inf without one.

        Parameters
        ----------
        most : ndarray of int64, shape (S,)
            Most blocks that each server may process.
        hop_ms, block_ms : ndarray, shape (S,)
            What each server takes, and takes per block.
        """
        _shortest(
            self.order, self.low, self.end, most, hop_ms, block_ms,
            self.distance, self.by, self.source,
        )  # fmt: skip
        position = self.distance.size - 1
        length = float(self.distance[position])
        chain: list[tuple[int, int]] = []
        while np.isfinite(length) and position > 0:
            before = int(self.source[position])
            chain.append((int(self.by[position]), position - before))
            position = before
        servers, processed = np.array(chain[::-1], dtype=np.int64).reshape(-1, 2).T.copy()
        return servers, processed, length


@compiled
def _best(most, hop_ms, block_ms, distance, taken):  # type: ignore[no-untyped-def]
    """Least time of L blocks over servers used at most once; taken[j, b]: how many at j."""
    distance[:] = np.inf
    distance[0] = 0.0
    blocks = distance.shape[0] - 1
    for j in range(most.shape[0]):
        for done in range(blocks, 0, -1):
            best, count = distance[done], 0
            for k in range(1, min(most[j], done) + 1):
                length = distance[done - k] + hop_ms[j] + k * block_ms[j]
                if length < best:
                    best, count = length, k
            distance[done], taken[j, done] = best, count


def best_chain_ms(
    most: IntArray, hop_ms: FloatArray, block_ms: FloatArray, blocks: int
) -> tuple[IntArray, float]:
    """Fastest chain over all placements: blocks at every server, and its time; inf without one.

    Exact: servers may lie in any order, each on the chain once at most.

    Parameters
    ----------
    most : ndarray of int64, shape (S,)
        Most blocks that each server may host.
    """
    distance, taken = np.empty(blocks + 1), np.zeros((most.size, blocks + 1), dtype=np.int16)
    _best(most, hop_ms, block_ms, distance, taken)
    held, done = np.zeros(most.size, dtype=np.int64), blocks
    if np.isfinite(distance[blocks]):
        for j in range(most.size - 1, -1, -1):
            held[j] = taken[j, done]
            done -= held[j]
    return held, float(distance[blocks])
