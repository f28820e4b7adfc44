"""Claims are judged by the results: perturb a number and the verdict flips."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
import yaml

from bprr.commands.main import main
from bprr.ground.errors import BprrError, InputError
from bprr.ground.storage import write_table
from bprr.report.claims import Claims, Comparison, each_claim, load_claims
from bprr.report.discrepancies import decomposition, load_register
from bprr.report.manifest import differences, write_manifest
from bprr.report.results import Results
from bprr.report.scorecard import (
    check_claims,
    make_scorecard,
    planned_files,
    summary,
    write_scorecard,
)
from bprr.report.verdicts import Verdict, judge
from bprr.settings.configuration import load_settings
from bprr.study.summary import Estimate

PUBLISHED = Path("data/published/results.csv")
CLAIM = "table3.cluster0.petals.rate_0.1.tokens_64.simulator"


def requests(per_token_ms: dict[str, dict[str, float]], figure: str, x: float) -> pd.DataFrame:
    """One point of a sweep: four runs of one request per method and variant."""
    rows = [
        {
            "figure": figure, "topology": "cluster0", "x": x, "allocation_delays": variant,
            "method": method, "run": run, "status": "ok", "servers": 9, "eta": 0.2,
            "rate_per_s": 0.1, "output_tokens": 64, "requests": 1, "input_tokens": 20,
            "per_token_ms": value * (1 + 0.01 * run), "ttft_ms": 1.0, "wait_ms": 0.0,
            "remaining_per_token_ms": 1.0, "max_concurrent": 1,
        }
        for variant, methods in per_token_ms.items()
        for method, value in methods.items()
        for run in range(4)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def verdict_with(folder: Path, with_delays_ms: float, without_ms: float) -> str:
    table = requests(
        {"published": {"petals": with_delays_ms}, "none": {"petals": without_ms}}, "table3", 0
    )
    write_table(table, folder / "sweeps/table3_cluster0.parquet", {})
    claims = [
        one for one in each_claim(load_claims(Path("claims.yaml")), PUBLISHED) if one.id == CLAIM
    ]
    register = load_register(Path("discrepancies.yaml"))
    card = make_scorecard(claims, register, Results(folder, 0.95, PUBLISHED))
    return str(card.claims["verdict"].item())


@pytest.mark.usefixtures("at_root")
def test_perturbed_result_flips_the_verdict(tmp_path: Path) -> None:
    assert verdict_with(tmp_path, 5330, 5330) == Verdict.REPRODUCED
    assert verdict_with(tmp_path, 5330, 1100) == Verdict.ONLY_WITH_DELAYS
    assert verdict_with(tmp_path, 7000, 1100) == Verdict.NOT_REPRODUCED
    assert verdict_with(tmp_path, 20000, 1100) == Verdict.CONTRADICTED


@pytest.mark.usefixtures("at_root")
def test_every_printed_number_is_a_claim() -> None:
    claims = each_claim(load_claims(Path("claims.yaml")), PUBLISHED)
    assert len({claim.id for claim in claims}) == len(claims)
    printed = pd.read_csv(PUBLISHED)
    values = [claim.value for claim in claims if claim.id.startswith("table")]
    assert sorted(values) == sorted(printed["value_s"])  # type: ignore[type-var]


@pytest.mark.usefixtures("at_root")
def test_claims_that_nothing_produces_are_refused() -> None:
    claims = each_claim(load_claims(Path("claims.yaml")), PUBLISHED)
    register = load_register(Path("discrepancies.yaml"))
    rules = {claim.rule for claim in claims}
    files = {name for claim in claims for name in claim.files}
    check_claims(claims, register, rules, files)
    swept = {name for name in files if name.startswith("sweeps/")}
    assert swept <= planned_files(load_settings(Path("config/default.yaml")))
    with pytest.raises(InputError, match="a rule of the workflow"):
        check_claims(claims, register, rules - {"sweep"}, files)
    with pytest.raises(InputError, match="file that the workflow produces"):
        check_claims(claims, register, rules, files - {"sweeps/fig9_gts_ce.parquet"})
    unknown = claims[0].model_copy(update={"measure": "guess"})
    with pytest.raises(InputError, match="guess"):
        check_claims([unknown], register, rules, files)
    spelled = claims[0].model_copy(update={"arguments": {"mehtod": "petals"}})
    with pytest.raises(InputError, match="its parameters"):
        check_claims([spelled], register, rules, files)


@pytest.mark.parametrize("change", [{"compare": None}, {"value": "much"}, {"colour": "red"}])
def test_bad_claims_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    good = {
        "id": "a", "place": "here", "statement": "b", "rule": "sweep", "files": ["x"],
        "measure": "gain", "compare": {"kind": "bound", "low": 1.0}, "minutes": 1,
    }  # fmt: skip
    Claims.model_validate({"claims": [good]})
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": [{**good, **change}]}))
    with pytest.raises(BprrError):
        load_claims(path)


def test_orders_need_the_whole_interval() -> None:
    above = Comparison(kind="order", low=0, contradicted_below=0)
    assert judge({"published": Estimate(0.1, 0.05, 0.15)}, above) == Verdict.REPRODUCED
    assert judge({"published": Estimate(0.1, -0.1, 0.3)}, above) == Verdict.NOT_REPRODUCED
    assert judge({"published": Estimate(-0.1, -0.2, -0.05)}, above) == Verdict.CONTRADICTED
    assert judge({}, above) == Verdict.NOT_TESTABLE


@pytest.mark.usefixtures("at_root")
def test_decomposition_adds_up(tmp_path: Path) -> None:
    register = load_register(Path("discrepancies.yaml"))
    orders = register.decomposition.orders
    methods = {step.method for steps in orders.values() for step in steps} - {"proposed"}
    times = {name: 2000.0 + 300 * rank for rank, name in enumerate(sorted(methods))}
    times |= {"petals": 4000.0, "proposed": 1000.0}
    table = requests({"published": times, "none": times}, "decomposition", 0.5)
    write_table(table, tmp_path / "sweeps/decomposition_cluster0.parquet", {})
    results = Results(tmp_path, 0.95, PUBLISHED)
    found = decomposition(register, results)
    for _, rows in found.groupby(["allocation_delays", "order"]):
        assert np.isclose(rows["share"].sum(), rows["ratio"].iloc[-1] - 1)
        assert np.isclose(rows["ratio"].iloc[-1], 0.25)
    card = make_scorecard(
        each_claim(load_claims(Path("claims.yaml")), PUBLISHED), register, results
    )
    assert "in all -75.0 %" in summary(card)
    written = write_scorecard(card, tmp_path / "scorecard.csv")
    assert all(path.stat().st_size > 0 for path in written)


@pytest.mark.usefixtures("at_root")
def test_shipped_schema_is_that_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scorecard", "--schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema == json.loads(Path("config/report.schema.json").read_text())
    for name, kind in (("claims", "claims.yaml"), ("discrepancies", "discrepancies.yaml")):
        jsonschema.validate(yaml.safe_load(Path(kind).read_text()), schema[name])


def test_manifests_name_what_differs(tmp_path: Path) -> None:
    table, other = tmp_path / "table.csv", tmp_path / "other.csv"
    table.write_text("1")
    other.write_text("2")
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    write_manifest([table, other], one)
    table.write_text("3")
    write_manifest([table, other], two)
    assert differences(one, one) == []
    assert differences(one, two) == [str(table)]
