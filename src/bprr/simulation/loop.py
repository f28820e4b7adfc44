"""The compiled engine: the same events as in `processes`, in the same order, in one call.

The loop knows no policy. It calls the kernels that routing, admission, charging and service bring
with their states, and compiles once for every combination of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from bprr.ground.caches import chain_release_ms, hold
from bprr.ground.compiled import call_kernel, compiled
from bprr.ground.events import Events, pop, push
from bprr.ground.request import Request
from bprr.ground.swarm import FloatArray, IntArray
from bprr.routing.base import RoutingPolicy, no_chain
from bprr.scenario.workload import Workload
from bprr.service.base import ServicePolicy
from bprr.simulation.admission.base import AdmissionPolicy, too_long
from bprr.simulation.charging.base import ChargingPolicy
from bprr.simulation.records import Records, Sessions

__all__ = ["python_policies", "run_compiled"]

ATTEMPT, START, END = 0, 1, 2  # kinds of events
# Why the loop returns.
DONE, NO_CHAIN, TOO_LONG, MORE_EVENTS, MORE_CHAINS, MORE_HOLDS, PAUSED = range(7)
TOLD = 500  # times in a run, how far it is

# Where a run is: what its loop goes on from when it has got more room.
PROGRESS = np.dtype(
    [
        ("now_ms", "f8"),
        ("next_ms", "f8"),  # when the next request arrives
        ("next_number", "i8"),  # and the number of that event
        ("number", "i8"),  # of the next event to be noted
        ("arrived", "i8"),  # requests
        ("asked", "i8"),  # of those, the ones that have attempted or joined the queue
        ("index", "i8"),  # request that attempts
        ("again", "?"),  # the attempt has to be made again
        ("ending", "?"),  # a session has just ended: the queue's turn
        ("head", "i8"),  # of the queue
        ("tail", "i8"),
        ("granted", "i8"),  # requests
        ("pause", "i8"),  # once so many are granted
        ("chained", "i8"),  # servers on their chains
        ("hops", "i8"),  # of the chain of the request that attempts
    ]
)


class Requests(NamedTuple):
    """A workload as the loop reads it."""

    arrival_ms: FloatArray
    client: IntArray
    input_tokens: IntArray
    output_tokens: IntArray
    cache_tokens: IntArray


class Chains(NamedTuple):
    """Chains of the sessions in the order in which they were granted, with room for more."""

    server: NDArray[np.int32]
    processed: NDArray[np.integer]

    @classmethod
    def none(cls, blocks: int) -> Self:
        """No chain, with room for some that cover so many blocks."""
        small = np.int16 if blocks < 2**15 else np.int32
        return cls(np.empty(9 * blocks, dtype=np.int32), np.empty(9 * blocks, dtype=small))


@compiled(inline="always")
def _note(at, events, time_ms, index, kind):  # type: ignore[no-untyped-def]
    push(events, time_ms, at.number, index, kind)
    at.number += 1


@compiled
def _next_to_attempt(at, events, arrival_ms, queue, total_ms):  # type: ignore[no-untyped-def]
    """Let time go on until a request attempts; return whether there is one."""
    while True:
        if at.ending and at.head < at.tail:
            at.index = queue[at.head]
            return True
        at.ending = False
        if at.asked < at.arrived:
            at.index = at.asked
            at.asked += 1
            if at.head == at.tail:
                return True
            queue[at.tail] = at.index
            at.tail += 1
            continue
        coming, count = events.size[0] > 0, arrival_ms.shape[0]
        if at.arrived < count and (
            not coming
            or at.next_ms < events.time_ms[0]
            or (at.next_ms == events.time_ms[0] and at.next_number < events.number[0])
        ):
            at.now_ms = at.next_ms
            at.arrived += 1
            while at.arrived < count and not arrival_ms[at.arrived] > at.now_ms:
                at.arrived += 1
            if at.arrived < count:
                at.next_ms = at.now_ms + (arrival_ms[at.arrived] - at.now_ms)
                at.next_number = at.number
                at.number += 1
            continue
        if not coming:
            return False
        at.now_ms, index, kind = pop(events)
        if kind == ATTEMPT:
            at.index = index
            return True
        at.ending = kind == END
        if kind == START:
            _note(at, events, at.now_ms + total_ms[index], index, END)


@compiled
def _run(  # type: ignore[no-untyped-def]
    at, routing, admission, charging, service, caches, requests, sessions, chain, chains, events,
    queue,
):  # fmt: skip
    """Serve the requests until all are done, one cannot be served, or something has no room.

    ``chain`` takes one chain at a time: its servers and their blocks.
    """
    queues = queue.shape[0] > 0
    while True:
        if at.granted >= at.pause:
            return PAUSED
        if events.size[0] + 2 > events.time_ms.shape[0]:
            return MORE_EVENTS
        if at.chained + chain.shape[1] > chains.server.shape[0]:
            return MORE_CHAINS
        if not at.again and not _next_to_attempt(
            at, events, requests.arrival_ms, queue, sessions.total_ms
        ):
            return DONE
        index, now = at.index, at.now_ms
        request = Request(
            requests.client[index],
            requests.input_tokens[index],
            requests.output_tokens[index],
            requests.cache_tokens[index],
        )
        at.hops, cost_ms = call_kernel(routing, caches, request, now, chain[0], chain[1])
        if at.hops == 0:
            return NO_CHAIN
        servers, processed = chain[0][: at.hops], chain[1][: at.hops]
        tokens = call_kernel(charging, request)
        wait_ms = chain_release_ms(caches, servers, processed, tokens, now) - now
        if cost_ms == np.inf:
            wait_ms = np.inf  # held back
        elif wait_ms == np.inf:
            return TOO_LONG
        attempt = sessions.attempts[index] + 1
        granted, delay_ms = call_kernel(admission, wait_ms, attempt)
        if granted:
            first_token_ms, total_ms = call_kernel(service, request, servers, processed)
            at.again = not hold(caches, servers, processed, tokens, now + delay_ms + total_ms, now)
            if at.again:
                return MORE_HOLDS
            sessions.start_ms[index] = now + delay_ms
            sessions.first_token_ms[index], sessions.total_ms[index] = first_token_ms, total_ms
            sessions.chain_at[index], sessions.hops[index] = at.chained, at.hops
            for i in range(at.hops):
                chains.server[at.chained + i] = servers[i]
                chains.processed[at.chained + i] = processed[i]
            at.chained += at.hops
            at.granted += 1
            if at.ending:
                at.head += 1
                _note(at, events, now, index, START)
            elif queues and delay_ms > 0:
                _note(at, events, now + delay_ms, index, START)
            elif queues:
                _note(at, events, now + total_ms, index, END)
        elif at.ending:
            at.ending = False
        elif delay_ms < np.inf:
            _note(at, events, now + delay_ms, index, ATTEMPT)
        else:
            queue[at.tail] = index
            at.tail += 1
        sessions.attempts[index] = attempt
        if attempt == 1:
            sessions.raw_wait_ms[index] = wait_ms


def python_policies(admission: AdmissionPolicy) -> list[str]:
    """Policies of a simulation that are written in Python alone, or override a method in it."""
    context = admission.context
    bases: list[tuple[Any, Any, tuple[str, ...]]] = [
        (context.router, RoutingPolicy, ("route", "admitted", "ended")),
        (admission, AdmissionPolicy, ("admit", "completed")),
        (context.charging, ChargingPolicy, ("needed", "starts", "charge")),
        (context.service, ServicePolicy, ("times", "serve")),
    ]
    return [
        type(policy).__name__
        for policy, base, methods in bases
        if any(getattr(type(policy), name) is not getattr(base, name, None) for name in methods)
    ]


def run_compiled(
    admission: Any, workload: Workload, progress: Callable[[int], object] | None = None
) -> Records:
    """Serve a workload by policies that all have kernels.

    ``progress`` is called with the number of requests that have been granted since the last call.

    Raises
    ------
    InfeasibleError
        If a request has no chain.
    """
    context: Any = admission.context
    blocks, count = context.placement.swarm.model.blocks, len(workload)
    for client in np.unique(workload.client).tolist():
        context.router.meet(client)
    requests = Requests(
        workload.arrival_ms,
        workload.client,
        workload.input_tokens,
        workload.output_tokens,
        workload.cache_tokens,
    )
    where = np.zeros(1, dtype=PROGRESS)
    where["next_ms"], where["number"] = workload.arrival_ms[:1].sum().clip(min=0.0), 1
    step = max(count // TOLD, 1)
    where["pause"] = count + 1 if progress is None else step
    at = where.view(np.recarray)[0]
    sessions, events, chains = Sessions.of(count), Events.none(), Chains.none(blocks)
    chain = np.empty((2, blocks), dtype=np.int64)
    queue = np.empty(count if admission.queues else 0, dtype=np.int32)
    while True:
        outcome = _run(
            at,
            context.router.state,
            admission.state,
            context.charging.state,
            context.service.state,
            context.caches.state,
            requests,
            sessions,
            chain,
            chains,
            events,
            queue,
        )
        if outcome == MORE_EVENTS:
            events = events.grown()
        elif outcome == MORE_HOLDS:
            context.caches.grow()
        elif outcome == PAUSED and progress is not None:
            progress(step)
            where["pause"] += step
        elif outcome == MORE_CHAINS:
            # As many as the requests to come would need if their chains were a bit longer.
            chained, granted = int(at.chained), int(at.granted)
            room = chained + blocks + int(1.02 * chained / granted * (count - granted))
            chains = Chains(*(np.resize(column, room) for column in chains))
        else:
            break
    if outcome != DONE:
        request = Request(*(int(column[at.index]) for column in requests[1:]))
        if outcome == NO_CHAIN:
            raise no_chain(context.placement, request)
        servers, processed = chain[:, : at.hops]
        tokens = context.charging.state.kernel(request)
        raise too_long(servers, processed * tokens, context.placement.cache_tokens)
    if progress is not None:
        progress(count % step)
    server, processed = (column[: int(at.chained)] for column in chains)
    return Records.of(workload, sessions, server, processed, "compiled")
