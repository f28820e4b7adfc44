"""Figures of the offline experiments, from small tables of their kinds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bprr.commands.main import main
from bprr.figures.offline_optimality import draw_optimality, optimality_table
from bprr.ground.storage import write_table

CASE = {"family": "clustered", "servers": 9, "clients": 1, "load": 3, "draw": 0}
PLAN = {"objective_ms": 10.0, "bound_ms": 10.0, "status": "optimal"}
SETTINGS = {"settings": {"offline": {"network": "gts_ce"}}}


def plans(**columns: object) -> pd.DataFrame:
    """The optimum, a heuristic that misses it by 5 and 15 %, and one that finds no plan."""
    rows = [
        {**CASE, **PLAN, "method": "optimum", "above_optimum_percent": 0.0},
        {**CASE, **PLAN, "method": "cg_bprr", "above_optimum_percent": 5.0},
        {**CASE, **PLAN, "method": "cg_bprr", "above_optimum_percent": 15.0},
        {
            **CASE, "method": "gsa", "objective_ms": None, "bound_ms": None,
            "above_optimum_percent": None, "status": "infeasible: not enough memory",
        },
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**columns)


TABLES = {
    "optimality": plans(),
    "equal_blocks": plans(memory_gb=40.0),
    "theorem_2": pd.DataFrame([{**CASE, "bound_over_cg_bprr": 1.2, "bound_over_optimum": 1.3}]),
    "solver_race": pd.DataFrame(
        [
            {**CASE, "formulation": formulation, "solver": "highs", "seconds": seconds,
             "gap": gap, "status": status}
            for formulation, seconds, gap, status in [
                ("strong", 0.1, 0.5, "running"), ("strong", 0.2, 0.0, "optimal"),
                ("paper", 1.0, 0.4, "time limit"),
            ]
        ]
    ),
    "relaxed_stopping": pd.DataFrame([{**CASE, "gain_percent": 0.0, "most_gain_percent": 1.0}]),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_each_experiment_is_drawn_and_no_other(name: str, tmp_path: Path) -> None:
    path, output = tmp_path / "table.parquet", tmp_path / "drawn.pdf"
    write_table(TABLES[name], path, SETTINGS, "")
    assert main(["plot-offline", name, str(path), "-o", str(output)]) == 0
    assert {one.suffix for one in tmp_path.glob("drawn.*")} == {".csv", ".pdf", ".png"}
    write_table(pd.DataFrame({"load": [1]}), path, SETTINGS, "")
    assert main(["plot-offline", name, str(path), "-o", str(output)]) != 0


def test_excess_over_the_optimum() -> None:
    table = optimality_table(plans()).set_index("method")
    row = table.loc["cg_bprr", ["mean", "least", "most", "plans", "infeasible", "proven"]]
    assert row.tolist() == [10.0, 5.0, 15.0, 2, 0, 2]
    assert table.loc["gsa", ["plans", "infeasible"]].tolist() == [0, 1]
    figure = draw_optimality(table.reset_index(), "gts_ce")
    assert "scattered: gts_ce." in figure.get_supxlabel()
    assert "scattered:" not in draw_optimality(table.reset_index()).get_supxlabel()


def test_what_was_solved_goes_into_the_csv(tmp_path: Path) -> None:
    solved = {"bound_ms": 13.0, "cg_bprr_ms": 10.0, "optimum_ms": 9.5}
    path, output = tmp_path / "table.parquet", tmp_path / "drawn.pdf"
    write_table(TABLES["theorem_2"].assign(**solved), path, SETTINGS, "")
    assert main(["plot-offline", "theorem_2", str(path), "-o", str(output)]) == 0
    written = pd.read_csv(output.with_suffix(".csv"))
    assert written[list(solved)].iloc[0].to_dict() == solved
