"""The table of a sweep, row by row: simulations, runs without a placement, rejected requests."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bprr.ground.errors import InfeasibleError
from bprr.scenario.workload import Workload
from bprr.study import sweep as module
from bprr.study.sweep import run_sweep, simulate_point, swept

WORKLOAD = Workload(
    np.array([0.0, 5.0, 9.0]), np.array([0, 1, 0]), np.array([4, 5, 6]), np.array([10, 12, 13])
)
LONG = Workload(np.array([7.0, 8.0]), np.array([1, 0]), np.array([99, 98]), np.array([50, 51]))
DELAYS = {"none": {"m": 0.0, "n": 1.0}, "said": {"m": 60.0, "n": 70.0}}


class Runner:
    """In run 0 no request is rejected; in run 1 the second one has no room with m."""

    asked: list

    def __init__(self, instance):
        self.run_number = instance.run

    def run(self, method, allocation_ms, served):
        self.asked.append((self.run_number, method, allocation_ms))
        if served is not None:
            served(3)
        if method.startswith("n") and self.run_number == 0:
            raise InfeasibleError("GPU memory", "1 GB")
        kept = self.served(None) if method.startswith("m") else np.ones(3, dtype=bool)
        load = WORKLOAD.part(kept)
        columns = {
            "request": np.arange(len(load)), "client": load.client, "arrival_ms": load.arrival_ms,
            "input_tokens": load.input_tokens, "output_tokens": load.output_tokens,
            "per_token_ms": load.arrival_ms + allocation_ms,
        }  # fmt: skip

        class Records(SimpleNamespace):
            def __len__(self):
                return len(load)

        outcome = {"max_concurrent": 2, "engine": "compiled"}
        records = Records(columns=lambda: columns, outcome=outcome, of=method)
        details = {"load": 4} if method.startswith("m") else {}
        return records, SimpleNamespace(details=details, of=method)

    def served(self, placement):
        return np.array([True, self.run_number == 0, True])

    def capacities(self, method, placement, allocation_ms):
        assert method == placement.of
        return {"capacity_per_s": allocation_ms + 0.5} if method.startswith("n") else {}


@pytest.fixture
def point(monkeypatch):
    def drawn(scenario, profiles, seed, run):
        assert (scenario, profiles, seed) == ("scenario", "profiles", 7)
        return SimpleNamespace(
            swarm=SimpleNamespace(servers=3 + run), fast_share=0.25, rate_per_s=0.5, run=run,
            workload=WORKLOAD, rejected=LONG if run else None,
        )  # fmt: skip

    monkeypatch.setattr(module, "draw", drawn)
    monkeypatch.setattr(module, "MethodRunner", Runner)
    monkeypatch.setattr(Runner, "asked", [], raising=False)
    variants = {name: {"m": f"m {name}", "n": f"n {name}"} for name in DELAYS}
    return SimpleNamespace(
        x=1.5, scenario="scenario", methods={"m": "?", "n": "?"}, delays=DELAYS, variants=variants
    )


def expected_rows():
    """In the order of runs, delays, methods; what is rejected after what is not."""
    for run in (0, 1):
        for delays, allocation in DELAYS.items():
            for name, load, capacity in (("m", 4.0, None), ("n", None, allocation["n"] + 0.5)):
                shared = {
                    "x": 1.5, "servers": 3 + run, "eta": 0.25, "rate_per_s": 0.5,
                    "allocation_delays": delays, "method": name, "run": run, "requests": 3,
                }  # fmt: skip
                if run == 0 and name == "n":
                    # The mean of 35 / 3 tokens, rounded, says how long its requests are.
                    status = str(InfeasibleError("GPU memory", "1 GB"))
                    yield {**shared, "output_tokens": 12, "status": status}
                    continue
                for request in (0, 1, 2):
                    if run == 1 and name == "m" and request == 1:
                        continue
                    yield {
                        **shared, "request": request,
                        **of(WORKLOAD, request), "status": "ok", "engine": "compiled",
                        "per_token_ms": WORKLOAD.arrival_ms[request] + allocation[name],
                        "max_concurrent": 2, "design_load": load, "capacity_per_s": capacity,
                    }  # fmt: skip
                for request in (0, 1) if run else ():
                    yield {
                        **shared, "request": 3 + request, **of(LONG, request), "status": "rejected",
                    }  # fmt: skip
                if run == 1 and name == "m":
                    yield {
                        **shared, "request": 1, **of(WORKLOAD, 1), "status": "rejected: no room",
                    }  # fmt: skip


def of(load, request):
    names = ("client", "input_tokens", "output_tokens", "arrival_ms")
    return {name: getattr(load, name)[request] for name in names}


DRAWN = ("x", "servers", "eta", "rate_per_s", "output_tokens", "allocation_delays", "method")
ASKED = ("run", "requests", "request", "client", "input_tokens", "arrival_ms", "per_token_ms")
FOUND = ("max_concurrent", "design_load", "status", "engine", "capacity_per_s")
ORDER = [*DRAWN, *ASKED, *FOUND]


def same(table):
    assert table.columns.tolist() == ORDER
    asked = pd.DataFrame(list(expected_rows()))[ORDER].astype(object)
    found = table.astype(object)
    rows = found.where(found.notna(), None).to_dict("records")
    assert rows == asked.where(asked.notna(), None).to_dict("records")


def test_rows_of_a_point(point):
    told, seen = [], []
    table = simulate_point(
        point, "profiles", 7, 2, told.append,
        lambda instance, name, records, placement: seen.append(
            (instance.run, name, records.of, placement.of)
        ),
    )  # fmt: skip
    same(table)
    assert not [name for name in table if table[name].dtype == "category"]
    variants = [(run, name, delays) for run in (0, 1) for delays in DELAYS for name in "mn"]
    assert Runner.asked == [
        (run, f"{n} {delays}", DELAYS[delays][n]) for run, n, delays in variants
    ]
    assert told == [3] * 8
    assert seen == [
        (run, n, f"{n} {delays}", f"{n} {delays}")
        for run, n, delays in variants if (run, n) != (0, "n")
    ]  # fmt: skip


def test_a_sweep_has_the_rows_of_its_points(point, monkeypatch):
    asked = []
    settings = SimpleNamespace(seed=7, runs_of=lambda name: 2)
    monkeypatch.setattr(module, "catalogue", lambda _: "profiles")
    points = lambda *args: asked.append(args[1:]) or [point, point]  # noqa: E731
    monkeypatch.setattr(module, "sweep_points", points)
    told = []
    found = swept(settings, "fig", "place", range(1, 2), told.append)
    assert told == [1, 1] and asked == [("fig", "place")]
    of_run = [row for row in expected_rows() if row["run"] == 1]
    assert found.rows == [len(of_run)] * 2
    assert found.table.columns.tolist()[:2] == ["figure", "topology"]
    assert set(found.table["figure"]) == {"fig"} and set(found.table["topology"]) == {"place"}
    assert found.table["request"].tolist() == [row["request"] for row in of_run] * 2
    words = ["figure", "topology", "allocation_delays", "method", "status", "engine"]
    assert [name for name in found.table if found.table[name].dtype == "category"] == words
    told.clear()
    table = run_sweep(settings, "fig", "place", told.append)
    assert told == [1] * 4
    pd.testing.assert_frame_equal(
        table[table["run"] == 1].reset_index(drop=True)[["x", "request"]],
        found.table[["x", "request"]],
        check_dtype=False,
    )
    same(table.iloc[: len(list(expected_rows()))][ORDER])
