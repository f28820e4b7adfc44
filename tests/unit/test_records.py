"""Metrics (docs/model.md#metrics) over records made by hand."""

import numpy as np
import pytest

from bprr.placement.base import Placement
from bprr.scenario.workload import Workload
from bprr.simulation import Delays, simulate
from bprr.simulation.records import Records, peak_concurrency


@pytest.fixture
def records():
    workload = Workload(np.array([0.0, 100.0, 250.0]), np.array([0, 1, 0]), 8, np.array([11, 1, 5]))
    return Records(
        workload,
        wait_ms=np.array([0.0, 50.0, 0.0]),
        raw_wait_ms=np.array([0.0, 20.0, 0.0]),
        ttft_ms=np.array([40.0, 90.0, 30.0]),
        completion_ms=np.array([220.0, 90.0, 50.0]),
        attempts=np.array([1, 2, 1]),
        chain_start=np.array([0, 2, 3, 4]),
        chain_server=np.array([0, 2, 1, 1]),
        chain_processed=np.array([3, 1, 4, 4]),
        engine="simpy",
    )


def test_metrics(records):
    table = records.table()
    assert table["per_token_ms"].tolist() == [20, 90, 10]
    assert table["remaining_per_token_ms"][[0, 2]].tolist() == [18, 5]
    assert np.isnan(table["remaining_per_token_ms"][1])  # a single token leaves none
    assert table["hops"].tolist() == [2, 1, 1]
    assert table["client"].tolist() == [0, 1, 0]
    assert records.start_ms.tolist() == [0, 150, 250]
    assert records.end_ms.tolist() == [220, 190, 300]
    assert [part.tolist() for part in records.chain(0)] == [[0, 2], [3, 1]]
    assert records.max_concurrent == 2  # the waiting one counts; the third comes after both


def test_peak_concurrency_counts_half_open_intervals():
    assert peak_concurrency(np.array([0.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0])) == 1
    assert peak_concurrency(np.array([0.0, 0.5, 2.0]), np.array([1.0, 2.5, 3.0])) == 2
    assert peak_concurrency(np.array([]), np.array([])) == 0


def one_server(swarm):
    """All four blocks on server 0, with cache for one session of 19 tokens."""
    return Placement(swarm, np.array([1, 0, 0]), np.array([4, 0, 0]), np.array([80, 0, 0]))


def test_two_requests_by_hand(small_swarm):
    """A cache for one session: the second request waits for the first, then for the back-off."""
    placement = one_server(small_swarm)
    workload = Workload(np.array([0.0, 300.0]), 0, 8, 11)
    # Prompt: 50 + 2 + 4 · (10 + 4) = 108; ten more tokens at 40 + 4 · 1: 440; delays 30 + 7.
    for admission, wait in (("reserve", 1000.0), ("retry", 1000.0)):
        records = simulate(
            placement, workload, "ws_rr", admission=admission, delays=Delays(7.0, 30.0)
        )
        assert records.ttft_ms.tolist() == [145, 145 + wait]
        assert records.completion_ms.tolist() == [585, 585 + wait]
        assert records.raw_wait_ms.tolist() == [0, 285]
        assert records.wait_ms.tolist() == [0, wait]
        assert records.max_concurrent == 2


def test_reserve_holds_memory_while_waiting_and_retry_does_not(small_swarm):
    """Three at once with room for one: under reserve each waits for all before it."""
    placement = one_server(small_swarm)
    workload = Workload(np.zeros(3), 0, 8, 11)  # 548 ms each
    reserve = simulate(placement, workload, "ws_rr", admission="reserve")
    assert reserve.raw_wait_ms.tolist() == [0, 548, 1548]
    assert reserve.wait_ms.tolist() == [0, 1000, 3000]
    retry = simulate(placement, workload, "ws_rr", admission="retry")
    assert retry.raw_wait_ms.tolist() == [0, 548, 548]
    assert retry.wait_ms.tolist() == [0, 1000, 3000]
    assert retry.attempts.tolist() == [1, 2, 3]


def test_an_empty_workload(small_swarm):
    placement = Placement(small_swarm, np.array([1, 0, 0]), np.array([4, 0, 0]))
    records = simulate(placement, Workload(np.array([]), 0, 8, 11), "ws_rr")
    assert len(records) == 0
    assert records.table().empty
