"""Claims and the steps of the gain under every model of how servers compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bprr.commands.main import main
from bprr.figures.from_settings import study_caption
from bprr.figures.served import ServiceModel, by_model
from bprr.ground.storage import write_table
from bprr.report.by_service import Served, claims_by_service, decomposition_by_service
from bprr.report.claims import each_claim, load_claims
from bprr.report.discrepancies import load_register
from bprr.report.results import Results
from bprr.settings.configuration import load_settings
from bprr.study.points import sweep_points

PUBLISHED = Path("data/published/results.csv")
SETTINGS = load_settings()
NAMES = ["fig7_service", "decomposition_service", "tables_queues"]
STUDY = study_caption(SETTINGS, NAMES)
# Proposed over PETALS by service.
RATIO = {"independent": 0.3, "serial": 1.5, "batched": 0.5}


def requests(name: str, topology: str) -> pd.DataFrame:
    """Every point of a sweep: PETALS takes a second a token, the proposed method by service."""
    rows = []
    for (_, value), point in zip(
        STUDY.sweeps[name].changes[topology], sweep_points(SETTINGS, name, topology), strict=True
    ):
        service = next(iter(value)) if value else "independent"
        methods = SETTINGS.sweeps[name].methods
        for run in range(3):
            for variant in point.delays:
                for step, method in enumerate(methods):
                    share = step / (len(methods) - 1)
                    factor = 1 + share * (RATIO[service] - 1)
                    delay_ms = 1000.0 if variant == "published" else 0.0
                    rows.append(
                        {
                            "figure": name, "topology": topology, "x": point.x, "run": run,
                            "allocation_delays": variant, "method": method, "request": 0,
                            "servers": 9, "eta": 0.2, "rate_per_s": 0.5, "output_tokens": 128,
                            "requests": 50, "input_tokens": 20, "arrival_ms": 0.0,
                            "per_token_ms": 1000 * factor * (1 + run / 100) + delay_ms,
                            "ttft_ms": 100.0, "remaining_per_token_ms": 1000.0, "wait_ms": 0.0,
                            "max_concurrent": 1, "status": "ok",
                            **_axis(point, name),
                        }
                    )  # fmt: skip
    return pd.DataFrame(rows)


def _axis(point, name):
    if name == "fig7_service":
        return {"servers": point.scenario.fleet.servers}
    return {"rate_per_s": point.scenario.workload.rate_per_s}


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    folder = tmp_path_factory.mktemp("results")
    for name in ("fig7_service", "decomposition_service"):
        write_table(
            requests(name, "abovenet"), folder / f"sweeps/{name}_abovenet.parquet", {}, "source"
        )
    return Results(folder, STUDY, PUBLISHED)


def test_a_sweep_is_told_apart_and_numbered_as_the_one_it_repeats(results):
    name = "sweeps/fig7_abovenet.parquet"
    served = Served(results)
    assert served.path(name).name == "fig7_service_abovenet.parquet"
    assert (
        served.path("sweeps/tables_found_cluster0.parquet").name == "tables_queues_cluster0.parquet"
    )
    assert len(served.models([name])) == 11
    means = served.of(ServiceModel("batched 0.3", "", "where_room")).means(name)
    assert set(means["figure"]) == {"fig7"}
    assert sorted(set(means["x"])) == [6, 10, 15, 20, 22]
    assert not served.repeats(["sweeps/planned_rate_abovenet.parquet"])


def test_claims_are_held_against_the_same_limits_under_every_model(results):
    claims = each_claim(load_claims(Path("claims.yaml")), PUBLISHED)
    table = claims_by_service(claims, results).set_index("id")
    assert table.loc["trend.scarce_servers.bellcanada", "holds"] == "not run"
    scarce = table.loc["trend.scarce_servers.abovenet"]
    assert len(scarce) == 11 * 3  # the same at all points: neither more nor less is gained
    assert scarce["ours"].abs().max() < 1e-9
    # Another claim with limits that tell: what is saved at all, on one network.
    gain = next(claim for claim in claims if claim.id == "gain.figures")
    one = gain.model_copy(update={"files": ["sweeps/fig7_abovenet.parquet"]})
    table = claims_by_service([one], results)
    assert len(table) == 11 * 3
    free = table[table["delays"] == "none"].copy()
    free["kind"] = free["service"].str.split().str[0]
    by_kind = free.groupby("kind")["holds"].agg(set).to_dict()
    assert by_kind == {"independent": {"yes"}, "serial": {"contradicted"}, "batched": {"no"}}
    assert free.groupby("kind")["ours"].mean().to_dict() == pytest.approx(
        {"independent": 0.7, "serial": -0.5, "batched": 0.5}
    )
    # A request a run says nothing of growth, and nothing is known of capacities: five points.
    assert set(table["regimes"]) == {"5 / 0 / 0"}
    delayed = table[(table["delays"] == "published") & (table["service"] == "independent")]
    assert delayed["ours"].iloc[0] == pytest.approx(0.7 * 1.01 / 2.01)


def test_steps_add_up_under_every_model(results):
    register = load_register(Path("discrepancies.yaml"))
    table = decomposition_by_service(register, results)
    models = table[["service", "service_order", "belief"]].drop_duplicates()
    assert len(models) == 11
    assert set(table["allocation_delays"]) == {"published", "none", "measured"}
    free = table[(table["allocation_delays"] == "measured") & (table["order"] == "delays last")]
    for service, own in free.groupby(free["service"].str.split().str[0]):
        whole = own.groupby(["service", "service_order", "belief", "x"])["share"].sum()
        assert whole.to_numpy() == pytest.approx(RATIO[service] - 1)
    assert sorted(set(table["x"])) == [0.1, 0.5]
    assert set(table["regime"]) == {"stable"}


def test_through_the_door_of_a_user(results, tmp_path, capsys, monkeypatch):
    claims = tmp_path / "claims_by_service.csv"
    caption = tmp_path / "caption.json"
    caption.write_text(STUDY.model_dump_json(), encoding="utf-8")
    folder = ["--caption", str(caption), "--results", str(results.folder)]
    assert main(["by-service", *folder, "-o", str(claims)]) == 0
    told = capsys.readouterr().out
    assert "not run: " in told and "steps of the gain: not run" not in told
    shown = ["--caption", str(caption), "-o"]
    assert main(["plot", "claims", str(claims), *shown, str(tmp_path / "claims.pdf")]) == 0
    text = (tmp_path / "claims.md").read_text(encoding="utf-8")
    assert "| gain with the fewest servers minus gain with the most, Figure 7, AboveNet |" in text
    steps = tmp_path / "decomposition_by_service.csv"
    assert main(["plot", "decomposition", str(steps), *shown, str(tmp_path / "steps.pdf")]) == 0
    assert (tmp_path / "steps.png").exists()


def test_without_the_study_nothing_is_said_to_hold(tmp_path):
    claims = each_claim(load_claims(Path("claims.yaml")), PUBLISHED)
    none = Results(tmp_path, STUDY, PUBLISHED)
    table = claims_by_service(claims, none)
    assert len(table) > 0 and set(table["holds"]) == {"not run"}
    assert decomposition_by_service(load_register(Path("discrepancies.yaml")), none).empty


def test_points_without_a_service_are_one_model():
    means = pd.DataFrame({"topology": "abovenet", "x": [0.0, 1.0], "servers": [6, 10]})
    for name in ("eta", "rate_per_s", "output_tokens", "requests"):
        means[name] = 1.0
    plain = STUDY.sweeps["fig7_service"].model_copy(update={"changes": {}})
    (model,) = by_model(means, plain)
    assert (
        model == ServiceModel("independent")
        and np.isfinite(by_model(means, plain)[model]["x"]).all()
    )
