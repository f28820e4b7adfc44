"""Models of swarms on small made-up measurements: every row by hand, and terms at their limits."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from bprr.forwarding.hub import Hub
from bprr.forwarding.relay import Relay
from bprr.forwarding.ring import Ring
from bprr.ground.errors import InputError
from bprr.speculation.base import Drafts
from bprr.speculation.chain import Chain
from bprr.speculation.chunks import Chunks
from bprr.speculation.frames import Drafting, FrameLog, Line, pass_frames
from bprr.speculation.none import NoSpeculation
from bprr.speculation.rounds import acceptance_for, tokens_per_round
from bprr.speculation.single_frames import SingleFrames
from bprr.speculation.tree import Tree
from bprr.wan.by_frame import in_line
from bprr.wan.measured import Measured
from bprr.wan.swarm import Frame, Pace, Prompt, WanSwarm, pace, prefill_ms
from bprr.wan.traversal import Traversal, activation_kb, aux_states, traversal
from bprr.wan.validation import GROUPS, NOISE, compared, drafting, errors
from bprr.wan.what_ifs import directions, what_ifs
from bprr.window.idle_restart import IdleRestart
from bprr.window.none import NoWindow
from bprr.window.warm import Warm

NAN = float("nan")
TEXTS = {"run": "", "ring": "r", "model": "gpt-oss-20b", "forwarding": "ring",
         "coordinator": "own host", "arm": "plain"}  # fmt: skip
GAPS = ("workload", "note", "keepwarm", "cuda_graph", "wire_dtype", "aux_dtype", "source_file")
NUMBERS = {
    "layers": 24.0, "stages_count": 2.0, "batch_streams": 1.0, "draft_tokens_K": 0.0,
    "positions_per_frame": 1.0, "depth_max_frames": 1.0, "inflight_mean_frames": NAN,
    "context_tokens": NAN, "g_tokens_per_round": NAN, "tokens_per_s": NAN, "ms_per_round": NAN,
    "draft_ms_per_round": NAN, "traversal_ms": NAN, "transport_ms_per_traversal": NAN,
    "stage_ms_per_traversal": NAN, "frames_per_token": NAN, "prefill_s": NAN,
}  # fmt: skip
# Two prompts of the ring on whose line others' are predicted.
LINE = [
    {"run": "L1", "ring": "oss_4stage_wa_nj", "arm": "prefill, one chunk at a time",
     "context_tokens": 1000.0, "prefill_s": 5.0, "stages_count": 4.0, "layers": 36.0},
    {"run": "L2", "ring": "oss_4stage_wa_nj", "arm": "prefill, one chunk at a time",
     "context_tokens": 3000.0, "prefill_s": 13.0, "stages_count": 4.0, "layers": 36.0},
    {"run": "L3", "ring": "oss_4stage_wa_nj", "arm": "prefill, chunks pipelined",
     "context_tokens": 1000.0, "prefill_s": 4.0, "stages_count": 4.0, "layers": 36.0},
    {"run": "L4", "ring": "oss_4stage_wa_nj", "arm": "prefill, asynchronous send",
     "context_tokens": 3000.0, "prefill_s": 6.0, "stages_count": 4.0, "layers": 36.0},
]  # fmt: skip
EDGES = [
    ("r", "coordinator", "1", 10.0), ("r", "1", "2", 20.0), ("r", "2", "coordinator", 30.0),
    ("r", "1", "coordinator", NAN),
    ("looped", "loop", "loop", 90.0), ("looped", "1", "2", 7.0),
    ("open", "coordinator", "1", 10.0), ("open", "1", "2", 20.0), ("open", "2", "3", 30.0),
    ("short", "coordinator", "1", 10.0), ("short", "1", "coordinator", 30.0),
]  # fmt: skip


def measured(runs=(), edges=(), stages=(), probe=None):
    rows = [{**TEXTS, **dict.fromkeys(GAPS), **NUMBERS, **run} for run in (*runs, *LINE)]
    return Measured(
        pd.DataFrame(rows),
        pd.DataFrame([*EDGES, *edges], columns=["ring", "from_node", "to_node", "rtt_ms"]),
        pd.DataFrame(
            [*stages], columns=["ring", "stage", "arm", "stage_span_ms", "ms_per_layer"]
        ).astype({"stage_span_ms": float, "ms_per_layer": float}),
        pd.DataFrame(
            probe or [("cubic", 1.0, 1.0, 40.0, 40.0)],
            columns=["congestion_control", "frame_kB", "idle_ms", "rtt_ms", "steady_median_ms"],
        ),
    )


def one(tables, run="A"):
    return next(each for each in tables.runs.itertuples() if each.run == run)


def rows(tables, *groups):
    """Rows of some groups: by run and model, what is said and on what it was fitted."""
    found = compared(tables)
    names = {GROUPS.get(group, group) for group in groups}
    return {
        (each.group, each.run, each.model): (each.measured, each.predicted, each.fitted_on)
        for each in found[found["group"].isin(names)].itertuples()
    }


# Tables.


@pytest.mark.parametrize(
    "run, legs_ms",
    [
        ({}, [10, 20, 30]),
        ({"forwarding": "hub"}, None),
        ({"forwarding": "relay"}, None),
        ({"stages_count": NAN}, None),
        ({"stages_count": 3.0}, None),  # as many legs as the ring has not
        ({"stages_count": 3.0, "coordinator": "on head stage"}, [10, 20, 30]),
        ({"ring": "looped"}, [30, 30, 30]),
        ({"ring": "looped", "coordinator": "on head"}, [45, 45]),
        ({"ring": "open"}, None),
        ({"ring": "short"}, None),
        ({"ring": "nowhere"}, None),
    ],
)
def test_legs_of_a_ring_as_far_as_they_were_published(run, legs_ms):
    tables = measured([{"run": "A", **run}])
    found = tables.legs_rtt_ms(one(tables))
    assert (found if found is None else found.tolist()) == legs_ms


SPANS = [
    ("r", "1", "eager", 5.0, NAN), ("r", "2", "eager", 6.0, NAN),
    ("s", "1", "eager", 5.0, NAN), ("s", "1", "stamped", 8.0, NAN), ("s", "2", "stamped", 9.0, NAN),
    ("s", "3", "stamped", NAN, NAN),
    ("graphed", "any", "CUDA-graph block", NAN, 0.5), ("graphed", "any", "eager block", NAN, 2.5),
]  # fmt: skip


@pytest.mark.parametrize(
    "run, stages_ms",
    [
        ({"stage_ms_per_traversal": 40.0}, 40),
        ({}, 11),
        ({"ring": "s"}, 17),
        ({"ring": "s", "stages_count": 1.0}, 5),
        ({"ring": "s", "stages_count": 3.0}, NAN),
        ({"ring": "other", "cuda_graph": "on"}, 12),
        ({"ring": "other", "cuda_graph": "off"}, NAN),
        ({"ring": "other", "cuda_graph": "on", "context_tokens": 9.0}, NAN),
        ({"ring": "other", "cuda_graph": "on", "model": "MiniMax-M2.5"}, NAN),
    ],
)
def test_time_of_the_stages_from_the_nearest_source(run, stages_ms):
    others = [{"run": "B", "ring": "graphed"}]
    tables = measured([{"run": "A", **run}, *others], stages=SPANS)
    assert tables.stages_ms(one(tables)) == pytest.approx(stages_ms, nan_ok=True)


def test_stages_of_other_runs_with_as_many_drafts_come_before_spans():
    runs = [
        {"run": "A"},
        {"run": "B", "stage_ms_per_traversal": 30.0},
        {"run": "C", "stage_ms_per_traversal": 34.0},
        {"run": "D", "stage_ms_per_traversal": 99.0, "draft_tokens_K": 8.0},
        {"run": "E", "stage_ms_per_traversal": 77.0, "ring": "s"},
    ]
    tables = measured(runs, stages=SPANS)
    assert tables.stages_ms(one(tables)) == 32


@pytest.mark.parametrize(
    "run, kb",
    [
        ({}, 5.76),
        ({"wire_dtype": "fp8"}, 2.88),
        ({"wire_dtype": "bf16"}, 5.76),
        ({"model": "BLOOM-176B", "positions_per_frame": 3.0, "batch_streams": 2.0}, 6 * 28.672),
        ({"model": "DeepSeek-V4-Flash"}, 4 * 8.192),
        ({"model": "GLM-5.2"}, 12.288),
        ({"model": "Qwen2.5-3B"}, NAN),
        ({"positions_per_frame": NAN}, NAN),
        # Without drafts nothing is read for a drafter, nor by others than EAGLE.
        ({"arm": "EAGLE chain"}, 5.76),
        ({"arm": "n-gram", "draft_tokens_K": 2.0}, 5.76),
        # Read at 3, 50 and 95 % of two stages: 1 after the first, 3 after the last.
        ({"arm": "EAGLE chain", "draft_tokens_K": 2.0}, [5.76, 11.52, 17.28]),
    ],
)
def test_what_crosses_a_leg(run, kb):
    tables = measured([{"run": "A", **run}])
    assert tables.frame_kb(one(tables), 3) == pytest.approx(kb, nan_ok=True)
    if isinstance(kb, list):
        assert tables.frame_kb(one(tables), 2) == pytest.approx(kb[1:])


def test_states_that_a_drafter_reads():
    assert aux_states(2).tolist() == [1, 2, 3]
    assert aux_states(4).tolist() == [1, 2, 2, 3, 3]
    assert aux_states(2, (0.5,)).tolist() == [1, 1, 1]  # read behind the share, not at it
    assert aux_states(2, (0.4,)).tolist() == [1, 2, 1]
    assert activation_kb(3, 100, 2, 1.0) == 0.6
    assert activation_kb(3, 100) == 0.6


def test_runs_alike_are_of_the_model_and_drafts_on_such_texts():
    runs = [
        {"run": "A", "workload": "code, long", "g_tokens_per_round": 3.0},
        {"run": "B", "workload": "code", "g_tokens_per_round": 4.0},
        {"run": "C", "workload": "chat", "g_tokens_per_round": 9.0},
        {"run": "D", "g_tokens_per_round": 8.0},
        {"run": "E", "workload": "code", "g_tokens_per_round": 90.0, "draft_tokens_K": 1.0},
        {"run": "F", "workload": "code", "g_tokens_per_round": 90.0, "model": "BLOOM"},
        {"run": "G", "workload": "code"},
    ]
    tables = measured(runs)
    run = one(tables, "G")
    assert tables.alike(run, "g_tokens_per_round", "code") == 3.5
    assert tables.alike(run, "g_tokens_per_round") == 6.0
    assert math.isnan(tables.alike(run, "g_tokens_per_round", "math"))


@pytest.mark.parametrize(
    "run, spans_ms",
    [
        ({}, [4, 5]),  # the last arm of the ring
        ({"arm": "pipelined, one-position eager"}, [2, 3]),
        ({"arm": "pipelined, unheard of"}, [4, 5]),
        ({"ring": "sibling"}, [4, 5]),
        ({"ring": "sibling", "model": "BLOOM"}, []),
        ({"ring": "wide"}, [2, 3]),
        ({"ring": "wide", "arm": "pipelined, 3 positions"}, [2, 3]),
    ],
)
def test_spans_of_stages_for_one_position(run, spans_ms):
    stages = [
        ("r", "1", "one-position eager", 2.0, NAN), ("r", "2", "one-position eager", 3.0, NAN),
        ("r", "1", "one-position block", 4.0, NAN), ("r", "2", "one-position block", 5.0, NAN),
        ("r", "2", "one-position later", NAN, NAN), ("r", "1", "eager", 9.0, NAN),
        ("wide", "1", "3 positions a frame", 6.0, NAN),
        ("wide", "2", "3 positions a frame", 9.0, NAN),
    ]  # fmt: skip
    other = {"run": "B", "ring": "wide", "model": "GLM-5.2"}
    tables = measured([{"run": "A", **run}, {"run": "C"}, other], stages=stages)
    assert tables.spans_ms(one(tables)).tolist() == spans_ms


# Rows.

FITTED = "overhead 4 ms a leg: 12 plain jobs of m25_5eu_good"


def rungs_ms(stages_ms, window, draft_ms=0.0, kb=5.76, frames=1):
    rtt_ms = np.array([10.0, 20.0, 30.0])
    more = {"draft_ms": draft_ms, "frames": frames}
    return {
        "hub": 60 + stages_ms,
        "ring": 30 + stages_ms,
        "+ overhead": 30 + 12 + stages_ms,
        "+ window": traversal(rtt_ms, kb, 4.0, stages_ms, window, **more).total_ms,
    }


def test_a_plain_run_model_upon_model():
    given = {"run": "A", "stage_ms_per_traversal": 40.0, "traversal_ms": 90.0, "tokens_per_s": 11.0}
    tables = measured([given])
    fitted = {"hub": "", "ring": "", "+ overhead": FITTED, "+ window": FITTED}
    expected = {}
    for model, said in rungs_ms(40.0, IdleRestart()).items():
        expected["traversal, one token", "A", model] = (90.0, said, fitted[model])
        named = "tokens/s, one token a traversal", "A", model
        expected[named] = (11.0, 1000 / said, fitted[model])
    assert rows(tables, "plain traversal", "plain tokens", "drafts tokens", "chunks") == expected
    for name, kept in (("traversal_ms", "tokens/s"), ("tokens_per_s", "traversal")):
        found = rows(measured([{**given, name: NAN}]), "plain traversal", "plain tokens")
        assert {group.partition(",")[0] for group, *_ in found} == {kept}


@pytest.mark.parametrize(
    "change",
    [
        {"batch_streams": 2.0},
        {"positions_per_frame": 2.0},
        {"draft_tokens_K": 3.0, "positions_per_frame": 4.0, "depth_max_frames": 2.0},
        {"arm": "plain, cold"},
        {"forwarding": "relay"},
        {"stage_ms_per_traversal": NAN},
    ],
)
def test_runs_that_are_of_no_ladder(change):
    given = {"run": "A", "stage_ms_per_traversal": 40.0, "traversal_ms": 90.0, "tokens_per_s": 11.0}
    groups = ("plain traversal", "plain tokens", "drafts traversal", "drafts tokens", "chunks")
    assert rows(measured([given]), *groups)
    assert not rows(measured([{**given, **change}]), *groups)


@pytest.mark.parametrize("keepwarm", ["on", "off"])
@pytest.mark.parametrize("depth, frames", [(NAN, 2), (3.0, 3)])
def test_a_pipelined_run_model_upon_model(depth, frames, keepwarm):
    """BLOOM's frames of nine positions are large: windows matter where they idle for so long."""
    given = {
        "run": "A", "arm": "EAGLE chain, pipelined", "draft_tokens_K": 8.0, "traversal_ms": 333.0,
        "positions_per_frame": 9.0, "g_tokens_per_round": 4.0, "draft_ms_per_round": 15.0,
        "tokens_per_s": 12.0, "depth_max_frames": depth, "keepwarm": keepwarm, "model": "BLOOM",
        "stage_ms_per_traversal": 240.0,
    }  # fmt: skip
    window = Warm() if keepwarm == "on" else IdleRestart()
    kb = 9 * 28.672 * np.array([1, 2, 3])
    one_ms = rungs_ms(240.0, window, 15.0, kb)
    several_ms = rungs_ms(240.0, window, 15.0, kb, frames)["+ window"]
    assert (one_ms["+ window"] > one_ms["+ overhead"]) == (keepwarm == "off")
    expected = {model: 1000 / said for model, said in one_ms.items()}
    expected["+ speculation"] = 4000 / (15 + one_ms["+ window"])
    chunks = Chunks.Options(drafts=8, tokens_per_round=4.0, draft_ms=15.0, frames=frames)
    expected["+ in flight"] = Chunks(chunks).tokens_per_s(several_ms, 120.0)
    found = rows(measured([given]), "chunks", "drafts tokens", "plain tokens")
    assert {model: said for (_, _, model), (_, said, _) in found.items()} == pytest.approx(expected)
    assert {group for group, *_ in found} == {"tokens/s, chunks in flight"}
    alone = {**given, "arm": "EAGLE chain", "depth_max_frames": 1.0}
    found = rows(measured([alone]), "chunks", "drafts tokens", "plain tokens")
    del expected["+ in flight"]
    assert {model: said for (_, _, model), (_, said, _) in found.items()} == pytest.approx(expected)
    assert {group for group, *_ in found} == {"tokens/s, drafts in a row"}
    found = rows(measured([alone]), "drafts traversal", "plain traversal")
    assert {model: said for (_, _, model), (_, said, _) in found.items()} == pytest.approx(one_ms)
    # Stages whose time nobody knows leave rows of pipelined runs empty, but there.
    unknown = rows(measured([{**given, "stage_ms_per_traversal": NAN}]), "chunks")
    assert len(unknown) == 6 and all(np.isnan(said) for _, said, _ in unknown.values())


