"""What a plan's record, texts and files say of placements that can be added up by hand."""

import csv
import io
import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

import bprr.plan.summary as summary
from bprr.ground.errors import InputError
from bprr.placement.base import Placement
from bprr.plan.arms import own_arm
from bprr.plan.changes import Change
from bprr.plan.folder import _known, _replacing, _yaml, files_of, write_folder
from bprr.plan.goal import Goal
from bprr.plan.known import Grade, Known
from bprr.plan.machines import Machine
from bprr.plan.make import Made, Optimum
from bprr.plan.petals_files import client_snippet, compose_file, folder_names, server_config
from bprr.plan.predict import Alone, Loaded, Rates, quantities_of
from bprr.plan.record import rounded, value_of
from bprr.plan.summary import summary_of
from bprr.plan.text import _against_petals, briefly, number, said, text_of

from .toy_plan import MACHINES, SERVED, arm_of, toy_problem

CHAIN = ([1, 1, 3, 4], [0, 2, 2, 1])


def caches(problem, configuration, cache, name="own", where=CHAIN):
    placement = Placement(problem.swarm, *map(np.array, where), np.array(cache))
    return own_arm(problem, name, f"arm {name}", placement, configuration)


@pytest.fixture
def made(tmp_path, configuration):
    """b and then c; d has the last block too; a sleeps. b holds 5 sessions, c 4, d 3."""
    machines = (*MACHINES[:3], replace(MACHINES[3], memory_gb=None))
    problem = toy_problem(tmp_path, configuration, machines)
    arm = caches(problem, configuration, [0, 2 * 256 * 5 + 511, 2 * 256 * 4, 256 * 3])
    return Made(problem, arm, (arm,), None, ("first remark",))


def told(made, changes=(), **more):
    arguments = {"quantisation": "none", "with_losses": False, "with_curve": False, **more}
    return summary_of(made, changes, **arguments)


def test_what_memory_is_for(made):
    """1.5 GB are left alone; weights, cache and the rest add up."""
    a, b, c, d = told(made).placement
    assert (a.first_block, a.blocks, a.block_indices, a.sessions) == (0, 0, None, 0)
    assert (a.cache_tokens_per_block, a.alone_hosts, a.free_gb) == (0, 0, 6.0)
    assert (b.first_block, b.blocks, b.block_indices) == (1, 2, "0:2")
    assert (c.first_block, c.blocks, c.block_indices) == (3, 2, "2:4")
    assert (b.sessions, c.sessions, d.sessions) == (5, 4, 3)
    assert (b.cache_tokens, b.cache_tokens_per_block) == (3071, 1535)
    assert (b.memory_gb, b.reserve_gb, b.weights_gb) == (4.0, 1.5, 2.0)
    assert b.cache_gb == pytest.approx(3071 * 4e-6)
    assert b.free_gb == rounded(0.5 - 3071 * 4e-6)
    assert (b.alone_hosts, c.alone_hosts, d.alone_hosts) == (2, 1, 0)
    assert b.tau_ms.model_dump() == {"value": 2.0, "low": 1.82, "high": 2.2, "grade": "measured"}
    usable_gb = made.problem.paced[3].device.memory_gb  # of the data sheet
    assert (d.memory_gb, d.reserve_gb) == (pytest.approx(usable_gb), 0.0)
    assert [each.device for each in (a, b, c, d)] == ["l4", "l4_2", "server", "t4"]
    assert [each.gpu for each in (a, b, c, d)] == ["L4", "L4", "", "T4"]
    assert [each.place for each in (a, b, c, d)] == ["Paris", "Rome", "Oslo", "Rome"]
    assert a.latitude == pytest.approx(49, abs=0.2) and c.longitude == pytest.approx(11, abs=0.5)
    assert [each.server for each in (a, b, c, d)] == [0, 1, 2, 3]
    assert a.petals_blocks == 4 and b.because == "1/inference_rps, as PETALS measured itself"


