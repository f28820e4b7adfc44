"""What changes would do: servers more and less, distances, memory, rates."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from bprr.ground.caches import Caches
from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.performance import chain_times_ms, hosts_of_blocks
from bprr.ground.swarm import Swarm
from bprr.placement.base import Placement
from bprr.plan.arms import Arm, arms_of, best_of, rate_arms
from bprr.plan.goal import Goal, Wish
from bprr.plan.machines import Inventory, Machine, once
from bprr.plan.predict import quantities_of
from bprr.plan.problem import PROMPT_ROUND_TRIPS, VALUE, Problem
from bprr.routing.base import RoutingContext
from bprr.routing.shortest_path import ShortestPath
from bprr.settings.configuration import Settings

__all__ = [
    "Change",
    "Loss",
    "Spare",
    "changed_inventory",
    "halved_distances",
    "losses",
    "most_rate",
    "reached",
    "replanned",
    "spares",
    "with_swarm",
]

WHAT_IF = re.compile(r"\+(?:(\d{1,3})x)?([^@]+)@(.+)|-(.+)")
HOT_SPARE_S, COLD_SPARE_S = 33.0, 131.0  # until it serves, as measured on a real swarm
MOST_STEPS = 9  # of a bisection


class Change(NamedTuple):
    """A change, and the best plan after it; times are NaN if there is none."""

    what: str
    mean_ms: float  # per token of a session alone, prompt included
    capacity_per_s: float
    why_not: str = ""


class Loss(NamedTuple):
    """A server lost: which blocks are gone with it, and what a session alone takes then."""

    server: int
    blocks_lost: int
    mean_ms: float


class Spare(NamedTuple):
    """Blocks, from 1, that nobody else hosts; a spare with as much memory would."""

    server: int
    first_block: int
    last_block: int
    memory_gb: float


def changed_inventory(inventory: Inventory, what_if: str) -> Inventory:
    """Machines after ``+GPU@PLACE`` (``+2xGPU@PLACE``) or ``-NAME``.

    Raises
    ------
    InputError
        If it is neither, or no machine has the name.
    """
    match = WHAT_IF.fullmatch(what_if.strip())
    if match is None:
        raise InputError("command line", "--what-if", what_if, "+GPU@PLACE, +2xGPU@PLACE or -NAME")
    machines = list(inventory.machines)
    if match[4]:
        kept = [machine for machine in machines if machine.name != match[4]]
        if len(kept) == len(machines):
            names = ", ".join(machine.name for machine in machines[:30])
            raise InputError("command line", "--what-if", what_if, f"-NAME of {names}")
        return replace(inventory, machines=once(kept, inventory.path))
    gpu, place = match[2].strip(), match[3].strip()
    alike = next((machine for machine in machines if machine.gpu == gpu), None)
    for number in range(1, int(match[1] or 1) + 1):
        name = f"new-{number}"
        machines.append(
            Machine(name, gpu, None, place) if alike is None
            else replace(alike, name=name, place=place, span=None, pings_ms={})
        )  # fmt: skip
    return replace(inventory, machines=once(machines, inventory.path))


def replanned(what: str, make: Callable[[], Problem], settings: Settings) -> Change:
    """Best plan of another problem, chosen without simulation."""
    try:
        problem = make()
        problem = replace(problem, wish=_quick(problem.wish))
        best = best_of(problem, [*arms_of(problem, settings), *rate_arms(problem, settings)])
    except InfeasibleError as error:
        return Change(what, math.nan, math.nan, str(error))
    return Change(what, best.mean_alone_ms, best.capacity_per_s)


def _quick(wish: Wish) -> Wish:
    return replace(wish, objective="latency") if wish.objective == "latency-at-rate" else wish


def with_swarm(problem: Problem, change: Callable[[Swarm], Swarm]) -> Problem:
    """The problem with a changed swarm, at all its ends."""
    low, value, high = (change(swarm) for swarm in problem.swarms)
    instance = replace(problem.instance, swarm=value)
    return replace(problem, instance=instance, swarms=(low, value, high))


def halved_distances(swarm: Swarm) -> Swarm:
    """The swarm with round trips half as long."""
    saved = swarm.raw_rtt_ms / 2
    between = None if swarm.server_rtt_ms is None else swarm.server_rtt_ms / 2
    return replace(
        swarm,
        raw_rtt_ms=saved,
        token_rtt_ms=swarm.token_rtt_ms - saved,
        prompt_rtt_ms=swarm.prompt_rtt_ms - PROMPT_ROUND_TRIPS[VALUE] * saved,
        server_rtt_ms=between,
    )


def losses(arm: Arm) -> list[Loss]:
    """Each server that hosts something lost in turn, the others as they are."""
    placement, request = arm.placement, arm.problem.request
    hosts = hosts_of_blocks(placement.first_block, placement.blocks, placement.swarm.model.blocks)
    found = []
    for server in np.flatnonzero(placement.blocks > 0).tolist():
        own = slice(int(placement.first_block[server]) - 1, int(placement.last_block[server]))
        lost = int((hosts[own] == 1).sum())
        if lost:
            found.append(Loss(server, lost, math.nan))
            continue
        if not any(server in route.servers for route in arm.routes):
            found.append(Loss(server, 0, arm.mean_alone_ms))
            continue
        left = np.where(np.arange(placement.swarm.servers) == server, 0, placement.blocks)
        cache = np.where(left > 0, placement.cache_tokens, 0)
        rest = Placement(placement.swarm, placement.first_block, left, cache)
        router = ShortestPath(RoutingContext(rest, Caches(rest.cache_tokens)))
        total = 0.0
        try:
            for client in range(placement.swarm.clients):
                route = router.route(request._replace(client=client), 0.0)
                total += sum(
                    chain_times_ms(
                        placement.swarm, client, route.servers, route.processed,
                        request.input_tokens, request.output_tokens,
                    )
                )  # fmt: skip
        except InfeasibleError:  # hosted, but without room for a session
            found.append(Loss(server, 0, math.nan))
            continue
        mean_ms = total / placement.swarm.clients / request.output_tokens
        found.append(Loss(server, 0, mean_ms))
    return found


def spares(placement: Placement) -> list[Spare]:
    """Blocks with one host alone, by their host."""
    model = placement.swarm.model
    hosts = hosts_of_blocks(placement.first_block, placement.blocks, model.blocks)
    found = []
    for server in np.flatnonzero(placement.blocks > 0).tolist():
        first = int(placement.first_block[server])
        sole = first + np.flatnonzero(hosts[first - 1 : int(placement.last_block[server])] == 1)
        if sole.size:
            ends = int(sole[0]), int(sole[-1])
            found.append(Spare(server, *ends, (ends[1] - ends[0] + 1) * model.block_gb))
    return found


def reached(goal: Goal, quantities: Mapping[str, Mapping[str, float]]) -> float:
    """What simulated sessions have for a goal (ms)."""
    return quantities["ttft_ms" if goal.quantity == "ttft" else "token_ms"][goal.of]


def most_rate(arm: Arm, goals: Sequence[Goal]) -> float:
    """Largest rate at which simulations meet all goals (sessions per second), by bisection."""
    rate = arm.problem.instance.rate_per_s

    def meets(wanted: float) -> bool:
        try:
            found = quantities_of(arm.simulated(rate=wanted / rate))
        except InfeasibleError:
            return False
        return all(reached(goal, found) <= goal.most_ms for goal in goals)

    high = arm.capacity_per_s
    low = high / 64
    if not meets(low):
        return 0.0
    for _ in range(MOST_STEPS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if meets(middle) else (low, middle)
    return low