@pytest.mark.parametrize(
    "run, tokens, draft_ms",
    [
        ({}, 1.0, 0.0),
        ({"draft_tokens_K": 8.0, "g_tokens_per_round": 3.0, "draft_ms_per_round": 9.0}, 3.0, 9.0),
        ({"draft_tokens_K": 8.0, "workload": "code; long"}, 5.5, 21.0),
        ({"draft_tokens_K": 8.0, "workload": "chat"}, 7.0, 21.0),
        ({"draft_tokens_K": 8.0, "workload": "math"}, NAN, 21.0),
        ({"draft_tokens_K": 8.0, "arm": "n-gram", "workload": "copy"}, 8.1, 0.0),
        ({"draft_tokens_K": 8.0, "arm": "EAGLE, n-gram", "workload": "copy"}, NAN, 21.0),
        ({"draft_tokens_K": 8.0, "arm": "n-gram", "workload": "math"}, NAN, 0.0),
        ({"draft_tokens_K": 8.0, "arm": "n-gram", "draft_ms_per_round": 2.0}, NAN, 2.0),
    ],
)
def test_drafts_of_a_run_or_of_runs_like_it(run, tokens, draft_ms):
    like = {"draft_tokens_K": 8.0, "ring": "s"}
    others = [
        {**like, "run": "B", "workload": "code", "g_tokens_per_round": 5.0},
        {**like, "run": "C", "workload": "code", "g_tokens_per_round": 6.0},
        {**like, "run": "D", "workload": "chat", "g_tokens_per_round": 7.0},
        {**like, "run": "E", "draft_ms_per_round": 21.0},
    ]
    tables = measured([{"run": "A", "arm": "EAGLE", **run}, *others])
    assert drafting(tables, one(tables)) == pytest.approx((tokens, draft_ms), nan_ok=True)


