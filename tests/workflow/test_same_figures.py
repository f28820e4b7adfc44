"""A figure has the same bytes wherever it is drawn: odd folders, locales, other Pythons."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from house import ODD, ROOT, copied

FIGURE = "figures/fig7_abovenet"
TINY = """
runs: 1
sweeps:
  fig7: {topologies: [abovenet], axes: {fleet.servers: {abovenet: [6]}}}
"""
MATPLOTLIBRC = """
backend: TkAgg
text.usetex: True
font.size: 30
font.family: serif
savefig.dpi: 33
savefig.transparent: True
axes.unicode_minus: False
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A figure drawn in an ordinary place."""
    folder = copied(tmp_path_factory.mktemp("plain") / "bprr", linked=("src",))
    return draw(folder, folder)


def draw(
    folder: Path, where: Path, *arguments: str, python: str = sys.executable, **environment: str
) -> dict[str, bytes]:
    (folder / "tiny.yaml").write_text(TINY, encoding="utf-8")
    done = subprocess.run(
        [python, "-m", "snakemake", *arguments, "--cores", "1", f"{FIGURE}.pdf",
         "--configfile", folder / "tiny.yaml"],
        cwd=where, env={**os.environ, **environment}, capture_output=True, encoding="utf-8",
        errors="replace", timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return {end: (folder / f"{FIGURE}.{end}").read_bytes() for end in ("pdf", "png", "csv")}


def test_a_figure_is_the_same_in_an_odd_place(tmp_path: Path, drawn: dict[str, bytes]) -> None:
    folder = copied(tmp_path / ODD, linked=("src",))
    (folder / "matplotlibrc").write_text(MATPLOTLIBRC, encoding="utf-8")
    without_git = tmp_path / "bin/git"
    without_git.parent.mkdir()
    without_git.write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    without_git.chmod(0o755)
    odd = draw(
        folder, folder / "workflow", "--snakefile", "../Snakefile", "--directory", "..",
        LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0",
        MATPLOTLIBRC=str(folder / "matplotlibrc"),
        PATH=f"{without_git.parent}{os.pathsep}{os.environ['PATH']}",
    )  # fmt: skip
    assert odd == drawn


@pytest.fixture
def latin_1(tmp_path: Path) -> dict[str, str]:
    """Environment of a locale whose texts are Latin-1, made where the machine has none."""
    locale = tmp_path / "locales/en_US.ISO-8859-1"
    locale.parent.mkdir()
    if shutil.which("localedef") is None:
        pytest.skip("no localedef here to make a Latin-1 locale")
    subprocess.run(
        ["localedef", "--no-archive", "-i", "en_US", "-f", "ISO-8859-1", locale],
        capture_output=True, check=False,
    )  # fmt: skip
    environment = {
        "LC_ALL": locale.name, "LOCPATH": str(locale.parent), "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }  # fmt: skip
    encoding = subprocess.run(
        [sys.executable, "-c", "import locale; print(locale.getpreferredencoding())"],
        env={**os.environ, **environment}, capture_output=True, encoding="utf-8", check=True,
    ).stdout.strip()  # fmt: skip
    if encoding != "ISO-8859-1":
        pytest.skip(f"localedef makes no Latin-1 locale here but {encoding}")
    return environment


def test_a_figure_is_the_same_where_texts_are_latin_1(
    tmp_path: Path, drawn: dict[str, bytes], latin_1: dict[str, str]
) -> None:
    folder = copied(tmp_path / "my thesis (O'Brien)", linked=("src",))
    assert draw(folder, folder, **latin_1) == drawn


OTHER_PYTHON = ROOT / ".other-venv/bin/python"


@pytest.mark.skipif(not OTHER_PYTHON.exists(), reason="no other Python here: make other-python")
def test_a_figure_is_the_same_under_another_python(tmp_path: Path, drawn: dict[str, bytes]) -> None:
    folder = copied(tmp_path / "plain", linked=("src",))
    version = [sys.executable, str(OTHER_PYTHON)]
    one, other = (subprocess.check_output([each, "--version"]) for each in version)
    assert one != other
    assert draw(folder, folder, python=str(OTHER_PYTHON)) == drawn
