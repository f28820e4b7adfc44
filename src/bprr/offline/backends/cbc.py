"""CBC: open source, its executable from the wheel ``cbcbox``; driven through files.

The executable writes the incumbent also when it stops at a limit, and its log ends with the bound;
both are read here. "Optimal" in its files only means that it stopped by itself: with a gap allowed,
the proof is the bound.
"""

from __future__ import annotations

import re
import signal
import subprocess
from functools import cache
from importlib import metadata
from math import isclose
from pathlib import Path

import numpy as np

from bprr.ground.swarm import FloatArray
from bprr.offline.backends.base import (
    Answer,
    Backend,
    Ended,
    Progress,
    SolverKilledError,
    SolverMissingError,
    SolverRunError,
    SolverSettings,
)
from bprr.offline.backends.highs import write_mps
from bprr.offline.backends.options import GAP, LOG, THREADS, TIME, UNPROVEN, OptionError, of_type
from bprr.offline.milp import Milp
from bprr.settings.offline import Option

__all__ = ["BACKEND", "proven_bound", "read_progress", "read_solution"]

NUMBER = r"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?"
# A line of the search table: nodes, on tree, depth, incumbent, how found, bound, gap, time.
TABLE_ROW = re.compile(
    rf"^\s*\d+\s+\d+\s+\d+\s+(?P<best>{NUMBER})\s.*?(?P<bound>{NUMBER})\s+"
    rf"{NUMBER}%\s+(?P<seconds>{NUMBER})\s*$",
    re.MULTILINE,
)
NO_INCUMBENT = 1e49  # how the table says that there is none
PRINTED_DIGITS = 5e-6  # relative; the log rounds to six digits
INCREMENT = 1e-6  # ms; how much better another solution must be to be searched for (CBC: 1e-4)
RESERVED = {
    GAP: ("ratiogap", "allowablegap"),
    TIME: ("seconds", "timemode"),
    THREADS: ("threads",),
    LOG: (
        *("loglevel", "lploglevel", "messages", "compacttables", "useutf8"),
        *("print*", "outputformat"),
    ),
    UNPROVEN: (
        *("cutoff", "increment", "constraintfromcutoff", "fixondj", "direction", "errorsallowed"),
        *("*tolerance", "*scale", "*bound", "vub*", "localtreesearch", "preprocess"),
        *("*options", "*extra*", "experiment", "test*", "user*"),  # bits, of whatever meaning
    ),
}


def executable() -> str:
    """Path of CBC's executable."""
    try:
        import cbcbox
    except ImportError as error:
        raise SolverMissingError("cbc", "install the package cbcbox") from error
    return str(cbcbox.cbc_bin_path())


def call(*arguments: str, log_path: Path | None = None) -> str:
    """What CBC says when it is run with these arguments; also left in a file."""
    command = [executable(), *arguments]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if log_path is None else log_path.open("wb"),
            stderr=subprocess.STDOUT,
            check=False,
        )
    except OSError as error:
        remedy = f"{command[0]} cannot be run ({error.strerror}); install cbcbox anew"
        raise SolverMissingError("cbc", remedy) from error
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise SolverKilledError(f"CBC was killed by {name}")
    said = done.stdout if log_path is None else log_path.read_bytes()
    return said.decode("utf-8", errors="replace")


@cache
def version() -> str:
    """Name and version, of the executable and of its wheel."""
    found = re.search(r"CBC (.+?) —", call("-quit"))
    build = found.group(1) if found else "of unknown build"
    return f"CBC {build}, cbcbox {metadata.version('cbcbox')}"


