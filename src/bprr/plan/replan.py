"""A plan for a swarm that has changed: keep most blocks where they are, unless moving pays.

To stay, newcomers and missing blocks alone are placed; or the best plan is made anew. Loading a
block costs seconds per GB, during which the servers that load serve nobody; the best plan is taken
if what it saves within a horizon is worth that, and more by a margin, so that small changes back
and forth move nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bprr.ground.errors import InfeasibleError
from bprr.ground.performance import conservative_blocks, free_cache_tokens, hosts_of_blocks
from bprr.ground.swarm import IntArray
from bprr.living.moving import Trade, blocks_to_load
from bprr.placement.base import Placement
from bprr.plan.arms import Arm, own_arm
from bprr.plan.make import Made
from bprr.plan.problem import Problem
from bprr.plan.record import PlanRecord
from bprr.settings.configuration import Settings

__all__ = ["Advice", "Moving", "advice", "kept_placement"]


class Moving(NamedTuple):
    """What a move costs, and how much better it has to be.

    Parameters
    ----------
    seconds_per_gb : float
        To load a block.
    horizon_h : float
        For how long the swarm is expected to stay as it is.
    hysteresis : float
        Share by which what is saved has to exceed what the move costs, and by which sessions have
        to become faster.
    """

    seconds_per_gb: float = 8.0
    horizon_h: float = 24.0
    hysteresis: float = 0.1


class Advice(NamedTuple):
    """What to do: to stay or to move, and why.

    Parameters
    ----------
    moves : bool
        Whether the best plan anew is worth the move.
    stay_ms, best_ms : float
        Per token of a session alone; NaN if blocks would be hosted nowhere.
    stay_gb, best_gb : float
        Loaded anew for either.
    saved_s, cost_s : float
        Time of users within the horizon that the best plan saves over staying, and what it costs.
    because : str
        The same in words.
    """

    moves: bool
    stay: Arm | None
    best: Arm
    stay_ms: float
    best_ms: float
    stay_gb: float
    best_gb: float
    saved_s: float
    cost_s: float
    because: str


def kept_placement(problem: Problem, old: PlanRecord) -> Placement | None:
    """Everybody as before; newcomers, and then servers that nobody needs, take what is missing.

    None if some block still has no host.
    """
    swarm, model = problem.swarm, problem.served.model
    before = {server.name: server for server in old.placement}
    first, count = np.zeros((2, swarm.servers), dtype=np.int64)
    most = conservative_blocks(swarm, 1, problem.request.cache_tokens)
    newcomers, cache = [], np.full(swarm.servers, np.iinfo(np.int64).max)
    for server, machine in enumerate(problem.inventory.machines):
        record = before.get(machine.name)
        if record is None or not record.blocks or old.blocks != model.blocks:
            newcomers.append(server)
            continue
        first[server], count[server] = record.first_block, min(record.blocks, int(most[server]))
        cache[server] = record.cache_tokens
    newcomers.sort(key=lambda server: (-int(most[server]), server))
    for server in newcomers:
        if most[server]:
            _place(server, int(most[server]), first, count, model.blocks)
    for _ in range(swarm.servers):
        hosts = hosts_of_blocks(first, count, model.blocks)
        if (hosts > 0).all():
            break
        spare = [
            server for server in np.flatnonzero(count > 0).tolist()
            if (hosts[first[server] - 1 : first[server] - 1 + count[server]] > 1).all()
        ]  # fmt: skip
        if not spare:
            return None
        chosen = max(spare, key=lambda server: (int(most[server]), -server))
        count[chosen], cache[chosen] = 0, np.iinfo(np.int64).max
        _place(chosen, int(most[chosen]), first, count, model.blocks)
    if not (hosts_of_blocks(first, count, model.blocks) > 0).all():
        return None
    return Placement(swarm, first, count, np.minimum(free_cache_tokens(swarm, count), cache))


def _place(server: int, most: int, first: IntArray, count: IntArray, blocks: int) -> None:
    """Window with the most blocks that nobody hosts, then the one that is hosted least."""
    hosts = hosts_of_blocks(first, count, blocks)
    width = min(most, blocks)
    starts = range(blocks - width + 1)
    best = max(
        starts,
        key=lambda start: (
            int((hosts[start : start + width] == 0).sum()),
            -int(hosts[start : start + width].sum()),
            -start,
        ),
    )
    first[server], count[server] = best + 1, width


def loaded_gb(problem: Problem, old: PlanRecord, placement: Placement) -> np.ndarray:
    """What each server has to load that it does not host yet (GB)."""
    before: Mapping[str, tuple[int, int]] = {
        server.name: (server.first_block, server.blocks) for server in old.placement
    }
    machines = problem.inventory.machines
    first, count = np.array([before.get(each.name, (0, 0)) for each in machines]).T
    load = blocks_to_load(first, count, placement.first_block, placement.blocks)
    return load * problem.served.model.block_gb


def advice(
    made: Made, old: PlanRecord, moving: Moving, settings: Settings
) -> Advice:  # fmt: skip
    """To stay or to move.

    Parameters
    ----------
    made : Made
        The best plan of the swarm as it is now.
    old : PlanRecord
        The plan that it runs.
    """
    problem = made.problem
    kept = kept_placement(problem, old)
    stay = None
    if kept is not None:
        stay = own_arm(problem, "kept", "as before, what is missing added", kept, settings)
        try:
            _ = stay.routes
        except InfeasibleError:
            stay = None
    best_gb = loaded_gb(problem, old, made.arm.placement)
    best_ms = _time_ms(made.arm)
    if stay is None or kept is None or math.isinf(_time_ms(stay)):
        because = "as it is, some block has no host with room for a session"
        nan = float("nan")
        return Advice(
            True, None, made.arm, nan, best_ms, nan, float(best_gb.sum()), nan, nan, because
        )
    stay_gb = loaded_gb(problem, old, kept)
    stay_ms = _time_ms(stay)
    tokens = problem.request.output_tokens
    rate = problem.instance.rate_per_s if problem.wish.loaded else 1000.0 / (stay_ms * tokens)
    # Servers load side by side; what must be loaded anyway is no cost of moving.
    pause_s = moving.seconds_per_gb * max(float(best_gb.max()) - float(stay_gb.max()), 0.0)
    trade = Trade(stay_ms, best_ms, rate, tokens, 3600 * moving.horizon_h, pause_s)
    saved_s, cost_s, faster = trade.saved_s, trade.cost_s, trade.faster
    moves = trade.pays(moving.hysteresis)
    if moves:
        because = (
            f"sessions become {faster:.0%} faster: {saved_s / 3600:.1f} h of users' time within"
            f" {moving.horizon_h:g} h, for {cost_s / 3600:.2f} h lost to {pause_s:.0f} s of loading"
        )
    elif faster <= moving.hysteresis:
        because = f"a new plan is {max(faster, 0):.0%} faster, less than {moving.hysteresis:.0%}"
    else:
        because = (
            f"{saved_s:.0f} s of users' time within {moving.horizon_h:g} h do not pay for"
            f" {cost_s:.0f} s lost to {pause_s:.0f} s of loading"
        )
    return Advice(
        moves, stay, made.arm, stay_ms, best_ms, float(stay_gb.sum()), float(best_gb.sum()),
        saved_s, cost_s, because,
    )  # fmt: skip


def _time_ms(arm: Arm) -> float:
    """Time per token that is compared: under the load where there is one."""
    return arm.loaded_ms if arm.problem.wish.loaded else arm.mean_alone_ms
