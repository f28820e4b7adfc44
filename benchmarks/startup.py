"""Work of a fresh process before it can simulate: with compiled kernels cached, and without.

Processor time, which other processes on the machine do not stretch.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from benchmarks.measure import Row, row
from benchmarks.swarms import ROOT

BUDGET_S = 40
REPEATS = 2
TARGET_COLD_S = 20.0

# Every kernel that the main job uses.
SIMULATE = """
from benchmarks.swarms import earth, problem
from bprr.ground.registry import PLACEMENT
from bprr.simulation.engine import simulate
instance = earth(26, workload__requests=20)
for placement, routings in (("cg_bp", ("exact", "ws_rr")), ("petals", ("petals",))):
    for routing in routings:
        simulate(PLACEMENT.build(placement).place(problem(instance)), instance.workload, routing)
"""


def seconds(code: str, cache: str) -> float:
    """Processor time of a fresh process with its own cache of kernels."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPATH": path}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run(tiny: bool) -> Iterator[Row]:
    cold, warm, bare = [], [], []
    # Compiling takes longer than all other tiny parts.
    simulate = "import bprr.placement.cg_bp" if tiny else SIMULATE
    for _ in range(1 if tiny else REPEATS):
        with tempfile.TemporaryDirectory() as cache:
            bare.append(seconds("import bprr.simulation", cache))
            cold.append(seconds(simulate, cache))
            warm.append(seconds(simulate, cache))
    yield row("imports alone", bare, "s")
    yield row("first simulation, kernels cached", warm, "s")
    yield row("first simulation, fresh clone", cold, "s", TARGET_COLD_S)
