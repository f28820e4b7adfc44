"""Sessions token by token on servers that have a queue each: one compiled loop of events.

A session passes its chain once for its prompt (once per token of it, if they go one by one) and
once for every token after the first, and waits at each server for its turn. It is at one place at
a time, so there is one event to come per session, and one place in one queue at most.

At one instant sessions and tasks end first, then tasks arrive, then sessions are admitted (by the
caller, between two calls of `TokenLoop.advance`), then servers start on what waits.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from bprr.ground.compiled import compiled
from bprr.ground.events import Events, pop, push
from bprr.ground.request import Request, Route
from bprr.ground.swarm import FloatArray, IntArray, Swarm

__all__ = ["DECODE_FIRST", "FIFO", "OLDEST", "Discipline", "TokenLoop"]

FIFO, DECODE_FIRST, OLDEST, TOGETHER = range(4)  # which task is next, or all at once
WHOLE, BLOCK, TOKEN = range(3)  # pieces of a prompt
ENDED, DONE, ARRIVED = range(3)  # events, in their order at one instant
KIND = 60  # bits below an event's kind: its session's number
NONE = -1

CLOCK = np.dtype([("now_ms", "f8"), ("changed", "i8"), ("ended", "i8"), ("logged", "i8")])


class Discipline(NamedTuple):
    """How servers take their tasks."""

    order: int  # FIFO, DECODE_FIRST or OLDEST; TOGETHER
    prompt: int  # WHOLE, BLOCK or TOKEN
    prefetch: int  # tasks that are taken before their turn, and not passed by from then on
    gap_ms: float  # before a task that has waited while another one ran
    batch: FloatArray  # sizes of a batch, increasing from 1
    batch_time: FloatArray  # time of a step with that many tokens, in steps with one

    @classmethod
    def serial(cls, order: str, prompt: str, prefetch: int, gap_ms: float) -> Self:
        """One task after another."""
        code = {"fifo": FIFO, "decode_first": DECODE_FIRST, "oldest": OLDEST}[order]
        return cls(code, _pieces(prompt), prefetch, float(gap_ms), *np.ones((2, 2)))

    @classmethod
    def batched(cls, curve: Any, prompt: str) -> Self:
        """All tasks that wait, in one step; ``curve`` holds pairs of size and relative time."""
        size, time = np.array(curve, dtype=float).T.copy()
        return cls(TOGETHER, _pieces(prompt), 0, 0.0, size, time)


def _pieces(prompt: str) -> int:
    return {"whole": WHOLE, "block": BLOCK, "token": TOKEN}[prompt]


class Servers(NamedTuple):
    """State of S servers."""

    tau_ms: FloatArray
    prefill_ms: FloatArray
    prefill_ms_per_token: FloatArray
    waiting: IntArray  # root of a heap of sessions (a list, if they are served together)
    running: IntArray  # session, or head of a list of those in the step
    freed_ms: FloatArray  # when its last task ended
    busy_ms: FloatArray  # in all
    is_changed: NDArray[np.bool_]
    changed: IntArray  # servers to which something happened at this instant
    taken: IntArray  # (S, prefetch) sessions that are next, whatever arrives
    takings: IntArray  # how many of them

    @classmethod
    def of(cls, swarm: Swarm, prefetch: int) -> Self:
        """Idle servers."""
        count = swarm.servers
        never, nothing = np.full(count, -np.inf), np.zeros(count, dtype=np.int64)
        return cls(
            swarm.tau_ms,
            swarm.prefill_ms,
            swarm.prefill_ms_per_token,
            nothing + NONE,
            nothing + NONE,
            never,
            np.zeros(count),
            np.zeros(count, dtype=np.bool_),
            nothing.copy(),
            np.full((count, prefetch), NONE),
            nothing,
        )


class Passing(NamedTuple):
    """State of N sessions on chains of up to L servers."""

    number: IntArray  # order of admission
    hops: IntArray
    hop: IntArray  # where on the chain it is
    prompts: IntArray  # passes to come that are the prompt's
    passes: IntArray  # passes to come, this one too
    pieces: IntArray  # of the prompt, to come at this server
    tokens: IntArray  # generated
    first_token_ms: FloatArray
    end_ms: FloatArray
    arrived_ms: FloatArray  # at the queue where it waits
    rank: IntArray  # what comes before the time of arrival
    left: IntArray  # heap of those that wait at a server
    right: IntArray
    server: IntArray  # (N, L)
    blocks: IntArray  # (N, L)
    prompt_ms: FloatArray  # (N, L) work on a piece of the prompt
    prompt_leg_ms: FloatArray  # (N, L + 1) network before each hop, and after the last
    token_leg_ms: FloatArray  # (N, L + 1)

    @classmethod
    def none(cls, rows: int, blocks: int) -> Self:
        """Room for so many sessions."""
        columns: list[Any] = [np.zeros(rows, dtype=np.int64) for _ in range(7)]
        columns += [np.zeros(rows) for _ in range(3)]
        columns += [np.zeros(rows, dtype=np.int64) for _ in range(3)]
        columns += [*np.zeros((2, rows, blocks), dtype=np.int64), np.zeros((rows, blocks))]
        return cls._make([*columns, *np.zeros((2, rows, blocks + 1))])


class Log(NamedTuple):
    """Tasks in the order in which they started; as many as there is room for."""

    server: IntArray
    number: IntArray  # of the session
    begin_ms: FloatArray
    end_ms: FloatArray


@compiled
def _enter(  # type: ignore[no-untyped-def]
    passing, servers, prompt, row, number, request, chain, processed, token_rtt_ms, prompt_rtt_ms
):
    """Write a session into a row."""
    hops = chain.shape[0]
    passing.number[row], passing.hops[row], passing.hop[row] = number, hops, 0
    passing.prompts[row] = request.input_tokens if prompt == TOKEN else 1
    passing.passes[row] = passing.prompts[row] + request.output_tokens - 1
    passing.tokens[row] = 0
    prompt_before, token_before = 0.0, 0.0
    for i in range(hops):
        server = chain[i]
        passing.server[row, i], passing.blocks[row, i] = server, processed[i]
        per_token = servers.prefill_ms_per_token[server]
        block_ms = servers.prefill_ms[server] + per_token * request.input_tokens
        passing.prompt_ms[row, i] = block_ms * (1 if prompt == BLOCK else processed[i])
        prompt_ms, token_ms = prompt_rtt_ms[server] / 2, token_rtt_ms[server] / 2
        passing.prompt_leg_ms[row, i] = prompt_before + prompt_ms
        passing.token_leg_ms[row, i] = token_before + token_ms
        prompt_before, token_before = prompt_ms, token_ms
    passing.prompt_leg_ms[row, hops] = prompt_before
    passing.token_leg_ms[row, hops] = token_before
    if prompt == TOKEN:
        for i in range(hops + 1):
            passing.prompt_leg_ms[row, i] = passing.token_leg_ms[row, i]


@compiled(inline="always")
def _note(events, passing, row, time_ms, kind):  # type: ignore[no-untyped-def]
    push(events, time_ms, (kind << KIND) + passing.number[row], row, kind)


@compiled
def _start(events, passing, row, time_ms):  # type: ignore[no-untyped-def]
    _note(events, passing, row, time_ms + passing.prompt_leg_ms[row, 0], ARRIVED)


@compiled(inline="always")
def _before(passing, a, b):  # type: ignore[no-untyped-def]
    """Whether a session's task has its turn before another one's."""
    if passing.rank[a] != passing.rank[b]:
        return passing.rank[a] < passing.rank[b]
    if passing.arrived_ms[a] != passing.arrived_ms[b]:
        return passing.arrived_ms[a] < passing.arrived_ms[b]
    return passing.number[a] < passing.number[b]


@compiled
def _merged(passing, a, b):  # type: ignore[no-untyped-def]
    """Merge two skew heaps; return the root."""
    if a == NONE:
        return b
    if b == NONE:
        return a
    if _before(passing, b, a):
        a, b = b, a
    root = a
    while True:
        rest = passing.right[a]
        passing.right[a] = passing.left[a]
        if rest == NONE:
            passing.left[a] = b
            return root
        if _before(passing, b, rest):
            b, rest = rest, b
        passing.left[a] = rest
        a = rest


@compiled(inline="always")
def _change(clock, servers, server):  # type: ignore[no-untyped-def]
    if not servers.is_changed[server]:
        servers.is_changed[server] = True
        servers.changed[clock.changed] = server
        clock.changed += 1


@compiled
def _queue(clock, servers, passing, discipline, row):  # type: ignore[no-untyped-def]
    """Let a session's task wait for its turn."""
    server = passing.server[row, passing.hop[row]]
    _change(clock, servers, server)
    if discipline.order == TOGETHER:
        passing.left[row] = servers.waiting[server]
        servers.waiting[server] = row
        return
    if discipline.order == OLDEST:
        passing.rank[row] = passing.number[row]
    elif discipline.order == DECODE_FIRST:
        passing.rank[row] = passing.prompts[row] > 0
    else:
        passing.rank[row] = 0
    passing.arrived_ms[row] = clock.now_ms
    passing.left[row] = passing.right[row] = NONE
    servers.waiting[server] = _merged(passing, servers.waiting[server], row)


