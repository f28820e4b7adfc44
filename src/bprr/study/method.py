"""Methods on one draw, sharing what they have in common."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bprr.ground.performance import longest_session_tokens
from bprr.ground.registry import CHARGING, PLACEMENT, SERVICE, Choice
from bprr.ground.swarm import Swarm
from bprr.living.growing import simulate_growing
from bprr.living.run import simulate_living
from bprr.placement.base import Placement, PlacementProblem, Trial
from bprr.routing.base import RoutingPolicy
from bprr.scenario.draw import Instance
from bprr.scenario.workload import Workload, poisson_arrivals_ms
from bprr.service.base import ServicePolicy
from bprr.settings.configuration import Method
from bprr.simulation.engine import Delays, simulate
from bprr.simulation.records import Records
from bprr.study.capacity import capacity_per_s, flows_of
from bprr.study.design_load import design_load_of, rate_to_plan_for
from bprr.study.lengths import mean_lengths
from bprr.study.life import Replanner, life_of, lives
from bprr.study.lost import after_loss
from bprr.study.regime import WARM_UP

__all__ = ["MethodRunner"]


TRIAL_SEED = 2025
LEAST_RATE_PER_S = 1e-6


class MethodRunner:
    """Runs methods on one instance.

    Parameters
    ----------
    instance : Instance
        The draw that every method meets.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._placements: dict[tuple[str, float], Placement] = {}
        self._loads: dict[float, int] = {}

    def placement(
        self, policy: Choice, allocation_ms: float, service: Choice | None = None
    ) -> Placement:
        """Placement by a policy, computed once for all that it is planned for.

        It is of the swarm as that is believed to be, without the server that the scenario loses.

        Parameters
        ----------
        policy : Choice
            The policy.
        allocation_ms : float
            Delay of every request, which its design load may count.
        service : Choice, optional
            How servers compute; as the scenario says if not given.

        Raises
        ------
        InfeasibleError
            If no placement exists.
        """
        instance = self._instance
        instance.check_lengths()
        counts = instance.scenario.design_load.count_allocation_delay
        counted_ms = allocation_ms if counts else 0.0
        service = service or instance.scenario.service
        chosen = [policy.content(), service.content()]
        key = (json.dumps(chosen, sort_keys=True), counted_ms)
        if key not in self._placements:
            swarm = instance.planned_swarm
            computing = self._service(service, allocation_ms, swarm)
            request = instance.design_request
            problem = PlacementProblem(
                swarm,
                lambda: self._design_load(counted_ms),
                request.cache_tokens,
                instance.join_order,
                instance.devices,
                request,
                lambda: rate_to_plan_for(instance),
                computing,
                lambda placement: flows_of(placement, request, computing),
                partial(self.trial, service, allocation_ms),
                instance.held_tokens,
            )
            policy_class = PLACEMENT[policy.name]
            placed = policy_class(policy.options).place(problem)
            if instance.scenario.lost is not None:
                again = partial(_placed, policy, allocation_ms, service)
                placed = after_loss(instance, placed, again)
            self._placements[key] = placed
        return self._placements[key]

    def _design_load(self, counted_ms: float) -> int:
        if counted_ms not in self._loads:
            self._loads[counted_ms] = design_load_of(self._instance, counted_ms)
        return self._loads[counted_ms]

    def trial(
        self,
        service: Choice,
        allocation_ms: float,
        placement: Placement,
        routing: Choice,
        sessions: int,
    ) -> Trial:
        """Times per token of Poisson sessions of the mean length, the first ones left out."""
        instance, request = self._instance, self._instance.design_request
        rng = np.random.default_rng(TRIAL_SEED)
        rate_per_s = max(rate_to_plan_for(instance), LEAST_RATE_PER_S)
        workload = Workload(
            poisson_arrivals_ms(rng, sessions, rate_per_s),
            rng.integers(placement.swarm.clients, size=sessions),
            *(np.array(each) for each in request[1:]),
        )
        records = simulate(
            placement,
            workload,
            routing,
            admission="central_queue",
            service=service,
            delays=Delays(instance.scenario.overheads.initial_ms, allocation_ms),
        )
        times_ms = records.completion_ms[int(WARM_UP * sessions) :] / request.output_tokens
        return Trial(float(times_ms.mean()), float(np.quantile(times_ms, 0.99)))

    def _service(
        self, service: Choice | str, allocation_ms: float, swarm: Swarm | None = None
    ) -> ServicePolicy:
        """How servers compute: the draw's, or those of a swarm that they are taken for."""
        delay_ms = self._instance.scenario.overheads.initial_ms + allocation_ms
        swarm = self._instance.swarm if swarm is None else swarm
        return SERVICE.build(service, swarm, delay_ms)  # type: ignore[no-any-return]

    def served(self, placement: Placement, workload: Workload | None = None) -> NDArray[np.bool_]:
        """Which requests some chain of a placement has room for; all, if it has for none."""
        tokens = (self._instance.workload if workload is None else workload).cache_tokens
        longest = longest_session_tokens(
            placement.first_block,
            placement.blocks,
            placement.cache_tokens,
            placement.swarm.model.blocks,
        )
        fits: NDArray[np.bool_] = tokens <= longest
        return fits if fits.any() else ~fits

    def run(
        self,
        method: Method,
        allocation_ms: float,
        progress: Callable[[int], object] | None = None,
        watch: Callable[[RoutingPolicy], RoutingPolicy] | None = None,
        workload: Workload | None = None,
    ) -> tuple[Records, Placement]:
        """Place and simulate one method, with the requests that it has room for (`served`).

        Routing goes by what is believed of the swarm; the placement is returned on it as it is.

        ``workload`` takes the place of the instance's own, for which it is placed all the same.

        Raises
        ------
        InfeasibleError
            If no placement exists, a request has no chain, or is longer than the model accepts.
        """
        scenario = self._instance.scenario
        placement = self.placement(method.placement, allocation_ms, method.service)
        workload = self._instance.workload if workload is None else workload
        served = self.served(placement, workload)
        workload = workload if served.all() else workload.part(served)
        policies: dict[str, Any] = {
            "admission": method.admission or scenario.admission,
            "charging": method.charging or scenario.charging,
            "service": method.service or scenario.service,
            "delays": Delays(scenario.overheads.initial_ms, allocation_ms),
            "engine": scenario.engine,
            "progress": progress,
            "watch": watch,
        }
        believed = scenario.believed
        if believed is not None and believed.lengths == "mean":
            mean = self._instance.design_request.output_tokens
            policies["watch"] = mean_lengths(policies["service"], mean, watch)
        as_placed, swarm = placement, self._instance.swarm
        if believed is not None and placement.swarm is self._instance.believed:
            as_placed = replace(placement, swarm=swarm)
            if believed.routing == "learned":
                placement = as_placed
            else:
                policies["serving"] = swarm
        if lives(self._instance, method):
            planner = Replanner(self._instance, method, allocation_ms, workload, MethodRunner)
            life = life_of(self._instance, method, planner)
            records = simulate_living(placement, workload, method.routing, life, **policies)
            return records, as_placed
        grows = CHARGING.of(policies["charging"]).grows
        run = simulate_growing if grows else simulate
        return run(placement, workload, method.routing, **policies), as_placed

    def capacities(
        self, method: Method, placement: Placement, allocation_ms: float
    ) -> dict[str, float]:
        """What a placement can carry where servers have queues, and if only memory were scarce."""
        service = self._service(method.service or self._instance.scenario.service, allocation_ms)
        if service.ends_are_known:
            return {}
        free = self._service("independent", allocation_ms)
        request = self._instance.design_request
        return {
            "capacity_per_s": capacity_per_s(placement, request, service),
            "memory_capacity_per_s": capacity_per_s(placement, request, free),
        }

    def bound_per_s(self, method: Method, placement: Placement, allocation_ms: float) -> float:
        """Most sessions per second on a placement, whatever the routing (`study.capacity`)."""
        service = self._service(method.service or self._instance.scenario.service, allocation_ms)
        return capacity_per_s(placement, self._instance.design_request, service)


def _placed(policy: Choice, allocation_ms: float, service: Choice, instance: Instance) -> Placement:
    return MethodRunner(instance).placement(policy, allocation_ms, service)
