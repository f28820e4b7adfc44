"""Tests that are collected once, and run in forks in which a function has other code.

So a change costs the tests that it needs, without imports and collecting. It is possible for what
stands in the body of a function that is not compiled and has not run before the first test.
"""

from __future__ import annotations

import ast
import functools
import gc
import inspect
import json
import os
import re
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any, NamedTuple

import pytest
from hypothesis import settings

COMPUTES_S = 60  # a test at most
STUCK_S = 200.0  # without a word, on a busy machine
CANNOT_BE_PUT = 3  # exit status
KERNELS = "tests/golden/test_golden.py"  # runs most of them
FOR_NUMBA = {"compiled", "overload"}  # decorators of what is not run as Python
STARTS_PROCESSES = {subprocess.Popen.__init__.__code__, BaseProcess.start.__code__}
Tracer = Callable[[FrameType, str, Any], Any]


class Asked(NamedTuple):
    """A change of a file, and the tests that may notice it, those that are likely to come first."""

    path: Path
    source: bytes
    changed: bytes
    line: int
    files: Sequence[str]


class Told(NamedTuple):
    """``passed``, ``failed`` and by which test, ``late``; or ``impossible``: to be tried anew."""

    word: str
    test: str = ""


def scope_of(source: bytes, line: int) -> list[ast.FunctionDef | ast.ClassDef]:
    """Functions and classes in whose bodies a line is, the outermost first."""
    nodes = [
        n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.ClassDef)
    ]
    around = [n for n in nodes if n.body[0].lineno <= line <= (n.end_lineno or 0)]
    return sorted(around, key=lambda node: node.lineno)


def is_python(scope: Sequence[ast.AST]) -> bool:
    """Whether something in a scope runs each time it is called."""
    functions = [node for node in scope if isinstance(node, ast.FunctionDef)]
    names = {
        name.id if isinstance(name, ast.Name) else name.attr
        for function in functions
        for decorator in function.decorator_list
        for name in ast.walk(decorator)
        if isinstance(name, ast.Name | ast.Attribute)
    }
    return bool(functions) and not names & FOR_NUMBA


