"""What a swarm was seen to do: logs, chains of it, and the fit, by hand or by plain algebra."""

import json

import numpy as np
import pytest

from bprr.plan.calibrate import (
    Calibration,
    Observed,
    _solved,
    calibrated,
    errors,
    read_calibration,
    read_log,
    read_plan,
    sessions_of,
    token_ms,
)
from bprr.plan.make import Made
from bprr.plan.record import ChainRecord, HopRecord, Value
from bprr.plan.summary import summary_of

from .refusals import refused_text
from .toy_plan import arm_of, toy_problem


def value(number):
    return Value(value=number, low=None, high=None, grade="estimated")


@pytest.fixture(scope="module")
def plan(tmp_path_factory, configuration):
    """From Paris over b and then c, from Oslo over a alone."""
    folder = tmp_path_factory.mktemp("plan")
    problem = toy_problem(folder, configuration, clients=("Paris", "Oslo"))
    arm = arm_of(problem, configuration, [1, 1, 3, 4], [4, 2, 2, 1])
    whole = summary_of(Made(problem, arm, (arm,), None, ()), [], quantisation="none",
                       with_losses=False, with_curve=False)  # fmt: skip

    def hop(server, blocks, network_ms, computing_ms):
        name = "abcd"[server]
        return HopRecord(server=server, name=name, blocks=blocks, network_ms=value(network_ms),
                         computing_ms=value(computing_ms))  # fmt: skip

    hops = [[hop(1, 2, 28.0, 4.0), hop(2, 2, 38.0, 20.0)], [hop(0, 4, 38.0, 4.0)]]
    chains = [
        chain.model_copy(update={"hops": own})
        for chain, own in zip(whole.chains, hops, strict=True)
    ]
    return whole.model_copy(update={"chains": chains})


ROW = {"start": 2, "first_token": 3.5, "end": 5.5, "tokens": 5}


