"""What commands print and return where no record of `golden/said` looks."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

import bprr.commands.captions
import bprr.commands.doctor
import bprr.commands.main
import bprr.commands.scorecard
import bprr.measure.network as network
import bprr.offline.backends.solve as solvers
import bprr.study.offline as offline
import bprr.testbed.swarm_process as swarm_process
from bprr.commands.main import main
from bprr.ground.errors import BprrError, InputError
from bprr.placement.windows import longest_waiting_window


@pytest.mark.usefixtures("at_root")
@pytest.mark.parametrize(
    ("words", "file"),
    [
        (["check", "--schema"], "config/schema.json"),
        (["policies"], "docs/policies.md"),
    ],
)
def test_what_is_shipped_is_what_is_printed(
    capsys: pytest.CaptureFixture[str], words: list[str], file: str
) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out == Path(file).read_text(encoding="utf-8")


def test_a_schema_beside_a_file_reads_the_file(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("runs: none\n", encoding="utf-8")
    assert main(["check", str(tmp_path / "wrong.yaml"), "--schema"]) == 2


@pytest.mark.usefixtures("at_root")
def test_schemas_of_the_scorecard(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scorecard", "--schema"]) == 0
    text = capsys.readouterr().out
    told = json.loads(text)
    assert list(told) == ["claims", "discrepancies"]
    assert text == json.dumps(told, indent=2, sort_keys=True) + "\n"
    assert {"claims", "answer"} <= told["claims"]["properties"].keys()


@pytest.mark.usefixtures("at_root")
def test_a_scorecard_and_a_report_of_no_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every claim is there, none is judged; a page is the same from the card as from scratch."""
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"results_dir: {tmp_path}/results\n", encoding="utf-8")
    (tmp_path / "results").mkdir()
    config = ["--config", str(mine)]
    captions = list[object]()  # the one of the study, which takes seconds to make

    def once(*asked: object) -> object:
        captions.extend([] if captions else [bprr.commands.captions.caption_from(*asked)])
        return captions[0]

    monkeypatch.setattr(bprr.commands.scorecard, "caption_from", once)
    assert main(["scorecard", *config]) == 0
    *_, last = said = capsys.readouterr().out.splitlines()
    assert last == f"in {tmp_path}/results/scorecard.md"
    assert len(said) > 1
    card = tmp_path / "results/scorecard.json"
    assert main(["scorecard", *config, "--json", "-o", f"{tmp_path}/own.csv"]) == 0
    assert capsys.readouterr().out == card.read_text(encoding="utf-8")
    assert (tmp_path / "own.csv").read_bytes() == card.with_suffix(".csv").read_bytes()

    pages = []
    for number, known in enumerate(([], ["--scorecard", str(card)])):
        path = tmp_path / f"page{number}.html"
        assert main(["report", *config, *known, "-o", str(path)]) == 0
        size = f"{path.stat().st_size / 1e6:.1f} MB"
        assert capsys.readouterr().out == f"{path}: {size}\n"
        pages.append(path.read_text(encoding="utf-8"))
    assert pages[0] == pages[1]
    assert main(["report", *config, "--scorecard", str(card)]) == 0
    assert (tmp_path / "results/report.html").exists()


