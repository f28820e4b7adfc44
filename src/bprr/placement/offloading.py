"""Baseline without distribution: parameter offloading on one device.

The weights lie in host memory or on an SSD and are streamed to the device block by block for
every token (and once for a prompt), so each block costs its transfer besides its computation. The
device's memory beyond a buffer of a few blocks holds attention caches. This is the best case: the
client sits at the device, transfers run at the nominal bandwidth, and requests that run at once
share one stream of weights. Only the work that grows with a prompt's length comes on top.
"""

from __future__ import annotations

import numpy as np

from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.swarm import LanguageModel, Swarm, floor_ratio
from bprr.placement.base import OffloadingHost, Placement, PlacementProblem, placement_policies

__all__ = ["offloading", "offloading_pcie", "offloading_ssd"]

MS_PER_S = 1000.0


def offloading(
    model: LanguageModel, host: OffloadingHost, bandwidth_gb_per_s: float, clients: int = 1
) -> Placement:
    """Whole model on one device, weights streamed for every token.

    Parameters
    ----------
    host : OffloadingHost
        The device.
    bandwidth_gb_per_s : float
        Bandwidth of the stream of weights (GB/s).
    clients : int
        Clients at the device.

    Returns
    -------
    Placement
        On a swarm of its own with one server, at no distance from the clients.

    Raises
    ------
    InfeasibleError
        If the buffer leaves no memory for a cache.
    """
    device = host.device
    transfer_ms = model.block_gb / bandwidth_gb_per_s * MS_PER_S
    cache_gb = device.memory_gb - host.buffered_blocks * model.block_gb
    if cache_gb <= 0:
        raise InfeasibleError(
            "GPU memory", f"{-cache_gb:.2f} GB", f"offloading on {device.name}: no room for a cache"
        )
    # Transfer and computation of consecutive blocks overlap: the slower of the two sets the pace.
    swarm = Swarm(
        model,
        memory_gb=np.array([device.memory_gb]),
        tau_ms=np.array([max(device.tau_ms, transfer_ms)]),
        prefill_ms=np.array([max(device.prefill_ms, transfer_ms)]),
        prefill_ms_per_token=np.array([device.prefill_ms_per_token]),
        token_rtt_ms=np.zeros((clients, 1)),
        prompt_rtt_ms=np.zeros((clients, 1)),
        device=(f"{device.name} with offloading",),
    )
    cache = floor_ratio(np.array([cache_gb]), model.cache_gb_per_token)
    return Placement(swarm, np.array([1]), np.array([model.blocks]), cache)


def _host(problem: PlacementProblem) -> OffloadingHost:
    if problem.offloading is None:
        raise InputError("scenario", "offloading.device", "an unknown one", "a known device")
    return problem.offloading


@placement_policies.register("offloading_pcie")
def offloading_pcie(problem: PlacementProblem) -> Placement:
    """Weights streamed from host memory over PCIe."""
    host, swarm = _host(problem), problem.swarm
    return offloading(swarm.model, host, host.pcie_gb_per_s, swarm.clients)


@placement_policies.register("offloading_ssd")
def offloading_ssd(problem: PlacementProblem) -> Placement:
    """Weights streamed from an SSD."""
    host, swarm = _host(problem), problem.swarm
    return offloading(swarm.model, host, host.ssd_gb_per_s, swarm.clients)
