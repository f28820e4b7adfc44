"""The procedure on the reference instances: known optima, sizes, packing, limits, commands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import NoReturn

import numpy as np
import pytest

from bprr.commands.main import parser
from bprr.ground.errors import InfeasibleError, InputError, InputErrors
from bprr.ground.results import OPTIMALITY, THEOREM_2
from bprr.ground.storage import read_provenance
from bprr.ground.swarm import LanguageModel, Swarm
from bprr.ground.tables import read_table
from bprr.offline.backends.base import (
    MilpResult,
    NothingFoundError,
    SolverKilledError,
    SolverLicenceError,
    SolverMissingError,
    SolverSettings,
)
from bprr.offline.backends.highs import solve_relaxation
from bprr.offline.backends.solve import installed_solvers
from bprr.offline.experiments.solver_race import solver_race
from bprr.offline.experiments.study import Study
from bprr.offline.experiments.swarms import cluster_instance, uniform_instance
from bprr.offline.formulation_paper import build_paper
from bprr.offline.formulation_strong import build_strong
from bprr.offline.heuristics import cg_bprr_plan
from bprr.offline.instance import OfflineInstance, shared_out
from bprr.offline.packing import Arc, Window, pack_arcs, pack_arcs_by_end
from bprr.offline.routing_ilp import route_exactly
from bprr.offline.solve import evaluate_plan, solve_offline
from bprr.placement.cg_bp import cg_bp
from bprr.scenario.draw import Catalogue
from bprr.settings.offline import OfflineSettings

HIGHS = SolverSettings("highs", 60, 1)


@pytest.mark.parametrize(
    ("requests", "optimum_ms"),
    [
        ((1,), 508.55),
        ((2,), 1017.11),
        ((3,), 1525.66),
        ((5,), 2593.24),
        ((8,), 4186.21),
        ((4, 4), 3426.21),
        ((3, 3, 2), 3616.21),
    ],
)
@pytest.mark.parametrize("solver", installed_solvers())
def test_known_optima(
    published: Catalogue, requests: tuple[int, ...], optimum_ms: float, solver: str
) -> None:
    result = solve_offline(cluster_instance(published, requests), "strong", SolverSettings(solver))
    assert result.status == "optimal"
    assert result.verified
    assert round(result.objective_ms, 2) == optimum_ms
    assert result.gap <= 1e-6


def test_relaxed_stopping_rule_gains(published: Catalogue) -> None:
    result = solve_offline(cluster_instance(published, (5,)), "relaxed", HIGHS)
    assert round(result.objective_ms, 2) == 2559.59


def test_stopping_early_can_make_a_plan_possible() -> None:
    model = LanguageModel(blocks=8, d_model=1, block_gb=1.0, cache_bytes_per_value=0.05e9)
    zeros, rtt = np.zeros(2), np.ones((1, 2))
    memory, tau = np.array([4.7, 5.9]), np.array([2.0, 1.0])
    swarm = Swarm(model, memory, tau, zeros, zeros, rtt, rtt)
    instance = OfflineInstance(swarm, (2,), 1)
    assert solve_offline(instance, "strong", HIGHS).status == "infeasible"
    relaxed = solve_offline(instance, "relaxed", HIGHS)
    assert relaxed.objective_ms == pytest.approx(27)


def test_papers_model_has_the_documented_size_and_relaxation(published: Catalogue) -> None:
    for load, size in ((1, (432, 1172)), (3, (1260, 3480))):
        milp = build_paper(cluster_instance(published, (load,))).milp
        assert (milp.columns, milp.rows) == size
        bound, _ = solve_relaxation(milp, 60)
        assert bound == pytest.approx(71.2488 * load, rel=1e-6)


def test_strong_relaxation_is_close(published: Catalogue) -> None:
    instance = cluster_instance(published, (8,))
    bound, _ = solve_relaxation(build_strong(instance, instance.classes).milp, 60)
    assert 0.99 * 4186.21 < bound <= 4186.22


def test_classes_group_equal_servers_only(published: Catalogue) -> None:
    clustered = cluster_instance(published, (1, 1))
    assert [servers.count for servers in clustered.classes] == [7, 2]
    scattered = uniform_instance(published, (1,), np.random.default_rng(0))
    assert [servers.count for servers in scattered.classes] == [1] * 9


def test_classes_and_single_servers_have_the_same_optimum(published: Catalogue) -> None:
    instance = cluster_instance(published, (5,))
    rtt = instance.swarm.token_rtt_ms + 1e-7 * np.arange(9)  # tells all servers apart
    apart = OfflineInstance(replace(instance.swarm, token_rtt_ms=rtt), (5,), 148)
    assert len(apart.classes) == 9
    assert solve_offline(apart, "strong", HIGHS).objective_ms == pytest.approx(2593.2442, rel=1e-6)


def test_a_class_that_cannot_be_packed_is_split(published: Catalogue) -> None:
    # The class's counts allow 7293.7 ms here, but no packing of them into its servers exists.
    result = solve_offline(cluster_instance(published, shared_out(17, 2), 21, 5), "strong", HIGHS)
    assert result.details["classes_split"]
    assert result.status == "optimal"
    assert result.verified


def test_time_limit_keeps_plan_and_bound(published: Catalogue) -> None:
    instance = uniform_instance(published, (20,), np.random.default_rng(0), 21, 5)
    result = solve_offline(instance, "strong", SolverSettings("highs", 5.0, 1))
    assert result.status == "time_limit"
    assert result.verified
    assert 0.9 * result.objective_ms < result.bound_ms < result.objective_ms
    objectives = [objective for _, objective, _ in result.trace]
    bounds = [bound for _, _, bound in result.trace]
    assert objectives == sorted(objectives, reverse=True)
    assert bounds == sorted(bounds)


def test_papers_milp_keeps_its_incumbent(published: Catalogue) -> None:
    result = solve_offline(cluster_instance(published, (1,)), "paper", SolverSettings("cbc", 4, 1))
    assert result.plan is None or result.verified
    assert result.bound_ms <= 508.56


def test_exact_routing_of_cg_bps_placement_is_its_shortest_paths(published: Catalogue) -> None:
    # Lemma 3: CG-BP leaves cache for all requests everywhere, so no path gets in another's way.
    instance = cluster_instance(published, (3, 3, 2))
    placement = cg_bp(instance.swarm, 8, 148)
    exact = evaluate_plan(instance, route_exactly(instance, placement, HIGHS))
    assert exact == pytest.approx(evaluate_plan(instance, cg_bprr_plan(instance, HIGHS)))


def test_exact_routing_respects_scarce_cache(published: Catalogue) -> None:
    instance = cluster_instance(published, (25,))
    placement = cg_bp(instance.swarm, 20, 148)
    objective = evaluate_plan(instance, route_exactly(instance, placement, HIGHS))
    alone = cluster_instance(published, (1,))
    shortest = evaluate_plan(alone, route_exactly(alone, placement, HIGHS))
    assert objective > 25 * shortest
    with pytest.raises(InfeasibleError, match="cache slots"):
        route_exactly(cluster_instance(published, (1000,)), placement, HIGHS)


def test_packing_is_by_windows_and_slots() -> None:
    narrow, wide = Window(0, 2, 5, 6), Window(1, 0, 5, 6)
    arcs = [Arc(0, 0, 5), Arc(0, 3, 5), Arc(0, 2, 5)]
    packed = pack_arcs(arcs, [wide, narrow])
    assert packed is not None
    assert packed[0] is wide
    assert packed[1] is packed[2] is narrow
    assert pack_arcs([*arcs, Arc(0, 2, 5)], [wide, narrow]) is None
    assert pack_arcs([Arc(0, 1, 3)], [narrow]) is None


def test_suffix_rule_packs_each_end_alone() -> None:
    window = Window(0, 0, 5, 10)
    assert pack_arcs([Arc(0, 0, 3)], [window]) == [window]
    assert pack_arcs_by_end([Arc(0, 0, 3)], [window]) is None


def test_bad_requests_are_refused(published: Catalogue) -> None:
    swarm = cluster_instance(published, (1,)).swarm
    for requests in ((1, 1), (0,), (-1,)):
        with pytest.raises(InputError, match="requests"):
            OfflineInstance(swarm, requests, 148)
    with pytest.raises(InputError, match="formulation"):
        solve_offline(OfflineInstance(swarm, (1,), 148), "weak", HIGHS)


def test_too_many_requests_are_infeasible(published: Catalogue) -> None:
    result = solve_offline(cluster_instance(published, (300,)), "strong", HIGHS)
    assert (result.status, result.plan, result.verified) == ("infeasible", None, False)


def test_a_gap_that_is_asked_for_ends_the_procedure(published: Catalogue) -> None:
    instance = uniform_instance(published, (8,), np.random.default_rng(0))
    exact = solve_offline(instance, "strong", HIGHS)
    loose = solve_offline(instance, "strong", replace(HIGHS, relative_gap=0.2))
    assert (exact.status, loose.status) == ("optimal", "gap_reached")
    assert 1e-6 < loose.gap <= 0.2
    assert loose.bound_ms <= exact.objective_ms * (1 + 1e-6)
    assert len(loose.details["programmes"]) < len(exact.details["programmes"])  # type: ignore[arg-type]


def test_a_limit_of_the_solver_ends_the_procedure(published: Catalogue) -> None:
    instance = uniform_instance(published, (8,), np.random.default_rng(0))
    limited = replace(HIGHS, options={"mip_max_nodes": 0, "mip_heuristic_effort": 0.0})
    result = solve_offline(instance, "strong", limited)
    assert result.status == "stopped"
    assert result.details["ended"] == "Solution limit reached"
    assert len(result.details["programmes"]) < 10  # type: ignore[arg-type]
    assert result.bound_ms <= result.objective_ms


def test_a_killed_solver_leaves_the_plan_that_was_found(
    published: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> MilpResult:
        raise SolverKilledError("CBC was killed by SIGKILL\nand what it said")

    instance = uniform_instance(published, (8,), np.random.default_rng(0))
    monkeypatch.setattr("bprr.offline.procedure.solve_milp", killed)
    result = solve_offline(instance, "strong", HIGHS)
    assert (result.status, result.verified) == ("stopped", True)
    assert result.details["ended"] == "CBC was killed by SIGKILL"
    monkeypatch.setattr("bprr.offline.routing_ilp.solve_milp", killed)
    with pytest.raises(SolverKilledError):
        solve_offline(instance, "strong", HIGHS)


def test_routes_that_were_not_found_in_time_may_exist(published: Catalogue) -> None:
    instance = uniform_instance(published, (8,), np.random.default_rng(0))
    placement = cg_bp(instance.swarm, 8, 148)
    hurried = replace(HIGHS, options={"mip_max_nodes": 0, "presolve": "off"})
    with pytest.raises(NothingFoundError, match="stopped"):
        route_exactly(instance, placement, hurried)


def test_routes_are_exact_whatever_gap_is_asked_for(published: Catalogue) -> None:
    instance = cluster_instance(published, (8,))
    placement = cg_bp(instance.swarm, 6, 148)
    exact = evaluate_plan(instance, route_exactly(instance, placement, HIGHS))
    loose = route_exactly(instance, placement, replace(HIGHS, relative_gap=0.9))
    assert evaluate_plan(instance, loose) == pytest.approx(exact)


def test_block_caps_hold(published: Catalogue) -> None:
    instance = cluster_instance(published, (2,))
    swarm = replace(instance.swarm, block_cap=np.array([70] * 7 + [40, 40]))
    capped = OfflineInstance(swarm, (2,), 148)
    assert [servers.count for servers in capped.classes] == [7, 2]
    result = solve_offline(capped, "strong", HIGHS)
    assert result.plan is not None
    assert result.plan.placement.blocks[7] <= 40
    assert result.objective_ms > 1017.11 + 1
    assert build_paper(capped).milp.upper[9 + 7] == 40


def command(*words: str) -> int:
    arguments = parser().parse_args(words)
    status: int = arguments.run(arguments)
    return status


SCENARIO = "config/scenarios/scattered.yaml"


def test_solve_command_prints_one_json_object(
    at_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--set", "clients=2", "--requests", "2,1", "--json"]
    assert command("solve", SCENARIO, *words) == 0
    record = json.loads(capsys.readouterr().out)
    assert {
        "objective_per_token_ms_sum", "bound", "gap", "status", "seconds",
        "solver_requested", "solver_used", "placement", "chains", "verified",
    } <= set(record)  # fmt: skip
    assert record["verified"] is True
    assert record["status"] == "optimal"
    assert sorted(chain["client"] for chain in record["chains"]) == [0, 0, 1]
    assert all(sum(chain["blocks_processed"]) == 70 for chain in record["chains"])


def test_solve_command_for_people(at_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("solve", SCENARIO, "--requests", "4") == 0
    assert "ms per token, mean of 4 requests" in capsys.readouterr().out
    with pytest.raises(InfeasibleError, match="GPU memory"):
        command("solve", SCENARIO, "--requests", "300")
    with pytest.raises(InputError, match="--requests"):
        command("solve", SCENARIO, "--requests", "4,4")


def test_missing_solver_stops_the_command_before_any_work(
    at_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise SolverMissingError(name, "install it")

    monkeypatch.setattr("bprr.offline.backends.solve.require_solver", missing)
    with pytest.raises(SolverMissingError, match="install it"):
        command("solve", "no/such/scenario.yaml", "--solver", "scip")
    with pytest.raises(SolverMissingError, match="install it"):
        command("offline", "optimality", "-o", "no/such/folder/table.parquet")


def test_bad_option_stops_the_command_before_any_work(at_root: Path) -> None:
    with pytest.raises(InputError, match="allowableGap"):
        command("solve", SCENARIO, "--solver", "cbc", "--option", "allowableGap=100000")
    with pytest.raises(InputError, match="mip_rel_gap"):
        command("offline", "optimality", "--option", "mip_rel_gap=0.1", "-o", "x/y.parquet")


def test_both_commands_read_the_offline_settings(
    at_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(
        "solver: cbc\noffline: {time_limit_s: 7, threads: 1, relative_gap: 0.25,"
        " options: {cbc: {maxNodes: 3, cuts: off}}}\n",
        encoding="utf-8",
    )
    seen: list[SolverSettings] = []

    def solved(_: object, formulation: str, settings: SolverSettings) -> None:
        seen.append(settings)
        raise InfeasibleError("patience", "all of it")

    monkeypatch.setattr("bprr.offline.solve.solve_offline", solved)
    monkeypatch.setattr("bprr.offline.experiments.equal_blocks.solve_offline", solved)
    given = {"maxNodes": 3, "cuts": "off"}
    for words in (["solve", SCENARIO], ["offline", "equal_blocks", "-o", "never.parquet"]):
        for flags, changed in (
            ([], {}),
            (["--gap", "0.5", "--time-limit", "3"], {"relative_gap": 0.5, "time_limit_s": 3.0}),
            (["--option", "maxNodes=9"], {"options": {**given, "maxNodes": 9}}),
            (["--solver", "highs"], {"solver": "highs", "options": {}}),
        ):
            with pytest.raises(InfeasibleError):
                command(*words, "--config", str(config), *flags)
            expected = SolverSettings("cbc", 7.0, 1, 0.25, given)
            assert seen.pop() == replace(expected, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("flag", "value", "key"),
    [
        ("--time-limit", "-1", "time_limit_s"),
        ("--threads", "0", "threads"),
        ("--gap", "1e-9", "relative_gap"),
        ("--gap", "1", "relative_gap"),
    ],
)
def test_bad_limits_are_refused(at_root: Path, flag: str, value: str, key: str) -> None:
    with pytest.raises(InputErrors, match=f"command line: {key}"):
        command("solve", SCENARIO, flag, value)


def test_design_load_is_chosen_as_in_sweeps(
    at_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loads = []
    for key in ("design_load.rate_per_s=0.01", "design_load.load=3", "workload.rate_per_s=0.01"):
        assert command("solve", SCENARIO, "--set", key, "--gap", "0.9", "--json") == 0
        loads.append(sum(json.loads(capsys.readouterr().out)["requests"]))
    assert loads[:2] == [loads[2], 3]


def test_study_commands_write_tables(at_root: Path, tmp_path: Path) -> None:
    table = tmp_path / "optimality.parquet"
    assert command("offline", "optimality", "--scale", "smoke", "-o", str(table)) == 0
    bounds = tmp_path / "theorem_2.parquet"
    assert command("offline", "theorem_2", "--optimality", str(table), "-o", str(bounds)) == 0
    found = read_table(table, OPTIMALITY)
    assert set(found["method"]) == {"optimum", "cg_bprr", "gsa", "petals", "theorem_2"}
    assert (found.loc[found["method"] == "optimum", "status"] == "optimal").all()
    above = found["above_optimum_percent"].dropna()
    assert (above >= -1e-6).all()
    assert (read_table(bounds, THEOREM_2)["bound_over_cg_bprr"].dropna() >= 1 - 1e-9).all()
    settings = read_provenance(table)["settings"]
    assert (settings["solver"], settings["offline"]["scale"]) == ("highs", "smoke")


@pytest.mark.parametrize(("threads", "lanes"), [(1, 1), (2, 2), (5, 2)])
def test_solvers_race_side_by_side_with_equally_many_threads(
    published: Catalogue, monkeypatch: pytest.MonkeyPatch, threads: int, lanes: int
) -> None:
    both = Barrier(lanes, timeout=20)  # breaks unless as many wait for each other
    given = []

    def ask(instance: OfflineInstance, formulation: str, settings: SolverSettings) -> NoReturn:
        given.append((formulation, settings.solver, settings.threads))
        both.wait()
        raise SolverLicenceError(settings.solver, None, "")

    race = "bprr.offline.experiments.solver_race"
    monkeypatch.setattr(f"{race}.solve_offline", ask)
    monkeypatch.setattr(f"{race}.installed_solvers", lambda: ("highs", "cbc"))
    monkeypatch.setattr(f"{race}.cores", lambda: 2)
    offline = OfflineSettings(scale="smoke", threads=threads)
    table = solver_race(Study(published, None, offline, "highs", 1))
    assert {each for *_, each in given} == {threads // lanes}
    # Whoever ends first: in the order of the solvers, one programme after another.
    assert table["solver"].tolist() == ["highs", "cbc"] * (len(table) // 2)
    asked = [formulation for formulation, *_ in given]
    assert asked == table["formulation"].tolist()
