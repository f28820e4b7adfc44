"""Random offline instances small enough to enumerate."""

from __future__ import annotations

import numpy as np

from bprr.ground.swarm import LanguageModel, Swarm
from bprr.offline.instance import OfflineInstance


def small_swarm(
    memory: list[float],
    tau: list[float],
    rtt: list[list[float]],
    blocks: int,
    block_gb: float,
    cache_gb: float,
) -> Swarm:
    """Swarm whose sessions are one token long and take ``cache_gb`` in each block."""
    model = LanguageModel(
        name="small",
        blocks=blocks,
        d_model=1,
        block_gb=block_gb,
        cache_bytes_per_value=cache_gb * 1e9 / 2,
    )
    zeros = np.zeros(len(memory))
    return Swarm(
        model,
        memory_gb=np.array(memory),
        tau_ms=np.array(tau),
        prefill_ms=zeros,
        prefill_ms_per_token=zeros,
        token_rtt_ms=np.array(rtt),
        prompt_rtt_ms=np.array(rtt),
    )


def random_instance(
    rng: np.random.Generator, most_blocks: int = 7, most_servers: int = 4, most_requests: int = 4
) -> OfflineInstance:
    """A few servers, often with equal ones among them; scarce memory; one or two clients."""
    blocks = int(rng.integers(3, most_blocks + 1))
    kinds = int(rng.integers(1, 4))
    servers = int(rng.integers(2, 1 + (most_servers if blocks < 6 else min(most_servers, 3))))
    kind = rng.integers(0, kinds, servers)
    clients = int(rng.integers(1, 3))
    requests = rng.integers(1, 1 + most_requests // clients, clients)
    cache_gb = float(rng.choice([0.05, 0.13, 0.29, 0.41]))
    fair_share_gb = 1.6 * blocks / servers * (1 + cache_gb * requests.sum() / 2)
    memory = rng.uniform(0.7, 1.8, kinds) * fair_share_gb
    tau = rng.uniform(0.5, 3.0, kinds)
    rtt = rng.uniform(0.0, 6.0, (clients, kinds))
    swarm = small_swarm(
        memory[kind].tolist(),
        tau[kind].tolist(),
        rtt[:, kind].tolist(),
        blocks,
        1.0,
        cache_gb,
    )
    return OfflineInstance(swarm, tuple(requests.tolist()), session_tokens=1)
