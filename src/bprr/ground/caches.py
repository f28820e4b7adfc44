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
from numba import njit
from numpy.typing import NDArray

from bprr.ground.swarm import FloatArray, IntArray

__all__ = [
    "CacheState",
    "Caches",
    "drop_ended",
    "drop_ended_at",
    "first_entry_with_room",
    "release_ms",
    "units_before",
]

INITIAL_ROOM = 8


class CacheState(NamedTuple):
    """Arrays of a caches as the kernels see them; S servers, entries of all servers in one buffer.

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
    first: IntArray  # the server's room in the buffer: [first, limit)
    limit: IntArray
    end: FloatArray  # per entry: when the hold ends
    released_by: IntArray  # per entry: `released` once it has ended


@njit(cache=True)
def drop_ended(state, now):  # type: ignore[no-untyped-def]
    """Forget the holds that ended at or before ``now``, at every server."""
    for server in range(state.capacity.shape[0]):
        drop_ended_at(state, server, now)


@njit(cache=True, inline="always")
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


@njit(cache=True, inline="always")
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


@njit(cache=True, inline="always")
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


@njit(cache=True, inline="always")
def release_ms(state, server, units, now):  # type: ignore[no-untyped-def]
    """Earliest time, not before ``now``, at which ``units`` are free at a server; inf if never."""
    if state.free[server] >= units:
        return now
    entry = first_entry_with_room(state, server, units)
    return state.end[entry] if entry < state.tail[server] else np.inf


@njit(cache=True)
def _chain_release_ms(state, servers, units, now):  # type: ignore[no-untyped-def]
    latest = now
    for i in range(servers.shape[0]):
        drop_ended_at(state, servers[i], now)
        latest = max(latest, release_ms(state, servers[i], units[i], now))
    return latest


@njit(cache=True)
def _hold(state, used, servers, units, end, now):  # type: ignore[no-untyped-def]
    """Enter one hold per server.

    Returns how many servers were entered, fewer than all if the buffer is too small for the next,
    and the length of the buffer in use.
    """
    for i in range(servers.shape[0]):
        server = servers[i]
        drop_ended_at(state, server, now)
        if state.tail[server] == state.limit[server]:
            used = _make_room(state, used, server)
            if used < 0:
                return i, -used
        head, place = state.head[server], state.tail[server]
        while place > head and state.end[place - 1] > end:
            state.end[place] = state.end[place - 1]
            state.released_by[place] = state.released_by[place - 1] + units[i]
            place -= 1
        earlier = state.released_by[place - 1] if place > head else state.released[server]
        state.end[place] = end
        state.released_by[place] = earlier + units[i]
        state.tail[server] += 1
        state.sessions[server] += 1
        state.free[server] -= units[i]
        state.next_end[server] = state.end[head]
    return servers.shape[0], used


@njit(cache=True)
def _make_room(state, used, server):  # type: ignore[no-untyped-def]
    """Slide a server's entries to the start of its room, or move them to one twice as large.

    Rooms only double, and only while at least half of one is in use. So what the moves leave
    behind is less than the rooms, and a room less than four times the most holds a server has had
    at once: the buffer does not grow with the number of past sessions.

    Returns the length of the buffer in use, negated if the buffer is too small.
    """
    head, count = state.head[server], state.tail[server] - state.head[server]
    first, room = state.first[server], state.limit[server] - state.first[server]
    if 2 * count >= room:
        room = max(2 * room, INITIAL_ROOM)
        if used + room > state.end.shape[0]:
            return -used
        first = used
        used += room
    for entry in range(count):
        state.end[first + entry] = state.end[head + entry]
        state.released_by[first + entry] = state.released_by[head + entry]
    state.first[server], state.limit[server] = first, first + room
    state.head[server], state.tail[server] = first, first + count
    return used


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

        def zeros() -> IntArray:
            return np.zeros(servers, dtype=np.int64)

        room = INITIAL_ROOM * servers
        self._used = 1  # place 0 stays empty: the servers' first rooms are [0, 0)
        self.state = CacheState(
            capacity,
            capacity.copy(),
            zeros(),
            np.full(servers, np.inf),
            zeros(),
            zeros(),
            zeros(),
            zeros(),
            zeros(),
            np.empty(1 + room),
            np.empty(1 + room, dtype=np.int64),
        )

    def hold(
        self, servers: IntArray, units: Sequence[int] | IntArray, end_ms: float, now_ms: float
    ) -> None:
        """Hold ``units[i]`` at ``servers[i]`` from now until ``end_ms``."""
        amounts = np.asarray(units, dtype=np.int64)
        # Always floats: an int would have the kernel compiled once more.
        entered, end, now = 0, float(end_ms), float(now_ms)
        while True:
            done, self._used = _hold(
                self.state, self._used, servers[entered:], amounts[entered:], end, now
            )
            entered += done
            if entered == servers.shape[0]:
                return
            grown = 2 * self.state.end.shape[0]
            self.state = self.state._replace(
                end=np.resize(self.state.end, grown),
                released_by=np.resize(self.state.released_by, grown),
            )

    def release_ms(self, servers: IntArray, units: IntArray, now_ms: float) -> float:
        """Earliest time, not before now, at which every server has its units free; inf if never."""
        return float(_chain_release_ms(self.state, servers, units, float(now_ms)))

    def held_now(self, now_ms: float) -> IntArray:
        """Units held at every server, shape (S,)."""
        drop_ended(self.state, float(now_ms))
        return self.state.capacity - self.state.free