SINGLE = {
    "run": "A", "arm": "pipelined, one-position, refill floor 3", "draft_tokens_K": 4.0,
    "depth_max_frames": 9.0, "inflight_mean_frames": 3.5, "frames_per_token": 1.25,
    "tokens_per_s": 20.0, "g_tokens_per_round": 5.0, "stage_ms_per_traversal": 50.0,
    "transport_ms_per_traversal": 30.0,
}  # fmt: skip
ONE_POSITION = [("r", "1", "one-position", 6.0, NAN), ("r", "2", "one-position", 9.0, NAN)]


@pytest.mark.parametrize("plain", [True, False])
def test_single_frames_by_what_was_seen_and_by_their_misses(plain):
    others = (
        [{"run": "B", "tokens_per_s": 8.0}, {"run": "C", "tokens_per_s": 12.0}] if plain else []
    )
    others += [{"run": "D", "draft_tokens_K": 2.0, "transport_ms_per_traversal": 70.0}]
    others += [{"run": "E", "ring": "s", "tokens_per_s": 1.0, "transport_ms_per_traversal": 900.0}]
    total_ms = 100.0 if plain else 50.0 + 50.0
    tables = measured([SINGLE, *others], stages=ONE_POSITION)
    on = "traversal: median of the plain runs of the ring; " if plain else ""
    seen = on + "frames under way and per token as measured"
    legs_ms = np.full(3, (total_ms - 15) / 3)
    options = SingleFrames.Options(block=4, most_frames=9, refill=3, acceptance=0.8)
    line = Line(legs_ms, np.array([6.0, 9.0]), 1)
    by_frame = in_line(line, SingleFrames(options)).tokens_per_s
    group = "tokens/s, single-position frames"
    assert rows(tables, "single") == {
        (group, "A", "+ speculation"): (20, pytest.approx(1000 * 9 / total_ms), seen),
        (group, "A", "+ in flight"): (20, pytest.approx(1000 * 3.5 / (total_ms + 18) / 1.25), seen),
        (group, "A", "by frame"): (20, pytest.approx(by_frame), on + "tokens from miss to miss"),
    }
    # So many frames that the slowest stage is what counts.
    many = {**SINGLE, "depth_max_frames": 16.0, "g_tokens_per_round": NAN}
    found = rows(measured([many, *others], stages=ONE_POSITION), "single")
    assert {model: said for (_, _, model), (_, said, _) in found.items()} == pytest.approx(
        {"+ speculation": 1000 / 9, "+ in flight": 1000 * 3.5 / (total_ms + 18) / 1.25}
    )


