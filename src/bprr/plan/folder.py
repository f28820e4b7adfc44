"""The folder of a plan, written whole or not at all."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from bprr.ground.errors import InputError
from bprr.plan.make import Made
from bprr.plan.page import page_of
from bprr.plan.petals_files import client_snippet, compose_file, folder_names, server_config
from bprr.plan.problem import Problem, scenario_content
from bprr.plan.record import PlanRecord
from bprr.plan.text import text_of

__all__ = ["PLAN", "files_of", "write_folder"]

PLAN = "plan.json"


def write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Write files by their names in the folder, which takes the place of an older plan.

    Raises
    ------
    InputError
        If there is something else in its place.
    """
    with _replacing(folder) as unfinished:
        for name, text in files.items():
            path = unfinished / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    allowed = "a folder of an older plan, an empty one, or none yet"
    try:
        if folder.exists() and not folder.is_dir():
            raise InputError(folder, "output", "a file", allowed)
        if folder.is_dir() and any(folder.iterdir()) and not (folder / PLAN).is_file():
            raise InputError(folder, "output", "a folder of other things", allowed)
        whole = folder.resolve()
        whole.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(folder, "output", error.strerror, allowed) from None
    unfinished = whole.with_name(f".{whole.name}.{os.getpid()}.unfinished")
    before = whole.with_name(f".{whole.name}.{os.getpid()}.before")
    try:
        unfinished.mkdir()
        yield unfinished
        if whole.exists():
            whole.rename(before)
        unfinished.rename(whole)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        if before.exists() and not whole.exists():
            before.rename(whole)
        shutil.rmtree(before, ignore_errors=True)


def files_of(made: Made, plan: PlanRecord, model: str, taken: set[str]) -> dict[str, str]:
    """All files of a plan.

    Parameters
    ----------
    model : str
        As PETALS is to load it.
    taken : set of str
        Names of models that the settings have; the plan's own gets another one.
    """
    problem = made.problem
    name = problem.served.model.name
    own = f"{name}_planned" if name in taken else name
    folders = dict(enumerate(folder_names(plan.placement)))
    files = {
        PLAN: plan.model_dump_json(indent=1) + "\n",
        "plan.md": text_of(plan),
        "plan.html": page_of(plan, problem.distances),
        "scenario.yaml": _yaml(_scenario(problem, own)),
        "models.yaml": _yaml({own: _model(problem)}),
        "devices.yaml": _yaml(_devices(problem, own)),
        "servers.csv": _servers(problem),
        "rtt.csv": _rtt(problem),
        "client.py": client_snippet(plan, model),
        "docker-compose.yml": compose_file(plan, folders),
    }
    for server in plan.placement:
        if server.blocks:
            path = f"servers/{folders[server.server]}/config.yml"
            files[path] = server_config(plan, server, model)
    return files


def _yaml(content: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=100)


def _scenario(problem: Problem, model: str) -> dict[str, Any]:
    content = scenario_content(problem.wish, problem.served, problem.distances)
    return {**content, "model": model}


def _model(problem: Problem) -> dict[str, Any]:
    return problem.served.model.model_dump(
        exclude_defaults=True, exclude={"name"}, exclude_none=True
    )


def _devices(problem: Problem, model: str) -> dict[str, Any]:
    devices = {}
    for one in problem.paced:
        content = one.device.model_dump(
            exclude_defaults=True, exclude_none=True, exclude={"name", "provenance"}
        )
        content |= {"model": model, "source": one.because}
        devices[one.device.name] = content
    return devices


def _csv(rows: list[list[Any]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _servers(problem: Problem) -> str:
    names = problem.distances.network.node_names
    rows: list[list[Any]] = [["device", "at", "memory_gb", "name"]]
    for one, machine, node in zip(
        problem.paced, problem.inventory.machines, problem.distances.server_node, strict=True
    ):
        rows.append([one.device.name, names[node], repr(one.device.memory_gb), machine.name])
    return _csv(rows)


def _known(value: float) -> str:
    return "" if value != value else f"{value:.6g}"


def _rtt(problem: Problem) -> str:
    network = problem.distances.network
    names = list(network.node_names)
    if network.mbit_per_s is not None:
        pairs = [
            [here, there, f"{network.rtt[a, b]:.3f}", _known(network.mbit_per_s[a, b])]
            for a, here in enumerate(names)
            for b, there in enumerate(names)
        ]
        return _csv([["from", "to", "rtt_ms", "mbit_per_s"], *pairs])
    rows = [
        [name, *(f"{value:.3f}" for value in row)]
        for name, row in zip(names, network.rtt.tolist(), strict=True)
    ]
    return _csv([["", *names], *rows])
