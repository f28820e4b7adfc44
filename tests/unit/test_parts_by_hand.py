"""Tables of some runs: what they say, in which order they are put together, and what is refused."""

from pathlib import Path

import pandas as pd
import pytest

from bprr.ground.errors import InputError
from bprr.ground.storage import write_table
from bprr.study import parts as module
from bprr.study.parts import Part, expected, merged, parts_of, provenance, read_part

PLANNED = {"settings": {"runs": 4}, "settings_hash": "abc", "data": "d"}


def test_runs_of_jobs():
    assert parts_of(5, 2) == [range(2), range(2, 4), range(4, 5)]
    assert parts_of(4, 2) == [range(2), range(2, 4)]
    assert parts_of(1, 9) == [range(1)]


def test_what_a_part_says_of_itself():
    made = provenance(PLANNED, 0, (3, 1))
    assert made == {**PLANNED, "first_run": 0, "rows_per_point": [3, 1]}
    later = provenance(PLANNED, 2, [3, 1])
    assert later == {**made, "first_run": 2, "settings_hash": "abc from run 2"}


def written(path, runs, first, rows, **changed):
    """A part of two points; ``runs`` are those of each row."""
    table = pd.DataFrame({"x": range(len(runs)), "run": runs})
    planned = {**PLANNED, "settings": {"runs": changed.pop("stop", 4)}}
    write_table(table, path, {**provenance(planned, first, rows), **changed}, "source")
    return path


def test_a_part_is_read_as_it_was_planned(tmp_path):
    """Its settings may differ in words: their hash does not."""
    path = written(tmp_path / "a", [2, 3, 2, 3, 3], 2, [2, 3], settings={"runs": 4, "more": 1})
    part = read_part(path, range(2, 4), PLANNED, "source")
    assert (part.path, part.runs, list(part.rows)) == (path, range(2, 4), [2, 3])
    assert [point["x"].tolist() for point in part.points()] == [[0, 1], [2, 3, 4]]


@pytest.mark.parametrize(
    ("runs", "first", "changed", "said"),
    [
        ([2, 3, 2, 3], 2, {}, "rows: got 4; allowed: [2, 3] of the points"),
        ([2, 3] * 2, 2, {"rows_per_point": 4}, "rows: got 4; allowed: 4 of the points"),
        ([2, 3] * 2, 2, {"rows_per_point": None}, "rows: got 4; allowed: None of the points"),
        ([2, 3, 2, 3, 3], 1, {}, "settings_hash: got 'abc from run 1'; allowed: abc from run 2,"
         " as this sweep asks for"),
        ([2, 3, 2, 3, 3], 2, {"data": "e"}, "data: got 'e'; allowed: d, as this sweep asks for"),
        ([2, 3, 2, 3, 3], 2, {"first_run": 7},
         "first_run: got 7; allowed: 2, as this sweep asks for"),
        ([2, 3, 3, 3, 3], 2, {}, "runs of a point: got '3 to 3'; allowed: 2 to 3"),
        ([2, 3, 4, 3, 2], 2, {}, "runs of a point: got '2 to 4'; allowed: 2 to 3"),
    ],
)  # fmt: skip
def test_what_a_part_lacks_is_said(tmp_path, runs, first, changed, said):
    path = written(tmp_path / "a", runs, first, [2, 3], **changed)
    with pytest.raises(InputError) as refused:
        read_part(path, range(2, 4), PLANNED, "source")
    assert str(refused.value) == f"{path}: {said}"


def test_a_part_of_other_code_is_refused(tmp_path):
    path = written(tmp_path / "a", [2, 3, 2, 3, 3], 2, [2, 3])
    with pytest.raises(InputError) as refused:
        read_part(path, range(2, 4), PLANNED, "other")
    said = "source: got 'source'; allowed: other, as this sweep asks for"
    assert str(refused.value) == f"{path}: {said}"


ONCE = "allowed: each of 0 to 3 in one part"


@pytest.mark.parametrize(
    ("parts", "runs", "said"),
    [
        ([(0, 2), (2, 4)], 4, None),
        ([(2, 4), (0, 2)], 4, None),
        ([(0, 2), (3, 4)], 4, (1, f"runs: got '2 to 2 missing'; {ONCE}")),
        ([(1, 4)], 4, (0, f"runs: got '0 to 0 missing'; {ONCE}")),
        ([(0, 3), (1, 4)], 4, (1, f"runs: got '1 to 2 twice'; {ONCE}")),
        ([(2, 4), (0, 2)], 6, (1, "runs: got 'end with 3'; allowed: runs 0 to 5")),
        ([(0, 4)], 2, (0, "runs: got 'end with 3'; allowed: runs 0 to 1")),
    ],
)  # fmt: skip
def test_every_run_is_expected_once(tmp_path, parts, runs, said):
    paths = [
        written(tmp_path / f"{first}", [first], first, [1, 0], stop=stop) for first, stop in parts
    ]
    if said is None:
        assert expected(paths, runs) == [range(*part) for part in parts]
        return
    with pytest.raises(InputError) as refused:
        expected(paths, runs)
    assert str(refused.value) == f"{paths[said[0]]}: {said[1]}"


@pytest.mark.parametrize(
    "says", [{}, {"first_run": 0}, {"first_run": None, "settings": {"runs": 1}},
             {"first_run": 0, "settings": []}, {"first_run": "x", "settings": {"runs": 1}}],
)  # fmt: skip
def test_a_table_that_says_no_runs_is_none_of_ours(tmp_path, says):
    path = tmp_path / "t.parquet"
    write_table(pd.DataFrame({"run": [0]}), path, says, "")
    with pytest.raises(InputError) as refused:
        expected([path], 1)
    assert (
        str(refused.value) == f"{path}: provenance: got 'no runs'; allowed: a table of bprr sweep"
    )


def test_parts_are_merged_point_by_point_and_by_runs():
    """Words are those of all parts, in order; a column that one of them lacks is missing there."""

    def part(first, xs, **words):
        table = pd.DataFrame({"x": xs, "run": first})
        for name, values in words.items():
            table[name] = pd.Categorical(values)
        return Part(Path("p"), range(first, first + 1), table, [2, 1])

    later = part(1, [3, 4, 5], status=["b", "c", "b"], engine=["e", "e", "f"])
    table, rows = merged([later, part(0, [0, 1, 2], status=["c", "a", "a"])])
    assert table["x"].tolist() == [0, 1, 3, 4, 2, 5] and rows == [4, 2]
    assert table["run"].tolist() == [0, 0, 1, 1, 0, 1]
    assert table["status"].tolist() == ["c", "a", "b", "c", "a", "b"]
    assert table["status"].cat.categories.tolist() == ["a", "b", "c"]
    engines = table["engine"]
    assert engines.cat.categories.tolist() == ["e", "f"]
    assert engines.astype(object).where(engines.notna(), None).tolist() == [
        None, None, "e", "e", None, "f",
    ]  # fmt: skip
    assert table.index.tolist() == list(range(6))
    assert module._words(table, "absent") == set()