def test_a_floor_below_which_frames_are_refilled_is_read_from_the_arm():
    paces = []
    for floor in ("", ", refill floor 4"):
        run = {**SINGLE, "arm": f"pipelined, one-position{floor}"}
        paces.append(rows(measured([run], stages=ONE_POSITION), "single"))
    seen = [found["tokens/s, single-position frames", "A", "by frame"][1] for found in paces]
    assert seen[1] > 1.04 * seen[0]


@pytest.mark.parametrize(
    "change",
    [
        {"inflight_mean_frames": NAN}, {"frames_per_token": NAN}, {"tokens_per_s": NAN},
        {"depth_max_frames": NAN}, {"positions_per_frame": 2.0}, {"draft_tokens_K": 0.0},
    ],
)  # fmt: skip
def test_runs_that_sent_no_single_frames(change):
    assert not rows(measured([{**SINGLE, **change}], stages=ONE_POSITION), "single")


def test_rounds_of_some_streams_between_those_of_one_and_eight():
    sweep = [
        {"run": f"{name}{b}", "batch_streams": float(b), "workload": "mix", "ms_per_round": ms,
         "note": note}
        for name, note, points in (
            ("A", None, ((1, 100.0), (2, 130.0), (4, 160.0), (8, 240.0), (16, 999.0))),
            ("B", "again", ((1, 110.0), (2, 150.0))),  # without an end
            ("C", "once more", ((2, 120.0), (8, 230.0))),
        )
        for b, ms in points
    ]  # fmt: skip
    others = [
        {"run": "D", "batch_streams": 2.0, "workload": "code", "ms_per_round": 1.0},
        {"run": "E", "batch_streams": 4.0, "workload": "mix"},
    ]
    group = "round against streams"
    assert rows(measured([*sweep, *others]), "batch") == {
        (group, "A2", "+ speculation"): (130, 100, "1 stream"),
        (group, "A2", "+ batch"): (130, 120, "1 and 8 streams of the same sweep"),
        (group, "A4", "+ speculation"): (160, 100, "1 stream"),
        (group, "A4", "+ batch"): (160, 160, "1 and 8 streams of the same sweep"),
    }


def test_hubs_at_longer_distances_from_their_time_at_the_shortest():
    hub = {"forwarding": "hub", "context_tokens": 128.0, "stages_count": 3.0}
    runs = [
        {**hub, "run": "A", "ring": "near", "tokens_per_s": 5.0},
        {**hub, "run": "B", "ring": "far", "tokens_per_s": 2.0},
        {**hub, "run": "C", "ring": "far", "tokens_per_s": 1.0, "arm": "other"},
        {**hub, "run": "D", "ring": "unknown", "tokens_per_s": 1.0},
        {**hub, "run": "E", "ring": "near", "tokens_per_s": 4.0, "context_tokens": 9.0},
        {**hub, "run": "F", "ring": "far", "tokens_per_s": 2.0, "context_tokens": 9.0,
         "stages_count": 2.0},
        {"run": "G", "ring": "far", "tokens_per_s": 2.0},
    ]  # fmt: skip
    edges = [("near", "any", "any", 5.0), ("far", "any", "any", 105.0), ("far", "x", "any", 1.0),
             ("unknown", "any", "any", NAN)]  # fmt: skip
    assert rows(measured(runs, edges), "hub") == {
        ("hub, PETALS' own table", "B", "hub"): (500, 200 + 3 * 100, "the rest of near"),
        ("hub, PETALS' own table", "F", "hub"): (500, 250 + 2 * 100, "the rest of near"),
    }


def test_first_tokens_of_long_prompts_on_the_line_of_another_ring():
    """5 and 13 s for 1,000 and 3,000 tokens one chunk at a time, 4 and 6 s if they are sent on."""
    prompt = {"context_tokens": 2000.0, "prefill_s": 8.0, "layers": 36.0, "stages_count": 5.0}
    runs = [
        {**prompt, "run": "A", "arm": "prefill, synchronous send"},
        {**prompt, "run": "B", "arm": "chunks pipelined", "context_tokens": 500.0},
        {**prompt, "run": "C", "arm": "prefill, in another way"},
    ]
    on = "oss_4stage_wa_nj at two lengths, layers of the largest stage"
    group = "time to first token, long prompts"
    expected = {
        (group, "A", "ring"): (8, 9 * 8 / 9, on),
        (group, "B", "ring"): (8, 3 * 8 / 9, on),
        (group, "B", "+ in flight"): (8, 3.5 * 8 / 9, on),
    }
    found = rows(measured(runs), "prompt")
    assert found.keys() == expected.keys()
    for key, (value, said, fitted) in expected.items():
        assert found[key] == (value, pytest.approx(said), fitted)


