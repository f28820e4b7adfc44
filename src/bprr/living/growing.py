"""Sessions whose caches grow page by page, and begin again where a page is missing."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from bprr.ground.errors import InputError
from bprr.ground.registry import ADMISSION, CHARGING, SERVICE, Choice
from bprr.ground.request import Request
from bprr.ground.swarm import Swarm
from bprr.living.records import LivingRecords, Part
from bprr.placement.base import Placement
from bprr.routing.base import RoutingPolicy
from bprr.scenario.workload import Workload
from bprr.service.base import ServiceTimes
from bprr.service.queued import Queued
from bprr.simulation.admission.base import AdmissionPolicy, Grant, too_long
from bprr.simulation.engine import NO_DELAYS, Delays, admission_of
from bprr.simulation.processes import Run

__all__ = ["simulate_growing"]


def simulate_growing(
    placement: Placement,
    workload: Workload,
    routing: Choice | str,
    *,
    charging: Choice | str,
    admission: Choice | str = "central_queue",
    service: Choice | str = "serial",
    delays: Delays = NO_DELAYS,
    serving: Swarm | None = None,
    engine: str = "auto",
    watch: Callable[[RoutingPolicy], RoutingPolicy] | None = None,
    progress: Callable[[int], object] | None = None,
) -> LivingRecords:
    """Serve a workload on servers with queues whose caches are charged as they grow.

    Parameters are those of `bprr.simulation.simulate`. A cut is a session that began again.

    Raises
    ------
    InfeasibleError
        If a request has no chain, or one whose caches are too small for it alone.
    InputError
        If servers have no queues, or allocate one by one; if the compiled engine is asked for.
    """
    if engine == "compiled":
        raise InputError("simulation", "engine", engine, "simpy or auto, where caches grow")
    if SERVICE.of(service).ends_are_known:
        usable = ", ".join(name for name, each in SERVICE.items() if not each.ends_are_known)
        allowed = f"{usable}, where caches grow: sessions are looked at token by token"
        raise InputError("simulation", "service", SERVICE.of(service).name, allowed)
    if ADMISSION.of(admission).ends_holds:
        usable = ", ".join(name for name, each in ADMISSION.items() if not each.ends_holds)
        allowed = f"{usable}, where caches grow"
        raise InputError("simulation", "admission", ADMISSION.of(admission).name, allowed)
    if CHARGING.of(charging).paces and not ADMISSION.of(admission).queues:
        usable = ", ".join(name for name, each in ADMISSION.items() if each.queues)
        allowed = f"{usable}, where sessions start as caches allow"
        raise InputError("simulation", "admission", ADMISSION.of(admission).name, allowed)
    policy = admission_of(
        placement, routing, admission, charging, service, delays, watch,
        serving=serving, growing=True,
    )  # fmt: skip
    return _GrowingRun(policy, workload, progress).records()


class _GrowingRun(Run):
    """Sessions that ask for a page after another."""

    def __init__(
        self,
        admission: AdmissionPolicy,
        workload: Workload,
        progress: Callable[[int], object] | None,
    ) -> None:
        super().__init__(admission, workload, progress)
        self._pages: Any = admission.context.charging
        self._parts: list[Part] = []

    def _session(self, index: int, request: Request) -> Generator[Any, Any, None]:
        """Serve a request, from the start again whenever a page was missing."""
        env, admission, notes = self._env, self._admission, self._sessions
        done, start_ms = 0, np.nan
        while True:
            before, left = request.input_tokens + done, request.output_tokens - done
            pages = self._pages.covering(before + 1, request.cache_tokens)
            asked = Request(request.client, before, left, pages)
            self._pages.asks(asked, request.cache_tokens, done)
            grant = yield from admission.admit(asked)
            began_ms = env.now
            if not notes.attempts[index]:
                start_ms = notes.start_ms[index] = began_ms
                notes.raw_wait_ms[index] = grant.raw_wait_ms
            notes.attempts[index] += grant.attempts
            made, served = yield from self._served(asked, request.cache_tokens, done, grant)
            if not done:
                notes.first_token_ms[index] = began_ms - start_ms + served.first_token_ms
            cut = made < left
            self._pages.ended(asked, done + made, cut)
            self._parts.append(Part(index, began_ms, env.now, before, made, cut, *grant.route[:2]))
            admission.context.router.ended(asked, grant.route)
            if not cut:
                break
            done += made
            admission.completed(grant)
        notes.total_ms[index] = began_ms - start_ms + served.total_ms
        self._note_chain(index, grant.route)
        admission.completed(grant)
        if self._progress is not None:
            self._progress(1)

    def _served(
        self, asked: Request, most: int, done: int, grant: Grant
    ) -> Generator[Any, Any, tuple[int, ServiceTimes]]:
        """Serve a session until it ends, or a page is missing: tokens that it made, and times."""
        env, context, row = self._env, self._admission.context, grant.session
        service, caches, (servers, processed, _) = context.service, context.caches, grant.route
        assert isinstance(service, Queued)
        if (processed * most > caches.state.capacity[servers]).any():
            raise too_long(servers, processed * most, caches.state.capacity)
        held, start_ms, begins = asked.cache_tokens, env.now, service.begin
        while True:
            if held < most:
                service.stop_at(row, held - asked.input_tokens)
            first_token_ms, end_ms, passes = yield begins(env, row)
            times = ServiceTimes(first_token_ms - start_ms, end_ms - start_ms)
            if not passes:
                return asked.output_tokens, times
            more = self._pages.covering(held + 1, most)
            if not service.grow(caches, row, processed * (more - held), env.now):
                return service.give_up(row), times
            self._pages.grew(asked, done + held - asked.input_tokens, env.now)
            if self._pages.paces:
                self._admission.attempt_queued()
            held, begins = more, service.go_on

    def records(self) -> LivingRecords:
        """Records of all requests once the clock has run out."""
        return LivingRecords.of_parts(super().records(), self._parts, [], [])
