"""Sessions token by token on servers that have a queue each: one compiled loop of events.

A session passes its chain once for its prompt (once per token of it, if they go one by one) and
once for every token after the first, and waits at each server for its turn. It is at one place at
a time, so there is one event to come per session, and one place in one queue at most.

At one instant sessions and tasks end first, then tasks arrive, then sessions are admitted (by the
caller, between two calls of `advance`), then servers start on what waits.
"""

from __future__ import annotations

import numpy as np

from bprr.ground.compiled import compiled
from bprr.ground.events import pop, push

__all__ = [
    "BLOCK",
    "DECODE_FIRST",
    "FIFO",
    "NONE",
    "OLDEST",
    "TOGETHER",
    "TOKEN",
    "WHOLE",
    "advance",
    "enter",
    "enter_legs",
    "go_on",
    "start",
]

# Compiled into the kernels, whose cache follows this file.
FIFO, DECODE_FIRST, OLDEST, TOGETHER = range(4)  # which task is next, or all at once
WHOLE, BLOCK, TOKEN = range(3)  # pieces of a prompt
ENDED, DONE, ARRIVED = range(3)  # events, in their order at one instant
BUSY_BEFORE_MS = 600_000.0  # a server counts as busy before the start, of which it tells nothing
KIND = 60  # bits below an event's kind: its session's number
NONE = -1


@compiled
def enter(  # type: ignore[no-untyped-def]
    passing, servers, prompt, row, number, request, chain, processed, token_rtt_ms, prompt_rtt_ms
):
    """Write a session into a row."""
    hops = chain.shape[0]
    passing.number[row], passing.hops[row], passing.hop[row] = number, hops, 0
    passing.prompts[row] = request.input_tokens if prompt == TOKEN else 1
    passing.passes[row] = passing.prompts[row] + request.output_tokens - 1
    passing.tokens[row] = passing.pieces[row] = 0
    passing.stop[row] = NONE
    prompt_before, token_before = 0.0, 0.0
    for i in range(hops):
        server = chain[i]
        passing.server[row, i], passing.blocks[row, i] = server, processed[i]
        per_token = servers.prefill_ms_per_token[server]
        block_ms = servers.prefill_ms[server] + per_token * request.input_tokens
        passing.prompt_ms[row, i] = block_ms * (1 if prompt == BLOCK else processed[i])
        prompt_ms, token_ms = prompt_rtt_ms[server] / 2, token_rtt_ms[server] / 2
        passing.prompt_leg_ms[row, i] = prompt_before + prompt_ms
        passing.token_leg_ms[row, i] = token_before + token_ms
        prompt_before, token_before = prompt_ms, token_ms
    passing.prompt_leg_ms[row, hops] = prompt_before
    passing.token_leg_ms[row, hops] = token_before
    if prompt == TOKEN:
        for i in range(hops + 1):
            passing.prompt_leg_ms[row, i] = passing.token_leg_ms[row, i]


@compiled
def enter_legs(passing, prompt, row, request, chain, legs):  # type: ignore[no-untyped-def]
    """Write the legs of a session's row where servers send on to each other.

    What a frame crosses twice it crosses the second time on its way back, after the last hop.
    """
    hops, leg, sender, times = chain.shape[0], legs.enter, request.client, 1
    prompt_back_ms, token_back_ms = 0.0, 0.0
    for i in range(hops + 1):
        server = chain[i] if i < hops else chain[hops - 1]
        if i == hops:
            leg, sender, times = legs.leave, request.client, 1
        prompt_ms = leg.prompt_ms_per_token[sender, server] * request.input_tokens
        prompt_ms = (leg.prompt_ms[sender, server] + prompt_ms) / times
        token_ms = leg.token_ms[sender, server] / times
        prompt_back_ms += (times - 1) * prompt_ms
        token_back_ms += (times - 1) * token_ms
        passing.prompt_leg_ms[row, i] = token_ms if prompt == TOKEN else prompt_ms
        passing.token_leg_ms[row, i] = token_ms
        leg, sender, times = legs.between, server, legs.crossings
    passing.prompt_leg_ms[row, hops] += token_back_ms if prompt == TOKEN else prompt_back_ms
    passing.token_leg_ms[row, hops] += token_back_ms


