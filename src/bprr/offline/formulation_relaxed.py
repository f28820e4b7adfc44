"""The relaxed stopping rule: a server may stop before the end of its range.

This is not the paper's problem. Windows and flows are those of the strong formulation, but a
request may leave a window (e, m) at any position, so arcs run from p to q within it. For every
class and interval (p, q): Σ of the requests whose arcs contain it ≤ Σ over the windows that contain
it of min(R, ⌊K(m)/(q−p)⌋) y; and per class Σ (q−p) x ≤ Σ min(K(m), R m) y. Sizes below m^R are
dominated as before; large sizes are not, since requests may use different parts of a window.
"""

from __future__ import annotations

import numpy as np

from bprr.offline.formulation_strong import ClassColumns, Columns, FlowModel, build
from bprr.offline.instance import OfflineInstance, ServerClass
from bprr.offline.milp import RowBuilder

__all__ = ["build_relaxed"]


def relaxed_columns(servers: ServerClass, instance: OfflineInstance) -> Columns:
    """Windows of every useful size and place, and every arc that one of them contains."""
    blocks = instance.swarm.model.blocks
    usable = np.flatnonzero(servers.slots > 0)
    largest = int(usable.max()) if usable.size else 0
    smallest = min(max(1, servers.conservative_size(instance.load)), blocks)
    windows = [
        (size, end) for size in range(smallest, largest + 1) for end in range(size, blocks + 1)
    ]
    size, end = np.array(windows, dtype=np.int64).reshape(-1, 2).T
    longest = max((min(m, int(servers.slots[m])) for m in range(smallest, largest + 1)), default=0)
    arcs = [
        (tail, head)
        for head in range(1, blocks + 1)
        for tail in range(max(0, head - longest), head)
    ]
    tail, head = np.array(arcs, dtype=np.int64).reshape(-1, 2).T
    return size, end, tail, head


def interval_rows(rows: RowBuilder, instance: OfflineInstance, part: ClassColumns) -> None:
    """Capacity of every interval that an arc may span, and of the whole class."""
    slots, load = part.servers.slots, instance.load
    window_tail = part.window_end - part.window_size
    limits = [(load, part.arc_column)]
    if instance.swarm.clients > 1:
        limits += [
            (count, part.arc_column[[client]]) for client, count in enumerate(instance.requests)
        ]
    for tail, head in zip(part.arc_tail, part.arc_head, strict=True):
        over = (part.arc_tail <= tail) & (part.arc_head >= head)
        hosts = (window_tail <= tail) & (part.window_end >= head)
        fits = slots[part.window_size[hosts]] // (head - tail)
        for count, columns in limits:
            row = rows.add(np.array([-np.inf]), np.zeros(1))
            rows.fill(row, columns[:, over], 1.0)
            rows.fill(row, part.window_column[hosts], -np.minimum(count, fits).astype(float))
    room = np.minimum(slots[part.window_size], load * part.window_size)
    row = rows.add(np.array([-np.inf]), np.zeros(1))
    rows.fill(row, part.arc_column, np.tile(part.arc_blocks, (len(part.arc_column), 1)))
    rows.fill(row, part.window_column, -room.astype(float))


def build_relaxed(instance: OfflineInstance, classes: tuple[ServerClass, ...]) -> FlowModel:
    """Integer programme of the relaxed stopping rule for a partition into classes."""
    return build(instance, classes, relaxed_columns, interval_rows)
