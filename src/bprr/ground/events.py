"""Events to come by time; of those at one instant the first noted comes first, as in SimPy."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from bprr.ground.compiled import compiled
from bprr.ground.swarm import FloatArray, IntArray

__all__ = ["Events", "pop", "push"]


class Events(NamedTuple):
    """A binary heap, of whose places the first ``size`` are in use."""

    time_ms: FloatArray
    number: IntArray  # in the order in which events were noted
    request: IntArray
    kind: IntArray
    size: IntArray  # (1,)

    @classmethod
    def none(cls) -> Self:
        """No event, with room for some."""
        size = np.zeros(1, dtype=np.int64)
        return cls._make((np.empty(16), *np.empty((3, 16), dtype=np.int64), size))

    def grown(self) -> Self:
        """Return the same events with twice the room."""
        columns = (np.resize(column, 2 * column.size) for column in self[:4])
        return type(self)._make((*columns, self.size))


@compiled(inline="always")
def _sooner(heap, i, time_ms, number):  # type: ignore[no-untyped-def]
    return heap.time_ms[i] < time_ms or (heap.time_ms[i] == time_ms and heap.number[i] < number)


@compiled(inline="always")
def _put(heap, i, time_ms, number, request, kind):  # type: ignore[no-untyped-def]
    heap.time_ms[i], heap.number[i] = time_ms, number
    heap.request[i], heap.kind[i] = request, kind


@compiled(inline="always")
def _move(heap, i, j):  # type: ignore[no-untyped-def]
    _put(heap, i, heap.time_ms[j], heap.number[j], heap.request[j], heap.kind[j])


@compiled
def push(heap, time_ms, number, request, kind):  # type: ignore[no-untyped-def]
    """Note an event; there is room."""
    i = heap.size[0]
    heap.size[0] += 1
    while i > 0:
        parent = (i - 1) // 2
        if _sooner(heap, parent, time_ms, number):
            break
        _move(heap, i, parent)
        i = parent
    _put(heap, i, time_ms, number, request, kind)


@compiled
def pop(heap):  # type: ignore[no-untyped-def]
    """Take the next event: its time, its request and its kind."""
    found = heap.time_ms[0], heap.request[0], heap.kind[0]
    heap.size[0] -= 1
    last, i = heap.size[0], 0
    while 2 * i + 1 < last:
        child = 2 * i + 1
        if child + 1 < last and _sooner(heap, child + 1, heap.time_ms[child], heap.number[child]):
            child += 1
        if not _sooner(heap, child, heap.time_ms[last], heap.number[last]):
            break
        _move(heap, i, child)
        i = child
    _move(heap, i, last)
    return found