def test_the_head_of_a_record(made):
    plan = told(made, asked={"swarm": "x"})
    assert plan.asked == {"swarm": "x"} and told(made).asked == {}
    assert (plan.model, plan.title, plan.blocks, plan.block_gb) == ("toy", "Toy 4B", 4, 1.0)
    assert plan.cache_bytes_per_token_and_block == 4000
    assert plan.session == {"input_tokens": 128, "output_tokens": 128}
    assert (plan.rate_per_s, plan.objective, plan.method) == (None, "latency", "arm own")
    assert (plan.forwarding, plan.speculation, plan.reserve_gb) == ("hub", "none", 1.5)
    assert plan.hop_overhead_ms.model_dump() == {
        "value": 8.0, "low": 4.0, "high": 15.0, "grade": "estimated",
    }  # fmt: skip
    assert (plan.distances, plan.distances_grade) == ("round trips of rtt.csv", "measured")
    assert plan.spare_seconds == {"hot": 33.0, "cold": 131.0}
    assert plan.remarks == [
        "first remark", "no rate is asked for: times are those of one session at a time",
    ]  # fmt: skip
    assert (plan.loaded, plan.goals, plan.until_slo_per_s, plan.curve) == (None, [], None, [])
    assert [(each.name, each.blocks, each.memory_gb) for each in plan.spares] == [
        ("b", "1–2", 2.0), ("c", "3–3", 1.0),
    ]  # fmt: skip
    nameless = replace(made, problem=replace(made.problem, served=SERVED._replace(title="")))
    assert told(nameless).title == "toy"
    drafts = replace(made.problem.wish, speculation={"chain": {"drafts": 3.0}})
    own = replace(made, problem=replace(made.problem, wish=drafts))
    assert told(own).speculation == "chain"


def test_chains_of_a_record(made):
    paris, oslo = told(made).chains
    assert (paris.client, paris.place, oslo.client, oslo.place) == (0, "Paris", 1, "Oslo")
    assert (oslo.servers, oslo.blocks_processed) == ([1, 2], [2, 2])
    assert [hop.name for hop in oslo.hops] == ["b", "c"]
    assert [hop.network_ms.value for hop in paris.hops] == [28, 38]
    assert [hop.computing_ms.value for hop in paris.hops] == [4, 20]
    assert paris.token_ms.value == 90 and told(made).token_ms.value == 91
    assert paris.tokens_per_s.value == pytest.approx(1000 / 90, rel=1e-4)


@pytest.mark.parametrize(
    ("rate", "remark"),
    [
        (0.1, None),
        (0.381, "0.381 sessions/s are more than the placement carries (0.381): times under load"
         " grow with every session"),
        (2.0, "2 sessions/s are more than the placement carries (0.381): times under load grow with"
         " every session"),
    ],
)  # fmt: skip
def test_what_is_remarked_of_a_load(tmp_path, configuration, monkeypatch, rate, remark):
    problem = toy_problem(tmp_path, configuration, rate_per_s=rate, requests=5)
    arm = arm_of(problem, configuration, *CHAIN)
    known = Known(0.381, 0.3, 0.4, Grade.MEASURED)
    monkeypatch.setattr(summary, "rates", lambda _: Rates(known, known, "memory"))
    plan = told(Made(problem, arm, (arm,), None, ()))
    last = (
        "times under load are of 5 sessions from an empty swarm, servers taking one task after"
        " another: near the sustained rate they are a transient"
    )
    assert plan.remarks == [*([remark] if remark else []), last]
    assert (plan.bound, plan.rate_per_s) == ("memory", rate)
    monkeypatch.setattr(summary, "loaded", lambda _: None)
    plan = told(Made(problem, arm, (arm,), None, ()))
    lost = "the load cannot be served: sessions wait for each other for ever"
    assert plan.remarks == [lost] and plan.loaded is None


