"""What a living swarm leaves of every request, and of every part of one that a chain served."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from bprr.ground.swarm import IntArray
from bprr.scenario.workload import Workload
from bprr.simulation.records import Records

__all__ = ["LivingRecords", "Outage", "Part", "Replacement"]


class Part(NamedTuple):
    """A part of a request, on one chain."""

    request: int
    start_ms: float
    end_ms: float
    input_tokens: int  # the prompt, and the tokens so far
    output_tokens: int  # that it made
    cut: bool
    servers: IntArray
    processed: IntArray


class Outage(NamedTuple):
    """A server that serves nobody: it is away, or loads."""

    server: int
    from_ms: float
    to_ms: float


class Replacement(NamedTuple):
    """Blocks placed anew."""

    time_ms: float
    servers: int  # that loaded others
    pause_ms: float  # until the last of them had


@dataclass(frozen=True)
class LivingRecords(Records):
    """Records of N requests, some of them cut and resumed.

    A request waits until its first part starts; what it loses later is part of its completion
    time. Its chain is that of its last part.

    Parameters
    ----------
    cuts : ndarray of int64, shape (N,)
        Times that a server failed or began to load while it was on a request's chain.
    prefilled_again : ndarray of int64, shape (N,)
        Tokens that were prefilled more than once.
    parts, outages, replacements : list
        What happened.
    """

    cuts: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    prefilled_again: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    parts: list[Part] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    replacements: list[Replacement] = field(default_factory=list)

    @classmethod
    def of_parts(
        cls,
        whole: Records,
        parts: list[Part],
        outages: list[Outage],
        replacements: list[Replacement],
    ) -> Self:
        """Records of whole requests, and of their parts."""
        whose, count = np.array([part.request for part in parts], dtype=np.int64), len(whole)
        cuts, prefilled = (
            np.bincount(whose, [getattr(part, name) for part in parts], count).astype(np.int64)
            for name in ("cut", "input_tokens")
        )
        again = prefilled - whole.workload.input_tokens
        return cls(**vars(whole), cuts=cuts, prefilled_again=again, parts=parts, outages=outages,
                   replacements=replacements)  # fmt: skip

    def columns(self) -> dict[str, NDArray[Any]]:
        """Columns of `table`: those of every simulation, and what was lost."""
        again = {"cuts": self.cuts, "prefilled_again": self.prefilled_again}
        return {**super().columns(), **again}

    @property
    def outcome(self) -> dict[str, Any]:
        """What holds for all requests of a run."""
        return {**super().outcome, "replacements": len(self.replacements)}

    @property
    def served(self) -> Records:
        """The parts as requests of their own: what servers did for whom."""
        parts = sorted(
            (part for part in self.parts if part.output_tokens), key=lambda part: part.start_ms
        )
        whose = np.array([part.request for part in parts])
        start_ms, end_ms = (_column(parts, name) for name in ("start_ms", "end_ms"))
        hops = [part.servers.size for part in parts]
        return Records(
            Workload(
                start_ms,
                self.workload.client[whose],
                _column(parts, "input_tokens"),
                _column(parts, "output_tokens"),
                self.workload.cache_tokens[whose],
            ),
            wait_ms=np.zeros(len(parts)),
            raw_wait_ms=np.zeros(len(parts)),
            ttft_ms=end_ms - start_ms,
            completion_ms=end_ms - start_ms,
            attempts=np.ones(len(parts), dtype=np.int32),
            chain_start=np.cumsum([0, *hops]),
            chain_server=np.concatenate([part.servers for part in parts]),
            chain_processed=np.concatenate([part.processed for part in parts]),
            engine=self.engine,
        )


def _column(parts: list[Part], name: str) -> NDArray[Any]:
    return np.array([getattr(part, name) for part in parts])
