"""Every part of the benchmark runs and reports, in its tiny form; no figure is judged."""

from __future__ import annotations

import importlib
import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import main
from benchmarks.growth import exponents
from benchmarks.measure import Row, row

WHOLE_S = 600
ENDLESS = """
import time
from benchmarks.measure import row
BUDGET_S = 6
def run(tiny):
    print("this is no row")
    yield row("first", 1.0, "s")
    time.sleep(10_000)
"""


@pytest.mark.parametrize("part", main.parts())
def test_a_part_runs_and_its_rows_are_written(tmp_path: Path, part: str) -> None:
    assert main.main([part, "--tiny", "--out", str(tmp_path)]) == 0
    (written,) = tmp_path.glob("*.json")
    report = json.loads(written.read_text(encoding="utf-8"))
    assert report["failures"] == {}
    expected = {"part", "met", *(field.name for field in fields(Row))}
    assert report["rows"]
    assert all(set(entry) == expected for entry in report["rows"])


def test_the_budgets_of_all_parts_make_ten_minutes_at_most() -> None:
    budgets = [importlib.import_module(f"benchmarks.{part}").BUDGET_S for part in main.parts()]
    assert sum(budgets) <= WHOLE_S


def test_what_a_part_yielded_before_it_failed_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = [row("kept", [1.0, 2.0, 4.0], "s", 1.0)]

    def broken(module: str, tiny: bool) -> tuple[list[dict], str]:
        return [{**vars(entry), "met": entry.met} for entry in done], "exit status 1"

    monkeypatch.setattr(main, "in_own_process", broken)
    assert main.main(["engine", "--out", str(tmp_path)]) == 1
    (written,) = tmp_path.glob("*.json")
    report = json.loads(written.read_text(encoding="utf-8"))
    assert report["failures"] == {"engine": "exit status 1"}
    (kept,) = report["rows"]
    assert (kept["name"], kept["value"], kept["met"]) == ("kept", 2.0, False)
    assert "1 of 1 above their target: kept" in capsys.readouterr().out


def test_figures_are_written_before_they_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unprintable(rows: list[dict]) -> str:
        raise KeyError("median")

    monkeypatch.setattr(main, "in_own_process", lambda module, tiny: ([], ""))
    monkeypatch.setattr(main, "table", unprintable)
    with pytest.raises(KeyError):
        main.main(["engine", "--out", str(tmp_path)])
    assert list(tmp_path.glob("*.json"))


def test_a_part_that_cannot_be_imported_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_part.py").write_text("import nowhere\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    rows, failure = main.in_own_process("broken_part", tiny=True)
    assert rows == []
    assert "nowhere" in failure


def test_a_part_is_ended_when_its_budget_is_used_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "endless_part.py").write_text(ENDLESS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    rows, failure = main.in_own_process("endless_part", tiny=True)
    assert [entry["name"] for entry in rows] == ["first"]
    assert failure == "ended after its budget of 6 s"


def test_exponents_leave_out_what_is_less_than_its_noise():
    """A request costs 2 µs for all servers; once, 10,000 took less time than 1,000 did."""
    counts = [(s, n) for s in (30, 300) for n in (100, 1_000, 10_000, 100_000)]
    table = pd.DataFrame(counts, columns=["servers", "requests"])
    table["us_per_request"] = 2.0 + 1e5 / table["requests"]
    assert list(exponents(table).values()) == pytest.approx([0, 0], abs=1e-9)
    table.loc[(table["servers"] == 300) & (table["requests"] == 10_000), "us_per_request"] = 1.0
    assert all(np.isfinite(list(exponents(table).values())))