@compiled(inline="always")
def _note(events, passing, row, time_ms, kind):  # type: ignore[no-untyped-def]
    push(events, time_ms, (kind << KIND) + passing.number[row], row, kind)


@compiled
def start(events, servers, passing, discipline, row, time_ms):  # type: ignore[no-untyped-def]
    """Let a session send its prompt.

    It is to go before tokens the later, the less of the time the busiest of its servers was idle.
    """
    idle = 1.0
    for i in range(passing.hops[row]):
        busy_ms = servers.busy_ms[passing.server[row, i]]
        idle = min(idle, max(time_ms - busy_ms, 0.0) / (time_ms + BUSY_BEFORE_MS))
    within_ms, passing.prompt_due_ms[row] = discipline.prompt_within_ms, np.inf
    if idle > 0.0 or discipline.prompt_idle_power == 0.0:
        passing.prompt_due_ms[row] = time_ms + within_ms / idle**discipline.prompt_idle_power
    _note(events, passing, row, time_ms + passing.prompt_leg_ms[row, 0], ARRIVED)


@compiled
def go_on(events, passing, row, time_ms):  # type: ignore[no-untyped-def]
    """Let a session that has stopped at its client send its next token."""
    _note(events, passing, row, time_ms + passing.token_leg_ms[row, 0], ARRIVED)


@compiled(inline="always")
def _before(passing, a, b):  # type: ignore[no-untyped-def]
    """Whether a session's task has its turn before another one's."""
    if passing.rank[a] != passing.rank[b]:
        return passing.rank[a] < passing.rank[b]
    if passing.arrived_ms[a] != passing.arrived_ms[b]:
        return passing.arrived_ms[a] < passing.arrived_ms[b]
    return passing.number[a] < passing.number[b]


@compiled
def _merged(passing, a, b):  # type: ignore[no-untyped-def]
    """Merge two skew heaps; return the root."""
    if a == NONE:
        return b
    if b == NONE:
        return a
    if _before(passing, b, a):
        a, b = b, a
    root = a
    while True:
        rest = passing.right[a]
        passing.right[a] = passing.left[a]
        if rest == NONE:
            passing.left[a] = b
            return root
        if _before(passing, b, rest):
            b, rest = rest, b
        passing.left[a] = rest
        a = rest


@compiled(inline="always")
def _change(clock, servers, server):  # type: ignore[no-untyped-def]
    if not servers.is_changed[server]:
        servers.is_changed[server] = True
        servers.changed[clock.changed] = server
        clock.changed += 1


@compiled
def _queue(clock, servers, passing, discipline, row):  # type: ignore[no-untyped-def]
    """Let a session's task wait for its turn."""
    server = passing.server[row, passing.hop[row]]
    _change(clock, servers, server)
    if discipline.order == TOGETHER:
        passing.left[row] = servers.waiting[server]
        servers.waiting[server] = row
        return
    if discipline.order == OLDEST:
        passing.rank[row] = passing.number[row]
    elif discipline.order == DECODE_FIRST:
        passing.rank[row] = passing.prompts[row] > 0
    else:
        passing.rank[row] = 0
    passing.arrived_ms[row] = clock.now_ms
    passing.left[row] = passing.right[row] = NONE
    if discipline.prompt_within_ms < np.inf and passing.prompts[row] > 0:
        servers.prompts[server] = _merged(passing, servers.prompts[server], row)
    else:
        servers.waiting[server] = _merged(passing, servers.waiting[server], row)


@compiled(inline="always")
def _arrive(clock, servers, passing, discipline, row):  # type: ignore[no-untyped-def]
    if passing.pieces[row] == 0:  # of the prompt none that was there before
        in_blocks = discipline.prompt == BLOCK and passing.prompts[row] > 0
        passing.pieces[row] = passing.blocks[row, passing.hop[row]] if in_blocks else 1
    _queue(clock, servers, passing, discipline, row)


