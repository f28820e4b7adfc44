"""Frames of drafts on their way, one by one: what the formulas of this package leave out.

A frame passes its places (links that send, stages that compute) in their order, waits at each for
the frame before it, and nobody overtakes: when it is back follows from when the frames before it
left each place. So there are no events to keep, only senders, each of which knows when it can send
next; the earliest one is next.

Whether the draft of a position is right is said beforehand (``right``), whoever drafts it and when:
a run is determined by it, and two ways of drafting can be compared on the same text.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from bprr.ground.compiled import compiled
from bprr.ground.swarm import FloatArray, IntArray

__all__ = ["Drafting", "FrameLog", "Line", "Passed", "pass_frames"]

RUN = np.dtype(
    [
        ("tokens", "i8"),  # of all streams, once they are back
        ("frames", "i8"),
        ("dropped", "i8"),  # frames that were sent behind a miss
        ("under_way_ms", "f8"),  # summed over frames
        ("last_ms", "f8"),  # when the last token came back
        ("logged", "i8"),
    ]
)


class Line(NamedTuple):
    """Way of a frame: P places one after another."""

    travel_ms: FloatArray  # (P + 1,) before each place, and after the last
    work_ms: FloatArray  # (P,) for which a frame occupies it
    tail: int  # the last stage's place

    @property
    def traversal_ms(self) -> float:
        """One frame that meets no other."""
        return float(self.travel_ms.sum() + self.work_ms.sum())


class Drafting(NamedTuple):
    """Who drafts how much.

    Either the coordinator drafts ``drafts`` positions for each frame, one frame after another. Or,
    with ``single``, frames have one position each, and the last stage drafts: behind a miss, and
    where fewer than ``refill`` frames follow, so many that there are ``drafts`` again beyond the
    next position; its answer and the frames behind it wait for that.
    """

    single: bool
    drafts: int
    draft_ms: float  # each time
    frames: int  # that a stream may have under way, dropped ones too
    refill: int = 1


class Streams(NamedTuple):
    """B streams; positions are counted from 0 in each of them."""

    next_ms: FloatArray  # (B,) when it sends
    free_ms: FloatArray  # (B,) the drafter
    miss_ms: FloatArray  # (B,) when the miss comes back that makes the frames since useless; or inf
    resume: IntArray  # (B,) position after that miss
    head: IntArray  # (B,) position of the next frame, if all is right so far
    last: IntArray  # (B,) last one that may be sent (single frames)
    sent: IntArray  # (B,) frames
    tokens: IntArray  # (B,)
    back_ms: FloatArray  # (B, d) of the frames sent last
    got_ms: FloatArray  # (B, R) when the coordinator got the draft of a position, modulo R


class FrameLog(NamedTuple):
    """Frames in the order in which they were sent; as many as there is room for."""

    stream: IntArray
    position: IntArray
    sent_ms: FloatArray
    back_ms: FloatArray
    dropped: IntArray

    @classmethod
    def of(cls, count: int) -> Self:
        """Room for so many."""
        whole, times = np.zeros((3, count), dtype=np.int64), np.zeros((2, count))
        return cls(whole[0], whole[1], times[0], times[1], whole[2])


class Passed(NamedTuple):
    """What came of some tokens."""

    tokens_per_s: float  # of all streams
    mean_frames: float  # under way, of all streams
    frames_per_token: float
    dropped: float  # share of the frames
    queued_ms: float  # that a frame waits on its way, on average


@compiled(inline="always")
def _resume(streams, drafting, b):  # type: ignore[no-untyped-def]
    """Begin anew behind a miss that has come back."""
    streams.head[b], streams.free_ms[b] = streams.resume[b], streams.miss_ms[b]
    streams.last[b] = streams.head[b] + drafting.drafts
    for position in range(streams.head[b], streams.last[b] + 1):
        streams.got_ms[b, position % streams.got_ms.shape[1]] = streams.miss_ms[b]
    streams.miss_ms[b] = np.inf


@compiled
def _plan(streams, drafting, b):  # type: ignore[no-untyped-def]
    """When a stream sends next."""
    while True:
        slot_ms = streams.back_ms[b, streams.sent[b] % streams.back_ms.shape[1]]
        if drafting.single:
            next_ms = np.inf
            if streams.head[b] <= streams.last[b]:
                got_ms = streams.got_ms[b, streams.head[b] % streams.got_ms.shape[1]]
                next_ms = max(got_ms, slot_ms)
        else:
            next_ms = max(streams.free_ms[b], slot_ms) + drafting.draft_ms
        if streams.miss_ms[b] > next_ms or streams.miss_ms[b] == np.inf:
            streams.next_ms[b] = next_ms
            return
        _resume(streams, drafting, b)


@compiled(inline="always")
def _passed(line, left_ms, send_ms, tail_ms):  # type: ignore[no-untyped-def]
    """When a frame is back for which the last stage needs so much more."""
    now = send_ms
    for place in range(line.work_ms.shape[0]):
        now = max(now + line.travel_ms[place], left_ms[place]) + line.work_ms[place]
        if place == line.tail:
            now += tail_ms
        left_ms[place] = now
    return now + line.travel_ms[line.work_ms.shape[0]]


@compiled(inline="always")
def _commit(run, streams, b, tokens, back_ms):  # type: ignore[no-untyped-def]
    streams.tokens[b] += tokens
    run.tokens += tokens
    run.last_ms = max(run.last_ms, back_ms)


@compiled
def _settle_chunk(run, streams, drafting, right, b, back_ms):  # type: ignore[no-untyped-def]
    """What a frame of drafts brings: those before the first miss, and one more token with it."""
    head, accepted = streams.head[b], 0
    while accepted < drafting.drafts and right[b, (head + accepted) % right.shape[1]]:
        accepted += 1
    missed = accepted < drafting.drafts
    # Where the next chunk is drafted already, its first draft stands in the place of one more.
    tokens = accepted + 1 if missed or drafting.frames == 1 else accepted
    streams.head[b] = head + max(tokens, drafting.drafts)
    if missed:
        streams.miss_ms[b], streams.resume[b] = back_ms, head + tokens
    _commit(run, streams, b, tokens, back_ms)


@compiled(inline="always")
def _tail_drafts(streams, drafting, right, b):  # type: ignore[no-untyped-def]
    """Whether the answer to the next frame, of one position, is a miss; or else brings drafts."""
    after, last = streams.head[b] + 1, streams.last[b]
    missed = after <= last and not right[b, after % right.shape[1]]
    return missed, last - after + 1 < drafting.refill


@compiled
def _settle_single(run, streams, drafting, missed, refilled, b, back_ms):  # type: ignore[no-untyped-def]
    """What a frame of one position brings: the token after it, and perhaps more drafts."""
    after, last = streams.head[b] + 1, streams.last[b]
    _commit(run, streams, b, 1, back_ms)
    streams.head[b] = after
    if missed:
        streams.miss_ms[b], streams.resume[b] = back_ms, after
    elif refilled:
        streams.last[b] = after + drafting.drafts
        for position in range(last + 1, streams.last[b] + 1):
            streams.got_ms[b, position % streams.got_ms.shape[1]] = back_ms


@compiled
def _pass_frames(run, line, left_ms, streams, drafting, right, log, tokens):  # type: ignore[no-untyped-def]
    """Send frames until there are so many tokens."""
    count = streams.next_ms.shape[0]
    for b in range(count):
        _plan(streams, drafting, b)
    while run.tokens < tokens:
        b = 0
        for other in range(1, count):
            if streams.next_ms[other] < streams.next_ms[b]:
                b = other
        send_ms, tail_ms = streams.next_ms[b], 0.0
        dropped, missed, refilled = streams.miss_ms[b] < np.inf, False, False
        if drafting.single and not dropped:
            missed, refilled = _tail_drafts(streams, drafting, right, b)
            tail_ms = drafting.draft_ms if missed or refilled else 0.0
        back_ms = _passed(line, left_ms, send_ms, tail_ms)
        streams.back_ms[b, streams.sent[b] % streams.back_ms.shape[1]] = back_ms
        streams.sent[b] += 1
        streams.free_ms[b] = send_ms
        run.frames += 1
        run.under_way_ms += back_ms - send_ms
        if run.logged < log.stream.shape[0]:
            i = run.logged
            log.stream[i], log.position[i], log.dropped[i] = b, streams.head[b], dropped
            log.sent_ms[i], log.back_ms[i] = send_ms, back_ms
            run.logged += 1
        if dropped:
            run.dropped += 1
            streams.head[b] += 1 if drafting.single else drafting.drafts
        elif drafting.single:
            _settle_single(run, streams, drafting, missed, refilled, b, back_ms)
        else:
            _settle_chunk(run, streams, drafting, right, b, back_ms)
        _plan(streams, drafting, b)


def pass_frames(
    line: Line,
    drafting: Drafting,
    right: np.ndarray,
    tokens: int,
    log: FrameLog | None = None,
    start_ms: FloatArray | float = 0.0,
) -> Passed:
    """Send frames round until there are so many tokens.

    Parameters
    ----------
    right : ndarray of bool, shape (B, N)
        Whether the draft of each position of each stream is right; repeated beyond N.
    tokens : int
        Of all streams together.
    log : FrameLog, optional
        Where frames are noted.
    start_ms : ndarray, shape (B,), or number
        When each stream begins.
    """
    count, drafts = right.shape[0], int(drafting.drafts)
    resume, head, sent, done = np.zeros((4, count), dtype=np.int64)
    begin_ms = np.broadcast_to(np.asarray(start_ms, dtype=float), count)
    streams = Streams(
        next_ms=np.zeros(count),
        free_ms=begin_ms.copy(),
        miss_ms=np.full(count, np.inf),
        resume=resume,
        head=head,
        last=np.full(count, drafts),
        sent=sent,
        tokens=done,
        back_ms=np.full((count, drafting.frames), -np.inf),
        got_ms=np.repeat(begin_ms[:, None], 2 * drafts + 3, axis=1),
    )
    run: Any = np.zeros(1, dtype=RUN).view(np.recarray)[0]
    told = Drafting(
        bool(drafting.single), drafts, float(drafting.draft_ms), int(drafting.frames),
        int(drafting.refill),
    )  # fmt: skip
    left_ms = np.full(line.work_ms.size, -np.inf)
    room = FrameLog.of(0) if log is None else log
    _pass_frames(run, line, left_ms, streams, told, np.asarray(right, np.bool_), room, int(tokens))
    frames, last_ms = int(run.frames), float(run.last_ms)
    return Passed(
        1000.0 * int(run.tokens) / last_ms,
        float(run.under_way_ms) / last_ms,
        frames / int(run.tokens),
        int(run.dropped) / frames,
        float(run.under_way_ms) / frames - line.traversal_ms,
    )
