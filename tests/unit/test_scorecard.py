"""Claims are judged by the results: perturb a number and the verdict flips."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
import yaml

from bprr.commands.main import main
from bprr.figures.caption import StudyCaption, Variant
from bprr.figures.from_settings import study_caption
from bprr.ground.errors import BprrError, InputError
from bprr.ground.intervals import Interval
from bprr.ground.storage import write_table
from bprr.report.claims import Claims, Comparison, each_claim, load_claims
from bprr.report.discrepancies import decomposition, effects, load_register
from bprr.report.manifest import differences, write_manifest
from bprr.report.results import Results
from bprr.report.scorecard import check_claims, make_scorecard, planned_files
from bprr.report.texts import claims_text, markdown, summary, write_scorecard
from bprr.report.verdicts import Verdict, judge
from bprr.settings.configuration import load_settings

PUBLISHED = Path("data/published/results.csv")
CLAIM = "table3.cluster0.petals.rate_0.1.tokens_64.simulator"


@pytest.fixture(scope="module")
def study(root: Path) -> StudyCaption:
    return study_caption(load_settings(root / "config/default.yaml"))


def requests(
    per_token_ms: dict[str, dict[str, float]], figure: str, x: float, topology: str = "cluster0"
) -> pd.DataFrame:
    """One point of a sweep: four runs of one request per method and variant."""
    rows = [
        {
            "figure": figure, "topology": topology, "x": x, "allocation_delays": variant,
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


def judged(folder: Path, study: StudyCaption, *ids: str) -> pd.DataFrame:
    """Rows of the scorecard of some claims, by a results folder."""
    claims = each_claim(load_claims(Path("claims.yaml")), PUBLISHED, labels=study.labels)
    register = load_register(Path("discrepancies.yaml"))
    chosen = [claim for claim in claims if claim.id in ids]
    assert len(chosen) == len(ids)
    results = Results(folder, study, PUBLISHED)
    return make_scorecard(chosen, register, results).claims.set_index("id")


def verdict_with(
    folder: Path, study: StudyCaption, with_delays_ms: float, without_ms: float
) -> str:
    table = requests(
        {"published": {"petals": with_delays_ms}, "none": {"petals": without_ms}}, "tables_found", 0
    )
    write_table(table, folder / "sweeps/tables_found_cluster0.parquet", {}, "")
    return str(judged(folder, study, CLAIM)["verdict"].item())


@pytest.mark.usefixtures("at_root")
def test_perturbed_result_flips_the_verdict(tmp_path: Path, study: StudyCaption) -> None:
    assert verdict_with(tmp_path, study, 5330, 5330) == Verdict.REPRODUCED
    assert verdict_with(tmp_path, study, 3500, 5330) == Verdict.NOT_REPRODUCED
    assert verdict_with(tmp_path, study, 7000, 1100) == Verdict.NOT_REPRODUCED
    assert verdict_with(tmp_path, study, 20000, 1100) == Verdict.CONTRADICTED


@pytest.mark.usefixtures("at_root")
def test_printed_numbers_are_judged_as_they_were_printed(
    tmp_path: Path, study: StudyCaption
) -> None:
    """Under the delays; whether they survive without them is another column."""
    for without_ms, held in ((5330, True), (1100, False)):
        assert verdict_with(tmp_path, study, 5330, without_ms) == Verdict.REPRODUCED
        assert judged(tmp_path, study, CLAIM)["holds_without_delays"].item() is held


@pytest.mark.usefixtures("at_root")
def test_one_experiment_stands_in_both_columns(tmp_path: Path, study: StudyCaption) -> None:
    """A rate that a table does not print fills all its columns, one that it prints its own."""
    table = requests({"published": {"petals": 5330}}, "tables_found", 0)
    path = tmp_path / "sweeps/tables_found_cluster0.parquet"
    other = CLAIM.replace("0.1", "0.5")
    for rate, found in ((1.0, [5.33, 5.33]), (0.1, [5.33, np.nan])):
        write_table(table.assign(rate_per_s=rate), path, {}, "")
        ours = judged(tmp_path, study, CLAIM, other)["ours"]
        assert ours.tolist() == pytest.approx(found, rel=0.02, nan_ok=True)


@pytest.mark.usefixtures("at_root")
def test_variants_may_have_any_name_and_come_in_any_order(
    tmp_path: Path, study: StudyCaption
) -> None:
    paid = Variant(label="By hand", delays_s={"petals": (250.0, 250.0), "proposed": (60.0, 60.0)})
    free = Variant(label="Free", delays_s={"petals": (0.0, 0.0)})
    table = requests(
        {"a": {"petals": 1100}, "z": {"petals": 5330}, "m": {"petals": 9}}, "tables_found", 0
    )
    write_table(table, tmp_path / "sweeps/tables_found_cluster0.parquet", {}, "")
    for variants in ({"z": paid, "a": free}, {"a": free, "z": paid, "m": paid}):
        row = judged(tmp_path, study.model_copy(update={"variants": variants}), CLAIM).iloc[0]
        assert row["verdict"] == Verdict.REPRODUCED
        assert row["ours"] == pytest.approx(5.33, rel=0.02)
        assert row["ours_without_delays"] == pytest.approx(1.1, rel=0.02)


@pytest.mark.usefixtures("at_root")
def test_claims_on_the_artefact_read_its_table(tmp_path: Path, study: StudyCaption) -> None:
    name = "artefact.fig7.abovenet.x_10"
    times = {"published": {"petals": 100, "proposed": 25}, "none": {"petals": 100, "proposed": 36}}
    table = requests(times, "fig7", 10, "abovenet")
    write_table(table, tmp_path / "sweeps/fig7_abovenet.parquet", {}, "")
    rows = judged(tmp_path, study, f"{name}.published", f"{name}.none")
    artefact = pd.read_csv("data/published/artefact_sweeps.csv", keep_default_na=False)
    point = artefact.query("figure == 'fig7' and topology == 'abovenet' and x == 10")
    for variant, ours in (("published", 0.25), ("none", 0.36)):
        means = point.query("allocation_delays == @variant").set_index("method")
        means = means["per_token_ms_mean"].astype(float)
        row = rows.loc[f"{name}.{variant}"]
        assert row["published"] == pytest.approx(means["proposed"] / means["petals"])
        assert row["ours"] == pytest.approx(ours)
        assert "AboveNet" in row["statement"]
        assert "Figure 7" in row["statement"]


@pytest.mark.usefixtures("at_root")
def test_fitted_devices_are_found_whatever_the_results_folder(
    tmp_path: Path, study: StudyCaption, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = "data/traces/cpu-amd-epyc/trace.csv"
    assert main(["fit", trace, "-o", str(tmp_path / "shared/cpu-amd-epyc")]) == 0
    monkeypatch.setattr("bprr.report.results.FITS", tmp_path / "shared")
    names = ("model.linear_in_blocks", "model.batch", "model.context")
    rows = judged(tmp_path / "elsewhere", study, *names).loc[list(names)]
    # Claims about GPUs: the CPU's answer stands beside them and judges nothing.
    assert rows["verdict"].tolist() == [Verdict.NOT_TESTABLE] * 3
    assert rows["ours"].tolist() == pytest.approx([1.0, 1.58, 0.31], abs=0.01)
    assert (rows["ours_low"] < rows["ours"])[1:].all()


@pytest.mark.usefixtures("at_root")
def test_the_testbed_says_whether_long_outputs_start_later(
    tmp_path: Path, study: StudyCaption
) -> None:
    """The shipped sessions; or those that somebody measured, here made to take a third longer."""
    name, shipped = "model.prefill_output_length", Path("data/traces/testbed")
    row = judged(tmp_path, study, name).iloc[0]
    assert row["verdict"] == Verdict.NOT_TESTABLE
    assert row["ours_low"] < 0 < row["ours_high"] < 0.05
    requests = pd.read_csv(shipped / "requests.csv")
    requests.loc[requests["output_tokens"] == 16, "ttft_ms"] *= 4 / 3
    own = tmp_path / "testbed/clustered"
    own.mkdir(parents=True)
    requests.to_csv(own / "requests.csv", index=False)
    shutil.copy(shipped / "manifest.json", own)
    assert judged(tmp_path, study, name)["ours"].item() > 0.3


@pytest.mark.usefixtures("at_root")
def test_others_measurements_are_a_kind_of_their_own(tmp_path: Path, study: StudyCaption) -> None:
    rows = [
        {
            "group": group, "run": f"{number}", "ring": "r", "arm": "", "quantity": "q",
            "measured": 2.0, "model": model, "predicted": 2 * (1 + error), "fitted_on": "",
            "error": error,
        }
        for group, model in (("traversal, one token", "+ window"), ("changes", "what-if"))
        for number, error in enumerate((-0.1, 0.05, 0.02, -0.6, 0.1))
    ]  # fmt: skip
    names = ["others.traversal_plain", "others.changes", "others.chunks"]
    for scale, verdicts in (
        (1, [Verdict.REPRODUCED, Verdict.NOT_REPRODUCED, Verdict.NOT_TESTABLE]),
        (5, [Verdict.NOT_REPRODUCED, Verdict.NOT_REPRODUCED, Verdict.NOT_TESTABLE]),
    ):
        table = pd.DataFrame(rows)
        table["error"] *= scale
        table.to_csv(tmp_path / "wan_swarms.csv", index=False)
        card = judged(tmp_path, study, *names).loc[names]
        assert card["verdict"].tolist() == verdicts
        assert set(card["kind"]) == {"validation by others' measurements"}
        assert card["ours"].tolist()[:2] == pytest.approx([0.1 * scale, 0.8])


@pytest.mark.usefixtures("at_root")
def test_causes_never_read_nan(tmp_path: Path, study: StudyCaption) -> None:
    write_table(
        requests({"published": {"petals": 7000}, "none": {"petals": 1100}}, "tables_found", 0),
        tmp_path / "sweeps/tables_found_cluster0.parquet",
        {},
        "",
    )
    # A sweep that lacks the point after the switch.
    before = requests({"none": {"petals": 2.0, "proposed": 1.0}}, "switch_block_cap", 4, "abovenet")
    write_table(before, tmp_path / "sweeps/switch_block_cap_abovenet.parquet", {}, "")
    row = judged(tmp_path, study, CLAIM.replace("petals", "proposed")).iloc[0]
    assert row["cause"] == "no feasible run"
    register = load_register(Path("discrepancies.yaml"))
    claims = each_claim(load_claims(Path("claims.yaml")), PUBLISHED)
    card = make_scorecard(claims, register, Results(tmp_path, study, PUBLISHED))
    assert not [text for text in card.causes.values() if "nan" in text.split()]
    assert "{" not in "".join(card.causes.values())
    assert len(card.effects) == 1
    assert not re.search(r"\bnan\b", markdown(card))


@pytest.mark.usefixtures("at_root")
def test_effects_are_those_of_their_own_sweep(tmp_path: Path, study: StudyCaption) -> None:
    times = {
        "none": {"petals": 100.0, "optimized_number": 50.0, "optimized_number_corrected": 40.0}
    }
    for sweep in ("fig8", "fig8_caption"):
        path = tmp_path / f"sweeps/{sweep}_abovenet.parquet"
        write_table(requests(times, sweep, 0.1, "abovenet"), path, {}, "")
    rows = effects(load_register(Path("discrepancies.yaml")), Results(tmp_path, study, PUBLISHED))
    (row,) = rows.query("discrepancy == 'number_in_eta_sweep'").to_dict("records")
    assert [row["before"], row["after"], row["effect"]] == pytest.approx([0.5, 0.4, -0.1])


@pytest.mark.usefixtures("at_root")
def test_commands_name_the_files_of_this_run(tmp_path: Path, study: StudyCaption) -> None:
    claims = each_claim(load_claims(Path("claims.yaml")), PUBLISHED)
    register = load_register(Path("discrepancies.yaml"))
    card = make_scorecard(claims, register, Results(tmp_path, study, PUBLISHED))
    commands = dict(zip(card.claims["id"], claims_text(card)["command"], strict=True))
    assert commands[CLAIM].endswith(f" {tmp_path}/sweeps/tables_found_cluster0.parquet")
    assert commands["model.context"].endswith(" results/fit/cpu-amd-epyc/device.yaml")
    assert f"{tmp_path}/sweeps/{{fig7_abovenet,fig7_bell" in commands["gain.figures"]


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
        "id": "a", "kind": "claims in words", "place": "here", "statement": "b", "rule": "sweep",
        "files": ["x"],
        "measure": "gain", "compare": {"kind": "bound", "low": 1.0}, "minutes": 1,
    }  # fmt: skip
    Claims.model_validate({"answer": "a", "claims": [good]})
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"answer": "a", "claims": [{**good, **change}]}))
    with pytest.raises(BprrError):
        load_claims(path)


def test_orders_need_the_whole_interval() -> None:
    above = Comparison(kind="order", low=0, contradicted_below=0)
    assert judge({"paid": Interval(0.1, 0.05, 0.15)}, above, "paid") == Verdict.REPRODUCED
    assert judge({"paid": Interval(0.1, -0.1, 0.3)}, above, "paid") == Verdict.NOT_REPRODUCED
    assert judge({"paid": Interval(-0.1, -0.2, -0.05)}, above, "paid") == Verdict.CONTRADICTED
    assert judge({}, above, "paid") == Verdict.NOT_TESTABLE


def test_contradictions_need_an_interval() -> None:
    above = Comparison(kind="bound", low=0, contradicted_below=0)
    alone = {"paid": Interval(-0.1, np.nan, np.nan)}
    assert judge(alone, above, "paid") == Verdict.NOT_REPRODUCED
    wide = {"paid": Interval(-0.1, -0.3, 0.1)}
    assert judge(wide, above, "paid") == Verdict.NOT_REPRODUCED
    sure = {"paid": Interval(-0.1, -0.2, -0.05), "free": Interval(0.1, 0.05, 0.2)}
    assert judge(sure, above, "paid") == Verdict.NOT_REPRODUCED
    assert judge({"paid": sure["paid"]}, above, "paid") == Verdict.CONTRADICTED


def test_means_of_the_artefact_are_judged_by_standard_errors() -> None:
    three = Comparison(kind="band", standard_errors=3)
    for ours, verdict in ((1.29, Verdict.REPRODUCED), (1.31, Verdict.NOT_REPRODUCED)):
        around = three.around(1.0, 0.1)
        assert judge({"paid": Interval(ours, 1.2, 1.4)}, around, "paid") == verdict


@pytest.mark.usefixtures("at_root")
def test_running_times_have_no_verdict(tmp_path: Path, study: StudyCaption) -> None:
    times = pd.DataFrame(
        {
            "setting": "clustered", "method": "petals", "repeat": range(4), "servers": 9,
            "requests": 1, "placement_s": 0.0, "routing_s_per_request": 0.0, "total_s": 0.0093,
        }
    )  # fmt: skip
    write_table(times, tmp_path / "timing/table8.parquet", {}, "")
    name = "table8.clustered.petals"
    assert judged(tmp_path, study, name)["verdict"].item() == Verdict.REPORTED
    claims = each_claim(load_claims(Path("claims.yaml")), PUBLISHED)
    register = load_register(Path("discrepancies.yaml"))
    chosen = [claim for claim in claims if claim.id == name]
    card = make_scorecard(chosen, register, Results(tmp_path, study, PUBLISHED))
    assert claims_text(card)["difference"].item() == "0.5 times as long"


@pytest.mark.usefixtures("at_root")
def test_the_trend_is_the_longer_delay(tmp_path: Path, study: StudyCaption) -> None:
    """Gains .7 and .8 under the published delays, .7 under one delay, .5 and .2 without."""
    for topology, long in (("bellcanada", 1.0), ("abovenet", 1000.0), ("gts_ce", 1500.0)):
        short = {"petals": 1000.0, "proposed": 300.0}
        free = {"petals": 100.0, "proposed": 50.0 if topology == "abovenet" else 80.0}
        times = {"published": {**short, "petals": long}, "nine_servers": short, "none": free}
        table = requests(times, "tables_found", 0, topology)
        write_table(table, tmp_path / f"sweeps/tables_found_{topology}.parquet", {}, "")
    row = judged(tmp_path, study, "trend.network_size").iloc[0]
    assert row["verdict"] == Verdict.ONLY_WITH_DELAYS
    assert row["ours"] == pytest.approx(0.1)
    assert row["ours_without_delays"] == pytest.approx(-0.3)
    assert row["published"] == pytest.approx(0.0777, abs=1e-4)  # of the printed cells themselves
    assert "larger by 0.100 so, and by 0.000 with 250 s everywhere" in row["cause"]


@pytest.mark.usefixtures("at_root")
def test_kinds_are_counted_apart(tmp_path: Path, study: StudyCaption) -> None:
    claims = each_claim(load_claims(Path("claims.yaml")), PUBLISHED)
    register = load_register(Path("discrepancies.yaml"))
    card = make_scorecard(claims, register, Results(tmp_path, study, PUBLISHED))
    counts = card.by_kind.sum(axis="columns")
    assert counts["printed simulator numbers"] == 48
    assert counts["means of the artefact"] == 10
    assert counts["running times"] == 8
    assert counts.sum() == len(claims)


STEPPED = {"petals": 4000.0, "petals_leftover_cache": 3000.0, "optimized_number": 2900.0,
           "cg_bp_petals_routing": 2000.0, "proposed": 1800.0}  # fmt: skip


@pytest.mark.usefixtures("at_root")
def test_decomposition_adds_up(tmp_path: Path, study: StudyCaption) -> None:
    register = load_register(Path("discrepancies.yaml"))
    times = {
        "published": {"petals": 4000.0, "proposed": 1000.0},
        "petals_for_all": STEPPED,
        "proposed_for_all": {name: value - 800 for name, value in STEPPED.items()},
        "none": {name: value - 1000 for name, value in STEPPED.items()},
    }
    table = requests(times, "decomposition", 0.5)
    write_table(table, tmp_path / "sweeps/decomposition_cluster0.parquet", {}, "")
    results = Results(tmp_path, study, PUBLISHED)
    parts = decomposition(register, results)
    assert len(parts) == 2 * 2 * 5
    for (variant, _), rows in parts.groupby(["allocation_delays", "order"]):
        assert np.isclose(rows["share"].sum(), rows["ratio"].iloc[-1] - 1)
        assert np.isclose(rows["ratio"].iloc[-1], 0.25 if variant == "published" else 800 / 3000)
    last = parts.query("allocation_delays == 'published' and order == 'delays last'")
    assert last["share"].tolist() == pytest.approx([-0.25, -0.025, -0.225, -0.05, -0.2])
    assert last["delays"].tolist() == ["petals_for_all"] * 4 + ["published"]
    first = parts.query("allocation_delays == 'published' and order == 'delays first'")
    assert first["share"].tolist() == pytest.approx([-0.2, -0.25, -0.025, -0.225, -0.05])
    free = parts.query("allocation_delays == 'none' and order == 'delays first'")
    assert set(free["delays"]) == {"none"}
    assert free["share"].iloc[0] == 0

    card = make_scorecard(
        each_claim(load_claims(Path("claims.yaml")), PUBLISHED), register, results
    )
    assert "in all -75.0 %" in summary(card)
    written = write_scorecard(card, tmp_path / "scorecard.csv")
    assert all(path.stat().st_size > 0 for path in written)


@pytest.mark.usefixtures("at_root")
def test_decomposition_without_the_variants_is_empty(tmp_path: Path, study: StudyCaption) -> None:
    table = requests({"published": STEPPED}, "decomposition", 0.5)
    write_table(table, tmp_path / "sweeps/decomposition_cluster0.parquet", {}, "")
    register = load_register(Path("discrepancies.yaml"))
    assert decomposition(register, Results(tmp_path, study, PUBLISHED)).empty


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
