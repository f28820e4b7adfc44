"""The simulator's side: what it places, which chains it imposes, and what it predicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bprr.ground.swarm import IntArray, Swarm
from bprr.placement.base import Placement
from bprr.scenario.draw import Catalogue, Instance, draw
from bprr.simulation import Records, simulate
from bprr.study.method import MethodRunner
from bprr.testbed.settings import Cell, TestbedSettings

__all__ = ["Chain", "Predictor", "chain_of", "replaceable_server"]

Chain = Sequence[tuple[int, int, int]]  # server, first block, end, half-open from 0 as in PETALS


@dataclass(frozen=True)
class Predictor:
    """Draws, places and simulates the cells of a testbed run.

    Parameters
    ----------
    settings : TestbedSettings
        The run.
    catalogue : Catalogue
        Models and devices; the planned model is cut to the served number of blocks.
    """

    settings: TestbedSettings
    catalogue: Catalogue

    def instance(self, cell: Cell) -> Instance:
        """The scenario with a cell's workload, all of it from the cell's client."""
        scenario = self.settings.scenario
        demand = scenario.workload.model_copy(
            update={
                "rate_per_s": cell.rate_per_s,
                "output_tokens": cell.output_tokens,
                "requests": cell.requests,
            }
        )
        changed = scenario.model_copy(
            update={"workload": demand, "session_tokens": cell.session_tokens}
        )
        changed._where = f"{self.settings.where}: scenario"
        cut = self.catalogue.model(changed).model_copy(update={"blocks": self.settings.blocks})
        catalogue = replace(self.catalogue, models={scenario.model: cut})
        instance = draw(changed, catalogue, self.settings.seed, 0)
        client = np.full(cell.requests, cell.client, dtype=np.int64)
        return replace(instance, workload=replace(instance.workload, client=client))

    def nominal(self) -> Instance:
        """An instance whose swarm has the published times; its workload is of no account."""
        return self.instance(self.settings.cells(next(iter(self.settings.cases)))[0])

    def placement(self, group: str, method: str, swarm: Swarm) -> Placement:
        """One placement for a group of cases (the large time scale), for its longest requests.

        Parameters
        ----------
        group, method : str
            Names in the settings.
        swarm : Swarm
            As calibrated.
        """
        cells = self.settings.cells(group)
        longest = max(cells, key=lambda cell: (cell.output_tokens, cell.rate_per_s))
        runner = MethodRunner(replace(self.instance(longest), swarm=swarm))
        return runner.placement(self.settings.methods[method].placement, 0.0)

    def predict(self, placement: Placement, method: str, instance: Instance) -> Records:
        """Simulate a cell on a placement, with sessions that are refused and retry."""
        entry, scenario = self.settings.methods[method], self.settings.scenario
        return simulate(
            placement,
            instance.workload,
            entry.routing,
            admission=entry.admission or scenario.admission,
            charging=entry.charging or scenario.charging,
            service=entry.service or scenario.service,
        )


def chain_of(servers: IntArray, processed: IntArray) -> Chain:
    """Chain in the terms of PETALS."""
    ends = np.cumsum(processed).tolist()
    return list(zip(servers.tolist(), [0, *ends[:-1]], ends, strict=True))


def replaceable_server(placement: Placement, chain: Chain) -> int:
    """Last server of a chain without which every block is still hosted; else its last one."""
    blocks = np.arange(1, placement.swarm.model.blocks + 1)
    hosts = (placement.first_block[:, None] <= blocks) & (blocks <= placement.last_block[:, None])
    hosts &= placement.blocks[:, None] > 0
    for server, _, _ in reversed(chain):
        if np.delete(hosts, server, axis=0).any(axis=0).all():
            return server
    return chain[-1][0]
