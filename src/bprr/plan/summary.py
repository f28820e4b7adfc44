"""A plan's record: every number with its interval and its grade."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bprr.ground.performance import decode_ms_per_token
from bprr.placement.petals import pool_tokens_per_block
from bprr.plan.arms import BASELINE, LARGE, Arm
from bprr.plan.changes import (
    COLD_SPARE_S,
    HOT_SPARE_S,
    Change,
    losses,
    most_rate,
    spares,
)
from bprr.plan.goal import Goal
from bprr.plan.known import Grade, Known
from bprr.plan.make import Made, bottleneck, petals_default
from bprr.plan.predict import Alone, Chain, Loaded, Rates, alone, chains, curve, loaded, rates
from bprr.plan.problem import Problem
from bprr.plan.record import (
    ArmRecord,
    ChainRecord,
    ChangeRecord,
    GoalRecord,
    HopRecord,
    LoadRecord,
    LossRecord,
    OptimumRecord,
    PlanRecord,
    PointRecord,
    ServerRecord,
    SpareRecord,
    Value,
    rounded,
    value_of,
)

__all__ = ["summary_of"]


def summary_of(
    made: Made,
    changes: Sequence[Change],
    *,
    quantisation: str,
    asked: Mapping[str, Any] | None = None,
    until_slo: bool = False,
    with_losses: bool = True,
    with_curve: bool = True,
) -> PlanRecord:
    """Record of a plan.

    Parameters
    ----------
    changes : sequence of Change
        What was tried beside it.
    quantisation : str
        How blocks are stored, in PETALS' words.
    asked : mapping, optional
        How the plan was asked for.
    until_slo : bool
        Search the largest rate that meets the goals.
    with_losses, with_curve : bool
        Lose each server in turn; simulate other rates.
    """
    problem, arm, wish = made.problem, made.arm, made.problem.wish
    found, carried = chains(arm), rates(arm)
    alone_ms = alone(found)
    under_load = loaded(arm) if wish.loaded else None
    remarks = [*made.remarks]
    if not wish.loaded:
        remarks.append("no rate is asked for: times are those of one session at a time")
    elif under_load is None:
        remarks.append("the load cannot be served: sessions wait for each other for ever")
    elif carried.sustained_per_s.value <= problem.instance.rate_per_s:
        remarks.append(
            f"{problem.instance.rate_per_s:g} sessions/s are more than the placement carries"
            f" ({carried.sustained_per_s.value:.3g}): times under load grow with every session"
        )
    if wish.loaded and under_load is not None:
        remarks.append(
            f"times under load are of {under_load.sessions} sessions from an empty swarm, servers"
            " taking one task after another: near the sustained rate they are a transient"
        )
    model = problem.served.model
    return PlanRecord(
        asked=dict(asked or {}),
        model=model.name,
        title=problem.served.title or model.name,
        blocks=model.blocks,
        block_gb=rounded(model.block_gb),
        quantisation=quantisation,
        cache_bytes_per_token_and_block=rounded(model.cache_gb_per_token * 1e9),
        session={
            "input_tokens": problem.request.input_tokens,
            "output_tokens": problem.request.output_tokens,
        },
        rate_per_s=rounded(problem.instance.rate_per_s) if wish.loaded else None,
        objective=wish.objective,
        method=arm.label,
        forwarding=wish.forwarding,
        speculation=wish.speculation if isinstance(wish.speculation, str) else next(
            iter(wish.speculation)),
        reserve_gb=wish.reserve_gb,
        hop_overhead_ms=value_of(Known.of(wish.hop_overhead_ms, problem.overhead_grade)),
        distances=problem.distances.because,
        distances_grade=problem.network_grade.word,  # type: ignore[arg-type]
        placement=_servers(problem, arm),
        chains=[_chain(problem, each) for each in found],
        token_ms=value_of(alone_ms.token_ms),
        ttft_ms=value_of(alone_ms.ttft_ms),
        sustained_per_s=value_of(carried.sustained_per_s),
        memory_per_s=value_of(carried.memory_per_s),
        bound=carried.bound,  # type: ignore[arg-type]
        loaded=None if under_load is None else _load(problem, under_load),
        goals=[_goal(goal, problem, alone_ms, under_load) for goal in wish.goals],
        until_slo_per_s=rounded(most_rate(arm, wish.goals)) if until_slo else None,
        bottleneck=bottleneck(made, changes),
        compared=_compared(made),
        optimum=_optimum(made),
        changes=[_change(each, arm, carried) for each in changes],
        losses=_losses(problem, arm) if with_losses else [],
        spares=_spares(problem, arm),
        spare_seconds={"hot": HOT_SPARE_S, "cold": COLD_SPARE_S},
        curve=_curve(arm) if with_curve else [],
        remarks=remarks,
    )  # fmt: skip


def _servers(problem: Problem, arm: Arm) -> list[ServerRecord]:
    model, placement, tokens = problem.served.model, arm.placement, problem.request.cache_tokens
    network = problem.distances.network
    default = petals_default(problem)
    alone_hosts = {each.server: each for each in spares(placement)}
    records = []
    for server, (machine, paced) in enumerate(
        zip(problem.inventory.machines, problem.paced, strict=True)
    ):
        blocks, first = int(placement.blocks[server]), int(placement.first_block[server])
        cache = int(placement.cache_tokens[server])
        node = problem.distances.server_node[server]
        weights_gb, cache_gb = blocks * model.block_gb, cache * model.cache_gb_per_token
        usable_gb = paced.device.memory_gb
        sole = alone_hosts.get(server)
        places = (network.latitude_deg[node], network.longitude_deg[node])
        tau_ms = Known.of((swarm.tau_ms[server] for swarm in problem.swarms), paced.grade)
        records.append(
            ServerRecord(
                server=server,
                name=machine.name,
                device=paced.device.name,
                gpu=machine.gpu,
                place=machine.place,
                latitude=rounded(float(places[0])),
                longitude=rounded(float(places[1])),
                first_block=first if blocks else 0,
                blocks=blocks,
                cache_tokens=cache,
                block_indices=f"{first - 1}:{first - 1 + blocks}" if blocks else None,
                memory_gb=rounded(machine.memory_gb or usable_gb),
                reserve_gb=rounded(max((machine.memory_gb or usable_gb) - usable_gb, 0.0)),
                weights_gb=rounded(weights_gb),
                cache_gb=rounded(cache_gb),
                free_gb=rounded(usable_gb - weights_gb - cache_gb),
                cache_tokens_per_block=cache // blocks if blocks else 0,
                sessions=cache // (blocks * tokens) if blocks else 0,
                tau_ms=value_of(tau_ms),
                because=paced.because,
                petals_blocks=int(default[server]),
                petals_cache_tokens_per_block=pool_tokens_per_block(model),
                alone_hosts=0 if sole is None else sole.last_block - sole.first_block + 1,
            )
        )
    return records


def _name(problem: Problem, server: int) -> str:
    return problem.inventory.machines[server].name


def _chain(problem: Problem, chain: Chain) -> ChainRecord:
    node = int(problem.distances.client_node[chain.client])
    return ChainRecord(
        client=chain.client,
        place=problem.distances.network.node_names[node],
        servers=[hop.server for hop in chain.hops],
        blocks_processed=[hop.blocks for hop in chain.hops],
        hops=[
            HopRecord(
                server=hop.server,
                name=_name(problem, hop.server),
                blocks=hop.blocks,
                network_ms=value_of(hop.network_ms),
                computing_ms=value_of(hop.computing_ms),
            )
            for hop in chain.hops
        ],
        token_ms=value_of(chain.token_ms),
        ttft_ms=value_of(chain.ttft_ms),
        tokens_per_s=value_of(chain.tokens_per_s),
    )


def _load(problem: Problem, found: Loaded) -> LoadRecord:
    def values(name: str) -> dict[str, Value]:
        return {of: value_of(known) for of, known in found.quantities[name].items()}

    return LoadRecord(
        rate_per_s=rounded(found.rate_per_s),
        sessions=found.sessions,
        ttft_ms=values("ttft_ms"),
        token_ms=values("token_ms"),
        wait_ms=values("wait_ms"),
        busiest_server=_name(problem, found.busiest[0]),
        busiest_share=rounded(found.busiest[1]),
    )


def _goal(goal: Goal, problem: Problem, alone_ms: Alone, found: Loaded | None) -> GoalRecord:
    """Met only by what was measured of the machines; missed by any lower end beyond it."""
    name = "ttft_ms" if goal.quantity == "ttft" else "token_ms"
    if found is not None:
        known = found.quantities[name][goal.of]
    else:
        known = alone_ms.ttft_ms if goal.quantity == "ttft" else alone_ms.token_ms
    if known.low > goal.most_ms:
        verdict, because = "missed", "even the low end of the interval is beyond it"
    elif known.high > goal.most_ms:
        verdict, because = "open", "it lies within the interval"
    elif problem.device_grade is Grade.ESTIMATED:
        verdict = "open"
        because = (
            "the whole interval is within it, but computing is estimated: measure inference_rps, or"
            " calibrate"
        )
    else:
        verdict, because = "met", "the whole interval is within it, with measured machines"
    return GoalRecord(
        goal=goal.text, value_ms=value_of(known), verdict=verdict, because=because  # type: ignore[arg-type]
    )  # fmt: skip


def _compared(made: Made) -> list[ArmRecord]:
    records = []
    for arm in made.arms:
        chosen = arm is made.arm
        theirs = arm.name == BASELINE and made.problem.wish.loaded
        simulated = "loaded_ms" in arm.__dict__ or theirs
        rated = "capacity_per_s" in arm.__dict__ or made.problem.swarm.servers <= LARGE
        records.append(
            ArmRecord(
                name=arm.name,
                label=arm.label,
                mean_alone_ms=rounded(arm.mean_alone_ms),
                capacity_per_s=rounded(arm.capacity_per_s) if rated else None,
                loaded_ms=rounded(arm.loaded_ms) if simulated else None,
                chosen=chosen,
            )
        )
    return records


def _optimum(made: Made) -> OptimumRecord | None:
    if made.optimum is None:
        return None
    swarm = made.problem.swarm
    plan_ms = float(
        np.mean(
            [
                decode_ms_per_token(swarm, client, route.servers, route.processed)
                for client, route in enumerate(made.arm.routes)
            ]
        )
    )
    return OptimumRecord(
        status=made.optimum.status,
        decode_ms=rounded(made.optimum.decode_ms),
        bound_ms=rounded(made.optimum.bound_ms),
        plan_ms=rounded(plan_ms),
    )


def _change(change: Change, arm: Arm, carried: Rates) -> ChangeRecord:
    sustained = carried.sustained_per_s.value
    return ChangeRecord(
        what=change.what,
        mean_alone_ms=rounded(change.mean_ms),
        capacity_per_s=rounded(change.capacity_per_s),
        times_faster=rounded(arm.mean_alone_ms / change.mean_ms),
        times_capacity=rounded(change.capacity_per_s / sustained) if sustained else None,
        why_not=change.why_not,
    )


def _losses(problem: Problem, arm: Arm) -> list[LossRecord]:
    """The worst first."""
    records = [
        LossRecord(
            name=_name(problem, each.server),
            blocks_lost=each.blocks_lost,
            mean_alone_ms=rounded(each.mean_ms),
            times_slower=rounded(each.mean_ms / arm.mean_alone_ms),
        )
        for each in losses(arm)
    ]
    return sorted(records, key=lambda each: (-each.blocks_lost, -(each.times_slower or math.inf)))


def _spares(problem: Problem, arm: Arm) -> list[SpareRecord]:
    return [
        SpareRecord(
            name=_name(problem, each.server),
            blocks=f"{each.first_block}–{each.last_block}",
            memory_gb=rounded(each.memory_gb),
        )
        for each in spares(arm.placement)
    ]


def _curve(arm: Arm) -> list[PointRecord]:
    if math.isnan(arm.problem.instance.rate_per_s):
        return []
    return [PointRecord(**{key: rounded(value) for key, value in point.items()})
            for point in curve(arm)]  # fmt: skip
