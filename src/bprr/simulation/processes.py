"""The reference engine: every request is a SimPy process that is admitted, served and recorded."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from bprr.ground.request import Request, Route
from bprr.scenario.workload import Workload
from bprr.simulation.admission.base import AdmissionPolicy
from bprr.simulation.records import Records, Sessions

__all__ = ["Run", "run_processes"]


def run_processes(
    admission: AdmissionPolicy, workload: Workload, progress: Callable[[int], object] | None
) -> Records:
    """Serve a workload.

    Raises
    ------
    InfeasibleError
        If a request has no chain.
    """
    return Run(admission, workload, progress).records()


class Run:
    """Processes of one simulation and what they record."""

    def __init__(
        self,
        admission: AdmissionPolicy,
        workload: Workload,
        progress: Callable[[int], object] | None,
    ) -> None:
        self._env, self._admission, self._workload = admission.context.env, admission, workload
        self._progress, self._sessions = progress, Sessions.of(len(workload))
        self._servers, self._processed = array("i"), array("i")
        self._env.process(self._arrivals())

    def _arrivals(self) -> Generator[Any, Any, None]:
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
        sessions = self._sessions
        sessions.start_ms[index] = self._env.now
        sessions.raw_wait_ms[index], sessions.attempts[index] = grant.raw_wait_ms, grant.attempts
        self._note_chain(index, grant.route)
        service = self._admission.context.service
        served = yield from service.serve(self._env, grant.session, grant.service)
        sessions.first_token_ms[index], sessions.total_ms[index] = served
        self._admission.context.router.ended(request, grant.route)
        self._admission.completed(grant)
        if self._progress is not None:
            self._progress(1)

    def _note_chain(self, index: int, route: Route) -> None:
        servers, processed, _ = route
        self._sessions.chain_at[index] = len(self._servers)
        self._sessions.hops[index] = len(servers)
        self._servers.extend(servers.tolist())
        self._processed.extend(processed.tolist())

    def records(self) -> Records:
        """Records of all requests once the clock has run out."""
        self._admission.context.service.run(self._env)
        servers, processed = np.array(self._servers), np.array(self._processed)
        return Records.of(self._workload, self._sessions, servers, processed, "simpy")
