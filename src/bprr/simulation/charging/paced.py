"""Pages, and sessions that start only where the growth of all is expected to fit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import Field
from simpy import Environment

from bprr.ground.caches import Caches
from bprr.ground.performance import decode_ms_per_token
from bprr.ground.request import Request, Route
from bprr.ground.schema import NonNegative, Share, Strict
from bprr.ground.swarm import FloatArray, IntArray
from bprr.service.base import ServicePolicy
from bprr.simulation.charging.pages import Pages

__all__ = ["Paced"]

INSTANTS = 32  # of a session's time at which the room is looked at
BINS = 64  # of the share that sessions use of what they announce


@dataclass
class _Session:
    """A session as far as it is known."""

    input_tokens: int
    announced: int  # output tokens at most
    made: int
    blocks: dict[int, int] = field(default_factory=dict)  # by server, once it runs
    since_ms: float = 0.0  # when it had so many tokens
    pace_ms: float = 0.0  # of a token, alone


class Paced(Pages, name="paced"):
    """Pages as they fill; who would probably overflow a cache later waits at the start.

    At every server of its chain, at any time of its stay, the pages that sessions are expected to
    hold, and z standard deviations more, have to fit. How long sessions are is learned from those
    that ended and those that still run (Kaplan and Meier's estimate, over the share of what was
    announced), how fast they go from the tokens that they make. One that lacks a page all the same
    begins again, as with `pages`.
    """

    paces = True

    class Options(Pages.Options):
        """How carefully sessions start."""

        deviations: NonNegative = Field(
            2.0, description="z, standard deviations that are kept free"
        )
        slack: Share = Field(0.1, description="of a session's time, for which it may end later")
        memory: Share = Field(0.95, description="weight of a pace that is a token old")

    def __init__(self, env: Environment, options: Strict | None = None) -> None:
        super().__init__(env, options)
        self._sessions: dict[int, _Session] = {}
        self._ended = np.zeros(BINS, dtype=np.int64)
        self._slower: dict[int, float] = {}  # by server: how much than alone

    def asks(self, asked: Request, most: int, made: int) -> None:
        """A session asks for a chain: its cache at most, and the tokens that it has already."""
        before = asked.input_tokens - made
        self._sessions[id(asked)] = _Session(before, most - before, made)

    def grew(self, asked: Request, made: int, now_ms: float) -> None:
        """It has so many tokens, of all that it makes."""
        session = self._sessions[id(asked)]
        new, took_ms = made - session.made, now_ms - session.since_ms
        if new > 0 and took_ms > 0 and session.pace_ms > 0:
            weight = self.options.memory**new
            for server in session.blocks:
                old = self._slower.get(server, 1.0)
                measured = took_ms / new / session.pace_ms
                self._slower[server] = weight * old + (1 - weight) * measured
        session.made, session.since_ms = made, now_ms

    def ended(self, asked: Request, made: int, cut: bool) -> None:
        """It has ended with so many tokens, or begins again."""
        session = self._sessions.pop(id(asked))
        if not cut:
            self._ended[min(math.ceil(made / session.announced * BINS), BINS) - 1] += 1

    def starts(
        self, caches: Caches, asked: Request, route: Route, service: ServicePolicy, now_ms: float
    ) -> bool:
        """Whether what all of them are expected to hold fits; always, if nobody else is there."""
        mine, chain = self._sessions[id(asked)], (route.servers, route.processed)
        first_ms = self._slowdown(route.servers) * service.times(asked, route).first_token_ms
        mine.since_ms = now_ms + first_ms
        mine.pace_ms = decode_ms_per_token(service.swarm, asked.client, *chain)
        servers = route.servers.tolist()
        there = [each for each in self._sessions.values() if each.blocks.keys() & servers]
        if not there:
            return True
        token_ms = self._slowdown(route.servers) * mine.pace_ms
        stay_ms = first_ms + token_ms * (mine.announced - mine.made) * (1 + self.options.slack)
        mean, variance = self._use(
            [*there, mine], now_ms + np.linspace(0, stay_ms, INSTANTS), token_ms
        )
        blocks = [[each.blocks.get(server, 0) for each in there] for server in servers]
        held = np.column_stack([blocks, route.processed])
        most = held @ mean + self.options.deviations * np.sqrt(held**2 @ variance)
        fits: bool = (most <= caches.state.capacity[route.servers][:, None]).all()
        return fits

    def charge(
        self, caches: Caches, request: Request, route: Route, now_ms: float, end_ms: float
    ) -> None:
        """Enter a session that starts."""
        super().charge(caches, request, route, now_ms, end_ms)
        chain = zip(route.servers.tolist(), route.processed.tolist(), strict=True)
        self._sessions[id(request)].blocks = dict(chain)

    def _use(
        self, sessions: list[_Session], at_ms: FloatArray, token_ms: float
    ) -> tuple[FloatArray, FloatArray]:
        """Mean and variance of what sessions hold of a block, shape (sessions, instants)."""
        columns = [
            (each.input_tokens, each.announced, each.made, each.since_ms,
             each.pace_ms * self._slowdown(each.blocks) if each.blocks else token_ms)
            for each in sessions
        ]  # fmt: skip
        before, announced, made, since_ms, pace_ms = np.array(columns).T[:, :, None]
        later_ms = np.maximum(at_ms - since_ms, 0)
        tokens = made + np.divide(
            later_ms, pace_ms, where=pace_ms > 0, out=np.full_like(later_ms, np.inf)
        )
        survival = self._survival()
        late = self.options.slack * survival[:-1].mean()
        now, then = made / announced, tokens / announced - late
        there = (
            survival[_bin(np.maximum(now, then))] / survival[_bin(np.minimum(now, 1 - 1 / BINS))]
        )
        page: int = self.options.tokens
        filled = np.ceil((before + np.minimum(tokens + 1, announced)) / page) * page
        held = np.minimum(filled, before + announced)
        return held * there, held**2 * there * (1 - there)

    def _survival(self) -> FloatArray:
        """Share of sessions that go beyond 0, 1/BINS … 1 of what they announce."""
        passed = np.zeros(BINS + 1, dtype=np.int64)
        for each in self._sessions.values():
            passed[_bin(np.array(each.made / each.announced))] += 1
        later = self._ended[::-1].cumsum()[::-1] + passed[:0:-1].cumsum()[::-1]
        hazard = self._ended / np.maximum(later, 1)
        hazard[-1] = 1.0  # nobody goes beyond it
        return np.concatenate([[1.0], np.cumprod(1 - hazard)])

    def _slowdown(self, servers: Any) -> float:
        return max(self._slower.get(int(server), 1.0) for server in servers)


def _bin(share: FloatArray) -> IntArray:
    return (np.minimum(share, 1) * BINS).astype(np.int64)