@compiled(inline="always")
def _arrive(clock, servers, passing, discipline, row):  # type: ignore[no-untyped-def]
    in_blocks = discipline.prompt == BLOCK and passing.prompts[row] > 0
    passing.pieces[row] = passing.blocks[row, passing.hop[row]] if in_blocks else 1
    _queue(clock, servers, passing, discipline, row)


@compiled
def _leave(clock, events, servers, passing, discipline, row):  # type: ignore[no-untyped-def]
    """Let a session go on, a task of which has ended."""
    now, hops = clock.now_ms, passing.hops[row]
    passing.pieces[row] -= 1
    if passing.pieces[row] > 0:
        _queue(clock, servers, passing, discipline, row)
        return
    legs_ms = passing.prompt_leg_ms if passing.prompts[row] > 0 else passing.token_leg_ms
    passing.hop[row] += 1
    if passing.hop[row] < hops:
        _note(events, passing, row, now + legs_ms[row, passing.hop[row]], ARRIVED)
        return
    at_client_ms = now + legs_ms[row, hops]
    passing.hop[row] = 0
    passing.passes[row] -= 1
    if passing.prompts[row] > 0:
        passing.prompts[row] -= 1
        if passing.prompts[row] == 0:
            passing.first_token_ms[row] = at_client_ms
    if passing.prompts[row] == 0:
        passing.tokens[row] += 1
    if passing.passes[row] == 0:
        _note(events, passing, row, at_client_ms, ENDED)
        return
    legs_ms = passing.prompt_leg_ms if passing.prompts[row] > 0 else passing.token_leg_ms
    _note(events, passing, row, at_client_ms + legs_ms[row, 0], ARRIVED)


