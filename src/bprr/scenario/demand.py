"""Requests as a scenario asks for them: drawn, or replayed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bprr.ground.errors import InputError
from bprr.ground.schema import Count, NonNegative, Positive, Refused, Strict
from bprr.ground.swarm import FloatArray
from bprr.scenario.drift import Drift
from bprr.scenario.fleet import round_half_up
from bprr.scenario.streams import Streams
from bprr.scenario.traces import LATEST_S, Trace, read_trace
from bprr.scenario.workload import Workload, poisson_arrivals_ms
from bprr.settings.shipped import here_or_shipped

__all__ = ["Demand", "Load", "PoissonDemand", "TraceDemand"]

MOST_REQUESTS = 100_000_000  # some GB of arrivals and records


class Load(NamedTuple):
    """What a demand comes to in one run."""

    workload: Workload
    rate_per_s: float  # λ; NaN where the requests have none
    rejected: Workload | None = None  # requests longer than the model accepts
    remarks: tuple[str, ...] = ()


class PoissonDemand(Strict):
    """Poisson arrivals of equal requests."""

    kind: Literal["poisson"] = "poisson"
    rate_per_s: Annotated[float, Field(gt=0, le=1e6, strict=True)] = Field(
        description="λ, over all clients"
    )
    requests: Count | None = Field(None, description="how many; or duration_s")
    duration_s: Positive | None = Field(None, description="how long, on average; or requests")
    input_tokens: Count = Field(description="of each request")
    output_tokens: Count = Field(description="of each request")
    per_servers: Count | None = Field(
        None, description="rate_per_s and requests are meant for so many servers, and scale"
    )
    drift: Drift | None = Field(None, description="how the rate changes; rate_per_s is its mean")

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
        self,
        servers: int,
        clients: int,
        session_tokens: int | None,
        longest: int,
        streams: Streams,
    ) -> Load:
        """Equal requests."""
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
        if self.drift is not None:
            arrival_ms = 1000 * self.drift.times_s(arrival_ms / 1000)
        client = streams.of("clients").integers(clients, size=count)
        tokens = session_tokens or self.input_tokens + self.output_tokens
        lengths = (np.array(each) for each in (self.input_tokens, self.output_tokens, tokens))
        return Load(Workload(arrival_ms, client, *lengths), rate)


class TraceColumns(Strict):
    """Which column of a trace holds what."""

    input_tokens: str = Field(description="name of its column")
    output_tokens: str = Field(description="name of its column")
    arrival: str | None = Field(None, description="leave it out if the trace has lengths alone")


class TraceDemand(Strict):
    """Replay of a recorded trace; its kind is known by its columns, or said here."""

    kind: Literal["trace"]
    file: Path = Field(description="CSV, or one of the kinds in docs/bring-your-own.md")
    columns: TraceColumns | None = Field(None, description="if they are not known by their names")
    time_unit: Literal["s", "ms", "us", "ns", "date"] | None = Field(
        None, description="of times that are numbers; date: 20231116"
    )
    start_s: NonNegative = Field(0.0, description="leave out what comes before")
    duration_s: Positive | None = Field(
        None, description="leave out what comes so long after the start"
    )
    requests: Count | None = Field(None, description="the first so many; all if not given")
    speed: Positive = Field(1.0, description="replay so many times as fast")
    rate_per_s: Positive | None = Field(
        None, description="Poisson arrivals for a trace of lengths alone"
    )
    too_long: Literal["reject", "skip", "truncate"] = Field(
        "reject",
        description="requests longer than the model accepts: refused as they arrive, left out of"
        " the load altogether, or with the prompt cut",
    )

    def files(self) -> list[Path]:
        """The trace."""
        return [here_or_shipped(self.file)]

    def draw(
        self,
        servers: int,
        clients: int,
        session_tokens: int | None,
        longest: int,
        streams: Streams,
    ) -> Load:
        """The requests of the trace."""
        columns = None if self.columns is None else self.columns.model_dump(exclude_none=True)
        trace = read_trace(here_or_shipped(self.file), columns, self.time_unit)
        used = trace.window(self.start_s, self.duration_s, self.requests)
        inputs, outputs = used.input_tokens.astype(np.int64), used.output_tokens.astype(np.int64)
        too_long = inputs + outputs > longest
        remarks = list(used.remarks)
        if too_long.any():
            how = {"reject": "rejected", "skip": "skipped", "truncate": "truncated"}[self.too_long]
            said = f"{int(too_long.sum()):,} of {len(used):,} requests are longer than"
            remarks.append(f"{self.file}: {said} {longest:,} tokens: {how}")
        if self.too_long == "truncate":
            outputs = np.minimum(outputs, longest - 1)
            inputs = np.minimum(inputs, longest - outputs)
        stays = ~too_long if self.too_long == "skip" else np.ones(len(used), dtype=bool)
        if not stays.any():
            allowed = f"at least one request of at most {longest} tokens"
            raise InputError(self.file, "rows", f"{len(used)} longer requests", allowed)
        arrival_ms = self._arrival_ms(trace, used.arrival_s, int(stays.sum()), stays, streams)
        inputs, outputs = inputs[stays], outputs[stays]
        workload = Workload(
            arrival_ms,
            np.arange(arrival_ms.size) % clients,
            inputs,
            outputs,
            inputs + outputs if session_tokens is None else np.array(session_tokens),
        )
        accepted = inputs + outputs <= longest
        if not accepted.any():
            allowed = f"at least one request of at most {longest} tokens"
            raise InputError(self.file, "rows", f"{len(used)} longer requests", allowed)
        rejected = None if accepted.all() else workload.part(~accepted)
        workload = workload if rejected is None else workload.part(accepted)
        return Load(workload, self._rate(workload), rejected, tuple(remarks))

    def _arrival_ms(
        self,
        trace: Trace,
        arrival_s: FloatArray | None,
        count: int,
        stays: NDArray[np.bool_],
        streams: Streams,
    ) -> FloatArray:
        if arrival_s is None:
            if self.rate_per_s is None:
                allowed = "a column of times, or workload.rate_per_s for Poisson arrivals"
                raise InputError(self.file, "arrival", trace.file.family.columns, allowed)
            return poisson_arrivals_ms(streams.of("arrivals"), count, self.rate_per_s)
        if self.rate_per_s is not None:
            allowed = "nothing: the trace has times; speed replays it faster"
            raise InputError(self.file, "rate_per_s", self.rate_per_s, allowed)
        times = arrival_s[stays]
        with np.errstate(over="ignore"):
            arrival_ms = (times - times[0]) * 1000.0 / self.speed
        if not arrival_ms[-1] <= LATEST_S * 1000.0:
            span = f"{times[-1] - times[0]:g} s at {self.speed:g} times the speed"
            raise InputError(self.file, "arrival", span, f"a replay of at most {LATEST_S:g} s")
        return arrival_ms

    def _rate(self, workload: Workload) -> float:
        """Rate λ: gaps over the span; a single request never meets another one, many at once do."""
        if self.rate_per_s is not None:
            return self.rate_per_s
        if len(workload) == 1:
            return 0.0
        span_s = float(np.ptp(workload.arrival_ms)) / 1000.0
        return (len(workload) - 1) / span_s if span_s else np.nan


Demand = Annotated[PoissonDemand | TraceDemand, Field(discriminator="kind")]
