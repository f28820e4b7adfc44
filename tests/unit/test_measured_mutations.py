"""Whatever stands in a trace, a manifest or a run: an answer or one clear refusal, no traceback."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bprr.commands.main import main

from .synthetic_trace import PLAN, Truth, write

ODD: list[Any] = [
    None, True, -1, 0, 1.5, 10**400, 1e308, -1e308, float("nan"), float("inf"), "", "x", "1",
    "\u0000", "\ud800", "a" * 100_000, [], [[]], {}, {"a": {}}, ["x"],
]  # fmt: skip


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key and position inside a JSON value."""
    inner = node.items() if isinstance(node, dict) else enumerate(node)
    found = []
    for key, value in inner:
        found.append((*path, key))
        if isinstance(value, dict | list):
            found += places(value, (*path, key))
    return found


def mutated_json(text: str, rng: random.Random) -> str:
    content = json.loads(text)
    *parents, last = rng.choice(places(content))
    node = content
    for key in parents:
        node = node[key]
    match rng.randrange(4):
        case 0:
            del node[last]
        case 1 if isinstance(node, dict):
            node[f"{last} "] = node.pop(last)
        case _:
            node[last] = rng.choice(ODD)
    return json.dumps(content)


def mutated_text(text: str, rng: random.Random) -> bytes:
    """Bytes of a file with a few of them changed, cut out or repeated."""
    content = bytearray(text.encode())
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randrange(len(content)), rng.randint(1, 40)
        odd = rng.choice(
            [b"", b"\x00", b"\xff", b",", b"\n", b'"', b"9" * 400, b"-", b"e9", b"nan"]
        )
        content[at : at + rng.choice([0, 1, length])] = odd
    return bytes(content)


WAYS: dict[str, Callable[[str, random.Random], str | bytes]] = {
    "values": mutated_json,
    "bytes": mutated_text,
}


def answers(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    status = main(arguments)
    said = capsys.readouterr()
    assert status in (0, 2)
    assert (status == 2) == bool(said.err)
    assert len(said.err) < 30_000


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trace")
    write(folder, Truth(), 0, PLAN)
    return folder


@pytest.mark.parametrize(
    ("file", "way", "tries"),
    [("manifest.json", "values", 80), ("manifest.json", "bytes", 40), ("trace.csv", "bytes", 60)],
)
def test_a_fit_answers_or_refuses(trace, tmp_path, capsys, file, way, tries):
    rng = random.Random(f"{file} {way}")
    folder = shutil.copytree(trace, tmp_path / "trace")
    text = (trace / file).read_text(encoding="utf-8")
    for _ in range(tries):
        changed = WAYS[way](text, rng)
        content = changed.encode("utf-8", "surrogatepass") if isinstance(changed, str) else changed
        (folder / file).write_bytes(content)
        answers(["fit", str(folder), "-o", str(tmp_path / "fit")], capsys)


@pytest.mark.parametrize(
    ("file", "way", "tries"),
    [
        ("manifest.json", "values", 80),
        ("manifest.json", "bytes", 40),
        ("requests.csv", "bytes", 40),
    ],
)
def test_a_testbed_report_answers_or_refuses(root, tmp_path, capsys, file, way, tries):
    rng = random.Random(f"{file} {way}")
    folder = shutil.copytree(root / "data/traces/testbed", tmp_path / "run")
    text = (folder / file).read_text(encoding="utf-8")
    for _ in range(tries):
        changed = WAYS[way](text, rng)
        content = changed.encode("utf-8", "surrogatepass") if isinstance(changed, str) else changed
        (folder / file).write_bytes(content)
        answers(["testbed", "report", str(folder)], capsys)


def test_a_figure_of_a_fit_answers_or_refuses(trace, tmp_path, capsys):
    rng = random.Random("fit")
    fit = tmp_path / "fit"
    assert main(["fit", str(trace), "-o", str(fit)]) == 0
    capsys.readouterr()
    text = (fit / "device.yaml").read_text(encoding="utf-8")
    for _ in range(30):
        (fit / "device.yaml").write_bytes(mutated_text(text, rng))
        answers(["plot", "fit", str(fit), "-o", str(tmp_path / "fit.pdf")], capsys)


@pytest.mark.parametrize("name", ["manifest.json", "trace.csv"])
def test_what_is_no_file_is_refused_at_once(trace, tmp_path, capsys, name):
    folder = shutil.copytree(trace, tmp_path / "trace")
    path = folder / name
    for make in (path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to("/dev/zero")):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        make()
        assert main(["fit", str(folder), "-o", str(tmp_path / "fit")]) == 2
        assert str(path) in capsys.readouterr().err