@compiled
def _leave(clock, events, servers, passing, discipline, row):  # type: ignore[no-untyped-def]
    """Let a session go on, a task of which has ended."""
    now, hops = clock.now_ms, passing.hops[row]
    passing.pieces[row] -= 1
    if passing.pieces[row] > 0:
        if discipline.resubmit_ms > 0:
            _note(events, passing, row, now + discipline.resubmit_ms, ARRIVED)
        else:
            _queue(clock, servers, passing, discipline, row)
        return
    legs_ms = passing.prompt_leg_ms if passing.prompts[row] > 0 else passing.token_leg_ms
    passing.hop[row] += 1
    if passing.hop[row] < hops:
        _note(events, passing, row, now + legs_ms[row, passing.hop[row]], ARRIVED)
        return
    at_client_ms = now + legs_ms[row, hops]
    passing.hop[row] = 0
    passing.passes[row] -= 1
    if passing.prompts[row] > 0:
        passing.prompts[row] -= 1
        if passing.prompts[row] == 0:
            passing.first_token_ms[row] = at_client_ms
    if passing.prompts[row] == 0:
        passing.tokens[row] += 1
    if passing.passes[row] == 0 or passing.tokens[row] == passing.stop[row]:
        _note(events, passing, row, at_client_ms, ENDED)
        return
    legs_ms = passing.prompt_leg_ms if passing.prompts[row] > 0 else passing.token_leg_ms
    _note(events, passing, row, at_client_ms + legs_ms[row, 0], ARRIVED)


@compiled(inline="always")
def _log(clock, log, server, number, begin_ms, end_ms):  # type: ignore[no-untyped-def]
    i = clock.logged
    if i < log.server.shape[0]:
        log.server[i], log.number[i] = server, number
        log.begin_ms[i], log.end_ms[i] = begin_ms, end_ms
        clock.logged += 1


@compiled(inline="always")
def _task_ms(passing, servers, discipline, server, row):  # type: ignore[no-untyped-def]
    hop = passing.hop[row]
    if passing.prompts[row] > 0 and discipline.prompt != TOKEN:
        return passing.prompt_ms[row, hop]
    return passing.blocks[row, hop] * servers.tau_ms[server]


@compiled
def _popped(clock, servers, passing, discipline, server):  # type: ignore[no-untyped-def]
    """Take the session whose turn it is from those that wait; none if nobody does.

    A prompt goes before tokens once its session is as old as prompts may become.
    """
    row, prompt = servers.waiting[server], servers.prompts[server]
    if prompt != NONE:
        due = clock.now_ms >= passing.prompt_due_ms[prompt]
        if row == NONE or due or _before(passing, prompt, row):
            servers.prompts[server] = _merged(passing, passing.left[prompt], passing.right[prompt])
            return prompt
    if row != NONE:
        servers.waiting[server] = _merged(passing, passing.left[row], passing.right[row])
    return row


@compiled
def _start_one(clock, events, servers, passing, discipline, log, server):  # type: ignore[no-untyped-def]
    """Start the next task of an idle server, and take the ones after it beforehand."""
    if servers.running[server] == NONE:
        row = NONE
        if servers.takings[server] > 0:
            row = servers.taken[server, 0]
            servers.takings[server] -= 1
            for i in range(servers.takings[server]):
                servers.taken[server, i] = servers.taken[server, i + 1]
        else:
            row = _popped(clock, servers, passing, discipline, server)
        if row != NONE:
            begin_ms = clock.now_ms
            if servers.freed_ms[server] == begin_ms:
                begin_ms += discipline.gap_ms
            task_ms = _task_ms(passing, servers, discipline, server, row)
            servers.running[server] = row
            servers.busy_ms[server] += task_ms
            _note(events, passing, row, begin_ms + task_ms, DONE)
            _log(clock, log, server, passing.number[row], begin_ms, begin_ms + task_ms)
    while servers.takings[server] < discipline.prefetch:
        row = _popped(clock, servers, passing, discipline, server)
        if row == NONE:
            break
        servers.taken[server, servers.takings[server]] = row
        servers.takings[server] += 1