@compiled(inline="always")
def _log(clock, log, server, number, begin_ms, end_ms):  # type: ignore[no-untyped-def]
    i = clock.logged
    if i < log.server.shape[0]:
        log.server[i], log.number[i] = server, number
        log.begin_ms[i], log.end_ms[i] = begin_ms, end_ms
        clock.logged += 1


@compiled(inline="always")
def _task_ms(passing, servers, discipline, server, row):  # type: ignore[no-untyped-def]
    hop = passing.hop[row]
    if passing.prompts[row] > 0 and discipline.prompt != TOKEN:
        return passing.prompt_ms[row, hop]
    return passing.blocks[row, hop] * servers.tau_ms[server]


@compiled(inline="always")
def _popped(servers, passing, server):  # type: ignore[no-untyped-def]
    row = servers.waiting[server]
    servers.waiting[server] = _merged(passing, passing.left[row], passing.right[row])
    return row


@compiled
def _start_one(clock, events, servers, passing, discipline, log, server):  # type: ignore[no-untyped-def]
    """Start the next task of an idle server, and take the ones after it beforehand."""
    if servers.running[server] == NONE:
        row = NONE
        if servers.takings[server] > 0:
            row = servers.taken[server, 0]
            servers.takings[server] -= 1
            for i in range(servers.takings[server]):
                servers.taken[server, i] = servers.taken[server, i + 1]
        elif servers.waiting[server] != NONE:
            row = _popped(servers, passing, server)
        if row != NONE:
            begin_ms = clock.now_ms
            if servers.freed_ms[server] == begin_ms:
                begin_ms += discipline.gap_ms
            task_ms = _task_ms(passing, servers, discipline, server, row)
            servers.running[server] = row
            servers.busy_ms[server] += task_ms
            _note(events, passing, row, begin_ms + task_ms, DONE)
            _log(clock, log, server, passing.number[row], begin_ms, begin_ms + task_ms)
    while servers.takings[server] < discipline.prefetch and servers.waiting[server] != NONE:
        servers.taken[server, servers.takings[server]] = _popped(servers, passing, server)
        servers.takings[server] += 1


