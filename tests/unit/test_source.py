"""The hash of what a module runs follows its imports, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bprr.ground.source import HOUSE, files_of

FILES = {
    "__init__.py": "from shop.shelf import everything\n",
    "till.py": """
from __future__ import annotations
from typing import TYPE_CHECKING
from bprr.ground.errors import InputError
from shop.goods import fruit
from .paper import bill
if TYPE_CHECKING:
    import shop.clerk
else:
    import shop.drawer
def open_late():
    try:
        import shop.lamp
    except ImportError:
        import shop.candle
PAGE = "receipt.html"
""",
    "goods/__init__.py": "import shop.cellar\n",
    "goods/fruit.py": "import numpy\n",
    "paper.py": "def bill(): from shop.ink import blue\n",
    **{
        f"{name}.py": "" for name in ("clerk", "drawer", "lamp", "candle", "ink", "cellar", "shelf")
    },
    "receipt.html": "",
    "unused.html": "",
}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "shop"


def inside(files: set[Path], folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in files if path.is_relative_to(folder)}


def hash_of(folder: Path, *modules: str) -> str:
    """Hash in a fresh process: a file is read once per process."""
    code = (
        "import sys; from bprr.ground.source import source_hash; print(source_hash(*sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *modules],
        env={"PYTHONPATH": f"{HOUSE.parent}:{folder.parent}"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def test_what_a_module_imports_counts(shop: Path) -> None:
    files = files_of("shop.till")
    assert inside(files, shop) == {
        "till.py", "__init__.py", "goods/__init__.py", "goods/fruit.py", "paper.py", "ink.py",
        "drawer.py", "lamp.py", "candle.py", "receipt.html",
    }  # fmt: skip
    assert {"__init__.py", "ground/__init__.py", "ground/errors.py"} <= inside(files, HOUSE)
    assert "study/sweep.py" not in inside(files, HOUSE)


def test_a_name_taken_from_a_package_follows_its_init(shop: Path) -> None:
    (shop / "buyer.py").write_text("from shop import everything\n", encoding="utf-8")
    assert inside(files_of("shop.buyer"), shop) == {"buyer.py", "__init__.py", "shelf.py"}


def test_a_package_stands_for_all_that_is_in_it(shop: Path) -> None:
    modules = {name for name in FILES if name.startswith("goods")}
    assert modules <= inside(files_of("shop.goods"), shop)
    assert set(HOUSE.rglob("*.py")) <= files_of("bprr")


def test_a_file_outside_any_package(shop: Path) -> None:
    policy = shop.parent / "mine.py"
    policy.write_text("from bprr.placement.base import place\n", encoding="utf-8")
    files = files_of(policy)
    assert policy in files
    assert HOUSE / "placement/base.py" in files


@pytest.mark.parametrize("name", ["bprr.study.swep", "nowhere", "nowhere.at_all"])
def test_what_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ModuleNotFoundError):
        files_of(name)


def test_the_hash_changes_with_what_is_imported_alone(shop: Path) -> None:
    before = hash_of(shop, "shop.till")
    (shop / "clerk.py").write_text("1\n", encoding="utf-8")
    (shop / "unused.html").write_text("1\n", encoding="utf-8")
    assert hash_of(shop, "shop.till") == before
    for name in ("till.py", "ink.py", "goods/__init__.py", "receipt.html"):
        old = hash_of(shop, "shop.till")
        (shop / name).write_text((shop / name).read_text(encoding="utf-8") + "\n", encoding="utf-8")
        assert hash_of(shop, "shop.till") != old, name


def test_the_hash_does_not_depend_on_where_the_package_lies(shop: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "shop"
    elsewhere.parent.mkdir()
    before = hash_of(shop, "shop.till")
    shop.rename(elsewhere)
    assert hash_of(elsewhere, "shop.till") == before
