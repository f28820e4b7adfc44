"""Placements to choose from, and the choice."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

import numpy as np

from bprr.ground.caches import Caches
from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.performance import chain_times_ms, conservative_blocks_suffice
from bprr.ground.registry import ROUTING, SERVICE, Choice
from bprr.ground.request import Route
from bprr.ground.swarm import FloatArray, Swarm
from bprr.offline.throughput import most_flow, solve_throughput
from bprr.placement.base import Placement
from bprr.placement.cg_bp import cg_bp
from bprr.placement.cg_bp_tuned import design_loads
from bprr.plan.problem import VALUE, Problem
from bprr.routing.base import RoutingContext
from bprr.routing.shortest_path import ShortestPath
from bprr.settings.configuration import Method, Settings
from bprr.simulation.engine import Delays, simulate
from bprr.simulation.records import Records
from bprr.study.capacity import capacity_of_any_placement, capacity_per_s
from bprr.study.design_load import choose_design_load
from bprr.study.method import MethodRunner

__all__ = [
    "BASELINE",
    "LARGE",
    "LARGE_BASELINE",
    "Arm",
    "arms_of",
    "at_level",
    "best_of",
    "method_arm",
    "own_arm",
    "rate_arms",
]

BASELINE = "petals_shipped"  # of the settings: what these servers would choose themselves
LARGE = 500  # servers from which on less is tried: a linear programme takes seconds
# Of larger swarms, as they join: to let thousands move in turn takes minutes.
LARGE_BASELINE = "petals"
# Methods of the settings whose blocks are placed for a rate, and the arms of their blocks.
RATED = {"pipe": "pipe_blocks", "two_resource": "two_resource_blocks"}
MARGIN = 1.1  # by which they have to be faster: they leave servers idle, and so no spares
MOST_RATED = 200  # servers up to which they are tried
STEPS, LARGE_STEPS = 8, 4  # design loads that are tried, from one session to as many as fit
SIMULATED, LARGE_SIMULATED = 4, 2  # placements under the load
SATURATING = 1.3  # sessions, in those that fill a server's time


@dataclass(frozen=True)
class Arm:
    """A placement and how sessions are routed on it.

    Parameters
    ----------
    name, label : str
        For files, and for people.
    placement : Placement
        At the values.
    method : Method
        Whose routing, admission and service simulations take.
    """

    name: str
    label: str
    placement: Placement
    method: Method
    problem: Problem

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        """Chain of each client in an empty swarm."""
        router = ShortestPath(RoutingContext(self.placement, Caches(self.placement.cache_tokens)))
        request = self.problem.request
        return tuple(
            router.route(request._replace(client=client), 0.0)
            for client in range(self.placement.swarm.clients)
        )

    def alone_ms(self, level: int = VALUE) -> FloatArray:
        """First token, and each further one, of each client alone (ms), shape (C, 2)."""
        request, swarm = self.problem.request, self.problem.swarms[level]
        later = max(request.output_tokens - 1, 1)
        times = [
            chain_times_ms(
                swarm, client, route.servers, route.processed,
                request.input_tokens, later + 1,
            )
            for client, route in enumerate(self.routes)
        ]  # fmt: skip
        return np.array([(first_ms, rest_ms / later) for first_ms, rest_ms in times])

    @cached_property
    def mean_alone_ms(self) -> float:
        """Time of a session alone, over its tokens (ms): the mean over clients."""
        request = self.problem.request
        first, later = self.alone_ms().mean(axis=0)
        return float((first + (request.output_tokens - 1) * later) / request.output_tokens)

    def capacity(self, level: int = VALUE, memory_alone: bool = False) -> float:
        """Most sessions per second, whatever the routing; if only memory were scarce."""
        placement = at_level(self.placement, self.problem.swarms[level])
        choice = self.problem.instance.scenario.service
        service = SERVICE.build("independent" if memory_alone else choice, placement.swarm, 0.0)
        return capacity_per_s(placement, self.problem.request, service)

    @cached_property
    def capacity_per_s(self) -> float:
        """The same at the values."""
        return self.capacity()

    @cached_property
    def passing_per_s(self) -> float:
        """Largest flow that was measured to pass (tokens/s), else the largest rate (sessions/s)."""
        swarm = self.problem.swarm
        if swarm.tokens_per_s is None:
            return self.capacity_per_s
        return most_flow(self.placement, swarm.tokens_per_s)

    def simulated(self, level: int = VALUE, rate: float = 1.0) -> Records:
        """Sessions of the load, arriving so many times as fast."""
        placement = at_level(self.placement, self.problem.swarms[level])
        scenario, workload = self.problem.instance.scenario, self.problem.instance.workload
        if rate != 1.0:
            workload = replace(workload, arrival_ms=workload.arrival_ms / rate)
        return simulate(
            placement,
            workload,
            self.method.routing,
            admission=self.method.admission or scenario.admission,
            charging=self.method.charging or scenario.charging,
            service=self.method.service or scenario.service,
            delays=Delays(),
        )

    @cached_property
    def loaded_ms(self) -> float:
        """Mean time per token of the load, waiting included; infinite if it cannot be served."""
        try:
            records = self.simulated()
        except InfeasibleError:
            return math.inf
        return float(records.completion_ms.sum() / records.workload.output_tokens.sum())


def at_level(placement: Placement, swarm: Swarm) -> Placement:
    """The same blocks and caches on the swarm of other ends."""
    return Placement(swarm, placement.first_block, placement.blocks, placement.cache_tokens)


def own_arm(
    problem: Problem, name: str, label: str, placement: Placement, settings: Settings
) -> Arm:
    """Arm whose clients keep to the plan's chains."""
    return Arm(name, label, placement, _pinned(problem, settings), problem)


