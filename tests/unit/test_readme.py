"""The numbers of README and docs: taken from a run's outputs, to the digits that are printed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from bprr.commands.main import main
from bprr.ground.storage import write_table
from bprr.report.readme import FIGURES, KEPT, SOURCES, fill, numbers

PAGE = """# A page
Gain <!--=light.abovenet-->9 %<!--=-->, proven <!--=offline.proven-->9 %<!--=-->.
"""


def headline() -> pd.DataFrame:
    rows = [
        {"figure": figure, "topology": topology, "x": x, "allocation_delays": variant,
         "ratio": ratio if variant == "none" else 0.3}
        for figure in ("fig9", "fig10")
        for topology, ratio in (("abovenet", 0.604), ("gts_ce", 0.985))
        for x in (1.0, 0.05)
        for variant in ("published", "none")
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    later = ((table["x"] == 1.0) | (table["figure"] == "fig10")) & (table["ratio"] != 0.3)
    return table.assign(ratio=table["ratio"].where(~later, 0.5))


def plans() -> pd.DataFrame:
    case = {"clients": 1, "load": 3, "draw": 0, "objective_ms": 1.0, "bound_ms": 1.0}
    rows = [
        ("clustered", 9, "optimum", 0.0, "optimal"), ("uniform", 9, "optimum", 0.0, "gap_reached"),
        ("clustered", 26, "optimum", 0.0, "optimal"), ("uniform", 26, "optimum", 0.0, "optimal"),
        ("clustered", 9, "cg_bprr", 0.0, "found"), ("uniform", 9, "cg_bprr", 4.46, "found"),
        ("clustered", 26, "cg_bprr", 0.0, "found"), ("uniform", 26, "cg_bprr", 1e-6, "found"),
        ("clustered", 9, "petals", 36.0, "found"), ("clustered", 9, "petals", 37.0, "found"),
        ("uniform", 9, "petals", 50.4, "found"), ("clustered", 26, "petals", 1.4, "found"),
        ("uniform", 26, "petals", 0.6, "found"),
    ]  # fmt: skip
    columns = ["family", "servers", "method", "above_optimum_percent", "status"]
    return pd.DataFrame(rows, columns=columns).assign(**case)


def found() -> tuple[pd.DataFrame, pd.DataFrame]:
    cells = pd.DataFrame(
        [
            {"table": "table6", "setting": "abovenet", "method": method, "rate_per_s": rate,
             "output_tokens": 64, "published_s": 1.0, "found_s": 1 + error,
             "measured_gpu_s": 1.0 if method == "petals" else saved}
            for method in ("petals", "proposed")
            for rate, error, saved in ((0.1, 0.02, 0.2), (0.5, -0.04, 0.36))
        ]
    )  # fmt: skip
    gpus = pd.DataFrame(
        [
            {"source": source, "deviation": deviation}
            for source, deviations in {
                "ours, setting found": (0.1, -0.12, 0.3),
                "ours, setting found, without delays": (-0.7, 0.1, 0.9),
                "ours, setting stated": (5.0, 5.0, 5.0),
            }.items()
            for deviation in deviations
        ]
    )
    return cells, gpus


def loaded() -> pd.DataFrame:
    rows = [
        {"model": model, "sessions": sessions, "per_token_ms_error": token, "ttft_ms_error": first}
        for model, errors in {
            "serial": ((24, -0.021, 0.1), (60, 0.043, -0.3), (24, 0.001, 0.02)),
            "independent": ((24, -0.5, -0.9), (60, -0.39, -0.8), (24, 0.1, 0.0)),
            "batched_0.1": ((24, 0.22, 0.34), (60, 0.7, 0.89), (24, 0.0, 0.1)),
        }.items()
        for sessions, token, first in errors
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def project(tmp_path: Path, root: Path, at_root: Path) -> Path:
    """A folder with what a whole run leaves, in small."""
    for name in ("figures/readme", "docs", "results", "tests/golden", "tests/campaign", "config"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "README.md").write_text(PAGE, encoding="utf-8")
    (tmp_path / "docs/other.md").write_text("nothing of a run", encoding="utf-8")
    shutil.copy(root / "config/default.yaml", tmp_path / "config")
    shutil.copytree(root / "data/traces/testbed", tmp_path / "data/traces/testbed")
    (tmp_path / "data/traces/testbed_rivals").mkdir()
    side_by_side().to_csv(tmp_path / "data/traces/testbed_rivals/sessions.csv", index=False)
    cases = {"cases": [{}] * 3}
    (tmp_path / "tests/golden/cases.json").write_text(json.dumps(cases), encoding="utf-8")
    campaign = {
        "inputs": {"tries": 300, "faults": 1, "longest_s": 6.4, "most_gb": 0.26},
        "kills": {"tries": 50, "faults": 0},
    }
    (tmp_path / "tests/campaign/figures.json").write_text(json.dumps(campaign), encoding="utf-8")
    headline().to_csv(tmp_path / "figures/headline.csv", index=False)
    cells, gpus = found()
    cells.to_csv(tmp_path / "figures/tables_found.csv", index=False)
    gpus.to_csv(tmp_path / "figures/tables_found_gpus.csv", index=False)
    loaded().to_csv(tmp_path / "figures/testbed_loaded_scatter.csv", index=False)
    for name in FIGURES:
        (tmp_path / f"figures/{name}.png").write_bytes(name.encode())
    write_table(plans(), tmp_path / "results/offline/optimality.parquet", {}, "")
    kinds = {
        "printed simulator numbers": {"reproduced": 2, "not reproduced": 1, "contradicted": 0},
        "claims in words": {"reproduced": 4},
    }
    (tmp_path / "results/scorecard.json").write_text(json.dumps({"kinds": kinds}), encoding="utf-8")
    (tmp_path / "results/manifest.json").write_bytes(b" " * 12_000_000)
    return tmp_path


def test_numbers_as_they_are_printed(project: Path) -> None:
    known = numbers(project)
    assert {name: text for name, text in known.items() if not name.startswith("answer")} | {
        "delays.petals": "250 s",
        "delays.proposed": "60 s",
        "light.abovenet": "60 %",
        "light.gts_ce": "98 %",
        "offline.instances": "4",
        "offline.proven": "75 %",
        "offline.hit": "50 %",
        "offline.mean": "1.1 %",
        "offline.worst": "4.5 %",
        "offline.petals_9": "36 to 50 %",
        "offline.petals_26": "1 %",
        "loaded.cases": "3",
        "loaded.sessions": "108",
        "loaded.serial.per_token": "2.1 %",
        "loaded.serial.per_token.worst": "4 %",
        "loaded.paper.per_token": "39.0 %",
        "loaded.paper.ttft.worst": "90 %",
        "loaded.batched.ttft": "34.0 %",
        "claims.all": "7",
        "claims.printed_simulator": "2 reproduced, 1 not reproduced",
        "claims.claims_in": "4 reproduced",
        "disk.outputs": "20 MB",
        "golden.cases": "3",
        "campaign.inputs": "300",
        "campaign.inputs.faults": "1",
        "campaign.inputs.longest": "6 s",
        "campaign.inputs.memory": "0.3 GB",
        "campaign.kills": "50",
        "campaign.kills.faults": "0",
    } == {name: text for name, text in known.items() if not name.startswith("answer")}
    first, gpus, calibration, _ = (known[f"answer.{number}"] for number in range(1, 5))
    assert "over the 8 points" in first
    assert "at λ = 0.05/s, where nobody waits, 60 % on AboveNet, 98 % on GTS-CE" in first
    assert "takes 30 % (median 30 %) of PETALS' time per token" in first
    assert "without any such delay 50 to 98 % (median 50 %)" in first
    assert "saved 64 to 80 % per cell" in gpus
    assert "the 4 cells of their simulator come out here to 3.0 % in the mean (at most 4 %)" in gpus
    assert "with them our cells are 12 % off" in calibration
    assert "without them 70 %" in calibration


def side_by_side() -> pd.DataFrame:
    """Two cases, a session each by three methods, and one of PETALS' that was not served."""
    columns = ["case", "arm", "status", "completion_ms", "output_tokens"]
    rows = [
        ("a", "petals", "ok", 1000, 10),
        ("a", "pipe", "ok", 500, 10),
        ("a", "pipe_f", "ok", 900, 10),
        ("b", "petals", "ok", 2000, 10),
        ("b", "pipe", "ok", 600, 10),
        ("b", "pipe_f", "ok", 2500, 10),
        ("b", "petals", "refused", 9000, 10),
    ]
    return pd.DataFrame(rows, columns=columns)


