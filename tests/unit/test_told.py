"""What ``bprr simulate`` tells, each number checked by hand; cases of the field end to end."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bprr.commands.main import main
from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.registry import Choice
from bprr.ground.storage import read_table
from bprr.placement.given import Given, Span, read_spans
from bprr.scenario.draw import draw
from bprr.scenario.scenario import load_scenario
from bprr.study.account import Objective
from bprr.study.method import MethodRunner


@pytest.fixture
def told(root, monkeypatch, capsys):
    """Content of --json for a scenario of tests/cases/swarms, or a shipped one."""
    monkeypatch.chdir(root)

    def run(scenario, *arguments, runs=1):
        path = root / f"tests/cases/swarms/{scenario}.yaml"
        name = str(path) if path.exists() else scenario
        assert main(["simulate", name, "--json", "--runs", str(runs), *arguments]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def trace(name):
    return "--set", f"workload.file=tests/cases/traces/{name}.csv"


ONE = (
    "--method", "proposed",
    "--set", "network={kind: clustered, clusters: {a: {a100: 1}}, client: a}",
    "--set", "fleet={memory_gb: {a100: 5000}}",
    "--set", "workload.requests=400",
)  # fmt: skip


@pytest.mark.parametrize("rate", [0.001, 1, 100])
def test_computing_that_is_used_many_times_over_is_warned_of(told, rate):
    method = told("clustered", *ONE, "--set", f"workload.rate_per_s={rate}")["methods"]["proposed"]
    # 70 blocks of 3.2197 ms for each of 127 tokens: 28.62 s a request.
    decode = 70 * 3.2197 * 127 / 1000 * rate
    assert method["computing_busiest_decode"] == pytest.approx(decode)
    prefill = 70 * (32.99 + 0.0743 * 10) / 1000 * rate
    assert method["computing_busiest"] == pytest.approx(decode + prefill)
    said = " ".join(method["warnings"])
    assert ("without batching" in said) == (rate >= 1)
    if rate == 1:
        assert "(28.6 in decoding)" in said


def test_memory_and_chains_add_up(told):
    method = told("clustered", *ONE)["methods"]["proposed"]
    (server,) = method["servers"]
    assert (server["first_block"], server["blocks"], server["at"]) == (1, 70, None)
    weights = 70 * 2466437120 * 4.25 / 8 * 1.01 / 1e9
    assert server["weights_gb"] == pytest.approx(weights)
    # Whole tokens of 57,344 bytes.
    assert server["cache_gb"] == pytest.approx(5000 - weights, abs=1e-4)
    assert server["free_gb"] == pytest.approx(0, abs=1e-4)
    assert method["chains"] == [{"client": 0, "servers": [0], "blocks": [70], "requests": 400}]


def test_times_have_percentiles_intervals_and_an_objective(told, tmp_path):
    out = tmp_path / "out.parquet"
    arguments = ("--method", "proposed", "--slo-ttft", "2.7", "-o", str(out))
    method = told("share_typo_a100", "--set", "fleet.rest=mig", *arguments, runs=3)["methods"]
    method, table = method["proposed"], read_table(out)
    for name, column in (("per_token_s", "per_token_ms"), ("ttft_s", "ttft_ms")):
        seconds = table[column] / 1000
        assert method[name]["mean"] == pytest.approx(seconds.mean())
        for percent in (50, 95, 99):
            assert method[name][f"p{percent}"] == pytest.approx(seconds.quantile(percent / 100))
    means = table.groupby("run")["ttft_ms"].mean() / 1000
    half = 4.302652729 * means.std() / 3**0.5  # Student's t, two degrees of freedom
    assert method["ttft_s"]["half_width_95"] == pytest.approx(half)
    assert method["within_objective"] == pytest.approx((table["ttft_ms"] <= 2700).mean())
    lasts = (table["arrival_ms"] + table["per_token_ms"] * 128).groupby(table["run"]).max()
    assert method["tokens_per_s"] == pytest.approx((5 * 128 / lasts * 1000).mean())


def test_a_share_with_its_rest(told):
    methods = told("share_typo_a100", "--set", "fleet.rest=mig", runs=2)["methods"]
    seconds = {name: method["per_token_s"]["mean"] for name, method in methods.items()}
    assert seconds == pytest.approx({"petals": 1.149, "proposed": 0.500}, abs=0.0005)


def test_delays_and_hops_are_told(told, capsys, root):
    content = told("share_typo_a100", "--set", "fleet.rest=mig", "--delays", "published")
    assert content["delays_ms"] == {"published": {"petals": 250_000.0, "proposed": 60_000.0}}
    method = content["methods"]["proposed"]
    chains = method["chains"]
    counted = sum(len(chain["servers"]) * chain["requests"] for chain in chains)
    assert sum(chain["requests"] for chain in chains) == method["requests"]
    assert method["hops"] == pytest.approx(counted / method["requests"])
    scenario = str(root / "tests/cases/swarms/share_typo_a100.yaml")
    assert main(["simulate", scenario, "--set", "fleet.rest=mig", "--runs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "allocation delays (none): PETALS 0 s, Proposed 0 s" in printed
    assert " servers on a chain" in printed


def test_one_request_has_a_plan(told):
    method = told("trace", *trace("one_request"), "--method", "proposed", runs=5)["methods"]
    method = method["proposed"]
    assert method["design_load"] == 1
    assert method["per_token_s"]["mean"] == pytest.approx(0.477, abs=0.0005)


def test_named_columns_are_not_shifted(told):
    method = told("trace", *trace("extra_named"), "--method", "proposed")["methods"]["proposed"]
    assert method["ttft_s"]["mean"] == pytest.approx(2.80, abs=0.005)
    # .710 over requests; over tokens, of which one request has 10 and the other 8, .707.
    assert method["per_token_s"]["mean"] == pytest.approx(0.707, abs=0.0005)
    assert method["per_token_s"]["p50"] == pytest.approx(0.710, abs=0.0005)


def test_lengths_are_each_requests_own(told, tmp_path):
    out = tmp_path / "out.parquet"
    told("trace", *trace("unequal"), "--method", "proposed", "-o", str(out))
    table = read_table(out)
    assert table["output_tokens"].tolist() == [2, 1002]
    assert table["input_tokens"].tolist() == [20, 40]
    assert table["rate_per_s"].unique().tolist() == [0.01]


def test_the_rate_of_two_requests_decides_their_load(told):
    method = told("trace", *trace("unequal"), "--method", "proposed")["methods"]["proposed"]
    assert method["design_load"] == 4


def test_a_long_request_has_a_status_of_its_own(told, tmp_path):
    out = tmp_path / "out.parquet"
    content = told("trace", *trace("one_long"), "--method", "proposed", "-o", str(out))
    method = content["methods"]["proposed"]
    assert method["requests"] == 20
    assert method["not_served"] == {"rejected": 1}
    assert "1 of 21 requests are longer than 2,048 tokens: rejected" in content["remarks"][-1]
    table = read_table(out)
    assert table["status"].value_counts().to_dict() == {"ok": 20, "rejected": 1}
    assert table[table["status"] == "rejected"]["input_tokens"].tolist() == [120000]


def test_a_request_just_within_an_objective_is_within():
    """Given in s; times are in ms."""
    columns = {"per_token_ms": [500.0, 500.1, 400.0, np.nan], "ttft_ms": [2000.0] * 2 + [2000.1, 1]}
    requests = pd.DataFrame(columns)
    for objective, share in ((Objective(0.5, 2.0), 0.25), (Objective(0.5), 0.5),
                             (Objective(ttft_s=2.0), 0.5)):  # fmt: skip
        assert objective.given
        assert objective.share(requests) == share
    assert not Objective().given


def test_a_guarantee_that_fails_is_no_missing_memory(told, capsys):
    method = told("tight", "--method", "proposed")["methods"]["proposed"]
    assert method["per_token_s"]["mean"] == pytest.approx(1.794, abs=0.0005)
    assert method["design_load"] == 1
    assert "R = 1, although the guarantee" in method["warnings"][0]
    # Who sets the load is not told about the guarantee.
    chosen = told("tight", "--method", "proposed", "--set", "design_load.load=1")["methods"]
    assert chosen["proposed"]["warnings"] == []
    assert main(["solve", "tests/cases/swarms/tight.yaml", "--requests", "1", "--json"]) == 0
    solved = json.loads(capsys.readouterr().out)
    assert solved["objective_per_token_ms_sum"] == pytest.approx(1687.42, abs=0.005)


def test_a_cap_is_named_where_it_is_the_cause(told, at_root, capsys):
    caps = "fleet.block_cap={a100_clustered: 1, mig_clustered: 1}"
    method = told("clustered", "--method", "proposed", "--set", caps)["methods"]["proposed"]
    assert "blocks within block_cap: 61 of 70 blocks" in str(method["not_served"])
    caps = "fleet.block_cap={a100_clustered: 10, mig_clustered: 4}"
    assert main(["solve", "clustered", "--requests", "1", "--set", caps]) == 2
    assert "blocks within block_cap: 22 of 70 blocks missing (48" in capsys.readouterr().err


def test_numbers_of_the_command_line_may_have_an_exponent(told):
    arguments = ("--set", "workload.rate_per_s=2e-1", "--set", "workload.requests=2")
    assert told("scattered", "--method", "proposed", *arguments)["methods"]["proposed"]["runs"] == 1


# --- placements of others -------------------------------------------------------------------------

SPANS = [Span(0, 1, 40), Span(1, 41, 30)]
FILES = {
    "petals.txt": "# one line per server\n--block_indices 0:40\n--block_indices 40:70\n",
    "helix.ini": "[Settings]\noffset=2\n\n[Solution]\n"
    f"compute_node_2={list(range(40))}\ncompute_node_3={list(range(40, 70))}\n",
    "plan.json": json.dumps(
        {"placement": [{"server": 0, "first_block": 1, "blocks": 40, "device": "a100"},
                       {"server": 1, "first_block": 41, "blocks": 30, "device": "a100"}]}),
}  # fmt: skip
TWO = (
    "--set", "network={kind: clustered, clusters: {a: {a100: 2}}, client: a}", "--set", "fleet={}",
    "--set", "workload.requests=3",
)  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_placements_of_others_are_evaluated(told, tmp_path, name):
    path = tmp_path / name
    path.write_text(FILES[name])
    assert [span._replace(device=None) for span in read_spans(path)] == SPANS
    content = told("clustered", *TWO, "--placement", str(path))
    (method,) = content["methods"].values()
    assert method["label"] == f"Proposed, {name}"
    blocks = [(server["first_block"], server["blocks"]) for server in method["servers"]]
    assert blocks == [(1, 40), (41, 30)]
    # Two servers 5 ms away with 50 ms of overhead each, 70 blocks; the first token by hand.
    ttft = 0.1 + 2 * (0.005 + 0.055) + 70 * (32.99 + 0.0743 * 10) / 1000
    assert method["ttft_s"]["mean"] == pytest.approx(ttft)
    remaining = 127 * (2 * 0.055 + 70 * 3.2197e-3)
    assert method["per_token_s"]["mean"] == pytest.approx((ttft + remaining) / 128)


@pytest.mark.parametrize(
    "text, says",
    [
        ("0:40", "30 of 70 blocks"),
        ("0:69 39:70", "GPU memory"),
        ("0:40 40:71", "blocks 1 to 70"),
        ("0:40 40:70 0:1", "one of 2 servers"),
        ("nothing", "--block_indices"),
        ('{"placement": [{"server": 0, "first_block": 1}]}', "first_block, blocks"),
        ('{"placement": [{"server": 0, "first_block": 1, "blocks": 5, "device": "mig"}]}', "a100"),
        ('{"placement": [{"server": 0, "first_block": 1, "blocks": 5},'
         ' {"server": 0, "first_block": 1, "blocks": 5}]}', "each server once"),
        ("[Solution]\ncompute_node_0=[0, 2]\n", "consecutive"),
        ("[Solution]\nanother=[0, 1]\n", "consecutive"),
    ],
)  # fmt: skip
def test_a_placement_is_verified_first(published, tmp_path, text, says):
    (tmp_path / "p").write_text(text)
    network = {"kind": "clustered", "clusters": {"a": {"a100": 2}}, "client": "a"}
    scenario = load_scenario("clustered", {"network": network, "fleet": {}})
    given = Choice("given", Given.Options(file=tmp_path / "p"))
    with pytest.raises((InputError, InfeasibleError)) as refused:
        MethodRunner(draw(scenario, published, 1, 0)).placement(given, 0.0)
    assert says in str(refused.value)


# --- the example of docs/bring-your-own.md -------------------------------------------------------


def test_the_example_prints_what_a_hand_finds(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(root / "tests/cases/example")
    models, plan, out = (str(tmp_path / name) for name in ("m.yaml", "plan.json", "out.parquet"))
    assert main(["model", "Qwen3-32B/config.json", "-o", models]) == 0
    capsys.readouterr()
    own = ("--models", models)
    arguments = ("--method", "proposed", "--runs", "1", "-o", out)
    assert main(["simulate", "swarm.yaml", *own, "--json", *arguments]) == 0
    told = json.loads(capsys.readouterr().out)
    method = told["methods"]["proposed"]
    assert [chain["blocks"] for chain in method["chains"]] == [[13, 13, 13, 13, 12]]
    assert method["not_served"] == {"rejected": 1}
    block_gb, bloom_gb = 487598336 * 2 / 1e9, 2466437120 * 4.25 / 8 * 1.01 / 1e9
    tau_ms, compute = 3.2197 * block_gb / bloom_gb, 487598336 / 2466437120
    hops_ms = 0.6 + 0.6 + 24.5 + 24.5 + 91.2 + 5 * 5
    table = read_table(Path(out))
    table = table[table["status"] == "ok"]
    prompt_ms = hops_ms + 64 * compute * (32.99 + 0.0743 * table["input_tokens"])
    assert table["ttft_ms"].to_numpy() == pytest.approx(prompt_ms.to_numpy())
    token_ms = hops_ms + 64 * tau_ms
    assert table["remaining_per_token_ms"].to_numpy() == pytest.approx([token_ms] * 6)
    assert round(token_ms, 1) == 318.2
    assert round(prompt_ms.iloc[0]) == 6937
    decode = 13 * tau_ms * (table["output_tokens"] - 1).sum() / (6 / (5 / 15) * 1000)
    assert method["computing_busiest_decode"] == pytest.approx(decode)
    assert round(decode, 1) == 4.4
    cache_gb = 24 - 13 * block_gb
    assert method["servers"][0]["cache_gb"] == pytest.approx(cache_gb, abs=1e-5)
    assert len(told["remarks"]) == 3

    assert main(["solve", "swarm.yaml", *own, "--requests", "1", "--json"]) == 0
    Path(plan).write_text(capsys.readouterr().out, encoding="utf-8")
    placed = ("--placement", plan, "--runs", "1", "--json")
    assert main(["simulate", "swarm.yaml", *own, *placed]) == 0
    (best,) = json.loads(capsys.readouterr().out)["methods"].values()
    # Optimal for one request of mean length: 5,850 tokens; the three longer ones have no room.
    assert best["not_served"] == {"rejected: no room": 3, "rejected": 1}
    assert best["per_token_s"]["mean"] < method["per_token_s"]["mean"]
