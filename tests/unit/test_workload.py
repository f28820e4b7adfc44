"""Requests: Poisson arrivals and replayed traces."""

import numpy as np
import pytest
from scipy import stats

from bprr.ground.errors import InputError
from bprr.scenario.workload import Workload, poisson_arrivals_ms

from .traces import replay


def test_poisson_gaps_are_exponential():
    arrival = poisson_arrivals_ms(np.random.default_rng(1), 20_000, 0.5)
    gaps_s = np.diff(arrival) / 1000
    assert arrival[0] == 0
    assert gaps_s.mean() == pytest.approx(2.0, rel=0.02)
    assert stats.kstest(gaps_s, "expon", args=(0, 2.0)).pvalue > 0.01


def test_poisson_draws_are_common_to_rates_and_lengths():
    slow = poisson_arrivals_ms(np.random.default_rng(1), 50, 0.5)
    fast = poisson_arrivals_ms(np.random.default_rng(1), 80, 2.0)
    assert slow == pytest.approx(4 * fast[:50], rel=1e-12)


def test_poisson_may_start_later():
    arrival = poisson_arrivals_ms(np.random.default_rng(1), 50, 0.5, start_at_zero=False)
    assert arrival[0] > 0
    assert poisson_arrivals_ms(np.random.default_rng(1), 0, 0.5).size == 0


AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:48.1805900,879,55
"""


def trace(tmp_path, text, clients=1, **more):
    path = tmp_path / "trace.csv"
    path.write_text(text)
    return replay(path, clients, **more)


def test_azure_columns(tmp_path):
    workload = trace(tmp_path, AZURE)
    assert workload.arrival_ms == pytest.approx([0, 1500, 4314.579], abs=1e-3)
    assert workload.input_tokens.tolist() == [374, 879, 396]
    assert workload.output_tokens.tolist() == [44, 55, 109]
    assert workload.cache_tokens.tolist() == [418, 934, 505]


SECONDS = "timestamp,input_tokens,output_tokens\n10.5,20,128\n11,30,64\n12.25,5,1\n"


def test_seconds_limit_speed_and_clients(tmp_path):
    workload = trace(tmp_path, SECONDS, clients=2, speed=2.0)
    assert workload.arrival_ms.tolist() == [0, 250, 875]
    assert workload.client.tolist() == [0, 1, 0]
    assert len(trace(tmp_path, SECONDS, requests=2)) == 2


@pytest.mark.parametrize(
    "change, key, value",
    [
        (("11,30,64", "noon,30,64"), "arrival (line 3)", "noon"),
        (("11,30,64", ",30,64"), "arrival (line 3)", "nothing"),
        (("11,30,64", "11,0,64"), "input_tokens (line 3)", "0"),
        (("11,30,64", "11,30,-2"), "output_tokens (line 3)", "-2"),
        (("11,30,64", "11,30,6.5"), "output_tokens (line 3)", "6.5"),
        (("11,30,64", "11,30,"), "output_tokens (line 3)", "nothing"),
        (("11,30,64", "11,many,64"), "input_tokens (line 3)", "many"),
        (("11,30,64", "\n11,many,64"), "input_tokens (line 4)", "many"),
        (("11,30,64", "inf,30,64"), "arrival (line 3)", "inf"),
        (("input_tokens", "prompt"), "columns", "prompt"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path, change, key, value):
    text = SECONDS.replace(*change)
    assert text != SECONDS
    with pytest.raises(InputError) as refused:
        trace(tmp_path, text)
    assert refused.value.key == key
    assert value in str(refused.value.value)
    assert "trace.csv" in refused.value.where


def test_a_bad_time_among_dates_is_named(tmp_path):
    with pytest.raises(InputError, match=r"line 3.*noon"):
        trace(tmp_path, AZURE.replace("2023-11-16 18:15:50.9951690", "noon"))


@pytest.mark.parametrize("text", ["", "timestamp,input_tokens,output_tokens\n", "\x00", "a\n1\n"])
def test_an_unusable_file_is_refused(tmp_path, text):
    with pytest.raises(InputError, match=r"trace\.csv"):
        trace(tmp_path, text)


def test_lines_after_the_last_request_do_not_matter(tmp_path):
    assert len(trace(tmp_path, SECONDS + "\n\n")) == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ([2.0, 1.0], 0, 1, 1),
        ([0.0], -1, 1, 1),
        ([0.0], 0, 0, 1),
        ([0.0], 0, 1, 0),
        ([0.0], 0, 1, 1, 0),
    ],
)
def test_an_impossible_workload_is_refused(arguments):
    with pytest.raises(ValueError, match=r"arrival_ms|holds"):
        Workload(*map(np.array, arguments))


def test_a_workload_is_frozen_and_broadcast():
    workload = Workload(np.array([0.0, 1.0]), 0, np.array([5, 6]), 7)
    assert workload.cache_tokens.tolist() == [12, 13]
    assert workload.client.tolist() == [0, 0]
    with pytest.raises(ValueError, match="read-only"):
        workload.arrival_ms[0] = 3.0
