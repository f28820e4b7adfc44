"""Allocation as in shipped PETALS: server by server, keeping what it has got."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

import numpy as np

from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.request import Request, Route
from bprr.ground.schema import Strict
from bprr.ground.swarm import IntArray
from bprr.routing.petals_shipped import PetalsShipped
from bprr.simulation.admission.back_off import BackOff, Gaps, gap_ms
from bprr.simulation.admission.base import AdmissionContext, AdmissionPolicy, Grant, too_long

__all__ = ["Shipped"]

PATIENCE_MS = 3_600_000.0  # nothing happens for longer than gaps, bans and stale news together


class Shipped(AdmissionPolicy, name="shipped"):
    """Each server allocates at once or refuses; then its part of the chain is routed anew.

    The first retry comes at once, the others after the gaps. The servers before it keep what they
    have allocated, so that sessions can wait for each other for ever.
    """

    ends_holds = True

    class Options(BackOff):
        """Gaps between attempts, after one without a gap."""

    def __init__(self, context: AdmissionContext, options: Strict | None = None) -> None:
        super().__init__(context, options)
        router: Any = context.router
        if not isinstance(router, PetalsShipped):
            raise InputError("admission", "shipped", router.name, "routing petals_shipped with it")
        self._router = router
        self._gaps = Gaps(float(self.options.first_ms), float(self.options.longest_ms))
        self._running = self._waiting = 0
        self._held: dict[int, IntArray] = {}  # units of the sessions that run, by grant
        self._changed_ms = 0.0  # when something was last allocated or given back

    def admit(self, request: Request) -> Generator[Any, Any, Grant]:
        """Allocate server by server.

        Raises
        ------
        InfeasibleError
            If nobody can ever go on: all sessions that hold caches wait for those of others.
        """
        context, env, router = self.context, self.context.env, self._router
        whole = router.part(request, 0, context.placement.swarm.model.blocks, env.now)
        plan = list(zip(whole.servers.tolist(), whole.processed.tolist(), strict=True))
        attempts, failures, done, position = 1, 0, 0, 0
        self._waiting += 1
        while done < len(plan):
            server, blocks = plan[done]
            if self._allocate(request, server, blocks):
                done, position, failures = done + 1, position + blocks, 0
                continue
            router.failed(request.client, server, env.now)
            failures, attempts = failures + 1, attempts + 1
            yield env.timeout(0.0 if failures == 1 else gap_ms(self._gaps, failures - 1))
            part = router.part(request, position, position + blocks, env.now)
            plan[done : done + 1] = zip(part.servers.tolist(), part.processed.tolist(), strict=True)
        self._waiting, self._running = self._waiting - 1, self._running + 1
        servers, processed = np.array(plan, dtype=np.int64).T.copy()
        route = Route(servers, processed, whole.cost_ms)
        service = context.service.times(request, route)
        units, end_ms = context.charging.needed(request, route), env.now + service.total_ms
        session = context.service.admitted(request, route, units, env.now, end_ms)
        router.admitted(request, route)
        grant = Grant(route, service, 0.0, attempts, session)
        self._held[id(grant)] = units
        return grant

    def completed(self, grant: Grant) -> None:
        """Give the caches back."""
        now_ms = self.context.env.now
        self._router.look(now_ms)
        units = self._held.pop(id(grant))
        self.context.caches.release(grant.route.servers, units, math.inf, now_ms)
        self._running, self._changed_ms = self._running - 1, now_ms

    def _allocate(self, request: Request, server: int, blocks: int) -> bool:
        caches, now_ms = self.context.caches, self.context.env.now
        part = Route(np.array([server]), np.array([blocks]), 0.0)
        units = self.context.charging.needed(request, part)
        if units[0] > caches.state.capacity[server]:
            raise too_long(part.servers, units, caches.state.capacity)
        if units[0] > caches.state.free[server]:
            if self._running == 0 and now_ms - self._changed_ms > PATIENCE_MS:
                raise InfeasibleError(
                    "attention cache",
                    f"{units[0] - caches.state.free[server]} tokens at server {server}",
                    f"{self._waiting} sessions wait for each other's caches (docs/baselines.md)",
                )
            return False
        self._router.look(now_ms)
        caches.hold(part.servers, units, math.inf, now_ms)
        self._router.succeeded(request.client, server)
        self._changed_ms = now_ms
        return True
