"""Results say what they are made from: `bprr status` compares it, figures refuse what differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bprr.commands.main import main
from bprr.figures.from_settings import made_of, other_tables, study_caption
from bprr.figures.made import check_made
from bprr.ground.errors import InputError
from bprr.ground.storage import read_provenance, write_table
from bprr.report.results import Results
from bprr.settings.configuration import Settings, load_settings, settings_of
from bprr.study.offline import KINDS, planned_experiment
from bprr.study.planned import Planned, planned_sweep
from bprr.study.status import State, differences, planned_tables, state_of
from bprr.study.theory import planned_theory
from bprr.study.timing import planned_growth, planned_times

CASE = {"family": "clustered", "servers": 9, "clients": 1, "load": 3, "draw": 0}
PLAN = {
    **CASE, "objective_ms": 10.0, "bound_ms": 10.0, "status": "optimal",
    "above_optimum_percent": 5.0,
}  # fmt: skip
TABLES: dict[str, pd.DataFrame] = {
    "optimality": pd.DataFrame([{**PLAN, "method": "optimum"}, {**PLAN, "method": "cg_bprr"}]),
    "equal_blocks": pd.DataFrame([{**PLAN, "method": "gsa", "memory_gb": 40.0}]),
    "theorem_2": pd.DataFrame([{**CASE, "bound_over_cg_bprr": 1.2, "bound_over_optimum": 1.3}]),
    "solver_race": pd.DataFrame(
        [{**CASE, "formulation": "strong", "solver": "highs", "seconds": 1.0, "gap": 0.0,
          "status": "optimal"}]
    ),
    "relaxed_stopping": pd.DataFrame([{**CASE, "gain_percent": 0.0, "most_gain_percent": 1.0}]),
    "checks": pd.DataFrame([{"check": "sessions", "case": "80", "value": 7.0}]),
    "table8": pd.DataFrame(
        [
            {"setting": "clustered", "method": method, "repeat": 0, "servers": 9, "requests": 100,
             "placement_s": 0.001, "routing_s_per_request": 1e-5, "total_s": 0.002}
            for method in ("petals", "proposed")
        ]
    ),
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The shipped settings, their results in an empty folder."""
    return load_settings(overrides={"results_dir": str(tmp_path / "results")})


def write(planned: Planned, **changed: Any) -> Path:
    """A table as the settings ask for it, but for some of its provenance."""
    record = {**planned.provenance(), "source": planned.source, **changed}
    table = TABLES.get(planned.path.stem, TABLES["checks"])
    write_table(table, planned.path, record, record["source"])
    return planned.path


def test_what_is_planned_is_the_same_from_its_own_slice(settings: Settings) -> None:
    plans = {
        planned_times: planned_times(settings),
        planned_theory: planned_theory(settings),
        lambda own: planned_sweep(own, "fig7", "gts_ce"): planned_sweep(settings, "fig7", "gts_ce"),
    }
    for kind in KINDS:
        for name in ("optimality", "theorem_2", "solver_race"):
            # A job of either kind knows one: that of its slice.
            plans[lambda own, name=name: planned_experiment(own, name)] = planned_experiment(
                settings, name, kind
            )
    for plan, planned in plans.items():
        own = settings_of(json.loads(planned.settings.text), "slice")
        assert made_of(plan(own)) == made_of(planned), planned.path
    digests = {planned.settings.digest for planned in plans.values()}
    assert len(digests) == len(plans) - len(KINDS)  # theorem_2 has the slice of optimality


def test_states(settings: Settings) -> None:
    planned = planned_experiment(settings, "solver_race")
    assert state_of(planned) == State("missing")
    write(planned)
    assert state_of(planned) == State("current")
    older = json.loads(json.dumps(planned.settings.content))
    older["offline"]["threads"] = 7
    write(planned, settings=older, settings_hash="0123")
    assert state_of(planned) == State("stale", "settings: offline.threads (7, now 2)")
    write(planned, settings={}, settings_hash="0123")
    word, why = state_of(planned)
    assert (word, why.count(", now "), why.endswith(" more")) == ("stale", 4, True)
    write(planned, data="0123")
    assert state_of(planned).why == "data: the files of networks or traces have changed"
    write(planned, source="0123")
    assert state_of(planned) == State("stale", "source: made by other code")
    write_table(TABLES["checks"], planned.path, {}, "")
    assert state_of(planned) == State("foreign", "it does not say its settings")
    TABLES["checks"].to_parquet(planned.path)
    assert state_of(planned) == State("foreign", "provenance: none")
    planned.path.write_bytes(b"PAR1")
    assert state_of(planned).word == "foreign"


def test_differences_are_told_by_their_keys_and_shortly() -> None:
    made = {"a": {"b": 1, "c": "x" * 40}, "d": None}
    asked = {"a": {"b": 2, "c": "y"}, "d": [1]}
    assert list(differences(made, asked)) == [
        "a.b (1, now 2)", f"a.c ({'x' * 29}…, now y)", "d (nothing, now [1])",
    ]  # fmt: skip
    assert list(differences(made, made)) == []


