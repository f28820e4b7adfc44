"""What the paper states without simulating."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
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
from bprr.study import theory as module
from bprr.study.theory import LOADS, PARTITIONS, theory, theory_sweeps


@pytest.fixture(scope="module")
def checks() -> pd.DataFrame:
    return theory(load_settings())


def test_bounds_and_sizes(checks: pd.DataFrame) -> None:
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


SUMS = {
    "corollary_1": 40,
    "r_max": 34.3272796574126,
    "lemma_3": 12,
    "milp_variables": 11.371524484119217,
    "corollary_2": 4,
    "corollary_2_waiting": 77,
    "theorem_1": 24,
    "theorem_1_halved": 15,
    "worst_case": 4.997501898421387,
    "sessions": 75,
    "decode_tokens_per_s": 134.78344695187235,
    "prefill_tokens_per_s": 771.458574074074,
}
PLACES = ("abovenet", "bellcanada", "gts_ce", "cluster0")


def test_checks_are_kept(checks: pd.DataFrame) -> None:
    """What this code found, summed over all cases: any other number is another draw or rule."""
    cases = checks.groupby("check")["case"].agg(list)
    assert checks.groupby("check")["value"].sum().to_dict() == pytest.approx(SUMS, rel=1e-9)
    runs = [f"{place} {run}" for place in PLACES for run in range(10)]
    assert cases["corollary_1"] == cases["r_max"] == runs
    firsts = [f"{place} 0" for place in PLACES]
    assert cases["corollary_2"] == cases["corollary_2_waiting"] == firsts
    loaded = [f"{first} R={load}" for first in firsts for load in (1, 3, 5)]
    assert cases["lemma_3"] == cases["milp_variables"] == loaded
    assert cases["worst_case"] == ["L=2", "L=4", "L=6", "L=8", "L=10"]
    assert cases["decode_tokens_per_s"] == ["b = 1", "b = 0.1", "b = 0.02"]
    assert cases["prefill_tokens_per_s"] == ["53 blocks"]
    assert cases["theorem_1"] == cases["theorem_1_halved"]
    numbers = [list(map(int, case.split())) for case in cases["theorem_1"]]
    assert len(numbers) == 24 and {len(each) for each in numbers} == {3, 4, 5}
    assert not any(sum(each) % 2 for each in numbers)
    assert {number for each in numbers for number in each} == set(range(1, 10))
    told = checks.query("check == 'theorem_1_halved'")["value"].tolist()
    assert told == [float(can_be_halved(each)) for each in numbers]
    assert numbers[0] == [6, 8, 7, 9, 4] and numbers[-1] == [4, 6, 8, 6]


@pytest.mark.parametrize(
    ("guaranteed", "largest", "placed_up_to", "suffice_up_to", "holds"),
    [(2, 3, 3, 3, 1), (2, 2, 2, 2, 1), (2, 3, 4, 3, 0), (2, 3, 2, 3, 0), (3, 2, 2, 2, 0),
     (1, 6, 6, 6, 1), (1, 6, 7, 6, 0)],
)  # fmt: skip
def test_the_first_corollary_can_fail(
    monkeypatch, configuration, guaranteed, largest, placed_up_to, suffice_up_to, holds
) -> None:
    """Every load up to twice the guarantee, and one more than the largest, is tried."""
    asked = []

    def placed(swarm, load, tokens):
        asked.append(load)
        assert swarm.block_cap is None and tokens == 84
        return load <= placed_up_to

    patched = {
        "DRAWS": 2,
        "LOADS": (),
        "theory_sweeps": lambda _: [("fig10", "abovenet")],
        "max_design_load": lambda *_: guaranteed,
        "largest_load": lambda *_: largest,
        "conservative_blocks_suffice": lambda _, load, __: load <= suffice_up_to,
        "_placed": placed,
        "_of_waiting": lambda drawn, case: [("waiting", case, drawn.rate_per_s)],
    }
    for name, value in patched.items():
        monkeypatch.setattr(module, name, value)
    found = list(module._of_swarms(configuration, SolverSettings(threads=1)))
    told = [("corollary_1", holds), ("r_max", guaranteed / largest)]
    rest = [(check, f"abovenet {run}", value) for run in (0, 1) for check, value in told]
    # The last point of the sweep is that of the longest sessions; it comes once.
    assert found == [*rest[:2], ("waiting", "abovenet 0", 0.5), *rest[2:]]
    loads = range(guaranteed, max(2 * guaranteed, largest + 1) + 1)
    assert asked == 2 * list(loads)


def test_a_load_without_a_placement_is_told(configuration, published) -> None:
    from bprr.scenario.draw import draw
    from bprr.study.points import sweep_points

    scenario = sweep_points(configuration, "fig10", "abovenet")[0].scenario
    swarm = draw(scenario, published, 1, 0).swarm
    assert module._placed(swarm, 1, 148) and not module._placed(swarm, 10_000, 148)


@pytest.mark.parametrize(
    ("status", "objective_ms", "decided"),
    [("optimal", 1.0, 1), ("optimal", 1.5, 0), ("feasible", 1.0, 0)],
)
def test_the_first_theorem_can_fail(monkeypatch, status, objective_ms, decided) -> None:
    """Of numbers that can all be halved, and an optimum that says so, or does not, or is none."""

    def solved(instance, formulation, solver):
        assert formulation == "strong"
        least_ms = instance.swarm.model.blocks * (1 + float(instance.swarm.tau_ms[0]))
        return SimpleNamespace(status=status, objective_ms=objective_ms * least_ms)

    monkeypatch.setattr(module, "solve_offline", solved)
    monkeypatch.setattr(module, "can_be_halved", lambda _: True)
    monkeypatch.setattr(module, "PARTITIONS", 3)
    found = list(module._of_partitions(np.random.default_rng(1), SolverSettings(threads=1)))
    assert [check for check, _, _ in found] == ["theorem_1", "theorem_1_halved"] * 3
    assert [value for _, _, value in found] == [decided, 1] * 3


def test_sweeps_that_settings_lack_are_left_out(configuration) -> None:
    assert theory_sweeps(configuration) == [
        *(("fig10", place) for place in PLACES[:3]), ("table3", "cluster0"),
    ]  # fmt: skip
    fewer = {name: sweep for name, sweep in configuration.sweeps.items() if name != "table3"}
    fewer["fig10"] = fewer["fig10"].model_copy(update={"topologies": ["gts_ce"]})
    other = configuration.model_copy(update={"sweeps": fewer})
    assert theory_sweeps(other) == [("fig10", "gts_ce")]


def test_a_chain_s_cost_is_compared_with_the_time_before_back_off(monkeypatch, configuration):
    drawn = SimpleNamespace(
        design_request=SimpleNamespace(cache_tokens=148), swarm="swarm", workload="load"
    )
    asked = []
    monkeypatch.setattr(module, "design_load_of", lambda *args: asked.append(args) or 7)
    monkeypatch.setattr(module, "cg_bp", lambda *args: asked.append(args))

    def simulated(placement, workload, routing, watch):
        costs_ms = [100.0, 200.0, 50.0]
        router = watch(SimpleNamespace(context="c", options="o", holds_back=False))
        router._costs_ms += costs_ms
        completion, wait, raw = ([100.0, 250.0, 90.0], [0.0, 60.0, 90.0], [0.0, 40.0, 80.0])
        return SimpleNamespace(
            completion_ms=np.array(completion), wait_ms=np.array(wait), raw_wait_ms=np.array(raw)
        )

    monkeypatch.setattr(module, "simulate", simulated)
    found = list(module._of_waiting(drawn, "case"))
    assert found == [("corollary_2", "case", 80 / 50), ("corollary_2_waiting", "case", 2.0)]
    assert asked == [(drawn, 0.0), ("swarm", 7, 148)]


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