def test_sessions_of_a_record(tmp_path, configuration):
    problem = toy_problem(tmp_path, configuration, rate_per_s=0.1, requests=5)
    arm = arm_of(problem, configuration, *CHAIN)
    plan = told(Made(problem, arm, (arm,), None, ()))
    tables = [quantities_of(arm.simulated(level)) for level in range(3)]
    assert (plan.loaded.rate_per_s, plan.loaded.sessions) == (0.1, 5)
    assert plan.loaded.busiest_server == "c"
    for name in ("ttft_ms", "token_ms", "wait_ms"):
        for of, value in getattr(plan.loaded, name).items():
            low, middle, high = (rounded(table[name][of]) for table in tables)
            assert (value.low, value.value, value.high) == (low, middle, high)
    curve = told(Made(problem, arm, (arm,), None, ()), with_curve=True).curve
    rates = [point.rate_per_s / plan.sustained_per_s.value for point in curve]
    assert rates == pytest.approx([0.05, 0.25, 0.5, 0.75, 0.95], rel=1e-3)
    nothing = SimpleNamespace(problem=SimpleNamespace(
        instance=SimpleNamespace(rate_per_s=math.nan)))  # fmt: skip
    assert summary._curve(nothing) == []


@pytest.mark.parametrize(
    ("low", "high", "grade", "verdict", "because"),
    [
        (100.1, 200.0, 0, "missed", "even the low end of the interval is beyond it"),
        (100.0, 100.1, 0, "open", "it lies within the interval"),
        (50.0, 100.0, 0, "met", "the whole interval is within it, with measured machines"),
        (50.0, 100.0, 1, "met", "the whole interval is within it, with measured machines"),
        (50.0, 100.0, 2, "open", "the whole interval is within it, but computing is estimated:"
         " measure inference_rps, or calibrate"),
    ],
)  # fmt: skip
def test_goals_are_met_or_missed(low, high, grade, verdict, because):
    """By sessions under load where there are any, else by one alone."""
    problem = SimpleNamespace(device_grade=Grade(grade))
    known, other = Known(75.0, low, high, Grade.ESTIMATED), Known(1.0, 0.0, 1e9, Grade.MEASURED)
    load = Loaded(1.0, 5, {"ttft_ms": {"p95": known}, "token_ms": {"p95": other}}, (), (0, 1.0))
    cases = [
        (Goal("ttft", 100.0, "p95"), Alone(other, other), load),
        (Goal("ttft", 100.0, "p95"), Alone(other, known), None),
        (Goal("token", 100.0, "mean"), Alone(known, other), None),
        (Goal("token", 100.0, "p95"), Alone(other, other),
         load._replace(quantities={"ttft_ms": {"p95": other}, "token_ms": {"p95": known}})),
    ]  # fmt: skip
    for goal, alone, found in cases:
        record = summary._goal(goal, problem, alone, found)
        assert (record.verdict, record.because) == (verdict, because)
        assert record.goal == goal.text and record.value_ms == value_of(known)


def test_what_is_compared(tmp_path, configuration, monkeypatch):
    """Rates and loads where they have been found, or cost little; of PETALS' choice always."""
    for rate, large, theirs_loaded in ((None, 4, False), (0.1, 4, True), (0.1, 3, True)):
        problem = toy_problem(tmp_path, configuration, rate_per_s=rate, requests=5)
        one = arm_of(problem, configuration, *CHAIN, "one")
        two = arm_of(problem, configuration, *CHAIN, "two")
        theirs = arm_of(problem, configuration, *CHAIN, "petals_shipped")
        _ = two.loaded_ms, two.capacity_per_s
        monkeypatch.setattr(summary, "LARGE", large)
        first, second, last = summary._compared(Made(problem, two, (one, two, theirs), None, ()))
        assert [each.chosen for each in (first, second, last)] == [False, True, False]
        assert (first.name, first.label) == ("one", "arm one")
        assert first.mean_alone_ms == rounded(one.mean_alone_ms)
        assert first.loaded_ms is None and second.loaded_ms == rounded(two.loaded_ms)
        assert (last.loaded_ms is not None) == theirs_loaded
        assert second.capacity_per_s == rounded(two.capacity_per_s)
        assert (first.capacity_per_s is None) == (large == 3)


