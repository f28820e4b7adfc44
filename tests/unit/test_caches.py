"""Caches by hand, in few rooms: holds, releases and rooms that fill up and grow."""

from __future__ import annotations

import numpy as np
import pytest

from bprr.ground import caches
from bprr.ground.caches import (
    Caches,
    CacheState,
    drop_ended,
    drop_ended_at,
    first_entry_with_room,
    units_before,
)
from bprr.ground.chains import best_chain_ms

BOTH = np.array([0, 1])
FIRST = np.array([0])


def said(state: CacheState, server: int = 0) -> tuple[list[float], list[int]]:
    """Ends and what is released by them, of a server."""
    entries = slice(state.head[server], state.tail[server])
    return state.end[entries].tolist(), state.released_by[entries].tolist()


def test_an_empty_state() -> None:
    state = Caches(np.array([5, 7])).state
    for name, value in (
        ("capacity", [5, 7]), ("free", [5, 7]), ("sessions", [0, 0]), ("released", [0, 0]),
        ("next_end", [np.inf, np.inf]), ("head", [0, 0]), ("tail", [0, 0]), ("first", [0, 0]),
        ("limit", [0, 0]), ("used", [1]),
    ):  # fmt: skip
        assert getattr(state, name).tolist() == value
    assert state.end.size == state.released_by.size == 4096
    assert Caches(np.zeros(300)).state.end.size == 4800
    assert (state.capacity.dtype, state.released_by.dtype) == (np.int64, np.int64)


def test_holds_in_order_of_their_end() -> None:
    held = Caches(np.array([50, 30]))
    held.hold(BOTH, [10, 1], 5.0, 0.0)
    held.hold(FIRST, [4], 3.0, 0.0)
    held.hold(FIRST, [20], 9.0, 0.0)
    held.hold(FIRST, [2], 5.0, 0.0)  # after the other of that end
    state = held.state
    assert said(state) == ([3, 5, 5, 9], [4, 14, 16, 36])
    assert said(state, 1) == ([5], [1])
    assert state.free.tolist() == [14, 29]
    assert state.sessions.tolist() == [4, 1]
    assert state.next_end.tolist() == [3, 5]
    assert held.held_now(0.0).tolist() == [36, 1]
    wanted = (1, 14, 15, 18, 19, 28, 29, 30, 31, 50, 51)
    entries = [first_entry_with_room(state, 0, units) - state.head[0] for units in wanted]
    assert entries == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4]
    assert [units_before(state, 0, at) for at in (0, 3, 3.5, 5, 5.5, 9, 9.5, np.inf)] == [
        14, 14, 18, 18, 30, 30, 50, 50,
    ]  # fmt: skip
    assert [held.release_ms(FIRST, np.array([units]), 0.0) for units in (14, 15, 18, 19, 30, 31,
            50, 51)] == [0, 3, 3, 5, 5, 9, 9, np.inf]  # fmt: skip
    assert held.release_ms(BOTH, np.array([19, 30]), 0.0) == 5
    assert held.release_ms(BOTH, np.array([1, 30]), 0.0) == 5
    assert held.release_ms(BOTH, np.array([1, 29]), 2.0) == 2
    drop_ended_at(state, 0, 2.999)
    assert said(state)[0] == [3, 5, 5, 9]
    drop_ended_at(state, 0, 5.0)
    assert said(state) == ([9], [36])
    assert said(state, 1) == ([5], [1])
    assert (state.free[0], state.released[0], state.sessions[0], state.next_end[0]) == (
        30,
        16,
        1,
        9,
    )
    drop_ended(state, 100.0)
    assert said(state) == said(state, 1) == ([], [])
    assert state.free.tolist() == [50, 30]
    assert state.released.tolist() == [36, 1]
    assert state.next_end.tolist() == [np.inf, np.inf]
    assert state.sessions.tolist() == [0, 0]


def test_holds_may_exceed_the_capacity_and_it_may_change() -> None:
    held = Caches(np.array([5, 5]))
    held.hold(FIRST, [4], 1.0, 0.0)
    held.hold(FIRST, [4], 2.0, 0.0)
    assert held.state.free.tolist() == [-3, 5]
    assert held.release_ms(FIRST, np.array([1]), 0.0) == 1
    held.resize(np.array([20, 1]))
    assert held.state.free.tolist() == [12, 1]
    assert held.state.capacity.tolist() == [20, 1]
    assert held.held_now(0.5).tolist() == [8, 0]
    assert held.held_now(1.0).tolist() == [4, 0]
    assert held.held_now(2.0).tolist() == [0, 0]


