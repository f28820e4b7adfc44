"""Every measure that a claim names, against numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bprr.figures.caption import Compared, StudyCaption, Variant
from bprr.ground.storage import write_table
from bprr.report.claims import load_claims
from bprr.report.measures import MEASURES
from bprr.report.results import Results

FILE = "sweeps/fig7_abovenet.parquet"
T_1, T_2 = 12.706205, 4.302653  # Student's t for 95 %, 1 and 2 degrees of freedom
# Those that read a fit or the testbed: test_scorecard.py.
BY_HAND = set(MEASURES) - {"statement_holds", "influence", "first_token_by_length"}


@pytest.fixture
def results(tmp_path: Path) -> Results:
    caption = StudyCaption(
        confidence=0.95, compared=Compared(method="new", baseline="old"), methods={}, topologies={},
        variants={"paid": Variant(label="", delays_s={"old": (9, 9)}), "free": Variant(label="")},
        seed=1, runs=2, sweeps={},
    )  # fmt: skip
    return Results(tmp_path, caption, tmp_path / "published.csv")


def write(
    results: Results,
    points: Mapping[float, Mapping[str, list[float]]],
    file: str = FILE,
    variants: tuple[str, ...] = ("paid",),
    **columns: Any,
) -> None:
    """A sweep: per point and method the time per token of every run (ms)."""
    sweep, topology = Path(file).stem.split("_")
    rows = [
        {
            "figure": sweep, "topology": topology, "x": x, "allocation_delays": variant,
            "method": method, "run": run, "status": "ok", "servers": 9, "eta": 0.2,
            "rate_per_s": 0.5, "output_tokens": 10, "requests": 1, "input_tokens": 20,
            "per_token_ms": value, "ttft_ms": 5 * value, "wait_ms": 0.0,
            "remaining_per_token_ms": value, "max_concurrent": 1, "design_load": 4.0,
            **{name: each(x, method, run) for name, each in columns.items()},
        }
        for variant in variants
        for x, methods in points.items()
        for method, values in methods.items()
        for run, value in enumerate(values)
    ]  # fmt: skip
    write_table(pd.DataFrame(rows), results.path(file), {}, "")


def taken(results: Results, measure: str, **arguments: Any) -> list[float]:
    estimates = MEASURES[measure](results, [FILE], **arguments)
    (estimate,) = estimates.values()
    return list(estimate)


# Ratios to the old method 0.55 and 0.85, each with a half-width of t · 5 / 100.
TWO_POINTS = {
    1.0: {"old": [100.0, 100.0], "new": [50.0, 60.0], "third": [70.0, 70.0]},
    2.0: {"old": [100.0, 100.0], "new": [80.0, 90.0], "third": [30.0, 30.0]},
}
HALF = T_1 * 5 / 100


def test_every_measure_of_the_claims_is_tested(root: Path) -> None:
    claims = load_claims(root / "claims.yaml").claims
    named = {claim.measure for claim in claims if claim.measure is not None}
    assert named == set(MEASURES)
    source = Path(__file__).read_text(encoding="utf-8")
    assert not [name for name in BY_HAND if f'"{name}"' not in source]


def test_cell(results: Results) -> None:
    write(results, {1.0: {"old": [1000.0, 2000.0, 3000.0]}}, variants=("free", "paid", "later"))
    where = {"method": "old", "rate_per_s": 0.5, "output_tokens": 10}
    cells = MEASURES["cell"](results, [FILE], **where)
    assert list(cells) == ["paid", "free"]
    half = T_2 / 3**0.5
    assert list(cells["paid"]) == pytest.approx([2.0, 2.0 - half, 2.0 + half])


def test_gains_and_ratios(results: Results) -> None:
    write(results, TWO_POINTS)
    assert taken(results, "gain") == pytest.approx([0.3, 0.3 - HALF, 0.3 + HALF])
    assert taken(results, "gain", method="third")[0] == pytest.approx(0.5)
    at_two = [0.85, 0.85 - HALF, 0.85 + HALF]
    assert taken(results, "ratio_at", x=2, variant="paid") == pytest.approx(at_two)


def test_difference_of_gains(results: Results) -> None:
    write(results, TWO_POINTS)
    half = 2**0.5 * HALF
    difference = taken(results, "gain_difference", more={"x": "first"}, less={"x": "last"})
    assert difference == pytest.approx([0.3, 0.3 - half, 0.3 + half])
    back = taken(results, "gain_difference", more={"x": 2}, less={"topology": "abovenet", "x": 1})
    assert back[0] == pytest.approx(-0.3)


def test_margin_over_the_better_of_others(results: Results) -> None:
    write(results, {1.0: {"old": [100.0, 100.0], "new": [50.0, 52.0], "a": [70.0, 70.0],
                          "b": [60.0, 62.0]}})  # fmt: skip
    margin = taken(results, "largest_gain_margin", method="new", others=["a", "b"])
    assert margin == pytest.approx([0.1, 0.1, 0.1])


def test_points_that_are_faster(results: Results) -> None:
    # 0.85 with an interval beyond 1, 0.3 and 0.7 with one of no width.
    write(results, TWO_POINTS)
    assert taken(results, "share_of_points_faster", method="third")[0] == 1.0
    assert taken(results, "share_of_points_faster", method="new")[0] == 0.0
    both = {1.0: TWO_POINTS[1.0], 2.0: {"old": [100.0, 100.0], "new": [40.0, 40.0]}}
    write(results, both, "sweeps/fig8_abovenet.parquet")
    estimates = MEASURES["share_of_points_faster"](
        results, ["sweeps/fig8_abovenet.parquet"], method="new"
    )
    assert estimates["paid"].value == 0.5


def test_ties_are_ties_and_hurting_is_certain(results: Results) -> None:
    # Ratios 0.55, 0.85 with an interval beyond 1, 1.1 surely above 1.
    slower = {**TWO_POINTS, 3.0: {"old": [100.0, 100.0], "new": [110.0, 110.0]}}
    write(results, slower)
    assert taken(results, "share_of_points_not_slower", method="new")[0] == pytest.approx(2 / 3)
    for by, count in ((0.05, 1.0), (0.2, 0.0)):
        arguments = {"method": "new", "metric": "remaining_per_token_ms", "by": by}
        assert taken(results, "points_slower", **arguments)[0] == count


def test_share_saved_before_the_first_token(results: Results) -> None:
    # Saved in all 10 · 40 and 10 · 20 ms, before the first token 300 of it in either run.
    times = {1.0: {"old": [100.0, 100.0], "new": [60.0, 80.0]}}
    write(results, times, ttft_ms=lambda x, method, run: 400.0 if method == "old" else 100.0)
    assert taken(results, "first_token_share")[0] == pytest.approx(300 / 300)
    write(results, times, ttft_ms=lambda x, method, run: 400.0 if method == "old" else 340.0)
    results._means.clear()
    assert taken(results, "first_token_share")[0] == pytest.approx(60 / 300)


def test_exact_routing_counts_runs_within_the_design_load(results: Results) -> None:
    times = {1.0: {"new": [100.0, 100.0, 50.0], "exact": [90.0, 10.0, 45.0]}}
    crowd = {"max_concurrent": lambda x, method, run: 5 if run == 1 else 4}
    write(results, times, **crowd)
    assert taken(results, "exact_routing_gain", exact="exact")[0] == pytest.approx(0.9)


def test_deviation_from_measured_cells(results: Results) -> None:
    rows = "".join(
        f"fig7,abovenet,{method},0.5,10,{quantity},{value},\n"
        for method, quantity, value in [
            ("old", "experiment", 2), ("new", "experiment", 4), ("old", "simulator", 3),
        ]
    )  # fmt: skip
    head = "table,setting,method,rate_per_s,output_tokens,quantity,value_s,sd_s\n"
    results.published.write_text(head + rows)
    write(results, {1.0: {"old": [2000.0, 4000.0], "new": [3000.0, 3000.0]}})
    # 3 s against 2 s and against 4 s.
    half = T_1 * 0.125
    deviation = taken(results, "deviation", quantity="experiment")
    assert deviation == pytest.approx([0.375, 0.375 - half, 0.375 + half])


def test_running_time(results: Results) -> None:
    times = pd.DataFrame(
        {
            "setting": "here", "method": "old", "repeat": range(5), "servers": 9, "requests": 1,
            "placement_s": 0.0, "routing_s_per_request": 0.0, "total_s": [5.0, 1.0, 4.0, 2.0, 3.0],
        }
    )  # fmt: skip
    others = times.assign(method="new", total_s=0.0)
    write_table(pd.concat([times, others]), results.path(FILE), {}, "")
    assert taken(results, "running_time", setting="here", method="old") == [3.0, 2.0, 4.0]


CASE = {"family": "clustered", "servers": 9, "clients": 1, "load": 3, "draw": 0}


def test_smallest(results: Results) -> None:
    table = pd.DataFrame(
        [{**CASE, "bound_over_cg_bprr": value, "bound_over_optimum": 0.1} for value in (1.5, 1.2)]
    )
    write_table(table, results.path(FILE), {}, "")
    assert taken(results, "smallest", column="bound_over_cg_bprr")[0] == 1.2


def test_gap_of_the_best_solver(results: Results) -> None:
    progress = [
        ("a", "running", 0.1, "paper", 3), ("a", "time limit", 0.4, "paper", 3),
        ("b", "time limit", 0.3, "paper", 3), ("c", "licence", 0.0, "paper", 3),
        ("b", "optimal", 0.0, "strong", 3), ("b", "optimal", 0.01, "paper", 2),
    ]  # fmt: skip
    table = pd.DataFrame(
        [
            {**CASE, "solver": solver, "status": status, "gap": gap, "formulation": formulation,
             "load": load, "seconds": 1.0}
            for solver, status, gap, formulation, load in progress
        ]
    )  # fmt: skip
    write_table(table, results.path(FILE), {}, "")
    where = {"formulation": "paper", "load": 3, "family": "clustered"}
    assert taken(results, "final_gap", **where)[0] == 0.3


def test_checks_are_the_worst_case_or_one(results: Results) -> None:
    table = pd.DataFrame(
        [("a", "x", 1.0), ("a", "y", 3.0), ("b", "x", 9.0)], columns=["check", "case", "value"]
    )
    write_table(table, results.path(FILE), {}, "")
    assert taken(results, "checked", check="a")[0] == 1.0
    assert taken(results, "checked", check="a", worst="max")[0] == 3.0
    assert taken(results, "checked", check="a", case="y") == [3.0, 3.0, 3.0]


def test_exponent_is_the_slope_of_logarithms(results: Results) -> None:
    """Slopes 1, 1 and 2 over the draws."""
    rows = [
        {"step": step, "varied": "servers", "size": size, "repeat": repeat, "seconds": size**power}
        for repeat, power in enumerate((1, 1, 2))
        for size in (10, 100, 1000)
        for step in ("placement", "routing")
    ]
    table = pd.DataFrame(rows).astype({"seconds": float})
    table.loc[table["step"] == "routing", "seconds"] **= 2
    write_table(table, results.path(FILE), {}, "")
    half = T_2 * (1 / 3) ** 0.5 / 3**0.5
    found = taken(results, "exponent", step="placement", varied="servers")
    assert found == pytest.approx([4 / 3, 4 / 3 - half, 4 / 3 + half])
    assert taken(results, "exponent", step="routing", varied="servers")[0] == pytest.approx(8 / 3)


def test_mean_excess_over_the_optimum_where_there_is_a_plan(results: Results) -> None:
    table = pd.DataFrame(
        {
            "family": "equal memory", "servers": 9, "clients": 1, "load": 1, "draw": range(4),
            "method": ["gsa", "gsa", "gsa", "cg_bprr"], "objective_ms": 1.0, "bound_ms": 1.0,
            "above_optimum_percent": [1.0, 3.0, float("inf"), 9.0], "status": "optimal",
            "memory_gb": 9.1,
        }
    )  # fmt: skip
    write_table(table, results.path(FILE), {}, "")
    half = T_1 * 0.01
    found = taken(results, "above_optimum", method="gsa")
    assert found == pytest.approx([0.02, 0.02 - half, 0.02 + half])


def test_others_measurements(results: Results) -> None:
    """Errors of -10, 20 and 30 %; three changes, one of them in the wrong direction."""
    columns = ["group", "model", "measured", "predicted"]
    table = pd.DataFrame(
        [
            ("g", "+ window", 10.0, 9.0), ("g", "+ window", 10.0, 12.0),
            ("g", "+ window", 10.0, 13.0), ("g", "hub", 10.0, 99.0), ("g", "+ window", 10.0, None),
            ("changes", "what-if", 2.0, 3.0), ("changes", "what-if", 0.5, 0.9),
            ("changes", "what-if", 2.0, 0.9), ("changes", "what-if", None, 2.0),
        ],
        columns=columns,
    )  # fmt: skip
    table = table.assign(error=table["predicted"] / table["measured"] - 1)
    for name in ("run", "ring", "arm", "quantity", "fitted_on"):
        table[name] = "x"
    results.path(FILE).parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(results.path(FILE), index=False)
    median, low, high = taken(results, "others_error", group="g", model="+ window")
    assert median == pytest.approx(0.2)
    assert 0.1 - 1e-9 <= low <= 0.2 <= high <= 0.3 + 1e-9
    assert taken(results, "right_directions")[0] == pytest.approx(2 / 3)
    assert MEASURES["others_error"](results, [FILE], group="none", model="hub") == {}


def test_slowed_by_others(results: Results) -> None:
    rows = [
        (case, arm, model, 24, 600.0, predicted)
        for case, arm, model, predicted in [
            ("one_chain", "fifo", "independent", 150.0), ("one_chain", "fifo", "serial", 590.0),
            ("one_chain", "oldest", "independent", 100.0), ("other", "fifo", "independent", 50.0),
        ]
    ]  # fmt: skip
    columns = ["case", "arm", "model", "sessions", "per_token_ms", "predicted_per_token_ms"]
    write_table(pd.DataFrame(rows, columns=columns), results.path(FILE), {}, "")
    assert taken(results, "slowed_by_others", case="one_chain", arm="fifo")[0] == 4.0
