"""Settings of a planned run: machines as they are, what is emulated of them, what is planned."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from bprr.ground.schema import Count, MemoryGb, Milliseconds, Positive, Refused, Strict
from bprr.ground.swarm import FloatArray
from bprr.settings.messages import validated
from bprr.settings.yaml_file import read_yaml
from bprr.testbed.settings import Calibration, Seed, StandIn

__all__ = ["PlannedServer", "PlannedSettings", "load_planned"]


class EmulatedDevice(Strict):
    """Times of a block (ms): of a token, of the prompt."""

    tau_ms: Milliseconds
    prefill_ms: Milliseconds


class PlannedServer(Strict):
    """A machine, as an operator would write it down."""

    name: str
    gpu: str
    memory_gb: MemoryGb
    place: str


class PlannedSettings(Strict):
    """A planned run (``config/testbed/planned*.yaml``)."""

    title: str
    stand_in: StandIn = StandIn()
    model: dict[str, Any] = Field(description="config.json of the model that is planned for")
    quant: Literal["nf4", "int8", "none"]
    devices: dict[str, EmulatedDevice]
    servers: Annotated[list[PlannedServer], Field(min_length=1)]
    clients: Annotated[list[str], Field(min_length=1, description="their places")]
    inside_ms: Positive = Field(description="round trip within a place")
    rtt_ms: dict[str, dict[str, Milliseconds]] = Field(description="between places, one way round")
    mbit_per_s: Positive = 1000.0
    input_tokens: Count
    output_tokens: Annotated[int, Field(ge=2, strict=True)]
    rate_per_s: Positive = Field(description="sessions of all clients, planned for and served")
    sessions: Count
    warm_s: Positive = Field(description="for clients to ping servers before PETALS routes")
    update_period_s: Positive = Field(4.0, description="a minute by default, as sessions are long")
    max_pinged: Count = Field(3, description="servers that a client pings at once, as shipped")
    max_retries: Count = 8
    seed: Seed = 1
    calibration: Calibration = Calibration()
    plans: Annotated[dict[str, list[str]], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_exist(self) -> PlannedSettings:
        for number, server in enumerate(self.servers):
            if server.gpu not in self.devices:
                raise Refused(f"servers.{number}.gpu", server.gpu, ", ".join(self.devices))
        for here in self.places:
            for there in self.places:
                if here != there and self._between(here, there) is None:
                    raise Refused("rtt_ms", f"nothing of {here} and {there}", "every pair")
        if not isinstance(self.model.get("n_layer"), int):
            raise Refused("model.n_layer", self.model.get("n_layer"), "a whole number")
        return self

    @property
    def blocks(self) -> int:
        """Blocks L of the model."""
        return int(self.model["n_layer"])

    @property
    def places(self) -> list[str]:
        """Of servers and clients, each once."""
        return list(dict.fromkeys([*(server.place for server in self.servers), *self.clients]))

    def _between(self, here: str, there: str) -> float | None:
        if here == there:
            return self.inside_ms
        return self.rtt_ms.get(here, {}).get(there, self.rtt_ms.get(there, {}).get(here))

    def rtt_between_hosts_ms(self) -> FloatArray:
        """Round trips of first peer (beside the first client), servers and clients."""
        at = [self.clients[0], *(server.place for server in self.servers), *self.clients]
        rtt_ms = np.array([[self._between(here, there) for there in at] for here in at], float)
        np.fill_diagonal(rtt_ms, 0.0)
        return rtt_ms


def load_planned(path: Path) -> PlannedSettings:
    """Read and check the settings of a planned run.

    Raises
    ------
    InputError, InputErrors
        If a key is unknown or holds an unusable value.
    """
    return validated(PlannedSettings, read_yaml(path), path)
