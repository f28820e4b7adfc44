"""Swarms of the experiments: BLOOM-176B on MIG slices and A100s (docs/constants.md#devices)."""

from __future__ import annotations

import numpy as np

from bprr.ground.swarm import FloatArray, Overheads, Swarm
from bprr.offline.instance import OfflineInstance
from bprr.scenario.draw import Catalogue

__all__ = [
    "SESSION_TOKENS",
    "cluster_instance",
    "equal_memory_instance",
    "mixed_swarm",
    "uniform_instance",
]

SESSION_TOKENS = 148  # 20 input and 128 output tokens
NEAR_MS, FAR_MS = 55.0, 150.0


def mixed_swarm(catalogue: Catalogue, mig: int, a100: int, token_rtt_ms: FloatArray) -> Swarm:
    """MIG slices first, then A100s, with these round trips (ms), shape (C, S)."""
    devices = [catalogue.devices[name] for name in ["mig"] * mig + ["a100"] * a100]
    nothing = Overheads(token_ms=0.0, prompt_ms=0.0, initial_ms=0.0)
    return Swarm.of(catalogue.models["bloom_176b"], devices, token_rtt_ms, nothing)


def cluster_instance(
    catalogue: Catalogue, requests: tuple[int, ...], mig: int = 7, a100: int = 2
) -> OfflineInstance:
    """Servers in two classes.

    The first client is 55 ms from the MIG slices and 150 ms from the A100s, a second the other way
    round, a third 150 ms from all.
    """
    per_client = [(NEAR_MS, FAR_MS), (FAR_MS, NEAR_MS), (FAR_MS, FAR_MS)][: len(requests)]
    rtt = np.array([np.repeat(pair, [mig, a100]) for pair in per_client])
    return OfflineInstance(mixed_swarm(catalogue, mig, a100, rtt), requests, SESSION_TOKENS)


def uniform_instance(
    catalogue: Catalogue,
    requests: tuple[int, ...],
    rng: np.random.Generator,
    mig: int = 7,
    a100: int = 2,
) -> OfflineInstance:
    """Servers that all differ: round trips U(0, 5) + 25 ms to MIG, U(100, 200) + 25 ms to A100."""
    clients = len(requests)
    near = rng.uniform(0, 5, (clients, mig))
    far = rng.uniform(100, 200, (clients, a100))
    rtt = np.hstack([near, far]) + 25
    return OfflineInstance(mixed_swarm(catalogue, mig, a100, rtt), requests, SESSION_TOKENS)


def equal_memory_instance(
    catalogue: Catalogue, load: int, rng: np.random.Generator, servers: int, memory_gb: float
) -> OfflineInstance:
    """GSA's special case (docs/baselines.md#gsa): one client, room for equally many blocks each.

    Round trips are U(50, 200) ms; τ is U(3, 17) ms, the range from an A100 to a MIG slice.
    """
    swarm = Swarm(
        model=catalogue.models["bloom_176b"],
        memory_gb=np.full(servers, memory_gb),
        tau_ms=rng.uniform(3, 17, servers),
        prefill_ms=np.zeros(servers),
        prefill_ms_per_token=np.zeros(servers),
        token_rtt_ms=(rtt := rng.uniform(50, 200, (1, servers))),
        prompt_rtt_ms=rtt,
    )
    return OfflineInstance(swarm, (load,), SESSION_TOKENS)