def test_round_trips_of_the_probe_by_hand():
    """14.5 kB leave at once, 29 with the next round trip; 200 ms and a round trip of idling."""
    probe = [
        ("cubic", 12.0, 480.0, 40.0, 41.0), ("bbr", 43.5, 480.0, 40.0, 41.0),
        ("cubic", 43.0, 719.0, 40.0, 79.0), ("cubic", 43.0, 680.0, 40.0, 101.0),
        ("cubic", 29.0, 199.0, 40.0, 59.0), ("cubic", 29.0, 200.0, 40.0, 62.0),
    ]  # fmt: skip
    found = rows(measured(probe=probe), "probe")
    group = "round trips of the window probe"
    said = {(run, model): each for (_, run, model), each in found.items()}
    assert {key[0] for key in found} == {group}
    assert said == {
        ("P01", "ring"): (1, 1, ""), ("P01", "+ window"): (1, 1, ""),
        ("P02", "ring"): (2, 1, ""), ("P02", "+ window"): (2, 2, ""),
        ("P03", "ring"): (3, 1, ""), ("P03", "+ window"): (3, 2, ""),
        ("P04", "ring"): (1, 1, ""), ("P04", "+ window"): (1, 1, ""),
        ("P05", "ring"): (2, 1, ""), ("P05", "+ window"): (2, 2, ""),
    }  # fmt: skip
    table = compared(measured(probe=probe))
    table = table[table["group"] == group]
    assert table["ring"].unique().tolist() == ["two namespaces"]
    assert table["quantity"].unique().tolist() == ["round trips"]
    assert table["arm"].tolist()[:3] == ["12 kB, pause 480 ms"] * 2 + ["43 kB, pause 719 ms"]


def test_repetitions_are_predicted_by_the_others():
    cell = {"note": "repetition 1", "workload": "mix"}
    runs = [
        {**cell, "run": "A", "tokens_per_s": 4.0},
        {**cell, "run": "B", "tokens_per_s": 6.0, "note": None},
        {**cell, "run": "C", "tokens_per_s": 9.0, "note": "repetition 3"},
        {**cell, "run": "D", "tokens_per_s": 99.0, "note": "a stall"},
        {**cell, "run": "E", "tokens_per_s": 99.0, "note": "cold"},
        {**cell, "run": "F", "tokens_per_s": 5.0, "workload": "code"},
        {**cell, "run": "G", "ring": "s", "tokens_per_s": 5.0, "note": None},
        {**cell, "run": "H", "ring": "s", "tokens_per_s": 5.0, "note": None},
        {**cell, "run": "I"},
    ]
    on = "median of its 2 other repetitions"
    assert rows(measured(runs), NOISE) == {
        (NOISE, "A", NOISE): (4, 7.5, on),
        (NOISE, "B", NOISE): (6, 6.5, on),
        (NOISE, "C", NOISE): (9, 5.0, on),
    }


def test_errors_are_shares_and_their_sizes_are_told():
    table = compared(
        measured([{"run": "A", **{"stage_ms_per_traversal": 40.0}, "traversal_ms": 80.0}])
    )
    plain = table[table["group"] == GROUPS["plain traversal"]].set_index("model")
    assert plain["error"].tolist() == pytest.approx([0.25, -0.125, 0.025, 0.025])
    many = pd.DataFrame({
        "group": ["g"] * 12 + ["h"], "model": ["m"] * 11 + ["n"] * 2,
        "error": [*np.arange(-5, 6) / 10, NAN, -0.5],
    })  # fmt: skip
    found = errors(many).to_dict("records")
    assert found == [
        {"group": "g", "model": "m", "n": 11, "median": 0.3, "worst": 0.5, "p90": 0.5},
        {"group": "h", "model": "n", "n": 1, "median": 0.5, "worst": 0.5, "p90": 0.5},
    ]


# Terms.


@pytest.mark.parametrize(
    "idle_ms, rtt_ms, kb, lost",
    [
        (1e9, 40, 14.5, 0), (1e9, 40, 14.6, 1), (1e9, 40, 43.5, 1), (1e9, 40, 43.6, 2),
        (1e9, 40, 101.5, 2), (1e9, 40, 101.6, 3), (-5, 40, 330, 0), (0, 40, 330, 0),
        (239.9, 40, 330, 0), (240, 40, 330, 1), (479.9, 40, 330, 1), (480, 40, 330, 2),
        (720, 40, 330, 3), (960, 40, 330, 4), (1200, 40, 330, 4), (np.inf, 40, 330, 4),
        (299, 100, 330, 0), (300, 100, 330, 1), (np.inf, 40, 1e-3, 0),
    ],
)  # fmt: skip
def test_windows_halve_and_double(idle_ms, rtt_ms, kb, lost):
    """The windows sent are W, 2 W, 4 W, … from the halved frame or 14.5 kB."""
    given = (np.array([float(each)]) for each in (idle_ms, rtt_ms, kb))
    assert IdleRestart().lost_round_trips(*given).tolist() == [lost]


def test_windows_by_other_options():
    other = IdleRestart(IdleRestart.Options(initial_kb=100.0, least_timeout_ms=0.0))
    given = np.array([39.0, 40.0, 80.0, 1e9]), np.full(4, 40.0), np.full(4, 330.0)
    assert other.lost_round_trips(*given).tolist() == [0, 1, 2, 2]
    assert NoWindow().lost_round_trips(*given).tolist() == [0] * 4
    assert Warm().lost_round_trips(*given).tolist() == [0] * 4
    half = Warm(Warm.Options(lost_round_trips=0.5))
    assert half.lost_round_trips(*given).tolist() == [0.5] * 4


def test_terms_of_a_traversal():
    rtt_ms = np.array([10.0, 20.0, 30.0])
    found = traversal(rtt_ms, [10.0, 20.0, 50.0], 4.0, 100.0, NoWindow(), uplink_mbit_per_s=16.0)
    assert found[:5] == (30, 12, 0, 40, 100)
    assert found.total_ms == 182
    assert found.lost_round_trips.tolist() == [0, 0, 0]
    warm = Warm(Warm.Options(lost_round_trips=0.5))
    found = traversal(rtt_ms, 5.0, 0.0, 1.0, warm)
    assert found[:5] == (30, 0, 30, 0, 1)
    assert found.lost_round_trips.tolist() == [0.5] * 3


