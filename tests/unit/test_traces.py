"""Traces of others: read right, or refused with the line (tests/cases/traces)."""

import numpy as np
import pyarrow as pa
import pytest

from bprr.scenario.trace_families import FAMILIES
from bprr.scenario.traces import read_trace

from .refusals import refusal
from .traces import loaded, replay

KINDS = {
    "azure_2023.csv": (
        "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,374,44\r\n"
        "2023-11-16 18:17:05.2299600,396,109\r\n",
        1250,
    ),
    "azure_2024.csv": (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.750000+00:00,374,44\n"
        "2024-05-10 00:00:02+00:00,396,109\n",
        1250,
    ),
    "burstgpt.csv": (
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "5,ChatGPT,374,44,418,Conversation log\n45,GPT-4,9,0,9,API log\n"
        "118,ChatGPT,396,109,505,Conversation log\n",
        113_000,
    ),
    "mooncake.jsonl": (
        '{"timestamp": 1000, "input_length": 374, "output_length": 44, "hash_ids": [0, 1]}\n'
        '{"timestamp": 4000, "input_length": 396, "output_length": 109, "hash_ids": []}\n',
        3000,
    ),
    "vidur.csv": (
        ",arrived_at,num_prefill_tokens,num_decode_tokens\n0,0.25,374,44\n1,1.5,396,109\n",
        1250,
    ),
    "llmservingsim.tsv": (
        "input_toks\toutput_toks\tarrival_time_ns\n374\t44\t0\n396\t109\t1250000000\n",
        1250,
    ),
    "llmservingsim.jsonl": (
        '{"input_toks": 374, "output_toks": 44, "arrival_time_ns": 1000000000000000001}\n'
        '{"input_toks": 396, "output_toks": 109, "arrival_time_ns": 1000000001250000001}\n',
        1250,
    ),
    "blis.csv": (
        "request_id,input_tokens,output_tokens,arrival_time_us,status,error_message\n"
        '0,374,44,0,ok,\n1,7,0,3,timeout,"slow, late"\n2,396,109,1250000,ok,\n',
        1250,
    ),
    "splitwise.csv": (
        "request_id,request_type,application_id,arrival_timestamp,batch_size,prompt_size,"
        "token_size\n0,2,0,0.0,1,374,44\n1,2,0,1.25,1,396,109\n",
        1250,
    ),
    "semicolons.csv": ("timestamp;input_tokens;output_tokens\n0;374;44\n1.25;396;109\n", 1250),
}


@pytest.mark.parametrize("name", KINDS)
def test_public_kinds_are_known_by_their_columns(tmp_path, name):
    text, gap_ms = KINDS[name]
    (tmp_path / name).write_bytes(text.encode())
    workload = replay(tmp_path / name)
    assert workload.arrival_ms.tolist() == pytest.approx([0, gap_ms], rel=1e-9)
    assert workload.input_tokens.tolist() == [374, 396]
    assert workload.output_tokens.tolist() == [44, 109]


def test_every_family_has_columns_of_its_own():
    assert len({tuple(family.columns) for family in FAMILIES}) == len(FAMILIES)


@pytest.fixture
def case(root):
    return lambda name: root / "tests/cases/traces" / name


def test_columns_do_not_shift(case):
    named = replay(case("extra_named.csv"))
    assert named.arrival_ms.tolist() == [0, 1000]
    assert (named.input_tokens.tolist(), named.output_tokens.tolist()) == ([48, 31], [10, 8])
    for name in ("extra_numeric_azure.csv", "trailing_comma.csv"):
        error = refusal(lambda name=name: replay(case(name)))
        assert (error.key, error.value) == ("line 2", "4 values")
        assert "3 values, as many as the header" in error.allowed


