"""Do the tests notice? One small change of the source at a time, and the tests of its room.

    make mutants ARGS="--seed 2 --number 30 --below figures"

Survivors are shown as changes; some are equivalent to the source, the others are holes. Changes are
drawn uniformly over all places, by a seed. Tests run in a copy of the project: first those that
name what is changed, then the others of its room, but none that is known not to call it
(`tests/collected.py`); changes of what numba compiles or what runs while modules are imported are
tried in processes that import everything anew; backends of solvers that are not installed are left
out. What was found is kept in `.mutants/`: a run that was broken off goes on where it was, and a
survivor is tried again once there are other tests.
"""

from __future__ import annotations

import argparse
import ast
import copy
import hashlib
import importlib
import json
import os
import random
import re
import select
import shutil
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import collected
import pytest

ROOT = Path(__file__).parents[1]
NOTES = ROOT / ".mutants/notes.jsonl"
COPIED = ("src", "tests", "config", "data", "docs", "workflow", "profiles", "benchmarks",
          "examples", "figures/readme", "Snakefile", "Makefile", "Containerfile", "README.md",
          "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "claims.yaml", "discrepancies.yaml",
          "pyproject.toml", "requirements.lock")  # fmt: skip
LOADED = ("numba", "pandas", "pyarrow.parquet", "pydantic", "scipy.optimize", "scipy.stats",
          "yaml", "matplotlib.figure", "seaborn", "hypothesis", "simpy", "pytest",
          "jsonschema")  # fmt: skip

# Of solvers that are not installed nothing can be run.
NEEDS = {"offline/backends/gurobi.py": "gurobipy", "offline/backends/scip.py": "pyscipopt"}

# What runs against a change in a room, beside tests that name its module. Measuring and the testbed
# need machines of their own.
TESTS = {
    "ground": "unit/performance unit/records property/caches unit/reading unit/source"
    " unit/bad_input unit/measures unit/policy_options golden/golden property/routing"
    " property/simulation unit/engines property/mutations unit/storage unit/orders property/graphs"
    " unit/living unit/steady unit/robust property/neighbours golden/said unit/limits unit/swarms"
    " unit/registries unit/tables_checked unit/kernels unit/caches",
    "settings": "unit/models unit/overlays unit/policy_options unit/bad_input unit/reading"
    " unit/slices unit/plan unit/plan_mutations unit/limits unit/messages unit/configurations"
    " unit/architectures",
    "scenario": "unit/scenario unit/network unit/workload unit/traces unit/networks_of_others"
    " unit/bad_input golden/golden unit/reading property/mutations unit/graph_files property/graphs"
    " unit/robust unit/living unit/forwarding golden/said unit/limits unit/draws unit/places"
    " unit/scenarios_whole unit/traces_whole unit/measured_networks unit/networks_in_files",
    "placement": "unit/placements property/placement golden/golden unit/policy_options"
    " unit/performance unit/new_policies unit/petals_shipped unit/docs unit/beyond"
    " property/composed_chains unit/theory unit/outside_policies unit/orders unit/plan golden/said"
    " golden/placed unit/placements_further",
    "routing": "property/routing golden/golden property/simulation unit/engines unit/new_policies"
    " unit/petals_shipped unit/docs unit/beyond property/composed_chains unit/outside_policies"
    " unit/orders property/two_resource property/neighbours golden/said golden/sessions",
    "living": "unit/living property/living golden/said unit/docs golden/sessions",
    "simulation": "unit/records unit/back_off unit/runs property/simulation golden/golden"
    " unit/engines unit/summary property/caches unit/petals_shipped unit/new_policies unit/beyond"
    " unit/outside_policies unit/orders golden/said unit/growing unit/robust unit/steady"
    " golden/sessions",
    "service": "golden/service_models unit/service_models property/service unit/engines unit/runs"
    " property/simulation unit/policy_options golden/golden unit/beyond unit/modes golden/said"
    " unit/growing unit/capacity property/neighbours golden/sessions",
    "offline": "golden/programmes unit/offline_experiments unit/offline_verify"
    " unit/offline_slices unit/offline_backends unit/offline_figures golden/pictures"
    " unit/offline_optimum property/offline_agreement property/offline_bounds unit/forwarding"
    " property/neighbours golden/said unit/offline_answers unit/offline_steps unit/offline_tables",
    "fit": "unit/fit unit/fit_command unit/fits_by_hand golden/said",
    "study": "unit/status unit/told unit/capacity unit/summary unit/runs unit/slices"
    " unit/measures property/sweeps golden/golden unit/policy_options workflow/odd_places unit/door"
    " golden/artefact_sweeps unit/api unit/beyond unit/modes unit/steady unit/theory unit/parts"
    " unit/orders unit/storage unit/growth unit/by_service unit/living golden/said"
    " unit/offline_optimum unit/method_runs",
    "plan": "unit/plan golden/said unit/plan_told unit/plan_later unit/plan_genuine"
    " unit/plan_mutations workflow/plan_page unit/told unit/plan_arms unit/plan_calibrated"
    " unit/plan_changes unit/plan_devices unit/plan_moved unit/plan_read unit/plan_said",
    "figures": "golden/pictures unit/figures unit/offline_figures unit/fit unit/tables_found"
    " unit/beyond unit/orders unit/modes unit/by_service unit/living unit/runs unit/regimes"
    " unit/service_models unit/figures_by_hand",
    "report": "unit/texts unit/measures unit/scorecard unit/status golden/pictures unit/readme"
    " unit/tables_found unit/docs workflow/report property/mutations unit/console unit/by_service"
    " unit/modes unit/findings unit/report_page unit/report_by_hand",
    "commands": "golden/said unit/status unit/door unit/fit_command unit/offline_slices unit/told"
    " unit/policy_options unit/reading workflow/odd_places unit/bad_input unit/api"
    " unit/offline_optimum unit/console unit/beyond unit/testbed unit/testbed_further"
    " unit/testbed_loaded unit/by_service unit/what_is_printed unit/testbed_doors"
    " unit/commands_by_hand",
    "wan": "unit/wan unit/wan_by_frame golden/said",
    "forwarding": "unit/wan unit/forwarding unit/docs",
    "window": "unit/wan unit/docs",
    "speculation": "unit/wan property/frames golden/said unit/docs",
}
LONGEST_S = 200.0  # that a test may take, on a busy machine

SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult, ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}  # fmt: skip
OTHER_NAME = {"min": "max", "max": "min", "any": "all", "all": "any", "minimum": "maximum",
              "maximum": "minimum", "floor": "ceil", "ceil": "floor"}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A file, and the text of a node before and after."""

    path: Path  # below src/bprr
    line: int
    start: int  # byte
    end: int
    before: str
    after: str

    @property
    def room(self) -> str:
        return self.path.parts[0] if len(self.path.parts) > 1 else "commands"

    def of(self, source: bytes) -> bytes:
        return source[: self.start] + self.after.encode() + source[self.end :]

    def __str__(self) -> str:
        shown = (" ".join(text.split())[:150] for text in (self.before, self.after))
        return f"{self.path}:{self.line}\n    - {next(shown)}\n    + {next(shown)}"


def changed(node: ast.AST) -> ast.AST | None:
    """The node with something else in it, if it is of a kind that can be changed."""
    other = copy.deepcopy(node)
    match other:
        case ast.Compare(ops=[operator]) if type(operator) in SWAPPED:
            other.ops = [SWAPPED[type(operator)]()]
        case ast.BinOp(op=operator) if type(operator) in SWAPPED:
            other.op = SWAPPED[type(operator)]()
        case ast.AugAssign(op=operator) if type(operator) in SWAPPED:
            other.op = SWAPPED[type(operator)]()
        case ast.BoolOp(op=operator):
            other.op = SWAPPED[type(operator)]()
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return operand
        case ast.Constant(value=bool(value)):
            other.value = not value
        case ast.Constant(value=int(value)):
            other.value = value + 1
        case ast.Constant(value=float(value)):
            other.value = 2 * value or 1.0
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in OTHER_NAME:
            setattr(other, "id" if isinstance(other, ast.Name) else "attr", OTHER_NAME[name])
        case ast.IfExp() | ast.If():
            other.test = ast.UnaryOp(ast.Not(), other.test)
        case ast.Continue():
            return ast.Break()
        case ast.Expr(value=ast.Call()) | ast.Raise():
            return ast.Pass()
        case _:
            return None
    return other


def meant_for_machines(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes that do something: no annotations, decorators, imports, assertions, parts of texts."""
    for name, value in ast.iter_fields(tree):
        for node in value if isinstance(value, list) else [value]:
            idle = name in ("annotation", "returns", "decorator_list", "type_comment")
            if idle or not isinstance(node, ast.AST):
                continue
            if isinstance(node, ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Assert):
                continue
            if isinstance(node, ast.keyword) and node.arg == "strict":  # an assertion, of zip
                continue
            yield node
            yield from meant_for_machines(node)


