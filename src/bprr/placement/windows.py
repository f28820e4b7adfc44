"""Choice of the window of consecutive blocks a server hosts: the hot kernels of placement.

Window starts are counted from 0 here.
"""

from __future__ import annotations

import numpy as np

from bprr.ground.compiled import compiled

__all__ = ["greedy_windows", "least_served_window", "longest_waiting_window", "petals_windows"]

TIE = 1e-9  # sums within this relative distance are equal: running sums differ by rounding


@compiled(_nrt=True)  # makes arrays
def least_served_window(service, width):  # type: ignore[no-untyped-def]
    """Start of the window whose sorted service is lexicographically smallest; ties: first."""
    best_start = 0
    best = np.sort(service[:width])
    for start in range(1, service.shape[0] - width + 1):
        # The leaving value stood in the window before; equal windows need no sorting.
        if service[start - 1] == service[start + width - 1] and best_start == start - 1:
            continue
        candidate = np.sort(service[start : start + width])
        for i in range(width):
            if candidate[i] != best[i]:
                if candidate[i] < best[i]:
                    best, best_start = candidate, start
                break
    return best_start


@compiled(_nrt=True)  # makes arrays
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


@compiled(_nrt=True)  # makes arrays
def greedy_windows(order, width, sessions, amortised_ms, blocks, load):  # type: ignore[no-untyped-def]
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
    start = np.zeros(width.shape[0], dtype=np.int64)
    capacity = np.zeros(blocks, dtype=np.int64)
    dummy = 0.0
    for server in order:
        dummy = max(dummy, amortised_ms[server])
    dummy += 1.0
    time = np.full(blocks, load * dummy)
    needed = -1
    for rank in range(order.shape[0]):
        server = order[rank]
        if needed < 0:
            chosen = longest_waiting_window(time, capacity, load, width[server])
        else:
            chosen = least_served_window(capacity, width[server])
        start[server] = chosen
        for block in range(chosen, chosen + width[server]):
            served = min(max(load - capacity[block], 0), sessions[server])
            time[block] -= (dummy - amortised_ms[server]) * served
            capacity[block] += sessions[server]
        if needed < 0 and capacity.min() >= load:
            needed = rank + 1
    return start, capacity, order.shape[0] if needed < 0 else needed


@compiled(_nrt=True)  # makes arrays
def petals_windows(order, width, gain, blocks):  # type: ignore[no-untyped-def]
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
    start = np.zeros(width.shape[0], dtype=np.int64)
    throughput = np.zeros(blocks)
    for server in order:
        chosen = least_served_window(throughput, width[server])
        start[server] = chosen
        throughput[chosen : chosen + width[server]] += gain[server]
    return start, throughput
