"""A rivals run: methods side by side on genuine PETALS, each with servers and queue of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bprr.ground.performance import longest_session_tokens
from bprr.ground.registry import PLACEMENT, SERVICE, Choice
from bprr.ground.request import Request
from bprr.ground.swarm import IntArray, Swarm
from bprr.placement.base import Placement, PlacementProblem
from bprr.placement.composed import ChainTable, chain_table, chains_of
from bprr.placement.gca import greedy_chains
from bprr.scenario.draw import Catalogue
from bprr.service.base import ServicePolicy
from bprr.simulation import Records, simulate
from bprr.study.capacity import flows_of
from bprr.testbed.experiment import refuse_where_it_cannot_run
from bprr.testbed.loaded import (
    AS_SHIPPED,
    LoadedSwarm,
    Tables,
    hosts_of_load,
    load_line,
)
from bprr.testbed.loaded_prediction import LoadProfile, fit_load
from bprr.testbed.loaded_records import Business, LoadedManifest, LoadedRun
from bprr.testbed.machine import business_since, cpu_times, machine_at_start, machine_of
from bprr.testbed.records import Machine
from bprr.testbed.rivals_records import Placed, RivalsManifest, RivalsRun
from bprr.testbed.rivals_settings import Rival, RivalsSettings, case_name
from bprr.testbed.swarm_process import SwarmError, SwarmProcess

__all__ = ["DRAWS", "Contest", "run_rivals"]

SLACK_S = 60.0
SETTLE_S = 2.0  # for servers to free what ended sessions held
DRAWS = 50  # of what PETALS knows and nobody has recorded
LONGER_PING_MS = 10.0  # about as much as pings of equal ways differ by in testbed_planned


@dataclass(frozen=True)
class Contest:
    """A fleet with the profile of its servers: what every method is given there."""

    settings: RivalsSettings
    catalogue: Catalogue
    fleet: str
    profile: LoadProfile

    @property
    def swarm(self) -> Swarm:
        """The servers, as fast as the profile says, with their memory."""
        own, base = self.settings, self.settings.base(self.fleet)
        model = self.catalogue.models[own.model].model_copy(update={"blocks": own.blocks})
        devices = [self.catalogue.devices[server.device] for server in base.servers]
        between = base.rtt_between_hosts_ms(1.0)[1 : 1 + len(devices), 1 : 1 + len(devices)]
        return replace(
            self.profile.swarm(base, 1.0),
            model=model,
            memory_gb=own.memory_gb(self.fleet),
            raw_rtt_ms=np.array(self.profile.rtt_ms),
            server_rtt_ms=between,
            inference_rps=np.array([1000.0 / device.tau_ms for device in devices]),
            forward_rps=np.array([device.forward_rps for device in devices]),
            network_rps=np.array([device.network_rps for device in devices]),
        )

    @property
    def request(self) -> Request:
        """The session that all of them are."""
        own = self.settings
        return Request(0, own.input_tokens, own.output_tokens, own.session_tokens)

    def service(self, rival: Rival) -> Choice:
        """How its servers compute."""
        return rival.arm.service(self.profile.gap_ms)

    def computing(self, rival: Rival) -> ServicePolicy:
        """The same, as a placement knows it."""
        return SERVICE.build(self.service(rival), self.swarm, 0.0)  # type: ignore[no-any-return]

    def placement(self, rival: Rival, load: float) -> Placement:
        """Blocks of a method that knows the rate."""
        swarm, request, computing = self.swarm, self.request, self.computing(rival)
        problem = PlacementProblem(
            swarm,
            lambda: 1,
            request.cache_tokens,
            np.arange(swarm.servers),
            self.catalogue.devices,
            request,
            lambda: self.settings.rate_per_s(self.fleet, load),
            computing,
            lambda placement: flows_of(placement, request, computing),
        )
        placed = PLACEMENT[rival.placement.name](rival.placement.options).place(problem)
        if rival.pool_tokens is None:
            return placed  # type: ignore[no-any-return]
        return replace(placed, cache_tokens=placed.blocks * rival.pool_tokens)  # type: ignore[no-any-return]

    def chains(self, rival: Rival, placement: Placement) -> ChainTable | None:
        """Chains that a coordinator gives; none where PETALS routes."""
        if rival.routing.name == "jffc":
            found = chains_of(placement)
            return found or greedy_chains(placement, self.request, self.computing(rival))
        return chains_of(placement)

    def hosted(self, rival: Rival, placed: Placed) -> Placement:
        """What the servers of a method came to host, with the chains of its coordinator."""
        first, blocks, cache = map(
            np.array, (placed.first_block, placed.blocks, placed.cache_tokens)
        )
        placement = Placement(self.swarm, first, blocks, cache)
        if placed.chains is None or placed.places is None:
            return placement
        chains = [tuple(np.array(chain, dtype=np.int64).T) for chain in placed.chains]
        table = chain_table(chains, placed.places, self.request, self.computing(rival))
        return replace(placement, details={"chains": table})

    def predictions(self, rival: Rival, placement: Placement, load: float) -> list[Records]:
        """Every session of a case, simulated; where PETALS routes, once per draw of what it knows.

        Nothing tells when servers announce and clients refresh, nor by how much a ping is longer
        than its round trip, which is what equal servers differ by.
        """
        routing, workload = rival.routing, self.settings.workload(self.fleet, load)
        admission = rival.admission or "central_queue"
        service, swarm = self.service(rival), placement.swarm
        if routing.name != "petals_shipped":
            return [simulate(placement, workload, routing, admission=admission, service=service)]
        found, every_ms = [], 1000.0 * self.settings.update_period_s
        for seed in range(DRAWS):
            rng = np.random.default_rng(seed)
            known = {"announce_ms": every_ms, "refresh_ms": every_ms, "pings": swarm.servers}
            options = routing.options.model_copy(update={**known, "seed": seed})
            pinged = {
                name: getattr(swarm, name)
                + rng.uniform(0.0, LONGER_PING_MS, getattr(swarm, name).shape)
                for name in ("raw_rtt_ms", "server_rtt_ms")
            }
            began_ms = rng.uniform(0.0, every_ms)  # since a refresh
            found.append(
                simulate(
                    replace(placement, swarm=replace(swarm, **pinged)),
                    replace(workload, arrival_ms=workload.arrival_ms + began_ms),
                    Choice(routing.name, options),
                    admission=admission,
                    service=service,
                )
            )
        return found


def rule_of(
    rival: Rival, table: ChainTable, placement: Placement, tokens: int, peers: Mapping[int, str]
) -> dict[str, Any]:
    """A coordinator's rule, in the terms of PETALS, for sessions of so many tokens."""
    chains = []
    slots = placement.cache_tokens[table.server] // (table.blocks * tokens)
    for first, end in zip(table.first[:-1], table.first[1:], strict=True):
        ends = np.cumsum(table.blocks[first:end]).tolist()
        servers = table.server[first:end].tolist()
        chains.append(
            [[peers[s], a, b] for s, a, b in zip(servers, [0, *ends[:-1]], ends, strict=True)]
        )
    options = {} if rival.routing.options is None else rival.routing.options.model_dump()
    return {
        "routing": rival.routing.name,
        "chains": chains,
        "places": [min(float(each), 1e6) for each in table.places],
        "time_ms": table.time_ms[0].tolist(),
        # Of caches that grow nobody knows how many sessions they hold.
        "slots": np.minimum.reduceat(slots, table.first[:-1]).tolist()
        if rival.page_tokens is None
        else None,
        **options,
    }