def codes_of(path: Path, source: bytes, changed: bytes) -> dict[CodeType, CodeType]:
    """The code of functions that differ, before and after; nothing if they do not correspond."""

    def pairs(before: CodeType, after: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
        yield before, after
        inner = [[c for c in code.co_consts if isinstance(c, CodeType)] for code in (before, after)]
        names = [[code.co_name for code in codes] for codes in inner]
        if names[0] == names[1]:
            for pair in zip(*inner, strict=True):
                yield from pairs(*pair)

    codes = [compile(text, path, "exec", dont_inherit=True) for text in (source, changed)]
    return {
        before: after
        for before, after in pairs(codes[0], codes[1])
        if before != after and before.co_flags & inspect.CO_OPTIMIZED  # of a function
    }


def used_s() -> float:
    """Time that this process and those that it waited for have computed."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(each)[:2]) for each in who)


class Recorder:
    """Which functions of the package are called: by a test itself, and by what others share."""

    def __init__(self, numbers: dict[CodeType, int], cached: set[CodeType]) -> None:
        self.numbers = numbers
        self.cached = cached
        self.own: set[int] = set()
        self.shared: set[int] = set()
        self.depth = 0  # above 0 in what is computed for several tests
        self.processes = False

    def note(self, frame: FrameType, event: str, _: Any) -> Tracer | None:
        if event != "call":
            self.depth -= event == "return"
            return self.note
        if (number := self.numbers.get(frame.f_code)) is not None:
            (self.shared if self.depth else self.own).add(number)
            if frame.f_code in self.cached:
                self.depth += 1
                frame.f_trace_lines = False
                return self.note
        elif frame.f_code in STARTS_PROCESSES:
            self.started_process()
        return None

    def started_process(self) -> None:
        self.processes = True


class AsItFails:
    """Hypothesis looks for no simpler example of a failure, and for no second one."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        usual = settings.get_profile("default")
        phases = [phase for phase in usual.phases if phase.name in ("explicit", "generate")]
        settings.register_profile("as it fails", usual, phases=phases, report_multiple_bugs=False)
        settings.load_profile("as it fails")


class Plugin(AsItFails):
    """Runs, instead of all tests, those that are asked for through a pipe."""

    def __init__(self, pipe: Connection, package: Path) -> None:
        self.pipe = pipe
        self.package = str(package)
        self.ran: set[CodeType] = set()  # before the first test
        self.failed = ""
        self.seconds: dict[str, float] = {}
        self.recorder: Recorder | None = None
        self.called: dict[str, set[int]] = {}  # by tests: which functions, if nothing else
        self.shared: set[int] = set()  # functions that serve several tests
        sys.settrace(self.note)

    def note(self, frame: FrameType, event: str, _: Any) -> None:
        if frame.f_code.co_filename.startswith(self.package):
            self.ran.add(frame.f_code)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed = report.nodeid if report.failed else self.failed

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_setup(self) -> Iterator[None]:
        with self.recording(shared=True):
            yield

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self) -> Iterator[None]:
        with self.recording(shared=False):
            yield

    @contextmanager
    def recording(self, *, shared: bool) -> Iterator[None]:
        """What fixtures and cached functions call serves several tests: it is of none alone."""
        if self.recorder is not None:
            self.recorder.depth = int(shared)
            os.register_at_fork(before=self.recorder.started_process)
            threading.settrace(self.recorder.note)
            sys.settrace(self.recorder.note)
        try:
            yield
        finally:
            threading.settrace(None)  # type: ignore[arg-type]
            sys.settrace(None)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        sys.settrace(None)
        self.items: dict[str, list[pytest.Item]] = {}
        self.words: dict[str, set[str]] = {}
        self.sound: dict[str, bool] = {}
        for item in session.items:
            self.items.setdefault(item.nodeid.partition("::")[0], []).append(item)
            function = getattr(item, "function", None)
            text = inspect.getsource(function) if function else ""
            self.words[item.nodeid] = set(re.findall(r"\w+", text))
        self.warm_up()
        self.functions: dict[CodeType, list[FunctionType]] = {}
        self.caches: list[Any] = []
        for thing in gc.get_objects():
            if type(thing) is FunctionType and thing.__code__.co_filename.startswith(self.package):
                self.functions.setdefault(thing.__code__, []).append(thing)
            elif type(thing) is functools._lru_cache_wrapper:
                self.caches.append(thing)
        self.numbers = {code: number for number, code in enumerate(self.functions)}
        wrapped = (getattr(cache, "__wrapped__", None) for cache in self.caches)
        self.cached = {function.__code__ for function in wrapped if type(function) is FunctionType}
        gc.freeze()  # forks share what is never looked at
        self.pipe.send(len(session.items))
        while True:
            try:
                asked = self.pipe.recv()
            except EOFError:
                return True
            self.pipe.send(self.is_sound(asked) if isinstance(asked, str) else self.answer(asked))

    def warm_up(self) -> None:
        """Load compiled kernels once for all forks."""
        for item in self.items[KERNELS]:
            item.ihook.pytest_runtest_protocol(item=item, nextitem=None)

    def answer(self, asked: Asked) -> Told:
        scope = scope_of(asked.source, asked.line)
        codes = codes_of(asked.path, asked.source, asked.changed)
        known = codes.keys() & self.functions.keys()
        if not is_python(scope) or not known or codes.keys() & self.ran:
            return Told("impossible")
        items = self.in_order({asked.path.stem, *(node.name for node in scope)}, asked.files)
        items = [item for item in items if self.may_notice(item, known)]
        while True:
            told = self.tried(items, {code: codes[code] for code in known})
            if told.word != "failed" or self.is_sound(told.test):
                return told
            names = [item.nodeid for item in items]
            items = items[names.index(told.test) + 1 :]

    def is_sound(self, test: str) -> bool:
        """Whether a test passes without a change; so does a file that could be collected."""
        if test not in self.sound:
            items = self.items.get(test.partition("::")[0], [])
            alone = [item for item in items if item.nodeid == test]
            self.sound[test] = bool(items) and self.tried(alone, {}).word == "passed"
        return self.sound[test]

    def in_order(self, names: set[str], files: Sequence[str]) -> list[pytest.Item]:
        """Tests that name what is changed as few others do; then by file, the short ones first."""
        items = [item for file in files for item in self.items.get(file, ())]
        rarity = {name: 1 / max(1, sum(name in w for w in self.words.values())) for name in names}

        def rank(item: pytest.Item) -> tuple[float, int, float]:
            named = sum(rarity[name] for name in names & self.words[item.nodeid])
            file = item.nodeid.partition("::")[0]
            return -named, files.index(file), self.seconds.get(item.nodeid, 0.0)

        return sorted(items, key=rank)

    def may_notice(self, item: pytest.Item, codes: Iterable[CodeType]) -> bool:
        """Not if it fails as it is, or is known to call none of these functions."""
        numbers = {self.numbers[code] for code in codes}
        called = self.called.get(item.nodeid)
        calls = called is None or bool(numbers & (called | self.shared))
        return calls and self.sound.get(item.nodeid, True)

    def tried(self, items: Sequence[pytest.Item], codes: dict[CodeType, CodeType]) -> Told:
        told, pipe = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setsid()
                self.put(codes)
            except ValueError:  # `super()` is used by one of both codes alone
                os._exit(CANNOT_BE_PUT)
            try:
                self.run(items, pipe, codes)
            finally:
                os._exit(0)
        os.close(pipe)
        word, test = "passed", ""
        with open(told, "rb", buffering=0) as lines:
            rest = b""
            while select.select([lines], [], [], STUCK_S)[0]:
                if not (read := lines.read(1 << 16)):
                    _, status = os.waitpid(child, 0)
                    if os.waitstatus_to_exitcode(status) == CANNOT_BE_PUT:
                        return Told("impossible")
                    return Told("late" if status else word, test)
                *whole, rest = (rest + read).split(b"\n")
                for line in whole:
                    record = json.loads(line)
                    if isinstance(record, str):
                        word, test = "failed", record
                    else:
                        self.learn(*record)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return Told("late")

    def put(self, codes: dict[CodeType, CodeType]) -> None:
        """Give functions their new code and forget what was computed."""
        for before, after in codes.items():
            for function in self.functions.get(before, ()):
                function.__code__ = after
        for cache in self.caches:
            cache.cache_clear()

    def learn(self, test: str, seconds: float, called: list[int] | None, shared: list[int]) -> None:
        self.seconds[test] = seconds
        self.shared.update(shared)
        if called is not None:
            self.called[test] = set(called)

    def run(self, items: Sequence[pytest.Item], pipe: int, codes: Iterable[CodeType]) -> None:
        changed = {self.numbers[code] for code in codes}
        for item, following in zip(items, [*items[1:], None], strict=True):
            start, self.failed = used_s(), ""
            limit = int(time.process_time()) + COMPUTES_S
            resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
            self.recorder = (
                None if item.nodeid in self.called else Recorder(self.numbers, self.cached)
            )
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            called, shared = None, []
            if self.recorder is not None:
                shared = sorted(self.recorder.shared)
                as_ever = not changed & (self.recorder.own | self.recorder.shared)
                if as_ever and not self.recorder.processes:
                    called = sorted(self.recorder.own)
            record = self.failed or (item.nodeid, used_s() - start, called, shared)
            os.write(pipe, json.dumps(record).encode() + b"\n")
            if self.failed:
                return


def collect(folder: Path, files: Sequence[str], pipe: Connection) -> None:
    """Collect the tests of these files in a folder, and run what is asked for through a pipe."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.dup2(devnull, 2)
    os.chdir(folder)
    sys.path.insert(0, str(folder / "src"))
    os.environ["PYTHONPATH"] = str(folder / "src")
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={folder}.tests"]
    pytest.main([*options, *files], plugins=[Plugin(pipe, folder / "src/bprr")])
