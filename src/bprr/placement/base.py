"""What a placement is, and what a policy may know when it makes one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from bprr.ground.performance import free_cache_tokens
from bprr.ground.registry import PLACEMENT, Choice, Policy
from bprr.ground.request import Request
from bprr.ground.schema import Strict
from bprr.ground.swarm import Device, FloatArray, IntArray, Swarm

__all__ = ["Computing", "Flows", "Placement", "PlacementPolicy", "PlacementProblem", "Trial"]


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


class Flows(NamedTuple):
    """What passes over the links of a placement, each a server's from a position to its end."""

    server: IntArray
    start: IntArray  # position: so many blocks are done
    end: IntArray
    per_s: FloatArray  # sessions

    @property
    def rate_per_s(self) -> float:
        """Of all sessions: what enters the first block (sessions/s)."""
        return float(self.per_s[self.start == 0].sum())


class Trial(NamedTuple):
    """Times per token of simulated sessions."""

    mean_ms: float
    p99_ms: float


class Computing(Protocol):
    """What a placement may know of how servers compute; a service policy answers it."""

    def session_terms_ms(self, request: Request) -> tuple[FloatArray, FloatArray]:
        """Terms of the time of a session that nobody disturbs (`performance.session_terms_ms`)."""

    def least_work_ms(
        self, request: Request, server: IntArray, blocks: IntArray, slots: IntArray
    ) -> FloatArray:
        """Time that such a session takes of these servers at the best, beside others like it."""


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
    devices : mapping
        Every known device by name, for policies that bring a server of their own.
    request : Request, optional
        The request to design for.
    choose_rate : callable, optional
        Chooses the arrival rate to plan for (requests/s); called only by policies that read `rate`.
    computing : Computing, optional
        How servers compute.
    flows_of : callable, optional
        Flows over a placement that bound the rate that it can carry.
    try_out : callable, optional
        Simulates so many sessions on a placement with a routing.
    held_tokens : int, optional
        Tokens for which a session that runs holds cache, where they differ: those that hold more
        run for longer. The same as ``session_tokens`` if not given.
    """

    swarm: Swarm
    choose_load: Callable[[], int]
    session_tokens: int
    join_order: IntArray
    devices: Mapping[str, Device] = field(default_factory=dict)
    request: Request | None = None
    choose_rate: Callable[[], float] | None = None
    computing: Computing | None = None
    flows_of: Callable[[Placement], Flows] | None = None
    try_out: Callable[[Placement, Choice, int], Trial] | None = None
    held_tokens: int | None = None

    @property
    def load(self) -> int:
        """Design number of concurrent requests, R; `InfeasibleError` if not even one fits."""
        return self.choose_load()

    @property
    def rate_per_s(self) -> float:
        """Arrival rate to plan for (requests/s)."""
        assert self.choose_rate is not None
        return self.choose_rate()

    def capacity_per_s(self, placement: Placement) -> float:
        """Upper bound on the rate that a placement can carry, whatever the routing (requests/s)."""
        return self.flows(placement).rate_per_s

    def flows(self, placement: Placement) -> Flows:
        """Flows of the largest rate that a placement can carry, by a linear programme."""
        assert self.flows_of is not None
        return self.flows_of(placement)

    def trial(self, placement: Placement, routing: Choice, sessions: int) -> Trial:
        """Times per token of so many sessions that are simulated on a placement."""
        assert self.try_out is not None
        return self.try_out(placement, routing, sessions)


class PlacementPolicy(Policy, registry=PLACEMENT):
    """Base of all placements; a subclass says its options and how it places.

    One that is ``hub_only`` goes by what each server takes, whatever came before it on a chain.
    """

    hub_only: ClassVar[bool] = False

    def __init__(self, options: Strict | None = None) -> None:
        self.options: Any = options or self.Options()

    @abstractmethod
    def place(self, problem: PlacementProblem) -> Placement:
        """Blocks and cache of every server.

        Raises
        ------
        InfeasibleError
            If no placement exists.
        """
