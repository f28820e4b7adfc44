"""Servers whose sessions wait for each other: when one ends is known only when it has ended."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator
from typing import Any, Literal

import numpy as np
from pydantic import Field
from simpy import Environment, Event

from bprr.ground.caches import Caches
from bprr.ground.errors import InfeasibleError
from bprr.ground.performance import chain_times_ms, decode_ms_per_token, session_terms_ms
from bprr.ground.request import Request, Route
from bprr.ground.schema import Strict
from bprr.ground.swarm import FloatArray, IntArray, Swarm
from bprr.routing.base import RouterAround, RoutingPolicy
from bprr.service.base import ServicePolicy, ServiceTimes
from bprr.service.token_loop import Discipline, TokenLoop

__all__ = ["Belief", "Believing", "Queued", "QueuedOptions"]

Belief = Literal["ends_now", "re_estimated", "where_room"]


class QueuedOptions(Strict):
    """What all of them have.

    A session is expected to take the time of its chain alone. What routing believes of one that
    outlives that: it ``ends_now``; its end is ``re_estimated`` by the tokens that it has got so
    far; or routing looks at no ends, and goes only ``where_room`` is now.
    """

    prompt: Literal["whole", "block", "token"] = Field(
        "whole",
        description="run as a whole (shipped), in pieces of one block each, or token by token",
    )
    belief: Belief = Field(
        "re_estimated",
        description="of routing, on a session that outlives its time alone (docs/service.md)",
    )


class Queued(ServicePolicy):
    """Base of the policies that run a `TokenLoop`, each with its discipline."""

    ends_are_known = False

    def __init__(self, swarm: Swarm, delay_ms: float, options: Strict | None = None) -> None:
        super().__init__(swarm, delay_ms, options)
        self.loop = TokenLoop(swarm, self.discipline())
        rows, blocks = self.loop.rows, swarm.model.blocks
        self._is_held = np.zeros(rows, dtype=np.bool_)
        self._units = np.zeros((rows, blocks), dtype=np.int64)
        self._start_ms, self._expected_end_ms = np.zeros((2, rows))
        self._output_tokens = np.zeros(rows, dtype=np.int64)
        self._served: dict[int, Event] = {}

    def discipline(self) -> Discipline:
        """How servers take their tasks."""
        raise NotImplementedError

    def times(self, request: Request, route: Route) -> ServiceTimes:
        """Times of a session that nobody disturbs, for a request and its route."""
        first_ms, remaining_ms = chain_times_ms(
            self.swarm,
            request.client,
            route.servers,
            route.processed,
            request.input_tokens,
            request.output_tokens,
        )
        if self.options.prompt == "token":
            token_ms = decode_ms_per_token(
                self.swarm, request.client, route.servers, route.processed
            )
            first_ms = request.input_tokens * token_ms
        first_token_ms = self.delay_ms + first_ms
        return ServiceTimes(first_token_ms, first_token_ms + remaining_ms)

    def session_terms_ms(self, request: Request) -> tuple[FloatArray, FloatArray]:
        """Terms of the time of a session that nobody disturbs."""
        by_token = self.options.prompt == "token"
        return session_terms_ms(self.swarm, request.input_tokens, request.output_tokens, by_token)

    def least_work_ms(
        self, request: Request, server: IntArray, blocks: IntArray, slots: IntArray
    ) -> FloatArray:
        """Time that such a session takes of these servers at the best, beside others like it."""
        swarm, later = self.swarm, request.output_tokens - 1
        per_token = swarm.prefill_ms_per_token[server]
        prompt_ms = blocks * (swarm.prefill_ms[server] + per_token * request.input_tokens)
        if self.options.prompt == "token":
            prompt_ms, later = np.zeros_like(prompt_ms), later + request.input_tokens
        return prompt_ms + later * blocks * swarm.tau_ms[server] * self.least_share(slots / blocks)

    def least_share(self, most: FloatArray) -> FloatArray:
        """Least share in the time of a step with up to so many sessions, in steps of one."""
        return np.ones_like(most)

    def routing(self, router: RoutingPolicy, caches: Caches) -> RoutingPolicy:
        """The policy, which sees the caches by what is believed."""
        return Believing(router, self, caches)

    def admitted(
        self, request: Request, route: Route, units: IntArray, start_ms: float, end_ms: float
    ) -> int:
        """Enter a session, which sends nothing before it is served; its row."""
        row = self.loop.enter(request, route)
        if row >= self._is_held.size:
            self._grow()
        self._is_held[row], self._units[row, : units.size] = True, units
        self._start_ms[row], self._expected_end_ms[row] = start_ms, end_ms
        self._output_tokens[row] = request.output_tokens
        return row

    def serve(
        self, env: Environment, session: int, expected: ServiceTimes
    ) -> Generator[Any, Any, ServiceTimes]:
        """Yield until the session has ended; its times."""
        start_ms = env.now
        first_token_ms, end_ms, _ = yield self.begin(env, session)
        return ServiceTimes(first_token_ms - start_ms, end_ms - start_ms)

    def begin(self, env: Environment, session: int) -> Event:
        """Let an admitted session start; what happens when it ends or stops.

        Its value: when it had its first token, when that was, and how many passes are to come.
        """
        self.loop.start(session, max(env.now, self.loop.now_ms) + self.delay_ms)
        return self._told(env, session)

    def stop_at(self, session: int, tokens: int) -> None:
        """Let a session stop at its client once it has so many tokens."""
        self.loop.passing.stop[session] = tokens

    def go_on(self, env: Environment, session: int) -> Event:
        """Let a session that has stopped go on, as `begin`."""
        self.loop.go_on(session, max(env.now, self.loop.now_ms))
        return self._told(env, session)

    def grow(self, caches: Caches, session: int, units: IntArray, now_ms: float) -> bool:
        """Hold more for a session at every server of its chain, if all have room."""
        self.enter(caches, self.options.belief, now_ms)
        hops = self.loop.passing.hops[session]
        servers = self.loop.passing.server[session, :hops]
        if (units > caches.state.free[servers]).any():
            return False
        self._units[session, :hops] += units
        return True

    def give_up(self, session: int) -> int:
        """End a session that has stopped; the tokens that it made."""
        self._is_held[session] = False
        self.loop.leave(session)
        return int(self.loop.passing.tokens[session])

    def _told(self, env: Environment, session: int) -> Event:
        told = self._served[session] = env.event()
        return told

    def run(self, env: Environment) -> None:
        """Let the clock run out, the servers' and SimPy's by turns.

        At one instant sessions end and tasks arrive first; then whatever SimPy has; then servers
        start on what waits.
        """
        while True:
            ended = self.loop.advance(env.peek())
            now_ms = self.loop.now_ms
            if math.isinf(now_ms):
                return
            if ended and now_ms > env.now:
                env.run(until=now_ms)  # nothing happens before
            passing = self.loop.passing
            for row in ended:
                passes = int(passing.passes[row])
                times = float(passing.first_token_ms[row]), float(passing.end_ms[row])
                self._served.pop(row).succeed((*times, passes))
                if not passes:
                    self._is_held[row] = False
                    self.loop.leave(row)
            while env.peek() <= max(now_ms, env.now):
                env.step()

    def enter(self, caches: Caches, belief: Belief, now_ms: float) -> None:
        """Enter the sessions into the caches, to end when it is believed that they do."""
        held = np.flatnonzero(self._is_held)
        passing = self.loop.passing
        ends_ms = self._believed_ends_ms(held, belief, now_ms)
        hops = passing.hops[held]
        longest = hops.max(initial=0)
        servers, units = passing.server[held, :longest], self._units[held, :longest]
        caches.enter_anew(servers, units, hops, ends_ms, now_ms)

    def _believed_ends_ms(self, held: IntArray, belief: Belief, now_ms: float) -> FloatArray:
        if belief == "where_room":
            return np.full(held.size, np.inf)
        soon_ms = math.nextafter(now_ms, math.inf)
        expected_ms = self._expected_end_ms[held]
        if belief == "re_estimated":
            done = self.loop.passing.tokens[held]
            pace_ms = (now_ms - self._start_ms[held]) / np.maximum(done, 1)
            later_ms = now_ms + (self._output_tokens[held] - done) * pace_ms
            expected_ms = np.where(expected_ms <= now_ms, later_ms, expected_ms)
        return np.maximum(expected_ms, soon_ms)

    def _grow(self) -> None:
        rows = self.loop.rows
        for name in ("_is_held", "_units", "_start_ms", "_expected_end_ms", "_output_tokens"):
            column = getattr(self, name)
            setattr(self, name, np.resize(column, (rows, *column.shape[1:])))
        self._is_held[rows // 2 :] = False


class Believing(RouterAround):
    """A routing policy that meets caches whose sessions end when it is believed that they do."""

    def __init__(self, router: RoutingPolicy, service: Queued, caches: Caches) -> None:
        super().__init__(router)
        self._service, self._caches = service, caches

    def route(self, request: Request, now_ms: float) -> Route:
        """Chain for a request that asks now.

        Where no chain has room, ``where_room`` answers as ``ends_now`` does: with a chain that
        has to wait.

        Raises
        ------
        InfeasibleError
            If none has room in an idle swarm.
        """
        service, caches, belief = self._service, self._caches, self._service.options.belief
        if belief != "where_room":
            service.enter(caches, belief, now_ms)
            return self._router.route(request, now_ms)
        service.enter(caches, "where_room", now_ms)
        route = None
        with contextlib.suppress(InfeasibleError):
            route = self._router.route(request, now_ms)
        service.enter(caches, "ends_now", now_ms)
        return route or self._router.route(request, now_ms)