def as_came_up(swarm: Swarm, ranges: Mapping[int, list[int]], per_block: IntArray) -> Placement:
    """Placement of the blocks that servers serve (from 0, half-open), with their pools."""
    first, count = np.zeros((2, swarm.servers), dtype=np.int64)
    for server, (start, end) in ranges.items():
        first[server], count[server] = start + 1, end - start
    return Placement(swarm, first, count, count * per_block)


def run_rivals(
    settings: RivalsSettings,
    catalogue: Catalogue,
    log: Path | None = None,
    say: Callable[[str], object] = print,
) -> RivalsRun:
    """Profile every fleet, then serve every load by every method.

    Parameters
    ----------
    settings, catalogue
        The run, and the models that it names.
    log : Path, optional
        Folder that keeps the logs of all processes.
    say : callable
        Told what goes on, a line at a time.

    Raises
    ------
    CannotRun
        If this machine lacks something.
    SwarmError
        If a swarm cannot be started.
    """
    refuse_where_it_cannot_run()
    machine = machine_at_start()
    catalogue = settings.catalogue(catalogue)
    tables: list[Tables] = []
    placed: dict[str, Placed] = {}
    business: dict[str, Business] = {}
    not_measured: dict[str, str] = {}
    profiles: dict[str, LoadProfile] = {}
    packages: dict[str, str] = {}
    for fleet in settings.fleets:
        base = settings.base(fleet)
        with SwarmProcess(hosts_of_load(base, 1.0), log) as process:
            swarm = LoadedSwarm(base, base.swarm(catalogue), process)
            packages = dict(process.packages)
            profiles[fleet] = _profile(swarm, machine, packages)
            contest = Contest(settings, catalogue, fleet, profiles[fleet])
            say(f"{fleet}: {profiles[fleet].hop_ms:.1f} ms per hop and token")
            for name, rival in settings.arms.items():
                up: Placement | None = None
                for load in settings.loads:
                    key = f"{case_name(fleet, load)}/{name}"
                    plan = contest.placement(rival, load)
                    if up is None or not _same(up, plan):
                        if up is not None:
                            swarm.stop()
                        up, came_up = plan, _start(swarm, rival, plan, settings.update_period_s)
                    try:
                        served, seen = _serve(contest, swarm, name, load, plan, came_up)
                    except SwarmError as error:
                        not_measured[key] = str(error)
                        say(f"{key}: {error}")
                        swarm.stop()
                        up = None  # what the clients still do would be in the next case
                        continue
                    placed[key], business[key] = seen
                    tables.append(served)
                    say(load_line(key, served["sessions"], business[key]))
                    if (served["sessions"]["status"] != "ok").any():
                        swarm.stop()
                        up = None  # some may still be running
                if up is not None:
                    swarm.stop()
    manifest = RivalsManifest(
        settings=settings,
        profiles=profiles,
        placed=placed,
        machine=machine_of(machine, packages),
        business=business,
        not_measured=not_measured,
    )
    joined = {
        name: pd.concat([each[name] for each in tables], ignore_index=True)
        for name in ("sessions", "hops")
    }
    return RivalsRun(manifest=manifest, **joined)


