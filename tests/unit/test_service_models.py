"""The table of times by service, from the sweeps that repeat a figure under one after another."""

from pathlib import Path

import numpy as np
import pytest

from bprr.figures.from_settings import study_caption
from bprr.figures.service_models import plot_service_models, service_models
from bprr.ground.storage import write_table
from bprr.settings.configuration import settings_of
from bprr.study.points import sweep_points
from bprr.study.slices import sweep_modules, sweep_slice
from bprr.study.sweep import run_sweep

COLUMNS = [
    "figure", "topology", "x", "delays", "service", "order", "belief", "method", "per_token_ms",
    "low", "high", "ratio_to_petals", "regime", "sessions",
]  # fmt: skip
SERVICES = [
    {"serial": {"belief": "ends_now"}},
    {"serial": {"order": "oldest", "prompt": "block", "belief": "where_room"}},
    {"batched": {"beta_share": 0.3}},
]


@pytest.fixture(scope="module")
def study(configuration):
    """Figure 10 at two points, and the same under three services."""
    lengths = {"workload.output_tokens": [16, 64]}
    changed = {
        "fig10": {"axes": lengths, "methods": ["petals", "proposed"], "runs": 2},
        "fig10_service": {
            "axes": lengths,
            "one_at_a_time": {"service": SERVICES},
            "runs": 2,
            "methods": ["petals", "petals_shipped", "proposed"],
            "delays": ["none"],
        },
    }
    sweeps = {
        name: configuration.sweeps[name].model_copy(update={**values, "topologies": ["abovenet"]})
        for name, values in changed.items()
    }
    return configuration.model_copy(update={"sweeps": sweeps})


@pytest.fixture(scope="module")
def tables(study):
    return {name: run_sweep(study, name, "abovenet") for name in study.sweeps}


def test_every_point_stands_under_every_service(study, tables):
    caption = study_caption(study).sweeps["fig10_service"]
    table = service_models(tables["fig10_service"], caption)
    assert table.columns[: len(COLUMNS)].tolist() == COLUMNS
    assert (table["figure"] == "fig10").all()
    assert sorted(set(table["x"])) == [16, 64]
    models = set(zip(table["service"], table["order"], table["belief"], strict=True))
    assert models == {
        ("independent", "", ""),
        ("serial", "fifo", "ends_now"),
        ("serial", "oldest block", "where_room"),
        ("batched 0.3", "", "re_estimated"),
    }
    assert len(table) == 2 * 4 * 3  # points, services, methods
    assert (table.loc[table["method"] == "petals", "ratio_to_petals"] == 1).all()
    queued = table["service"] != "independent"
    assert table.loc[queued, "load"].notna().all()
    assert table.loc[~queued, "load"].isna().all()
    assert set(table.loc[queued, "bound"]) <= {"computing", "memory"}
    serial = table[(table["service"] == "serial") & (table["x"] == 64)]
    assert (serial["regime"] == "overloaded").all()  # 0.5 a second, where 0.2 fit


def test_means_are_those_of_the_requests(study, tables):
    requests = tables["fig10_service"]
    table = service_models(requests, study_caption(study).sweeps["fig10_service"])
    row = table[
        (table["x"] == 64) & (table["belief"] == "ends_now") & (table["method"] == "proposed")
    ].iloc[0]
    point = requests[(requests["x"] == 3) & (requests["method"] == "proposed")]
    assert row["per_token_ms"] == pytest.approx(point.groupby("run")["per_token_ms"].mean().mean())
    assert row["low"] < row["per_token_ms"] < row["high"]


def test_the_repeated_sweep_stands_beside_them(study, tables, tmp_path):
    paths = []
    for name, table in tables.items():
        paths.append(tmp_path / f"{name}.parquet")
        write_table(table, paths[-1], {}, "source")
    plot_service_models(paths, study_caption(study), tmp_path / "service_models")
    rows = (tmp_path / "service_models_table.md").read_text(encoding="utf-8").splitlines()
    rows = [
        line.split(" | ") for line in rows if line.startswith(("| serial", "| batched", "| indep"))
    ]
    assert len(rows) == 2 + 3  # the paper's servers under either variant, and the services
    assert {row[3].partition(" of ")[2] for row in rows} == {"2"}
    lines = (tmp_path / "service_models.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split(",")[: len(COLUMNS)] == COLUMNS
    # Two points, two methods, two delay variants, beside those of the services.
    assert len(lines) == 1 + 2 * 2 * 2 + 2 * 4 * 3
    assert np.sum(["published" in line for line in lines]) == 4


def test_waits_as_measured_are_those_of_sessions_that_come_again(configuration):
    (point, *_) = sweep_points(configuration, "fig7_service", "abovenet")
    admissions = {
        variant: {name: method.admission and method.admission.name for name, method in run.items()}
        for variant, run in point.variants.items()
    }
    assert set(admissions["none"].values()) == {None, "shipped"}
    assert set(admissions["measured"].values()) == {"retry", "shipped"}
    assert admissions["measured"]["petals_shipped"] == "shipped"  # which has its own
    content = sweep_slice(configuration, "fig7_service", "abovenet").content
    assert settings_of(content, Path("slice")).delays["measured"].admission.name == "retry"
    assert "admission" not in content["delays"]["none"]
    modules = sweep_modules(configuration, ("fig7_service", "abovenet"))
    assert "bprr.simulation.admission.retry" in modules
