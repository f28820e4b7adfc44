"""The paper's servers: any number of sessions side by side, each at full speed."""

from __future__ import annotations

from bprr.ground.performance import chain_times_ms
from bprr.ground.request import Request, Route
from bprr.service.base import ServicePolicy, ServiceTimes

__all__ = ["Independent"]


class Independent(ServicePolicy, name="independent"):
    """A session takes its chain's time, whatever else the servers do."""

    def times(self, request: Request, route: Route) -> ServiceTimes:
        """Times of a session, for a request and its route."""
        first_ms, remaining_ms = chain_times_ms(
            self.swarm,
            request.client,
            route.servers,
            route.processed,
            request.input_tokens,
            request.output_tokens,
        )
        first_token_ms = self.delay_ms + first_ms
        return ServiceTimes(first_token_ms, first_token_ms + remaining_ms)
