"""What an experiment on the offline optimum reads and runs, for the workflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bprr.ground.source import source_hash
from bprr.ground.storage import files_hash
from bprr.offline.backends.base import SolverSettings
from bprr.offline.backends.solve import check_solver, installed_solvers
from bprr.scenario.scenario import Scenario, scenario_of
from bprr.settings.configuration import Settings
from bprr.study.planned import Planned
from bprr.study.slices import Slice, named_in

__all__ = [
    "BOUND",
    "KINDS",
    "MODULES",
    "SCATTERED",
    "check_solvers",
    "offline_inputs",
    "offline_slice",
    "planned_experiment",
    "scattered",
]

KINDS = ("offline", "offline_study")  # folders of results; the latter on full scale
BOUND = "theorem_2"  # computed from the table of `SCATTERED`
MODULES = ("bprr.offline.experiments", "bprr.study.offline")
NAMED = '"bloom_176b" "mig" "a100"'  # model and devices of every experiment
SCATTERED = "optimality"  # the experiment on scattered swarms
STUDY = {"scale": "study", "time_limit_s": 600.0}


def offline_slice(settings: Settings, kind: str, experiment: str) -> Slice:
    """All that an experiment reads.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    experiment : str
        Its name.
    """
    offline = settings.offline.model_dump(mode="json")
    if kind == "offline_study":
        offline |= STUDY
    kept: dict[str, Any] = {"seed": settings.seed, "runs": 1, "offline": offline}
    named = NAMED
    if experiment == "solver_race":  # it runs every solver, with a time limit of its own
        del offline["time_limit_s"]
    else:
        chosen = offline["options"].get(settings.solver)
        offline["options"] = {settings.solver: chosen} if chosen else {}
        kept["solver"] = settings.solver
    if experiment == SCATTERED:
        kept["topology_dir"] = str(settings.topology_dir)
        kept["scenarios"] = {"scattered": settings.scenario("scattered")[0]}
        named += json.dumps(scattered(settings).model_dump(mode="json"))
    else:
        del offline["network"]
    kept |= {
        **{key: {} for key in ("delays", "topologies", "methods", "sweeps")},
        **named_in(named, "device", settings.device_files, settings.devices),
        **named_in(named, "model", settings.model_files, settings.models),
    }
    return Slice(f"{kind}_{experiment}", kept)


def planned_experiment(settings: Settings, name: str, kind: str = "offline") -> Planned:
    """Table of an experiment; `BOUND` is made from what the experiment before it is made from."""
    solved = SCATTERED if name == BOUND else name
    return Planned(
        Path(settings.results_dir, kind, f"{name}.parquet"),
        offline_slice(settings, kind, solved),
        files_hash(offline_inputs(settings, solved)),
        source_hash(*MODULES),
    )


def scattered(settings: Settings) -> Scenario:
    """Scenario of the scattered swarms, on the network that the offline settings name."""
    content, source = settings.scenario("scattered")
    return scenario_of(content, {"network.name": settings.offline.network}, source)


def offline_inputs(settings: Settings, experiment: str) -> list[str]:
    """Files that an experiment reads beside its slice."""
    files = {path for path in [*settings.device_files, *settings.model_files] if not path.exists()}
    if experiment == SCATTERED:
        files |= set(scattered(settings).files(settings.topology_dir))
    return sorted(map(str, files))


def check_solvers(settings: Settings) -> None:
    """Try the chosen solver, and every installed one that has options; see `check_solver`."""
    with_options = [name for name in installed_solvers() if name in settings.offline.options]
    for name in {settings.solver, *with_options}:
        check_solver(SolverSettings.of(settings.offline, name))