# Logs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"start": 3.5}, "start: got 'start 3.5, first token 3.5, end 5.5, 5 tokens'; allowed:"
         " start < first_token <= end, tokens >= 1"),
        ({"end": 3}, "start: got 'start 2, first token 3.5, end 3, 5 tokens'; allowed:"
         " start < first_token <= end, tokens >= 1"),
        ({"tokens": 0}, "start: got 'start 2, first token 3.5, end 5.5, 0 tokens'; allowed:"
         " start < first_token <= end, tokens >= 1"),
        ({"start": True}, "start: got True; allowed: a number (s)"),
        ({"end": "5"}, "end: got '5'; allowed: a number (s)"),
        ({"end": 1e15}, "end: got 1000000000000000.0; allowed: a number (s)"),
        ({"first_token": None}, "first_token: got None; allowed: a number (s)"),
        ({"tokens": -1e15}, "tokens: got -1000000000000000.0; allowed: a number (s)"),
        ({"client": "Rome"}, "client: got 'Rome'; allowed: Paris, Oslo"),
        ({"chain": "b > e"}, "chain: got 'e'; allowed: a, b, c, d"),
        ({"chain": "d"}, "chain: got 'd'; allowed: servers whose distance plan.json has: b, c, a"),
        ({"chain": "c"}, "chain: got 'c'; allowed: a server that hosts block 1 of the plan"),
        ({"chain": "b > b"}, "chain: got 'b'; allowed: a server that hosts block 3 of the plan"),
        ({"chain": ["b"]}, "chain: got 'b'; allowed: a chain of all 4 blocks"),
        ({"chain": "a > c"}, "chain: got 'c'; allowed: a server that hosts block 5 of the plan"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be(plan, change, said):
    rows = [(2, ROW)] * 9 + [(11, {**ROW, **change})]
    assert refused_text(sessions_of, rows, plan, "log") == f"log (line 11): {said}"


def test_how_many_sessions_there_have_to_be(plan):
    found = sessions_of(
        [(1, {**ROW, "tokens": 1})] * 3 + [(2, {**ROW, "tokens": 2})] * 8, plan, "x"
    )
    assert len(found) == 8 and found[0][1:] == (1500, 2000)
    said = "x: rows: got 7; allowed: at least 8 sessions of two tokens and more"
    assert refused_text(sessions_of, [(2, ROW)] * 7, plan, "x") == said


@pytest.mark.parametrize(
    ("client", "chain", "servers", "computing_ms"),
    [
        (None, None, [1, 2], [4.0, 20.0]),
        ("", " ", [1, 2], [4.0, 20.0]),
        ("Oslo", [], [0], [4.0]),
        (3, "", [1, 2], [4.0, 20.0]),
        ("Oslo", " b>c ", [1, 2], [4.0, 20.0]),  # whose way is known from Paris alone
        ("Paris", "a", [0], [4.0]),
        ("Oslo", ["b", "a"], [1, 0], [4.0, 2.0]),  # the rest of a's blocks
    ],
)
def test_chains_that_sessions_took(plan, client, chain, servers, computing_ms):
    (found, *_) = sessions_of([(2, {**ROW, "client": client, "chain": chain})] * 8, plan, "x")
    assert [hop.server for hop in found.chain.hops] == servers
    assert [hop.computing_ms.value for hop in found.chain.hops] == pytest.approx(computing_ms)
    assert sum(hop.blocks for hop in found.chain.hops) == 4
    assert found.chain.place == ("Oslo" if client == "Oslo" else "Paris")


def test_logs_in_files(plan, tmp_path):
    """Lines are counted as an editor does; empty ones of JSON are none."""
    path = tmp_path / "log"
    line = json.dumps(ROW)
    path.write_text("\n".join([line, "", *[line] * 7, '{"start": 1}']), encoding="utf-8")
    assert refused_text(read_log, path, plan).startswith(f"{path} (line 10): first_token: got None")
    path.write_text("\n".join([" ", line, "", *[line] * 7]), encoding="utf-8")
    assert len(read_log(path, plan)) == 8
    for text, said in {
        "[1]": "line 2: got 'list'; allowed: a JSON object",
        "{": "line 2: got 'Expecting property name enclosed in double quotes: line 1 column 2"
        " (char 1)'; allowed: one JSON object a line",
    }.items():
        path.write_text(f"{line}\n{text}\n", encoding="utf-8")
        assert refused_text(read_log, path, plan) == f"{path}: {said}"
    header = "start,first_token,end,tokens,client"
    path.write_text("\n".join([header, *["0,1,2,3,Oslo"] * 8]), encoding="utf-8")
    found = read_log(path, plan)
    assert found[0][1:] == (1000, 500) and found[0].chain.place == "Oslo"
    path.write_text("\n".join([header, *["0,1,2,3,Oslo"] * 7, "0,1,2,3,Rome"]), encoding="utf-8")
    assert refused_text(read_log, path, plan) == (
        f"{path} (line 9): client: got 'Rome'; allowed: Paris, Oslo"
    )
    path.write_text("start,end,chain\n0,1,a\n", encoding="utf-8")
    assert refused_text(read_log, path, plan) == (
        f"{path}: columns: got 'no first_token, tokens'; allowed: start, first_token, end, tokens,"
        " chain, client, input_tokens"
    )


def test_plans_and_calibrations_in_files(plan, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(plan.model_dump_json(), encoding="utf-8")
    assert read_plan(tmp_path) == read_plan(path)
    assert read_plan(path).model_dump() == plan.model_dump()
    path.write_text("[]", encoding="utf-8")
    said = f"{path}: file: got 'list'; allowed: plan.json of bprr plan"
    assert refused_text(read_plan, tmp_path) == said
    path.write_text("hop_overhead_ms: [1.0, 2.0, 3.0]\n", encoding="utf-8")
    found = read_calibration(path)
    assert found.model_dump() == {
        "hop_overhead_ms": (1.0, 2.0, 3.0), "devices": {}, "sessions": 0, "source": "",
    }  # fmt: skip


# The fit ----------------------------------------------------------------------------------------


def chain_of(hops):
    return ChainRecord.model_construct(hops=[
        HopRecord(server=server, name="", blocks=1, network_ms=value(network_ms),
                  computing_ms=value(computing_ms)) for server, network_ms, computing_ms in hops
    ])  # fmt: skip


def test_what_a_token_takes_by_a_plan_and_as_calibrated(plan):
    """Distance is what is above the planned 8 ms of a hop; less is none."""
    each = Observed(chain_of([(0, 10.0, 3.0), (2, 5.0, 7.0), (3, None, None)]), 0.0, 0.0)
    assert token_ms(plan, each) == pytest.approx(2 + 3 * 8 + 3 + 7)
    known = Calibration(hop_overhead_ms=(1.0, 6.0, 9.0), devices={"L4": (1.0, 2.0, 4.0)})
    assert token_ms(plan, each, known) == pytest.approx(2 + 3 * 6 + 2 * 3 + 7)
    unsaid = plan.model_copy(update={"hop_overhead_ms": value(None)})
    assert token_ms(unsaid, each) == pytest.approx(10 + 5 + 3 + 7)


def algebra(rows, wanted, start, scale):
    """Least squares with a weak prior, by normal equations: none of its bounds binds."""
    weight = 0.02 * scale * len(rows) ** 0.5
    half = np.maximum(start / 2, 1 / scale)
    prior = np.diag((weight / half) ** 2)
    matrix = rows.T @ rows + prior
    found = np.linalg.solve(matrix, rows.T @ wanted + prior @ start)
    free = max(len(rows) - len(start), 1)
    variance = ((rows @ found - wanted) ** 2).sum() / free
    return found, np.sqrt(np.diag(np.linalg.inv(matrix)) * variance)


def test_a_fit_is_that_of_the_normal_equations(plan):
    """Of GPUs that differ, c by its own name; half of the sessions are drawn to be held out."""
    rng = np.random.default_rng(3)
    ways = [[(0, 10.0, 20.0), (1, 28.0, 30.0)], [(2, 38.0, 40.0)], [(3, 6.0, 25.0), (0, 9.0, 4.0)]]
    observed = []
    columns, base = [], []
    for number in range(300):
        chain = ways[number % 3]
        by_gpu = {"L4": 0.0, "T4": 0.0, "c": 0.0}
        for server, _, computing_ms in chain:
            by_gpu[["L4", "L4", "c", "T4"][server]] += computing_ms
        far = sum(max(network_ms - 8, 0) for _, network_ms, _ in chain)
        truth = 11 * len(chain) + far + 1.5 * by_gpu["L4"] + 0.7 * by_gpu["T4"] + 2.2 * by_gpu["c"]
        observed.append(Observed(chain_of(chain), 0.0, truth * float(rng.lognormal(0, 0.1))))
        columns.append([len(chain), *by_gpu.values()])
        base.append(far)
    rows, base, seen = np.array(columns), np.array(base), np.array([o.token_ms for o in observed])
    start = np.array([8.0, 1.0, 1.0, 1.0])
    fit = calibrated(plan, observed, "somewhere")
    kept = np.random.default_rng(0).permutation(300) % 2 == 0
    half, _ = algebra(rows[kept], (seen - base)[kept], start, seen.mean())
    whole, spread = algebra(rows, seen - base, start, seen.mean())
    held = ~kept
    assert fit.before == pytest.approx(((base + rows @ start) / seen)[held], rel=1e-6)
    assert fit.after == pytest.approx(((base + rows @ half) / seen)[held], rel=1e-6)
    missed = np.median(np.abs(fit.after - 1))
    wide = np.maximum(1.96 * spread, missed * whole)
    assert (wide > missed * whole).any() and (wide == missed * whole).any()  # either counts
    found = fit.calibration
    assert list(found.devices) == ["L4", "T4", "c"]
    for own, number, about in zip(
        [found.hop_overhead_ms, *found.devices.values()], whole, wide, strict=True
    ):
        low = max(number - about, number / 5)
        assert own == pytest.approx((low, number, number + about), rel=6e-5)
    assert (found.sessions, found.source) == (300, "somewhere")


def test_a_fit_of_few_sessions_that_scatter(plan):
    """Of no planned overhead, and of ways that are not known; no low end below a fifth."""
    unsaid = plan.model_copy(update={"hop_overhead_ms": value(None)})
    ways = [[(0, None, 20.0), (2, 5.0, 40.0)], [(0, 1.0, 30.0)]]
    rows, base, seen = [], [], []
    observed = []
    for number in range(12):
        chain = ways[number % 2]
        token = [150.0, 70.0, 40.0, 20.0][number % 4] + 3 * number
        observed.append(Observed(chain_of(chain), 0.0, token))
        rows.append([[2, 20, 40], [1, 30, 0]][number % 2])
        base.append([5.0, 1.0][number % 2])
        seen.append(token)
    start = np.array([0.0, 1.0, 1.0])
    seen, base = np.array(seen), np.array(base)
    whole, spread = algebra(np.array(rows, dtype=float), seen - base, start, seen.mean())
    found = calibrated(unsaid, observed, "").calibration
    assert found.hop_overhead_ms[1] == pytest.approx(whole[0], rel=1e-3)
    assert found.devices["c"][1] == pytest.approx(whole[2], rel=1e-4)
    assert found.devices["c"][0] == pytest.approx(
        max(whole[2] - 1.96 * spread[2], whole[2] / 5), rel=1e-4
    )
    assert found.hop_overhead_ms[0] == pytest.approx(found.hop_overhead_ms[1] / 5, rel=1e-4)
    assert 1.96 * spread[0] > 0.8 * whole[0]


def test_servers_of_unknown_speed_and_long_lists(plan):
    """An unknown time counts nothing; messages name no more than thirty."""
    servers = [
        each.model_copy(update={"tau_ms": value(None)}) if each.name == "b" else each
        for each in plan.placement
    ]
    unknown = plan.model_copy(update={"placement": servers})
    (found, *_) = sessions_of([(2, {**ROW, "chain": "b > c"})] * 8, unknown, "x")
    assert [hop.computing_ms.value for hop in found.chain.hops] == pytest.approx([0, 20])
    many = [servers[0].model_copy(update={"name": f"s{n}"}) for n in range(40)]
    wide = plan.model_copy(update={"placement": [*many, *plan.placement]})
    told = refused_text(sessions_of, [(2, {**ROW, "chain": "z"})] * 8, wide, "x")
    assert told.endswith(f"allowed: {', '.join(f's{n}' for n in range(30))}")
    hops = [plan.chains[0].hops[0].model_copy(update={"name": f"h{n}"}) for n in range(40)]
    chains = [plan.chains[0].model_copy(update={"hops": hops})]
    told = refused_text(
        sessions_of, [(2, {**ROW, "chain": "d"})] * 8, plan.model_copy(update={"chains": chains}),
        "x",
    )  # fmt: skip
    assert told.endswith(f"plan.json has: {', '.join(f'h{n}' for n in range(30))}")


def test_a_fit_of_two_kinds_of_times_by_hand():
    """Two equations that hold, and a prior that pulls little; bounds where there is no end."""
    rows = np.array([[1.0, 10.0], [2.0, 10.0], [1.0, 20.0], [3.0, 5.0]])
    start = np.array([8.0, 1.0])
    for truth, bound in (((5.0, 2.0), None), ((30.0, 0.05), 0.1), ((0.0, 25.0), 20.0)):
        found, spread = _solved(rows, rows @ np.array(truth), start, 0.1)
        if bound is None:
            assert found == pytest.approx(truth, abs=1e-2)
        else:
            assert found[1] == pytest.approx(bound, rel=1e-3)
        assert (spread >= 0).all()
    far, _ = _solved(rows, rows @ np.array([15_000.0, 1.0]), start, 0.1)
    assert far[0] == pytest.approx(1e4, rel=1e-3)
    found, _ = _solved(rows, rows @ np.array([-50.0, 12.0]), start, 0.1)
    assert found[0] == pytest.approx(0, abs=1e-6)
    sole, spread = _solved(rows[:1], np.array([28.0]), start, 20.0)
    expected = algebra(rows[:1], np.array([28.0]), start, 20.0)
    assert sole == pytest.approx(expected[0]) and spread == pytest.approx(expected[1])


def test_how_far_predictions_are_off():
    found = errors(np.array([0.5, 0.9, 1.0, 1.2, 1.4]))
    assert found.to_dict() == pytest.approx({"ratio": 1.0, "median": 0.2, "worst": 0.5})
