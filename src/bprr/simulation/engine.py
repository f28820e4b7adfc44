"""The simulator: every request is a SimPy process that is admitted, served and recorded."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from simpy import Environment

from bprr.ground.caches import Caches
from bprr.ground.registry import ADMISSION, CHARGING, ROUTING, SERVICE, Choice
from bprr.ground.request import Request
from bprr.ground.swarm import IntArray
from bprr.placement.base import Placement
from bprr.routing.base import RoutingContext, RoutingPolicy
from bprr.scenario.workload import Workload
from bprr.simulation.admission.base import AdmissionContext, AdmissionPolicy
from bprr.simulation.records import Records

__all__ = ["Delays", "simulate"]

CLOCK_ROUNDING_MS = 1e-6  # sums of event times differ from the arrival table by less


@dataclass(frozen=True)
class Delays:
    """Delays that every request pays before its first token (ms).

    Parameters
    ----------
    initial_ms : float
        Initial delay of the network setting (docs/constants.md).
    allocation_ms : float
        Hand-set allocation delay of the method (docs/discrepancies.md#d1); 0 without.
    """

    initial_ms: float = 0.0
    allocation_ms: float = 0.0

    @property
    def total_ms(self) -> float:
        """Both delays."""
        return self.allocation_ms + self.initial_ms


NO_DELAYS = Delays()


def simulate(
    placement: Placement,
    workload: Workload,
    routing: Choice | str,
    *,
    admission: Choice | str = "reserve",
    charging: Choice | str = "whole",
    service: Choice | str = "independent",
    delays: Delays = NO_DELAYS,
    watch: Callable[[RoutingPolicy], RoutingPolicy] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Records:
    """Serve a workload on a placement.

    Parameters
    ----------
    placement : Placement
        Blocks and cache of every server.
    workload : Workload
        Requests by time of arrival.
    routing, admission, charging, service : Choice or str
        Policies; a name alone stands for the policy with its default options.
    delays : Delays
        Delays that every request pays.
    watch : callable, optional
        Puts something around the routing policy, to see what it is asked.
    progress : callable, optional
        Called with 1 whenever a request completes.

    Returns
    -------
    Records
        One record per request, in order of arrival.

    Raises
    ------
    InfeasibleError
        If a request has no chain.
    """
    env, caches = Environment(), Caches(placement.cache_tokens)
    router = ROUTING.build(routing, RoutingContext(placement, caches))
    context = AdmissionContext(
        env,
        placement,
        watch(router) if watch else router,
        caches,
        CHARGING.build(charging, env),
        SERVICE.build(service, placement.swarm, delays.total_ms),
    )
    run = _Run(env, ADMISSION.build(admission, context), workload, progress)
    env.process(run.arrivals())
    env.run()
    return run.records()


class _Run:
    """Processes of one simulation and what they record."""

    def __init__(
        self,
        env: Environment,
        admission: AdmissionPolicy,
        workload: Workload,
        progress: Callable[[int], object] | None,
    ) -> None:
        self._env, self._admission, self._workload = env, admission, workload
        self._progress = progress
        count = len(workload)
        self._start_ms: list[float] = [math.nan] * count
        # Arrays and numbers, which the garbage collector does not walk; grants would make every
        # request slower than the one before.
        self._servers: list[IntArray | None] = [None] * count
        self._processed: list[IntArray | None] = [None] * count
        self._raw_wait_ms: list[float] = [math.nan] * count
        self._first_token_ms: list[float] = [math.nan] * count
        self._total_ms: list[float] = [math.nan] * count
        self._attempts: list[int] = [0] * count

    def arrivals(self) -> Generator[Any, Any, None]:
        """Let each request arrive at its time."""
        env, workload = self._env, self._workload
        requests = zip(
            workload.client.tolist(),
            workload.input_tokens.tolist(),
            workload.output_tokens.tolist(),
            workload.cache_tokens.tolist(),
            strict=True,
        )
        for index, (arrival, request) in enumerate(
            zip(workload.arrival_ms.tolist(), requests, strict=True)
        ):
            if arrival > env.now:
                yield env.timeout(arrival - env.now)
            env.process(self._session(index, Request(*request)))

    def _session(self, index: int, request: Request) -> Generator[Any, Any, None]:
        grant = yield from self._admission.admit(request)
        (self._servers[index], self._processed[index], _), service, raw_wait_ms, attempts = grant
        self._start_ms[index] = self._env.now
        self._raw_wait_ms[index], self._attempts[index] = raw_wait_ms, attempts
        self._first_token_ms[index], self._total_ms[index] = service
        yield self._env.timeout(service.total_ms)
        self._admission.completed(grant)
        if self._progress is not None:
            self._progress(1)

    def records(self) -> Records:
        """Records of all requests once the clock has run out."""
        servers = [chain for chain in self._servers if chain is not None]
        processed = [counts for counts in self._processed if counts is not None]
        if len(servers) < len(self._workload):
            raise RuntimeError(f"{len(self._workload) - len(servers)} requests never started")
        wait_ms = np.array(self._start_ms) - self._workload.arrival_ms
        wait_ms[np.abs(wait_ms) < CLOCK_ROUNDING_MS] = 0.0
        empty = [np.empty(0, dtype=np.int64)]
        return Records(
            self._workload,
            wait_ms,
            np.array(self._raw_wait_ms),
            wait_ms + np.array(self._first_token_ms),
            wait_ms + np.array(self._total_ms),
            np.array(self._attempts, dtype=np.int64),
            np.cumsum([0, *map(len, servers)], dtype=np.int64),
            np.concatenate(servers or empty),
            np.concatenate(processed or empty),
        )
