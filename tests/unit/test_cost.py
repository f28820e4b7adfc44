"""What a run is said to take, by hand."""

from types import SimpleNamespace

import pytest

from bprr.scenario.demand import PoissonDemand
from bprr.study import cost as module
from bprr.study.cost import about, length_of, requests_of

EQUAL = {"rate_per_s": 0.5, "input_tokens": 10, "output_tokens": 20}


def settings_of_scale(scale="main"):
    return SimpleNamespace(offline=SimpleNamespace(scale=scale), runs_of=lambda name: 5)


@pytest.mark.parametrize(
    ("scale", "jobs", "experiments", "cores", "said"),
    [
        ("main", 0, 0, 2, "0, about 1 min on 2 cores, about 1 MB"),
        ("main", 1000, 0, 1, "1000, about 42 min on 1 cores, about 150 MB"),  # of 2.5 s, 150 kB
        ("smoke", 0, 100, 2, "0, about 25 min on 2 cores, about 1 MB"),
        ("main", 0, 60, 2, "0, about 25 min on 2 cores, about 1 MB"),
        ("study", 0, 10, 4, "0, about 150 min on 4 cores, about 1 MB"),
    ],
)
def test_jobs_and_experiments(scale, jobs, experiments, cores, said):
    assert about(settings_of_scale(scale), jobs, [], experiments, cores) == said


def test_sweeps_count_by_their_share(monkeypatch):
    monkeypatch.setattr(module, "requests_of", lambda settings, *pair: (1e9, 6000.0))
    said = about(settings_of_scale(), 0, [(("a", "b"), 0.25), (("a", "c"), 0.5)], 0, 1)
    assert said == "0, about 75 min on 1 cores, about 1725 MB"  # of 2.3 bytes a request


@pytest.mark.parametrize(
    ("service", "demand", "requests", "seconds"),
    [
        ("independent", {"requests": 100, "output_tokens": 10}, 3_000, 3_000 * 4e-6),
        ("serial", {"requests": 100, "output_tokens": 10}, 3_000, 3_000 * 11 * 4e-6),
        ("serial", {"requests": 100, "output_tokens": "file"}, 3_000, 3_000 * 129 * 4e-6),
        ("serial", {}, 30_000, 30_000 * 129 * 4e-6),  # a trace: a thousand of 128 tokens
    ],
)
def test_a_sweep_by_its_points_methods_delays_and_runs(
    monkeypatch, service, demand, requests, seconds
):
    scenario = SimpleNamespace(
        workload=SimpleNamespace(**demand), service=SimpleNamespace(name=service)
    )
    point = SimpleNamespace(scenario=scenario, methods="ab", delays="xyz")
    monkeypatch.setattr(module, "sweep_points", lambda *_: [point, point])
    found = requests_of(settings_of_scale(), "sweep", "topology")
    assert found == (2 * requests, pytest.approx(2 * seconds))


def test_a_stream_of_some_length_has_as_many_requests_as_come_in_it():
    assert length_of(PoissonDemand(**EQUAL, duration_s=100.0)) == 50
    assert length_of(PoissonDemand(**EQUAL, requests=7)) == 7
    assert length_of(SimpleNamespace()) is None
