"""The caches against a list of holds."""

import math

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from naive import free_from

from bprr.ground.caches import Caches

SERVERS = st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True)
UNITS = st.lists(st.integers(1, 12), min_size=4, max_size=4)


class CachesMachine(RuleBasedStateMachine):
    """Holds in any order of their ends, oversubscription, time passing, questions in between."""

    @initialize(capacity=st.lists(st.integers(0, 20), min_size=4, max_size=4))
    def start(self, capacity):
        self.capacity, self.now, self.holds = capacity, 0.0, []
        self.caches = Caches(np.array(capacity))

    @rule(servers=SERVERS, units=UNITS, lasting=st.integers(1, 30))
    def hold(self, servers, units, lasting):
        end = self.now + lasting
        amounts = units[: len(servers)]
        self.caches.hold(np.array(servers), amounts, end, self.now)
        self.holds += [(s, u, end) for s, u in zip(servers, amounts, strict=True)]

    @rule(servers=SERVERS, units=UNITS, count=st.integers(5, 30))
    def hold_many(self, servers, units, count):
        for lasting in range(count, 0, -1):
            self.hold(servers, units, lasting)

    @rule(data=st.data())
    def release(self, data):
        """Holds of one end that several servers have, as one session's."""
        alive = [hold for hold in self.holds if hold[2] > self.now]
        if alive:
            server, units, end = data.draw(st.sampled_from(alive))
            self.caches.release(np.array([server]), [units], end, self.now)
            self.holds.remove((server, units, end))

    @rule(sessions=st.lists(st.tuples(SERVERS, UNITS, st.integers(1, 30)), max_size=12))
    def enter_anew(self, sessions):
        """Whatever was held before is not any more."""
        servers, units = np.zeros((2, len(sessions), 4), dtype=np.int64)
        hops = np.array([len(at) for at, _, _ in sessions], dtype=np.int64)
        ends = np.array([self.now + lasting for _, _, lasting in sessions])
        self.holds = []
        for row, (at, amounts, lasting) in enumerate(sessions):
            servers[row, : len(at)], units[row, : len(at)] = at, amounts[: len(at)]
            self.holds += [(s, u, self.now + lasting) for s, u in zip(at, amounts, strict=False)]
        self.caches.enter_anew(servers, units, hops, ends, self.now)

    @rule(step=st.integers(0, 12))
    def pass_time(self, step):
        self.now += step

    @rule(servers=SERVERS, units=UNITS)
    def ask_release(self, servers, units):
        amounts = units[: len(servers)]
        expected = max(
            free_from(self.holds, self.capacity[s], s, u, self.now)
            for s, u in zip(servers, amounts, strict=True)
        )
        found = self.caches.release_ms(np.array(servers), np.array(amounts), self.now)
        assert found == expected

    @invariant()
    def held_and_sessions_agree(self):
        if not hasattr(self, "caches"):
            return
        alive = [(server, units) for server, units, end in self.holds if end > self.now]
        expected = [sum(units for at, units in alive if at == server) for server in range(4)]
        assert self.caches.held_now(self.now).tolist() == expected
        counts = [sum(at == server for at, _ in alive) for server in range(4)]
        assert self.caches.state.sessions.tolist() == counts


def test_what_nobody_holds_cannot_be_released():
    caches = Caches(np.array([10]))
    caches.hold(np.array([0]), [3], 5.0, 0.0)
    for units, end in ((2, 5.0), (3, 6.0)):
        with pytest.raises(ValueError, match="no hold of"):
            caches.release(np.array([0]), [units], end, 1.0)


def test_caches_are_a_list_of_holds():
    run_state_machine_as_test(CachesMachine, settings=settings(stateful_step_count=30))


def test_a_hold_ends_at_its_end():
    caches = Caches(np.array([10]))
    caches.hold(np.array([0]), [10], 5.0, 0.0)
    assert caches.held_now(np.nextafter(5.0, 0.0)).tolist() == [10]
    assert caches.held_now(5.0).tolist() == [0]


@pytest.mark.parametrize("units, expected", [(1, 0.0), (4, 3.0), (8, 7.0), (11, math.inf)])
def test_release_by_hand(units, expected):
    caches = Caches(np.array([10]))
    caches.hold(np.array([0]), [3], 7.0, 0.0)
    caches.hold(np.array([0]), [4], 3.0, 0.0)
    assert caches.release_ms(np.array([0]), np.array([units]), 0.0) == expected
