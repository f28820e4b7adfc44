"""What the report says of every exhibit, of tables made by hand, sentence by sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
import pytest

from bprr.figures.caption import Compared, StudyCaption, Variant
from bprr.report.findings import finding

NAN = math.nan
STUDY = StudyCaption(
    compared=Compared(method="proposed", baseline="petals"),
    methods={"petals": "PETALS", "proposed": "Proposed"},
    topologies={"abovenet": "AboveNet", "gts": "GTS"},
    variants={
        "paid": Variant(label="Paid", delays_s={"petals": (250, 250)}),
        "free": Variant(label="Free"),
        "late": Variant(label="Late"),
    },
    sweeps={},
)


def of(columns: str, *rows: Sequence[object]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.split())


SAID: list[tuple[str, pd.DataFrame, str]] = [
    (
        "headline",
        of(
            "allocation_delays ratio",
            ("paid", 0.5), ("paid", 0.75), ("paid", NAN), ("late", NAN), ("free", 0.90123),
            ("free", 0.9012),
        ),
        "Time per token, Proposed / PETALS: 50 to 75 % (Paid), 90.1 % (Free).",
    ),
    (
        "fig7_abovenet",
        of(
            "method metric allocation_delays ratio_to_petals",
            ("proposed", "per_token_ms", "free", 0.123), ("proposed", "ttft_ms", "free", 9),
            ("other", "per_token_ms", "free", 8), ("proposed", "per_token_ms", "free", 1.25),
            ("proposed", "per_token_ms", "paid", 0.999),
        ),
        "Time per token, Proposed / PETALS: 12.3 to 125 % (Free), 99.9 % (Paid).",
    ),
    (
        "decomposition",
        of(
            "order allocation_delays step share",
            *(("last", "paid", "number", share) for share in (0.05, 0.02, 0.06)),
            *(("last", "paid", "cache", share) for share in (-0.25, -0.35, -0.3, NAN)),
            ("last", "paid", "delays", NAN), ("first", "paid", "number", 0.9),
            ("last", "free", "cache", -0.12),
        ),
        "Change of the time per token by each step, median of all points. Paid: number +5 %, "
        "cache -30 %; Free: cache -12 %.",
    ),
    (
        "decomposition_by_service",
        of("order allocation_delays step share", ("last", "free", "cache", 0.994)),
        "Change of the time per token by each step, median of all points. Free: cache +99 %.",
    ),
    (
        "offline_optimality",
        of("method mean", ("gsa", 10.04), ("cg_bprr", 2.5), ("cg_bprr", 1), ("petals", NAN),
           ("optimum", 0)),
        "Above the optimum: CG-BPRR 1 to 2.5 %, GSA's placement 10 %.",
    ),
    (
        "offline_equal_blocks",
        of("method above_optimum_percent", ("petals", 3), ("petals", 4), ("cg_bprr", 0)),
        "Above the optimum: CG-BPRR 0 %, PETALS' placement 3 to 4 %.",
    ),
    (
        "offline_theorem_2",
        of("bound_over_cg_bprr bound_over_optimum", (1.5, 3), (2, 3)),
        "The bound is 1.5 to 2 times what CG-BPRR achieves, 3 times the optimum.",
    ),
    (
        "offline_solver_race",
        of(
            "family clients load formulation solver status",
            ("a", 1, 2, "strong", "highs", "running"), ("a", 1, 2, "strong", "highs", "optimal"),
            ("a", 1, 2, "paper", "highs", "optimal"), ("a", 1, 2, "paper", "highs", "time limit"),
            ("b", 1, 2, "paper", "highs", "optimal"), ("b", 1, 3, "paper", "highs", "optimal"),
        ),
        "Runs that end with a proven optimum, by formulation: paper: 2 of 3, strong: 1 of 1.",
    ),
    (
        "offline_relaxed_stopping",
        of("gain_percent", (0.0041,), (0.126,)),
        "Stopping early gains 0 to 0.13 %.",
    ),
    (
        "swarm_abovenet",
        of("method share", ("proposed", 0.0), ("petals", 0.5), ("proposed", 0.01), ("mine", 0),
           ("petals", 0.5), ("proposed", 0)),
        "Proposed uses 1 of 3 servers; PETALS uses 2 of 2 servers; mine uses 0 of 1 servers.",
    ),
    (
        "fit_cpu",
        of("experiment relative_residual", ("one_block", -0.02), ("one_block", 0.03),
           ("one_block", 0.9), ("batch", -0.012)),
        "Median distance of the measurements from the fitted model: batch 1.2 %, one block 3.0 %.",
    ),
    (
        "testbed_loaded_scatter",
        of("model predicted_per_token_ms per_token_ms", ("serial", 90, 100), ("serial", 130, 100),
           ("serial", 80, 100), ("batched_0.1", 9, 5)),
        "Median error of the time per token, by how servers are taken: serial 20 %, "
        "batched 0.1 80 %.",
    ),
    (
        "testbed_scatter",
        of("group predicted_per_token_ms per_token_ms", ("table", 95, 100), ("table", 101, 100),
           ("table", 150, 100), ("contention", 900, 100)),
        "Predicted times per token are 5.0 % off (median).",
    ),
    (
        "service_models",
        of("method service ratio_to_petals", ("proposed", "serial", 0.9), ("proposed", "serial", 1),
           ("petals", "serial", 0.5), ("proposed", "independent", 0.2)),
        "Proposed is faster than PETALS, points by service: serial 1 of 2, independent 1 of 1.",
    ),
    (
        "tables_found",
        of("found_s published_s", (1.1, 1), (1.4, 2), (3, 2.5)),
        "Settings found: cells are 20.0 % off (mean), 30 % at most.",
    ),
    (
        "tables_found_gpus",
        of("source deviation", ("ours", -0.3), ("ours", 0.1), ("ours", 0.2), ("artefact", 0.5)),
        "Median deviation from the times on GPUs: ours 20 %, artefact 50 %.",
    ),
    (
        "tables_found_trend",
        of("source setting gain", ("GPUs", "gts", 0.25), ("GPUs", "abovenet", 0.5),
           ("ours", "gts", 0.111), ("ours", "abovenet", 0.9)),
        "Time per token saved on GTS, AboveNet: GPUs 25 %, 50 %; ours 11 %, 90 %.",
    ),
    (
        "tables_sensitivity",
        of("key mean_error", ("join_order", 0.1), (None, 0.0421), ("mine", 0.3),
           ("join_order", 0.2)),
        "Mean error of the printed cells: 4.2 % in the settings found; with one of them changed: "
        "order of joining in Table III 10 to 20 %; mine 30 %.",
    ),
    *(
        (
            name,
            of(
                "setting method rate_per_s output_tokens quantity value unit",
                ("a", "petals", 0.1, 20, "paid", 12, "s"),
                ("a", "petals", 0.1, 20, "simulator", 10, "s"),
                ("a", "petals", 0.1, 40, "paid", 2, "s"),
                ("a", "petals", 0.1, 40, "simulator", 10, "s"),
                ("a", "petals", 0.5, 40, "paid", 7, "s"),
                ("a", "petals", 0.1, 20, "paid", 99, "%"),
                ("a", "petals", 0.1, 20, "free", 99, "s"),
            ),
            "In the settings stated, with the delays, cells are 50 % off the printed simulator in "
            "the mean, 80 % at most.",
        )
        for name in ("table3", "table6")
    ),
    (
        "table8",
        of("method published_s total_s", ("petals", 10, 2), ("proposed", 3, 2), ("petals", 8, 1),
           ("mine", 1, 4)),
        "Published running times over ours: PETALS 5 to 8, Proposed 1.5, mine 0.25.",
    ),
    (
        "sweep_times",
        of("method total_s", ("proposed", 0.001), ("proposed", 0.0046), ("proposed", 3.0),
           ("mine", 0.02)),
        "Running time of placement and routing, median of all points: Proposed 4.6 ms, mine 20 ms.",
    ),
    (
        "orders",
        of(
            "allocation_delays method topology per_token_s",
            *(("free", "petals", "gts", second) for second in range(11)),
            ("free", "petals", "abovenet", 2), ("paid", "petals", "gts", 99),
            ("free", "proposed", "gts", 99),
        ),
        "Time per token of PETALS without delays in four of five orders: GTS 1 to 9 s, "
        "AboveNet 2 s.",
    ),
    (
        "two_modes",
        of("method", ("petals",), ("mine",), ("proposed",), ("petals",)),
        "Means whose runs fall into two groups: 4, of PETALS 2, of Proposed 1.",
    ),
    ("two_modes", of("method", ("mine",)), "Means whose runs fall into two groups: 1."),
    (
        "wan_swarms",
        of(
            "group model error measured predicted",
            ("tokens", "hub", -0.3, 1, 0.7), ("tokens", "+ window", 0.12, 1, 1.12),
            ("tokens", "hub", 0.1, 1, 1.1), ("first", "hub", 0.04, 1, 1.04),
            ("changes", "what-if", 9, 2, 3.5), ("changes", "what-if", 9, 10, 1.5),
            ("changes", "what-if", 9, NAN, 9), ("changes", "what-if", 9, 1, NAN),
            ("noise", "noise floor", -0.31, NAN, NAN), ("noise", "noise floor", 0.33, NAN, NAN),
        ),
        "Median error of the best model by what is predicted: tokens 12.0 % (+ window), "
        "first 4.0 % (hub); repetitions of a job differ by 32.0 %. Measured changes are predicted "
        "80 % off (median).",
    ),
    (
        "wan_swarms",
        of("group model error measured predicted", ("tokens", "hub", -0.3, 1, 0.7)),
        "Median error of the best model by what is predicted: tokens 30.0 % (hub).",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "table", "said"), SAID, ids=[name for name, _, _ in SAID])
def test_what_is_said_of_an_exhibit(name: str, table: pd.DataFrame, said: str) -> None:
    assert finding(name, table, STUDY) == said


def test_nothing_is_said_of_other_tables() -> None:
    """Neither where a column lacks nor where there is no row."""
    other, empty = pd.DataFrame({"a": [1]}), pd.DataFrame({"key": [], "mean_error": []})
    assert {finding(name, other, STUDY) for name, _, _ in SAID if name != "two_modes"} == {""}
    assert finding("tables_sensitivity", empty, STUDY) == ""
