"""Mutated inputs over every door: answered, or refused in words.

Commands run in processes forked from this one, which has the libraries loaded. A fault is a
traceback, a hang, too much memory, an unexpected status, or a file that only a shell would make.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tests.campaign.finding import MOST_GB, Finding
from tests.property.test_mutations import GRAPH, SECONDS, TRACE, damaged

__all__ = ["TRIES", "run"]

ROOT = Path(__file__).parents[2]
TRIES = 400
MOST_CPU_S, MOST_S = 30, 600.0  # of a command; the machine may be busy
LOADED = ("commands.main", "study.sweep", "study.account", "offline.solve", "figures.sweep")
CANARY = "executed"  # a file that WORDS would make

BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9)) for n in range(9)
)
SPECIAL = {
    "empty": b"",
    "binary": bytes(range(256)) * 40,
    "a bomb of aliases": BOMB,
    "deep nesting": b"[" * 100_000,
    "a null byte": b"runs: 1\0\n",
    "UTF-16": "runs: 1\n".encode("utf-16"),
}
# What stands in the place of one word or number of a text.
WORDS = (
    *(b"nan", b".inf", b"1e18", b"-1e18", b"1e999", b"9" * 400, b"0", b"-1", b"0.5", b"null"),
    *(b"$(touch executed)", b"`touch executed`", b"'; touch executed; '", b"{config} %s $HOME"),
    *(b"../../../../etc/passwd", b"..", b"/dev/zero", b"!!python/object/apply:os.system [ls]"),
    *(b"a" * 100_000, "ü\u202eß".encode(), b"<script>alert(1)</script>", b"[1, 2]", b"{a: 1}"),
)  # fmt: skip

DOORS: dict[str, tuple[str | bytes, Sequence[Sequence[str]]]] = {
    # file: what is in it, and the commands that read it
    "mine.yaml": (
        b"runs: 1\nsweeps:\n  fig7:\n    axes: {fleet.servers: [10]}\n    topologies: [abovenet]\n"
        b"    methods: [petals, proposed]\n    set: {workload.requests: 3}\n    title: One\n"
        b"methods:\n  petals: {label: P, placement: petals, routing: petals}\n",
        [
            ["check", "{}"],
            ["sweep", "fig7", "abovenet", "--config", "{}", "-o", "out.parquet"],
            ["status", "--config", "{}"],
        ],
    ),
    "scenario.yaml": (
        "config/scenarios/scattered.yaml",
        [
            ["check", "{}"],
            ["simulate", "{}", "--runs", "1", "--set", "workload.requests=3", "-o", "out.parquet"],
            ["solve", "{}", "--requests", "1", "--time-limit", "1"],
            ["capacity", "{}", "--least-requests", "100", "--most-requests", "200"],
        ],
    ),
    "cluster.yaml": ("config/scenarios/clustered.yaml", [["simulate", "{}", "--runs", "1"]]),
    "globe.yaml": (
        "config/scenarios/earth.yaml",
        [
            [
                *("simulate", "{}", "--runs", "1", "--set", "fleet.servers=20"),
                *("--set", "network.nodes=40", "--set", "workload.requests=3"),
            ]
        ],
    ),
    "devices.yaml": (
        b"mine: {tau_ms: 40, prefill_ms: 3, prefill_ms_per_token: 0.1, memory_gb: 8,"
        b" forward_rps: 10, network_rps: 1000}\n",
        [["simulate", "scattered", "--runs", "1", "--devices", "{}", "--set", "fleet.rest=mine"]],
    ),
    "models.yaml": (
        b"mine: {blocks: 24, d_model: 2048, max_sequence_tokens: 2048, block_gb: 1}\n",
        [
            [
                "simulate",
                "scattered",
                "--runs",
                "1",
                "--models",
                "{}",
                "--set",
                "model=mine",
                "--set",
                "fleet.scale_profiles=true",
            ]
        ],
    ),
    "placement.txt": (
        b"".join(b"%d:%d\n" % (first, min(first + 4, 70)) for first in range(0, 70, 4)),
        [
            [
                "simulate",
                "scattered",
                "--runs",
                "1",
                "--set",
                "fleet.servers=18",
                "--placement",
                "{}",
            ]
        ],
    ),
    "small.graph": (
        GRAPH,
        [
            [
                *("simulate", "scattered", "--runs", "1", "--set", "fleet.servers=2"),
                *("--set", "network={{kind: repetita, file: {}}}"),
            ]
        ],
    ),
    "trace.csv": (
        TRACE,
        [["simulate", "scattered", "--runs", "1", "--set", "workload={{kind: trace, file: {}}}"]],
    ),
    "seconds.csv": (
        SECONDS,
        [["simulate", "scattered", "--runs", "1", "--set", "workload={{kind: trace, file: {}}}"]],
    ),
    "config.json": (
        "tests/cases/example/Qwen3-32B/config.json",
        [["model", "{}"], ["model", "{}", "-o", "made.yaml"]],
    ),
    "ring.yaml": ("config/swarms/ring.yaml", [["explain", "{}"]]),
    "my/claims.yaml": ("claims.yaml", [["scorecard", "--claims", "{}", "-o", "scorecard.csv"]]),
    "my/discrepancies.yaml": (
        "discrepancies.yaml",
        [["scorecard", "--discrepancies", "{}", "-o", "scorecard.csv"]],
    ),
    "cases.json": ("tests/golden/cases.json", [["verify", "golden", "{}"]]),
    "manifest.json": (
        b'{"files": {"a.csv": "00"}, "packages": {"bprr": "1"}, "source": "ab"}',
        [["manifest", "--compare", "{}", "{}"]],
    ),
    "steps.csv": (
        b"topology,x,allocation_delays,order,step,share,ratio,runs\n"
        b"abovenet,0.5,published,one,placement,-0.25,0.75,50\n",
        [["plot", "decomposition", "{}", "-o", "out.pdf"]],
    ),
    "trace/manifest.json": (
        "data/traces/cpu-amd-epyc/manifest.json",
        [["fit", "trace", "-o", "fitted"]],
    ),
    "testbed/requests.csv": (
        "data/traces/testbed/requests.csv",
        [["testbed", "report", "testbed", "-o", "out/testbed"]],
    ),
    "testbed.yaml": (
        "config/testbed/smoke.yaml",
        [["testbed", "run", "{}", "-o", "measured"]],
    ),
    "out.parquet": (
        b"",
        [["provenance", "{}"], ["plot", "sweep", "{}", "--config", "whole.yaml", "-o", "out.pdf"]],
    ),
}
BESIDE = {  # what these files are read with
    "trace/manifest.json": "data/traces/cpu-amd-epyc/trace.csv",
    "testbed/requests.csv": "data/traces/testbed/manifest.json",
}


def run(tries: int, chance: random.Random, folder: Path) -> Iterator[Finding]:
    """So many mutated inputs, over all doors in turn."""
    for module in LOADED:
        importlib.import_module(f"bprr.{module}")
    for name in ("config", "data", "claims.yaml", "discrepancies.yaml"):
        (folder / name).symlink_to(ROOT / name)
    made = folder / "table.parquet"
    (folder / "whole.yaml").write_bytes(bytes(DOORS["mine.yaml"][0]))
    words = ("sweep", "fig7", "abovenet", "--config", "whole.yaml", "-o", made.name)
    begun = forked(words, folder)
    yield replace(begun, counts=False)
    if begun.fault:
        return
    doors = list(DOORS.items())
    for number in range(tries):
        name, (source, commands) = doors[number % len(doors)]
        content = made.read_bytes() if name == "out.parquet" else source
        if isinstance(content, str):
            content = (ROOT / content).read_bytes()
        if name == "cases.json":
            content = first_case(content)
        what, mutated = mutation(content, chance)
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(mutated)
        if name in BESIDE:
            shutil.copy(ROOT / BESIDE[name], path.parent)
        command = [word.format(name) for word in chance.choice(commands)]
        found = forked(command, folder)
        fault = found.fault
        if (folder / CANARY).exists():
            (folder / CANARY).unlink()
            fault = "a value was executed"
        yield Finding(f"{number} {name}, {what}: bprr {found.what}", fault, found.seconds, found.gb)


def first_case(content: bytes) -> bytes:
    """File of reference cases with the first one alone."""
    cases = json.loads(content)
    return json.dumps({**cases, "cases": cases["cases"][:1]}, indent=1).encode()


def mutation(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    """What was done to a content, and what it is now."""
    ways = ("damage", "damage", "word", "word", "special", "frame")
    way = chance.choice(ways)
    if way == "damage":
        return "damaged", damaged(content, chance)
    if way == "special":
        name = chance.choice(list(SPECIAL))
        return name, SPECIAL[name]
    lines = content.split(b"\n")
    if way == "frame":
        name, changed = chance.choice(
            (
                ("BOM", b"\xef\xbb\xbf" + content),
                ("wrong separators", content.replace(b",", b";").replace(b": ", b"=")),
                ("CRLF", content.replace(b"\n", b"\r\n")),
                ("twice", content + b"\n" + content),
                ("tabs", content.replace(b"  ", b"\t")),
                ("no last line", b"\n".join(lines[: len(lines) // 2])),
            )
        )
        return name, changed
    spots = [n for n, line in enumerate(lines) if line.strip()] or [0]
    spot = chance.choice(spots)
    word = chance.choice(WORDS)
    for mark in (b": ", b",", b":"):
        if mark in lines[spot]:
            pieces = lines[spot].split(mark)
            pieces[chance.randrange(len(pieces))] = word
            lines[spot] = mark.join(pieces)
            break
    else:
        lines[spot] = word
    return f"{word[:24].decode(errors='replace')!r} in line {spot + 1}", b"\n".join(lines)


def forked(words: Sequence[str], folder: Path) -> Finding:
    """A command in a process of its own; ``what`` are its words and its status."""
    output = folder / "output.txt"
    begin = time.monotonic()
    child = os.fork()
    if child == 0:
        _command(words, folder, output)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, MOST_S)
    try:
        _, status, used = os.wait4(child, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    seconds, gb = time.monotonic() - begin, used.ru_maxrss * 1024 / 1e9
    worked_s = used.ru_utime + used.ru_stime
    code, text = os.waitstatus_to_exitcode(status), output.read_text("utf-8", errors="replace")
    fault = ""
    if code == -signal.SIGXCPU or (code == -signal.SIGKILL and seconds >= MOST_S):
        fault = f"still running after {min(MOST_CPU_S, MOST_S):g} s"
    elif "Traceback" in text:
        fault = "traceback: " + text.strip().splitlines()[-1]
    elif code not in (0, 1, 2, 3):  # 3: a testbed that cannot run here
        fault = f"status {code}: {text.strip()[-300:]}"
    elif gb > MOST_GB:
        fault = f"{gb:.1f} GB"
    shown = " ".join(words) if len(" ".join(words)) < 200 else words[0]
    return Finding(f"{shown} (status {code})", fault, worked_s, gb)


def _command(words: Sequence[str], folder: Path, output: Path) -> None:
    code = 70
    try:
        limit = int(MOST_GB * 1e9) + 10**9  # of what may be written to: more is no memory error
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        used_s = int(time.process_time()) + MOST_CPU_S  # what was used before the fork counts
        resource.setrlimit(resource.RLIMIT_CPU, (used_s, used_s + 5))
        os.chdir(folder)
        file = output.open("w", encoding="utf-8", errors="backslashreplace")
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
        sys.stdout = sys.stderr = file
        from bprr.commands.main import main

        try:
            code = main(list(words))
        except SystemExit as end:  # by argparse
            code = end.code if isinstance(end.code, int) else 0
        except BaseException:
            traceback.print_exc()
        file.flush()
    finally:
        os._exit(code)
