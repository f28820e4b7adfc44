"""Choice of the window of consecutive blocks a server hosts: the hot kernels of placement.

Window starts are counted from 0 here.
"""

from __future__ import annotations

import numpy as np

from bprr.ground.compiled import compiled
from bprr.ground.swarm import FloatArray, IntArray

__all__ = [
    "greedy_windows",
    "least_served",
    "longest_waiting_window",
    "petals_windows",
]

TIE = 1e-9  # sums within this relative distance are equal: running sums differ by rounding


@compiled
def least_served(service, width, window, best):  # type: ignore[no-untyped-def]
    """Start of the window whose sorted service is lexicographically smallest; ties: first.

    ``window`` and ``best`` are room for the values of two windows in increasing order.
    """
    for i in range(width):
        _placed(window, i, i + 1, service[i])
    for i in range(width):
        best[i] = window[i]
    best_start = 0
    for start in range(1, service.shape[0] - width + 1):
        leaving, entering = service[start - 1], service[start + width - 1]
        if leaving == entering:  # the same values as before
            continue
        place = 0
        while window[place] != leaving:
            place += 1
        _placed(window, place, width, entering)
        for i in range(width):
            if window[i] != best[i]:
                if window[i] < best[i]:
                    best_start = start
                    for k in range(i, width):
                        best[k] = window[k]
                break
    return best_start


@compiled
def _placed(window, place, width, value):  # type: ignore[no-untyped-def]
    """Put a value in a place of a window, and move it to where it belongs."""
    while place + 1 < width and window[place + 1] < value:
        window[place] = window[place + 1]
        place += 1
    while place > 0 and window[place - 1] > value:
        window[place] = window[place - 1]
        place -= 1
    window[place] = value


@compiled
def longest_waiting_window(time, capacity, load, width):  # type: ignore[no-untyped-def]
    """Start of the window with the largest summed time that holds an underserved block."""
    best_start, best = -1, -np.inf
    for start in range(time.shape[0] - width + 1):
        underserved, total = False, 0.0
        for block in range(start, start + width):
            total += time[block]
            underserved = underserved or capacity[block] < load
        if underserved and (best_start < 0 or total > best + TIE * abs(best)):
            best_start, best = start, total
    return best_start


@compiled
def _greedy(  # type: ignore[no-untyped-def]
    order, width, sessions, amortised_ms, load, start, capacity, time, window, best
):
    dummy = 0.0
    for server in order:
        dummy = max(dummy, amortised_ms[server])
    dummy += 1.0
    for block in range(time.shape[0]):
        time[block] = load * dummy
    needed = -1
    for rank in range(order.shape[0]):
        server = order[rank]
        if needed < 0:
            chosen = longest_waiting_window(time, capacity, load, width[server])
        else:
            chosen = least_served(capacity, width[server], window, best)
        start[server] = chosen
        for block in range(chosen, chosen + width[server]):
            served = min(max(load - capacity[block], 0), sessions[server])
            time[block] -= (dummy - amortised_ms[server]) * served
            capacity[block] += sessions[server]
        if needed < 0:
            least = capacity[0]
            for served in capacity:
                least = min(least, served)
            if least >= load:
                needed = rank + 1
    return order.shape[0] if needed < 0 else needed


def greedy_windows(
    order: IntArray,
    width: IntArray,
    sessions: IntArray,
    amortised_ms: FloatArray,
    blocks: int,
    load: int,
) -> tuple[IntArray, IntArray, int]:
    """Windows of CG-BP (Algorithm 1, lines 5 to 13).

    Parameters
    ----------
    order : ndarray of int64, shape (N,)
        Servers with at least one block, by increasing amortised time.
    width, sessions : ndarray of int64, shape (S,)
        m_j and f_j.
    amortised_ms : ndarray, shape (S,)
        t̃_j.
    blocks, load : int
        L and R.

    Returns
    -------
    start : ndarray of int64, shape (S,)
        First block from 0.
    capacity : ndarray of int64, shape (L,)
        Sessions that fit at each block, C_b.
    needed : int
        K, servers placed when every block was first served R-fold; N if that never happens.
    """
    start, (capacity, *room) = np.zeros_like(width), np.zeros((3, blocks), dtype=np.int64)
    time = np.empty(blocks)
    needed = _greedy(order, width, sessions, amortised_ms, load, start, capacity, time, *room)
    return start, capacity, needed


@compiled
def _joining(order, width, gain, start, throughput, window, best):  # type: ignore[no-untyped-def]
    for server in order:
        chosen = least_served(throughput, width[server], window, best)
        start[server] = chosen
        for block in range(chosen, chosen + width[server]):
            throughput[block] += gain[server]


def petals_windows(
    order: IntArray, width: IntArray, gain: FloatArray, blocks: int
) -> tuple[IntArray, FloatArray]:
    """Windows that servers choose as they join a PETALS swarm (docs/baselines.md).

    Parameters
    ----------
    order : ndarray of int64, shape (N,)
        Servers with at least one block, in order of joining.
    width : ndarray of int64, shape (S,)
        m_j.
    gain : ndarray, shape (S,)
        Throughput that each block of the server's window gains.
    blocks : int
        L.

    Returns
    -------
    start : ndarray of int64, shape (S,)
        First block from 0.
    throughput : ndarray, shape (L,)
        Summed throughput of every block.
    """
    start, (throughput, *room) = np.zeros_like(width), np.zeros((3, blocks))
    _joining(order, width, gain, start, throughput, *room)
    return start, throughput
