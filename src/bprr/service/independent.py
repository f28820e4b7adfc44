"""The paper's servers: any number of sessions side by side, each at full speed."""

from __future__ import annotations

from typing import NamedTuple

from bprr.ground.compiled import compiled, state_of
from bprr.ground.legs import Neighbours
from bprr.ground.performance import chain_times, neighbour_chain_times
from bprr.ground.schema import Strict
from bprr.ground.swarm import FloatArray, Swarm
from bprr.service.base import ServicePolicy

__all__ = ["Independent"]


@compiled
def _chain_time_alone(times, request, servers, processed):  # type: ignore[no-untyped-def]
    first_ms, remaining_ms = chain_times(
        times.token_rtt_ms[request.client],
        times.prompt_rtt_ms[request.client],
        times.prompt_rtt_ms_per_token[request.client],
        times.tau_ms,
        times.prefill_ms,
        times.prefill_ms_per_token,
        servers,
        processed,
        request.input_tokens,
        request.output_tokens,
    )
    first_token_ms = times.delay_ms + first_ms
    return first_token_ms, first_token_ms + remaining_ms


@state_of(_chain_time_alone)
class ChainTimes(NamedTuple):
    """State of the kernel: the swarm's times, and the delay of every first token."""

    delay_ms: float
    token_rtt_ms: FloatArray
    prompt_rtt_ms: FloatArray
    prompt_rtt_ms_per_token: FloatArray
    tau_ms: FloatArray
    prefill_ms: FloatArray
    prefill_ms_per_token: FloatArray


@compiled
def _neighbour_chain_time_alone(times, request, servers, processed):  # type: ignore[no-untyped-def]
    first_ms, remaining_ms = neighbour_chain_times(
        times.legs,
        request.client,
        times.tau_ms,
        times.prefill_ms,
        times.prefill_ms_per_token,
        servers,
        processed,
        request.input_tokens,
        request.output_tokens,
    )
    first_token_ms = times.delay_ms + first_ms
    return first_token_ms, first_token_ms + remaining_ms


@state_of(_neighbour_chain_time_alone)
class NeighbourChainTimes(NamedTuple):
    """State of the kernel where servers send on to each other."""

    delay_ms: float
    legs: Neighbours
    tau_ms: FloatArray
    prefill_ms: FloatArray
    prefill_ms_per_token: FloatArray


class Independent(ServicePolicy, name="independent"):
    """A session takes its chain's time, whatever else the servers do."""

    def __init__(self, swarm: Swarm, delay_ms: float, options: Strict | None = None) -> None:
        super().__init__(swarm, delay_ms, options)
        computing = swarm.tau_ms, swarm.prefill_ms, swarm.prefill_ms_per_token
        if swarm.neighbours is not None:
            self.state = NeighbourChainTimes(float(delay_ms), swarm.neighbours, *computing)
            return
        self.state = ChainTimes(
            float(delay_ms),
            swarm.token_rtt_ms,
            swarm.prompt_rtt_ms,
            swarm.prompt_rtt_ms_per_token,
            *computing,
        )
