"""What a simulation tells, from records and a placement that can be added up by hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bprr.ground.registry import SERVICE, Choice
from bprr.placement.base import Placement
from bprr.scenario.workload import Workload
from bprr.simulation.records import Records
from bprr.study import account as module
from bprr.study.account import Account, Objective, Usage

NAN = np.nan


def records_of(workload, chains, completion_ms, wait_ms):
    """Of requests whose chains are pairs of servers and blocks."""
    servers, blocks = zip(*chains, strict=True)
    count = len(workload)
    return Records(
        workload, np.array(wait_ms, dtype=float), np.zeros(count), np.zeros(count),
        np.array(completion_ms, dtype=float), np.ones(count, dtype=np.int32),
        np.cumsum([0, *map(len, servers)]), np.concatenate(servers).astype(np.int32),
        np.concatenate(blocks).astype(np.int16), "compiled",
    )  # fmt: skip


@pytest.fixture
def placement(small_swarm):
    return Placement(small_swarm, np.array([1, 3, 0]), np.array([4, 2, 0]), np.array([200, 80, 0]))


@pytest.fixture
def two():
    """One over servers 0 and 1, from 50 ms on; one all at server 0, which waits for 100 ms."""
    workload = Workload(
        np.array([50.0, 1000.0]), np.array([0, 1]), np.array([8, 4]), np.array([11, 21]),
        np.array([20, 30]),
    )  # fmt: skip
    return records_of(workload, [([0, 1], [2, 2]), ([0], [4])], [500, 1100], [0, 100])


@pytest.mark.parametrize(
    ("rate_per_s", "span_ms"), [(2.0, 1000), (0.5, 4000), (0.0, 2050), (NAN, 2050)]
)
def test_usage_by_hand(placement, two, rate_per_s, span_ms):
    """Two requests at 2/s are those of a second; without a rate the run's 2,050 ms count."""
    used = Usage.of(two, placement, rate_per_s)
    assert used.decode * span_ms == pytest.approx([2 * 1 * 10 + 4 * 1 * 20, 2 * 5 * 10, 0])
    prefill_ms = [2 * (10 + 0.5 * 8) + 4 * (10 + 0.5 * 4), 2 * (20 + 1.0 * 8), 0]
    assert used.prefill * span_ms == pytest.approx(prefill_ms)
    held = [(2 * 20 * 500 + 4 * 30 * 1000) / 200, 2 * 20 * 500 / 80, 0]
    assert used.cache * 2050 == pytest.approx(held)
    assert used.tokens_per_s == pytest.approx(32 / 2.05)
    assert used.hops == 1.5


def test_a_server_that_hosts_nothing_holds_nothing(small_swarm, two):
    """Its cache counts as one token: what is held there would be seen."""
    bare = Placement(small_swarm, np.array([1, 3, 0]), np.array([4, 2, 0]), np.array([200, 0, 0]))
    assert Usage.of(two, bare, 1.0).cache[1] * 2050 == pytest.approx(2 * 20 * 500)


def test_the_most_used_chains_are_told_first_and_five_at_most():
    """Chains differ by client, servers, blocks, or the order of them."""
    chains = [
        (0, [0, 1], [2, 2]), (0, [1, 0], [2, 2]), (1, [0, 1], [2, 2]), (0, [0, 1], [1, 3]),
        (0, [0, 2], [2, 2]), (0, [0], [4]), (0, [0, 1, 2], [2, 1, 1]),
    ]  # fmt: skip
    taken = [0, 1, 1, 2, 3, 4, 5, 5, 5, 6, 4, 0]
    client, servers, blocks = zip(*(chains[number] for number in taken), strict=True)
    workload = Workload(np.arange(12.0), np.array(client), 1, 1)
    records = records_of(workload, list(zip(servers, blocks, strict=True)), [1] * 12, [0] * 12)
    told = module._chains(records)
    # Of those that are taken as often, the one that came first.
    assert told == [
        {"client": whose, "servers": servers, "blocks": blocks, "requests": count}
        for (whose, servers, blocks), count in (
            (chains[5], 3), (chains[0], 2), (chains[1], 2), (chains[4], 2), (chains[2], 1),
        )
    ]  # fmt: skip


def instance_of(swarm, names=("here", "there"), nodes=(1, 0, 5), load=None, cap=False, **keys):
    design = SimpleNamespace(load=load, count_block_cap=cap)
    return SimpleNamespace(
        swarm=swarm, rate_per_s=2.0, remarks=("a", "b"), server_node=np.array(nodes),
        network=SimpleNamespace(node_names=names), scenario=SimpleNamespace(design_load=design),
        design_request=SimpleNamespace(cache_tokens=30), **keys,
    )  # fmt: skip


