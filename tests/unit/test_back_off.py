"""Instants of the binary exponential back-off (docs/model.md#waiting)."""

import itertools

import pytest

from bprr.simulation.admission.at_release import AtRelease
from bprr.simulation.admission.back_off import BackOff, Gaps, gap_ms, instant_ms
from bprr.simulation.admission.reserve import Reserve
from bprr.simulation.admission.retry import Retry

INSTANTS_S = [1, 3, 7, 15, 31, 63, 123, 183, 243]
PAPER = Gaps(BackOff().first_ms, BackOff().longest_ms)


def test_instants_of_the_paper():
    gaps = [gap_ms(PAPER, attempt) for attempt in range(1, 10)]
    assert gaps == [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000]
    assert list(itertools.accumulate(gaps)) == [1000 * s for s in INSTANTS_S]


@pytest.mark.parametrize("before, instant", list(itertools.pairwise([0, *INSTANTS_S])))
def test_first_instant_not_before_the_wait(before, instant):
    assert instant_ms(PAPER, before * 1000.0 + 1e-6) == instant * 1000
    assert instant_ms(PAPER, instant * 1000.0) == instant * 1000


def test_no_wait_is_no_wait():
    assert instant_ms(PAPER, 0.0) == 0
    assert instant_ms(PAPER, -1.0) == 0


def test_a_long_wait_is_counted_like_a_short_one():
    for wait in (3.6e6, 1e9 + 0.5, 123_456_789.0):
        instant, attempt = 0.0, 0
        while instant < wait:
            attempt += 1
            instant += gap_ms(PAPER, attempt)
        assert instant_ms(PAPER, wait) == instant


def test_other_gaps():
    gaps = Gaps(10.0, 25.0)
    assert [instant_ms(gaps, w) for w in (1.0, 11.0, 31.0, 56.0, 200.0)] == [10, 30, 55, 80, 205]
    assert [gap_ms(Gaps(50.0, 25.0), attempt) for attempt in (1, 2, 3)] == [50, 25, 25]


def decision(policy, wait_ms, attempt=1):
    return policy.state.kernel(wait_ms, attempt)


def test_without_back_off_the_wait_itself():
    assert decision(AtRelease(None), 12.5) == (True, 12.5)
    assert decision(AtRelease(None), -1.0) == (True, 0.0)


def test_a_reserved_session_starts_at_the_instant_that_its_options_say():
    assert decision(Reserve(None), 12.5) == (True, 1000)
    options = Reserve.Options(first_ms=10, longest_ms=25)
    assert decision(Reserve(None, options), 12.5) == (True, 30)


def test_a_retrying_session_asks_again_after_the_gap():
    assert decision(Retry(None), 12.5, attempt=3) == (False, 4000)
    assert decision(Retry(None), 0.0, attempt=3) == (True, 0)