def test_changes_losses_and_the_optimum(made, tmp_path, configuration):
    arm = made.arm
    alone, rate = arm.mean_alone_ms, arm.capacity_per_s
    changes = [Change("x", alone / 2, rate * 3), Change("y", math.nan, math.nan, "no room")]
    x, y = told(made, changes).changes
    assert (x.what, x.times_faster, x.why_not) == ("x", 2.0, "")
    assert x.times_capacity == pytest.approx(3, rel=1e-4)
    assert (x.mean_alone_ms, x.capacity_per_s) == (rounded(alone / 2), rounded(rate * 3))
    assert (y.mean_alone_ms, y.times_faster, y.times_capacity, y.why_not) == (
        None, None, None, "no room",
    )  # fmt: skip
    none = Rates(Known(0.0, 0.0, 0.0, Grade.MEASURED), Known(0.0, 0.0, 0.0, Grade.MEASURED), "")
    assert summary._change(changes[0], arm, none).times_capacity is None
    lost = told(made, with_losses=True).losses
    assert [(each.name, each.blocks_lost) for each in lost] == [("b", 2), ("c", 1), ("d", 0)]
    assert [each.times_slower for each in lost] == [None, None, 1.0]
    proven = replace(made, optimum=Optimum("optimal", 80.123456, 79.0, None))
    found = told(proven).optimum
    assert (found.status, found.decode_ms, found.bound_ms) == ("optimal", 80.123, 79.0)
    assert found.plan_ms == pytest.approx(91) and told(made).optimum is None


def test_the_worst_losses_come_first(made, monkeypatch):
    lost = [(0, 0, 200.0), (1, 0, math.nan), (2, 3, math.nan), (3, 0, 300.0), (0, 4, math.nan)]
    monkeypatch.setattr(summary, "losses", lambda _: [summary_loss(*each) for each in lost])
    found = told(made, with_losses=True).losses
    assert [(each.name, each.blocks_lost) for each in found] == [
        ("a", 4), ("c", 3), ("b", 0), ("d", 0), ("a", 0),
    ]  # fmt: skip
    assert found[3].times_slower == rounded(300 / made.arm.mean_alone_ms)


def summary_loss(server, blocks_lost, mean_ms):
    return SimpleNamespace(server=server, blocks_lost=blocks_lost, mean_ms=mean_ms)


def test_the_largest_rate_is_only_sought_if_asked_for(made, monkeypatch):
    monkeypatch.setattr(summary, "most_rate", lambda arm, goals: 0.123456789)
    assert told(made).until_slo_per_s is None
    assert told(made, until_slo=True).until_slo_per_s == 0.12346


# Texts ------------------------------------------------------------------------------------------


@pytest.fixture
def plan(made):
    """A record with everything in it."""
    whole = told(made, [Change("x", 45.0, 3.0), Change("y", math.nan, math.nan, "no room")])
    known = value_of(Known(20.0, 10.0, 2000.0, Grade.CALIBRATED))
    long = value_of(Known(2000.0, 1000.0, 3000.0, Grade.MEASURED))
    load = summary.LoadRecord(
        rate_per_s=0.5, sessions=7, busiest_server="b|c", busiest_share=0.256,
        ttft_ms=dict.fromkeys(("mean", "p50", "p95", "p99"), long),
        token_ms=dict.fromkeys(("mean", "p50", "p95", "p99"), known),
        wait_ms=dict.fromkeys(("mean", "p50", "p95", "p99"), known),
    )  # fmt: skip
    (own,) = whole.compared
    theirs = own.model_copy(update={"name": "petals_shipped", "label": "PETALS", "chosen": False,
                                    "loaded_ms": 400.0, "mean_alone_ms": 300.0})  # fmt: skip
    goal = summary.GoalRecord(goal="token=5ms@p95", value_ms=known, verdict="open", because="so")
    optimum = summary.OptimumRecord(status="optimal", decode_ms=80.126, bound_ms=79.0, plan_ms=91.0)
    lost = [
        summary.LossRecord(name=name, blocks_lost=blocks, mean_alone_ms=None, times_slower=slower)
        for name, blocks, slower in (("b", 2, None), ("c", 0, 1.5), ("d", 0, 1.0), ("e", 1, 1.0))
    ]
    return whole.model_copy(update={
        "loaded": load, "compared": [own.model_copy(update={"loaded_ms": 200.0}), theirs],
        "goals": [goal], "until_slo_per_s": 0.12345, "optimum": optimum, "losses": lost,
        "rate_per_s": 0.5,
    })  # fmt: skip


