"""Baseline without distribution: parameter offloading on one device.

The weights lie in host memory or on an SSD and are streamed to the device block by block for
every token (and once for a prompt), so each block costs its transfer besides its computation. The
device's memory beyond a buffer of a few blocks holds attention caches. This is the best case: the
client sits at the device, transfers run at the nominal bandwidth, and requests that run at once
share one stream of weights. Only the work that grows with a prompt's length comes on top.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from bprr.ground.errors import InfeasibleError, InputError
from bprr.ground.schema import Count, Positive, Strict
from bprr.ground.swarm import Device, LanguageModel, Swarm, floor_ratio
from bprr.placement.base import Placement, PlacementPolicy, PlacementProblem

__all__ = ["Offloading", "offloading"]

MS_PER_S = 1000.0


def offloading(
    model: LanguageModel,
    device: Device,
    bandwidth_gb_per_s: float,
    buffered_blocks: int = 2,
    clients: int = 1,
) -> Placement:
    """Whole model on one device, weights streamed for every token.

    Parameters
    ----------
    device : Device
        The device.
    bandwidth_gb_per_s : float
        Bandwidth of the stream of weights (GB/s).
    buffered_blocks : int
        Blocks held in device memory at once (two: one computes while the next arrives).
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
    transfer_ms = model.block_gb / bandwidth_gb_per_s * MS_PER_S
    cache_gb = device.memory_gb - buffered_blocks * model.block_gb
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


class Offloading(PlacementPolicy, name="offloading"):
    """The whole model on one device of the catalogue."""

    class Options(Strict):
        """Which device, and how fast its weights arrive."""

        device: str = Field("a100", description="name of a device")
        bandwidth_gb_per_s: Positive = Field(
            32.0, description="PCIe 4.0 x16, nominal 256 Gbit/s; an SSD on PCIe 4.0 x4 has 8 GB/s"
        )
        buffered_blocks: Count = Field(2, description="that the device holds while it computes")

    def place(self, problem: PlacementProblem) -> Placement:
        """The device as a swarm of its own."""
        options = self.options
        if options.device not in problem.devices:
            known = ", ".join(problem.devices)
            raise InputError("offloading", "device", options.device, f"a known device: {known}")
        device, model = problem.devices[options.device], problem.swarm.model
        if not device.of_model(model):
            found = f"{device.name}, measured with {device.model}"
            allowed = f"a profile of {model.name}, or fleet.scale_profiles: true"
            raise InputError("offloading", "device", found, allowed)
        return offloading(
            model,
            device,
            options.bandwidth_gb_per_s,
            options.buffered_blocks,
            problem.swarm.clients,
        )