@compiled
def _batch_blocks(discipline, most, blocks):  # type: ignore[no-untyped-def]
    """Time of a step, in blocks of one token; the largest of its tasks has ``most`` of its blocks.

    On lines between the points that are given, and beyond them. A batch of equal tasks has the size
    blocks / most; without that division whole times stay whole.
    """
    i, x, y = 1, discipline.batch, discipline.batch_time
    while i + 1 < x.shape[0] and x[i] * most < blocks:
        i += 1
    slope = (y[i] - y[i - 1]) / (x[i] - x[i - 1])
    return y[i - 1] * most + slope * (blocks - x[i - 1] * most)


@compiled
def _start_all(clock, events, servers, passing, discipline, log, server):  # type: ignore[no-untyped-def]
    """Start a step of an idle server over all tasks that wait."""
    if servers.running[server] != NONE or servers.waiting[server] == NONE:
        return
    most, blocks, prompts_ms, row = 0, 0, 0.0, servers.waiting[server]
    while row != NONE:
        if passing.prompts[row] > 0 and discipline.prompt != TOKEN:
            prompts_ms += passing.prompt_ms[row, passing.hop[row]]
        else:
            count = passing.blocks[row, passing.hop[row]]
            most, blocks = max(most, count), blocks + count
        row = passing.left[row]
    step_ms = prompts_ms
    if most > 0:
        step_ms += servers.tau_ms[server] * _batch_blocks(discipline, most, blocks)
    end_ms = clock.now_ms + step_ms
    servers.running[server], servers.waiting[server] = servers.waiting[server], NONE
    servers.busy_ms[server] += step_ms
    push(events, end_ms, (DONE << KIND) + server, server, DONE)
    row = servers.running[server]
    while row != NONE:
        _log(clock, log, server, passing.number[row], clock.now_ms, end_ms)
        row = passing.left[row]


@compiled
def _happen(clock, events, servers, passing, discipline, ended):  # type: ignore[no-untyped-def]
    """Let all end and arrive that does so at this instant."""
    while events.size[0] > 0 and events.time_ms[0] <= clock.now_ms:
        _, row, kind = pop(events)
        if kind == ARRIVED:
            _arrive(clock, servers, passing, discipline, row)
        elif kind == ENDED:
            passing.end_ms[row] = clock.now_ms
            ended[clock.ended] = row
            clock.ended += 1
        elif discipline.order == TOGETHER:
            server = row
            row, servers.running[server] = servers.running[server], NONE
            _change(clock, servers, server)
            while row != NONE:
                following = passing.left[row]
                _leave(clock, events, servers, passing, discipline, row)
                row = following
        else:
            server = passing.server[row, passing.hop[row]]
            servers.running[server], servers.freed_ms[server] = NONE, clock.now_ms
            _change(clock, servers, server)
            _leave(clock, events, servers, passing, discipline, row)


