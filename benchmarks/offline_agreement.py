"""Enumeration = the paper's MILP = the strong formulation, on random small instances.

    PYTHONPATH=tests/property python -m benchmarks.offline_agreement --instances 500

Every instance is solved by both formulations with every installed solver; a second set of larger
instances, which the paper's MILP would be slow on, by the strong and the relaxed formulation.
Exits with status 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from pathlib import Path
from time import perf_counter

import numpy as np
from brute_force import enumerated
from small_instances import random_instance

from bprr.offline.backends.base import SolverSettings
from bprr.offline.backends.solve import installed_solvers
from bprr.offline.instance import OfflineInstance
from bprr.offline.solve import solve_offline

TOLERANCE = 1e-6  # relative
SMALL = {"most_blocks": 5, "most_servers": 3, "most_requests": 2}


def agrees(instance: OfflineInstance, formulation: str, solver: str, expected: float) -> bool:
    settings = SolverSettings(solver, time_limit_s=120, threads=1)
    result = solve_offline(instance, formulation, settings)
    if math.isinf(expected):
        return result.status == "infeasible"
    close = abs(result.objective_ms - expected) <= TOLERANCE * expected
    return result.status == "optimal" and result.verified and close


def run(instances: int, larger: int) -> dict[str, object]:
    solvers = installed_solvers()
    checks: Counter[str] = Counter()
    mismatches: list[str] = []
    infeasible = 0
    started = perf_counter()

    def compare(
        kind: str, seed: int, instance: OfflineInstance, pairs: list[tuple[str, str]]
    ) -> None:
        nonlocal infeasible
        known: dict[bool, float] = {}
        for formulation, solver in pairs:
            early = formulation == "relaxed"
            if early not in known:
                known[early] = enumerated(instance, early)
                infeasible += math.isinf(known[early])
            checks[f"{formulation} on {solver}"] += 1
            if not agrees(instance, formulation, solver, known[early]):
                mismatches.append(f"{kind} {seed}: {formulation} on {solver}")
                print(mismatches[-1], flush=True)

    both = [(formulation, solver) for formulation in ("paper", "strong") for solver in solvers]
    for seed in range(instances):
        compare("small", seed, random_instance(np.random.default_rng([3, seed]), **SMALL), both)
        if (seed + 1) % 50 == 0:
            print(f"{seed + 1} of {instances}, {perf_counter() - started:.0f} s", flush=True)
    for seed in range(larger):
        pairs = [("strong", solvers[seed % len(solvers)])]
        compare("larger", seed, random_instance(np.random.default_rng([4, seed])), pairs)
        instance = random_instance(np.random.default_rng([5, seed]), **SMALL)
        compare("relaxed", seed, instance, [("relaxed", solvers[seed % len(solvers)])])
    return {
        "instances": instances,
        "larger_instances": larger,
        "infeasible": infeasible,
        "checks": dict(checks),
        "mismatches": mismatches,
        "seconds": perf_counter() - started,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=500)
    parser.add_argument("--larger", type=int, default=500)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/agreement.json"))
    arguments = parser.parse_args()
    result = run(arguments.instances, arguments.larger)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    return 1 if result["mismatches"] else 0


if __name__ == "__main__":
    sys.exit(main())