def test_a_short_row_is_named_with_its_line(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("timestamp,input_tokens,output_tokens\n0,1,2\n\n1,2\n")
    assert refusal(lambda: replay(path)).key == "line 4"


def test_the_rate_is_of_the_gaps(case):
    load = loaded(case("unequal.csv"))
    assert load.rate_per_s == 0.01
    assert load.workload.output_tokens.tolist() == [2, 1002]
    assert loaded(case("one_request.csv")).rate_per_s == 0.0


def test_requests_at_one_instant_have_no_rate(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("timestamp,input_tokens,output_tokens\n3,1,2\n3,1,2\n")
    assert np.isnan(loaded(path).rate_per_s)


def test_tokens_have_an_end(case):
    assert refusal(lambda: replay(case("huge_tokens.csv"))).key == "output_tokens (line 2)"


def test_numbers_without_a_unit_are_not_seconds_in_silence(case):
    for name, unit, span_ms in (
        ("date_number.csv", "date", 86_400_000),
        ("mooncake_renamed_ms.csv", "ms", 3000),
    ):
        error = refusal(lambda name=name: replay(case(name)))
        assert error.key == "arrival"
        assert "time_unit" in error.allowed
        assert replay(case(name), time_unit=unit).arrival_ms[-1] == span_ms
    (said,) = loaded(case("unequal.csv")).remarks
    assert "taken for seconds: 2 requests over 100 s, one in 100 s" in said


def test_a_unit_may_stand_in_the_column(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("when_ms,in,out\n0,1,2\n3000,1,2\n")
    columns = {"arrival": "when_ms", "input_tokens": "in", "output_tokens": "out"}
    load = loaded(path, columns=columns)
    assert load.workload.arrival_ms.tolist() == [0, 3000]
    assert load.remarks == ()
    assert refusal(lambda: replay(path)).key == "columns"
    assert refusal(lambda: replay(path, columns={**columns, "arrival": "x"})).key == "columns"


def test_only_the_rows_that_are_used_are_judged(case):
    assert len(replay(case("late_zero.csv"), requests=2)) == 2
    assert len(replay(case("late_zero.csv"), duration_s=2.0)) == 2
    assert refusal(lambda: replay(case("late_zero.csv"))).key == "output_tokens (line 4)"
    assert "window" in refusal(lambda: replay(case("late_zero.csv"), start_s=9.0)).allowed


def test_a_window_is_chosen_before_it_is_sped_up(tmp_path):
    path = tmp_path / "t.csv"
    rows = "".join(f"{time},{time},1\n" for time in range(1, 10))
    path.write_text("timestamp,input_tokens,output_tokens\n" + rows)
    workload = replay(path, start_s=2.0, duration_s=4.0, requests=3, speed=2.0)
    assert workload.input_tokens.tolist() == [3, 4, 5]
    assert workload.arrival_ms.tolist() == [0, 500, 1000]


@pytest.mark.parametrize(
    "how, requests, rejected, longest", [("reject", 20, 1, 148), ("skip", 20, 0, 148),
                                         ("truncate", 21, 0, 2048)],
)  # fmt: skip
def test_long_requests_are_the_users_choice(case, how, requests, rejected, longest):
    load = loaded(case("one_long.csv"), longest=2048, too_long=how)
    workload = load.workload
    assert len(workload) == requests
    assert (workload.input_tokens + workload.output_tokens).max() == longest
    assert workload.output_tokens.tolist() == [128] * requests
    assert (0 if load.rejected is None else len(load.rejected)) == rejected
    assert load.rate_per_s == 0.01
    assert f"1 of 21 requests are longer than 2,048 tokens: {how}" in load.remarks[-1]


def test_nothing_but_long_requests_is_refused(case):
    for how in ("reject", "skip"):
        error = refusal(lambda how=how: replay(case("unequal.csv"), longest=9, too_long=how))
        assert error.key == "rows"


def test_lengths_alone_need_a_rate(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("num_prefill_tokens,num_decode_tokens\n374,44\n396,109\n")
    assert "rate_per_s" in refusal(lambda: replay(path)).allowed
    load = loaded(path, rate_per_s=0.5)
    assert load.rate_per_s == 0.5
    assert load.workload.input_tokens.tolist() == [374, 396]
    path.write_text("timestamp,input_tokens,output_tokens\n0,1,1\n1,1,1\n")
    assert refusal(lambda: replay(path, rate_per_s=0.5)).key == "rate_per_s"


@pytest.mark.parametrize(
    "text, key",
    [
        ('{"timestamp": 1, "input_length": 2, "output_length": 3}\nnot json\n', "line 2"),
        ('{"timestamp": 1, "input_length": 2, "output_length": 3}\n{"timestamp": [1]}\n', "line 2"),
        ('{"timestamp": 1, "input_length": 2, "output_length": 3}\n{"timestamp": 2}\n',
         "input_tokens (line 2)"),
        ('{"timestamp": 1, "input_length": 2, "output_length": 0}\n', "output_tokens (line 1)"),
        ('{"timestamp": "later", "input_length": 2, "output_length": 1}\n', "arrival (line 1)"),
        ("{", "line 1"),
        ("[]", "columns"),
        ("timestamp,timestamp,input_tokens,output_tokens\n1,1,1,1\n", "columns"),
    ],
)  # fmt: skip
def test_bad_lines_are_named(tmp_path, text, key):
    path = tmp_path / "t.jsonl"
    path.write_text(text)
    assert refusal(lambda: replay(path)).key == key


def test_a_trace_is_parsed_once(case, monkeypatch):
    read_trace(case("unequal.csv"))
    monkeypatch.setattr(pa.csv, "read_csv", None)
    assert len(read_trace(case("unequal.csv"))) == 2


def test_azure_as_published(root):
    path = root.parent / "shared/data/traces/azure_2023_code.csv"
    if not path.exists():
        pytest.skip("needs azure_2023_code.csv")
    load = loaded(path, longest=2048, too_long="skip")
    assert load.remarks[-1].split(": ")[1].startswith("3,")
    assert len(read_trace(path)) == 8819
