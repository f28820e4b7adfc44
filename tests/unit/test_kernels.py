"""Compiled kernels: which files their caches depend on, and events in their order."""

from __future__ import annotations

import heapq
import importlib.util
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bprr.ground import caches, compiled, events
from bprr.ground.chains import ChainSearch
from bprr.ground.compiled import _files
from bprr.ground.events import Events, pop, push
from bprr.ground.intervals import Interval


@compiled.compiled
def push_twice(heap: Any, time_ms: float) -> None:
    """Kernel that calls one of another file, and itself."""
    if time_ms > 0:
        push(heap, time_ms, 1, 2, 3)
        push_twice(heap, time_ms - 1)


@compiled.compiled
def calls_a_caller(heap: Any) -> None:
    """Kernel that reaches another file through one of its own."""
    push_twice(heap, 1.0)


def plain(heap: Any) -> None:
    """Call what is no kernel."""
    len(heap)


def test_a_cache_knows_the_files_of_all_that_is_called() -> None:
    for kernel in (push_twice, calls_a_caller):
        assert _files({kernel.py_func}) == {__file__, events.__file__}
    assert _files({plain}) == {__file__}
    assert _files({plain, caches.hold.py_func}) == {__file__, caches.__file__}
    assert _files({push.py_func}) == {events.__file__}
    assert _files(set()) == frozenset()


@pytest.mark.skipif("NUMBA_CACHE_DIR" in os.environ, reason="kernels are kept elsewhere")
def test_a_kernel_is_kept_beside_its_file(tmp_path: Path) -> None:
    path = tmp_path / "kernel_that_is_kept.py"
    path.write_text(
        "from bprr.ground.compiled import compiled\n@compiled\ndef twice(x):\n    return 2 * x\n"
    )

    def loaded() -> Any:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.twice(4) == 8
        return module.twice.stats

    assert sum(loaded().cache_misses.values()) == 1
    kept = {file.suffix for file in (tmp_path / "__pycache__").iterdir()}
    assert {".nbi", ".nbc"} <= kept
    assert sum(loaded().cache_hits.values()) == 1


def test_a_kernel_is_kept_for_one_kind_of_processor() -> None:
    codegen = SimpleNamespace(magic_tuple=lambda: ("this", "processor"))
    key = push_twice._cache._index_key((), codegen)
    assert ("this", "processor") in key


def test_room_for_events_doubles_and_they_stay() -> None:
    heap = Events.none()
    assert [column.size for column in heap] == [16, 16, 16, 16, 1]
    for number in range(16):
        push(heap, float(number % 5), number, 100 + number, 7)
    grown = heap.grown()
    assert [column.size for column in grown] == [32, 32, 32, 32, 1]
    assert type(grown) is Events
    for before, after in zip(heap[:4], grown[:4], strict=True):
        assert after[:16].tolist() == before.tolist()
    push(grown, 2.0, 16, 116, 8)
    order = sorted((number % 5, number) for number in range(16))
    order = sorted([*order, (2, 16)])
    assert [pop(grown) for _ in range(17)] == [
        (time_ms, 100 + number, 8 if number == 16 else 7) for time_ms, number in order
    ]
    assert grown.size.tolist() == [0]


@pytest.mark.parametrize("seed", range(4))
def test_events_come_by_time_then_by_number(seed: int) -> None:
    rng, heap, expected = np.random.default_rng(seed), Events.none().grown().grown(), []
    for number in range(300):
        if expected and (len(expected) == 60 or rng.random() < 0.45):
            time_ms, _, request, kind = heapq.heappop(expected)
            assert pop(heap) == (time_ms, request, kind)
        else:
            time_ms, request, kind = float(rng.integers(9)), int(rng.integers(99)), number % 3
            heapq.heappush(expected, (time_ms, number, request, kind))
            push(heap, time_ms, number, request, kind)
        assert heap.size[0] == len(expected)
    while expected:
        time_ms, _, request, kind = heapq.heappop(expected)
        assert pop(heap) == (time_ms, request, kind)


def test_a_shortest_chain_by_hand() -> None:
    # Server 0 holds blocks 1-2, 1 all four, 2 blocks 2-4, 3 nothing.
    first, blocks = np.array([1, 1, 2, 0]), np.array([2, 4, 3, 0])
    hop_ms, block_ms = np.array([1.0, 9.0, 2.0, 0.0]), np.array([1.0, 2.0, 3.0, 0.0])

    def found(*most: int) -> tuple[list[int], list[int], float]:
        search = ChainSearch.of(first, blocks, 4)
        assert search.order.tolist() == [0, 1, 2]
        servers, processed, time_ms = search.shortest(np.array(most), hop_ms, block_ms)
        return servers.tolist(), processed.tolist(), time_ms

    assert found(4, 4, 4, 4) == ([0, 2], [2, 2], 1 + 2 + 2 + 6)
    assert found(4, 4, 1, 4) == ([0, 1], [2, 2], 1 + 2 + 9 + 4)
    assert found(4, 2, 4, 4) == ([0, 2], [2, 2], 11)
    assert found(1, 4, 3, 0) == ([1], [4], 17)
    assert found(1, 3, 3, 0)[2] == np.inf
    # A first server that takes the first block alone.
    search = ChainSearch.of(np.array([1, 2]), np.array([1, 3]), 4)
    assert search.order.tolist() == [0, 1]
    servers, processed, time_ms = search.shortest(np.array([4, 4]), hop_ms[:2], block_ms[:2])
    assert (servers.tolist(), processed.tolist(), time_ms) == ([0, 1], [1, 3], 1 + 1 + 9 + 6)


def test_an_interval_is_a_value_and_its_ends() -> None:
    assert Interval(1.0, 0.5, 2.0)._asdict() == {"value": 1.0, "low": 0.5, "high": 2.0}
