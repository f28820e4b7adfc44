"""Reference instances of the offline study: BLOOM-176B on MIG slices and A100s."""

from __future__ import annotations

import numpy as np

from bprr.offline.instance import OfflineInstance
from bprr.swarm import FloatArray, LanguageModel, Swarm

__all__ = ["BLOOM", "SESSION_TOKENS", "cluster_instance", "uniform_instance"]

# 2 466 437 120 parameters per block in NF4: 4.25 bit each, 1 % on top (paper, section 9).
BLOOM = LanguageModel(
    "BLOOM-176B", blocks=70, d_model=14336, block_gb=2_466_437_120 * 4.25 / 8 * 1.01 / 1e9
)
SESSION_TOKENS = 148
MIG_TAU_MS, A100_TAU_MS = 16.2488, 3.2197
MIG_GB, A100_GB = 9.1, 86.13
NEAR_MS, FAR_MS = 55.0, 150.0


def mixed_swarm(mig: int, a100: int, token_rtt_ms: FloatArray) -> Swarm:
    """MIG slices first, then A100s, with these round trips (ms), shape (C, S)."""
    kinds = np.repeat([0, 1], [mig, a100])
    return Swarm(
        model=BLOOM,
        memory_gb=np.array([MIG_GB, A100_GB])[kinds],
        tau_ms=np.array([MIG_TAU_MS, A100_TAU_MS])[kinds],
        prefill_ms=np.array([206.3547, 32.99])[kinds],
        prefill_ms_per_token=np.array([0.1041, 0.0743])[kinds],
        token_rtt_ms=token_rtt_ms,
        prompt_rtt_ms=token_rtt_ms,
        device=tuple(np.array(["mig", "a100"])[kinds].tolist()),
    )


def cluster_instance(requests: tuple[int, ...], mig: int = 7, a100: int = 2) -> OfflineInstance:
    """Servers in two classes.

    The first client is 55 ms from the MIG slices and 150 ms from the A100s, a second the other way
    round, a third 150 ms from all.
    """
    per_client = [(NEAR_MS, FAR_MS), (FAR_MS, NEAR_MS), (FAR_MS, FAR_MS)][: len(requests)]
    rtt = np.array([np.repeat(pair, [mig, a100]) for pair in per_client])
    return OfflineInstance(mixed_swarm(mig, a100, rtt), requests, SESSION_TOKENS)


def uniform_instance(
    requests: tuple[int, ...], rng: np.random.Generator, mig: int = 7, a100: int = 2
) -> OfflineInstance:
    """Servers that all differ: round trips U(0, 5) + 25 ms to MIG, U(100, 200) + 25 ms to A100."""
    clients = len(requests)
    rtt = np.hstack([rng.uniform(0, 5, (clients, mig)), rng.uniform(100, 200, (clients, a100))])
    return OfflineInstance(mixed_swarm(mig, a100, rtt + 25), requests, SESSION_TOKENS)
