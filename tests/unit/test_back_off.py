"""Instants of the binary exponential back-off (docs/model.md#waiting)."""

import itertools

import pytest

from bprr.simulation.admission.at_release import AtRelease
from bprr.simulation.admission.back_off import BackOff
from bprr.simulation.admission.reserve import Reserve

INSTANTS_S = [1, 3, 7, 15, 31, 63, 123, 183, 243]


def test_instants_of_the_paper():
    gaps = list(itertools.islice(BackOff().gaps_ms(), 9))
    assert gaps == [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000]
    assert list(itertools.accumulate(gaps)) == [1000 * s for s in INSTANTS_S]


@pytest.mark.parametrize("before, instant", list(itertools.pairwise([0, *INSTANTS_S])))
def test_first_instant_not_before_the_wait(before, instant):
    back_off = BackOff()
    assert back_off.instant_ms(before * 1000.0 + 1e-6) == instant * 1000
    assert back_off.instant_ms(instant * 1000.0) == instant * 1000


def test_no_wait_is_no_wait():
    assert BackOff().instant_ms(0.0) == 0
    assert BackOff().instant_ms(-1.0) == 0


def test_a_long_wait_is_counted_like_a_short_one():
    back_off = BackOff()
    for wait in (3.6e6, 1e9 + 0.5, 123_456_789.0):
        instant = 0.0
        for gap in back_off.gaps_ms():
            instant += gap
            if instant >= wait:
                break
        assert back_off.instant_ms(wait) == instant


def test_other_gaps():
    back_off = BackOff(first_ms=10, longest_ms=25)
    assert [back_off.instant_ms(w) for w in (1, 11, 31, 56, 200)] == [10, 30, 55, 80, 205]


def test_without_back_off_the_wait_itself():
    assert AtRelease(None).start_ms(12.5) == 12.5
    assert AtRelease(None).start_ms(-1.0) == 0


def test_a_reserved_session_starts_at_the_instant_that_its_options_say():
    assert Reserve(None).start_ms(12.5) == 1000
    assert Reserve(None, Reserve.Options(first_ms=10, longest_ms=25)).start_ms(12.5) == 30
