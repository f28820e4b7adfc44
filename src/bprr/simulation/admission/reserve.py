"""Memory reserved from arrival, as in the paper's artefact."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from bprr.ground.request import Request
from bprr.simulation.admission.back_off import BackOff
from bprr.simulation.admission.base import AdmissionPolicy, Grant, wait_ms

__all__ = ["Reserve"]


class Reserve(AdmissionPolicy, name="reserve"):
    """A session holds caches from arrival, and starts at the back-off instant after its wait."""

    class Options(BackOff):
        """Gaps between attempts."""

    def start_ms(self, raw_wait_ms: float) -> float:
        """When the session starts, from its arrival on."""
        return float(self.options.instant_ms(raw_wait_ms))

    def admit(self, request: Request) -> Generator[Any, Any, Grant]:
        """Route once, hold from arrival to the end."""
        context = self.context
        now = context.env.now
        route = context.router.route(request, now)
        needed = context.charging.needed(request, route)
        raw_wait = wait_ms(context, route, needed)
        wait = self.start_ms(raw_wait)
        service = context.service.times(request, route)
        end = now + wait + service.total_ms
        context.charging.charge(context.caches, request, route, now, end)
        if wait > 0:
            yield context.env.timeout(wait)
        return Grant(route, service, raw_wait, 1)
