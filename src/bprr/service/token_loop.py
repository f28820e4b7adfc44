"""State of the loop of tokens: how servers take tasks, who waits where, sessions on their way."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from bprr.ground.events import Events
from bprr.ground.request import Request, Route
from bprr.ground.swarm import FloatArray, IntArray, Swarm
from bprr.service.tokens import (
    BLOCK,
    DECODE_FIRST,
    FIFO,
    NONE,
    OLDEST,
    TOGETHER,
    TOKEN,
    WHOLE,
    advance,
    enter,
    enter_legs,
    go_on,
    start,
)

__all__ = ["Discipline", "TokenLoop"]

CLOCK = np.dtype([("now_ms", "f8"), ("changed", "i8"), ("ended", "i8"), ("logged", "i8")])


class Discipline(NamedTuple):
    """How servers take their tasks."""

    order: int  # FIFO, DECODE_FIRST or OLDEST; TOGETHER
    prompt: int  # WHOLE, BLOCK or TOKEN
    prefetch: int  # tasks that are taken before their turn, and not passed by from then on
    gap_ms: float  # before a task that has waited while another one ran
    resubmit_ms: float  # from the end of a prompt's piece until the next one waits
    prompt_within_ms: float  # age of a session from which on its prompt goes before tokens
    prompt_idle_power: float  # of the share of time that its busiest server was idle; divides it
    batch: FloatArray  # sizes of a batch, increasing from 1
    batch_time: FloatArray  # time of a step with that many tokens, in steps with one

    @classmethod
    def serial(
        cls,
        order: str,
        prompt: str,
        prefetch: int,
        gap_ms: float,
        prompt_within_ms: float = np.inf,
        resubmit_ms: float = 0.0,
        prompt_idle_power: float = 0.0,
    ) -> Self:
        """One task after another."""
        code = {"fifo": FIFO, "decode_first": DECODE_FIRST, "oldest": OLDEST}[order]
        times_ms = (float(gap_ms), float(resubmit_ms), float(prompt_within_ms))
        power = float(prompt_idle_power)
        return cls(code, _pieces(prompt), prefetch, *times_ms, power, *np.ones((2, 2)))

    @classmethod
    def batched(cls, curve: Any, prompt: str) -> Self:
        """All tasks that wait, in one step; ``curve`` holds pairs of size and relative time."""
        size, time = np.array(curve, dtype=float).T.copy()
        return cls(TOGETHER, _pieces(prompt), 0, 0.0, 0.0, np.inf, 0.0, size, time)


def _pieces(prompt: str) -> int:
    return {"whole": WHOLE, "block": BLOCK, "token": TOKEN}[prompt]


class Servers(NamedTuple):
    """State of S servers."""

    tau_ms: FloatArray
    prefill_ms: FloatArray
    prefill_ms_per_token: FloatArray
    waiting: IntArray  # root of a heap of sessions (a list, if they are served together)
    prompts: IntArray  # root of one of those with a prompt, where those may come first
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
    stop: IntArray  # of them, with which it stops at its client; none if it does not
    prompt_due_ms: FloatArray  # when its prompt is to go before tokens
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
        columns: list[Any] = [np.zeros(rows, dtype=np.int64) for _ in range(8)]
        columns += [np.zeros(rows) for _ in range(4)]
        columns += [np.zeros(rows, dtype=np.int64) for _ in range(3)]
        columns += [*np.zeros((2, rows, blocks), dtype=np.int64), np.zeros((rows, blocks))]
        return cls._make([*columns, *np.zeros((2, rows, blocks + 1))])


class Log(NamedTuple):
    """Tasks in the order in which they started; as many as there is room for."""

    server: IntArray
    number: IntArray  # of the session
    begin_ms: FloatArray
    end_ms: FloatArray


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
        extra_ms = swarm.prompt_rtt_ms_per_token[request.client] * request.input_tokens
        enter(
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
        if swarm.neighbours is not None:
            prompt = self._discipline.prompt
            enter_legs(self.passing, prompt, row, request, route.servers, swarm.neighbours)
        self._admitted += 1
        return row

    def start(self, row: int, time_ms: float) -> None:
        """Let a session send its prompt at a time that is not before `now_ms`."""
        start(self._events, self._servers, self.passing, self._discipline, row, float(time_ms))

    def go_on(self, row: int, time_ms: float) -> None:
        """Let a session that has stopped go on at a time that is not before `now_ms`."""
        go_on(self._events, self.passing, row, float(time_ms))

    def advance(self, until_ms: float) -> list[int]:
        """Go on to the next instant at which sessions end or stop, or to ``until_ms``.

        Servers have not yet started on what waits at this instant: whoever is admitted now, before
        the next call, comes in time.

        Returns
        -------
        list of int
            Rows of the sessions that end, free for others once they have been given back; and of
            those that stop, with passes to come.
        """
        advance(
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