def mutants_of(path: Path, source: bytes) -> Iterator[Mutant]:
    """Every change of a file."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node in meant_for_machines(ast.parse(source)):
        other = changed(node)
        if other is None:
            continue
        # Of a statement with a body only its head changes.
        told, new = (node.test, other.test) if isinstance(node, ast.If) else (node, other)
        start = starts[told.lineno - 1] + told.col_offset
        end = starts[told.end_lineno - 1] + told.end_col_offset
        text = ast.unparse(new)
        text = f"({text})" if isinstance(new, ast.expr) and not isinstance(new, ast.Name) else text
        before = source[start:end].decode()
        yield Mutant(path, told.lineno, start, end, before, text)


def all_mutants() -> list[Mutant]:
    """Every change of every room that is tested here."""
    package = ROOT / "src/bprr"
    missing = {path for path, module in NEEDS.items() if find_spec(module) is None}
    paths = sorted(path.relative_to(package) for path in package.rglob("*.py"))
    paths = [path for path in paths if path.as_posix() not in missing]
    found = [m for path in paths for m in mutants_of(path, (package / path).read_bytes())]
    return [mutant for mutant in found if mutant.room in TESTS]


@cache
def texts() -> dict[str, str]:
    """Every test file that can run here, and what stands in it."""
    paths = (path for path in (ROOT / "tests").rglob("test_*.py") if "smoke" not in path.name)
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in sorted(paths)}


def tests_of(mutant: Mutant) -> tuple[set[str], set[str]]:
    """Tests that name a module or run its command, and the others of its room."""
    stem = mutant.path.stem
    named = f"bprr.{'.'.join(mutant.path.with_suffix('').parts)} "
    if mutant.room == "commands":
        named = f'"{stem.replace("_", "-")}"'
    spoken = re.compile(stem.replace("_", "[-_ ]")) if "_" in stem else None  # of a policy
    narrow = {
        test
        for test, text in texts().items()
        if named in text or (spoken is not None and spoken.search(text))
    }
    room = {f"tests/{name.replace('/', '/test_')}.py" for name in TESTS[mutant.room].split()}
    return narrow, room - narrow


def stages_of(mutant: Mutant) -> list[list[str]]:
    """Tests in the order in which they are likely to notice soon; each list is run at once."""
    room = [f"tests/{name.replace('/', '/test_')}.py" for name in TESTS[mutant.room].split()]

    def rank(test: str) -> tuple[int, int, int]:
        return room.index(test) if test in room else len(room), *likely_length(test)

    narrow, others = (sorted(part, key=rank) for part in tests_of(mutant))
    return [stage for stage in (narrow[:1], narrow[1:], others[:2], others[2:]) if stage]


class Notes:
    """What earlier runs found: texts by what they are about, the last of each counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.found: dict[str, str] = dict(map(json.loads, lines))

    def write(self, key: str, value: str) -> None:
        self.found[key] = value
        self.path.parent.mkdir(exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([key, value]) + "\n")


def digest(*contents: str) -> str:
    return hashlib.sha256("\0".join(contents).encode()).hexdigest()[:16]


def likely_length(test: str) -> tuple[int, int]:
    """Rank of a test file by the time that it may take."""
    folders = ("unit", "golden", "property", "workflow")
    return folders.index(Path(test).parent.name), len(texts()[test])


def notes_of(mutant: Mutant) -> tuple[str, str]:
    """A change that is noticed is noted under the first; one that survives some tests the other."""
    source = digest((ROOT / "src/bprr" / mutant.path).read_text(encoding="utf-8"))
    place = f"{mutant.path} {source} {mutant.start}-{mutant.end} {mutant.after}"
    tests = sorted(set().union(*tests_of(mutant)))
    return place, f"{place} {digest(*(f'{test} {texts()[test]}' for test in tests))}"


