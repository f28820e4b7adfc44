"""The simulator: requests are admitted, served and recorded, by one of two engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simpy import Environment

from bprr.ground.caches import Caches
from bprr.ground.errors import InputError
from bprr.ground.registry import ADMISSION, CHARGING, ROUTING, SERVICE, Choice
from bprr.ground.swarm import Swarm
from bprr.placement.base import Placement
from bprr.routing.base import RoutingContext, RoutingPolicy
from bprr.scenario.workload import Workload
from bprr.simulation.admission.base import AdmissionContext, AdmissionPolicy
from bprr.simulation.loop import python_policies, run_compiled
from bprr.simulation.processes import run_processes
from bprr.simulation.records import Records

__all__ = ["Delays", "admission_of", "simulate"]


@dataclass(frozen=True)
class Delays:
    """Delays that every request pays before its first token (ms).

    Parameters
    ----------
    initial_ms : float
        Initial delay of the network setting (docs/constants.md).
    allocation_ms : float
        Hand-set allocation delay of the method (docs/discrepancies.md#d1); 0 without.
    """

    initial_ms: float = 0.0
    allocation_ms: float = 0.0

    @property
    def total_ms(self) -> float:
        """Both delays."""
        return self.allocation_ms + self.initial_ms


NO_DELAYS = Delays()


def simulate(
    placement: Placement,
    workload: Workload,
    routing: Choice | str,
    *,
    admission: Choice | str = "reserve",
    charging: Choice | str = "whole",
    service: Choice | str = "independent",
    delays: Delays = NO_DELAYS,
    serving: Swarm | None = None,
    engine: str = "auto",
    watch: Callable[[RoutingPolicy], RoutingPolicy] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Records:
    """Serve a workload on a placement.

    Parameters
    ----------
    placement : Placement
        Blocks and cache of every server.
    workload : Workload
        Requests by time of arrival.
    routing, admission, charging, service : Choice or str
        Policies; a name alone stands for the policy with its default options.
    delays : Delays
        Delays that every request pays.
    serving : Swarm, optional
        The servers as they are, if the placement's swarm is what routing believes of them.
    engine : str
        ``simpy``, the reference; ``compiled``, with the same results to the bit; or ``auto``,
        which is ``compiled`` if all policies bring kernels.
    watch : callable, optional
        Puts something around the routing policy, to see what it is asked.
    progress : callable, optional
        Called with the number of requests that have completed since the last call.

    Returns
    -------
    Records
        One record per request, in order of arrival.

    Raises
    ------
    InfeasibleError
        If a request has no chain.
    InputError
        If the admission has to know how long sessions take, and the service does not; if
        ``compiled`` is asked for, and a policy is written in Python alone.
    """
    policy = admission_of(
        placement, routing, admission, charging, service, delays, watch, serving=serving
    )
    in_python = python_policies(policy)
    if engine == "compiled" and in_python:
        raise InputError(
            "simulation", "engine", engine, f"simpy or auto for {', '.join(in_python)}"
        )
    if engine == "simpy" or in_python:
        return run_processes(policy, workload, progress)
    return run_compiled(policy, workload, progress)


def admission_of(
    placement: Placement,
    routing: Choice | str,
    admission: Choice | str,
    charging: Choice | str,
    service: Choice | str,
    delays: Delays = NO_DELAYS,
    watch: Callable[[RoutingPolicy], RoutingPolicy] | None = None,
    context_class: type[AdmissionContext] = AdmissionContext,
    serving: Swarm | None = None,
    growing: bool = False,
) -> AdmissionPolicy:
    """Admission policy of a run that is about to begin, with all others in its context.

    Raises
    ------
    InputError
        If the admission has to know how long sessions take, and the service does not; if caches
        are to grow in a simulation in which they cannot.
    """
    if CHARGING.of(charging).grows and not growing:
        fixed = ", ".join(name for name, each in CHARGING.items() if not each.grows)
        allowed = f"{fixed}; caches grow in `simulate_growing`, not where servers come and go"
        raise InputError("simulation", "charging", CHARGING.of(charging).name, allowed)
    env, caches = Environment(), Caches(placement.cache_tokens)
    served = believed = SERVICE.build(service, serving or placement.swarm, delays.total_ms)
    if serving is not None:
        believed = SERVICE.build(service, placement.swarm, delays.total_ms)
    router = ROUTING.build(routing, RoutingContext(placement, caches, believed))
    router = watch(router) if watch else router
    if not ADMISSION.of(admission).ends_holds:
        router = served.routing(router, caches)
    charged = CHARGING.build(charging, env)
    context = context_class(env, placement, router, caches, charged, served)
    policy = ADMISSION.build(admission, context)
    if policy.needs_known_ends and not served.ends_are_known:
        usable = [name for name, each in ADMISSION.items() if not each.needs_known_ends]
        allowed = f"{', '.join(usable)} with service {served.name}: its sessions end when they end"
        raise InputError("simulation", "admission", policy.name, allowed)
    if policy.needs_known_ends and router.holds_back:
        usable = [name for name, each in ADMISSION.items() if not each.needs_known_ends]
        allowed = (
            f"{', '.join(usable)} with routing {ROUTING.of(routing).name}: it holds requests back"
        )
        raise InputError("simulation", "admission", policy.name, allowed)
    return policy  # type: ignore[no-any-return]
