"""Who holds how much cache at each server until when: the state that routing reads.

One unit is one token of one block (see `performance.free_cache_tokens`), so a session of l tokens
that uses k blocks of a server holds k·l units there. A hold may exceed the capacity: under
admission ``reserve`` the waiting sessions hold their share too (paper, section 5).

Holds of a server are kept in order of their end, with the units still held from each of them on,
so that "how much is free at time t" is a binary search whatever the number of past sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bprr.swarm import FloatArray, IntArray

__all__ = ["CacheLedger", "LedgerState", "drop_ended", "release_ms"]

INITIAL_ROOM = 8


class LedgerState(NamedTuple):
    """Arrays of a ledger as the kernels see them; S servers, entries of all servers in one buffer.

    Entries of server j lie in ``[head[j], tail[j])`` of the buffer, by increasing end.
    """

    capacity: IntArray
    held: IntArray  # units held now
    sessions: IntArray  # holds not ended
    next_end: FloatArray  # end of the first hold; inf if none
    head: IntArray
    tail: IntArray
    first: IntArray  # the server's room in the buffer: [first, limit)
    limit: IntArray
    end: FloatArray  # per entry: when the hold ends
    held_from: IntArray  # per entry: units held by it and all later entries


@njit(cache=True)
def drop_ended(state, now):  # type: ignore[no-untyped-def]
    """Forget the holds that ended at or before ``now``."""
    for server in range(state.capacity.shape[0]):
        if state.next_end[server] <= now:
            _drop_ended_at(state, server, now)


@njit(cache=True)
def _drop_ended_at(state, server, now):  # type: ignore[no-untyped-def]
    head, tail = state.head[server], state.tail[server]
    before = head
    while head < tail and state.end[head] <= now:
        head += 1
    state.head[server] = head
    state.sessions[server] -= head - before
    state.held[server] = state.held_from[head] if head < tail else 0
    state.next_end[server] = state.end[head] if head < tail else np.inf


@njit(cache=True)
def release_ms(state, server, units, now):  # type: ignore[no-untyped-def]
    """Earliest time, not before ``now``, at which ``units`` are free at a server; inf if never."""
    free = state.capacity[server] - state.held[server]
    if free >= units:
        return now
    low, high = state.head[server], state.tail[server] - 1
    if state.capacity[server] < units:
        return np.inf
    # The first entry after whose end enough is free; the last one always is.
    while low < high:
        middle = (low + high) // 2
        if state.capacity[server] - state.held_from[middle + 1] >= units:
            high = middle
        else:
            low = middle + 1
    return state.end[low]


@njit(cache=True)
def _chain_release_ms(state, servers, units, now):  # type: ignore[no-untyped-def]
    latest = now
    for i in range(servers.shape[0]):
        if state.next_end[servers[i]] <= now:
            _drop_ended_at(state, servers[i], now)
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
        _drop_ended_at(state, server, now)
        if state.tail[server] == state.limit[server]:
            used = _make_room(state, used, server)
            if used < 0:
                return i, -used
        head, place = state.head[server], state.tail[server]
        while place > head and state.end[place - 1] > end:
            state.end[place] = state.end[place - 1]
            state.held_from[place] = state.held_from[place - 1]
            place -= 1
        later = state.held_from[place + 1] if place < state.tail[server] else 0
        state.end[place] = end
        state.held_from[place] = units[i] + later
        for entry in range(head, place):
            state.held_from[entry] += units[i]
        state.tail[server] += 1
        state.sessions[server] += 1
        state.held[server] = state.held_from[head]
        state.next_end[server] = state.end[head]
    return servers.shape[0], used


@njit(cache=True)
def _make_room(state, used, server):  # type: ignore[no-untyped-def]
    """Slide a server's entries to the start of its room, or move them to one twice as large.

    Returns the length of the buffer in use, negated if the buffer is too small.
    """
    head, count = state.head[server], state.tail[server] - state.head[server]
    first, room = state.first[server], state.limit[server] - state.first[server]
    if 2 * count >= room:
        room = max(2 * room, INITIAL_ROOM)
        if used + room > state.end.shape[0]:
            return -max(used, 1)
        first = used
        used += room
    for entry in range(count):
        state.end[first + entry] = state.end[head + entry]
        state.held_from[first + entry] = state.held_from[head + entry]
    state.first[server], state.limit[server] = first, first + room
    state.head[server], state.tail[server] = first, first + count
    return used


class CacheLedger:
    """Cache held at every server, in tokens of one block.

    Parameters
    ----------
    cache_tokens : ndarray of int64, shape (S,)
        Capacity of each server.
    """

    def __init__(self, cache_tokens: NDArray[np.integer]) -> None:
        capacity = np.asarray(cache_tokens, dtype=np.int64)
        servers = capacity.shape[0]

        def zeros() -> IntArray:
            return np.zeros(servers, dtype=np.int64)

        room = INITIAL_ROOM * servers
        self._used = 1  # place 0 stays empty: the servers' first rooms are [0, 0)
        self.state = LedgerState(
            capacity,
            zeros(),
            zeros(),
            np.full(servers, np.inf),
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
        entered = 0
        while True:
            done, self._used = _hold(
                self.state, self._used, servers[entered:], amounts[entered:], end_ms, now_ms
            )
            entered += done
            if entered == servers.shape[0]:
                return
            grown = 2 * self.state.end.shape[0]
            self.state = self.state._replace(
                end=np.resize(self.state.end, grown),
                held_from=np.resize(self.state.held_from, grown),
            )

    def release_ms(self, servers: IntArray, units: IntArray, now_ms: float) -> float:
        """Earliest time, not before now, at which every server has its units free; inf if never."""
        return float(_chain_release_ms(self.state, servers, units, now_ms))

    def held_now(self, now_ms: float) -> IntArray:
        """Units held at every server, shape (S,)."""
        drop_ended(self.state, now_ms)
        return self.state.held.copy()
