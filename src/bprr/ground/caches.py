"""Who holds how much cache at each server until when: the state that routing reads.

One unit is one token of one block (see `performance.free_cache_tokens`), so a session of l tokens
that uses k blocks of a server holds k·l units there. A hold may exceed the capacity: under
admission ``reserve`` the waiting sessions hold their share too (docs/model.md#waiting).

Holds of a server are kept in order of their end, with the units that are released in total by the
end of each, so that "how much is free at time t" is a binary search whatever the number of past
sessions, and a new hold, which mostly ends last, changes few entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bprr.ground.compiled import compiled
from bprr.ground.swarm import FloatArray, IntArray

__all__ = [
    "CacheState",
    "Caches",
    "chain_release_ms",
    "drop_ended",
    "drop_ended_at",
    "enter_anew",
    "first_entry_with_room",
    "hold",
    "release",
    "release_ms",
    "units_before",
]

INITIAL_ROOM = 8  # holds of one server
INITIAL_BUFFER = 4096  # holds of all servers


class CacheState(NamedTuple):
    """The caches as the kernels see them; S servers, entries of all servers in one buffer.

    Entries of server j lie in ``[head[j], tail[j])`` of the buffer, by increasing end. What is
    said of a server is true once `drop_ended` or `drop_ended_at` has brought it up to date.
    """

    capacity: IntArray
    free: IntArray  # units not held now; negative where holds exceed the capacity
    sessions: IntArray  # holds not ended
    next_end: FloatArray  # end of the first hold; inf if none
    released: IntArray  # units of all holds that have ended
    head: IntArray
    tail: IntArray
    first: IntArray  # the server's room in the buffer: ``[first, limit)``
    limit: IntArray
    used: IntArray  # (1,) length of the buffer that is in use
    end: FloatArray  # per entry: when the hold ends
    released_by: IntArray  # per entry: `released` once it has ended


@compiled
def drop_ended(state, now):  # type: ignore[no-untyped-def]
    """Forget the holds that ended at or before ``now``, at every server."""
    for server in range(state.capacity.shape[0]):
        drop_ended_at(state, server, now)


@compiled(inline="always")
def drop_ended_at(state, server, now):  # type: ignore[no-untyped-def]
    """Forget the holds of a server that ended at or before ``now``."""
    if state.next_end[server] > now:
        return
    head, tail = state.head[server], state.tail[server]
    before = head
    while head < tail and state.end[head] <= now:
        head += 1
    state.head[server] = head
    state.sessions[server] -= head - before
    state.free[server] += state.released_by[head - 1] - state.released[server]
    state.released[server] = state.released_by[head - 1]
    state.next_end[server] = state.end[head] if head < tail else np.inf


@compiled(inline="always")
def first_entry_with_room(state, server, units):  # type: ignore[no-untyped-def]
    """First entry of a server after whose end ``units`` are free; its tail if there is none."""
    low, high = state.head[server], state.tail[server]
    wanted = units - state.free[server] + state.released[server]
    while low < high:
        middle = (low + high) // 2
        if state.released_by[middle] >= wanted:
            high = middle
        else:
            low = middle + 1
    return low


@compiled(inline="always")
def units_before(state, server, deadline):  # type: ignore[no-untyped-def]
    """Units free at a server at some time before ``deadline``; its capacity if that is inf."""
    if deadline == np.inf:
        return state.capacity[server]
    if state.next_end[server] >= deadline:
        return state.free[server]
    low, high = state.head[server] + 1, state.tail[server]
    while low < high:
        middle = (low + high) // 2
        if state.end[middle] < deadline:
            low = middle + 1
        else:
            high = middle
    return state.free[server] + state.released_by[low - 1] - state.released[server]


@compiled(inline="always")
def release_ms(state, server, units, now):  # type: ignore[no-untyped-def]
    """Earliest time, not before ``now``, at which ``units`` are free at a server; inf if never."""
    if state.free[server] >= units:
        return now
    entry = first_entry_with_room(state, server, units)
    return state.end[entry] if entry < state.tail[server] else np.inf


@compiled
def chain_release_ms(state, servers, blocks, tokens, now):  # type: ignore[no-untyped-def]
    """Earliest time from which ``tokens`` of ``blocks[i]`` blocks fit at every ``servers[i]``."""
    latest = now
    for i in range(servers.shape[0]):
        drop_ended_at(state, servers[i], now)
        latest = max(latest, release_ms(state, servers[i], blocks[i] * tokens, now))
    return latest


@compiled
def hold(state, servers, blocks, tokens, end, now):  # type: ignore[no-untyped-def]
    """Hold ``tokens`` of ``blocks[i]`` blocks at ``servers[i]`` until ``end``.

    Returns whether it did: if the buffer is too small, nothing is held until `Caches.grow`.
    """
    for i in range(servers.shape[0]):
        drop_ended_at(state, servers[i], now)
        if state.tail[servers[i]] == state.limit[servers[i]] and not _make_room(state, servers[i]):
            return False
    for i in range(servers.shape[0]):
        server, units = servers[i], blocks[i] * tokens
        head, place = state.head[server], state.tail[server]
        while place > head and state.end[place - 1] > end:
            state.end[place] = state.end[place - 1]
            state.released_by[place] = state.released_by[place - 1] + units
            place -= 1
        earlier = state.released_by[place - 1] if place > head else state.released[server]
        state.end[place] = end
        state.released_by[place] = earlier + units
        state.tail[server] += 1
        state.sessions[server] += 1
        state.free[server] -= units
        state.next_end[server] = state.end[head]
    return True


@compiled
def release(state, servers, blocks, tokens, end, now):  # type: ignore[no-untyped-def]
    """End a hold now that was to last until ``end``; returns whether there was such a one."""
    for i in range(servers.shape[0]):
        server, units = servers[i], blocks[i] * tokens
        drop_ended_at(state, server, now)
        head, entry = state.head[server], state.tail[server] - 1
        while entry >= head and state.end[entry] >= end:
            earlier = state.released_by[entry - 1] if entry > head else state.released[server]
            if state.end[entry] == end and state.released_by[entry] - earlier == units:
                break
            entry -= 1
        if entry < head or state.end[entry] != end:
            return False
        for later in range(entry, state.tail[server] - 1):
            state.end[later] = state.end[later + 1]
            state.released_by[later] = state.released_by[later + 1] - units
        state.tail[server] -= 1
        state.sessions[server] -= 1
        state.free[server] += units
        state.next_end[server] = state.end[head] if head < state.tail[server] else np.inf
    return True


@compiled
def enter_anew(state, order, servers, units, hops, ends, now):  # type: ignore[no-untyped-def]
    """Forget all holds, and enter those of some sessions, in an order that best follows their ends.

    Session i holds ``units[i, h]`` at ``servers[i, h]`` until ``ends[i]``, for every h below
    ``hops[i]``. Returns whether it did: if the buffer is too small, `Caches.grow` and call again.
    """
    for server in range(state.capacity.shape[0]):
        state.head[server] = state.tail[server] = state.first[server]
        state.free[server], state.next_end[server] = state.capacity[server], np.inf
        state.sessions[server] = state.released[server] = 0
    for i in order:
        count = hops[i]
        if not hold(state, servers[i, :count], units[i, :count], 1, ends[i], now):
            return False
    return True


@compiled
def _make_room(state, server):  # type: ignore[no-untyped-def]
    """Slide a server's entries to the start of its room, or move them to one twice as large.

    Rooms only double, and only while at least half of one is in use. So what the moves leave
    behind is less than the rooms, and a room less than four times the most holds a server has had
    at once: the buffer does not grow with the number of past sessions.

    Returns whether the buffer was large enough.
    """
    head, count = state.head[server], state.tail[server] - state.head[server]
    first, room = state.first[server], state.limit[server] - state.first[server]
    if 2 * count >= room:
        room = max(2 * room, INITIAL_ROOM)
        first = state.used[0]
        if first + room > state.end.shape[0]:
            return False
        state.used[0] += room
    for entry in range(count):
        state.end[first + entry] = state.end[head + entry]
        state.released_by[first + entry] = state.released_by[head + entry]
    state.first[server], state.limit[server] = first, first + room
    state.head[server], state.tail[server] = first, first + count
    return True


class Caches:
    """Cache held at every server, in tokens of one block.

    Parameters
    ----------
    cache_tokens : ndarray of int64, shape (S,)
        Capacity of each server.
    """

    def __init__(self, cache_tokens: NDArray[np.integer]) -> None:
        capacity = np.array(cache_tokens, dtype=np.int64)
        servers = capacity.shape[0]
        free, next_end = capacity.copy(), np.full(servers, np.inf)
        released, sessions, *bounds = np.zeros((6, servers), dtype=np.int64)
        used = np.ones(1, dtype=np.int64)  # place 0 stays empty: the first rooms are [0, 0)
        room = max(INITIAL_BUFFER, 2 * INITIAL_ROOM * servers)
        buffer = np.empty(room), np.empty(room, dtype=np.int64)
        self.state = CacheState._make(
            (capacity, free, sessions, next_end, released, *bounds, used, *buffer)
        )

    def hold(
        self, servers: IntArray, units: Sequence[int] | IntArray, end_ms: float, now_ms: float
    ) -> None:
        """Hold ``units[i]`` at ``servers[i]`` from now until ``end_ms``."""
        # Always floats and int64: others would have the kernel compiled once more.
        amounts, end, now = np.asarray(units, dtype=np.int64), float(end_ms), float(now_ms)
        while not hold(self.state, servers, amounts, 1, end, now):
            self.grow()

    def release(
        self, servers: IntArray, units: Sequence[int] | IntArray, end_ms: float, now_ms: float
    ) -> None:
        """End now what `hold` has entered until ``end_ms``.

        Raises
        ------
        ValueError
            If nothing like that is held.
        """
        amounts, end, now = np.asarray(units, dtype=np.int64), float(end_ms), float(now_ms)
        if not release(self.state, servers, amounts, 1, end, now):
            raise ValueError(f"no hold of {amounts} at servers {servers} until {end} ms")

    def enter_anew(
        self, servers: IntArray, units: IntArray, hops: IntArray, ends_ms: FloatArray, now_ms: float
    ) -> None:
        """Hold what some sessions hold, shape (N, L), now that their ends are seen in a new way.

        A session that ends earlier or later than was entered, or gives its caches back, is entered
        anew, as are all others.
        """
        order = ends_ms.argsort(kind="stable")
        while not enter_anew(self.state, order, servers, units, hops, ends_ms, float(now_ms)):
            self.grow()

    def resize(self, cache_tokens: NDArray[np.integer]) -> None:
        """Give every server another capacity; who holds what stays."""
        self.state.free[:] += cache_tokens - self.state.capacity
        self.state.capacity[:] = cache_tokens

    def grow(self) -> None:
        """Give the holds a buffer of twice the size."""
        state, size = self.state, 2 * self.state.end.size
        end, released_by = np.resize(state.end, size), np.resize(state.released_by, size)
        self.state = state._replace(end=end, released_by=released_by)

    def release_ms(self, servers: IntArray, units: IntArray, now_ms: float) -> float:
        """Earliest time, not before now, at which every server has its units free; inf if never."""
        return float(chain_release_ms(self.state, servers, units, 1, float(now_ms)))

    def held_now(self, now_ms: float) -> IntArray:
        """Units held at every server, shape (S,)."""
        drop_ended(self.state, float(now_ms))
        return self.state.capacity - self.state.free
