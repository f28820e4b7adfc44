"""What commands say to people is as recorded; of a machine, its speed and its folders nothing.

After a change that is meant: `python tests/golden/test_said.py && git diff tests/golden/said`.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from bprr.commands.main import main, parser
from bprr.ground.storage import write_table

ROOT = Path(__file__).parents[2]
RECORDS = Path(__file__).with_name("said")
SCENARIO = "config/scenarios/clustered.yaml"
SMALL = ["--set", "workload.requests=6", "--runs", "2"]
MASKS = {
    r"in \d+\.\d+ s by \S+ .*": "in … s by …",  # of a solver and its version
    r"HiGHS \S+ in \S+ s": "HiGHS … in … s",
    r"\d+ sweeps with \d+ points": "… sweeps with … points",
}
SWEEP = """
runs: 1
sweeps:
  mine:
    title: Mine
    scenario: clustered
    topologies: [cluster0]
    axes: {workload.output_tokens: {cluster0: [64, 2000]}}
    set: {workload.requests: 5}
    methods: [petals, proposed]
    delays: [none]
"""


def explain(folder: Path) -> list[list[str]]:
    return [
        ["explain", f"config/swarms/{path.name}"]
        for path in sorted(Path("config/swarms").glob("*.yaml"))
    ]


def wan(folder: Path) -> list[list[str]]:
    return [["wan", "-o", f"{folder}/wan.csv"]]


def simulate(folder: Path) -> list[list[str]]:
    chosen = ["--method", "petals", "--method", "proposed"]
    return [
        ["simulate", SCENARIO, *SMALL, *chosen, "-o", f"{folder}/requests.parquet"],
        ["simulate", SCENARIO, *SMALL, "--method", "proposed", "--slo-per-token", "0.5"],
    ]


def solve(folder: Path) -> list[list[str]]:
    return [["solve", SCENARIO, "--requests", number] for number in ("2", "500")]


def check(folder: Path) -> list[list[str]]:
    return [["check"], ["check", SCENARIO]]


def sweep(folder: Path) -> list[list[str]]:
    (folder / "mine.yaml").write_text(SWEEP, encoding="utf-8")
    command = ["sweep", "mine", "cluster0", "--config", f"{folder}/mine.yaml"]
    return [[*command, "-o", f"{folder}/mine.parquet"]]


def verify(folder: Path) -> list[list[str]]:
    cases = json.loads((ROOT / "tests/golden/cases.json").read_text(encoding="utf-8"))["cases"]
    first = {case["kind"]: case for case in reversed(cases)}
    chosen = [first["cg_bp"], first["petals_place"]]
    (folder / "good.json").write_text(json.dumps({"cases": chosen}), encoding="utf-8")
    text = json.dumps({"cases": chosen})
    wrong = json.loads(text)
    wrong["cases"][0]["output"]["soln_val"] = 1.5 * wrong["cases"][0]["output"]["soln_val"]
    (folder / "wrong.json").write_text(json.dumps(wrong), encoding="utf-8")
    return [["verify", "golden", f"{folder}/{name}.json"] for name in ("good", "wrong")]


def manifest(folder: Path) -> list[list[str]]:
    one, other = folder / "one.csv", folder / "other.csv"
    one.write_text("1", encoding="utf-8")
    other.write_text("2", encoding="utf-8")
    first, second = f"{folder}/first.json", f"{folder}/second.json"
    return [
        ["manifest", str(one), str(other), "-o", first],
        ["manifest", str(one), "-o", second],
        ["manifest", "--compare", first, first],
        ["manifest", "--compare", first, second],
    ]


def provenance(folder: Path) -> list[list[str]]:
    path = folder / "a.parquet"
    write_table(pd.DataFrame({"a": [1]}), path, {"seed": 7}, "0123")
    return [["provenance", str(path)], ["provenance", f"{folder}/none.parquet"]]


def fit(folder: Path) -> list[list[str]]:
    trace = "data/traces/cpu-amd-epyc/trace.csv"
    return [["fit", trace, "-o", str(folder), *named] for named in ([], ["--name", "mine"])]


def model(folder: Path) -> list[list[str]]:
    path = "tests/cases/example/Qwen3-32B/config.json"
    return [["model", path], ["model", path, "--name", "My Own", "-o", f"{folder}/own.yaml"]]


def capacity(folder: Path) -> list[list[str]]:
    few = ["--least-requests", "2000", "--most-requests", "4000", "--within", "0.5"]
    chosen = ["--method", "proposed", *few]
    tiny = ["config/scenarios/scattered.yaml", "--set", "fleet.servers=2"]
    return [["capacity", SCENARIO, *chosen], ["capacity", *tiny, *chosen]]


def bounds(folder: Path) -> list[list[str]]:
    (folder / "mine.yaml").write_text(SWEEP, encoding="utf-8")
    command = ["bounds", "mine", "cluster0", "--config", f"{folder}/mine.yaml"]
    return [[*command, "-o", f"{folder}/bounds.parquet"]]


SAID: dict[str, Callable[[Path], list[list[str]]]] = {
    each.__name__: each
    for each in (
        explain,
        wan,
        simulate,
        solve,
        check,
        sweep,
        verify,
        manifest,
        provenance,
        fit,
        model,
        capacity,
        bounds,
    )
}


def arguments_of(command: argparse.ArgumentParser) -> Iterator[str]:
    """Every command, and under it what it takes: how it is given, what it means, its default."""
    run = command.get_default("run")
    yield f"{command.prog}: {run.__module__}.{run.__name__}" if run else command.prog
    inner: list[argparse.ArgumentParser] = []
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            inner += action.choices.values()
            continue
        about = {
            "kind": type(action).__name__.strip("_").removesuffix("Action"),
            "type": getattr(action.type, "__name__", action.type),
            "nargs": action.nargs,
            "const": action.const,
            "default": "" if action.default is argparse.SUPPRESS else action.default,
            "required": action.required,
            "choices": action.choices and sorted(action.choices),
            "metavar": action.metavar,
        }
        given = [f"{key} {value}" for key, value in about.items() if value not in (None, False, "")]
        name = " ".join(action.option_strings) or action.dest
        text = " ".join((action.help or "").split())
        yield f"    {name}: {', '.join(given)}: {text}"
    for each in inner:
        yield from arguments_of(each)


def arguments() -> str:
    return "\n".join([*arguments_of(parser()), ""]).replace(str(ROOT), "HERE")


def test_arguments_are_as_recorded() -> None:
    kept = (RECORDS / "arguments.txt").read_text(encoding="utf-8")
    changes = difflib.unified_diff(kept.splitlines(), arguments().splitlines(), n=0, lineterm="")
    assert not list(changes)


def record(name: str, folder: Path) -> str:
    lines = []
    for command in SAID[name](folder):
        said, errors = io.StringIO(), io.StringIO()  # progress goes to the latter too
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
            status = main(command)
        text = said.getvalue() + (errors.getvalue() if status else "")
        lines += [f"$ bprr {' '.join(command)}", text.rstrip("\n"), f"exit {status}", ""]
    text = "\n".join(lines).replace(str(folder), "HERE")
    text = re.sub(r'("packages": \{)[^}]*', r"\1…", text)
    for pattern, short in MASKS.items():
        text = re.sub(pattern, short, text)
    return text


@pytest.mark.usefixtures("at_root")
@pytest.mark.parametrize("name", SAID)
def test_what_is_said_is_as_recorded(name: str, tmp_path: Path) -> None:
    kept = (RECORDS / f"{name}.txt").read_text(encoding="utf-8")
    said = record(name, tmp_path)
    changes = difflib.unified_diff(kept.splitlines(), said.splitlines(), n=0, lineterm="")
    assert not list(changes)


if __name__ == "__main__":
    os.chdir(ROOT)
    RECORDS.mkdir(exist_ok=True)
    (RECORDS / "arguments.txt").write_text(arguments(), encoding="utf-8")
    for one in SAID:
        with tempfile.TemporaryDirectory() as room:
            RECORDS.joinpath(f"{one}.txt").write_text(record(one, Path(room)), encoding="utf-8")
