"""Requests as a scenario asks for them: drawn, or replayed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from bprr.ground.errors import InputError
from bprr.ground.schema import Count, Positive, Refused, Strict
from bprr.scenario.fleet import round_half_up
from bprr.scenario.streams import Streams
from bprr.scenario.workload import Workload, poisson_arrivals_ms, replay_trace

__all__ = ["Demand", "PoissonDemand", "TraceDemand"]

MOST_REQUESTS = 100_000_000  # some GB of arrivals and records


class PoissonDemand(Strict):
    """Poisson arrivals of equal requests."""

    kind: Literal["poisson"] = "poisson"
    rate_per_s: Annotated[float, Field(gt=0, le=1e6, strict=True)]
    requests: Count | None = None
    duration_s: Positive | None = None
    input_tokens: Count
    output_tokens: Count
    per_servers: Count | None = Field(
        None, description="rate_per_s and requests are meant for so many servers, and scale"
    )

    @model_validator(mode="after")
    def _one_length(self) -> PoissonDemand:
        if (self.requests is None) == (self.duration_s is None):
            both = f"{self.requests} with duration_s: {self.duration_s}"
            raise Refused("requests", both, "requests or duration_s, one of them and not both")
        return self

    def files(self) -> list[Path]:
        """None."""
        return []

    def draw(
        self, servers: int, clients: int, session_tokens: int | None, streams: Streams
    ) -> tuple[Workload, float]:
        """Requests and their rate λ (requests/s)."""
        scale = 1.0 if self.per_servers is None else servers / self.per_servers
        rate = self.rate_per_s * scale
        if self.requests is not None:
            count = round_half_up(self.requests * scale)
        else:
            assert self.duration_s is not None
            count = round_half_up(min(self.duration_s * rate, 2.0 * MOST_REQUESTS))
        if count > MOST_REQUESTS:
            raise InputError("workload", "requests", count, f"at most {MOST_REQUESTS:,} in a run")
        count = max(count, 1)
        arrival_ms = poisson_arrivals_ms(streams.of("arrivals"), count, rate)
        client = streams.of("clients").integers(clients, size=count)
        tokens = session_tokens or self.input_tokens + self.output_tokens
        lengths = (np.array(each) for each in (self.input_tokens, self.output_tokens, tokens))
        return Workload(arrival_ms, client, *lengths), rate


class TraceDemand(Strict):
    """Replay of a CSV of timestamp, input tokens, output tokens."""

    kind: Literal["trace"]
    file: Path
    requests: Count | None = None
    speed: Positive = 1.0

    def files(self) -> list[Path]:
        """The trace."""
        return [self.file]

    def draw(
        self, servers: int, clients: int, session_tokens: int | None, streams: Streams
    ) -> tuple[Workload, float]:
        """Requests and their rate λ (requests/s)."""
        replayed = replay_trace(self.file, clients, self.requests, self.speed)
        span_s = max(float(replayed.arrival_ms[-1]) / 1000.0, 1e-3)
        if session_tokens is not None:
            replayed = replace(replayed, cache_tokens=np.array(session_tokens))
        return replayed, len(replayed) / span_s


Demand = Annotated[PoissonDemand | TraceDemand, Field(discriminator="kind")]
