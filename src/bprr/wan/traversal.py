"""Time of one frame round a swarm, term by term (docs/wan.md#forwarding)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bprr.ground.swarm import FloatArray
from bprr.window.base import WindowPolicy

__all__ = ["Traversal", "activation_kb", "aux_states", "traversal"]

STEPS = 100  # far more than a window has halvings


class Traversal(NamedTuple):
    """Terms of a traversal (ms), and what its windows cost each leg."""

    distance_ms: float
    overhead_ms: float
    window_ms: float
    wire_ms: float
    stages_ms: float
    lost_round_trips: FloatArray

    @property
    def total_ms(self) -> float:
        """Sum of the terms."""
        return sum(self[:-1])


def activation_kb(
    positions: float, hidden: int, residual_streams: int = 1, bytes_per_value: float = 2.0
) -> float:
    """Size of one hidden state of so many positions (kB = 1000 bytes)."""
    return positions * hidden * residual_streams * bytes_per_value / 1000.0


def aux_states(stages: int, read_at: tuple[float, ...] = (0.03, 0.5, 0.95)) -> FloatArray:
    """Hidden states that the coordinator and each of some equal stages send on.

    A drafter at the coordinator that reads inner layers (EAGLE-3: three, at these shares of the
    depth) makes the legs after them carry their outputs too; the last leg carries only these.
    """
    done = np.arange(stages + 1) / stages
    read = (done[:, None] > np.array(read_at)).sum(axis=1)
    return np.where(done < 1, 1 + read, read).astype(float)


def traversal(
    rtt_ms: FloatArray,
    frame_kb: FloatArray | float,
    overhead_ms_per_leg: float,
    stages_ms: float,
    window: WindowPolicy,
    *,
    draft_ms: float = 0.0,
    frames: float = 1.0,
    uplink_mbit_per_s: float = float("inf"),
    from_above: bool = True,
) -> Traversal:
    """Terms of one traversal, whose windows depend on how long it takes.

    Parameters
    ----------
    rtt_ms, frame_kb : ndarray, or one size
        Round trip of each leg, and what crosses it.
    overhead_ms_per_leg, stages_ms : float
        What a leg costs besides distance; all stages together.
    window : WindowPolicy
        What idle connections cost.
    draft_ms, frames : float
        Time between traversals; frames that share the connections at a time.
    uplink_mbit_per_s : float
        Rate of every leg.
    from_above : bool
        Near a timeout a swarm has a slow and a fast state; the slow one is returned, or the other.
    """
    rtt_ms = np.asarray(rtt_ms, dtype=float)
    sizes_kb = np.broadcast_to(np.asarray(frame_kb, dtype=float), rtt_ms.shape)
    rest = Traversal(
        float(rtt_ms.sum() / 2),
        overhead_ms_per_leg * rtt_ms.size,
        0.0,
        float((sizes_kb * 8.0 / uplink_mbit_per_s).sum()),
        stages_ms,
        np.zeros(rtt_ms.shape),
    )
    first, bound = (np.inf, np.minimum) if from_above else (0.0, np.maximum)
    lost = window.lost_round_trips(np.full(rtt_ms.shape, first), rtt_ms, sizes_kb)
    for _ in range(STEPS):
        total_ms = rest.total_ms + float((lost * rtt_ms).sum())
        idle_ms = (total_ms + draft_ms) / frames - lost * rtt_ms
        found = bound(lost, window.lost_round_trips(idle_ms, rtt_ms, sizes_kb))
        if np.array_equal(found, lost):
            break
        lost = found
    return rest._replace(window_ms=float((lost * rtt_ms).sum()), lost_round_trips=lost)