def _profile(
    swarm: LoadedSwarm, machine: Mapping[str, Any], packages: dict[str, str]
) -> LoadProfile:
    """Profile of a fleet, from sessions alone and a few at once on chains that nobody scores."""
    swarm.start(AS_SHIPPED, whole_model=True)
    found = swarm.calibrate()
    rtt_ms = swarm.round_trips_ms().tolist()
    swarm.stop()
    joined = {
        name: pd.concat([each[name] for each in found], ignore_index=True) for name in found[0]
    }
    own = Machine(**machine, packages=packages, load_average_at_end=0.0, minutes=0.0)
    manifest = LoadedManifest(settings=swarm.settings, rtt_ms=rtt_ms, machine=own, business={})
    return fit_load(LoadedRun(manifest=manifest, **joined))


def _same(one: Placement, other: Placement) -> bool:
    parts = ("first_block", "blocks", "cache_tokens")
    return all(np.array_equal(getattr(one, part), getattr(other, part)) for part in parts)


def _start(swarm: LoadedSwarm, rival: Rival, plan: Placement, period_s: float) -> Placement:
    """Start a method's servers; PETALS chooses blocks itself where it routes."""
    own, specs = rival.routing.name == "petals_shipped", []
    per_block = plan.cache_tokens // np.maximum(plan.blocks, 1)
    for server, blocks in enumerate(plan.blocks.tolist()):
        if blocks == 0:
            continue
        first = int(plan.first_block[server]) - 1
        specs.append(
            {
                "server": server,
                **({"blocks": blocks} if own else {"range": [first, first + blocks]}),
                "cache_tokens_per_block": int(per_block[server]),
                "device": swarm.device(server),
                "order": rival.order,
                "prompt": rival.prompt,
                "prefetch_batches": rival.prefetch // 2,
                "page_tokens": rival.page_tokens,
            }
        )
    ranges = swarm.start_servers(specs)
    if own:
        time.sleep(2 * period_s)  # for the client to learn of all servers
    return as_came_up(plan.swarm, ranges, per_block)


def _chains(table: ChainTable | None) -> dict[str, Any]:
    if table is None:
        return {}
    entries = list(zip(table.server.tolist(), table.blocks.tolist(), strict=True))
    chains = [entries[a:b] for a, b in zip(table.first[:-1], table.first[1:], strict=True)]
    return {"chains": chains, "places": [min(float(each), 1e6) for each in table.places]}


def _serve(
    contest: Contest, swarm: LoadedSwarm, name: str, load: float, plan: Placement, up: Placement
) -> tuple[Tables, tuple[Placed, Business]]:
    settings, rival = contest.settings, contest.settings.arms[name]
    workload = settings.workload(contest.fleet, load)
    table = contest.chains(rival, plan)
    rule = (
        None if table is None else rule_of(rival, table, plan, settings.session_tokens, swarm.peers)
    )
    rate_per_s = settings.rate_per_s(contest.fleet, 1.0)
    timeout_s = workload.arrival_ms[-1] / 1000.0 + 4 * len(workload) / rate_per_s + SLACK_S
    before, start_s = cpu_times(), time.monotonic()
    key = (case_name(contest.fleet, load), name)
    served = swarm.serve(key, rival.arm, workload, [None] * len(workload), timeout_s, rule=rule)
    business = business_since(before, time.monotonic() - start_s)
    time.sleep(SETTLE_S)
    servers = [
        [swarm.peers[s], int(up.first_block[s]) - 1] for s in np.flatnonzero(up.blocks).tolist()
    ]
    left = swarm.process.ask("client", 30.0, client=0, do="cache_left", servers=servers)
    held = int(up.cache_tokens.sum()) - sum(left)
    placed = Placed(
        first_block=up.first_block.tolist(),
        blocks=up.blocks.tolist(),
        cache_tokens=up.cache_tokens.tolist(),
        longest_session_tokens=int(
            longest_session_tokens(up.first_block, up.blocks, up.cache_tokens, settings.blocks)
        ),
        held_at_end=held,
        **_chains(table),
    )
    return served, (placed, business)
