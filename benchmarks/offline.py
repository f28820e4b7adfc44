"""Time to a proven optimum, per solver: ``python -m benchmarks.offline``.

Every case is solved by the strong formulation on HiGHS and on CBC with two threads. The worst
time of a group of cases is reported beside its target; a case that is not proven within its
target's time counts with the time it took.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from bprr.offline import OfflineInstance, OfflineResult, SolverSettings, solve_offline
from bprr.offline.experiments import shared_out
from bprr.offline.reference import cluster_instance, uniform_instance
from bprr.scenario.draw import Catalogue
from bprr.settings.configuration import load_devices, load_models

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "offline.json"
KNOWN_MS = {1: 508.55, 2: 1017.11, 3: 1525.66, 5: 2593.24, 8: 4186.21}
SOLVERS = ("highs", "cbc")
LIMIT_S = 60.0

Record = dict[str, object]


def catalogue() -> Catalogue:
    return Catalogue(
        load_models([ROOT / "data/published/models.yaml"]),
        load_devices([ROOT / "data/published/devices.yaml"]),
        ROOT / "data/topologies",
    )


def solve(instance: OfflineInstance, solver: str) -> OfflineResult:
    return solve_offline(instance, "strong", SolverSettings(solver, LIMIT_S, threads=2))


def processor_time_s() -> float:
    """Processor time of this process and of the solvers it started (s)."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in usage)


def group(
    name: str, solver: str, instances: Iterable[OfflineInstance], target_s: float
) -> list[Record]:
    """Worst time and worst gap of a group of cases."""
    results, processor_s = [], []
    for instance in instances:
        before = processor_time_s()
        results.append(solve(instance, solver))
        processor_s.append(processor_time_s() - before)
    assert all(result.verified for result in results)
    seconds = [result.seconds for result in results]
    label = f"{name}, {len(results)} cases, {solver}"
    return [
        record(f"{label}: slowest", max(seconds), "s", f"<= {target_s:g}"),
        # What the slowest would take on a machine that does nothing else, at one thread.
        record(f"{label}: most processor time", max(processor_s), "s", ""),
        record(f"{label}: median", float(np.median(seconds)), "s", ""),
        record(f"{label}: worst gap", 100 * max(result.gap for result in results), "%", "0"),
    ]


def record(name: str, value: float, unit: str, target: str) -> Record:
    return {"name": name, "value": value, "unit": unit, "target": target}


def known_values(solver: str, known: Catalogue) -> list[Record]:
    """Optima of the nine clustered servers, which are known."""
    found = {load: solve(cluster_instance(known, (load,)), solver) for load in KNOWN_MS}
    return [
        record(
            f"9 servers in classes, R = {load}, optimum, {solver}",
            round(result.objective_ms, 2),
            "ms",
            f"{KNOWN_MS[load]:g}",
        )
        for load, result in found.items()
    ]


def nine_in_classes(solver: str, known: Catalogue) -> list[Record]:
    cases = [
        cluster_instance(known, shared_out(load, clients))
        for clients in (1, 2, 3)
        for load in range(clients, 9)
    ]
    return group("9 servers in classes, R <= 8, up to 3 clients", solver, cases, 2)


def nine_all_different(solver: str, known: Catalogue) -> list[Record]:
    def cases(clients: int) -> list[OfflineInstance]:
        return [
            uniform_instance(known, shared_out(load, clients), np.random.default_rng(draw))
            for draw in range(3)
            for load in (3, 5, 8)
        ]

    one = group("9 servers all different, 1 client", solver, cases(1), 10)
    return one + group("9 servers all different, 3 clients", solver, cases(3), 60)


def many_in_classes(solver: str, known: Catalogue) -> list[Record]:
    cases = [cluster_instance(known, (load,), 21, 5) for load in range(1, 21)]
    return group("26 servers in classes, R <= 20", solver, cases, 10)


def many_all_different(solver: str, known: Catalogue) -> list[Record]:
    records = []
    target = {"cbc": "<= 1 in 60 s", "highs": "<= 2.5 in 60 s"}[solver]
    for draw in range(2):
        instance = uniform_instance(known, (20,), np.random.default_rng(draw), 21, 5)
        result = solve(instance, solver)
        label = f"26 servers all different, R = 20, draw {draw}, {solver}"
        records += [
            record(f"{label}: gap", 100 * result.gap, "%", target),
            record(f"{label}: time", result.seconds, "s", "<= 60"),
            record(f"{label}: objective", result.objective_ms, "ms", ""),
        ]
    return records


GROUPS: tuple[Callable[[str, Catalogue], list[Record]], ...] = (
    known_values,
    nine_in_classes,
    nine_all_different,
    many_in_classes,
    many_all_different,
)


def run() -> list[Record]:
    """All groups on every solver; also written to ``benchmarks/results/offline.json``."""
    known = catalogue()
    solve(cluster_instance(known, (3,)), "highs")  # compiles the greedy placement
    records: list[Record] = []
    for solver in SOLVERS:
        for measure in GROUPS:
            found = measure(solver, known)
            records += found
            for row in found:
                print(
                    f"{row['name']:<76} {row['value']:>12.6g} {row['unit']:<3} {row['target']}",
                    flush=True,
                )
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(records, indent=2) + "\n")
    return records


if __name__ == "__main__":
    run()
