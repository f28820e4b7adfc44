"""Runs of the testbed from the command line, where something else measures than PETALS."""

from __future__ import annotations

import importlib
import signal
from pathlib import Path
from typing import Any

import pytest

import bprr.testbed.swarm_process as swarm_process
from bprr.commands.main import main
from bprr.commands.testbed import SKIPPED
from bprr.testbed.experiment import CannotRun


class Told:
    def markdown(self) -> str:
        return "a table"


# By action: who measures, who writes, settings that are shipped.
ACTIONS = {
    "run": ("experiment.run_testbed", "records.write_run", "smoke"),
    "load": ("loaded.run_loaded", "loaded_records.write_loaded", "loaded"),
    "plan": ("planned.run_planned", "planned_records.write_planned", "planned"),
    "frames": ("frames.run_frames", "frames.write_frames", "frames"),
    "rivals": ("rivals.run_rivals", "rivals_records.write_rivals", "rivals"),
}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs an action; returns its status, what was measured with, and what was written where."""
    before = signal.getsignal(signal.SIGTERM)

    def run(action: str, result: object) -> tuple[int, list[Any], list[Any]]:
        measures, writes, settings = ACTIONS[action]
        asked: list[Any] = []
        written: list[Any] = []

        def measure(*arguments: Any) -> object:
            asked.extend(arguments)
            arguments[-1]("under way")
            if isinstance(result, Exception):
                raise result
            return result

        def write(found: object, folder: Path) -> None:
            written.extend([found, folder])
            folder.mkdir(exist_ok=True)
            (folder / "file").write_text("x", encoding="utf-8")

        for name, by in ((measures, measure), (writes, write)):
            module, _, function = name.partition(".")
            monkeypatch.setattr(importlib.import_module(f"bprr.testbed.{module}"), function, by)
        report = importlib.import_module("bprr.testbed.report")
        monkeypatch.setattr(report, "layout", lambda found: Told())
        monkeypatch.setattr(report, "summary_text", lambda found: f"summary of {found}")
        words = [f"config/testbed/{settings}.yaml", "-o", f"{tmp_path}/out", "--logs", "LOGS"]
        return main(["testbed", action, *words]), asked, written

    yield run
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("at_root")
@pytest.mark.parametrize("action", ACTIONS)
def test_a_run_is_written(
    runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    status, asked, written = runs(action, "what was measured")
    assert status == 0
    assert written[0] == "what was measured"
    assert Path("LOGS") in asked
    assert (tmp_path / "out/file").read_text(encoding="utf-8") == "x"
    said = ["under way"]
    said += ["a table", "summary of what was measured"] if action == "run" else []
    assert capsys.readouterr().out.splitlines() == said
    with pytest.raises(SystemExit) as left:
        signal.raise_signal(signal.SIGTERM)
    assert left.value.code == 143


@pytest.mark.usefixtures("at_root")
@pytest.mark.parametrize("action", ACTIONS)
def test_a_machine_that_cannot_is_said(
    runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    status, _, written = runs(action, CannotRun("testbed: skipped, no root"))
    assert status == SKIPPED == 3
    assert not written
    assert not (tmp_path / "out").exists()
    assert capsys.readouterr().out.splitlines() == ["under way", "testbed: skipped, no root"]


@pytest.mark.parametrize(
    ("machine", "lacks", "status", "said"),
    [
        ([], ["root"], 3, "testbed: skipped, nothing is measured here; missing: root"),
        (["--machine"], [], 0, "testbed: this machine can run a swarm"),
    ],
)
def test_what_a_machine_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    machine: list[str], lacks: list[str], status: int, said: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(swarm_process, "machine_lacks", lambda: [])
    monkeypatch.setattr(swarm_process, "what_is_missing", lambda: ["root"])
    assert main(["testbed", "check", *machine]) == status
    assert capsys.readouterr().out.strip() == said
    assert main(["testbed", "check", *machine, "--json"]) == status
    ready = "false" if lacks else "true"
    assert f'"ready": {ready}' in capsys.readouterr().out


@pytest.mark.usefixtures("at_root")
@pytest.mark.parametrize("action", ["report", "load-report", "plan-report", "frames-report",
                                    "rivals-report"])  # fmt: skip
def test_a_report_names_the_files_that_it_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    more = ["--results", str(tmp_path / "errors.parquet")] if action == "load-report" else []
    assert main(["testbed", action, "-o", str(tmp_path / "out"), *more]) == 0
    said = capsys.readouterr().out.splitlines()
    files = sorted(str(path) for path in tmp_path.iterdir() if path.suffix != ".parquet")
    assert files
    assert sorted(line for line in said if line.startswith(str(tmp_path))) == files
    assert (tmp_path / "errors.parquet").exists() == bool(more)
    if action == "report":
        assert main(["testbed", action, "-o", str(tmp_path / "out"), "--json"]) == 0
        assert str(tmp_path) not in capsys.readouterr().out
