"""Settings of a rivals run: fleets, loads, and methods with the way their servers serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from bprr.ground.schema import Count, MemoryGb, Milliseconds, Positive, Refused, Strict
from bprr.ground.swarm import Device, FloatArray
from bprr.scenario.draw import Catalogue
from bprr.scenario.workload import Workload, poisson_arrivals_ms
from bprr.settings.configuration import Method
from bprr.settings.messages import validated
from bprr.settings.yaml_file import read_yaml
from bprr.testbed.loaded_settings import Arm, LoadedCalibration, LoadedSettings
from bprr.testbed.planned_settings import EmulatedDevice
from bprr.testbed.settings import Seed, StandIn

__all__ = ["Rival", "RivalsSettings", "case_name", "load_rivals"]

CLIENT = "a"


class FleetServer(Strict):
    """A server of a fleet."""

    device: str
    memory_gb: MemoryGb
    rtt_ms: Milliseconds


class Rival(Method):
    """A method, and how all its servers serve."""

    order: Literal["fifo", "oldest"] = "fifo"
    prompt: Literal["whole", "block", "token"] = "whole"
    prefetch: Literal[0, 2] = 2
    pool_tokens: Count | None = Field(
        None, description="cache of a server per block; what its memory has left if not given"
    )
    page_tokens: Count | None = Field(
        None, description="charge caches by such pages; whole at the start if not given"
    )

    @property
    def arm(self) -> Arm:
        """How servers serve."""
        return Arm.model_validate(self.model_dump(include=set(Arm.model_fields)))


class RivalsSettings(Strict):
    """A rivals run (``config/testbed/rivals*.yaml``)."""

    title: str
    stand_in: StandIn = StandIn()
    model: str = Field("bloom_176b", description="whose blocks fill the servers' memory")
    blocks: Count
    input_tokens: Count
    output_tokens: Annotated[int, Field(ge=2, strict=True)]
    session_tokens: Count
    requests: Count
    update_period_s: Positive = 10.0
    max_retries: Count = 12
    mbit_per_s: Positive = 1000.0
    seed: Seed = 1
    devices: dict[str, EmulatedDevice]
    fleets: dict[str, Annotated[list[FleetServer], Field(min_length=1)]]
    loads: Annotated[list[Positive], Field(min_length=1)]
    calibration: LoadedCalibration = LoadedCalibration()
    arms: Annotated[dict[str, Rival], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_exist(self) -> RivalsSettings:
        for name, fleet in self.fleets.items():
            for number, server in enumerate(fleet):
                if server.device not in self.devices:
                    key = f"fleets.{name}.{number}.device"
                    raise Refused(key, server.device, ", ".join(self.devices))
        return self

    def catalogue(self, known: Catalogue) -> Catalogue:
        """What is known, with the emulated devices instead of the published ones."""
        devices = {
            name: Device(
                name=name, memory_gb=1.0, forward_rps=1e4, network_rps=1e3, **each.model_dump()
            )
            for name, each in self.devices.items()
        }
        return Catalogue(known.models, devices, known.topology_dir)

    def base(self, fleet: str) -> LoadedSettings:
        """A fleet as a loaded run in which every server hosts the whole model."""
        servers = [
            {"device": s.device, "blocks": (1, self.blocks), "rtt_ms": [s.rtt_ms]}
            for s in self.fleets[fleet]
        ]
        arm = {"label": "as shipped"}
        case = {"clients": [CLIENT], "load": 1.0, "requests": 1, "output_tokens": [1],
                "arms": ["shipped"]}  # fmt: skip
        content = self.model_dump(
            include={"title", "stand_in", "model", "blocks", "input_tokens", "mbit_per_s",
                     "update_period_s", "max_retries", "seed", "calibration"}
        )  # fmt: skip
        content |= {"servers": servers, "clients": {CLIENT: [0]}, "arms": {"shipped": arm}}
        return LoadedSettings.model_validate(content | {"cases": {"none": case}})

    def memory_gb(self, fleet: str) -> FloatArray:
        """Memory of every server."""
        return np.array([server.memory_gb for server in self.fleets[fleet]])

    def rate_per_s(self, fleet: str, load: float) -> float:
        """Sessions/s at a load: 1 if no server ever idled, whatever it hosts."""
        rates = []
        for server in self.fleets[fleet]:
            device = self.devices[server.device]
            block_ms = device.prefill_ms + (self.output_tokens - 1) * device.tau_ms
            rates.append(1000.0 / (self.blocks * block_ms))
        return load * float(np.sum(rates))

    def workload(self, fleet: str, load: float) -> Workload:
        """The same arrivals for every arm."""
        rng, count = np.random.default_rng(self.seed), self.requests
        arrival_ms = poisson_arrivals_ms(rng, count, self.rate_per_s(fleet, load))
        lengths = (self.input_tokens, self.output_tokens, self.session_tokens)
        inputs, outputs, cache = (np.full(count, each) for each in lengths)
        return Workload(arrival_ms, np.zeros(count, dtype=np.int64), inputs, outputs, cache)


def case_name(fleet: str, load: float) -> str:
    """Name of a case."""
    return f"{fleet}_{load:g}"


def load_rivals(path: Path) -> RivalsSettings:
    """Read and check the settings of a rivals run.

    Raises
    ------
    InputError, InputErrors
        If a key is unknown or holds an unusable value.
    """
    return validated(RivalsSettings, read_yaml(path), path)
