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
