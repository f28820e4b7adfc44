"""Attempts until there is room, as in a deployed system."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from bprr.ground.request import Request
from bprr.simulation.admission.back_off import BackOff
from bprr.simulation.admission.base import AdmissionPolicy, Grant, wait_ms

__all__ = ["Retry"]


class Retry(AdmissionPolicy, name="retry"):
    """Each attempt routes anew and allocates now, on every server or on none."""

    class Options(BackOff):
        """Gaps between attempts."""

    def admit(self, request: Request) -> Generator[Any, Any, Grant]:
        """Attempt at arrival and after every gap until every server has room."""
        context, raw_wait = self.context, -1.0
        for attempt, gap in enumerate(self.options.gaps_ms(), start=1):
            now = context.env.now
            route = context.router.route(request, now)
            needed = context.charging.needed(request, route)
            wait = wait_ms(context, route, needed)
            raw_wait = wait if attempt == 1 else raw_wait
            if wait <= 0:
                service = context.service.times(request, route)
                end = now + service.total_ms
                context.charging.charge(context.caches, request, route, now, end)
                return Grant(route, service, raw_wait, attempt)
            yield context.env.timeout(gap)
        raise AssertionError("gaps never end")
