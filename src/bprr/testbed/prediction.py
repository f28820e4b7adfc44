"""The simulator's side: what it places, which chains it imposes, what it predicts of a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bprr.ground.swarm import IntArray, Swarm
from bprr.placement.base import Placement
from bprr.scenario.draw import Catalogue, Instance, draw
from bprr.simulation import Records, simulate
from bprr.study.method import MethodRunner
from bprr.testbed.records import MEASURED, PREDICTED
from bprr.testbed.settings import Cell, TestbedSettings

__all__ = [
    "Chain",
    "Predictor",
    "chain_of",
    "chain_text",
    "replaceable_server",
    "request_rows",
]

Chain = Sequence[tuple[int, int, int]]  # server, first block, end, half-open from 0 as in PETALS


@dataclass(frozen=True)
class Predictor:
    """Draws, places and simulates the cells of a testbed run."""

    settings: TestbedSettings
    catalogue: Catalogue  # the planned model in it is cut to the served number of blocks

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

        The names are those of the settings, the swarm is as calibrated.
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


def chain_text(chain: Chain) -> str:
    """Chain as text, blocks numbered from 1 as in the paper: ``0:1-9 3:10-14``."""
    return " ".join(f"{server}:{first + 1}-{end}" for server, first, end in chain)


def request_rows(
    cell: Cell,
    method: str,
    measured: Sequence[Mapping[str, Any]],
    predicted: Records,
    server_of_peer: Mapping[str, int],
    local_tokens: Sequence[Sequence[int]],
) -> pd.DataFrame:
    """One row per request of a cell: records of the client process beside the simulator's.

    Parameters
    ----------
    server_of_peer : mapping
        Server of each peer id.
    local_tokens : sequence of sequence of int
        Greedy tokens of local transformers.
    """
    theirs = predicted.table()
    theirs["completion_ms"], theirs["retries"] = predicted.completion_ms, theirs["attempts"] - 1
    theirs["chain"] = [chain_text(chain_of(*predicted.chain(i))) for i in range(len(predicted))]
    rows = []
    for index, record in enumerate(measured):
        done = record.get("status") == "ok"
        completion_ms = record["last_token_ms"] if done else np.nan
        ttft_ms = record.get("ttft_ms", np.nan)
        chain = [(server_of_peer[peer], start, end) for peer, start, end in record.get("chain", ())]
        rows.append(
            {
                "group": cell.group,
                "client": cell.client_cluster,
                "rate_per_s": cell.rate_per_s,
                "output_tokens": cell.output_tokens,
                "session_tokens": int(predicted.workload.cache_tokens[index]),
                "method": method,
                "request": index,
                "arrival_ms": predicted.workload.arrival_ms[index],
                "status": record.get("status", "timeout"),
                "lag_ms": record.get("lag_ms", np.nan),
                "wait_ms": record.get("wait_ms", np.nan),
                "ttft_ms": ttft_ms,
                "completion_ms": completion_ms,
                "per_token_ms": completion_ms / cell.output_tokens,
                "remaining_per_token_ms": (completion_ms - ttft_ms)
                / max(cell.output_tokens - 1, 1),
                "retries": record.get("retries", -1),
                "chain": chain_text(chain),
                "tokens_equal": bool(done and record["token_ids"] == list(local_tokens[index])),
            }
        )
    ours = pd.DataFrame(rows, columns=list(MEASURED))
    return ours.join(theirs[list(PREDICTED)].add_prefix("predicted_"))