def test_servers_by_hand(small_swarm, placement):
    """A block takes 1 GB and a token of its cache .01 GB; node 5 has no name."""
    told = module._servers(instance_of(small_swarm), placement)
    assert [server.pop("cache_gb") for server in told] == pytest.approx([2.0, 0.8, 0.0])
    assert [server.pop("free_gb") for server in told] == pytest.approx([0.0, 2.2, 2.0])
    keys = ("server", "device", "at", "first_block", "blocks", "memory_gb", "weights_gb")
    rows = [
        (0, "server", "there", 1, 4, 6.0, 4.0),
        (1, "server", "here", 3, 2, 5.0, 2.0),
        (2, "server", None, 0, 0, 2.0, 0.0),
    ]
    assert told == [dict(zip(keys, row, strict=True)) for row in rows]
    # The node after the last one has no name either, nor has a server that a method brings.
    assert module._servers(instance_of(small_swarm, nodes=(1, 2, 0)), placement)[1]["at"] is None
    elsewhere = module._servers(instance_of(small_swarm, nodes=(0, 0)), placement)
    assert [server["at"] for server in elsewhere] == [None] * 3


INDEPENDENT, SERIAL = (Choice(name, SERVICE[name].Options()) for name in ("independent", "serial"))


def table():
    """Three runs of m: two served, one of them with requests that are rejected; and another's."""
    names = ("method", "run", "status", "per_token_ms", "ttft_ms", "wait_ms", "output_tokens",
             "design_load")  # fmt: skip
    rows = [
        ("m", 0, "ok", 100.0, 1000.0, 0.0, 10, 3.0),
        ("m", 0, "ok", 200.0, 3000.0, 400.0, 30, 3.0),
        ("m", 0, "rejected: no room", NAN, NAN, NAN, 5, 3.0),
        ("m", 0, "rejected", NAN, NAN, NAN, 5, 3.0),
        ("m", 1, "ok", 400.0, 5000.0, 200.0, 20, 3.0),
        ("m", 2, "infeasible", NAN, NAN, NAN, 5, NAN),
        ("other", 0, "ok", 7e6, 7e6, 7e6, 7000, NAN),
    ]
    return pd.DataFrame(rows, columns=names)


def usage(decode, prefill, cache, tokens_per_s, hops):
    return Usage(*map(np.array, (decode, prefill, cache)), tokens_per_s, hops)


@pytest.fixture
def account(small_swarm, placement, two):
    made = Account({"m": INDEPENDENT, "other": SERIAL})
    made.observe(instance_of(small_swarm), "m", two, placement)
    made.observe(instance_of(small_swarm), "other", two, placement)
    first = usage([0.5, 0.25, 0.0], [0.25, 0.0, 1.0], [0.1, 0.2, 0.3], 10.0, 2.0)
    second = usage([0.25, 0.75, 0.0], [0.25, 0.5, 0.0], [0.9, 0.0, 0.0], 30.0, 3.0)
    made._methods["m"].usage[:] = [first, second]
    return made


def test_a_summary_by_hand(account):
    summary = account.summary(table(), {"m": "Label"}, Objective(0.2, 4.0))
    assert summary["remarks"] == ["a", "b"]
    (told,) = summary["methods"].values()
    assert told["label"] == "Label"
    assert told["not_served"] == {"rejected: no room": 1, "rejected": 1, "infeasible": 1}
    assert (told["runs"], told["requests"], told["design_load"]) == (2, 3, 3)
    # Over tokens (1,000 + 6,000 + 8,000) / 60 ms; of the runs 7,000 / 40 and 400.
    student = 12.706204736
    assert told["per_token_s"] == pytest.approx(
        {"mean": 0.25, "half_width_95": student * 0.225 / 2, "p50": 0.2, "p95": 0.38, "p99": 0.396}
    )
    assert told["ttft_s"] == pytest.approx(
        {"mean": 3.0, "half_width_95": student * 3 / 2, "p50": 3.0, "p95": 4.8, "p99": 4.96}
    )
    assert told["wait_s"] == pytest.approx(
        {"mean": 0.2, "half_width_95": 0.0, "p50": 0.2, "p95": 0.38, "p99": 0.396}
    )
    assert told["within_objective"] == 2 / 5
    assert (told["tokens_per_s"], told["hops"]) == (20.0, 2.5)
    assert told["computing_busiest"] == (1.0 + 1.25) / 2
    assert told["computing_busiest_decode"] == (0.5 + 0.75) / 2
    assert told["cache_fullest"] == pytest.approx((0.3 + 0.9) / 2)
    used = [(each["decode"], each["prefill"], each["cache_used"]) for each in told["servers"]]
    assert used == [(0.5, 0.25, 0.1), (0.25, 0.0, 0.2), (0.0, 1.0, 0.3)]
    assert [(each["server"], each["blocks"]) for each in told["servers"]] == [
        (0, 4),
        (1, 2),
        (2, 0),
    ]
    assert [chain["servers"] for chain in told["chains"]] == [[0, 1], [0]]
    assert told["warnings"] == [
        "computing of the busiest server is used 1.1 times over without batching (0.6 in decoding):"
        " sessions side by side at full speed, as the times assume, are impossible;"
        " --set service=serial, or batched, makes them wait"
    ]
    assert "living" not in told