def test_a_study_counts_where_it_was_made(settings: Settings) -> None:
    main_job = [planned.path for planned in planned_tables(settings)]
    names = {path.relative_to(settings.results_dir).as_posix() for path in main_job}
    assert {"sweeps/fig7_abovenet.parquet", "timing/table8.parquet", "theory/checks.parquet",
            "offline/theorem_2.parquet", "offline/optimality.parquet"} <= names  # fmt: skip
    assert not [name for name in names if "offline_study" in name or "_service" in name]
    studied = [
        planned_experiment(settings, "theorem_2", "offline_study"),
        planned_sweep(settings, "fig7_service", "abovenet"),
    ]
    for planned in studied:
        write(planned)
    both = [planned.path for planned in planned_tables(settings)]
    assert set(both) - set(main_job) == {planned.path for planned in studied}


def test_status_of_a_folder(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"results_dir: {settings.results_dir}\n", encoding="utf-8")
    planned = list(planned_tables(settings))
    for each in planned[1:]:
        write(each)
    assert main(["status", "--config", str(file)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"missing  {planned[0].path}"
    assert lines[-1] == f"1 missing, {len(planned) - 1} current"
    write(planned[0], source="0123")
    assert main(["status", "--json", "--config", str(file)]) == 1
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert first == {
        "path": str(planned[0].path), "state": "stale", "why": "source: made by other code",
    }  # fmt: skip
    write(planned[0])
    assert main(["status", "--config", str(file)]) == 0


def test_one_of_several_is_enough(settings: Settings) -> None:
    small, large = (planned_experiment(settings, "solver_race", kind) for kind in KINDS)
    path = write(large)
    check_made(path, made_of(small), made_of(large))
    check_made(path)  # nothing is asked
    with pytest.raises(InputError, match=f"settings_hash: got '{large.settings.digest}'"):
        check_made(path, made_of(small))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in TABLES if name not in ("table8", "checks")])
def test_an_offline_table_of_other_settings_is_not_drawn(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    planned = planned_experiment(settings, name, kind)
    output = tmp_path / "drawn/it.pdf"
    command = ["plot-offline", name, str(planned.path), "-o", str(output)]
    for key in ("settings_hash", "data", "source"):
        write(planned, **{key: "0123"})
        assert main(command) == 2
        assert f"{name}.parquet: {key}: got '0123'" in capsys.readouterr().err
    assert not output.parent.exists()
    write(planned)
    planned.settings.write(str(tmp_path))
    own = ["--config", planned.settings.path(str(tmp_path))]  # as its job, or as the study shipped
    assert main([*command, *(own if kind == "offline" else [])]) == 0
    other = tmp_path / "other.yaml"
    other.write_text("seed: 7\n", encoding="utf-8")
    assert main([*command, "--config", str(other)]) == 2


def test_running_times_of_other_settings_are_not_shown(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = planned_times(settings)
    command = ["plot", "running-times", str(planned.path), "-o", str(tmp_path / "drawn/it.pdf")]
    write(planned, settings_hash="0123")
    assert main(command) == 2
    assert "table8.parquet: settings_hash: got '0123'" in capsys.readouterr().err
    write(planned)
    assert main(command) == 0
    capsys.readouterr()


def test_claims_are_not_judged_by_other_tables(settings: Settings, tmp_path: Path) -> None:
    study = study_caption(settings, [], tables=other_tables(settings))
    results = Results(Path(settings.results_dir), study, tmp_path / "published.csv")
    plans = other_tables(settings)
    assert {planned.path.stem for planned in plans} == {*TABLES, "growth"}
    for planned in plans:
        name = planned.path.relative_to(settings.results_dir).as_posix()
        write(planned, data="0123")
        with pytest.raises(InputError, match=rf"{planned.path.name}: data: got '0123'"):
            results.table(name, ())


@pytest.mark.parametrize(
    ("command", "plan", "computed"),
    [
        ("time", planned_times, "bprr.study.timing.running_times"),
        ("theory", planned_theory, "bprr.study.theory.theory"),
    ],
)
def test_what_a_job_writes_is_current(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str,
    plan: Any, computed: str,
) -> None:  # fmt: skip
    planned = plan(settings)
    monkeypatch.setattr(computed, lambda *arguments: TABLES[planned.path.stem])
    planned.settings.write(str(tmp_path))
    job = ["--config", planned.settings.path(str(tmp_path)), "-o", str(planned.path)]
    if command == "time":
        steps = pd.DataFrame({"step": ["placement"], "seconds": [0.1]})
        monkeypatch.setattr("bprr.study.growth.growth", lambda seed: steps)
        job += ["--growth", str(planned_growth(settings).path)]
    assert main([command, *job]) == 0
    assert state_of(planned) == State("current")
    if command == "time":
        assert state_of(planned_growth(settings)) == State("current")


def test_a_bound_is_made_from_what_its_optima_are_made_from(settings: Settings) -> None:
    optima, bound = (planned_experiment(settings, name) for name in ("optimality", "theorem_2"))
    rows = [{**PLAN, "method": name} for name in ("optimum", "cg_bprr", "theorem_2")]
    for changed in ({}, {"source": "0123"}, {"data": "0123"}):
        write_table(
            pd.DataFrame(rows), optima.path, {**optima.provenance(), **changed},
            changed.get("source", optima.source),
        )  # fmt: skip
        assert main(["offline", "theorem_2", "--optimality", str(optima.path), "-o",
                     str(bound.path)]) == 0  # fmt: skip
        assert state_of(bound).word == state_of(optima).word
        assert read_provenance(bound.path)["experiment"] == "theorem_2"
