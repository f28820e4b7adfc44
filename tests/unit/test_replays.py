"""Reference cases: what a case's input becomes, how outputs are compared, and who is told."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from bprr.ground.errors import InputError
from bprr.ground.request import Request
from bprr.placement.base import Placement
from bprr.study import golden as module
from bprr.study.golden import TOLERANCE, KindReport, replay_file, worst_difference

BARE = {"M": [5.0, 6.0], "L": 3, "sm": 1.5, "lc": 4, "lc_in": 6}
FULL = {
    **BARE, "d_model": 7, "num_key_value_groups": 2, "sc": 0.5, "tau": [1, 2],
    "tau_input": [3, 4], "RTT": [5, 6], "RTT_input": [7, 8],
    "RTT_raw": [[0, 1, 2], [1, 0, 3], [2, 4, 0]], "throughput": [[10, 20], [30, 40]],
}  # fmt: skip


def test_a_swarm_of_a_case_that_says_nothing_more():
    swarm = module._swarm(BARE)
    model = swarm.model
    assert (model.blocks, model.d_model, model.block_gb) == (3, 14336, 1.5)
    assert model.key_value_groups == 1 and model.cache_bytes_per_value == 2
    assert swarm.memory_gb.tolist() == [5, 6]
    for name in ("tau_ms", "prefill_ms", "prefill_ms_per_token", "forward_rps", "network_rps"):
        assert getattr(swarm, name).tolist() == [0, 0], name
    for name in ("token_rtt_ms", "prompt_rtt_ms", "raw_rtt_ms", "prompt_rtt_ms_per_token"):
        assert getattr(swarm, name).tolist() == [[0, 0]], name
    assert swarm.server_rtt_ms is None and swarm.block_cap is None
    assert module._request(BARE) == Request(0, 6, 4, 10)


def test_a_swarm_of_a_case_that_says_all():
    swarm = module._swarm(FULL)
    assert (swarm.model.d_model, swarm.model.key_value_groups) == (7, 2)
    assert swarm.model.session_cache_gb(10) == pytest.approx(0.5)
    assert swarm.tau_ms.tolist() == [1, 2] and swarm.prefill_ms.tolist() == [3, 4]
    assert swarm.token_rtt_ms.tolist() == [[5, 6]] and swarm.prompt_rtt_ms.tolist() == [[7, 8]]
    assert swarm.raw_rtt_ms.tolist() == [[1, 2]]
    assert swarm.server_rtt_ms.tolist() == [[0, 3], [4, 0]]
    assert swarm.forward_rps.tolist() == [10, 30] and swarm.network_rps.tolist() == [20, 40]
    alike = module._swarm({**BARE, "throughput": [10, 30]})
    assert alike.forward_rps.tolist() == alike.network_rps.tolist() == [10, 30]
    assert module._capped_swarm(FULL).block_cap is None
    typed = {**BARE, "L": 9, "server_types": ["MIG", "A100"]}
    assert module._capped_swarm(typed).block_cap.tolist() == [4, 9]
    assert module._join_order({"join_order": [2, 1, 3]}).tolist() == [1, 0, 2]


def test_petals_routes_by_the_constants_of_the_case():
    given = {"overhead_delay_petals": 3, "alloc_delay": 5}
    chosen = module._routing(given, "petals")
    assert chosen.name == "petals"
    assert (chosen.options.hop_overhead_ms, chosen.options.full_penalty_ms) == (3.0, 5.0)
    bare = module._routing({}, "petals").options
    assert (bare.hop_overhead_ms, bare.full_penalty_ms) == (0.0, 0.0)
    for name in ("exact", "ws_rr", "shortest_path"):
        other = module._routing(given, name)
        assert other.name == name
        assert isinstance(other.options, module.ROUTING[name].Options)


@pytest.mark.parametrize(
    ("ours", "theirs", "gap"),
    [
        (0.5, 0.25, 0.25),  # absolute below 1
        (1.5, 1.0, 0.5),
        (6.0, 4.0, 0.5),
        (-6.0, -4.0, 0.5),
        ([1.0, 6.0, 9.0], [1.0, 4.0, 9.0], 0.5),
        ([3.0], 3.0, 0.0),  # a list of one was written as a number
        ([3.0], [3.0], 0.0),
        (3.0, 3.0, 0.0),
        ([3.0, 4.0], 3.0, np.inf),
        ([[3.0]], 3.0, np.inf),
        ([], 3.0, np.inf),
        ([], [], 0.0),
        ([[1.0, 2.0]], [1.0, 2.0], np.inf),
        ([1.0, np.nan], [1.0, 2.0], np.inf),
    ],
)
def test_differences_by_hand(ours, theirs, gap):
    assert module._difference(ours, theirs) == gap
    assert worst_difference({"a": ours, "b": 1.0}, {"b": 1.0625, "a": theirs}) == max(
        gap, pytest.approx(0.0625 / 1.0625).expected
    )


def test_the_worst_of_all_outputs_counts():
    ours = {"a": 1.5, "chains": [[1, 2], [3], [4]]}
    recorded = {"n_shortest_paths": 99, "chains": [[1, 2, 0], 3, [4, 0]], "a": 1.0}
    assert worst_difference(ours, recorded) == 0.5
    assert worst_difference(ours, {**recorded, "chains": [[1, 4, 0], 3, [4]]}) == 0.5
    assert worst_difference(ours, {**recorded, "chains": [[1, 2], 4, [1]]}) == 3.0
    assert worst_difference(ours, {**recorded, "chains": [[1], 3, [4]]}) == np.inf
    assert worst_difference(ours, {"b": 1, "a": 1.5}) == np.inf


def test_requests_that_are_there_from_the_start(monkeypatch):
    """As simulated: what is asked, and what becomes of it."""
    asked = {}

    def simulated(placement, workload, routing, **keys):
        asked.update(keys, placement=placement, workload=workload, routing=routing.name)
        return SimpleNamespace(
            completion_ms=np.array([5.0, 9.0]), wait_ms=np.array([0.0, 2.0]),
            start_ms=np.array([0.0, 2.0]), end_ms=np.array([5.0, 9.0]),
            chain=lambda i: (np.array([0, 1][: i + 1]), None), __len__=None,
        )  # fmt: skip

    monkeypatch.setattr(module, "simulate", simulated)
    monkeypatch.setattr(module, "_chains", lambda records: [records.chain(0)[0].tolist()])
    case = {**FULL, "n_request_client": 2}
    placed = Placement(module._swarm(case), np.array([1, 2]), np.array([2, 2]))
    found = module._offline(case, placed, "exact")
    load = asked["workload"]
    assert (asked["routing"], asked["admission"]) == ("exact", "at_release")
    assert not asked["placement"].swarm.prefill_ms.any()
    columns = (load.arrival_ms, load.client, load.input_tokens, load.output_tokens)
    assert [each.tolist() for each in columns] == [[0, 0], [0, 0], [1, 1], [5, 5]]
    assert load.cache_tokens.tolist() == [10, 10]
    assert found["total_inference_time"] == 12.0
    assert (found["start_times"].tolist(), found["end_times"].tolist()) == ([0, 2], [5, 9])
    assert (found["a"].tolist(), found["m"].tolist()) == ([1, 2], [2, 2])


def test_reports_name_the_first_of_the_worst(tmp_path, monkeypatch):
    gaps = {"a": 0.1, "b": 0.3, "c": TOLERANCE, "d": 0.3, "e": 0.2}
    kinds = {"a": "ws_rr", "b": "ws_rr", "c": "cg_bp", "d": "ws_rr", "e": "bprr_ext"}
    monkeypatch.setattr(module, "replay", lambda case: gaps[case["id"]])
    cases = [{"id": i, "kind": kind, "input": {}, "output": {}} for i, kind in kinds.items()]
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"cases": cases}))
    reports = replay_file(path)
    assert reports == [
        KindReport("ws_rr", 3, 0.3, "b"),
        KindReport("cg_bp", 1, TOLERANCE, "c"),
        KindReport("bprr_ext", 1, 0.2, "e"),
    ]
    assert [report.passed for report in reports] == [False, True, False]
    assert TOLERANCE == 1e-9 and not KindReport("ws_rr", 1, 1.01e-9, "a").passed


KINDS = ", ".join(module.REPLAYS)


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        ([], "cases: got []; allowed: a list of at least one case"),
        ({"a": 1}, "cases: got {'a': 1}; allowed: a list of at least one case"),
        ([1], "cases.0: got 1; allowed: an object with id, kind, input and output"),
        ([{"id": "x", "kind": "cg_pb", "input": {}, "output": {}}],
         f"x.kind: got 'cg_pb'; allowed: {KINDS}"),
        ([{"id": "x", "kind": "cg_bp", "input": {"M": []}, "output": {}}],
         "x.input: got \"no 'lc'\"; allowed: this key"),
        ([{"id": "x", "kind": "ws_rr", "input": {**BARE, "M": "m"}, "output": {}}],
         "allowed: numbers as in the other cases of kind ws_rr"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_said_whole(tmp_path, cases, said):
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"cases": cases}))
    with pytest.raises(InputError) as refused:
        replay_file(path)
    assert str(refused.value).endswith(said)
