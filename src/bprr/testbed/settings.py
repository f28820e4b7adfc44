"""Settings of a testbed run: the swarm as a scenario, what stands in for it, and what is scored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, StrictBool, model_validator

from bprr.ground.schema import Count, Positive, Refused, Strict
from bprr.scenario.demand import PoissonDemand
from bprr.scenario.places import ClusteredNetwork
from bprr.scenario.scenario import Scenario
from bprr.settings.configuration import Method
from bprr.settings.messages import validated
from bprr.settings.overrides import located
from bprr.settings.yaml_file import read_yaml

__all__ = ["Cell", "TestbedMethod", "TestbedSettings", "load_testbed"]

Seed = Annotated[int, Field(ge=0, strict=True)]


class StandIn(Strict):
    """The small BLOOM of random weights whose blocks are really computed."""

    d_model: Count = 64
    heads: Count = 4
    vocabulary: Count = 256
    initializer_range: Positive = 0.5
    seed: Seed = 1


class ClusteredScenario(Scenario):
    """A scenario with bandwidths within and between clusters, and rates and lengths to vary."""

    network: ClusteredNetwork
    workload: PoissonDemand


class TestbedMethod(Method):
    """An allocation of the same swarm."""

    __test__ = False  # the name looks like a test to pytest

    label: str
    impose_blocks: StrictBool = Field(description="our placement, instead of PETALS' own")
    impose_chains: StrictBool = Field(description="our chains, instead of PETALS' own routing")


class CaseGroup(Strict):
    """Cells that are scored: every client position × rate × length, by some methods."""

    rates_per_s: Annotated[list[Positive], Field(min_length=1)]
    output_tokens: Annotated[list[Count], Field(min_length=1)]
    requests: Count
    clients: list[str] | None = Field(None, description="clusters of clients; all if not given")
    methods: Annotated[list[str], Field(min_length=1)]
    session_tokens: Count | None = Field(
        None, description="tokens of cache a session asks for; input plus output if not given"
    )
    kill_after_s: Positive | None = Field(
        None, description="kill a server of the first chain so long after the cell has started"
    )


class Calibration(Strict):
    """Sessions, one at a time, from which overheads and device times are fitted."""

    sessions: Count = 18
    output_tokens: Annotated[int, Field(ge=2, strict=True)] = 8
    rtt_samples: Count = 15


@dataclass(frozen=True)
class Cell:
    """One cell of the table, for all methods: a client position, a rate, a length."""

    group: str
    client: int
    client_cluster: str
    rate_per_s: float
    output_tokens: int
    requests: int
    session_tokens: int | None


class TestbedSettings(Strict):
    """A whole testbed run (``config/testbed/*.yaml``)."""

    __test__ = False

    title: str
    stand_in: StandIn = StandIn()
    blocks: Count = Field(description="blocks L of the served model, cut from the planned one's")
    scenario: ClusteredScenario
    intra_mbit_per_s: Positive = 1000.0
    inter_mbit_per_s: Positive = 100.0
    update_period_s: Positive = Field(
        60.0, description="how often servers announce and clients look (PETALS' default)"
    )
    max_retries: Count = Field(8, description="PETALS retries for ever by default")
    seed: Seed = 1
    calibration: Calibration = Calibration()
    methods: dict[str, TestbedMethod]
    cases: Annotated[dict[str, CaseGroup], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_exist(self) -> TestbedSettings:
        clusters = self.scenario.network.client
        for name, group in self.cases.items():
            for key, known in (("methods", self.methods), ("clients", clusters)):
                for entry in getattr(group, key) or ():
                    if entry not in known:
                        raise Refused(f"cases.{name}.{key}", entry, ", ".join(known))
        return self

    def cells(self, group: str) -> list[Cell]:
        """Cells of a group of cases."""
        case, clusters = self.cases[group], self.scenario.network.client
        return [
            Cell(group, clusters.index(at), at, rate, tokens, case.requests, case.session_tokens)
            for at in case.clients or clusters
            for rate in case.rates_per_s
            for tokens in case.output_tokens
        ]


def load_testbed(path: Path) -> TestbedSettings:
    """Read and check the settings of a testbed run.

    Raises
    ------
    InputError, InputErrors
        If a key is unknown or holds an unusable value.
    """
    return validated(TestbedSettings, located(read_yaml(path), path.parent), path)
