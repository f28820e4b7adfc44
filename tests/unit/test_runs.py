"""Runs of a sweep: what is infeasible is that run's status, and times are over all tokens."""

import numpy as np
import pandas as pd
import pytest
import yaml

from bprr.commands.main import main
from bprr.figures.from_settings import study_caption
from bprr.figures.means import asked_means
from bprr.ground.results import REQUESTS
from bprr.ground.storage import write_table
from bprr.ground.tables import read_table
from bprr.study.api import simulate
from bprr.study.kept_means import keep_means, kept_means
from bprr.study.summary import run_means
from bprr.study.sweep import run_sweep

# The second request is one token too long for BLOOM-176B, which accepts 2048.
TRACE = "timestamp,input_tokens,output_tokens\n0,20,128\n2,{prompt},{output}\n9,10,64\n"


def of_traces(configuration, folder, lengths):
    """A sweep over traces whose second requests are so long."""
    files = []
    for number, (prompt, output) in enumerate(lengths):
        files.append(str(folder / f"{number}.csv"))
        (folder / f"{number}.csv").write_text(TRACE.format(prompt=prompt, output=output))
    sweep = configuration.sweeps["fig10"].model_copy(
        update={
            "axes": {"workload.file": files},
            # A prompt of 2000 tokens needs more cache than a MIG slice has beside four blocks.
            "set": {"workload": {"kind": "trace", "file": files[0]}, "fleet.share.a100": 1.0},
            "methods": ["petals", "proposed", "offloading"],
            "delays": ["none"],
            "runs": 2,
        }
    )
    return configuration.model_copy(update={"sweeps": {"fig10": sweep}})


def test_a_request_that_is_too_long_has_a_status_of_its_own(configuration, tmp_path):
    settings = of_traces(configuration, tmp_path, [(1000, 1049), (1000, 1048), (10, 10)])
    table = run_sweep(settings, "fig10", "abovenet")
    rejected = table[table["status"] == "rejected"]
    assert set(rejected["x"]) == {0}
    assert set(rejected["input_tokens"]) == {1000}
    assert len(rejected) == 2 * 3
    assert set(table["status"]) == {"ok", "rejected"}
    # One row for each request of each run.
    rows = table.groupby(["x", "method"], observed=True).size()
    assert rows.tolist() == [6] * 9
    means = run_means(table)
    assert means["feasible"].all()
    assert means["per_token_ms"].notna().all()


def test_time_per_token_of_unequal_lengths_is_over_all_tokens(configuration, tmp_path):
    settings = of_traces(configuration, tmp_path, [(10, 10)])
    table = run_sweep(settings, "fig10", "abovenet")
    assert set(table["output_tokens"]) == {128, 10, 64}
    one = table[(table["method"] == "proposed") & (table["run"] == 0)]
    completion_ms = one["per_token_ms"] * one["output_tokens"]
    later_ms = completion_ms - one["ttft_ms"]
    means = run_means(table).set_index(["method", "run"]).loc["proposed", 0]
    assert means["per_token_ms"] == pytest.approx(completion_ms.sum() / 202)
    assert means["remaining_per_token_ms"] == pytest.approx(later_ms.sum() / 199)
    assert means["per_token_ms"] != pytest.approx(one["per_token_ms"].mean(), rel=1e-3)


def test_the_summary_on_the_screen_is_over_all_tokens(configuration, tmp_path, root, capsys):
    (tmp_path / "t.csv").write_text(TRACE.format(prompt=10, output=10))
    arguments = ["--set", f"workload={{kind: trace, file: {tmp_path / 't.csv'}}}", "--runs", "1"]
    assert main(["simulate", "scattered", "--method", "proposed", *arguments]) == 0
    printed = capsys.readouterr().out.splitlines()[1].split()
    from bprr.scenario.scenario import load_scenario

    demand = {"workload": {"kind": "trace", "file": str(tmp_path / "t.csv")}}
    table = simulate(load_scenario("scattered", demand), runs=1)
    total_s = (table["per_token_ms"] * table["output_tokens"]).sum() / 1000
    assert printed[2] == f"{total_s / 202:.3f}"


def test_a_method_may_be_infeasible_where_another_one_is_not(configuration):
    """Three A100s hold the model and PETALS' pool of 4096 tokens, but no 600 sessions."""
    sweep = configuration.sweeps["fig10"].model_copy(
        update={
            "axes": {"design_load.load": [1, 600]},
            "set": {"fleet.servers": 3, "fleet.share.a100": 1.0, "workload.requests": 3},
            "methods": ["petals", "proposed"],
            "delays": ["none"],
            "runs": 1,
        }
    )
    settings = configuration.model_copy(update={"sweeps": {"fig10": sweep}})
    table = run_sweep(settings, "fig10", "abovenet")
    served = table.assign(ok=table["status"] == "ok").groupby(["x", "method"], observed=True)
    assert served["ok"].all().to_dict() == {
        (1, "petals"): True,
        (1, "proposed"): True,
        (600, "petals"): True,
        (600, "proposed"): False,
    }
    lost = table[table["status"] != "ok"]
    assert lost["status"].str.contains("CG-BP with design load R = 600").all()
    assert np.isnan(lost["per_token_ms"]).all()


def test_check_accepts_a_good_scenario_and_refuses_a_bad_one(at_root, tmp_path, capsys):
    for name in ("scattered", "clustered"):
        assert main(["check", f"config/scenarios/{name}.yaml"]) == 0
    printed = capsys.readouterr().out
    assert "scattered.yaml: a sound scenario: 9 servers, 100 requests on abovenet" in printed
    assert "clustered.yaml: a sound scenario: 9 servers, 100 requests on clustered" in printed

    scattered = yaml.safe_load((at_root / "config/scenarios/scattered.yaml").read_text())

    def refused(**changes):
        path = tmp_path / "bad.yaml"
        path.write_text(yaml.safe_dump({**scattered, **changes}))
        assert main(["check", str(path)]) == 2
        return capsys.readouterr().err

    assert "bad.yaml: model: got 'gpt5'" in refused(model="gpt5")
    assert "bad.yaml: fleet.servers: got 400" in refused(fleet={"servers": 400, "rest": "mig"})
    assert "bad.yaml: admission: got 'rety'; allowed: did you mean" in refused(admission="rety")
    long = {**scattered["workload"], "output_tokens": 5000}
    assert "sequence length: 2972 tokens missing" in refused(workload=long)


def test_means_are_kept_beside_a_sweep_and_of_just_that_file(configuration, tmp_path):
    table = run_sweep(of_traces(configuration, tmp_path, [(10, 10)]), "fig10", "abovenet")
    path = tmp_path / "sweeps" / "mine.parquet"
    write_table(table, path, {}, "")
    assert kept_means(path) is None
    keep_means(table, path)
    kept = kept_means(path)
    pd.testing.assert_frame_equal(kept, run_means(read_table(path, REQUESTS)))
    study = study_caption(configuration)
    pd.testing.assert_frame_equal(asked_means(path, study), kept)
    # Another table in its place has other means, whatever is kept.
    write_table(table[table["run"] == 0], path, {}, "")
    assert kept_means(path) is None
    assert set(asked_means(path, study)["run"]) == {0}
    (tmp_path / "sweeps/means/mine.parquet").write_bytes(b"nothing")
    assert kept_means(path) is None
