"""The strong formulation: requests flow over block positions, servers are chosen by their end.

Positions p = 0..L count the blocks done. A server that hosts blocks e−m+1..e is a *window* (e, m);
by the suffix rule (docs/model.md) whatever it processes ends at e, so a request uses it along
an *arc* from some p ≥ e−m to e. Servers of one class are counted, not told apart:

- ``y[k, e, m]``: servers of class k that host the window (e, m);
- ``x[c, k, p, e]``: requests of client c that a server of class k takes from p to e.

Let R requests be served in all, R_c of client c, and K(m) be the cache slots beside m blocks.

1. Σ_{e,m} y[k, e, m] ≤ N_k.
2. For every client, R_c units flow from position 0 to L.
3. For every (k, e) and κ: Σ_{c, p ≤ e−κ} x ≤ Σ_{m ≥ κ} min(R, ⌊K(m)/κ⌋) y, and the same for each
   client alone with R_c.
4. For every (k, e) and κ: Σ_{c, p ≤ e−κ} (e−p) x ≤ Σ_{m ≥ κ} min(K(m), R m) y.

Only κ = 1 and the κ at which the set of sizes m ≥ κ changes are needed. Two dominances keep it
small and lose nothing: a server that has cache for all R requests gains by hosting more to the
left, so m ≥ m^R (or m = e at the front of the model); and a server whose K(m) < m cannot serve a
session on all of its blocks, so it loses nothing by hosting fewer.

For classes of one server this is the paper's problem; for larger ones it is a relaxation of it,
which `bprr.offline.packing` turns into a placement or rejects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bprr.ground.swarm import IntArray
from bprr.offline.instance import OfflineInstance, ServerClass
from bprr.offline.milp import Milp, RowBuilder

__all__ = ["ClassColumns", "Columns", "FlowModel", "build", "build_strong", "flow_rows"]


@dataclass(frozen=True)
class ClassColumns:
    """Columns of one class of servers: W windows, A arcs."""

    servers: ServerClass
    window_size: IntArray  # m, shape (W,)
    window_end: IntArray  # e
    window_column: IntArray  # of y
    arc_tail: IntArray  # positions where each arc starts, shape (A,), and ends
    arc_head: IntArray
    arc_column: IntArray  # of x, shape (C, A)

    @property
    def arc_blocks(self) -> IntArray:
        """Blocks that a request processes along each arc, κ."""
        return self.arc_head - self.arc_tail


Columns = tuple[IntArray, IntArray, IntArray, IntArray]  # m, e; tails, heads


@dataclass(frozen=True)
class FlowModel:
    """An integer programme over windows and arcs, and what its columns mean."""

    instance: OfflineInstance
    milp: Milp
    classes: tuple[ClassColumns, ...]


def window_sizes(servers: ServerClass, load: int, end: int) -> IntArray:
    """Sizes m that a server ending at block ``end`` may need; none if no block fits."""
    sizes = np.arange(len(servers.slots))
    largest = int(sizes[servers.slots >= sizes].max())
    smallest = max(1, servers.conservative_size(load))
    if end < smallest:
        return np.array([end])
    return np.arange(smallest, min(end, largest) + 1)


def suffix_columns(servers: ServerClass, instance: OfflineInstance) -> Columns:
    """Windows of every useful size and end, and arcs from within them to their ends."""
    ends, sizes, tails, heads = [], [], [], []
    for end in range(1, instance.swarm.model.blocks + 1):
        usable = window_sizes(servers, instance.load, end)
        if not usable.size:
            continue
        ends.append(np.full(usable.size, end))
        sizes.append(usable)
        tails.append(np.arange(end - usable.max(), end))
        heads.append(np.full(usable.max(), end))
    empty = [np.zeros(0, dtype=np.int64)]
    size, end_of, tail, head = (
        np.concatenate(each or empty) for each in (sizes, ends, tails, heads)
    )
    return size, end_of, tail, head


def flow_rows(
    rows: RowBuilder, instance: OfflineInstance, arcs: list[tuple[IntArray, IntArray, IntArray]]
) -> None:
    """Rows 2: R_c units from position 0 to L for every client, over arcs (tails, heads, columns).

    Position L is left out, since it follows from the others.
    """
    blocks = instance.swarm.model.blocks
    for client, count in enumerate(instance.requests):
        supply = np.zeros(blocks)
        supply[0] = count
        position = rows.add(supply, supply)
        for tail, head, column in arcs:
            rows.fill(position[tail], column[client], 1.0)
            inner = head < blocks
            rows.fill(position[head[inner]], column[client, inner], -1.0)


def capacity_rows(rows: RowBuilder, instance: OfflineInstance, part: ClassColumns) -> None:
    """Rows 3 and 4 of one class."""
    slots, load = part.servers.slots, instance.load
    for end in np.unique(part.window_end):
        windows = part.window_end == end
        size, window_column = part.window_size[windows], part.window_column[windows]
        arcs = part.arc_head == end
        blocks, arc_column = part.arc_blocks[arcs], part.arc_column[:, arcs]
        for least in (1, *(size[:-1] + 1)):
            hosts, uses = size >= least, blocks >= least
            fits = slots[size[hosts]] // least
            limits = [(load, arc_column[:, uses])]
            if instance.swarm.clients > 1:
                limits += [
                    (count, arc_column[client, uses])
                    for client, count in enumerate(instance.requests)
                ]
            for count, columns in limits:
                row = rows.add(np.array([-np.inf]), np.zeros(1))
                rows.fill(row, columns, 1.0)
                rows.fill(row, window_column[hosts], -np.minimum(count, fits).astype(float))
            room = np.minimum(slots[size[hosts]], load * size[hosts])
            # With one size and cache for all requests on all blocks, rows 3 imply row 4.
            if hosts.sum() > 1 or room[0] < load * size[hosts][0]:
                row = rows.add(np.array([-np.inf]), np.zeros(1))
                rows.fill(row, arc_column[:, uses], np.tile(blocks[uses], (len(arc_column), 1)))
                rows.fill(row, window_column[hosts], -room.astype(float))


def assemble(
    instance: OfflineInstance, parts: tuple[ClassColumns, ...], rows: RowBuilder
) -> FlowModel:
    """Add costs, bounds, rows 1 and 2 to the capacity rows of a model over windows and arcs."""
    columns = sum(part.window_column.size + part.arc_column.size for part in parts)
    cost, upper = np.zeros(columns), np.zeros(columns)
    requests = np.array(instance.requests, dtype=float)
    for part in parts:
        upper[part.window_column] = part.servers.count
        upper[part.arc_column] = requests[:, None]
        round_trip, tau = part.servers.token_rtt_ms[:, None], part.servers.tau_ms
        cost[part.arc_column] = round_trip + tau * part.arc_blocks
        members = rows.add(np.array([-np.inf]), np.array([float(part.servers.count)]))
        rows.fill(members, part.window_column, 1.0)
    flow_rows(rows, instance, [(part.arc_tail, part.arc_head, part.arc_column) for part in parts])
    milp = rows.build(cost, np.zeros(columns), upper, np.ones(columns, dtype=bool))
    return FlowModel(instance, milp, parts)


def build(
    instance: OfflineInstance,
    classes: tuple[ServerClass, ...],
    columns_of: Callable[[ServerClass, OfflineInstance], Columns],
    add_rows: Callable[[RowBuilder, OfflineInstance, ClassColumns], None],
) -> FlowModel:
    """Integer programme from the windows and arcs of each class, and the rows over them."""
    parts: list[ClassColumns] = []
    rows = RowBuilder()
    columns = 0
    for servers in classes:
        size, end, tail, head = columns_of(servers, instance)
        windows = columns + np.arange(size.size)
        shape = instance.swarm.clients, tail.size  # without arcs where no block fits
        arcs = columns + size.size + np.arange(shape[0] * shape[1]).reshape(shape)
        part = ClassColumns(servers, size, end, windows, tail, head, arcs)
        columns += windows.size + arcs.size
        add_rows(rows, instance, part)
        parts.append(part)
    return assemble(instance, tuple(parts), rows)


def build_strong(instance: OfflineInstance, classes: tuple[ServerClass, ...]) -> FlowModel:
    """Integer programme of the strong formulation for a partition of the servers into classes."""
    return build(instance, classes, suffix_columns, capacity_rows)