def _pinned(problem: Problem, settings: Settings) -> Method:
    routing = "ws_rr" if problem.wish.loaded else "shortest_path"
    return settings.methods["proposed"].model_copy(
        update={"routing": Choice(routing, ROUTING[routing].Options())}
    )


def method_arm(problem: Problem, name: str, settings: Settings) -> Arm:
    """Arm of a method of the settings.

    Raises
    ------
    InputError, InfeasibleError
        If there is no such method, or no placement by it.
    """
    if name not in settings.methods:
        raise InputError("command line", "--method", name, f"best, {', '.join(settings.methods)}")
    method = settings.methods[name]
    placement = MethodRunner(problem.instance).placement(method.placement, 0.0)
    if placement.swarm.servers != problem.swarm.servers:
        raise InputError("command line", "--method", name, "a method that places blocks on servers")
    return Arm(name, method.label or name, placement, method, problem)


def arms_of(problem: Problem, settings: Settings) -> Iterator[Arm]:
    """CG-BP for design loads from one session to as many as fit.

    Raises
    ------
    InfeasibleError
        If there is none at all.
    """
    swarm, tokens = problem.swarm, problem.request.cache_tokens
    found, refused = set(), None
    for load in _loads(problem):
        try:
            placement = cg_bp(swarm, load, tokens)
        except InfeasibleError as error:
            refused = refused or error
            continue
        key = placement.first_block.tobytes() + placement.blocks.tobytes()
        if key in found:
            continue  # the same blocks for another design load
        found.add(key)
        yield own_arm(problem, f"cg_bp_{load}", f"CG-BP for R = {load}", placement, settings)
    if not found and refused is not None:
        raise refused


def rate_arms(problem: Problem, settings: Settings) -> Iterator[Arm]:
    """Blocks placed for a rate: PIPE's, 2R's and, for throughput, chains of the largest rate.

    For throughput the first two are asked for more than any placement carries. Sessions are routed
    as on all other blocks, which clients of PETALS can do.
    """
    swarm, instance, objective = problem.swarm, problem.instance, problem.wish.objective
    if objective == "latency" or swarm.servers > MOST_RATED:
        return
    if objective == "throughput":
        most = capacity_of_any_placement(swarm, problem.request)
        instance = replace(instance, rate_per_s=most)
        with suppress(InfeasibleError):
            chains = solve_throughput(swarm, problem.request).placement
            yield own_arm(problem, "chains", "chains of the largest rate", chains, settings)
    runner = MethodRunner(instance)
    for name in RATED:
        if name in settings.methods:
            method = settings.methods[name]
            with suppress(InfeasibleError):
                placement = runner.placement(method.placement, 0.0)
                label = f"{method.label or name}'s blocks"
                yield own_arm(problem, RATED[name], label, placement, settings)


