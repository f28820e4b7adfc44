"""A copy of the project to change and plan, whose results all pass for done."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

__all__ = ["ODD", "SETTINGS", "House", "Jobs", "Planner", "copied"]

ROOT = Path(__file__).parents[2]
FOLDERS = ("src", "workflow", "config", "data", "profiles")
FILES = ("Snakefile", "claims.yaml", "discrepancies.yaml", "pyproject.toml")
SETTINGS = "settings.yaml"  # what a case changes; laid over the shipped configuration

# Name of a folder.
ODD = 'my "thesis" (O\'Brien) & $HOME {x} [y] #1 %s %20 ~;*?!\\ `id` Ünï λ ' + "long " * 25 + "."

Jobs = dict[str, dict[str, Any]]


def copied(folder: Path, *, linked: tuple[str, ...] = ()) -> Path:
    """Copy the project into a folder; a linked part shares compiled kernels with the original."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FOLDERS:
        if name in linked:
            (folder / name).symlink_to(ROOT / name)
        else:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in FILES:
        shutil.copy2(ROOT / name, folder / name)
    return folder


class Planner:
    """The process that plans (planner.py)."""

    def __init__(self) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("planner.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", env=environment,
        )  # fmt: skip

    def ask(self, folder: Path, *arguments: str) -> dict[str, Any]:
        """Exit status, jobs and output of Snakemake in a folder."""
        request = {"folder": str(folder), "arguments": arguments}
        assert self.process.stdin and self.process.stdout
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


class House:
    """What a case changes is put back afterwards, with its dates."""

    def __init__(self, folder: Path, planner: Planner) -> None:
        self.folder, self.planner = copied(folder), planner
        self.before: dict[Path, tuple[bytes, os.stat_result] | None] = {}
        self.settings = yaml.safe_load((folder / "config/smoke.yaml").read_text(encoding="utf-8"))
        self.set()
        for job in self.plan().values():
            for output in job["outputs"]:
                self.write(output, "made")
        self.plan("--touch", "--forceall")
        self.before.clear()

    def plan(self, *arguments: str) -> Jobs:
        """All jobs by rule and wildcards."""
        chosen = (*(arguments or ["--dry-run"]), "--cores", "2", "--configfile", SETTINGS)
        answer = self.planner.ask(self.folder, *chosen)
        assert answer["status"] == 0, answer["text"]
        jobs: Jobs = answer["jobs"]
        return jobs

    def write(self, name: str, text: str, *, older: bool = False) -> None:
        path = self.folder / name
        self._remember(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if older:
            os.utime(path, (1e9, 1e9))

    def replace(self, name: str, old: str, new: str, *, older: bool = False) -> None:
        text = (self.folder / name).read_text(encoding="utf-8")
        assert old in text, f"{name} has no {old!r}"
        self.write(name, text.replace(old, new, 1), older=older)

    def append(self, name: str, text: str = "\n") -> None:
        self.write(name, (self.folder / name).read_text(encoding="utf-8") + text)

    def delete(self, name: str) -> None:
        self._remember(self.folder / name)
        (self.folder / name).unlink()

    def touch(self) -> None:
        for name in (*FOLDERS, *FILES):
            path = self.folder / name
            for file in path.rglob("*") if path.is_dir() else [path]:
                if file.is_file():
                    self._remember(file)
                    os.utime(file)

    def set(self, **changed: Any) -> None:
        self.write(SETTINGS, yaml.safe_dump(_merged(self.settings, changed), allow_unicode=True))

    def put_back(self) -> None:
        for path, content in self.before.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content[0])
                os.utime(path, ns=(content[1].st_atime_ns, content[1].st_mtime_ns))
        self.before.clear()

    def _remember(self, path: Path) -> None:
        if path not in self.before:
            self.before[path] = (path.read_bytes(), path.stat()) if path.exists() else None


def _merged(under: Any, over: Any) -> Any:
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    return {
        key: _merged(under.get(key), over.get(key, under.get(key))) for key in {**under, **over}
    }
