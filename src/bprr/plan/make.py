"""A plan from a problem: chosen, predicted, explained."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bprr.ground.errors import BprrError, InfeasibleError
from bprr.ground.swarm import Swarm
from bprr.offline.backends.base import SolverSettings
from bprr.offline.instance import OfflineInstance, shared_out
from bprr.offline.solve import solve_offline
from bprr.offline.throughput import passing_rates, rate_bound
from bprr.placement.base import Placement
from bprr.placement.petals import petals_blocks
from bprr.plan.arms import (
    BASELINE,
    LARGE,
    LARGE_BASELINE,
    Arm,
    arms_of,
    best_of,
    method_arm,
    own_arm,
    rate_arms,
)
from bprr.plan.changes import (
    Change,
    changed_inventory,
    halved_distances,
    replanned,
    with_swarm,
)
from bprr.plan.goal import Wish
from bprr.plan.machines import Inventory
from bprr.plan.models import Served
from bprr.plan.problem import Problem, problem_of
from bprr.settings.configuration import Settings

__all__ = ["Made", "Optimum", "plan_of", "standard_changes"]

MOST_FOR_PROOF, MOST_BLOCKS_FOR_PROOF = 16, 200


@dataclass(frozen=True)
class Optimum:
    """What a solver could say of decoding alone within its seconds."""

    status: str
    decode_ms: float
    bound_ms: float
    placement: Placement | None


@dataclass(frozen=True)
class Made:
    """A chosen placement, beside what it was chosen from.

    Parameters
    ----------
    problem : Problem
        What was asked.
    arm : Arm
        The chosen one.
    arms : tuple of Arm
        All that were compared, PETALS' own choice among them if there is one.
    optimum : Optimum, optional
        The proven optimum, where it was asked for and within reach.
    remarks : tuple of str
        What a user should know.
    """

    problem: Problem
    arm: Arm
    arms: tuple[Arm, ...]
    optimum: Optimum | None
    remarks: tuple[str, ...]


def plan_of(
    inventory: Inventory,
    wish: Wish,
    served: Served,
    settings: Settings,
    rtt_file: Path | None = None,
    method: str = "best",
    given: Callable[[Swarm], Placement] | None = None,
) -> Made:
    """Plan of these machines.

    Parameters
    ----------
    method : str
        Of the settings; ``best`` compares CG-BP for several design loads, PETALS' own choice, and
        the optimum where it can be found.
    given : callable, optional
        Makes a placement that is fixed: it is judged, and nothing is chosen.

    Raises
    ------
    InputError, InfeasibleError
        If it cannot be planned.
    """
    problem = problem_of(inventory, wish, served, settings, rtt_file)
    remarks = list(problem.instance.remarks)
    arms, optimum = [], None
    if given is not None:
        arms = [own_arm(problem, "given", "as given", given(problem.swarm), settings)]
    elif method == "best":
        arms = [*arms_of(problem, settings), *rate_arms(problem, settings)]
        optimum = _optimum(problem)
        if optimum is not None and optimum.placement is not None:
            label = "optimum of decoding" if optimum.status == "optimal" else "solver's best"
            arms.append(own_arm(problem, "offline", label, optimum.placement, settings))
    else:
        arms = [method_arm(problem, method, settings)]
    arms = [arm for arm in arms if _can_serve(arm, remarks)]
    if not arms:
        raise InfeasibleError("GPU memory", "room for one session in every block", "in any plan")
    baseline = _baseline(problem, settings, remarks)
    if baseline is not None and method == "best" and given is None:
        # PETALS' blocks, with the plan's chains on them.
        label = "PETALS' blocks, chains of the plan"
        theirs = Placement(
            problem.swarm, baseline.placement.first_block, baseline.placement.blocks
        )  # all leftover memory is cache, not PETALS' pool
        arms.append(own_arm(problem, "petals_blocks", label, theirs, settings))
    chosen = best_of(problem, arms)
    extra = [] if baseline is None or chosen.name == baseline.name else [baseline]
    if problem.wish.objective == "throughput" and problem.swarm.tokens_per_s is not None:
        bound = rate_bound(passing_rates(problem.swarm, problem.request)[0])
        remarks.append(
            f"{chosen.passing_per_s:,.1f} tokens/s pass, by what was measured of servers that host"
            f" so many blocks; no placement passes more than {bound:,.1f}"
        )
    fitting = [] if any(chosen is arm for arm in arms) else [chosen]
    return Made(problem, chosen, (*arms, *fitting, *extra), optimum, tuple(remarks))


def _can_serve(arm: Arm, remarks: list[str]) -> bool:
    try:
        _ = arm.routes
    except InfeasibleError as error:
        remarks.append(f"{arm.label}: {error}")
        return False
    return True


def _baseline(problem: Problem, settings: Settings, remarks: list[str]) -> Arm | None:
    try:
        name = LARGE_BASELINE if problem.swarm.servers > LARGE else BASELINE
        arm = method_arm(problem, name, settings)
        _ = arm.routes
    except BprrError as error:
        remarks.append(f"PETALS' own choice serves nobody: {error}")
        return None
    return arm


def _optimum(problem: Problem) -> Optimum | None:
    """Least Σ over clients of a token's time, one session each, if it is found in time."""
    swarm, wish = problem.swarm, problem.wish
    if (
        wish.prove_s <= 0
        or swarm.servers > MOST_FOR_PROOF
        or swarm.model.blocks > MOST_BLOCKS_FOR_PROOF
        or swarm.clients > 4
    ):
        return None
    requests = shared_out(swarm.clients, swarm.clients)
    instance = OfflineInstance(swarm, requests, problem.request.cache_tokens)
    result = solve_offline(instance, "strong", SolverSettings(time_limit_s=wish.prove_s, threads=1))
    placement = None if result.plan is None else result.plan.placement
    count = swarm.clients
    return Optimum(result.status, result.objective_ms / count, result.bound_ms / count, placement)


