"""Running times, by a clock of our own: what is timed, how often, and what of it counts."""

import itertools

import numpy as np
import pandas as pd
import pytest

from bprr.ground.errors import InfeasibleError
from bprr.scenario.draw import draw
from bprr.settings.configuration import load_settings
from bprr.study import timing as module
from bprr.study.method import MethodRunner
from bprr.study.points import catalogue, sweep_points
from bprr.study.timing import (
    SETTINGS_TIMED,
    distributes,
    planned_growth,
    planned_times,
    running_times,
    running_times_of_sweeps,
    timed_methods,
)


@pytest.fixture
def small(at_root):
    """Five requests each on few servers and on more; nine on two other networks."""
    axes = {"fleet.servers": {"abovenet": [10, 14]}}
    sweep = {"topologies": ["abovenet"], "axes": axes, "set": {"workload.requests": 5}}
    overrides = {"sweeps": {"fig7": {**sweep, "methods": ["petals", "proposed", "offloading"]}}}
    return load_settings(overrides=overrides)


def test_a_placement_and_every_decision_are_timed_and_nothing_else(small, monkeypatch):
    """The n-th span takes n seconds, and whatever lies in between a hundred."""
    takes_s = (s for n in itertools.count(1) for s in (100.0, float(n)))
    instants = itertools.accumulate(takes_s)
    monkeypatch.setattr(module, "perf_counter", lambda: next(instants))
    asked = []
    for name in ("placement", "run"):
        own = getattr(MethodRunner, name)

        def noted(self, what, delay_ms, *args, own=own, name=name, **keys):
            asked.append((name, delay_ms))
            return own(self, what, delay_ms, *args, **keys)

        monkeypatch.setattr(MethodRunner, name, noted)
    point = sweep_points(small, "fig7", "abovenet")[1]
    instance = draw(point.scenario, catalogue(small), small.seed, 0)
    placement_s, decisions_s = module._time_method(point.methods["proposed"], instance)
    assert placement_s == 1.0
    assert decisions_s == [2.0, 3.0, 4.0, 5.0, 6.0]
    assert asked == [("placement", 0.0), ("run", 0.0), ("placement", 0.0)]


def test_rows_of_a_point(small, monkeypatch):
    """The first repeat is done twice; a method without a placement does not stop the others."""
    profiles = catalogue(small)
    point = sweep_points(small, "fig7", "abovenet")[0]
    known, tried = {id(method): name for name, method in point.methods.items()}, []

    def timed(method, instance):
        name, gaps = known[id(method)], instance.workload.arrival_ms.tolist()
        tried.append((name, gaps))
        if name == "petals" and len(tried) > 3:
            raise InfeasibleError("GPU memory", "1 GB")
        return 0.5, [4.0, 1.0, 7.0, 2.0]

    monkeypatch.setattr(module, "_time_method", timed)
    rows = list(module._timed(point, ["petals", "proposed"], profiles, small.seed, 2))
    runs = [draw(point.scenario, profiles, small.seed, run) for run in (0, 1)]
    arrivals = [run.workload.arrival_ms.tolist() for run in runs]
    assert tried == [
        *[("petals", arrivals[0])] * 2, *[("proposed", arrivals[0])] * 2,
        ("petals", arrivals[1]), ("proposed", arrivals[1]),
    ]  # fmt: skip
    shared = {"servers": 10, "requests": 4, "placement_s": 0.5}
    shared |= {"routing_s_per_request": 3.0, "total_s": 0.5 + 4 * 3.0}
    asked = [("petals", 0), ("proposed", 0), ("proposed", 1)]
    assert rows == [{"method": method, "repeat": repeat, **shared} for method, repeat in asked]


@pytest.fixture
def asked(monkeypatch):
    """Points that would be timed, and with what."""
    found = []

    def timed(point, methods, profiles, seed, repeats):
        assert {"a100", "mig"} <= profiles.devices.keys()
        found.append((point.x, list(methods), seed, repeats))
        return [{"method": method, "total_s": 1.0} for method in methods]

    monkeypatch.setattr(module, "_timed", timed)
    return found


def test_the_last_point_of_every_setting_is_timed(small, asked):
    table = running_times(small)
    last = [sweep_points(small, *pair)[-1].x for pair in SETTINGS_TIMED.values()]
    pair = ["petals", "proposed"]
    assert asked == [(x, pair, small.seed, 20) for x in last]
    assert table[["setting", "method"]].to_numpy().tolist() == [
        [setting, method] for setting in SETTINGS_TIMED for method in pair
    ]
    assert timed_methods(small) == ("petals", "proposed")
    running_times(small, repeats=4)
    assert {repeats for *_, repeats in asked[4:]} == {4}


def test_methods_that_distribute_are_timed_at_every_point(small, asked):
    told = []
    table = running_times_of_sweeps(small, ["fig7"], progress=told.append)
    pair = ["petals", "proposed"]
    assert asked == [(x, pair, small.seed, 3) for x in (10.0, 14.0)]
    assert told == [1, 1]
    place = {"figure": "fig7", "topology": "abovenet"}
    rows = [{**place, "x": x, "method": m, "total_s": 1.0} for x in (10.0, 14.0) for m in pair]
    pd.testing.assert_frame_equal(table, pd.DataFrame(rows))
    running_times_of_sweeps(small, ["fig7"], repeats=7)
    assert asked[2:] == [(x, pair, small.seed, 7) for x in (10.0, 14.0)]
    assert {name: distributes(small.methods[name]) for name in (*pair, "offloading")} == {
        "petals": True, "proposed": True, "offloading": False,
    }  # fmt: skip


def test_both_tables_are_planned_from_the_same(small):
    times, growth = planned_times(small), planned_growth(small)
    assert times.path.parts[-2:] == ("timing", "table8.parquet")
    assert growth.path.parts[-2:] == ("timing", "growth.parquet")
    assert times.provenance() == growth.provenance()
    assert times.source == growth.source
    assert list(times.settings.content["sweeps"]) == ["table3", "table6"]
    assert {each["runs"] for each in times.settings.content["sweeps"].values()} == {1}
    assert np.unique(list(times.settings.content["methods"])).tolist() == ["petals", "proposed"]
