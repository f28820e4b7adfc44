"""Machines, distances and a load as one placement problem, at the ends of what is not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bprr.ground.request import Request
from bprr.ground.swarm import ACTIVATION_BYTES, Device, FloatArray, Overheads, Swarm
from bprr.plan.devices import Factors, Paced, paced
from bprr.plan.distances import Distances, distances_of
from bprr.plan.goal import Wish
from bprr.plan.known import Grade, weakest
from bprr.plan.machines import Inventory
from bprr.plan.models import Served
from bprr.scenario.draw import Instance
from bprr.scenario.scenario import Scenario, scenario_of
from bprr.scenario.streams import Streams
from bprr.settings.configuration import Settings

__all__ = [
    "HIGH",
    "LOW",
    "PROMPT_ROUND_TRIPS",
    "VALUE",
    "Problem",
    "problem_of",
    "scenario_content",
]

LOW, VALUE, HIGH = range(3)
# Of each hop until a prompt is through: 1.05 on genuine PETALS (data/traces/testbed); 2 where the
# streams of a session have to be opened first (docs/plan.md#times).
PROMPT_ROUND_TRIPS = (1.0, 1.05, 2.0)
# What a sole session is simulated with: they never meet.
ALONE_RATE_PER_S, ALONE_REQUESTS = 1e-5, 20
LEAST_GB = 1e-3  # of a GPU that the reserve takes whole


@dataclass(frozen=True)
class Problem:
    """All that a plan is made from.

    Parameters
    ----------
    inventory : Inventory
        The machines.
    wish : Wish
        What is asked for.
    served : Served
        The model.
    paced : tuple of Paced
        How fast each machine is; its device has the name that it bears in the plan's files.
    distances : Distances
        Between machines and from clients.
    instance : Instance
        All of this as the scenario that simulations run, at its values.
    swarms : tuple of Swarm
        With everything not known at its low end, at its value, and at its high end.
    """

    inventory: Inventory
    wish: Wish
    served: Served
    paced: tuple[Paced, ...]
    distances: Distances
    instance: Instance
    swarms: tuple[Swarm, Swarm, Swarm]

    @property
    def swarm(self) -> Swarm:
        """At its values."""
        return self.swarms[VALUE]

    @cached_property
    def request(self) -> Request:
        """The session that is planned for."""
        return self.instance.design_request

    @cached_property
    def device_grade(self) -> Grade:
        """The weakest of the machines' times."""
        return weakest(each.grade for each in self.paced)

    @property
    def overhead_grade(self) -> Grade:
        """Of what a hop costs beside distance and computing."""
        return Grade.CALIBRATED if self.wish.overhead_is_calibrated else Grade.ESTIMATED

    @property
    def network_grade(self) -> Grade:
        """Of distances: what is added to them per hop is a small part of them."""
        return self.distances.grade


def problem_of(
    inventory: Inventory,
    wish: Wish,
    served: Served,
    settings: Settings,
    rtt_file: Path | None = None,
) -> Problem:
    """Problem of these machines.

    Raises
    ------
    InputError
        If something of them is not known, or a session is longer than the model accepts.
    """
    distances = distances_of(inventory, wish.clients, rtt_file)
    profiles, models = settings.all_devices, settings.all_models
    each = tuple(
        paced(
            machine, served.model, profiles, models, wish.engine, served.read_share, inventory.path
        )
        for machine in inventory.machines
    )
    each = _named(tuple(map(_usable(wish, inventory), each, inventory.machines)), set(profiles))
    low, value, high = (_swarm(level, each, distances, served, wish) for level in range(3))
    instance = _instance(inventory, wish, served, each, distances, value)
    return Problem(inventory, wish, served, each, distances, instance, (low, value, high))


def _usable(wish: Wish, inventory: Inventory) -> Any:
    """Less memory by the reserve; times as calibrated."""

    def usable(one: Paced, machine: Any) -> Paced:
        known = machine.memory_gb is not None or machine.gpu
        reserve_gb = wish.reserve_gb if known else 0.0  # else it is what blocks and cache take
        left_gb = max(one.device.memory_gb - reserve_gb, LEAST_GB)
        changed: dict[str, Any] = {"memory_gb": left_gb}
        factor = wish.factors.get(machine.name) or wish.factors.get(machine.gpu)
        if factor is None:
            return one._replace(device=one.device.model_copy(update=changed))
        low, middle, high = factor
        times = ("tau_ms", "prefill_ms", "prefill_ms_per_token")
        changed |= {name: getattr(one.device, name) * middle for name in times}
        ends = Factors(low / middle, high / middle)
        because = f"{one.because}; × {middle:.3g} as calibrated"
        device = one.device.model_copy(update=changed)
        return Paced(device, ends, Factors(0.5, 1.6), Grade.CALIBRATED, because)

    return usable


