"""One offline problem: a swarm, the requests of each client, and classes of equal servers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bprr.ground.errors import InputError
from bprr.ground.performance import free_cache_tokens
from bprr.ground.swarm import FloatArray, IntArray, Swarm

__all__ = ["OfflineInstance", "ServerClass", "shared_out"]


def shared_out(load: int, clients: int) -> tuple[int, ...]:
    """Requests dealt to clients as evenly as possible, the first ones getting more."""
    return tuple(load // clients + (client < load % clients) for client in range(clients))


@dataclass(frozen=True)
class ServerClass:
    """Servers that are interchangeable: equal memory, τ, and round trips to every client."""

    members: tuple[int, ...]  # by index in the swarm
    tau_ms: float
    token_rtt_ms: FloatArray  # t_c, shape (C,)
    slots: IntArray  # K(m): cache slots left beside m blocks, shape (L + 1,)

    @property
    def count(self) -> int:
        """Number of servers in the class, N."""
        return len(self.members)

    def conservative_size(self, load: int) -> int:
        """Most blocks m^R that leave cache for ``load`` whole sessions; 0 if not even one block."""
        sizes = np.arange(len(self.slots))
        return int(sizes[self.slots >= load * sizes].max())


@dataclass(frozen=True)
class OfflineInstance:
    """Offline block placement and request routing (docs/model.md#offline-problem).

    Parameters
    ----------
    swarm : Swarm
        Servers and clients.
    requests : sequence of int
        R_c, requests of each client of the swarm; at least one in all.
    session_tokens : int
        Tokens for which a session reserves cache in each block it uses.

    Raises
    ------
    InputError
        If the requests do not fit the swarm's clients, or there are none.
    """

    swarm: Swarm
    requests: Sequence[int]
    session_tokens: int

    def __post_init__(self) -> None:
        """Check the counts and freeze them."""
        requests = tuple(int(count) for count in self.requests)
        object.__setattr__(self, "requests", requests)
        if len(requests) != self.swarm.clients:
            allowed = f"one count for each of the {self.swarm.clients} clients"
            raise InputError("offline instance", "requests", requests, allowed)
        if min(requests) < 0 or sum(requests) < 1:
            raise InputError("offline instance", "requests", requests, "counts ≥ 0, one request")
        if self.session_tokens < 1:
            raise InputError("offline instance", "session_tokens", self.session_tokens, "≥ 1")

    @property
    def load(self) -> int:
        """Requests in all, R."""
        return sum(self.requests)

    @cached_property
    def slots(self) -> IntArray:
        """K_j(m): cache slots of every server beside m blocks, shape (S, L + 1).

        A server that hosts nothing has no use for its cache, so K_j(0) = 0; it is also 0 where m
        blocks do not fit or are not allowed.
        """
        sizes = np.arange(self.swarm.model.blocks + 1)
        columns = [
            free_cache_tokens(self.swarm, np.full(self.swarm.servers, size)) // self.session_tokens
            for size in sizes
        ]
        allowed = sizes <= self.most_blocks[:, None]
        return np.where(allowed, np.stack(columns, axis=1), 0)

    @property
    def most_blocks(self) -> IntArray:
        """Blocks that each server may host, whatever its memory, shape (S,)."""
        return self.swarm.capped(np.full(self.swarm.servers, self.swarm.model.blocks))

    @cached_property
    def classes(self) -> tuple[ServerClass, ...]:
        """Interchangeable servers grouped, in order of their first member."""
        swarm = self.swarm
        groups: dict[tuple[float, ...], list[int]] = {}
        for server in range(swarm.servers):
            key = (
                float(swarm.memory_gb[server]),
                float(swarm.tau_ms[server]),
                float(self.most_blocks[server]),
                *swarm.token_rtt_ms[:, server].tolist(),
            )
            groups.setdefault(key, []).append(server)
        return tuple(self.server_class(members) for members in groups.values())

    def server_class(self, members: Sequence[int]) -> ServerClass:
        """Class of these servers, which must be equal."""
        first = members[0]
        return ServerClass(
            tuple(members),
            float(self.swarm.tau_ms[first]),
            self.swarm.token_rtt_ms[:, first],
            self.slots[first],
        )