@compiled
def _batch_blocks(discipline, most, blocks):  # type: ignore[no-untyped-def]
    """Time of a step, in blocks of one token; the largest of its tasks has ``most`` of its blocks.

    On lines between the points that are given, and beyond them. A batch of equal tasks has the size
    blocks / most; without that division whole times stay whole.
    """
    i, x, y = 1, discipline.batch, discipline.batch_time
    while i + 1 < x.shape[0] and x[i] * most < blocks:
        i += 1
    slope = (y[i] - y[i - 1]) / (x[i] - x[i - 1])
    return y[i - 1] * most + slope * (blocks - x[i - 1] * most)


@compiled
def _start_all(clock, events, servers, passing, discipline, log, server):  # type: ignore[no-untyped-def]
    """Start a step of an idle server over all tasks that wait."""
    if servers.running[server] != NONE or servers.waiting[server] == NONE:
        return
    most, blocks, prompts_ms, row = 0, 0, 0.0, servers.waiting[server]
    while row != NONE:
        if passing.prompts[row] > 0 and discipline.prompt != TOKEN:
            prompts_ms += passing.prompt_ms[row, passing.hop[row]]
        else:
            count = passing.blocks[row, passing.hop[row]]
            most, blocks = max(most, count), blocks + count
        row = passing.left[row]
    step_ms = prompts_ms
    if most > 0:
        step_ms += servers.tau_ms[server] * _batch_blocks(discipline, most, blocks)
    end_ms = clock.now_ms + step_ms
    servers.running[server], servers.waiting[server] = servers.waiting[server], NONE
    servers.busy_ms[server] += step_ms
    push(events, end_ms, (DONE << KIND) + server, server, DONE)
    row = servers.running[server]
    while row != NONE:
        _log(clock, log, server, passing.number[row], clock.now_ms, end_ms)
        row = passing.left[row]


@compiled
def _happen(clock, events, servers, passing, discipline, ended):  # type: ignore[no-untyped-def]
    """Let all end and arrive that does so at this instant."""
    while events.size[0] > 0 and events.time_ms[0] <= clock.now_ms:
        _, row, kind = pop(events)
        if kind == ARRIVED:
            _arrive(clock, servers, passing, discipline, row)
        elif kind == ENDED:
            passing.end_ms[row] = clock.now_ms
            ended[clock.ended] = row
            clock.ended += 1
        elif discipline.order == TOGETHER:
            server = row
            row, servers.running[server] = servers.running[server], NONE
            _change(clock, servers, server)
            while row != NONE:
                following = passing.left[row]
                _leave(clock, events, servers, passing, discipline, row)
                row = following
        else:
            server = passing.server[row, passing.hop[row]]
            servers.running[server], servers.freed_ms[server] = NONE, clock.now_ms
            _change(clock, servers, server)
            _leave(clock, events, servers, passing, discipline, row)


@compiled
def advance(clock, events, servers, passing, discipline, log, ended, until_ms):  # type: ignore[no-untyped-def]
    """Go on to the next instant at which sessions end or stop, or to ``until_ms``.

    Servers have not yet started on what waits there.
    """
    clock.ended = 0
    while True:
        _happen(clock, events, servers, passing, discipline, ended)
        if clock.ended > 0:
            return
        for i in range(clock.changed):
            server = servers.changed[i]
            servers.is_changed[server] = False
            if discipline.order == TOGETHER:
                _start_all(clock, events, servers, passing, discipline, log, server)
            else:
                _start_one(clock, events, servers, passing, discipline, log, server)
        clock.changed = 0
        if events.size[0] == 0 or events.time_ms[0] > until_ms:
            clock.now_ms = until_ms
            return
        clock.now_ms = events.time_ms[0]
        if clock.now_ms == until_ms:
            _happen(clock, events, servers, passing, discipline, ended)
            return
