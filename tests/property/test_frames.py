"""Frames on their way: each as plain processes have it, and formulas in their limits."""

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from plain_frames import Run

from bprr.speculation.chain import Chain
from bprr.speculation.chunks import Chunks
from bprr.speculation.frames import Drafting, FrameLog, Line, pass_frames
from bprr.speculation.none import NoSpeculation
from bprr.speculation.single_frames import SingleFrames

TOKENS = 100_000
LINE = Line(np.array([12.0, 9.0, 14.0, 5.0, 10.0]), np.array([3.0, 10.0, 2.0, 8.0]), 3)
TAU_MS, TRAVERSAL_MS = 10.0, 73.0


@st.composite
def cases(draw):
    """Times of no common measure, so that no two things happen at once by chance."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    places = draw(st.integers(1, 5))
    tail = draw(st.integers(0, places - 1))
    line = Line(rng.uniform(0, 20, places + 1), rng.uniform(0.1, 12, places), tail)
    single = draw(st.booleans())
    drafting = Drafting(
        single,
        draw(st.integers(1, 6)),
        draw(st.sampled_from((0.0, 3.7, 29.3))),
        draw(st.integers(1, 8)),
        draw(st.integers(1, 7)) if single else 1,
    )
    right = rng.random((draw(st.integers(1, 3)), 97)) < draw(st.sampled_from((0, 0.5, 0.9, 1)))
    return line, drafting, right, rng.uniform(0, 9, len(right))


@given(case=cases())
def test_every_frame_is_where_the_plain_processes_have_it(case):
    line, drafting, right, start_ms = case
    log = FrameLog.of(60)
    pass_frames(line, drafting, right, 10_000, log, start_ms)
    plain = Run(line, drafting, right, 60, start_ms).play()
    event(f"single: {drafting.single}, dropped: {bool(log.dropped.any())}")
    event(f"streams: {len(right)}")
    assert log.stream.tolist() == [frame.stream for frame in plain]
    assert log.position.tolist() == [frame.position for frame in plain]
    assert log.dropped.tolist() == [frame.dropped for frame in plain]
    assert log.sent_ms.tolist() == pytest.approx([frame.sent_ms for frame in plain], rel=1e-12)
    assert log.back_ms.tolist() == pytest.approx([frame.back_ms for frame in plain], rel=1e-12)


def rate(policy, line=LINE, tokens=TOKENS, streams=1):
    right = np.random.default_rng(1).random((streams, 1 << 16)) < policy.acceptance
    return pass_frames(line, policy.drafting(), right, tokens)


@pytest.mark.parametrize("acceptance, tolerance", [(0.0, 1e-9), (0.7, 0.01), (1.0, 1e-9)])
@pytest.mark.parametrize("drafts", [1, 8])
def test_one_frame_at_a_time_is_the_formula(drafts, acceptance, tolerance):
    chain = Chain(Chain.Options(drafts=drafts, acceptance=acceptance, draft_ms=13))
    passed = rate(chain)
    expected = chain.tokens_per_s(TRAVERSAL_MS, TAU_MS)
    assert passed.tokens_per_s == pytest.approx(expected, rel=tolerance)
    assert passed.dropped == 0
    assert passed.queued_ms == pytest.approx(0, abs=1e-6)
    assert passed.mean_frames == pytest.approx(73 / 86, rel=1e-3)


def test_no_drafts_is_the_formula():
    passed = rate(NoSpeculation())
    assert passed.tokens_per_s == pytest.approx(1000 / TRAVERSAL_MS, rel=1e-9)
    assert passed.frames_per_token == 1


@pytest.mark.parametrize("frames", [2, 3, 8])
@pytest.mark.parametrize("draft_ms", [4.0, 13.0])
def test_chunks_without_misses_are_the_formula(frames, draft_ms):
    chunks = Chunks(Chunks.Options(drafts=4, acceptance=1.0, draft_ms=draft_ms, frames=frames))
    expected = chunks.tokens_per_s(TRAVERSAL_MS, TAU_MS)
    if frames == 8:  # the slowest stage or the drafter is busy all the time
        assert expected == 4000 / max(draft_ms, TAU_MS)
    assert rate(chunks).tokens_per_s == pytest.approx(expected, rel=1e-3)


def test_chunks_that_all_miss_are_the_formula_while_drafting_is_slower_than_the_stages():
    chunks = {
        draft_ms: Chunks(Chunks.Options(drafts=4, acceptance=0.0, draft_ms=draft_ms, frames=16))
        for draft_ms in (12.0, 4.0)
    }
    expected = chunks[12.0].tokens_per_s(TRAVERSAL_MS, TAU_MS)
    assert rate(chunks[12.0]).tokens_per_s == pytest.approx(expected, rel=1e-9)
    # Else frames that nobody wants stand in the way of the next one, as many as may be under way.
    late = rate(chunks[4.0])
    assert late.tokens_per_s == pytest.approx(1000 / (16 * TAU_MS), rel=1e-3)
    assert chunks[4.0].tokens_per_s(TRAVERSAL_MS, TAU_MS) == 1000 / (TRAVERSAL_MS + 4)


def test_more_frames_under_way_help_until_those_behind_a_miss_queue():
    rates = [
        rate(Chunks(Chunks.Options(drafts=4, acceptance=0.8, draft_ms=4, frames=frames)))
        for frames in (2, 4, 12)
    ]
    assert rates[0].tokens_per_s < rates[1].tokens_per_s > rates[2].tokens_per_s
    assert rates[0].dropped < rates[1].dropped < rates[2].dropped


def test_single_frames_without_misses():
    # A block of six leaves at once; the slowest stage parts them by 10 ms.
    single = SingleFrames(SingleFrames.Options(block=5, most_frames=6, acceptance=1.0))
    passed = rate(single)
    assert passed.tokens_per_s == pytest.approx(6000 / (TRAVERSAL_MS + 5 * TAU_MS), rel=1e-3)
    assert passed.frames_per_token == pytest.approx(1, rel=1e-3)
    # Refilled at each frame, eight of them keep the slowest stage busy.
    filled = {"block": 7, "most_frames": 8, "acceptance": 1.0, "refill": 8}
    passed = rate(SingleFrames(SingleFrames.Options(**filled)))
    assert passed.tokens_per_s == pytest.approx(1000 / TAU_MS, rel=1e-3)
    # Drafting each time is work of the last stage, which needs 8 ms besides.
    passed = rate(SingleFrames(SingleFrames.Options(**filled, draft_ms=12.0)))
    assert passed.tokens_per_s == pytest.approx(1000 / 20, rel=1e-3)


def test_single_frames_in_quick_stages_are_the_formula():
    line = Line(LINE.travel_ms, np.full(4, 1e-6), 3)
    single = SingleFrames.Options(block=5, most_frames=6, frames_per_token=1.0, acceptance=1.0)
    expected = SingleFrames(single).tokens_per_s(50.0, 1e-6)
    assert rate(SingleFrames(single), line).tokens_per_s == pytest.approx(expected, rel=1e-3)


def test_streams_fill_what_one_leaves_free():
    alone, many = (rate(NoSpeculation(), streams=streams) for streams in (1, 20))
    assert rate(NoSpeculation(), streams=3).tokens_per_s == pytest.approx(
        3 * alone.tokens_per_s, rel=0.01
    )
    assert many.tokens_per_s == pytest.approx(1000 / TAU_MS, rel=1e-3)
    assert many.mean_frames == pytest.approx(20, rel=0.01)