def test_what_there_is_not_is_null_or_left_out(account):
    other = account.summary(table(), {"other": "O"}, Objective())["methods"]["other"]
    assert other["design_load"] is None and "within_objective" not in other
    assert (other["runs"], other["requests"], other["not_served"]) == (1, 1, {})
    assert other["per_token_s"] == {
        "mean": 7000.0, "half_width_95": None, "p50": 7000.0, "p95": 7000.0, "p99": 7000.0,
    }  # fmt: skip
    nothing = table()[lambda rows: rows["status"] != "ok"]
    assert account.summary(nothing, {"m": "L"}, Objective(1.0))["methods"]["m"] == {
        "label": "L", "runs": 0, "requests": 0,
        "not_served": {"rejected: no room": 1, "rejected": 1, "infeasible": 1},
    }  # fmt: skip


def test_a_living_swarm_says_what_it_went_through(account):
    lived = table().assign(
        engine="simpy", cuts=[0.0, 1.0, 9, 9, 2.0, 9, 9],
        prefilled_again=[10.0, 20.0, 9, 9, 60.0, 9, 9], replacements=[4.0, 4.0, 9, 9, 1.0, 9, 9],
    )  # fmt: skip
    told = account.summary(lived, {"m": "L"}, Objective())["methods"]["m"]["living"]
    assert told == {
        "engine": "simpy", "cuts_per_request": 1.0, "tokens_prefilled_again": 30.0,
        "replacements": 2.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("service", "busiest", "said"),
    [
        ("independent", 1.0, None),
        ("serial", 1.0, None),
        ("batched", 9.0, None),
        ("serial", 1.25, ": waits grow as long as requests come"),
        ("independent", 1.25, ": sessions side by side at full speed, as the times assume, are"
         " impossible; --set service=serial, or batched, makes them wait"),
    ],
)  # fmt: skip
def test_computing_that_is_used_over_is_said_where_nothing_is_batched(service, busiest, said):
    made = Account({"m": Choice(service, SERVICE[service].Options())})
    start = (
        "computing of the busiest server is used 1.2 times over without batching (0.9 in decoding)"
    )
    assert made._overload("m", busiest, 0.9) == ([] if said is None else [start + said])


@pytest.mark.parametrize(
    ("details", "load", "cap", "largest", "warned"),
    [
        ({"load": 1}, None, False, 0, True),
        ({"load": 1}, None, True, 0, True),
        ({"load": 1}, None, False, 1, False),
        ({"load": 1}, 1, False, 0, False),
        ({}, None, False, 0, False),
    ],
)
def test_a_guarantee_that_no_load_has_is_said(
    small_swarm, placement, two, monkeypatch, details, load, cap, largest, warned
):
    asked = []

    def most(swarm, tokens):
        asked.append((swarm.block_cap is not None, tokens))
        return largest

    monkeypatch.setattr(module, "max_design_load", most)
    capped = replace(small_swarm, block_cap=np.array([1, 1, 1]))
    made = Account({"m": INDEPENDENT})
    placed = replace(placement, details=details)
    made.observe(instance_of(capped, load=load, cap=cap), "m", two, placed)
    said = ["R = 1, although the guarantee of Corollary 1 holds for no R at all"]
    assert made._methods["m"].warnings == (said if warned else [])
    assert asked == ([(cap, 30)] if details and load is None else [])


def test_what_is_told_of_servers_is_that_of_the_first_run(small_swarm, placement, two):
    made, instance = Account({"m": INDEPENDENT}), instance_of(small_swarm)
    made.observe(instance, "m", two, placement)
    moved = replace(placement, first_block=np.array([1, 2, 0]), details={"load": 1})
    later = instance_of(small_swarm)
    later.remarks = ("c",)
    made.observe(later, "m", two, moved)
    told = made._methods["m"]
    assert len(told.usage) == 2 and told.warnings == []
    assert [server["first_block"] for server in told.servers] == [1, 3, 0]
    assert made.remarks == ["a", "b"]
    later.remarks = ("b", "c", "a")
    made.observe(later, "another", two, moved)
    assert made.remarks == ["a", "b", "c"]