def test_a_plan_in_lines(plan):
    whole = briefly(plan)
    assert whole == [
        "Toy 4B (none, 4 blocks of 1 GB) on 3 of 4 servers, 0.5 sessions/s; arm own",
        "  each token alone    91 ms (75.7 to 122, estimated)",
        f"  first token alone   {said(plan.ttft_ms)}",
        f"  sustained           {said(plan.sustained_per_s, 'sessions/s')}, bound by computing",
        "  each token, mean    20 ms (10 to 2,000, calibrated)",
        "  each token, p95     20 ms (10 to 2,000, calibrated)",
        "  first token, mean   2 s (1 to 3, measured)",
        "  first token, p95    2 s (1 to 3, measured)",
        "  PETALS by itself    400 ms per token of a session under load, this plan 200",
        f"  bottleneck          {plan.bottleneck}",
        "  without a spare     blocks of 2 servers: b, c",
        "  goal token=5ms@p95: open, 20 ms (10 to 2,000, calibrated): so",
        "  all goals up to     0.123 sessions/s (simulated)",
    ]
    bare = {"loaded": None, "spares": [], "goals": [], "until_slo_per_s": None, "compared": [],
            "rate_per_s": None}  # fmt: skip
    few = briefly(plan.model_copy(update=bare))
    assert few == [whole[0].replace(", 0.5 sessions/s", ""), *whole[1:4], whole[9]]
    many = plan.model_copy(update={"spares": [plan.spares[0]] * 9})
    assert "  without a spare     blocks of 9 servers: b, b, b, b, b, b, b, b" in briefly(many)


@pytest.mark.parametrize(
    ("own", "theirs", "line"),
    [
        ((50.0, 10.0), (80.0, 20.0), "20 ms per token of a session under load, this plan 10"),
        ((50.0, None), (80.0, 20.0), "80 ms per token of a session alone, this plan 50"),
        ((50.0, 10.0), (80.0, None), "80 ms per token of a session alone, this plan 50"),
        ((None, 10.0), (80.0, None), None),
        ((50.0, 10.0), (None, None), None),
        ((None, None), (None, None), None),
    ],
)
def test_a_plan_against_petals(plan, own, theirs, line):
    arms = [
        arm.model_copy(update=dict(zip(("mean_alone_ms", "loaded_ms"), times, strict=True)))
        for arm, times in zip(plan.compared, (own, theirs), strict=True)
    ]
    found = _against_petals(plan.model_copy(update={"compared": arms}))
    assert found == ([] if line is None else [f"  PETALS by itself    {line}"])
    for alone in arms:
        assert _against_petals(plan.model_copy(update={"compared": [alone]})) == []