@pytest.mark.parametrize("from_above", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_idle_windows_are_a_fixed_point(seed, from_above):
    """From above the slowest state that explains itself, from below the fastest; by plain loops."""
    rng = np.random.default_rng([3, seed])
    legs = int(rng.integers(2, 5))
    rtt_ms, kb = rng.integers(5, 60, legs).astype(float), rng.integers(10, 300, legs) * 1.0
    stages_ms, draft_ms = float(rng.integers(50, 500)), float(rng.integers(0, 40))
    frames, mbit = float(rng.integers(1, 3)), float(rng.choice([20.0, np.inf]))
    found = traversal(
        rtt_ms, kb, 4.0, stages_ms, IdleRestart(), draft_ms=draft_ms, frames=frames,
        uplink_mbit_per_s=mbit, from_above=from_above,
    )  # fmt: skip
    rest_ms = rtt_ms.sum() / 2 + 4 * legs + (kb * 8 / mbit).sum() + stages_ms

    def lost(i, idle_ms):
        window = max(min(14.5, kb[i]), kb[i] / 2 ** (min(max(idle_ms, 0) // (200 + rtt_ms[i]), 99)))
        trips, out = -1, 0.0
        while out < kb[i] * (1 - 1e-12):
            out, window, trips = out + window, 2 * window, trips + 1
        return trips

    trips = [lost(i, 1e15 if from_above else 0.0) for i in range(legs)]
    for _ in range(50):
        total_ms = rest_ms + sum(trips * rtt_ms)
        idle_ms = [
            (total_ms + draft_ms) / frames - n * r for n, r in zip(trips, rtt_ms, strict=True)
        ]
        bound = min if from_above else max
        trips = [bound(n, lost(i, idle_ms[i])) for i, n in enumerate(trips)]
    assert found.lost_round_trips.tolist() == trips
    assert found.total_ms == pytest.approx(rest_ms + sum(trips * rtt_ms))


def test_terms_of_a_pace_by_name():
    parts = Traversal(1.0, 2.0, 4.0, 8.0, 16.0, np.zeros(1))
    found = Pace(parts, 32.0, 64.0, 9.0)
    assert found.round_ms == 127
    assert found.terms() == {
        "distance": 1, "overhead of legs": 2, "windows": 4, "bytes on the wire": 8, "stages": 16,
        "drafting": 32, "other streams' frames": 64,
    }  # fmt: skip


def test_a_frame_of_a_swarm_leg_by_leg():
    """Three positions of 5 kB in 8 bits, of two streams in lockstep; 15 ms a traversal more."""
    given = {
        "stages_ms": (10.0, 20.0), "ring_rtt_ms": (0.0, 40.0, 60.0), "states": (9.0, 2.0, 3.0),
        "kb_per_position": 5.0, "wire_bytes": 1, "uplink_mbit_per_s": 12.0,
        "ms_per_more_position": 7.5, "speculation": {"chain": {"drafts": 2, "draft_ms": 11.0}},
        "streams": 2, "window": "none", "lockstep_ms_per_stream": 6.0,
    }  # fmt: skip
    frame = Frame.of(WanSwarm(**given, batch="lockstep"))
    assert frame.rtt_ms.tolist() == [40, 60]
    assert frame.size_kb.tolist() == [15 * 2, 15 * 3]
    assert frame.wire_ms.tolist() == [20, 30]
    assert frame.stages_ms.tolist() == pytest.approx([15, 30])
    together = pace(WanSwarm(**given, batch="lockstep"))
    assert together.traversal[:5] == pytest.approx((50, 8, 0, 50, 51))
    assert (together.draft_ms, together.queue_ms) == (11, 0)
    tokens = 1 + 0.74 + 0.74**2
    assert together.tokens_per_s == pytest.approx(2 * 1000 * tokens / (159 + 11))
    apart = pace(WanSwarm(**given))
    assert apart.traversal[:5] == pytest.approx((50, 8, 0, 25, 45))
    assert apart.queue_ms == pytest.approx(30)  # the slowest stage; the wire takes 15 ms
    assert apart.tokens_per_s == pytest.approx(2 * 1000 * tokens / (128 + 30 + 11))
    slow = pace(WanSwarm(**{**given, "uplink_mbit_per_s": 5.0}))
    assert slow.queue_ms == pytest.approx(36)  # the wire
    plain = Frame.of(WanSwarm(stages_ms=(1.0,), ring_rtt_ms=(1.0, 2.0)))
    assert plain.size_kb.tolist() == [6.1, 6.1] and plain.wire_ms.tolist() == [0, 0]


def test_round_trips_between_all_hosts_of_a_ring():
    ring = WanSwarm(stages_ms=(1.0, 1.0, 1.0), ring_rtt_ms=(1.0, 2.0, None, 4.0))
    expected = np.full((4, 4), NAN)
    for sender, receiver, rtt_ms in ((0, 1, 1.0), (1, 2, 2.0), (3, 0, 4.0)):
        expected[sender, receiver] = expected[receiver, sender] = rtt_ms
    assert np.array_equal(ring.between_rtt_ms(), expected, equal_nan=True)
    # Of one stage there and back are one pair of hosts: the way there counts.
    one = WanSwarm(stages_ms=(1.0,), ring_rtt_ms=(1.0, 2.0)).between_rtt_ms()
    assert np.array_equal(one, [[NAN, 1], [1, NAN]], equal_nan=True)
    two = WanSwarm(stages_ms=(1.0, 1.0), ring_rtt_ms=(1.0, 2.0, 3.0)).between_rtt_ms()
    assert np.array_equal(two, [[NAN, 1, 3], [1, NAN, 2], [3, 2, NAN]], equal_nan=True)
    assert [policy().places(3) for policy in (Hub, Relay, Ring)] == [
        [0, 1, 0, 2, 0, 3, 0], [0, 1, 2, 3, 2, 1, 0], [0, 1, 2, 3, 0],
    ]  # fmt: skip
    assert [policy.crossings for policy in (Hub, Relay, Ring)] == [0, 2, 1]
    assert [policy.Options().overhead_ms_per_leg for policy in (Hub, Relay, Ring)] == [4.0] * 3


@pytest.mark.parametrize(
    "change, says",
    [
        ({"ring_rtt_ms": None}, "either this or rtt_ms"),
        ({"rtt_ms": ((0.0, 1.0), (1.0, 0.0))}, "either this or rtt_ms"),
        ({"ring_rtt_ms": (1.0,)}, "2 legs: coordinator to stage 1, …, last stage to coordinator"),
        ({"ring_rtt_ms": None, "rtt_ms": ((0.0, 1.0),)}, "2 rows of 2 round trips"),
        ({"ring_rtt_ms": None, "rtt_ms": ((0.0,), (1.0, 0.0))}, "2 rows of 2 round trips"),
        ({"states": (1.0, 1.0, 1.0)}, "2 numbers, the coordinator's first"),
    ],
)
def test_swarms_of_other_shapes_are_refused(change, says):
    with pytest.raises(ValueError) as error:
        WanSwarm(**{"stages_ms": (1.0,), "ring_rtt_ms": (1.0, 1.0), **change})
    assert says in str(error.value)


def test_prompts_by_hand():
    given = {"tokens": 100, "stage_ms_per_token": 2.0, "link_ms_per_token": 5.0}
    assert prefill_ms(Prompt(**given)) == 500
    assert prefill_ms(Prompt(**given, fixed_ms=7.0, overlapped=False)) == 707
    assert prefill_ms(Prompt(tokens=100, stage_ms_per_token=2.0)) == 200


# Ways of drafting.


def test_tokens_of_a_round_and_the_acceptance_behind_them():
    for drafts, acceptance in itertools.product((1, 2, 8), (0.0, 0.1, 0.5, 0.74, 0.99, 1.0)):
        by_hand, chance = 1.0, 1.0
        for _ in range(drafts):
            chance *= acceptance
            by_hand += chance
        assert tokens_per_round(acceptance, drafts) == pytest.approx(by_hand, rel=1e-12)
        assert acceptance_for(by_hand, drafts) == pytest.approx(acceptance, abs=1e-9)
    # The least that commits as many; 0 or 1 where none does.
    assert acceptance_for(0.5, 8) == pytest.approx(0.0, abs=1e-15)
    assert acceptance_for(1.0, 1) == pytest.approx(0.0, abs=1e-15)
    assert acceptance_for(2.0, 1) == pytest.approx(1.0, abs=1e-15)
    assert acceptance_for(9.5, 8) == 1.0
    assert tokens_per_round(acceptance_for(3.0, 4), 4) == pytest.approx(3.0, abs=1e-14)
    assert acceptance_for(1.75, 2) == pytest.approx(0.5, abs=1e-15)


def test_shipped_options_of_drafting():
    assert Drafts().model_dump() == {
        "drafts": 8, "acceptance": 0.74, "tokens_per_round": None, "draft_ms": 13.0,
    }  # fmt: skip
    assert Chunks.Options().model_dump() == {**Drafts().model_dump(), "frames": 4}
    assert Tree.Options().model_dump() == {
        "nodes": 12, "tokens_per_round": 4.27, "draft_ms": 20.0,
    }  # fmt: skip
    assert SingleFrames.Options().model_dump() == {
        "block": 8, "most_frames": 9, "mean_frames": None, "frames_per_token": 1.57,
        "acceptance": 0.855, "refill": 1, "draft_ms": 0.0,
    }  # fmt: skip
    assert Drafts().per_round() == (tokens_per_round(0.74, 8), 0.74)
    tokens, acceptance = Drafts(tokens_per_round=3.0).per_round()
    assert (tokens, tokens_per_round(acceptance, 8)) == (3.0, pytest.approx(3.0))


def test_how_frames_follow_each_other():
    plain, tree = NoSpeculation(), Tree()
    assert plain.drafting() == (False, 0, 0.0, 1, 1)
    assert (plain.acceptance, tree.acceptance, tree.drafting()) == (0.0, 0.0, None)
    chain = Chain(Chain.Options(drafts=3, draft_ms=5.0, acceptance=0.6))
    assert chain.drafting() == (False, 3, 5.0, 1, 1)
    assert chain.acceptance == 0.6
    chunks = Chunks(Chunks.Options(drafts=3, draft_ms=5.0, frames=6))
    assert chunks.drafting() == (False, 3, 5.0, 6, 1)
    assert (chunks.positions, chunks.draft_ms, chunks.acceptance) == (4, 5.0, 0.74)
    single = SingleFrames(
        SingleFrames.Options(block=5, most_frames=7, draft_ms=2.0, refill=3, acceptance=0.9)
    )
    assert single.drafting() == (True, 5, 2.0, 7, 3)
    assert (single.frames, single.acceptance, single.positions) == (6, 0.9, 1)


@pytest.mark.parametrize("drafts, acceptance, frames", [(1, 0.5, 2), (4, 0.9, 3), (8, 0.3, 4)])
@pytest.mark.parametrize("draft_ms, slowest_ms", [(1.0, 5.0), (80.0, 5.0), (1.0, 90.0)])
def test_chunks_against_a_sum_over_chunks_before_a_miss(
    drafts, acceptance, frames, draft_ms, slowest_ms
):
    """With n whole chunks before the one that misses, each with its chance."""
    options = {"drafts": drafts, "acceptance": acceptance, "draft_ms": draft_ms, "frames": frames}
    round_ms, whole = draft_ms + 200.0, acceptance**drafts
    spacing_ms = max(draft_ms, slowest_ms, round_ms / frames)
    made = time_ms = 0.0
    for n in range(2000):
        for accepted in range(drafts):
            chance = whole**n * acceptance**accepted * (1 - acceptance)
            made += chance * (n * drafts + accepted + 1)
            time_ms += chance * (round_ms + n * spacing_ms)
    found = Chunks(Chunks.Options(**options)).tokens_per_s(200.0, slowest_ms)
    assert found == pytest.approx(1000 * made / time_ms, rel=1e-9)


# What would help.


def test_every_change_of_a_small_swarm():
    """All changes with their swarms; each pace is the changed swarm's, the best first."""
    swarm = WanSwarm(
        stages_ms=(10.0, 30.0), ring_rtt_ms=(20.0, 40.0, 60.0), window="idle_restart",
        kb_per_position=30.0, states=(1.0, 2.0, 3.0),
    )  # fmt: skip
    found = what_ifs(swarm)
    told = {each.change: each for each in found}
    assert sorted(told) == [
        "4 frames of drafts in flight", "4 streams, own frames", "8 bits on the wire",
        "8 drafts a round, 74 % accepted", "8 streams, own frames", "connections kept warm",
        "coordinator moved to stage 1", "forwarding: hub", "forwarding: relay",
        "one node less: without stage 2", "one node more, as far as the others",
    ]  # fmt: skip
    for each in found:
        assert each.pace.tokens_per_s == pace(each.swarm).tokens_per_s
    paces = [each.pace.tokens_per_s for each in found]
    assert paces == sorted(paces, reverse=True)
    assert told["connections kept warm"].swarm.window.name == "warm"
    assert told["8 bits on the wire"].swarm.wire_bytes == 1
    assert told["forwarding: hub"].swarm.forwarding.name == "hub"
    assert told["8 drafts a round, 74 % accepted"].swarm.speculation.name == "chain"
    chunks = told["4 frames of drafts in flight"].swarm.speculation
    assert (chunks.name, chunks.options.frames, chunks.options.drafts) == ("chunks", 4, 8)
    for streams in (4, 8):
        changed = told[f"{streams} streams, own frames"].swarm
        assert (changed.streams, changed.batch) == (streams, "own_frames")
    # On one host with stage 1, so nothing is missing.
    moved = told["coordinator moved to stage 1"].swarm
    assert moved.rtt_ms == ((0, 0, 40), (0, None, 40), (40, 40, None))
    less = told["one node less: without stage 2"].swarm
    assert (less.stages_ms, less.states) == ((40.0,), (1.0, 2.0))
    assert less.rtt_ms == ((None, 20), (20, None))
    more = told["one node more, as far as the others"].swarm
    assert more.stages_ms == pytest.approx((20 / 3, 20, 40 / 3))
    assert more.states == (1, 2, 3, 3)
    assert more.rtt_ms[-1] == (40, 40, 40, 0)


def test_changes_depend_on_what_a_swarm_does_already():
    base = {"stages_ms": (10.0, 30.0), "ring_rtt_ms": (0.0, 40.0, 60.0)}

    def names(**more):
        found = [each.change for each in what_ifs(WanSwarm(**base, **more))]
        moves = ("coordinator", "one node")
        return sorted(name for name in found if not name.startswith(moves))

    ways = ["forwarding: hub", "forwarding: relay"]
    streams = ["4 streams, own frames", "8 streams, own frames"]
    bits = ["8 bits on the wire"]
    ahead = ["4 frames of drafts in flight"]
    drafts = ["8 drafts a round, 74 % accepted"]
    assert names(window="warm") == sorted([*ahead, *streams, *bits, *drafts, *ways])
    single = {"speculation": "single_frames", "window": "none", "wire_bytes": 1, "streams": 2}
    assert names(**single) == sorted([*ways, "no drafts"])
    together = {**single, "batch": "lockstep", "speculation": "tree"}
    assert names(**together) == sorted([*ways, "no drafts", "own frames instead of lockstep"])
    chain = {"chain": {"drafts": 3, "draft_ms": 4.0, "acceptance": 0.5}}
    found = {each.change: each.swarm for each in what_ifs(WanSwarm(**base, speculation=chain))}
    assert found["4 frames of drafts in flight"].speculation.options.model_dump() == {
        "drafts": 3, "draft_ms": 4.0, "acceptance": 0.5, "tokens_per_round": None, "frames": 4,
    }  # fmt: skip
    # On the host of stage 1 already: it moves to stage 2 alone, and nobody shares a host twice.
    assert [name for name in found if name.startswith("coordinator moved")] == [
        "coordinator moved to stage 2"
    ]
    alone = [each.change for each in what_ifs(WanSwarm(stages_ms=(5.0,), ring_rtt_ms=(0.0, 0.0)))]
    assert not [name for name in alone if name.startswith(("coordinator", "one node"))]


def test_directions_are_right_if_all_values_of_a_step_are():
    changes = pd.DataFrame({"step": ["a", "a", "b", "c"], "right": [True, False, True, False]})
    assert directions(changes) == (1, 3)


def test_an_input_error_names_what_can_send_several_frames():
    from bprr.wan.by_frame import by_frame, in_flight

    swarm = WanSwarm(stages_ms=(5.0,), ring_rtt_ms=(10.0, 10.0))
    with pytest.raises(InputError) as error:
        in_flight(swarm, [2], "here")
    assert str(error.value) == (
        "here: speculation: got 'none'; "
        "allowed: chain, chunks, single_frames, to send several frames"
    )
    found = by_frame(swarm)
    assert found.tokens_per_s == pytest.approx(1000 / 23)
    assert found[1:] == pytest.approx((1.0, 1.0, 0.0, 0.0))
    lockstep = {"streams": 2, "batch": "lockstep"}
    assert by_frame(swarm.model_copy(update=lockstep)) is None
    assert by_frame(swarm.model_copy(update={**lockstep, "streams": 1})) is not None
    both = by_frame(swarm.model_copy(update={"streams": 2}))
    assert both.tokens_per_s == pytest.approx(2 * found.tokens_per_s, rel=1e-3)


@pytest.mark.parametrize(
    "right, frames, refill, sent_ms, back_ms, positions, dropped",
    [
        # A block of two drafts beyond the next position; behind each third one 7 ms of drafting.
        (True, 1, 1, [0, 40, 80, 127, 167, 207], [40, 80, 127, 167, 207, 254], range(6), [0] * 6),
        # One frame sooner; from then on there are two drafts behind, one of them known for long.
        (True, 1, 2, [0, 40, 87, 127, 174, 214], [40, 87, 127, 174, 214, 261], range(6), [0] * 6),
        # Each answer is a miss, behind which is drafted.
        (False, 1, 1, [0, 47, 94, 141], [47, 94, 141, 188], range(4), [0] * 4),
        # Two under way: the second one is dropped where the first one missed, and delays nothing.
        (False, 2, 1, [0, 0, 47, 67, 94], [47, 67, 94, 114, 141], [0, 1, 1, 2, 2], [0, 1, 0, 1, 0]),
    ],
)
def test_single_frames_one_by_one(right, frames, refill, sent_ms, back_ms, positions, dropped):
    """Two places of 10 and 20 ms, 5 ms there and back: 40 ms for a frame that meets no other."""
    line = Line(np.array([5.0, 0.0, 5.0]), np.array([10.0, 20.0]), 1)
    assert line.traversal_ms == 40
    log, tokens = FrameLog.of(len(sent_ms)), len(sent_ms) - sum(dropped)
    drafting = Drafting(True, 2, 7.0, frames, refill)
    passed = pass_frames(line, drafting, np.full((1, 3), right), tokens, log)
    assert log.sent_ms.tolist() == sent_ms
    assert log.back_ms.tolist() == back_ms
    assert log.position.tolist() == list(positions)
    assert log.dropped.tolist() == dropped and not log.stream.any()
    under_way_ms = sum(back_ms) - sum(sent_ms)
    assert passed == pytest.approx((
        1000 * tokens / back_ms[-1], under_way_ms / back_ms[-1], len(sent_ms) / tokens,
        sum(dropped) / len(sent_ms), under_way_ms / len(sent_ms) - 40,
    ))  # fmt: skip