def test_the_doctor_tells_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys) -> None:
    import locale
    import shutil

    def check(settings: object) -> None:
        raise InputError("solver", "key", 1, "another")

    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "version_info", (3, 12, 1, "final", 0))
    monkeypatch.setattr(sys, "executable", "HERE")
    monkeypatch.setattr(solvers, "installed_solvers", lambda: {"highs"})
    monkeypatch.setattr(solvers, "check_solver", lambda settings: None)
    monkeypatch.setattr(type(longest_waiting_window.stats), "cache_path", "CACHE", raising=False)
    monkeypatch.setattr(swarm_process, "what_is_missing", lambda: ["root", "tc"])
    monkeypatch.setattr(bprr.commands.doctor, "_gpus", lambda: [])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    asked: list[object] = []
    monkeypatch.setattr(locale, "getpreferredencoding", lambda do: asked.append(do) or "UTF-8")
    usage = shutil.disk_usage(tmp_path)._replace(free=2_500_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert asked == [False]
    *first, measuring = lines
    assert measuring == ("-    measuring    no torch; only to measure a device: make measure-env")
    assert first[0] == "ok   Python       3.12.1, HERE"
    driver = "only to measure one: its driver, then make measure-env"
    assert f"-    GPU          none with a driver; {driver}" in lines
    assert "-    testbed      root; tc; only to measure PETALS" in lines
    assert "ok   highs        runs" in lines
    assert "BAD  cbc          missing; make setup" in lines
    assert "-    gurobi       missing; make solvers-env" in lines
    assert "ok   kernels      cached in CACHE" in lines
    assert sum(" 2.5 GB free in " in line for line in lines) == 2
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    monkeypatch.setattr(bprr.commands.doctor, "_gpus", lambda: ["A100", "T4"])
    main(["doctor"])
    *_, gpu, measuring = capsys.readouterr().out.splitlines()
    assert gpu == "ok   GPU          A100; T4"
    assert measuring == "ok   measuring    torch is installed"


def test_nothing_is_printed_where_there_is_no_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["check", "config/scenarios/clustered.yaml"]) == 0


def test_what_should_not_happen_is_told_in_500_letters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("x" * 700)

    monkeypatch.setattr(bprr.commands.main, "_run", fails)
    assert main(["check"]) == 70
    line = capsys.readouterr().err.strip()
    what = line.removeprefix("bprr check: ").removesuffix("; bprr --debug shows where")
    assert len(what) == 501 and what.endswith("…")


@pytest.mark.usefixtures("at_root")
def test_capacity_tells_how_sure_it_is_of_each_rate(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--least-requests", "2000", "--most-requests", "4000", "--within", "0.5"]
    assert main(["capacity", "clustered", "--method", "proposed", *few]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if " s per token" in line]
    sure = [line for line in lines if re.search(r"token ± [\d.]+% \([\d,]+ requests\)$", line)]
    assert sure
    for line in set(lines) - set(sure):
        assert re.search(r"token  \([\d,]+ requests\)$", line), line


def test_a_peer_answers_until_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served: list[tuple[str, int]] = []
    monkeypatch.setattr(network, "serve", lambda *where: served.append(where))
    assert main(["measure-network", "--serve", "--port", "4711"]) == 0
    assert served == [("", 4711)]
    assert capsys.readouterr().out == "answering on port 4711; stop with Ctrl-C\n"


@pytest.mark.parametrize(("more", "refused"), [(0, False), (1, True)])
def test_a_peer_is_asked_for_no_more_than_it_sends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: int, refused: bool
) -> None:
    def peer(*_: object) -> None:
        raise BprrError("a peer was asked")

    monkeypatch.setattr(network, "Peer", peer)
    peer_words = ["measure-network", "--peer", "here:1"]
    for key, value in (
        ("bulk-mb", repr((network.MOST_BYTES + more) / 1e6)),
        ("activation-bytes", str(network.MOST_BYTES + more)),
    ):
        assert main([*peer_words, f"--{key}", value]) == 2
        line = capsys.readouterr().err
        said = f"{network.MOST_BYTES + more} bytes" in line and f"--{key}" in line
        assert said is refused, line
        assert ("a peer was asked" in line) is not refused


@pytest.mark.usefixtures("at_root")
def test_solvers_are_looked_at_before_an_experiment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def check(settings: object) -> None:
        raise BprrError("looked at")

    monkeypatch.setattr(offline, "check_solvers", check)
    assert main(["offline", "optimality", "-o", str(tmp_path / "a.parquet")]) == 2
    assert "looked at" in capsys.readouterr().err
