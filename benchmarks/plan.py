"""A plan of 12, 200 and 2,000 servers, from the command to the files: processor time.

A fresh process each, its kernels compiled before; other processes on the machine do not stretch it.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.measure import Row, row
from benchmarks.swarms import ROOT, SEED

BUDGET_S = 60
TARGETS_S = {12: 3.0, 200: 20.0, 2000: 120.0}
MODELS = {12: "meta-llama/Llama-3.1-70B", 200: "meta-llama/Llama-3.1-405B"}
GPUS = (
    ("NVIDIA GeForce RTX 4090", 24), ("NVIDIA GeForce RTX 3090", 24),
    ("NVIDIA A100-SXM4-80GB", 80), ("NVIDIA L4", 24), ("Tesla T4", 16), ("NVIDIA RTX A6000", 48),
)  # fmt: skip
PLACES = (
    "Paris", "London", "Frankfurt", "New York", "Chicago", "Dallas", "Seattle", "San Francisco",
    "Tokyo", "Seoul", "Singapore", "Sydney", "Mumbai", "Dubai", "Madrid", "Milan", "Warsaw",
    "Stockholm", "Toronto", "Sao Paulo", "Johannesburg", "Dublin", "Amsterdam", "Zurich",
)  # fmt: skip


def planned_s(servers: int, folder: Path) -> float:
    """Processor time of one plan."""
    rng = np.random.default_rng(SEED)
    gpus, places = rng.integers(len(GPUS), size=servers), rng.integers(len(PLACES), size=servers)
    lines = [
        f"s{i},{GPUS[gpu][0]},{GPUS[gpu][1]},{PLACES[place]}"
        for i, (gpu, place) in enumerate(zip(gpus, places, strict=True))
    ]
    path = folder / "servers.csv"
    path.write_text("\n".join(["name,gpu,memory_gb,place", *lines]), encoding="utf-8")
    model = MODELS[12 if servers <= 12 else 200]
    load = ("--clients", "Paris;New York", "--rate", str(servers / 400))
    words = ("plan", str(path), "--model", model, "--quant", "nf4", *load, "-o", str(folder / "p"))
    places_of_code = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(places_of_code)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "bprr", *words], env=env, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run(tiny: bool) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        planned_s(12, folder)  # compiles the kernels
        for servers, target_s in TARGETS_S.items():
            if tiny and servers > 12:
                continue
            yield row(f"plan, {servers:,} servers", planned_s(servers, folder), "s", target_s)
