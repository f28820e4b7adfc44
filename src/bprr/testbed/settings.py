"""Settings of a testbed run: the swarm as a scenario, what stands in for it, and what is scored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from bprr.settings.configuration import (
    ClusteredNetwork,
    Count,
    Positive,
    Refused,
    Scenario,
    Strict,
    read_yaml,
    validated,
)

__all__ = ["CaseSettings", "StandIn", "TestbedMethod", "TestbedSettings", "load_testbed"]


class StandIn(Strict):
    """The small BLOOM of random weights whose blocks are really computed."""

    d_model: Count = 64
    heads: Count = 4
    vocabulary: Count = 256
    initializer_range: Positive = 0.5
    seed: Annotated[int, Field(ge=0, strict=True)] = 1


class TestbedMethod(Strict):
    """An allocation of the same swarm."""

    __test__ = False  # the name looks like a test to pytest

    label: str
    placement: str
    routing: str
    impose_blocks: bool = Field(description="our placement, instead of PETALS' own")
    impose_chains: bool = Field(description="our chains, instead of PETALS' own routing")
    leftover_pool: bool = Field(
        False, description="cache pool tuned to all leftover memory, not PETALS' fixed one"
    )


class CaseSettings(Strict):
    """Cases that are scored: every client position × rate × length, by some methods."""

    rates_per_s: Annotated[list[Positive], Field(min_length=1)]
    output_tokens: Annotated[list[Count], Field(min_length=1)]
    requests: Count
    clients: list[str] | None = Field(None, description="clusters of clients; all if not given")
    methods: Annotated[list[str], Field(min_length=1)]
    session_tokens: Count | None = Field(
        None, description="tokens of cache a session asks for; input plus output if not given"
    )
    kill_after_s: Positive | None = Field(
        None, description="kill a server of the first chain so long after the case has started"
    )


class CalibrationSettings(Strict):
    """Sessions, one at a time, from which overheads and device times are fitted."""

    sessions: Count = 18
    output_tokens: Count = 8
    rtt_samples: Count = 15


class TestbedSettings(Strict):
    """A whole testbed run (``config/testbed/*.yaml``)."""

    __test__ = False

    title: str
    stand_in: StandIn = StandIn()
    blocks: Count = Field(description="blocks L of the served model, cut from the planned one's")
    scenario: Scenario
    intra_mbit_per_s: Positive = 1000.0
    inter_mbit_per_s: Positive = 100.0
    update_period_s: Positive = Field(
        60.0, description="how often servers announce and clients look (PETALS' default)"
    )
    max_retries: Count = Field(8, description="PETALS retries for ever by default")
    seed: Annotated[int, Field(ge=0, strict=True)] = 1
    calibration: CalibrationSettings = CalibrationSettings()
    methods: dict[str, TestbedMethod]
    cases: dict[str, CaseSettings]

    @model_validator(mode="after")
    def _consistent(self) -> TestbedSettings:
        if not isinstance(self.scenario.network, ClusteredNetwork):
            allowed = "clustered: the testbed has bandwidths within and between clusters"
            raise Refused("scenario.network.kind", self.scenario.network.kind, allowed)
        for name, case in self.cases.items():
            for method in case.methods:
                if method not in self.methods:
                    raise Refused(f"cases.{name}.methods", method, ", ".join(self.methods))
            for client in case.clients or ():
                if client not in self.client_clusters:
                    allowed = ", ".join(self.client_clusters)
                    raise Refused(f"cases.{name}.clients", client, allowed)
        return self

    @property
    def client_clusters(self) -> list[str]:
        """Cluster of each client position."""
        assert isinstance(self.scenario.network, ClusteredNetwork)
        return self.scenario.network.client_clusters


def load_testbed(path: Path, content: Mapping[str, object] | None = None) -> TestbedSettings:
    """Read and check the settings of a testbed run.

    Raises
    ------
    InputError, InputErrors
        If a key is unknown or holds an unusable value.
    """
    return validated(TestbedSettings, read_yaml(path) if content is None else content, path)
