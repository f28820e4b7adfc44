"""What a placement is, what a policy may know when it makes one, and the registry of policies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from bprr.ground.performance import free_cache_tokens
from bprr.ground.registry import Registry
from bprr.ground.swarm import Device, IntArray, Swarm

__all__ = [
    "OffloadingHost",
    "Placement",
    "PlacementPolicy",
    "PlacementProblem",
    "place",
    "placement_policies",
]


@dataclass(frozen=True)
class Placement:
    """Blocks and cache of every server.

    Parameters
    ----------
    swarm : Swarm
        The servers that are placed.
    first_block, blocks : ndarray of int64, shape (S,)
        a_j (from 1) and m_j; a server with m_j = 0 hosts nothing.
    cache_tokens : ndarray of int64, shape (S,), optional
        Cache of each server, in tokens of one block; all leftover memory if not given.
    details : mapping, optional
        What the policy wants to report (order, bound, design load, …).
    """

    swarm: Swarm
    first_block: IntArray
    blocks: IntArray
    cache_tokens: IntArray = None  # type: ignore[assignment]
    details: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Freeze the arrays and refuse a placement that leaves the model."""
        if self.cache_tokens is None:
            object.__setattr__(self, "cache_tokens", free_cache_tokens(self.swarm, self.blocks))
        for name in ("first_block", "blocks", "cache_tokens"):
            array = np.array(getattr(self, name), dtype=np.int64)
            if array.shape != (self.swarm.servers,):
                raise ValueError(f"Placement.{name} has shape {array.shape}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        used = self.blocks > 0
        if (self.first_block[used] < 1).any() or (
            self.last_block[used] > self.swarm.model.blocks
        ).any():
            raise ValueError("a server hosts blocks outside the model")

    @property
    def last_block(self) -> IntArray:
        """Last block hosted at each server, a_j + m_j − 1."""
        return self.first_block + self.blocks - 1


@dataclass(frozen=True)
class OffloadingHost:
    """A device whose weights are streamed from host memory or an SSD.

    Parameters
    ----------
    device : Device
        The device.
    pcie_gb_per_s, ssd_gb_per_s : float
        Bandwidth of the stream of weights from host memory and from an SSD (GB/s).
    buffered_blocks : int
        Blocks held in device memory at once (two: one computes while the next arrives).
    """

    device: Device
    pcie_gb_per_s: float
    ssd_gb_per_s: float
    buffered_blocks: int = 2


@dataclass(frozen=True)
class PlacementProblem:
    """All that a placement policy may know.

    Parameters
    ----------
    swarm : Swarm
        Servers and clients.
    choose_load : callable
        Chooses the design number of concurrent requests, R; called only by policies that read
        `load`, so that the others also work where no R is feasible.
    session_tokens : int
        Tokens for which a session reserves cache in each block it uses.
    join_order : ndarray of int64, shape (S,)
        Order in which servers join, for policies that depend on it.
    block_cap : ndarray of int64, shape (S,), optional
        Most blocks each server may host.
    offloading : OffloadingHost, optional
        The device of the baseline without distribution.
    """

    swarm: Swarm
    choose_load: Callable[[], int]
    session_tokens: int
    join_order: IntArray
    block_cap: IntArray | None = None
    offloading: OffloadingHost | None = None

    @property
    def load(self) -> int:
        """Design number of concurrent requests, R; `InfeasibleError` if not even one fits."""
        return self.choose_load()


PlacementPolicy = Callable[[PlacementProblem], Placement]
placement_policies: Registry[PlacementPolicy] = Registry("placement policy", "bprr.placement")


def place(name: str, problem: PlacementProblem) -> Placement:
    """Run the placement policy of this name."""
    return placement_policies[name](problem)
