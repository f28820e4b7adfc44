"""The small interfaces hold what is to come: a central queue, and caches that grow by the token."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from bprr.ground.caches import Caches
from bprr.ground.registry import ADMISSION, CHARGING
from bprr.ground.swarm import LanguageModel, Swarm
from bprr.placement.base import Placement
from bprr.scenario.workload import Workload
from bprr.simulation import simulate
from bprr.simulation.admission.base import AdmissionPolicy, Grant
from bprr.simulation.charging.base import ChargingPolicy


class CentralQueue(AdmissionPolicy):
    """First come, first served: the head of the queue starts when a chain frees."""

    def __init__(self, context, options=None) -> None:
        super().__init__(context, options)
        self._queue = deque()

    def admit(self, request):
        grant = None if self._queue else self._start(request)
        if grant is None:
            turn = self.context.env.event()
            self._queue.append((request, turn))
            grant = yield turn
        return grant

    def completed(self, grant: Grant) -> None:
        while self._queue:
            request, turn = self._queue[0]
            started = self._start(request)
            if started is None:
                return
            self._queue.popleft()
            turn.succeed(started)

    def _start(self, request):
        context = self.context
        now = context.env.now
        route = context.router.route(request, now)
        needed = context.charging.needed(request, route)
        if context.caches.release_ms(route.servers, needed, now) > now:
            return None
        service = context.service.times(request, route)
        context.charging.charge(context.caches, request, route, now, now + service.total_ms)
        return Grant(route, service, 0.0, 1)


class GrowingByHalves(ChargingPolicy):
    """Half of the cache from the start, the other half from the middle of the session on."""

    def needed(self, request, route):
        return route.processed * (request.cache_tokens // 2)

    def charge(self, caches: Caches, request, route, now_ms, end_ms) -> None:
        half = route.processed * (request.cache_tokens // 2)
        caches.hold(route.servers, half, end_ms, now_ms)
        self.env.process(self._grow(caches, route, half, (now_ms + end_ms) / 2, end_ms))

    def _grow(self, caches, route, half, middle_ms, end_ms):
        yield self.env.timeout(middle_ms - self.env.now)
        caches.hold(route.servers, half, end_ms, self.env.now)


@pytest.fixture
def one_at_a_time() -> Placement:
    """One server whose cache holds one session of 10 tokens in both blocks."""
    model = LanguageModel(blocks=2, d_model=1, block_gb=1.0)
    swarm = Swarm(model, [3.0], [1.0], [0.0], [0.0], [[4.0]], [[4.0]])
    return Placement(swarm, np.array([1]), np.array([2]), np.array([20]))


@pytest.fixture
def burst() -> Workload:
    return Workload(np.array([0.0, 1.0, 2.0, 3.0]), 0, 5, 5)


def test_central_queue_serves_in_order_without_gaps(one_at_a_time, burst, monkeypatch) -> None:
    monkeypatch.setitem(ADMISSION._policies, "central_queue", CentralQueue)
    records = simulate(one_at_a_time, burst, "exact", admission="central_queue")
    service_ms = (records.completion_ms - records.wait_ms)[0]
    assert service_ms > 3.0  # longer than the burst, so everyone queues
    assert records.start_ms == pytest.approx(service_ms * np.arange(4))


def test_growing_cache_lets_sessions_overlap(one_at_a_time, burst, monkeypatch) -> None:
    monkeypatch.setitem(CHARGING._policies, "halves", GrowingByHalves)
    whole = simulate(one_at_a_time, burst, "exact", admission="retry")
    halves = simulate(one_at_a_time, burst, "exact", admission="retry", charging="halves")
    # Two halves fit beside each other; once both have grown, nothing is free for the third.
    assert (whole.wait_ms > 0).tolist() == [False, True, True, True]
    assert (halves.wait_ms > 0).tolist() == [False, False, True, True]