@compiled
def _advance(clock, events, servers, passing, discipline, log, ended, until_ms):  # type: ignore[no-untyped-def]
    """Go on to the next instant at which sessions end, or to ``until_ms``, before servers start."""
    clock.ended = 0
    while True:
        _happen(clock, events, servers, passing, discipline, ended)
        if clock.ended > 0:
            return
        for i in range(clock.changed):
            server = servers.changed[i]
            servers.is_changed[server] = False
            if discipline.order == TOGETHER:
                _start_all(clock, events, servers, passing, discipline, log, server)
            else:
                _start_one(clock, events, servers, passing, discipline, log, server)
        clock.changed = 0
        if events.size[0] == 0 or events.time_ms[0] > until_ms:
            clock.now_ms = until_ms
            return
        clock.now_ms = events.time_ms[0]
        if clock.now_ms == until_ms:
            _happen(clock, events, servers, passing, discipline, ended)
            return


class TokenLoop:
    """Servers with queues, and the sessions that pass them.

    Parameters
    ----------
    swarm : Swarm
        Servers and clients.
    discipline : Discipline
        How servers take their tasks.
    log_tasks : int
        How many tasks to note in `log`.
    """

    def __init__(self, swarm: Swarm, discipline: Discipline, log_tasks: int = 0) -> None:
        self._swarm, self._discipline = swarm, discipline
        self._servers = Servers.of(swarm, discipline.prefetch)
        self._clock: Any = np.zeros(1, dtype=CLOCK).view(np.recarray)[0]
        self._events, self._admitted = Events.none(), 0
        rows = 16
        self.passing = Passing.none(rows, swarm.model.blocks)
        self._ended = np.zeros(rows, dtype=np.int64)
        self._free = list(range(rows))[::-1]
        self.log = Log(*np.zeros((2, log_tasks), dtype=np.int64), *np.zeros((2, log_tasks)))

    @property
    def rows(self) -> int:
        """Sessions for which there is room now; it doubles when they are more."""
        return self._ended.size

    @property
    def now_ms(self) -> float:
        """Where the loop is."""
        return float(self._clock.now_ms)

    @property
    def logged(self) -> int:
        """How many tasks are in the log."""
        return int(self._clock.logged)

    @property
    def busy_ms(self) -> FloatArray:
        """Time for which each server has worked, or will have when its task ends, shape (S,)."""
        return self._servers.busy_ms

    def enter(self, request: Request, route: Route) -> int:
        """Row of a session that has been admitted."""
        if not self._free:
            self._grow()
        row, swarm = self._free.pop(), self._swarm
        extra_ms = swarm.prompt_rtt_ms_per_token * request.input_tokens
        _enter(
            self.passing,
            self._servers,
            self._discipline.prompt,
            row,
            self._admitted,
            request,
            route.servers,
            route.processed,
            swarm.token_rtt_ms[request.client],
            swarm.prompt_rtt_ms[request.client] + extra_ms,
        )
        self._admitted += 1
        return row

    def start(self, row: int, time_ms: float) -> None:
        """Let a session send its prompt at a time that is not before `now_ms`."""
        _start(self._events, self.passing, row, float(time_ms))

    def advance(self, until_ms: float) -> list[int]:
        """Go on to the next instant at which sessions end, or to ``until_ms``.

        Servers have not yet started on what waits at this instant: whoever is admitted now, before
        the next call, comes in time.

        Returns
        -------
        list of int
            Rows of the sessions that end; free for others once they have been given back.
        """
        _advance(
            self._clock,
            self._events,
            self._servers,
            self.passing,
            self._discipline,
            self.log,
            self._ended,
            float(until_ms),
        )
        return self._ended[: int(self._clock.ended)].tolist()  # type: ignore[no-any-return]

    def leave(self, row: int) -> None:
        """Give a row back."""
        self._free.append(row)

    def _grow(self) -> None:
        rows = self._ended.size
        self._free = list(range(rows, 2 * rows))[::-1]
        self.passing = Passing(*(np.resize(c, (2 * rows, *c.shape[1:])) for c in self.passing))
        self._ended = np.resize(self._ended, 2 * rows)
        while self._events.time_ms.size < 2 * rows + self._swarm.servers:
            self._events = self._events.grown()