def test_a_plan_in_markdown(plan):
    """Each part of it, with the cells of its tables."""
    text = text_of(plan)
    assert text.startswith("# Plan: Toy 4B (none, 4 blocks of 1 GB) on 3 of 4 servers, 0.5 sess")
    assert "\n\n- each token alone    91 ms (75.7 to 122, estimated)\n- first" in text
    assert (
        "Distances: round trips of rtt.csv. A hop costs 8 ms (4 to 15, estimated) besides.\n\n"
        "## Chains\nFrom Paris: 90 ms (" in text
    )
    assert "| b | 2 | 28 ms (22 to 40.6, estimated) | 4 ms (3.64 to 4.4, measured) |" in text
    assert "tokens/s.\n" not in text and "the first one, 11.1 tokens/s (" in text
    parts = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", text, re.MULTILINE))
    seen = {name: part.splitlines() for name, part in parts.items()}
    known, long = "20 ms (10 to 2,000, calibrated)", "2 s (1 to 3, measured)"
    assert seen["Under load: 7 sessions"] == [
        "|  | mean | p50 | p95 | p99 |", "| --- | --- | --- | --- | --- |",
        f"| first token | {' | '.join([long] * 4)} |",
        f"| each token after it | {' | '.join([known] * 4)} |",
        f"| waiting for room | {' | '.join([known] * 4)} |", "",
        r"Busiest server: b\|c, computing 26% of the time.", "",
    ]  # fmt: skip
    assert seen["Servers (GB)"][2] == (
        "| a | L4 | none | 7.5 | 1.5 | 0 | 0 | 6 | 0 | 1 (0.91 to 1.1, measured) | 4 |"
    )
    assert seen["Servers (GB)"][3].startswith("| b | L4 | 1–2 | 4 | 1.5 | 2 | 0.0123 | 0.488 | 5 |")
    assert seen["Servers (GB)"][4].startswith("| c | server | 3–4 | 4.5 | ")
    ours = plan.compared[0]
    alone, rate = number(ours.mean_alone_ms), number(ours.capacity_per_s)
    assert seen["Compared"][2:] == [
        f"| arm own | {alone} | {rate} | 200 | chosen |",
        f"| PETALS | 300 | {rate} | 400 |  |", "",
        "Optimum of decoding alone: optimal, 80.13 ms a token (no plan is below 79); this plan: 91"
        " ms.", "",
    ]  # fmt: skip
    x = plan.changes[0]
    assert seen["Changes"][2:] == [
        f"| x | 45 | {number(x.times_faster)} | 3 | {number(x.times_capacity)} |",
        "| y | no room |  |  |  |", "",
    ]  # fmt: skip
    assert seen["A server less"][2:] == [
        "| b | 2 | – |", "| c | none | 1.5 |", "| e | 1 | 1 |", "",
        "The other 1 make no session alone slower.", "",
    ]  # fmt: skip
    assert seen["Spares"] == [
        "A hot spare serves after 33 s, a cold one after 131 s, on another swarm.",
        "Blocks with one host alone:", "", "| server | blocks | GB of a spare |",
        "| --- | --- | --- |", "| b | 1–2 | 2 |", "| c | 3–3 | 1 |", "",
    ]  # fmt: skip
    assert seen["Remarks"][0] == "- first remark" and len(seen["Remarks"]) == 2
    unknown = plan.loaded.model_copy(update={"busiest_share": None})
    fewer = {"loaded": unknown, "spares": [], "remarks": [], "changes": [], "losses": [],
             "optimum": None}  # fmt: skip
    text = text_of(plan.model_copy(update=fewer))
    assert "computing – of the time." in text
    assert text.endswith("\n\n## Spares\nEvery block has a second host.\n\n")
    assert not any(f"## {part}" in text for part in ("Changes", "A server less", "Remarks"))
    assert "Optimum" not in text and "## Under load" not in text_of(
        plan.model_copy(update={"loaded": None})
    )


def test_long_tables_end_after_sixty_rows(plan):
    spare = plan.spares[0]
    for count, last in ((60, "| b | 1–2 | 2 |"), (61, "| … and 1 more in plan.json | | |")):
        text = text_of(plan.model_copy(update={"spares": [spare] * count, "remarks": []}))
        assert text.endswith(f"| b | 1–2 | 2 |\n{last}\n\n")
        assert text.count("| b | 1–2 | 2 |") == 60


def test_numbers_of_files_have_five_digits():
    assert rounded(123.456789) == 123.46 and rounded(0.000123456) == 0.00012346
    assert rounded(1234567.0) == 1234600.0


# Files ------------------------------------------------------------------------------------------


