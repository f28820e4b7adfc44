"""How a plan is told: digits, cells, labels and scales, by hand."""

import numpy as np
import pytest

from bprr.plan.page import Box, _cut, _label, _span, _ticks
from bprr.plan.record import Value
from bprr.plan.text import MOST_ROWS, _cell, _table, number, said


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (0.0, "0"), (0.0004, "0"), (0.001, "0.001"), (-0.0009, "0"), (0.1234, "0.123"),
        (9.996, "10"), (12.345, "12.3"), (99.94, "99.9"), (99.96, "100"), (100.4, "100"),
        (1234.5, "1,230"), (-1234.5, "-1,230"), (-12.345, "-12.3"), (1e6, "1,000,000"),
    ],
)  # fmt: skip
def test_a_number_has_three_digits(value, text):
    assert number(value) == text


def test_a_number_has_as_many_digits_as_are_asked_for():
    assert [number(1234.56, digits) for digits in (2, 4)] == ["1,200", "1,235"]
    assert number(0.00012, 4) == "0.00012" and number(0.00009, 4) == "0"


@pytest.mark.parametrize(
    ("ends", "unit", "text"),
    [
        ((None, None, None), "ms", "unknown"),
        ((999.4, None, None), "ms", "999 ms (measured)"),
        ((1000.0, None, 2000.0), "ms", "1 s (measured)"),
        ((1000.0, 500.0, None), "ms", "1 s (measured)"),
        ((1000.0, 500.0, 2500.0), "ms", "1 s (0.5 to 2.5, measured)"),
        ((2000.0, 1.0, 3000.0), "sessions/s", "2,000 sessions/s (1 to 3,000, measured)"),
        ((2.0, 1.0, 3.0), "", "2 (1 to 3, measured)"),
    ],
)
def test_a_value_has_its_interval_and_its_grade(ends, unit, text):
    value, low, high = ends
    assert said(Value(value=value, low=low, high=high, grade="measured"), unit) == text


def test_cells_are_no_markdown():
    assert _cell("a|b\n<i>&*_`[c]#\\") == r"a\|b &lt;i&gt;&amp;\*\_\`\[c\]\#" + "\\\\"


def test_long_tables_end():
    rows = [(n, "x") for n in range(MOST_ROWS)]
    assert len(list(_table(("a", "b"), rows))) == MOST_ROWS + 3
    *_, last, empty = _table(("a", "b"), [*rows, (1, 2), (3, 4)])
    assert (last, empty) == ("| … and 2 more in plan.json | |", "")


@pytest.mark.parametrize(
    ("longitude", "middle"),
    [([0.0, 10.0], 185.0), ([170.0, -170.0], 0.0), ([5.0], 185.0), ([-90.0, 0.0, 90.0], 180.0)],
)
def test_a_map_begins_in_the_widest_gap(longitude, middle):
    assert _cut(np.array(longitude)) == middle


@pytest.mark.parametrize(
    ("values", "most", "ends"),
    [
        ([0.0, 100.0], 360, (-18.0, 118.0)),  # 18 % at both ends
        ([10.0, 10.0], 360, (6.0, 14.0)),  # of one place, eight degrees
        ([10.0, 12.0], 360, (7.0, 15.0)),
        ([-80.0, 20.0], 85, (-85.0, 38.0)),  # no farther south than the map goes
        ([0.0, 80.0], 85, (-14.4, 85.0)),
        ([300.0, 350.0], 360, (291.0, 359.0)),
    ],
)
def test_places_have_room_around_them(values, most, ends):
    assert _span(np.array(values), most) == pytest.approx(ends)


@pytest.mark.parametrize(
    ("least", "most", "shown"),
    [
        (90.0, 1100.0, [100, 200, 500, 1000]),
        (100.0, 799.0, [100, 150, 200, 300, 400, 500, 600]),
        (100.0, 800.0, [100, 200, 500]),  # from a factor of eight on
    ],
)
def test_ticks_are_round(least, most, shown):
    assert [tick for tick in _ticks(least, most) if least <= tick <= most] == shown


def test_labels_stand_where_nothing_is():
    """Above and right of a place, or left, or below; nowhere if all is taken."""
    found, box = _label(500, 300, 80, 600, [])
    assert found == (516, 290, "start") and box == (516, 276, 596, 294)
    assert _label(500, 300, 80, 600, [box])[0] == (484, 290, "end")
    touching: Box = (596, 276, 700, 294)
    assert _label(500, 300, 80, 600, [touching])[0] == (516, 290, "start")
    assert _label(950, 300, 80, 600, [])[0] == (934, 290, "end")  # the map ends
    assert _label(904, 300, 80, 600, [])[0] == (888, 290, "end")  # and its end is none of it
    assert _label(903, 300, 80, 600, [])[0] == (919, 290, "start")
    assert _label(500, 24, 80, 600, [])[0] == (516, 46, "start")
    assert _label(500, 25, 80, 600, [])[0] == (516, 15, "start")
    assert _label(500, 580, 80, 594, [])[0] == (516, 570, "start")
    assert _label(500, 600, 80, 594, [])[0] == (516, 574, "start")
    assert _label(500, 300, 80, 600, [(0, 0, 1000, 600)]) is None
