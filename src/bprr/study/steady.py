"""Steady states of a method on one draw, and the most that it carries (docs/service.md).

A run is lengthened until its mean is known well enough, or until it shows that it has none. A mean
that a short run knows well proves little: near capacity a swarm serves thousands of sessions as if
idle until one burst leaves a backlog that never goes away again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.special import stdtrit

from bprr.ground.errors import InputError
from bprr.ground.swarm import FloatArray
from bprr.placement.base import Placement
from bprr.scenario.demand import PoissonDemand
from bprr.scenario.draw import Catalogue, Instance, draw
from bprr.scenario.workload import Workload
from bprr.settings.configuration import Method
from bprr.study.method import MethodRunner
from bprr.study.regime import WARM_UP, batch_means, regime_of

__all__ = ["Carried", "Steady", "SteadyStates", "batch_interval", "carried_per_s"]

BATCHES = 20  # of the requests after the warm-up, by arrival
CONFIDENCE = 0.95
FIRST_REQUESTS = 2_000
LEAST_SHARE = 1e-3  # of the bound: a method that does not carry that carries nothing

State = Literal["stable", "backlogged", "overloaded", "undecided"]


class Steady(NamedTuple):
    """What a method does under one rate of arrivals.

    ``undecided``: no run allowed was long enough to know the mean, or to show that there is none.
    """

    rate_per_s: float
    state: State
    requests: int  # of the longest run
    per_token_s: float
    half_width: float  # of its 95 % interval, relative
    ttft_s: float
    load: float  # rate over the bound of `study.capacity`


class Carried(NamedTuple):
    """Most sessions per second for which a steady state was seen, and least for which none was."""

    most_stable_per_s: float
    least_unstable_per_s: float
    bound_per_s: float  # for any routing on this placement
    tried: list[Steady]


def batch_interval(values: FloatArray) -> tuple[float, float]:
    """Mean after the warm-up, and the half-width of its 95 % interval relative to it.

    Batch means, with Student's t; widened by √((1 + ρ) / (1 − ρ)) if neighbouring batches are
    correlated by ρ > 0. Infinite with too few values.
    """
    kept = values[int(WARM_UP * values.size) :]
    if kept.size < 2 * BATCHES:
        return float(kept.mean()) if kept.size else np.nan, np.inf
    means = batch_means(kept, BATCHES)
    off = means - means.mean()
    spread = (off**2).sum()
    correlation = max((off[1:] * off[:-1]).sum() / spread, 0.0) if spread > 0 else 0.0
    error = np.sqrt(spread / (BATCHES - 1) / BATCHES * (1 + correlation) / (1 - correlation))
    half = stdtrit(BATCHES - 1, (1 + CONFIDENCE) / 2) * error  # Student's t
    return float(kept.mean()), float(half / kept.mean())


class SteadyStates:
    """A method on one draw, placed for the rate of its scenario, under other rates.

    Parameters
    ----------
    instance : Instance
        The draw, whose requests are a Poisson stream of equal ones.
    profiles : Catalogue
        What it was drawn from.
    seed, run : int
        Of the draw; all rates meet the same random numbers.
    method : Method
        What is placed and routed.
    allocation_ms : float
        Delay that every request pays (ms).
    precision : float
        Half-width of the 95 % interval at which a run is long enough, relative to the mean.
    least_requests, most_requests : int
        Of the run that shows a steady state; a shorter one may only show a backlog.

    Raises
    ------
    InfeasibleError
        If no placement exists.
    InputError
        If the requests are no Poisson stream.
    """

    def __init__(
        self,
        instance: Instance,
        profiles: Catalogue,
        seed: int,
        run: int,
        method: Method,
        allocation_ms: float,
        precision: float = 0.02,
        least_requests: int = 128_000,
        most_requests: int = 1_000_000,
    ) -> None:
        demand = instance.scenario.workload
        if not isinstance(demand, PoissonDemand):
            where = instance.scenario.where
            raise InputError(where, "workload.kind", "trace", "poisson: its rate is what varies")
        self._instance, self._profiles, self._stream = instance, profiles, (seed, run)
        self._method, self._allocation_ms = method, allocation_ms
        self._precision = precision
        self._least_requests, self._most_requests = least_requests, most_requests
        self._demand, self._runner = demand, MethodRunner(instance)
        self.placement: Placement = self._runner.placement(method.placement, allocation_ms)
        self.bound_per_s = self._runner.bound_per_s(method, self.placement, allocation_ms)

    def at(self, rate_per_s: float) -> Steady:
        """Steady state under a rate."""
        requests, grew = min(FIRST_REQUESTS, self._most_requests), False
        while True:
            found, grows = self._run(rate_per_s, requests)
            # What grows surely over a run and over one twice as long grows for good.
            lost = found.state == "overloaded" or (grows and grew)
            if lost or (found.state == "stable" and requests >= self._least_requests):
                return found
            if 2 * requests > self._most_requests:
                return found._replace(state="backlogged" if grows else "undecided")
            requests, grew = 2 * requests, grows

    def _run(self, rate_per_s: float, requests: int) -> tuple[Steady, bool]:
        """What a run of so many requests shows, and whether it has a backlog that grows."""
        workload = self._workload(rate_per_s, requests)
        records, _ = self._runner.run(self._method, self._allocation_ms, workload=workload)
        output = workload.output_tokens
        mean_ms, half = batch_interval(records.completion_ms / output)
        regime = regime_of(workload.arrival_ms, records.completion_ms, output, self.bound_per_s)
        load = rate_per_s / self.bound_per_s
        state: State = regime.state
        if load < 1 <= regime.load:  # by chance: a short stream is denser than its rate
            state = regime._replace(load=load).state
        grows = state == "backlogged"
        if state == "stable" and half > self._precision:
            state = "undecided"
        ttft_s = float(records.ttft_ms[int(WARM_UP * requests) :].mean()) / 1000
        steady = Steady(rate_per_s, state, requests, mean_ms / 1000, half, ttft_s, load)
        return steady, grows

    def _workload(self, rate_per_s: float, requests: int) -> Workload:
        changed: dict[str, Any] = {"requests": requests, "duration_s": None, "per_servers": None}
        demand = self._demand.model_copy(update={**changed, "rate_per_s": rate_per_s})
        scenario = self._instance.scenario.model_copy(update={"workload": demand})
        return draw(scenario, self._profiles, *self._stream).workload


def carried_per_s(
    states: SteadyStates, within: float = 0.02, tell: Callable[[Steady], object] | None = None
) -> Carried:
    """Find the most that a method carries, by bisection below the bound on any routing.

    Parameters
    ----------
    within : float
        Distance of the two rates at which to stop, relative to the upper one.
    tell : callable, optional
        Called with every rate that was tried.
    """
    low, high, tried = 0.0, states.bound_per_s, []
    while high - low > within * high and high > LEAST_SHARE * states.bound_per_s:
        found = states.at((low + high) / 2)
        tried.append(found)
        if tell is not None:
            tell(found)
        low, high = (found.rate_per_s, high) if found.state == "stable" else (low, found.rate_per_s)
    return Carried(low, high, states.bound_per_s, tried)