def test_files_of_a_plan(made, plan):
    files = files_of(made, plan, "hub/Toy", set())
    assert list(files) == [
        "plan.json", "plan.md", "plan.html", "scenario.yaml", "models.yaml", "devices.yaml",
        "servers.csv", "rtt.csv", "client.py", "docker-compose.yml", "servers/b/config.yml",
        "servers/c/config.yml", "servers/d/config.yml",
    ]  # fmt: skip
    assert files["plan.json"] == plan.model_dump_json(indent=1) + "\n"
    assert yaml.safe_load(files["models.yaml"]) == {
        "toy": {"blocks": 4, "d_model": 1000, "block_gb": 1.0, "max_sequence_tokens": 9000},
    }  # fmt: skip
    assert yaml.safe_load(files["scenario.yaml"])["model"] == "toy"
    devices = yaml.safe_load(files["devices.yaml"])
    assert list(devices) == ["l4", "l4_2", "server", "t4"]
    assert devices["server"] == {
        "tau_ms": pytest.approx(10), "prefill_ms": pytest.approx(10), "memory_gb": 3.0,
        "prefill_ms_per_token": pytest.approx(0.25), "inference_rps": 109.0,
        "forward_rps": pytest.approx(1024e3 / 266), "network_rps": 6250.0, "model": "toy",
        "source": "1/inference_rps, as PETALS measured itself",
    }  # fmt: skip
    rows = list(csv.reader(io.StringIO(files["servers.csv"])))
    assert rows[0] == ["device", "at", "memory_gb", "name"]
    assert rows[2] == ["l4_2", "Rome", "2.5", "b"]
    assert files["rtt.csv"] == (
        ",Paris,Rome,Oslo\nParis,2.000,20.000,30.000\nRome,20.000,4.000,50.000\n"
        "Oslo,30.000,50.000,2.000\n"
    )
    taken = files_of(made, plan, "hub/Toy", {"toy", "x"})
    assert list(yaml.safe_load(taken["models.yaml"])) == ["toy_planned"]
    assert yaml.safe_load(taken["scenario.yaml"])["model"] == "toy_planned"
    assert yaml.safe_load(taken["devices.yaml"])["t4"]["model"] == "toy_planned"


def test_files_of_yaml_are_for_people():
    """Letters as they are, in the order that was given, in lines of a hundred letters."""
    first, second, *_, last = _yaml({"k": "× " + "a " * 150 + "a", "b": 1}).splitlines()
    assert first.startswith("k: × a a") and last == "b: 1"
    assert len(second) == 101  # the word that passes the hundredth ends it