def test_methods_side_by_side_are_told_by_their_means_over_petals(project: Path) -> None:
    texts = numbers(project)
    assert (texts["rivals.cases"], texts["rivals.sessions"]) == ("2", "7")
    assert (texts["rivals.pipe"], texts["rivals.pipe_f"]) == ("0.30 to 0.50", "0.90 to 1.25")


def test_numbers_of_the_testbed_are_those_of_its_cases(project: Path) -> None:
    path = project / "data/traces/testbed/requests.csv"
    rows = pd.read_csv(path)
    times = ["per_token_ms", "ttft_ms"]
    cell = ["group", "client", "rate_per_s", "output_tokens", "method"]
    means = rows[rows["status"] == "ok"].groupby(cell)[[*times, *(f"predicted_{n}" for n in times)]]
    table = means.mean()
    error = {name: (table[f"predicted_{name}"] / table[name] - 1).abs() for name in times}
    quiet = {name: each.xs("table") for name, each in error.items()}
    crowded = sorted(error["per_token_ms"].xs("contention"))
    known = numbers(project)
    assert known["testbed.cases"] == str(len(quiet["ttft_ms"]))
    assert known["testbed.sessions"] == str((rows["group"] == "table").sum())
    for name, short in zip(times, ("per_token", "ttft"), strict=True):
        assert known[f"testbed.{short}"] == f"{100 * quiet[name].median():.1f} %"
        assert known[f"testbed.{short}.worst"] == f"{100 * quiet[name].max():.1f} %"
    assert known["testbed.crowded_worst"] == f"{100 * crowded[-1]:.0f} %"
    assert known["testbed.crowded_most"] == f"{100 * crowded[-2]:.0f} %"


def test_pages_are_filled_and_what_changed_is_said(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["readme", "--root", str(project)]) == 0
    page, kept = project / "README.md", project / KEPT / "numbers.json"
    assert page.read_text(encoding="utf-8") == fill(PAGE, numbers(project), page)
    assert "Gain <!--=light.abovenet-->60 %<!--=-->, proven" in page.read_text(encoding="utf-8")
    assert json.loads(kept.read_text(encoding="utf-8")) == numbers(project)
    assert capsys.readouterr().out.splitlines() == [str(kept), str(page)]
    for name in FIGURES:
        assert (project / KEPT / f"{name}.png").read_bytes() == name.encode()
    dates = [path.stat().st_mtime_ns for path in (page, kept)]
    assert main(["readme", "--root", str(project)]) == 0
    assert capsys.readouterr().out == "nothing has changed\n"
    assert [path.stat().st_mtime_ns for path in (page, kept)] == dates


@pytest.mark.parametrize("source", SOURCES)
def test_a_run_that_lacks_something_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    (project / source).unlink()
    assert main(["readme", "--root", str(project)]) == 2
    assert f"{source}: file: got 'missing'" in capsys.readouterr().err
    assert (project / "README.md").read_text(encoding="utf-8") == PAGE
