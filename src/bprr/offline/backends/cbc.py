"""CBC: open source, its executable from the wheel ``cbcbox``; driven through files.

The executable writes the incumbent also when it stops at the time limit, and its log ends with the
bound; both are read here.
"""

from __future__ import annotations

import re
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from time import perf_counter

import numpy as np

from bprr.ground.swarm import FloatArray
from bprr.offline.backends.base import (
    Backend,
    MilpResult,
    Progress,
    SolverMissingError,
    SolverRunError,
    SolverSettings,
)
from bprr.offline.milp import Milp

__all__ = ["BACKEND", "read_progress", "read_solution"]

NUMBER = r"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?"
# A line of the search table: nodes, on tree, depth, incumbent, how found, bound, gap, time.
TABLE_ROW = re.compile(
    rf"^\s*\d+\s+\d+\s+\d+\s+(?P<best>{NUMBER})\s.*?(?P<bound>{NUMBER})\s+"
    rf"{NUMBER}%\s+(?P<seconds>{NUMBER})\s*$",
    re.MULTILINE,
)
NO_INCUMBENT = 1e49  # how the table says that there is none
PRINTED_DIGITS = 5e-6  # the log rounds the bound to six digits


def executable() -> str:
    """Path of CBC's executable."""
    try:
        import cbcbox
    except ImportError as error:
        raise SolverMissingError("cbc", "install the package cbcbox") from error
    return str(cbcbox.cbc_bin_path())


@cache
def version() -> str:
    """Name and version, of the executable and of its wheel."""
    said = subprocess.run([executable(), "-quit"], capture_output=True, text=True, check=False)
    found = re.search(r"CBC (.+?) —", said.stdout)
    build = found.group(1) if found else "of unknown build"
    return f"CBC {build}, cbcbox {metadata.version('cbcbox')}"


def read_solution(path: Path, columns: int) -> tuple[str, FloatArray | None]:
    """First line of a solution file, and the values unless they are no incumbent."""
    heading, *lines = path.read_text().splitlines()
    if not heading.startswith(("Optimal", "Stopped")) or "no integer solution" in heading:
        return heading, None
    values = np.zeros(columns)
    for line in lines:
        # A line starts with ** if the value breaks a tolerance.
        name, value = line.replace("**", "").split()[1:3]
        values[int(name[1:])] = float(value)
    return heading, values


def read_progress(log: str) -> tuple[Progress, ...]:
    """Seconds, incumbent and bound from the table of the search."""
    return tuple(
        (float(found["seconds"]), float(found["best"]), float(found["bound"]))
        for found in TABLE_ROW.finditer(log)
        if float(found["best"]) < NO_INCUMBENT
    )


def is_whole(milp: Milp, values: FloatArray) -> bool:
    """Whether the integer columns are whole."""
    whole = values[milp.integer]
    return bool((np.abs(whole - np.rint(whole)) < 1e-5).all())


def number_after(label: str, log: str) -> float | None:
    """Last number behind a label of the log."""
    found = re.findall(rf"{label}\s*({NUMBER})", log)
    return float(found[-1]) if found else None


def run(milp: Milp, settings: SolverSettings, log_path: Path) -> MilpResult:
    """Solve with CBC."""
    model, solution = log_path.with_suffix(".mps"), log_path.with_suffix(".sol")
    milp.write_mps(model)
    command = [executable(), str(model), "-timeMode", "elapsed"]
    for name, value in {
        "sec": settings.time_limit_s,
        "threads": settings.threads if settings.threads > 1 else 0,  # 1 starts a useless helper
        "ratioGap": settings.relative_gap,
        "allowableGap": 0,
        # In cbcbox 2.935 its linear programmes can spin until the time limit.
        "feasibilityPump": "off",
        **settings.options,
    }.items():
        command += [f"-{name}", str(value)]
    command += ["-solve", "-solu", str(solution)]
    started = perf_counter()
    with log_path.open("w") as log_file:
        subprocess.run(command, stdout=log_file, stderr=subprocess.STDOUT, check=False)
    seconds = perf_counter() - started
    log = log_path.read_text()
    if not solution.exists():
        raise SolverRunError("CBC left no solution file")
    heading, values = read_solution(solution, milp.columns)
    bound = number_after("Lower bound:", log)
    if heading.startswith("Optimal") and values is not None and not is_whole(milp, values):
        # Stopped between relaxation and search: what it calls optimal is the relaxation.
        status, bound, values = "time_limit", float(milp.cost @ values), None
    elif heading.startswith("Optimal"):
        status = "optimal"
    elif heading.startswith(("Infeasible", "Integer infeasible")):
        status, bound = "infeasible", float("inf")
    elif heading.startswith("Stopped"):
        status = "time_limit"
    else:
        raise SolverRunError(f"CBC stopped: {heading}")
    objective = float("inf") if values is None else float(milp.cost @ values)
    if status == "optimal":
        bound = objective - settings.relative_gap * abs(objective)
    elif bound is None:
        bound = -float("inf")
    elif status == "time_limit":
        bound -= PRINTED_DIGITS * abs(bound)
    return MilpResult(
        status=status,
        values=values,
        objective=objective,
        bound=bound,
        seconds=seconds,
        nodes=int(number_after("Enumerated nodes:", log) or 0),
        solver_requested=settings.solver,
        solver_used=version(),
        log_path=log_path,
        progress=read_progress(log),
    )


BACKEND = Backend("cbc", version, run)
