"""Commands and snippets of README and documentation are run; what they are said to print comes."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from house import ROOT, Planner, copied

from bprr.commands.main import COMMANDS, main, parser

PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md", "config/README.md", "profiles/README.md")
FOLDERS = ("tests/cases", "examples")  # that pages name, beside what the project needs to run
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"^# ([\w./-]+\.(?:py|yaml|json))\b")
QUICK = ("--runs", "1")  # what is added to a simulation whose output is not shown

ONE = "figures/table3.pdf"
TARGETS = ("figures/", "results/", "testbed")

# How a command begins that is not run, and why. Those of make are held against the Makefile, those
# of Snakemake are planned.
NOT_RUN = {
    "source": "a shell's environment",
    "eval": "a shell's completion; tests/unit/test_door.py tries it",
    "make": "sets up environments, or takes minutes; the target exists",
    "bprr measure ": "needs torch; tests/unit/test_measure.py measures where it is installed",
    "bprr measure-network": "needs another machine",
    "bprr verify golden": "tests/golden replays the cases",
    "bprr sweep fig7 ": "all runs of a figure; those of the pages' own sweeps are run",
    "bprr merge": "puts such runs together",
    "bprr calibrate": "reads a log of the reader's swarm",
    "bprr replan": "reads the reader's swarm of today",
    "snakemake --executor": "needs a cluster and its plugin",
}
STARTS = {"docs/plan.md": "examples/four-cities"}  # where the commands of a page begin


class Block(NamedTuple):
    language: str
    text: str


def pages() -> list[str]:
    found = [path for pattern in PAGES for path in sorted(ROOT.glob(pattern))]
    return [path.relative_to(ROOT).as_posix() for path in found if "```" in path.read_text("utf-8")]


def blocks(page: str) -> list[Block]:
    return [Block(*found) for found in BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))]


def commands(text: str) -> Iterator[str]:
    """Single commands of a shell block, without comments."""
    for line in text.replace("\\\n", " ").splitlines():
        for command in re.split(r"\s&&\s", line):
            if words := re.sub(r"(^|\s)#\s.*", "", command).strip():
                yield words


def reason_not_to_run(command: str) -> str | None:
    if "…" in command:
        return "a form, with something to fill in"
    return next((why for begin, why in NOT_RUN.items() if f"{command} ".startswith(begin)), None)


def run(command: str, as_written: bool) -> str:
    """Output of a command of `bprr`, which must succeed."""
    if command.startswith("printf "):
        return subprocess.run(
            ["bash", "-c", command], check=True, capture_output=True
        ).stdout.decode()
    command, _, target = command.partition(" > ")
    words = shlex.split(command)
    assert words[0] == "bprr", f"{command}: neither run nor listed"
    if words[1] == "simulate" and not as_written and "--runs" not in words:
        words += QUICK
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()) as errors:
        assert main(words[1:]) == 0, f"{command}\n{errors.getvalue()}"
    if target:
        Path(target.strip()).write_text(printed.getvalue(), encoding="utf-8")
    return printed.getvalue()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a user has it, to write in."""
    folder = copied(tmp_path / "project", linked=("src",))
    for name in FOLDERS:
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, folder / name)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("page", pages())
def test_what_a_page_says_is_so(page: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = blocks(page)
    output = ""
    for position, block in enumerate(found):
        shown = "text" in [following.language for following in found[position + 1 : position + 2]]
        match block.language:
            case "sh":
                monkeypatch.chdir(project / STARTS.get(page, ""))
                output = ""
                for command in commands(block.text):
                    if command.startswith("cd "):
                        monkeypatch.chdir(command.removeprefix("cd "))
                    elif not command.startswith("snakemake") and not reason_not_to_run(command):
                        output += run(command, as_written=shown)
            case "text":
                lines = [line for line in block.text.splitlines() if line.strip(" …")]
                missing = [line for line in lines if line not in output.splitlines()]
                assert not missing, f"{missing}\nnot in\n{output}"
            case "python" | "yaml" | "json" | "toml":
                named = NAMED.match(block.text)
                if named:
                    Path(named[1]).write_text(block.text, encoding="utf-8")
                output = read(block, run_it=not named)


def read(block: Block, run_it: bool) -> str:
    """Output of a Python block, unless it is a file; other languages are only read."""
    printed = io.StringIO()
    match block.language:
        case "python":
            code = compile(block.text, "page", "exec")
            if run_it:
                with contextlib.redirect_stdout(printed):
                    exec(code, {"__name__": "page"})
        case "yaml":
            assert yaml.safe_load(block.text)
        case "toml":
            assert tomllib.loads(block.text)
        case "json":
            assert json.loads(block.text)
    return printed.getvalue()


def test_every_snakemake_command_plans(tmp_path: Path, planner: Planner) -> None:
    folder = copied(tmp_path / "project", linked=("src",))
    for page in pages():
        for block in blocks(page):
            named = NAMED.match(block.text)
            if block.language == "yaml" and named:
                (folder / named[1]).write_text(block.text, encoding="utf-8")
    planned = set()
    for page in pages():
        for block in blocks(page):
            for command in commands(block.text) if block.language == "sh" else ():
                wanted = command.startswith("snakemake") and not reason_not_to_run(command)
                if wanted and command not in planned:
                    planned.add(command)
                    words = shlex.split(command)[1:]
                    # All of it is planned in test_workflow.py: here one target of it will do.
                    whole = not any(word.startswith(TARGETS) for word in words)
                    answer = planner.ask(folder, "--dry-run", *([ONE] if whole else []), *words)
                    assert answer["status"] == 0, f"{page}: {command}\n{answer['text']}"
    assert len(planned) > 3


def test_doors_of_make_and_commands_named_in_prose_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    doors = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    names = {module.replace("_", "-") for modules in COMMANDS.values() for module in modules}
    for path in (path for pattern in PAGES for path in ROOT.glob(pattern)):
        text = path.read_text(encoding="utf-8")
        unknown = set(re.findall(r"(?:`|^|&& )make ([a-z-]+)\b", text, re.MULTILINE)) - doors
        unknown |= set(re.findall(r"(?:`|^)bprr ([a-z][\w-]*)", text, re.MULTILINE)) - names
        assert not unknown, path


def test_examples_of_the_help_are_commands() -> None:
    top = parser()
    for modules in COMMANDS.values():
        for module in modules:
            name = module.replace("_", "-")
            command = top._subparsers._group_actions[0].choices[name]
            assert top.parse_args(shlex.split(command.example)).command == name