def test_releases() -> None:
    held = Caches(np.array([50, 30]))
    for units, end_ms in (([10, 1], 5.0), ([4, 2], 3.0), ([6, 3], 5.0), ([8, 4], 9.0)):
        held.hold(BOTH, units, end_ms, 0.0)
    held.release(BOTH, [10, 1], 5.0, 1.0)
    assert said(held.state) == ([3, 5, 9], [4, 10, 18])
    assert said(held.state, 1) == ([3, 5, 9], [2, 5, 9])
    assert held.state.free.tolist() == [32, 21]
    assert held.state.sessions.tolist() == [3, 3]
    held.release(FIRST, [4], 3.0, 1.0)
    assert said(held.state) == ([5, 9], [6, 14])
    assert held.state.next_end.tolist() == [5, 3]
    held.release(FIRST, [6], 5.0, 4.0)
    held.release(FIRST, [8], 9.0, 4.0)
    assert said(held.state) == ([], [])
    assert held.state.next_end[0] == np.inf
    assert held.state.free[0] == 50
    for units, end_ms in ((3, 9.0), (4, 8.0), (4, 9.5), (2, 3.0)):
        with pytest.raises(ValueError, match="no hold") as caught:
            held.release(np.array([1]), [units], end_ms, 4.0)
        assert str(caught.value) == f"no hold of [{units}] at servers [1] until {end_ms} ms"
    assert said(held.state, 1) == ([5, 9], [5, 9])
    held.release(np.array([1]), [4], 9.0, 4.0)
    assert said(held.state, 1) == ([5], [5])


def test_all_sessions_entered_anew() -> None:
    held = Caches(np.array([50, 30]))
    held.hold(BOTH, [10, 1], 5.0, 0.0)
    held.hold(BOTH, [9, 9], 2.0, 0.0)
    held.held_now(3.0)
    servers, units = np.array([[0, 1], [1, 0], [0, 0]]), np.array([[3, 4], [5, 0], [6, 7]])
    held.enter_anew(servers, units, np.array([2, 1, 1]), np.array([9.0, 4.0, 9.0]), 3.0)
    assert said(held.state) == ([9, 9], [3, 9])
    assert said(held.state, 1) == ([4, 9], [5, 9])
    assert held.state.free.tolist() == [41, 21]
    assert held.state.sessions.tolist() == [2, 2]
    assert held.state.next_end.tolist() == [9, 4]
    assert held.state.released.tolist() == [0, 0]
    held.enter_anew(servers[:0], units[:0], np.array([], dtype=int), np.array([]), 3.0)
    assert held.held_now(3.0).tolist() == [0, 0]
    assert held.state.next_end.tolist() == [np.inf, np.inf]


def test_rooms_double_and_slide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "INITIAL_BUFFER", 20)
    held = Caches(np.array([1000]))
    assert held.state.end.size == 20
    rooms = []
    for number in range(40):
        held.hold(FIRST, [1], 10.0 + number, 0.0)
        state = held.state
        rooms.append((int(state.first[0]), int(state.limit[0]), int(state.used[0]), state.end.size))
        assert said(state) == ([10.0 + n for n in range(number + 1)], list(range(1, number + 2)))
    # Room for 8 from place 1 on; when it is full, for 16 behind it, and so on.
    assert rooms[0] == (1, 9, 9, 20)
    assert rooms[7] == (1, 9, 9, 20)
    assert rooms[8] == (9, 25, 25, 40)
    assert rooms[15] == rooms[8]
    assert rooms[16] == (25, 57, 57, 80)
    assert rooms[32] == (57, 121, 121, 160)
    # With fewer than half in use the entries slide to the start of their room.
    held.held_now(45.0)
    assert said(held.state)[0] == [46, 47, 48, 49]
    for number in range(40, 65):
        held.hold(FIRST, [1], 10.0 + number, 45.0)
        assert held.state.head[0] == (57 if number == 64 else 93)
    assert (held.state.first[0], held.state.limit[0], held.state.tail[0]) == (57, 121, 86)
    assert said(held.state)[0] == [46.0 + n for n in range(29)]
    assert said(held.state)[1] == [37 + n for n in range(29)]
    assert held.state.free[0] == 971


@pytest.mark.parametrize(
    ("most", "blocks", "held", "time_ms"),
    [
        ([4, 4, 4], 4, [0, 4, 0], 9 + 4),
        ([4, 2, 4], 4, [0, 0, 4], 2 + 12),
        ([2, 2, 2], 4, [2, 0, 2], 1 + 8 + 2 + 6),
        ([1, 1, 1], 3, [1, 1, 1], 1 + 4 + 9 + 1 + 2 + 3),
        ([1, 1, 0], 3, [0, 0, 0], np.inf),
        ([0, 0, 3], 3, [0, 0, 3], 2 + 9),
        ([9, 9, 9], 1, [1, 0, 0], 1 + 4),
    ],
)
def test_the_fastest_chain_of_all_placements(
    most: list[int], blocks: int, held: list[int], time_ms: float
) -> None:
    hop_ms, block_ms = np.array([1.0, 9.0, 2.0]), np.array([4.0, 1.0, 3.0])
    found, length = best_chain_ms(np.array(most), hop_ms, block_ms, blocks)
    assert (found.tolist(), length) == (held, time_ms)
