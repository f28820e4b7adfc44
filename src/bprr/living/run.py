"""Sessions in a living swarm: cut where a server fails or loads, resumed on another chain.

The compiled loop cannot carry it: there a session that has begun ends when it was to end. So these
runs are SimPy's, the same processes as without churn and some beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from simpy import Interrupt, Process

from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.registry import ADMISSION, SERVICE, Choice
from bprr.ground.request import Request, Route
from bprr.ground.swarm import IntArray, Swarm
from bprr.living.churn.base import Change
from bprr.living.moving import Trade
from bprr.living.records import LivingRecords, Outage, Part, Replacement
from bprr.living.replacement.base import ReplacementPolicy
from bprr.living.router import LivingRouter
from bprr.living.swarm import LivingSwarm
from bprr.placement.base import Placement
from bprr.routing.base import RoutingPolicy
from bprr.scenario.workload import Workload
from bprr.service.base import ServiceTimes
from bprr.simulation.admission.base import AdmissionContext, AdmissionPolicy, Grant
from bprr.simulation.engine import NO_DELAYS, Delays, admission_of
from bprr.simulation.processes import Run

__all__ = ["Life", "Planner", "simulate_living"]


class Planner(Protocol):
    """Places blocks anew on some servers of the swarm, for a rate."""

    def place(self, placement: Placement, servers: IntArray, rate_per_s: float) -> Placement | None:
        """Placement that gives these servers other blocks, and leaves the rest; or none."""

    def per_token_ms(self, placement: Placement, servers: IntArray, rate_per_s: float) -> float:
        """Mean time per token on these servers of a placement; inf if it serves nobody."""


class Life(NamedTuple):
    """What happens to a swarm.

    Parameters
    ----------
    changes : iterator of Change
        When servers fail and join.
    replacement : ReplacementPolicy
        When blocks are placed anew.
    seconds_per_gb : float
        To load blocks.
    planner : Planner, optional
        Places them; not needed if that is never.
    """

    changes: Iterator[Change]
    replacement: ReplacementPolicy
    seconds_per_gb: float
    planner: Planner | None = None


class _Held(NamedTuple):
    """Caches that a session holds."""

    request: Request
    route: Route
    units: IntArray
    end_ms: float


@dataclass(frozen=True)
class _Context(AdmissionContext):
    """The context of every admission, which also knows who holds what."""

    held: dict[int, _Held] = field(default_factory=dict)

    def grant(
        self, request: Request, route: Route, delay_ms: float, raw_wait_ms: float, attempts: int
    ) -> Grant:
        grant = super().grant(request, route, delay_ms, raw_wait_ms, attempts)
        end_ms = self.env.now + delay_ms + grant.service.total_ms
        units = self.charging.needed(request, route)
        self.held[id(request)] = _Held(request, route, units, end_ms)
        return grant


def simulate_living(
    placement: Placement,
    workload: Workload,
    routing: Choice | str,
    life: Life,
    *,
    admission: Choice | str = "reserve",
    charging: Choice | str = "whole",
    service: Choice | str = "independent",
    delays: Delays = NO_DELAYS,
    serving: Swarm | None = None,
    engine: str = "auto",
    watch: Callable[[RoutingPolicy], RoutingPolicy] | None = None,
    progress: Callable[[int], object] | None = None,
) -> LivingRecords:
    """Serve a workload on a placement whose servers fail, join, and are given other blocks.

    Parameters are those of `bprr.simulation.simulate`; ``life`` says what happens.

    Raises
    ------
    InfeasibleError
        If a request has no chain, and will have none.
    InputError
        If servers have queues or allocate one by one, of whose sessions none can be cut; if the
        compiled engine is asked for.
    """
    if engine == "compiled":
        allowed = "simpy or auto, where servers fail, join or are given other blocks"
        raise InputError("simulation", "engine", engine, allowed)
    if not SERVICE.of(service).ends_are_known:
        allowed = "independent, where servers fail, join or are given other blocks"
        raise InputError("simulation", "service", SERVICE.of(service).name, allowed)
    if ADMISSION.of(admission).ends_holds:
        usable = ", ".join(name for name, each in ADMISSION.items() if not each.ends_holds)
        allowed = f"{usable}, where servers fail, join or are given other blocks"
        raise InputError("simulation", "admission", ADMISSION.of(admission).name, allowed)
    swarm = LivingSwarm(placement, life.seconds_per_gb)
    routers: list[LivingRouter] = []

    def around(router: RoutingPolicy) -> RoutingPolicy:
        routers.append(LivingRouter(router, routing, swarm))
        return watch(routers[0]) if watch else routers[0]

    policy = admission_of(
        placement, routing, admission, charging, service, delays, around, _Context, serving
    )
    return _LivingRun(policy, workload, progress, swarm, routers[0], life).records()


class _LivingRun(Run):
    """Processes of a run: requests, servers that come and go or load, and placing anew."""

    def __init__(
        self,
        admission: AdmissionPolicy,
        workload: Workload,
        progress: Callable[[int], object] | None,
        swarm: LivingSwarm,
        router: LivingRouter,
        life: Life,
    ) -> None:
        super().__init__(admission, workload, progress)
        self._swarm, self._router, self._life = swarm, router, life
        self._held: dict[int, _Held] = admission.context.held  # type: ignore[attr-defined]
        self._asking: dict[int, Process] = {}  # sessions by their request, as it is now
        self._left, self._changed = len(workload), self._env.event()
        self._loading, self._coming, self._tried = 0, True, False
        self._parts: list[Part] = []
        self._outages: list[Outage] = []
        self._replacements: list[Replacement] = []
        self._out: dict[int, float] = {}  # since when a server has served nobody
        self._env.process(self._churn())
        if life.replacement.every_s < np.inf:
            self._env.process(self._replace())

    def _session(self, index: int, request: Request) -> Generator[Any, Any, None]:
        """Serve a request part by part, until it has all its tokens."""
        env, admission, notes = self._env, self._admission, self._sessions
        context, done, start_ms = admission.context, 0, np.nan
        process: Any = env.active_process
        while True:
            asked = request
            if done:
                asked = request._replace(
                    input_tokens=request.input_tokens + done,
                    output_tokens=request.output_tokens - done,
                )
            self._asking[id(asked)] = process
            expected, began_ms = None, np.nan
            try:
                if admission.needs_known_ends:
                    yield from self._chain_there(asked)
                grant = yield from admission.admit(asked)
                expected, began_ms = grant.service, env.now
                if not notes.attempts[index]:
                    start_ms = notes.start_ms[index] = began_ms
                    notes.raw_wait_ms[index] = grant.raw_wait_ms
                notes.attempts[index] += grant.attempts
                served = yield from context.service.serve(env, grant.session, expected)
            except Interrupt as cut:
                del self._asking[id(asked)]
                if expected is None:  # it had caches, but had not begun
                    continue
                made = _tokens_made(expected, asked.output_tokens, env.now - began_ms)
                if made and not done:
                    notes.first_token_ms[index] = began_ms - start_ms + expected.first_token_ms
                cut_off: Any = cut.cause
                self._note_part(index, asked, cut_off, began_ms, made)
                done += made
                continue
            break
        del self._asking[id(asked)], self._held[id(asked)]
        self._note_part(index, asked, grant.route, began_ms, asked.output_tokens)
        if not done:
            notes.first_token_ms[index] = began_ms - start_ms + served.first_token_ms
        notes.total_ms[index] = began_ms - start_ms + served.total_ms
        self._note_chain(index, grant.route)
        context.router.ended(asked, grant.route)
        self._left -= 1
        admission.completed(grant)
        if self._progress is not None:
            self._progress(1)

    def _chain_there(self, request: Request) -> Generator[Any, Any, None]:
        """Wait until the servers that serve have a chain."""
        while not self._swarm.whole:
            if self._router.route(request, self._env.now).servers.size:
                return
            yield self._changed

    def _note_part(
        self, index: int, asked: Request, route: Route, began_ms: float, made: int
    ) -> None:
        now_ms, cut = self._env.now, made < asked.output_tokens
        self._parts.append(Part(index, began_ms, now_ms, asked.input_tokens, made, cut, *route[:2]))

    def _churn(self) -> Generator[Any, Any, None]:
        """Let servers fail and join."""
        env, swarm = self._env, self._swarm
        for change in self._life.changes:
            if change.time_ms > env.now:
                yield env.timeout(change.time_ms - env.now)
            if not self._left:
                return
            if change.joins:
                load = swarm.join(change.server)
                self._load({change.server: load})
            else:
                swarm.fail(change.server)
                self._change([change.server])
        self._coming = False
        self._change([])

    def _load(self, loads: Mapping[int, tuple[int, float]]) -> None:
        """Let servers load, whose sessions have been cut."""
        for server, (number, load_ms) in loads.items():
            self._loading += 1
            self._env.process(self._loaded(server, number, load_ms))

    def _loaded(self, server: int, number: int, load_ms: float) -> Generator[Any, Any, None]:
        yield self._env.timeout(load_ms)
        self._loading -= 1
        if self._swarm.end_load(server, number) or not self._loading:
            self._change([])

    def _replace(self) -> Generator[Any, Any, None]:
        """Place blocks anew, every so often, where that pays."""
        env, life = self._env, self._life
        every_s, arrival_ms = life.replacement.every_s, self._workload.arrival_ms
        while True:
            yield env.timeout(1000 * every_s)
            if not self._left:
                return
            since, until = np.searchsorted(arrival_ms, [env.now - 1000 * every_s, env.now])
            self._consider(float(until - since) / every_s)
            if not self._coming and not self._tried:
                self._tried = True
                self._change([])

    def _consider(self, rate_per_s: float) -> None:
        """Place blocks anew for a rate, if the policy wants it; not while the last ones load."""
        life, swarm, planner = self._life, self._swarm, self._life.planner
        assert planner is not None
        if self._replacements:
            last = self._replacements[-1]
            if self._env.now < last.time_ms + last.pause_ms:
                return
        servers = np.flatnonzero(swarm.up)
        best = planner.place(swarm.placement, servers, rate_per_s)
        if best is None or not swarm.moved(best).size:
            return
        load_ms = swarm.load_ms(best)
        trade = Trade(
            planner.per_token_ms(swarm.placement, servers, rate_per_s),
            planner.per_token_ms(best, servers, rate_per_s),
            rate_per_s,
            float(self._workload.output_tokens.mean()),
            life.replacement.every_s,
            float(load_ms.max()) / 1000,
        )
        if np.isinf(trade.best_ms) or not life.replacement.moves(trade):
            return
        loads = swarm.move(best)
        self._replacements.append(Replacement(self._env.now, len(loads), float(load_ms.max())))
        self._admission.context.caches.resize(best.cache_tokens)
        self._change(list(loads))
        self._load(loads)

    def _change(self, stopped: Collection[int]) -> None:
        """Servers serve that did not, or no longer do: cut sessions, and look who can go on."""
        now_ms, context, swarm = self._env.now, self._admission.context, self._swarm
        cut = []
        for key, held in list(self._held.items()):
            if held.end_ms > now_ms and not set(stopped).isdisjoint(held.route.servers.tolist()):
                context.caches.release(held.route.servers, held.units, held.end_ms, now_ms)
                cut.append((self._asking[key], held.route))
                del self._held[key]
        for server in np.flatnonzero(swarm.serving).tolist():
            if server in self._out:
                self._outages.append(Outage(server, self._out.pop(server), now_ms))
        for server in np.flatnonzero(~swarm.serving).tolist():
            self._out.setdefault(server, now_ms)
        self._router.settled = not self._coming and not self._loading and self._no_more_moves()
        self._router.renew((held.request, held.route) for held in self._held.values())
        for process, route in cut:
            process.interrupt(route)
        self._admission.attempt_queued()
        self._changed.succeed()
        self._changed = self._env.event()

    def _no_more_moves(self) -> bool:
        return self._tried or np.isinf(self._life.replacement.every_s)

    def records(self) -> LivingRecords:
        """Records of all requests once the clock has run out.

        Raises
        ------
        InfeasibleError
            If some were never served.
        """
        self._admission.context.service.run(self._env)
        if self._left:
            raise InfeasibleError(
                "servers", "a host of every block", f"{self._left} requests wait for ever"
            )
        whole = super().records()
        self._outages += [Outage(server, since, np.inf) for server, since in self._out.items()]
        return LivingRecords.of_parts(whole, self._parts, self._outages, self._replacements)


def _tokens_made(expected: ServiceTimes, output_tokens: int, elapsed_ms: float) -> int:
    """Tokens that a session has after some time; the last one comes when it ends."""
    later_ms = elapsed_ms - expected.first_token_ms
    if later_ms < 0:
        return 0
    all_later_ms = expected.total_ms - expected.first_token_ms
    share = later_ms / all_later_ms if all_later_ms > 0 else 1.0
    return min(1 + int(share * (output_tokens - 1)), output_tokens - 1)
