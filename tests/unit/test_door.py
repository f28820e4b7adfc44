"""The door: whatever a subcommand raises leaves as one line and an exit status."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import bprr.commands.doctor
import bprr.commands.main
import bprr.report.manifest
from bprr.commands.main import COMMANDS, main
from bprr.ground.errors import InfeasibleError, InputError


@pytest.fixture
def fails(monkeypatch, tmp_path, capsys):
    """Exit status and printed lines of a subcommand that raises something."""

    def run(error, *options):
        def raises(*_):
            raise error

        monkeypatch.setattr(bprr.report.manifest, "write_manifest", raises)
        (tmp_path / "a.csv").write_text("1")
        status = main([*options, "manifest", str(tmp_path / "a.csv")])
        return status, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    "error, status, line",
    [
        (InputError("a.yaml", "runs", 0, "1"), 2, "a.yaml: runs: got 0; allowed: 1"),
        (InfeasibleError("GPU memory", "3 GB"), 2, "infeasible: not enough GPU memory"),
        (KeyboardInterrupt(), 130, "interrupted; nothing half-written is left"),
        (MemoryError(), 1, "not enough memory"),
        (OSError(28, "No space left on device", "/x\ny"), 1, "/x\\ny: No space left on device"),
        (BrokenPipeError(32, "Broken pipe"), 1, "Broken pipe"),  # of another pipe than the output
        (RecursionError("maximum depth"), 70, "unexpected RecursionError: maximum depth; bprr --d"),
        (KeyError("x\n" * 1000), 70, "unexpected KeyError: 'x\\nx"),
        (AssertionError(), 70, "unexpected AssertionError"),
    ],
)
def test_an_error_is_one_line(fails, error, status, line):
    found, printed = fails(error)
    assert found == status
    assert printed.startswith(f"bprr manifest: {line}")
    assert printed.count("\n") == 1
    assert len(printed) < 700


def test_debug_shows_where(fails):
    status, printed = fails(ValueError("odd"), "--debug")
    assert status == 70
    assert "Traceback" in printed
    assert "in raises" in printed
    assert printed.splitlines()[-1].startswith("bprr manifest: unexpected ValueError: odd")


@pytest.mark.parametrize(
    "words, nearest",
    [
        (["simulte"], "simulate"),
        (["plot", "headlines"], "headline"),
        (["plot-ofline"], "plot-offline"),
        (["solve", "x.yaml", "--formulation", "stong"], "strong"),
    ],
)
def test_a_misspelt_word_gets_a_suggestion(capsys, words, nearest):
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert f"did you mean {nearest}?" in capsys.readouterr().err


def test_help_lists_every_command_by_purpose_with_an_example(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    names = [module.replace("_", "-") for modules in COMMANDS.values() for module in modules]
    files = (Path(bprr.commands.main.__file__).parent).glob("*.py")
    with_command = {path.stem for path in files if "add_parser(" in path.read_text("utf-8")}
    assert {name.replace("-", "_") for name in names} == with_command
    for name in names:
        assert f"\n                     bprr {name}" in printed
    assert all(f"\n{purpose}:\n" in printed for purpose in COMMANDS)


@pytest.mark.parametrize(
    ("words", "has"),
    [
        (["policies"], "placement"),
        (["doctor"], "remedy"),
        (["explain", "config/swarms/ring.yaml"], "changes"),
        (["check", "config/scenarios/scattered.yaml"], "servers"),
        (["fit", "data/traces/cpu-amd-epyc-again", "-o", "{out}/fit"], "findings"),
        (["testbed", "report"], "per_token_ms"),
        (["testbed", "check", "--machine"], "missing"),
        (["wan"], "errors"),
        (["verify", "golden", "{out}/cases.json"], "passed"),
        (["manifest", "--compare", "{out}/a.json", "{out}/a.json"], None),
    ],
)
def test_results_are_told_as_json(at_root, tmp_path, capsys, words, has):
    cases = json.loads((at_root / "tests/golden/cases.json").read_text(encoding="utf-8"))
    few = {**cases, "cases": [case for case in cases["cases"] if case["kind"] == "ws_rr"][:2]}
    (tmp_path / "cases.json").write_text(json.dumps(few), encoding="utf-8")
    (tmp_path / "a.csv").write_text("1", encoding="utf-8")
    main(["manifest", str(tmp_path / "a.csv"), "-o", str(tmp_path / "a.json")])
    capsys.readouterr()
    by_machine = words[0] == "doctor" or words[:2] == ["testbed", "check"]
    status = main([*(word.format(out=tmp_path) for word in words), "--json"])
    assert status in ((0, 1, 3) if by_machine else (0,))
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)  # NaN is no JSON
    first = told[0] if isinstance(told, list) and told else told
    assert told == [] if has is None else has in first


def test_a_shell_completes_commands_options_and_choices(tmp_path, capsys):
    assert main(["completion", "bash"]) == 0
    (tmp_path / "bprr.bash").write_text(capsys.readouterr().out, encoding="utf-8")
    for words, expected in {
        ("bprr", "simul"): {"simulate"},
        ("bprr", "--debug", "plot", "head"): {"headline"},
        ("bprr", "plot", "sweep", "--cap"): {"--caption"},
        ("bprr", "offline", "equal"): {"equal_blocks"},
        ("bprr", "simulate", "x.yaml", "--slo"): {"--slo-per-token", "--slo-ttft"},
    }.items():
        typed = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _bprr"
        script = f". {tmp_path}/bprr.bash; {typed}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        assert set(done.stdout.split()) == expected, words
    assert main(["completion", "zsh"]) == 0
    assert "bashcompinit" in capsys.readouterr().out


def bprr_process(*words, **streams):
    command = [sys.executable, "-m", "bprr", *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **streams)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["provenance", "--help"], ["check", "--schema"]])
def test_a_reader_that_goes_is_no_error(words, unbuffered):
    reading, writing = os.pipe()
    os.close(reading)
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    process = bprr_process(*words, stdout=writing, env=environment)
    os.close(writing)
    assert process.communicate()[1] == ""
    assert process.returncode in (141, 0)  # argparse forgives it if nothing is buffered


def test_a_full_disk_is_one_line():
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    with open("/dev/full", "w") as full:
        process = bprr_process("check", "--schema", stdout=full)
    assert process.communicate()[1] == "bprr check: No space left on device\n"
    assert process.returncode == 1


def test_an_output_in_another_encoding_is_written():
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    process = bprr_process("check", "--schema", stdout=subprocess.PIPE, env=environment)
    output, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert "\\\\u" in output or "\\u" in output


INTERRUPTED = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, *_):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)

from bprr.commands.main import main
sys.meta_path.insert(0, Interrupting())
sys.exit(main(["check"]))
"""