def standard_changes(
    made: Made, served: Served, settings: Settings, asked: Sequence[str], rtt_file: Path | None
) -> list[Change]:
    """What one GPU more, half the distances or twice the memory would do; and what was asked."""
    problem, wish = made.problem, made.problem.wish
    inventory = problem.inventory

    def with_machines(what: str) -> Problem:
        return problem_of(changed_inventory(inventory, what), wish, served, settings, rtt_file)

    found = [replanned(what, partial(with_machines, what), settings) for what in asked]
    if problem.swarm.servers > LARGE:
        return found
    found.append(
        replanned("distances halved", lambda: with_swarm(problem, halved_distances), settings)
    )
    doubled = replanned(
        "twice the memory",
        lambda: with_swarm(problem, lambda swarm: replace(swarm, memory_gb=2 * swarm.memory_gb)),
        settings,
    )
    found.append(doubled)
    one_more = _one_more(made)
    if one_more is not None:
        found.append(replanned(one_more, partial(with_machines, one_more), settings))
    return found


def _one_more(made: Made) -> str | None:
    """The fastest GPU that there is, once more, at the first client."""
    problem = made.problem
    machines = problem.inventory.machines
    home = problem.distances.client_node[0]
    place = problem.distances.network.node_names[home]
    if not any(machine.place == place for machine in machines) or problem.inventory.path.is_dir():
        place = machines[int(np.argmin(problem.swarm.raw_rtt_ms[0]))].place
    fastest = machines[int(np.argmin(problem.swarm.tau_ms))]
    return f"+{fastest.gpu}@{place}" if fastest.gpu and place else None


def petals_default(problem: Problem) -> Any:
    """Blocks that PETALS would host by default on each server, with the memory planned with."""
    return petals_blocks(problem.swarm)


def bottleneck(made: Made, changes: Sequence[Change]) -> str:
    """What takes most of a token's time, and what helps most, in one sentence."""
    routes = made.arm.routes
    swarm = made.problem.swarm
    network = computing = 0.0
    for client, route in enumerate(routes):
        network += float(swarm.token_rtt_ms[client, route.servers].sum())
        computing += float((route.processed * swarm.tau_ms[route.servers]).sum())
    whole = network + computing
    hops = sum(len(route.servers) for route in routes) / len(routes)
    said = (
        f"{'distance' if network > computing else 'computing'}: of a token's"
        f" {whole / len(routes):.0f} ms alone, {network / whole:.0%} are network over"
        f" {hops:.1f} servers and {computing / whole:.0%} computing"
    )
    known = [each for each in changes if not math.isnan(each.mean_ms)]
    if known:
        best = min(known, key=lambda each: each.mean_ms)
        times = made.arm.mean_alone_ms / best.mean_ms
        widest = max(known, key=lambda each: each.capacity_per_s)
        gain = widest.capacity_per_s / made.arm.capacity_per_s if made.arm.capacity_per_s else 0
        if times > 1.005:
            said += f". Of the changes tried, {best.what} helps a session alone most: × {times:.2f}"
        if gain > 1.005:
            said += f"; {widest.what} the sustained rate: × {gain:.2f}"
    return f"{said}."