def test_uplinks_stay_beside_round_trips(made, plan):
    speed = np.array([[100.0, 90.25, np.nan], [1234567.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    distances = made.problem.distances
    known = replace(distances, network=replace(distances.network, mbit_per_s=speed))
    own = replace(made, problem=replace(made.problem, distances=known))
    lines = files_of(own, plan, "x", set())["rtt.csv"].splitlines()
    assert lines[:5] == [
        "from,to,rtt_ms,mbit_per_s", "Paris,Paris,2.000,100", "Paris,Rome,20.000,90.25",
        "Paris,Oslo,30.000,", "Rome,Paris,20.000,1.23457e+06",
    ]  # fmt: skip
    assert len(lines) == 10 and _known(float("nan")) == ""


def test_texts_of_petals(plan):
    server = plan.placement[1]
    whole = server_config(plan, server, 'hub/To"y')
    content = yaml.safe_load(whole)
    assert content == {
        "converted_model_name_or_path": 'hub/To"y', "block_indices": "0:2",
        "attn_cache_tokens": 1535, "quant_type": "none", "throughput": "auto", "public_name": "b",
        "identity_path": "identity.key", "port": 31330,
        "initial_peers": ["/ip4/FIRST_HOST/tcp/31330/p2p/FIRST_PEER"],
    }  # fmt: skip
    remarks = [line for line in whole.splitlines() if line.startswith("#")]
    assert remarks[0] == (
        "# python -m petals.cli.run_server --config config.yml  (2 of 4 blocks, 2 GB; cache"
        " 0.012284 GB)"
    )
    own = server.petals_cache_tokens_per_block
    assert remarks[2] == f"# 5 sessions of 256 tokens; PETALS' own: {own}."
    assert remarks[3] == "# PETALS times itself; the plan reckons with 500 blocks/s."
    other = plan.model_copy(update={"quantisation": "own"})
    assert "quant_type" not in yaml.safe_load(server_config(other, server, "x"))
    unknown = server.model_copy(update={"tau_ms": plan.chains[0].token_ms.model_copy(
        update={"value": None})})  # fmt: skip
    assert "reckons with 1000 blocks/s." in server_config(plan, unknown, "x")


def test_folders_of_servers(plan):
    one = plan.placement[0]
    names = ["a b", "A-b", "a/b", "..", "-", "x" * 70, "x" * 60, "é.1"]
    found = folder_names([one.model_copy(update={"name": name}) for name in names])
    assert found == ["a-b", "A-b-2", "a-b-3", "server", "server-2", "x" * 60, f"{'x' * 60}-2", "1"]


def test_a_compose_file(plan):
    text = compose_file(plan, {0: "a", 1: "B.1", 2: "c", 3: "d_2"})
    content = yaml.safe_load(text)
    assert list(content["services"]) == ["b-1", "c", "d_2"]
    assert content["services"]["b-1"] == {
        "image": "learningathome/petals:main", "profiles": ["B.1"],
        "command": "python -m petals.cli.run_server --config /plan/config.yml",
        "network_mode": "host", "ipc": "host", "restart": "unless-stopped",
        "volumes": ["./servers/B.1:/plan", "petals-cache:/cache"],
        "deploy": {"resources": {"reservations": {"devices": [
            {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]}}},
    }  # fmt: skip
    assert content["volumes"] == {"petals-cache": None} and text.endswith("petals-cache:\n")


def test_a_client_of_the_chains(plan):
    text = client_snippet(plan, "hub/Toy")
    begin = text[text.index("MODEL = ") : text.index("\nPEERS = ")]
    known = {}
    exec(begin, known)
    spans = [("b", 0, 2), ("c", 2, 4)]
    assert known["CHAINS"] == {"Paris": spans, "Oslo": spans}
    assert known["MODEL"] == "hub/Toy"
    assert known["INITIAL_PEERS"] == ["/ip4/FIRST_HOST/tcp/31330/p2p/FIRST_PEER"]
    assert "    place = 'Paris'\n" in text and "max_pinged=3" in text


def test_the_place_of_a_folder(tmp_path):
    """None, an empty one or one of a plan is taken; nothing unfinished is left."""
    allowed = "a folder of an older plan, an empty one, or none yet"
    for name, files in {"new/er": {"plan.json": "1", "a/b.txt": "é\n"}, "new": None}.items():
        if files is None:
            with pytest.raises(InputError) as refused:
                write_folder(tmp_path / name, {})
            assert str(refused.value) == (
                f"{tmp_path / name}: output: got 'a folder of other things'; allowed: {allowed}"
            )
            continue
        write_folder(tmp_path / name, files)
        assert (tmp_path / name / "a/b.txt").read_bytes() == "é\n".encode()
    write_folder(tmp_path / "new/er", {"plan.json": "2"})
    assert [path.name for path in (tmp_path / "new/er").iterdir()] == ["plan.json"]
    (tmp_path / "empty").mkdir()
    write_folder(tmp_path / "empty", {"x": "1"})
    assert (tmp_path / "empty/x").read_text() == "1"
    with pytest.raises(InputError) as refused:
        write_folder(tmp_path / "empty/x", {})
    assert str(refused.value) == f"{tmp_path / 'empty/x'}: output: got 'a file'; allowed: {allowed}"
    with pytest.raises(InputError) as refused:
        write_folder(tmp_path / "empty/x/y", {})
    assert str(refused.value) == (
        f"{tmp_path / 'empty/x/y'}: output: got 'File exists'; allowed: {allowed}"
    )
    with pytest.raises(KeyError), _replacing(tmp_path / "new/er") as unfinished:
        (unfinished / "half").write_text("x")
        raise KeyError
    assert (tmp_path / "new/er/plan.json").read_text() == "2"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["er"]
    assert Machine("x").gpu == ""
