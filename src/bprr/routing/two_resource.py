"""2R's routing: the shortest chain of servers that bear one more session (docs/method.md)."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from bprr.ground.caches import drop_ended
from bprr.ground.chains import ChainSearch
from bprr.ground.performance import decode_ms_per_token, session_terms_ms
from bprr.ground.request import Request, Route
from bprr.ground.schema import Positive, Share, Strict
from bprr.ground.swarm import FloatArray
from bprr.routing.base import RoutingContext, RoutingPolicy, no_chain

__all__ = ["TwoResourceRouting"]

LONG = 10**6  # tokens, beside which the prompt does not count
BATCHED, SERIAL = 0.85, 1.3  # what servers bear where a task adds nothing, or all of its time


class TwoResourceRouting(RoutingPolicy, name="two_resource"):
    """Shortest chain under times that grow with what others compute; none beyond a load."""

    hub_only = True

    class Options(Strict):
        """What they are, if they are not to follow from how servers compute."""

        share: Share | None = Field(
            None,
            description="of its time alone that a task takes from others; by the service if none",
        )
        most_load: Positive | None = Field(
            None, description="beyond which requests are held back; by the share if not given"
        )

    holds_back = True

    def __init__(self, context: RoutingContext, options: Strict | None = None) -> None:
        super().__init__(context, options)
        placement = context.placement
        self._swarm, self._computing = placement.swarm, context.computing
        self._search = ChainSearch.of(
            placement.first_block, placement.blocks, placement.swarm.model.blocks
        )
        self._load, self._wait_ms = np.zeros((2, self._swarm.servers))  # U_j, Q_j
        self._sessions = np.zeros(self._swarm.servers, dtype=np.int64)
        self._added: dict[int, tuple[FloatArray, FloatArray]] = {}  # by the id of a route
        # By client and size: the fastest chain, and its time per token.
        self._alone: dict[tuple[int, int], tuple[Route, float]] = {}
        self._share = -1.0

    def route(self, request: Request, now_ms: float) -> Route:
        """Chain for a request that asks now; one that is to wait costs inf.

        Raises
        ------
        InfeasibleError
            If no chain has room in an idle swarm.
        """
        caches = self.context.caches.state
        drop_ended(caches, float(now_ms))
        alone, least_ms = self._fastest(request)
        hop_ms, block_ms = self._terms(request)
        bears = self.options.most_load or BATCHED + (SERIAL - BATCHED) * self._share
        most = np.maximum(caches.free, 0) // request.cache_tokens
        if self._share > 0:
            left = (bears / self._share - self._load) * least_ms / self._swarm.tau_ms
            busy = np.floor(np.maximum(left, 0.0) + 1e-9).astype(np.int64)
            most = np.where(self._sessions > 0, np.minimum(most, busy), most)
            hop_ms = hop_ms + (request.output_tokens - 1) * self._share * self._wait_ms
        servers, processed, cost_ms = self._search.shortest(most, hop_ms, block_ms)
        if np.isinf(cost_ms):
            return alone._replace(cost_ms=np.inf)
        return Route(servers, processed, cost_ms)

    def admitted(self, request: Request, route: Route) -> None:
        """Count what a session takes of its servers."""
        servers = route.servers
        work_ms = route.processed * self._swarm.tau_ms[servers]
        token_ms = self._swarm.token_rtt_ms[request.client, servers] + work_ms
        each_ms = float((token_ms + self._share * self._wait_ms[servers]).sum())
        load = work_ms / each_ms
        self._added[id(route)] = load, work_ms * load
        self._load[servers] += load
        self._wait_ms[servers] += work_ms * load
        self._sessions[servers] += 1

    def ended(self, request: Request, route: Route) -> None:
        """Take it back."""
        load, wait_ms = self._added.pop(id(route))
        servers = route.servers
        self._load[servers] -= load
        self._wait_ms[servers] -= wait_ms
        self._sessions[servers] -= 1

    def _terms(self, request: Request) -> tuple[FloatArray, FloatArray]:
        if self._computing is not None:
            hop_ms, block_ms = self._computing.session_terms_ms(request)
        else:
            lengths = request.input_tokens, request.output_tokens
            hop_ms, block_ms = session_terms_ms(self._swarm, *lengths)
        return hop_ms[request.client], block_ms

    def _fastest(self, request: Request) -> tuple[Route, float]:
        """Fastest chain of an idle swarm for a client, and its time per token."""
        client, key = request.client, (request.client, request.cache_tokens)
        if key not in self._alone:
            self._share = self._share_of_time(request)
            capacity = self.context.caches.state.capacity // request.cache_tokens
            servers, processed, cost_ms = self._search.shortest(capacity, *self._terms(request))
            if np.isinf(cost_ms):
                raise no_chain(self.context.placement, request)
            token_ms = decode_ms_per_token(self._swarm, client, servers, processed)
            self._alone[key] = Route(servers, processed, cost_ms), token_ms
        return self._alone[key]

    def _share_of_time(self, request: Request) -> float:
        """Share of its time alone that a token takes from others: 1 serial, 0 independent."""
        if self.options.share is not None or self._computing is None:
            return 1.0 if self.options.share is None else float(self.options.share)
        placement = self.context.placement
        used, long = np.flatnonzero(placement.blocks > 0), request._replace(output_tokens=LONG)
        slots = np.maximum(placement.cache_tokens[used] // request.cache_tokens, 1)
        work_ms = self._computing.least_work_ms(long, used, np.ones_like(used), slots)
        _, block_ms = self._computing.session_terms_ms(long)
        return float((work_ms / block_ms[used]).mean())