def with_fitting_caches(arm: Arm) -> Arm:
    """The arm with no more cache on a server than for the sessions that keep it computing.

    A server that takes one task after another gains nothing from more sessions than fill the time
    that a token is elsewhere: beyond `SATURATING` times that, they are better off with another.
    """
    placement, swarm = arm.placement, arm.placement.swarm
    token_ms = float(arm.alone_ms()[:, 1].mean())
    work_ms = np.maximum(placement.blocks * swarm.tau_ms, 1e-9)
    sessions = np.maximum(np.ceil(SATURATING * token_ms / work_ms), 1.0)
    most = sessions * placement.blocks * arm.problem.request.cache_tokens
    cache = np.minimum(placement.cache_tokens, most.astype(np.int64))
    fitting = Placement(swarm, placement.first_block, placement.blocks, cache)
    return replace(
        arm, name=f"{arm.name}_fitting", label=f"{arm.label}, caches as computing allows",
        placement=fitting,
    )  # fmt: skip


def _loads(problem: Problem) -> list[int]:
    swarm, request = problem.swarm, problem.request
    most = 1
    while most < 1 << 16 and conservative_blocks_suffice(swarm, 2 * most, request.cache_tokens):
        most *= 2
    tried = LARGE_STEPS if swarm.servers > LARGE else STEPS
    steps = design_loads(most, tried)
    if problem.wish.loaded and not math.isnan(problem.instance.rate_per_s):
        rate = problem.instance.rate_per_s
        steps.append(choose_design_load(swarm, request, rate, 0.0))
    return sorted(set(steps))


def best_of(problem: Problem, arms: list[Arm]) -> Arm:
    """The arm that the objective prefers.

    Latency: the least time of a session alone among those that carry the rate. Throughput: the
    largest rate, or flow of tokens where that was measured, and of equal ones the faster. Latency
    at a rate: the least mean time per token over simulations of the widest, of those that are
    fastest alone, and of those placed for the rate, that carry it.
    """
    objective = problem.wish.objective
    if objective == "throughput":
        return max(arms, key=lambda arm: (round(arm.passing_per_s, 9), -arm.mean_alone_ms))
    rate = problem.instance.rate_per_s if problem.wish.loaded else 0.0
    if not problem.wish.loaded or math.isnan(rate):
        return min(arms, key=lambda arm: arm.mean_alone_ms)
    by_time = sorted(arms, key=lambda arm: arm.mean_alone_ms)
    if objective == "latency":  # no linear programme more than it takes
        able = [*islice((arm for arm in by_time if arm.capacity_per_s > rate), 1)]
    else:
        able = [arm for arm in by_time if arm.capacity_per_s > rate]
    if not able:
        return max(arms, key=lambda arm: (round(arm.capacity_per_s, 9), -arm.mean_alone_ms))
    if objective == "latency":
        return able[0]
    widest = max(able, key=lambda arm: arm.capacity_per_s)
    most = LARGE_SIMULATED if problem.swarm.servers > LARGE else SIMULATED
    rated = [arm for arm in able if _is_rated(arm)]
    others = [arm for arm in able if not _is_rated(arm)]
    tried = list({id(arm): arm for arm in [*_distinct(others)[:most], *rated, widest]}.values())
    tried += [fitting for fitting in map(with_fitting_caches, tried) if _can_carry(fitting, rate)]
    return min(tried, key=lambda arm: arm.loaded_ms * (MARGIN if _is_rated(arm) else 1.0))


def _is_rated(arm: Arm) -> bool:
    return arm.name.startswith(tuple(RATED.values()))


def _can_carry(arm: Arm, rate: float) -> bool:
    try:
        _ = arm.routes
    except InfeasibleError:
        return False
    return arm.problem.swarm.servers > LARGE or arm.capacity_per_s > rate


def _distinct(arms: list[Arm]) -> list[Arm]:
    """Without those whose blocks are those of an earlier one."""
    found = {
        (arm.placement.first_block.tobytes(), arm.placement.blocks.tobytes()): arm
        for arm in reversed(arms)
    }
    return list(reversed(found.values()))
