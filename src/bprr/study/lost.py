"""A placement of which one server is gone: what is left of it, or another one without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.performance import hosts_of_blocks
from bprr.ground.swarm import IntArray
from bprr.placement.base import Placement
from bprr.placement.composed import ChainTable
from bprr.scenario.draw import Instance
from bprr.scenario.scenario import Lost

__all__ = ["after_loss"]


def after_loss(
    instance: Instance, placement: Placement, place: Callable[[Instance], Placement]
) -> Placement:
    """What serves once the server that a scenario loses is gone.

    Parameters
    ----------
    placement : Placement
        On all servers.
    place : callable
        Places blocks on a part of the draw.

    Raises
    ------
    InfeasibleError
        If the others host no whole model, or no whole chain.
    InputError
        If the method brings servers of its own, or routes by flows that would have to be others.
    """
    lost = instance.scenario.lost
    assert lost is not None
    if placement.swarm is not instance.planned_swarm or "flows" in placement.details:
        allowed = "a placement on the servers of the swarm whose routing needs no flows"
        raise InputError(instance.scenario.where, "lost", "a server of another placement", allowed)
    left = np.arange(placement.swarm.servers) != _lost_server(lost, placement, instance)
    if not lost.placed_anew:
        return _of_others(placement, left)
    scenario = instance.scenario.model_copy(update={"lost": None})
    servers = np.flatnonzero(left)
    return _on_all(placement, place(replace(instance.part(servers), scenario=scenario)), servers)


def _lost_server(lost: Lost, placement: Placement, instance: Instance) -> int:
    if lost.server == "random":
        return int(instance.streams.of("churn").integers(placement.swarm.servers))
    return int(np.lexsort((instance.swarm.tau_ms, -placement.blocks))[0])


def _of_others(placement: Placement, left: NDArray[np.bool_]) -> Placement:
    """The blocks of the servers that are left, and the chains that need no other."""
    blocks, details = np.where(left, placement.blocks, 0), dict(placement.details)
    total = placement.swarm.model.blocks
    nowhere = int((hosts_of_blocks(placement.first_block, blocks, total) == 0).sum())
    chains = details.get("chains")
    whole = True
    if isinstance(chains, ChainTable):
        parts = [slice(*bounds) for bounds in zip(chains.first, chains.first[1:], strict=False)]
        kept = [p for p, part in enumerate(parts) if left[chains.server[part]].all()]
        whole = bool(kept)
        details["chains"] = _of(chains, [parts[p] for p in kept], kept)
    if nowhere or not whole:
        lacking = f"{nowhere} of {total} blocks hosted nowhere" if nowhere else "every chain"
        raise InfeasibleError("servers", lacking, "after one was lost")
    cache_tokens = np.where(left, placement.cache_tokens, 0)
    return replace(placement, blocks=blocks, cache_tokens=cache_tokens, details=details)


def _of(chains: ChainTable, parts: list[slice], kept: list[int]) -> ChainTable:
    """Some of the chains."""
    entries = np.concatenate(
        [np.zeros(0, dtype=np.int64), *(np.arange(part.start, part.stop) for part in parts)]
    )
    return ChainTable(
        np.cumsum([0, *(part.stop - part.start for part in parts)]),
        chains.server[entries],
        chains.blocks[entries],
        chains.places[kept],
        np.ascontiguousarray(chains.time_ms[:, kept]),
    )


def _on_all(before: Placement, made: Placement, servers: IntArray) -> Placement:
    """A placement on some servers, as one of all in which the others host nothing."""
    columns: dict[str, Any] = {}
    for name in ("first_block", "blocks", "cache_tokens"):
        columns[name] = np.zeros_like(getattr(before, name))
        columns[name][servers] = getattr(made, name)
    details = dict(made.details)
    chains = details.get("chains")
    if isinstance(chains, ChainTable):
        details["chains"] = chains._replace(server=servers[chains.server])
    return replace(before, **columns, details=details)
