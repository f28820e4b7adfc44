"""The steps of `Containerfile` in an empty folder, with packages at hand instead of downloaded."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from house import ROOT

# Makes environments that see the packages of this one, so that nothing is downloaded.
PYTHON = """#!/bin/sh
{python} "$@" || exit
if [ "$1 $2" = "-m venv" ]; then
    for folder in .venv/lib/python*/site-packages; do echo {packages} > "$folder/at_hand.pth"; done
fi
"""


def steps() -> Iterator[tuple[str, list[str]]]:
    """Instructions and their words."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Containerfile").read_text(), flags=re.M)
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            instruction, _, words = line.partition(" ")
            yield instruction, [words] if instruction == "RUN" else words.split()


def copied_files() -> list[str]:
    """What `COPY . .` takes: files of the repository that `.containerignore` lets through."""
    ignored = (ROOT / ".containerignore").read_text().split()
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [
        name
        for name in names.splitlines()
        if not any(fnmatch(name, pattern) or name.startswith(f"{pattern}/") for pattern in ignored)
    ]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no repository to copy from")
def test_the_steps_make_an_image_that_works(tmp_path: Path) -> None:
    image, python = tmp_path / "image", tmp_path / "python3"
    packages = shlex.quote(sysconfig.get_paths()["purelib"])
    python.write_text(PYTHON.format(python=shlex.quote(sys.executable), packages=packages))
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    environment = {
        **{key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "ARGS")},
        **{"PIP_NO_INDEX": "1", "HOME": str(tmp_path), "MAKEFLAGS": f"PYTHON={python}"},
    }

    def make(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, shell=True, cwd=image, env=environment, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip

    image.mkdir()
    done = []
    for instruction, words in steps():
        done.append(instruction)
        if instruction == "COPY":
            *sources, target = words
            for name in copied_files() if sources == ["."] else sources:
                folder = target.endswith("/") and target != "./"
                placed = (
                    image
                    / target
                    / (name if target in (".", "./") else Path(name).name if folder else "")
                )
                placed.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, placed)
        elif instruction == "RUN" and "apt-get" in words[0]:
            assert {"git", "make"} <= set(words[0].split())
        elif instruction == "RUN":
            ran = make(words[0])
            assert ran.returncode == 0, ran.stdout + ran.stderr
        elif instruction == "CMD":
            assert words == ['["make",', '"reproduce"]']
    assert done == ["FROM", "RUN", "WORKDIR", "COPY", "COPY", "COPY", "RUN", "COPY", "CMD"]
    there = make(".venv/bin/python -m bprr --version && make --no-print-directory dry-run")
    assert there.returncode == 0, there.stdout + there.stderr
    assert there.stdout.startswith("bprr ")
    said = (there.stdout + there.stderr).replace(sysconfig.get_paths()["purelib"], "packages")
    assert "report_page" in said
    assert str(ROOT) not in said