@pytest.mark.parametrize(
    "name", ["argparse", "bprr.commands.plot", "numpy", "pydantic", "bprr.scenario.draw", "yaml"]
)
def test_ctrl_c_during_an_import_is_no_traceback(name):
    command = [sys.executable, "-c", INTERRUPTED.format(name=name)]
    # Ctrl-C as in a terminal, even where the tests run in the background and it is ignored.
    heeded = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=heeded)
    assert done.stderr == "bprr check: interrupted; nothing half-written is left\n"
    # Python itself leaves by the signal where it met a library's code made at run time.
    assert done.returncode in (130, -signal.SIGINT)


CHECKS = {
    # What is not as it should be: the line's mark, and the exit status.
    "python": ("Python", "BAD", 1),
    "moved": ("environment", "BAD", 1),
    "cbc": ("cbc", "BAD", 1),
    "gurobi": ("gurobi", "-", 0),
    "broken": ("gurobi", "BAD", 1),
    "kernels": ("kernels", "BAD", 1),
    "disk": ("disk", "BAD", 1),
    "testbed": ("testbed", "-", 0),
    "gpu": ("GPU", "ok", 0),
    "torch": ("measuring", "ok", 0),
    "": ("measuring", "-", 0),
}


@pytest.mark.parametrize("lacks", CHECKS)
def test_the_doctor_marks_what_is_lacking(monkeypatch, tmp_path, capsys, lacks):
    """A machine with all that is needed and nothing else, but for one thing."""
    import importlib.util
    import shutil

    import bprr.offline.backends.solve as solve
    import bprr.testbed.swarm_process as swarm_process
    from bprr.placement.windows import longest_waiting_window

    what, mark, status = CHECKS[lacks]
    home = tmp_path / "here/.venv"
    home.mkdir(parents=True)
    made = home.parent.with_name("elsewhere") if lacks == "moved" else home.parent
    (home / ".installed").write_text(f"{made}\n", encoding="utf-8")
    monkeypatch.setattr(sys, "prefix", str(home))
    version = (3, 10, 9) if lacks == "python" else (3, 11, 0)
    monkeypatch.setattr(sys, "version_info", version)
    solvers = {"highs", "cbc", "scip", "gurobi"} - {lacks}

    def check(settings):
        if lacks == "broken" and settings.solver == "gurobi":
            raise InfeasibleError("licence", "none")

    monkeypatch.setattr(solve, "installed_solvers", lambda: solvers)
    monkeypatch.setattr(solve, "check_solver", check)
    path = "" if lacks == "kernels" else str(tmp_path)
    stats = type("Stats", (), {"cache_path": path})
    monkeypatch.setattr(type(longest_waiting_window), "stats", stats)
    free = 1.99e9 if lacks == "disk" else 2e9
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    missing = ["root"] if lacks == "testbed" else []
    monkeypatch.setattr(swarm_process, "what_is_missing", lambda: missing)
    gpus = ["A100"] if lacks == "gpu" else []
    monkeypatch.setattr(bprr.commands.doctor, "_gpus", lambda: gpus)
    found = object() if lacks == "torch" else None
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: found)
    assert main(["doctor"]) == status
    lines = {line.split()[1]: line for line in capsys.readouterr().out.splitlines()}
    assert lines[what].split()[0] == mark
    usual = {"Python", "environment", "source", "highs", "cbc", "gurobi", "scip", "kernels",
             "locale", "disk", "testbed"}  # fmt: skip
    assert {name for name, line in lines.items() if line.startswith("ok")} - {what} == (
        usual - {what}
    )


@pytest.mark.parametrize(
    ("status", "told", "gpus"), [(0, "A100\nT4\n", ["A100", "T4"]), (9, "no driver", [])]
)
def test_gpus_are_those_that_the_driver_names(monkeypatch, status, told, gpus):
    ran = subprocess.CompletedProcess([], status, stdout=told)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: ran)
    assert bprr.commands.doctor._gpus() == gpus


def test_without_a_driver_there_are_no_gpus(monkeypatch):
    def run(*_, **__):
        raise OSError(2, "no such file")

    monkeypatch.setattr(subprocess, "run", run)
    assert bprr.commands.doctor._gpus() == []
