"""Queued servers written plainly from their rules, to check the compiled loop event by event.

A session is a script of tasks; time goes from one instant at which something happens to the next,
and at each of them the rules are applied in their order to all servers.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Task(NamedTuple):
    """Something a session wants of a server, after a while on the network."""

    travel_ms: float
    server: int
    blocks: int
    work_ms: float
    is_prompt: bool
    last_of: str  # "", "prompt" or "token": what is complete when it ends
    back_ms: float  # from the last server of a pass to the client


class Outcome(NamedTuple):
    """Tasks as (server, session, begin, end); first tokens and ends of the sessions."""

    tasks: list[tuple[int, int, float, float]]
    first_token_ms: list[float]
    end_ms: list[float]


def script(swarm, request, chain, prompt, resubmit_ms=0.0):
    """Tasks of a session over a chain of (server, blocks)."""
    servers = [server for server, _ in chain]
    extra = swarm.prompt_rtt_ms_per_token[request.client] * request.input_tokens
    token = [float(swarm.token_rtt_ms[request.client, j]) / 2 for j in servers]
    first = [float(swarm.prompt_rtt_ms[request.client, j] + extra[j]) / 2 for j in servers]
    passes = ["token"] * (request.output_tokens - 1)
    passes = (["prompt"] if prompt != "token" else ["slow"] * request.input_tokens) + passes
    tasks, before = [], 0.0
    for number, kind in enumerate(passes):
        half = first if kind == "prompt" else token
        for i, (j, k) in enumerate(chain):
            prefill = float(
                swarm.prefill_ms[j] + swarm.prefill_ms_per_token[j] * request.input_tokens
            )
            works = [k * float(swarm.tau_ms[j])]
            if kind == "prompt":
                works = [prefill] * k if prompt == "block" else [k * prefill]
            for piece, work in enumerate(works):
                at_end = i == len(chain) - 1 and piece == len(works) - 1
                complete = ""
                if at_end:
                    last_prompt = kind != "token" and ([*passes, "token"])[number + 1] == "token"
                    complete = "prompt" if last_prompt else kind
                travel = before + half[i] if piece == 0 else resubmit_ms
                back = half[i] if at_end else 0.0
                tasks.append(Task(travel, j, k, work, kind != "token", complete, back))
            before = half[i]
    return tasks


def play(
    swarm,
    sessions,
    order="fifo",
    prompt="whole",
    prefetch=0,
    gap_ms=0.0,
    curve=None,
    within_ms=None,
    resubmit_ms=0.0,
):
    """Outcome for sessions (start, request, chain) in order of admission; a curve means batches."""
    scripts = [script(swarm, *asked, prompt, resubmit_ms) for _, *asked in sessions]
    at = [0] * len(sessions)
    arrives = {n: start + scripts[n][0].travel_ms for n, (start, _, _) in enumerate(sessions)}
    ends = {}
    waiting = {j: [] for j in range(swarm.servers)}  # (arrival, session)
    taken = {j: [] for j in range(swarm.servers)}
    running = {}  # server: (end, sessions)
    freed = dict.fromkeys(range(swarm.servers), -math.inf)
    tasks, first, end = [], [0.0] * len(sessions), [0.0] * len(sessions)

    def turn(entry):
        arrival, n = entry
        if order == "oldest":
            return (n,)
        if order == "decode_first":
            return (scripts[n][at[n]].is_prompt, arrival, n)
        return (arrival, n)

    def chosen_of(queue, now):
        prompts = [entry for entry in queue if scripts[entry[1]][at[entry[1]]].is_prompt]
        if within_ms is not None and prompts:
            first_prompt = min(prompts, key=turn)
            if now >= sessions[first_prompt[1]][0] + within_ms:
                return first_prompt
        return min(queue, key=turn)

    while arrives or ends or running:
        now = min([*arrives.values(), *ends.values(), *(until for until, _ in running.values())])
        while True:
            over = [n for n in ends if ends[n] == now]
            done = [j for j in running if running[j][0] == now]
            here = sorted(n for n in arrives if arrives[n] == now)
            if not (over or done or here):
                break
            for n in over:
                end[n] = ends.pop(n)
            for j in done:
                _, served = running.pop(j)
                freed[j] = now
                for n in served:
                    task = scripts[n][at[n]]
                    if task.last_of == "prompt":
                        first[n] = now + task.back_ms
                    at[n] += 1
                    if at[n] == len(scripts[n]):
                        ends[n] = now + task.back_ms
                    else:
                        arrives[n] = now + scripts[n][at[n]].travel_ms
            if done or over:
                continue  # what ends, ends before anything arrives
            for n in here:
                del arrives[n]
                waiting[scripts[n][at[n]].server].append((now, n))
        for j in range(swarm.servers):
            if curve is not None:
                if j in running or not waiting[j]:
                    continue
                served = [n for _, n in waiting[j]]
                waiting[j] = []
                prompts = sum(
                    scripts[n][at[n]].work_ms
                    for n in served
                    if scripts[n][at[n]].is_prompt and prompt != "token"
                )
                counts = [
                    scripts[n][at[n]].blocks
                    for n in served
                    if not scripts[n][at[n]].is_prompt or prompt == "token"
                ]
                step = prompts
                if counts:
                    most, share = max(counts), curve
                    step += float(swarm.tau_ms[j]) * ((1 - share) * most + share * sum(counts))
                running[j] = (now + step, served)
                tasks += [(j, n, now, now + step) for n in served]
                continue
            if j not in running and (taken[j] or waiting[j]):
                if taken[j]:
                    n = taken[j].pop(0)
                else:
                    chosen = chosen_of(waiting[j], now)
                    waiting[j].remove(chosen)
                    n = chosen[1]
                begin = now + (gap_ms if freed[j] == now else 0.0)
                until = begin + scripts[n][at[n]].work_ms
                running[j] = (until, [n])
                tasks.append((j, n, begin, until))
            while len(taken[j]) < prefetch and waiting[j]:
                chosen = chosen_of(waiting[j], now)
                waiting[j].remove(chosen)
                taken[j].append(chosen[1])
    return Outcome(tasks, first, end)