def _named(each: tuple[Paced, ...], taken: set[str]) -> tuple[Paced, ...]:
    """Devices that differ have names that differ, also from those of the settings."""
    kept: dict[str, list[Device]] = {}
    renamed = []
    for one in each:
        alike = kept.setdefault(one.device.name, [])
        if one.device not in alike:
            alike.append(one.device)
        place = alike.index(one.device)
        name = f"{one.device.name}_planned" if one.device.name in taken else one.device.name
        name = name if place == 0 else f"{name}_{place + 1}"
        renamed.append(one._replace(device=one.device.model_copy(update={"name": name})))
    return tuple(renamed)


def _swarm(
    level: int, each: tuple[Paced, ...], distances: Distances, served: Served, wish: Wish
) -> Swarm:
    def at(one: Paced) -> Device:
        decode = (one.decode.low, 1.0, one.decode.high)[level]
        prefill = (one.prefill.low, 1.0, one.prefill.high)[level]
        changed = {
            "tau_ms": one.device.tau_ms * decode,
            "prefill_ms": one.device.prefill_ms * prefill,
            "prefill_ms_per_token": one.device.prefill_ms_per_token * prefill,
            "inference_rps": one.device.inference_rps or 1000.0 / one.device.tau_ms,
        }
        return one.device.model_copy(update=changed)

    servers = distances.server_node
    return Swarm.of(
        served.model,
        [at(one) for one in each],
        distances.between(level, distances.client_node, servers),
        _overheads(wish, served, level),
        server_rtt_ms=distances.between(level, servers, servers),
        mbit_per_s=_mbit_per_s(distances),
    )


def _mbit_per_s(distances: Distances) -> tuple[FloatArray, FloatArray] | None:
    """From clients to servers, and back, where the round trips' file says it."""
    speed = distances.network.mbit_per_s
    if speed is None:
        return None
    ends = np.ix_(distances.client_node, distances.server_node)
    return speed[ends], speed.T[ends]


def _overheads(wish: Wish, served: Served, level: int = VALUE) -> Overheads:
    hop_ms = wish.hop_overhead_ms[level]
    sent_ms = 2 * 8 * ACTIVATION_BYTES * served.model.d_model / 1000 / wish.mbit_per_s[level]
    return Overheads(
        token_ms=hop_ms,
        prompt_ms=hop_ms,
        prompt_ms_per_token=sent_ms,
        initial_ms=0.0,
        prompt_round_trips=PROMPT_ROUND_TRIPS[level],
    )


def scenario_content(wish: Wish, served: Served, distances: Distances) -> dict[str, Any]:
    """The plan's scenario, whose files lie beside it."""
    workload: Mapping[str, Any]
    if wish.trace is not None:
        workload = {"kind": "trace", "file": str(wish.trace.resolve())}
    else:
        alone = wish.rate_per_s is None
        workload = {
            "kind": "poisson",
            "rate_per_s": ALONE_RATE_PER_S if alone else wish.rate_per_s,
            "requests": ALONE_REQUESTS if alone else wish.requests,
            "input_tokens": wish.input_tokens,
            "output_tokens": wish.output_tokens,
        }
    names = distances.network.node_names
    return {
        "model": served.model.name,
        "network": {"kind": "rtt", "file": "rtt.csv"},
        "clients": [names[node] for node in distances.client_node],
        "fleet": {"file": "servers.csv"},
        "overheads": _overheads(wish, served).model_dump(),
        "workload": workload,
        "admission": "central_queue",
        "service": {"serial": {"belief": "where_room"}},
    }


def _instance(
    inventory: Inventory,
    wish: Wish,
    served: Served,
    each: tuple[Paced, ...],
    distances: Distances,
    swarm: Swarm,
) -> Instance:
    content = scenario_content(wish, served, distances)
    scenario: Scenario = scenario_of(content, {}, f"plan of {inventory.path}")
    streams = Streams(wish.seed, 0)
    load = scenario.workload.draw(
        swarm.servers, swarm.clients, None, served.model.max_sequence_tokens, streams
    )
    workload = load.workload
    if (window := served.model.window_tokens) is not None:
        held = np.minimum(workload.cache_tokens, window)
        workload = replace(workload, cache_tokens=held)
    if len(workload) > 4 * wish.requests:  # the beginning of a long trace is enough
        workload = workload.part(np.arange(len(workload)) < 4 * wish.requests)
    instance = Instance(
        scenario,
        distances.network,
        distances.server_node,
        distances.client_node,
        swarm,
        {one.device.name: one.device for one in each},
        streams.of("join_order").permutation(swarm.servers),
        workload,
        load.rate_per_s,
        load.rejected,
        (*inventory.remarks, *distances.network.remarks, *load.remarks),
        streams,
    )
    instance.check_lengths()
    return instance