def accept(name: str, value: Option) -> tuple[str, Option]:
    """Option as CBC takes it: it is set and asked for, since CBC passes over what it cannot use."""
    if not re.fullmatch(r"\w+", name):
        raise OptionError("the name of an option of CBC")
    known = call(f"-{name}??", "-quit")
    if len(re.findall(r"^Match for", known, re.MULTILINE)) != 1 or "current" not in known:
        raise OptionError("the name of an option of CBC that takes a number or a word")
    full = re.sub(r"[()]", "", re.findall(r"^Match for .*': (.*)$", known, re.MULTILINE)[0])
    words = re.search(r"^Possible options for .*:\n(.*)$", known, re.MULTILINE)
    if words:
        taken = str(of_type(value, str))
        allowed = ", ".join(words.group(1).split())
    else:
        taken = f"{of_type(value, float):.17g}"
        limits = re.search(r"Range of values is (.*?);", known)
        allowed = f"a number from {limits.group(1)}" if limits else "a number"
    now = re.findall(r"current:? ([^\s>]+)", call(f"-{name}", taken, f"-{name}??", "-quit"))[-1]
    same = now == taken if words else isclose(float(now), float(taken), rel_tol=PRINTED_DIGITS)
    if not same:
        raise OptionError(allowed)
    return full, taken


def read_solution(path: Path, columns: int) -> tuple[str, FloatArray | None]:
    """First line of a solution file, and the values unless they are no incumbent."""
    try:
        heading, *lines = path.read_text(encoding="utf-8").splitlines()
        if not heading.startswith(("Optimal", "Stopped")) or "no integer solution" in heading:
            return heading, None
        values = np.zeros(columns)
        for line in lines:
            # A line starts with ** if the value breaks a tolerance.
            name, value = line.replace("**", "").split()[1:3]
            values[int(name[1:])] = float(value)
    except (ValueError, IndexError):
        raise SolverRunError("CBC left a damaged solution file; is the disk full?") from None
    except FileNotFoundError:
        raise SolverRunError("CBC left no solution file") from None
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


def proven_bound(log: str, objective: float) -> float:
    """Lower bound that a log proves.

    Parameters
    ----------
    log : str
        A log whose search is over.
    objective : float
        Of the incumbent; infinite without one.
    """
    bound, gap = (
        number_after("Lower bound:", log),
        number_after("Gap:", log.rpartition("Result")[2]),
    )
    if bound is None:
        # No bound is printed where the tree was searched to its end.
        whole = "Result - Optimal solution found\n" in log
        return objective - INCREMENT if whole else -float("inf")
    rounded = bound - PRINTED_DIGITS * abs(bound)
    if gap is None or bound <= 0 or objective == float("inf"):
        return rounded
    # Gap = (objective - bound) / bound, to six digits as well: far more where it is small.
    return max(rounded, objective / (1 + gap * (1 + PRINTED_DIGITS)))


def run(milp: Milp, settings: SolverSettings, log_path: Path) -> Answer:
    """Solve with CBC."""
    model, solution = log_path.with_suffix(".mps"), log_path.with_suffix(".sol")
    write_mps(milp, model)
    options = {
        "timeMode": "elapsed",
        "seconds": settings.time_limit_s,
        "threads": settings.threads if settings.threads > 1 else 0,  # 1 starts a useless helper
        "ratioGap": settings.relative_gap,
        "allowableGap": 0,
        "increment": INCREMENT,
        # In cbcbox 2.935 its linear programmes can spin until the time limit.
        "feasibilityPump": "off",
        **settings.options,
    }
    arguments = [word for name, value in options.items() for word in (f"-{name}", str(value))]
    log = call(str(model), *arguments, "-solve", "-solu", str(solution), log_path=log_path)
    said, values = read_solution(solution, milp.columns)
    nodes = int(number_after("Enumerated nodes:", log) or 0)
    progress = read_progress(log)
    if said.startswith(("Infeasible", "Integer infeasible")):
        return Answer("infeasible", said, None, float("inf"), nodes, progress)
    if not said.startswith(("Optimal", "Stopped")):
        raise SolverRunError(f"CBC stopped: {said}")
    objective = float("inf") if values is None else float(milp.cost @ values)
    if values is not None and not is_whole(milp, values):
        # Stopped between relaxation and search: what it calls optimal is the relaxation.
        relaxed = objective - PRINTED_DIGITS * abs(objective)
        bound = relaxed if said.startswith("Optimal") else -float("inf")
        return Answer("time_limit", said, None, bound, nodes, progress)
    ended: Ended = "finished" if said.startswith("Optimal") else "stopped"
    if said.startswith("Stopped on time"):
        ended = "time_limit"
    return Answer(ended, said, values, proven_bound(log, objective), nodes, progress)


BACKEND = Backend("cbc", version, accept, RESERVED, run)
