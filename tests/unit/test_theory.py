"""What the paper states without simulating."""

import pytest

from bprr.offline.backends.base import SolverSettings
from bprr.offline.constructions import (
    can_be_halved,
    partition_instance,
    whole_model_plan,
    worst_instance,
)
from bprr.offline.heuristics import cg_bprr_plan
from bprr.offline.solve import evaluate_plan, solve_offline
from bprr.settings.configuration import load_settings
from bprr.study.theory import LOADS, PARTITIONS, theory


def test_bounds_and_sizes() -> None:
    checks = theory(load_settings())
    values = checks.groupby("check")["value"]
    assert (values.min()["corollary_1"], values.max()["corollary_1"]) == (1, 1)
    assert abs(values.max()["lemma_3"] - 1) < 1e-9
    # Products with a constant at the client's end need no column: fewer than the formula.
    assert 0.9 < values.min()["milp_variables"] <= values.max()["milp_variables"] < 1
    assert len(checks.query("check == 'lemma_3'")) == 4 * len(LOADS)
    sessions = checks.query("check == 'sessions'").set_index("case")["value"]
    assert sessions.to_dict() == {"80": 21, "79.13": 19, "86.13": 35}
    assert len(checks.query("check == 'theorem_1'")) == PARTITIONS
    assert values.min()["theorem_1"] == 1
    # Both answers are among them, and somebody waited: else these checks could not fail.
    assert 0.2 < values.mean()["theorem_1_halved"] < 0.8
    assert values.max()["corollary_2"] <= 1 + 1e-9
    assert values.sum()["corollary_2_waiting"] > 50
    assert 0.5 < values.min()["r_max"] <= values.max()["r_max"] <= 1
    assert 0.99 < values.min()["worst_case"] <= values.max()["worst_case"] < 1
    assert 771 < values.min()["prefill_tokens_per_s"] < 772
    decoding = checks.query("check == 'decode_tokens_per_s'").set_index("case")["value"]
    step_ms = 53 * 3.2197  # of one session; of 21 at once with b = 0.02 it takes 1.4 times as long
    assert abs(decoding["b = 1"] - 1000 / step_ms) < 1e-9
    assert abs(decoding["b = 0.02"] - 21 * 1000 / (1.4 * step_ms)) < 1e-9


@pytest.mark.parametrize(
    ("sizes", "halved"), [([1, 1], True), ([3, 1], False), ([2, 3, 5], True), ([9, 3, 2], False)]
)
def test_partition_by_hand(sizes: list[int], halved: bool) -> None:
    """An optimum of L (1 + τ) with τ = 1 ms where half the sum can be made, and more where not."""
    assert can_be_halved(sizes) is halved
    solved = solve_offline(partition_instance(sizes), "strong", SolverSettings(threads=1))
    assert (abs(solved.objective_ms - sum(sizes)) < 1e-6) is halved
    assert solved.objective_ms > sum(sizes) - 1e-6


def test_odd_sums_are_refused() -> None:
    with pytest.raises(ValueError, match="odd sum"):
        partition_instance([1, 2])


def test_greedy_at_its_worst() -> None:
    """Three blocks, nine servers: CG-BPRR visits three of them where one has room for the model."""
    instance = worst_instance(3, rtt_ms=100.0)
    plan = cg_bprr_plan(instance, SolverSettings(threads=1))
    assert plan.placement.blocks.tolist() == [1] * 9
    assert evaluate_plan(instance, plan) == pytest.approx(9 * 3 * (100 + 0.01))
    assert evaluate_plan(instance, whole_model_plan(instance)) == pytest.approx(9 * (100 + 0.03))