class Teller(collected.AsItFails):
    """Tells another process which test runs, and which one fails."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        os.write(self.pipe, b"runs\n")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.pytest_collectreport(report)

    def pytest_collectreport(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed:
            os.write(self.pipe, f"{report.nodeid}\n".encode())


def tried(folder: Path, *arguments: str) -> tuple[str, str]:
    """``passed``, ``failed`` and by which test, or ``late``: in a process of its own."""
    told, pipe = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.chdir(folder)
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 1)
        os.dup2(devnull, 2)
        sys.path.insert(0, str(folder / "src"))
        os.environ["PYTHONPATH"] = str(folder / "src")
        options = ["-qx", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments]
        os._exit(int(pytest.main(options, plugins=[Teller(pipe)])))
    os.close(pipe)
    with open(told, "rb", buffering=0) as lines:
        failed = ""
        while select.select([lines], [], [], LONGEST_S)[0]:
            if not (words := lines.read(1 << 16).decode(errors="replace")):
                _, status = os.waitpid(child, 0)
                passed = os.waitstatus_to_exitcode(status) in (0, 5)  # 5: nothing was left to run
                return ("passed", "") if passed else ("failed", failed)
            failed = next((word for word in words.splitlines() if word != "runs"), failed)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "late", ""


def copied(folder: Path) -> Path:
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name)
        else:
            shutil.copy2(ROOT / name, folder / name)
    return folder


FOLDER: Path
COLLECTED: Connection


def start_worker(parent: str) -> None:
    global FOLDER, COLLECTED
    FOLDER = copied(Path(tempfile.mkdtemp(dir=parent)))
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # two changes in one second pass for one
    for module in LOADED:
        importlib.import_module(module)
    COLLECTED, theirs = get_context("fork").Pipe()
    arguments = (FOLDER, sorted(texts()), theirs)
    get_context("fork").Process(target=collected.collect, args=arguments, daemon=True).start()
    theirs.close()
    COLLECTED.recv()


# Tests that failed of a change: whether they pass without any.
SOUND: dict[str, bool] = {}


def outcome(mutant: Mutant, stages: list[list[str]]) -> tuple[Mutant, str]:
    path = FOLDER / "src/bprr" / mutant.path
    source, dates = path.read_bytes(), path.stat()

    def put_back() -> None:
        path.write_bytes(source)
        os.utime(path, ns=(dates.st_atime_ns, dates.st_mtime_ns))

    changed = mutant.of(source)
    if b"compiled" not in source:  # kernels would be compiled anew
        path.write_bytes(changed)
    files = [test for tests in stages for test in tests]
    COLLECTED.send(collected.Asked(path, source, changed, mutant.line, files))
    told = COLLECTED.recv()
    put_back()
    if told.word != "impossible":
        return mutant, told.word
    for tests in stages:
        while True:
            broken = [f"--deselect={test}" for test, sound in SOUND.items() if not sound]
            try:
                path.write_bytes(mutant.of(source))
                word, test = tried(FOLDER, *broken, *tests)
            finally:
                put_back()
            if word == "failed" and test and not is_sound(test):
                continue  # without it
            break
        if word != "passed":
            return mutant, word
    return mutant, "passed"


def is_sound(test: str) -> bool:
    if test not in SOUND:
        COLLECTED.send(test)
        SOUND[test] = COLLECTED.recv()
        if not SOUND[test]:
            print(f"left out, for it fails without a change: {test}", flush=True)
    return SOUND[test]


def interval(successes: int, number: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share, 95 %."""
    share = successes / number
    middle = share + z * z / (2 * number)
    half = z * ((share * (1 - share) + z * z / (4 * number)) / number) ** 0.5
    return (middle - half) / (1 + z * z / number), (middle + half) / (1 + z * z / number)


def main() -> int:
    """Draw changes, try each, and report by room."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--number", type=int, default=140)
    parser.add_argument("--below", default="", help="of this room or file alone")
    parser.add_argument("--at-once", type=int, default=2, help="processes")
    arguments = parser.parse_args()

    known = [m for m in all_mutants() if str(m.path).startswith(arguments.below)]
    chosen = random.Random(arguments.seed).sample(known, min(arguments.number, len(known)))
    print(f"{len(chosen)} of {len(known)} changes, seed {arguments.seed}", flush=True)
    notes = Notes(NOTES)
    rooms: dict[str, list[bool]] = defaultdict(list)

    def counted(mutant: Mutant, word: str) -> None:
        rooms[mutant.room].append(word == "passed")
        if word != "failed":  # an endless loop, or a busy machine
            print(f"{'survives' if word == 'passed' else word} {mutant}", flush=True)

    new = []
    for mutant in chosen:
        words = [notes.found.get(note) for note in notes_of(mutant)]
        word = next(filter(None, words), None)
        if word is None:
            new.append(mutant)
        else:
            counted(mutant, word)
    print(f"{len(new)} of them not yet tried", flush=True)
    with (
        tempfile.TemporaryDirectory() as parent,
        ProcessPoolExecutor(
            arguments.at_once, get_context("spawn"), start_worker, (parent,)
        ) as pool,
    ):
        jobs = [(mutant, stages_of(mutant)) for mutant in new]
        try:
            for done in as_completed([pool.submit(outcome, *job) for job in jobs]):
                mutant, word = done.result()
                noticed, survived = notes_of(mutant)
                notes.write(survived if word == "passed" else noticed, word)
                counted(mutant, word)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            print("interrupted; so far:")
    for room, outcomes in sorted(rooms.items()):
        killed = len(outcomes) - sum(outcomes)
        print(f"{room:<12} {killed:>3} of {len(outcomes):>3} noticed")
    alive = [outcome for outcomes in rooms.values() for outcome in outcomes]
    killed = len(alive) - sum(alive)
    if alive:
        low, high = interval(killed, len(alive))
        print(f"{'all':<12} {killed:>3} of {len(alive):>3} noticed, {killed / len(alive):.1%}"
              f" [{low:.1%}, {high:.1%}]")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
